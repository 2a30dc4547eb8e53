/**
 * The judge's own tree over all that is final: every complete subtree is kept, and the root is put
 * together from them as a proof is, not from a frontier as blocks are.
 */

import { nodeHash, treeRoot } from "../../ledger/merkle.ts"
import { HASH_BYTES } from "../../protocol/limits.ts"
import { leavesOf } from "./content.ts"

export class Tree {
  /** Hashes of complete subtrees, by level. */
  readonly #levels: Uint8Array[][] = [[]]
  #root: Uint8Array | undefined

  get size(): number {
    return this.#levels[0]?.length ?? 0
  }

  get root(): Uint8Array {
    this.#root ??= treeRoot((level, index) => this.#at(level, index), this.size)
    return this.#root
  }

  append(transactions: readonly number[]): void {
    if (transactions.length === 0) return
    this.#root = undefined
    const leaves = leavesOf(transactions)
    for (let at = 0; at < leaves.length; at += HASH_BYTES) {
      this.#push(0, leaves.subarray(at, at + HASH_BYTES))
    }
  }

  #push(level: number, hash: Uint8Array): void {
    const row = (this.#levels[level] ??= [])
    const index = row.push(hash) - 1
    if (index % 2 === 1) this.#push(level + 1, nodeHash(this.#at(level, index - 1), hash))
  }

  #at(level: number, index: number): Uint8Array {
    const found = this.#levels[level]?.[index]
    if (found === undefined) throw new Error(`no subtree ${index} at level ${level}`)
    return found
  }
}

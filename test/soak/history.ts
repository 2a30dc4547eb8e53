/**
 * What nodes published while a soak ran, and whether it is one history: what was once shown to the
 * outside is there for ever, at its place, and every checkpoint goes on from every earlier one.
 *
 * It believes nothing that a node says of itself: only files, signatures and the ledger at the end.
 */

import {
  appendLeaves,
  consistencyProof,
  EMPTY_FRONTIER,
  frontierRoot,
  hashLeaves,
  leafHash,
  treeRoot,
  verifyConsistency,
  type HashSource,
} from "../../ledger/merkle.ts"
import { parseTilePath } from "../../ledger/tile-path.ts"
import { verifyAgainst, type Policy } from "../../ledger/policy.ts"
import { decodeProof, verifyProof } from "../../ledger/proof.ts"
import { readPublication } from "../../node/store/publication.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { HASH_BYTES } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"

export class History {
  readonly #suite: Suite
  readonly #policy: Policy
  readonly #accuse: (what: string) => void
  /** Root of every size that anybody published. */
  readonly #roots = new Map<number, Uint8Array>()
  /** Hash of every leaf that anybody published or proved, by its place. */
  readonly #leaves = new Map<number, Uint8Array>()
  /** Size that each node published last. */
  readonly #sizes = new Map<string, number>()

  /** `accuse` hears of everything that must not be. */
  constructor(suite: Suite, policy: Policy, accuse: (what: string) => void) {
    this.#suite = suite
    this.#policy = policy
    this.#accuse = accuse
  }

  /** Sizes that were published. */
  get sizes(): number {
    return this.#roots.size
  }

  /** A node published a checkpoint over these entries. */
  published(code: string, checkpoint: string, entries: readonly Uint8Array[]): void {
    this.#demand(`checkpoint of ${code}`, () => {
      const { size, root } = verifyAgainst(this.#suite, this.#policy, checkpoint).checkpoint
      const before = this.#sizes.get(code) ?? 0
      if (size < before) this.#accuse(`${code} published ${size} entries after ${before}`)
      this.#sizes.set(code, Math.max(before, size))
      this.#root(code, size, root)
      const frontier = appendLeaves(EMPTY_FRONTIER, hashLeaves(entries))
      if (frontier.size !== size || !equalBytes(frontierRoot(frontier), root)) {
        this.#accuse(`${code} published other entries than its checkpoint of ${size}`)
      }
      for (const [index, entry] of entries.entries()) this.#leaf(code, index, leafHash(entry))
    })
  }

  /** A node proved where an entry stands. */
  proven(code: string, bytes: Uint8Array): void {
    this.#demand(`proof of ${code}`, () => {
      const proof = decodeProof(bytes)
      const { checkpoint, index } = verifyProof(this.#suite, this.#policy, proof)
      this.#root(code, checkpoint.size, checkpoint.root)
      this.#leaf(code, index, leafHash(proof.opened.entry))
    })
  }

  /** The ledger at the end holds all of it, and all pairs of sizes are one history. */
  judge(entries: readonly Uint8Array[]): void {
    const leaves = entries.map(leafHash)
    for (const [index, leaf] of this.#leaves) {
      const last = leaves[index]
      if (last === undefined) this.#accuse(`entry ${index} has vanished`)
      else if (!equalBytes(last, leaf)) this.#accuse(`entry ${index} is another one than before`)
    }
    const source = sourceOf(entries)
    const sizes = [...this.#roots.keys()].toSorted((a, b) => a - b)
    if ((sizes.at(-1) ?? 0) > entries.length) {
      this.#accuse(`${sizes.at(-1)} entries were published, ${entries.length} are left`)
    }
    const kept = sizes.filter((size) => size <= entries.length)
    for (const [at, size] of kept.entries()) {
      const root = this.#roots.get(size) ?? treeRoot(source, size)
      for (const later of kept.slice(at + 1)) {
        this.#demand(`published sizes ${size} and ${later}`, () => {
          const newer = this.#roots.get(later) ?? treeRoot(source, later)
          verifyConsistency(size, root, later, newer, consistencyProof(source, size, later))
        })
      }
      if (!equalBytes(treeRoot(source, size), root)) {
        this.#accuse(`the ledger has another root at ${size} entries than was published`)
      }
    }
  }

  #root(code: string, size: number, root: Uint8Array): void {
    const known = this.#roots.get(size)
    if (known === undefined) this.#roots.set(size, root)
    else if (!equalBytes(known, root)) this.#accuse(`${code} has a second root at ${size} entries`)
  }

  #leaf(code: string, index: number, leaf: Uint8Array): void {
    const known = this.#leaves.get(index)
    if (known === undefined) this.#leaves.set(index, leaf)
    else if (!equalBytes(known, leaf)) this.#accuse(`${code} has another entry ${index}`)
  }

  /** What does not verify is a finding; a bug goes on up. */
  #demand(what: string, check: () => void): void {
    try {
      check()
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      this.#accuse(`${what}: ${error.code} ${error.message}`)
    }
  }
}

/** The checkpoint and all entries of a publication, out of its stream. */
export async function readPublished(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ checkpoint: string; entries: Uint8Array[] }> {
  let checkpoint = ""
  const bundles = new Map<number, Uint8Array[]>()
  for await (const { path, bytes } of readPublication(chunks)) {
    if (path === "checkpoint") checkpoint = new TextDecoder().decode(bytes)
    if (!path.startsWith("tile/entries/")) continue
    const { number } = parseTilePath(path)
    const entries = entriesIn(bytes)
    // The missions' checkpoint has a right edge of its own: a part of what is there as well.
    if (entries.length > (bundles.get(number)?.length ?? 0)) bundles.set(number, entries)
  }
  const numbers = [...bundles.keys()].toSorted((a, b) => a - b)
  return { checkpoint, entries: numbers.flatMap((number) => bundles.get(number) ?? []) }
}

/** (length u16 ‖ entry) one after another. */
function entriesIn(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + view.getUint16(at)
    entries.push(bytes.slice(at + 2, end))
    at = end
  }
  return entries
}

/** Hashes of all complete subtrees. */
function sourceOf(entries: readonly Uint8Array[]): HashSource {
  const nodes = new Map<string, Uint8Array>()
  appendLeaves(EMPTY_FRONTIER, hashLeaves(entries), (level, first, hashes) => {
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      nodes.set(`${level} ${first + at / HASH_BYTES}`, hashes.slice(at, at + HASH_BYTES))
    }
  })
  return (level, index) => {
    const hash = nodes.get(`${level} ${index}`)
    if (hash === undefined) throw new Error(`no complete subtree ${index} at level ${level}`)
    return hash
  }
}

/**
 * Blocks above the final head: what the chain would be after each of them (LEDGER §8.5).
 *
 * A block's content depends on the one below it. The heads of blocks that are certified or proposed
 * are kept here until they are final, so that the next one can be built and judged without waiting.
 * Who may submit is judged by the directory of the final head; so nothing with entries stands on a
 * block that may change it before that block is final.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import type { Block } from "../../ledger/block.ts"
import { buildBlock, checkBlock, isTimely, type ChainHead } from "../../ledger/chain.ts"
import type { ConsensusEffect, Verdict } from "../../ledger/state.ts"
import { assert } from "../../protocol/assert.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Finality } from "./finality.ts"
import type { Intake } from "./intake.ts"
import type { LedgerLog } from "./submitter.ts"

/** What consensus asks for when we lead. */
export type WantedBlock = Extract<ConsensusEffect, { type: "buildBlock" }>

interface Held {
  readonly head: ChainHead
  /** Height of the highest block at or below this one that may change the directory. */
  readonly governedHeight: number
}

export interface HeadsParts {
  readonly suite: Suite
  readonly finality: Pick<Finality, "head" | "submitKeyOf">
  readonly intake: Pick<Intake, "mempool" | "isVerified">
  readonly log: LedgerLog
}

export class Heads {
  readonly #parts: HeadsParts
  readonly #held = new Map<string, Held>()

  constructor(parts: HeadsParts) {
    this.#parts = parts
  }

  /** The chain after this block; undefined when it is neither final nor held. */
  of(hash: Uint8Array): ChainHead | undefined {
    const { head } = this.#parts.finality
    return equalBytes(hash, head.hash) ? head : this.#held.get(bytesToHex(hash))?.head
  }

  /** True when the directory that a block on this one is judged by is known. */
  isGoverned(hash: Uint8Array): boolean {
    const governed = this.#held.get(bytesToHex(hash))?.governedHeight ?? 0
    return governed <= this.#parts.finality.head.height
  }

  /** True when a block on this one could have entries. */
  hasWork(hash: Uint8Array): boolean {
    const { mempool } = this.#parts.intake
    const head = this.of(hash)
    if (head === undefined) return mempool.bytes > 0
    return this.isGoverned(hash) && mempool.hasWork(head.serials)
  }

  /** Builds a block of what waits, or a closing one; undefined when there is nothing. */
  build(wanted: WantedBlock, nowMs: number): Block | undefined {
    const { suite, intake, log } = this.#parts
    const { view, isClosing, bytesMax } = wanted
    const parent = wanted.parent.hash
    const head = this.of(parent)
    if (head === undefined) return undefined
    const mayTake = !isClosing && this.isGoverned(parent)
    const begin = firstTurn(parent, view)
    const batches = mayTake ? intake.mempool.take(head.serials, bytesMax, begin) : []
    if (batches.length === 0 && !isClosing) return undefined
    const block = buildBlock(suite, head, view, batches, nowMs)
    assert(
      isTimely(head, block.header, nowMs),
      "a leader dates its block so that it may vote for it",
    )
    try {
      this.#hold(block, this.#check(head, block))
      return block
    } catch (error) {
      // Ours to find out, and nothing that others should have to: they build without us.
      if (!(error instanceof TarbartaError)) throw error
      log.warn(error.code, { view, message: error.message })
      return undefined
    }
  }

  /**
   * Judges a block on a head that is known.
   *
   * @returns undefined while the directory that it is judged by is not known.
   */
  judge(block: Block, nowMs: number): { verdict: Verdict; why?: string } | undefined {
    const { parent } = block.header
    const head = this.of(parent)
    if (head === undefined) return { verdict: "invalid", why: "its parent is not known any more" }
    if (!block.header.closing && !this.isGoverned(parent)) return undefined
    try {
      this.#hold(block, this.#check(head, block))
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      return { verdict: "invalid", why: `${error.code}: ${error.message}` }
    }
    if (isTimely(head, block.header, nowMs)) return { verdict: "valid" }
    return {
      verdict: "untimely",
      why: `dated ${block.header.timeMs - nowMs} ms ahead of our clock`,
    }
  }

  /** Forgets what is final now, and what stood beside it. */
  forget(): void {
    const { height } = this.#parts.finality.head
    for (const [key, { head }] of this.#held) if (head.height <= height) this.#held.delete(key)
  }

  #check(head: ChainHead, block: Block): ChainHead {
    const { suite, finality, intake } = this.#parts
    const { isVerified } = intake
    return checkBlock(suite, head, block, finality.submitKeyOf, { isVerified })
  }

  #hold(block: Block, head: ChainHead): void {
    const governs = block.batches.some(({ entries }) =>
      entries.some(({ type }) => type === "governance"),
    )
    const below = this.#held.get(bytesToHex(block.header.parent))?.governedHeight ?? 0
    const governedHeight = governs ? head.height : below
    this.#held.set(bytesToHex(head.hash), { head, governedHeight })
  }
}

/**
 * Whose turn is first in a block (LEDGER §3.2): by the hash below, so that no rhythm of views suits
 * anybody; by the view as well, so that another is first where the last attempt was in vain.
 */
function firstTurn(parent: Uint8Array, view: number): number {
  return new DataView(parent.buffer, parent.byteOffset).getUint32(0) + view
}

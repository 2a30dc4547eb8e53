/**
 * Batches on their way into a block: verified once, then waiting (LEDGER §3.2).
 */

import { LedgerError } from "../../ledger/errors.ts"
import { Mempool } from "../../ledger/mempool.ts"
import { assert } from "../../protocol/assert.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { decodeBatch, encodeBatch, verifyBatch, type Batch } from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { SUBMIT_BATCHES_MAX, VAIN_BATCHES_PER_S_MAX } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey } from "../network/transport.ts"
import { Allowance } from "./allowance.ts"
import type { Finality } from "./finality.ts"

export interface IntakeParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly clock: Clock
  readonly finality: Pick<Finality, "head" | "submitKeyOf">
}

/** What became of one batch. */
interface Taken {
  readonly submitter: number
  /** Serial that is expected next of it. */
  readonly next: number
  readonly isNew: boolean
  /** False when serials before it are missing. */
  readonly isJoined: boolean
}

export class Intake {
  readonly #parts: IntakeParts
  readonly mempool = new Mempool()
  /** Keys under which batches of the mempool were verified; a batch never changes. */
  readonly #verified = new WeakMap<Batch, Uint8Array>()
  readonly #allowance: Allowance

  constructor(parts: IntakeParts) {
    this.#parts = parts
    const what = "batches were verified in vain"
    this.#allowance = new Allowance(parts.clock, VAIN_BATCHES_PER_S_MAX, what)
  }

  /**
   * Takes batches of one submitter from it or anybody who carries them, in their order up to the
   * first that is refused or would leave a hole. `from` brings them; undefined: this node itself.
   *
   * @returns the serial that is expected next of the submitter, and whether something new waits.
   * @throws of the first batch: ProtocolError `CODEC_*`, `BATCH_*`; LedgerError `BLOCK_SUBMITTER`
   * for one who may not submit, `MEMPOOL_FULL`, `MEMPOOL_CONFLICT`; NodeError `NODE_BUSY` when too
   * many of this peer's were verified in vain.
   */
  submit(
    batches: readonly Uint8Array[],
    from?: PeerKey,
  ): { readonly next: number; readonly isNew: boolean } {
    let last: Taken | undefined
    let isNew = false
    for (const bytes of batches) {
      let taken: Taken
      try {
        taken = this.#take(bytes, from)
      } catch (error) {
        // The next request begins here, and is told why.
        if (last === undefined || !(error instanceof TarbartaError)) throw error
        break
      }
      if (last !== undefined && taken.submitter !== last.submitter) break
      last = taken
      isNew ||= taken.isNew
      if (!taken.isJoined) break
    }
    assert(last !== undefined, "a submission has a batch")
    return { next: last.next, isNew }
  }

  #take(bytes: Uint8Array, from: PeerKey | undefined): Taken {
    const { suite, chainId, finality } = this.#parts
    const batch = decodeBatch(suite, bytes)
    const { submitter, firstSeq, entries } = batch
    const { serials, height } = finality.head
    const key = finality.submitKeyOf(submitter, height + 1)
    if (key === undefined) {
      throw new LedgerError("BLOCK_SUBMITTER", `submitter ${submitter} may not submit`)
    }
    // What leaves a hole, or is final, needs no check of its signature: the answer is the same.
    const next = this.mempool.nextSerial(submitter, serials)
    const isFinal = firstSeq + entries.length - 1 <= (serials.get(submitter) ?? 0)
    if (isFinal) return { submitter, next, isNew: false, isJoined: true }
    if (firstSeq > next) return { submitter, next, isNew: false, isJoined: false }
    // Sent on by a validator whose view came to nothing: mostly what waits here as well.
    if (this.isVerified(batch, key)) return { submitter, next, isNew: false, isJoined: true }
    if (from !== undefined) this.#allowance.spend(from)
    verifyBatch(suite, chainId, batch, key, bytes)
    this.#verified.set(batch, key)
    const isNew = this.#admit(batch)
    if (isNew && from !== undefined) this.#allowance.refund(from)
    return { submitter, next: this.mempool.nextSerial(submitter, serials), isNew, isJoined: true }
  }

  #admit(batch: Batch): boolean {
    try {
      return this.mempool.add(batch, this.#parts.finality.head.serials) === "added"
    } catch (error) {
      // Cut in a way that does not join: the answer says where to begin.
      if (error instanceof LedgerError && error.code === "MEMPOOL_SERIAL") return false
      throw error
    }
  }

  /** True for a batch that waits here, to the byte: it was verified under this key when it came. */
  readonly isVerified = (batch: Batch, submitKey: Uint8Array): boolean => {
    const same = this.#verified.get(batch)
    if (same !== undefined) return equalBytes(same, submitKey)
    const own = this.mempool.find(batch.submitter, batch.firstSeq)
    if (own === undefined || !equalBytes(own.signature, batch.signature)) return false
    if (!equalBytes(encodeBatch(own), encodeBatch(batch))) return false
    const key = this.#verified.get(own)
    return key !== undefined && equalBytes(key, submitKey)
  }

  /** Batches that the next block could take, as {@link Mempool.take} has them, in submissions. */
  waiting(bytesMax: number, begin: number): Uint8Array[][] {
    const submissions: Uint8Array[][] = []
    const open = new Map<number, Uint8Array[]>()
    const { serials } = this.#parts.finality.head
    for (const batch of this.mempool.take(serials, bytesMax, begin)) {
      const bytes = encodeBatch(batch)
      const own = open.get(batch.submitter)
      if (own !== undefined && own.length < SUBMIT_BATCHES_MAX) {
        own.push(bytes)
        continue
      }
      const fresh = [bytes]
      open.set(batch.submitter, fresh)
      submissions.push(fresh)
    }
    return submissions
  }
}

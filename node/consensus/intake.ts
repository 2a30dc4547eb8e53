/**
 * Batches on their way into a block: verified once, then waiting (LEDGER §3.2).
 */

import { LedgerError } from "../../ledger/errors.ts"
import { Mempool } from "../../ledger/mempool.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { decodeBatch, encodeBatch, verifyBatch, type Batch } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Finality } from "./finality.ts"

export interface IntakeParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly finality: Pick<Finality, "head" | "submitKeyOf">
}

export class Intake {
  readonly #parts: IntakeParts
  readonly mempool = new Mempool()
  /** Keys under which batches of the mempool were verified; a batch never changes. */
  readonly #verified = new WeakMap<Batch, Uint8Array>()

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /**
   * Takes a batch from its submitter or anybody who carries it.
   *
   * @returns the serial that is expected next of its submitter, and whether something new waits.
   * @throws ProtocolError `CODEC_*`, `BATCH_*`; LedgerError `BLOCK_SUBMITTER` for one who may not
   * submit, `MEMPOOL_FULL`, `MEMPOOL_CONFLICT`.
   */
  submit(bytes: Uint8Array): { readonly next: number; readonly isNew: boolean } {
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
    if (firstSeq > next || isFinal) return { next, isNew: false }
    verifyBatch(suite, chainId, batch, key, bytes)
    this.#verified.set(batch, key)
    const isNew = this.#admit(batch)
    return { next: this.mempool.nextSerial(submitter, serials), isNew }
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

  /** Encoded batches that the next block could take, up to `bytesMax` of them. */
  waiting(bytesMax: number): Uint8Array[] {
    const batches: Uint8Array[] = []
    let length = 0
    for (const batch of this.mempool.take(this.#parts.finality.head.serials)) {
      const bytes = encodeBatch(batch)
      length += bytes.length
      if (length > bytesMax) break
      batches.push(bytes)
    }
    return batches
  }
}

/**
 * Batches that wait for a block (LEDGER §3.2).
 *
 * Bounded in all and per submitter; each submitter's batches are kept without a hole, from the
 * first serial that the chain does not have. The caller has verified every batch's signature.
 * Deterministic: the same calls give the same blocks.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { batchBytes, encodeEntry, type Batch } from "../protocol/entry.ts"
import {
  BLOCK_BATCHES_MAX,
  BLOCK_BYTES_MAX,
  MEMPOOL_BYTES_MAX,
  MEMPOOL_SUBMITTER_BYTES_MAX,
} from "../protocol/limits.ts"
import { batchesBytes } from "./block.ts"
import { LedgerError, type LedgerCode } from "./errors.ts"

/** Last recorded serial by submitter, as a chain head has it. */
export type Serials = ReadonlyMap<number, number>

/** What became of a batch: new here, or all of it known already (a repeated submission). */
export type Admission = "added" | "known"

interface Queue {
  /** Contiguous, in order of serial. */
  readonly batches: readonly Batch[]
  readonly bytes: number
}

const EMPTY: Queue = { batches: [], bytes: 0 }

/** The waiting room of one validator. Serials of the chain come with every call. */
export class Mempool {
  readonly #queues = new Map<number, Queue>()
  #bytes = 0

  /** Size of all waiting batches. */
  get bytes(): number {
    return this.#bytes
  }

  /** The serial with which this submitter's next batch must begin. */
  nextSerial(submitter: number, final: Serials): number {
    const last = this.#queues.get(submitter)?.batches.at(-1)
    return Math.max((final.get(submitter) ?? 0) + 1, last === undefined ? 0 : endOf(last))
  }

  /**
   * Takes in a verified batch. Batches may be cut anew: one that repeats waiting entries is known,
   * and one that repeats them and goes on takes their place if it begins where a waiting one does.
   *
   * @throws {@link LedgerError} `MEMPOOL_FULL`; `MEMPOOL_SERIAL` when the batch would leave a hole or
   * cannot be joined (the message has the serial to begin with); `MEMPOOL_CONFLICT` when two
   * different entries claim one serial.
   */
  add(batch: Batch, final: Serials): Admission {
    const { submitter } = batch
    this.#trim(submitter, final)
    const queue = this.#queues.get(submitter) ?? EMPTY
    const next = this.nextSerial(submitter, final)
    const replaced = queue.batches.filter((waiting) => endOf(waiting) > batch.firstSeq)
    checkSame(replaced, batch)
    if (endOf(batch) <= next) return "known"
    if (batch.firstSeq !== (replaced[0]?.firstSeq ?? next)) {
      refuse("MEMPOOL_SERIAL", batch, `expected serial ${next}, got ${batch.firstSeq}`)
    }
    const growth = batchesBytes([batch]) - batchesBytes(replaced)
    const isFull =
      queue.bytes + growth > MEMPOOL_SUBMITTER_BYTES_MAX || this.#bytes + growth > MEMPOOL_BYTES_MAX
    if (isFull) refuse("MEMPOOL_FULL", batch, `${this.#bytes} bytes are waiting already`)
    const kept = queue.batches.slice(0, queue.batches.length - replaced.length)
    this.#set(submitter, [...kept, batch], queue.bytes + growth)
    return "added"
  }

  /** True when some batch could stand in a block on a head with these serials. */
  hasWork(serials: Serials): boolean {
    for (const [submitter, { batches }] of this.#queues) {
      const next = (serials.get(submitter) ?? 0) + 1
      if (batches.some((batch) => batch.firstSeq === next)) return true
    }
    return false
  }

  /**
   * Batches for one block on a head with these serials, within the block's limits. One batch of
   * each submitter in turn, so that a long queue does not hold up a short one.
   */
  take(serials: Serials): Batch[] {
    const submitters = [...this.#queues.keys()].sort((a, b) => a - b)
    let queues = submitters.map((submitter) => this.#ready(submitter, serials))
    const taken: Batch[] = []
    let bytes = 0
    for (let turn = 0; queues.length > 0; turn++) {
      queues = queues.filter((queue) => turn < queue.length)
      for (const queue of queues) {
        const batch = queue[turn]
        if (batch === undefined) continue
        bytes += batchesBytes([batch])
        if (taken.length === BLOCK_BATCHES_MAX || bytes > BLOCK_BYTES_MAX) return taken
        taken.push(batch)
      }
    }
    return taken
  }

  /** The batch that waits with this first serial. */
  find(submitter: number, firstSeq: number): Batch | undefined {
    return this.#queues.get(submitter)?.batches.find((batch) => batch.firstSeq === firstSeq)
  }

  /** Drops all of one submitter, who may not submit any more. */
  drop(submitter: number): void {
    this.#set(submitter, [], 0)
  }

  /** Drops what the final chain has, and what no longer joins it because it was cut differently. */
  forget(final: Serials): void {
    for (const submitter of this.#queues.keys()) this.#trim(submitter, final)
  }

  #trim(submitter: number, final: Serials): void {
    const queue = this.#queues.get(submitter)
    if (queue === undefined) return
    const kept = this.#ready(submitter, final)
    if (kept.length === queue.batches.length) return
    this.#set(submitter, kept, batchesBytes(kept))
  }

  #ready(submitter: number, serials: Serials): readonly Batch[] {
    const next = (serials.get(submitter) ?? 0) + 1
    const { batches } = this.#queues.get(submitter) ?? EMPTY
    const start = batches.findIndex((batch) => batch.firstSeq === next)
    return start === -1 ? [] : batches.slice(start)
  }

  #set(submitter: number, batches: readonly Batch[], bytes: number): void {
    this.#bytes += bytes - (this.#queues.get(submitter)?.bytes ?? 0)
    if (batches.length === 0) this.#queues.delete(submitter)
    else this.#queues.set(submitter, { batches, bytes })
  }
}

/** First serial after a batch. */
function endOf(batch: Batch): number {
  return batch.firstSeq + batch.entries.length
}

/** Two different entries at one serial are evidence against their submitter. */
function checkSame(waiting: readonly Batch[], batch: Batch): void {
  for (const entry of waiting.flatMap((other) => other.entries)) {
    const again = batch.entries[entry.submitterSeq - batch.firstSeq]
    if (again !== undefined && !equalBytes(encodeEntry(again), encodeEntry(entry))) {
      refuse("MEMPOOL_CONFLICT", batch, `two entries claim serial ${entry.submitterSeq}`)
    }
  }
}

function refuse(code: LedgerCode, batch: Batch, why: string): never {
  const which = `submitter ${batch.submitter}, ${batchBytes(batch)} bytes`
  throw new LedgerError(code, `batch of ${which}: ${why}`)
}

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
  MEMPOOL_BYTES_MAX,
  MEMPOOL_SUBMITTER_BYTES_MAX,
} from "../protocol/limits.ts"
import { batchesBytes } from "./block.ts"
import { LedgerError, type LedgerCode } from "./errors.ts"

/** Last recorded serial by submitter, as a chain head has it. */
export type Serials = ReadonlyMap<number, number>

/** What became of a batch: new here, or all of it known already (a repeated submission). */
export type Admission = "added" | "known"

/** Thousands of batches may wait here: nothing walks through all of them for one. */
interface Queue {
  /** Contiguous, in order of serial. */
  batches: Batch[]
  bytes: number
}

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
    const queue = this.#queues.get(submitter) ?? { batches: [], bytes: 0 }
    const next = this.nextSerial(submitter, final)
    const kept = countBelow(queue.batches, (waiting) => endOf(waiting) <= batch.firstSeq)
    const replaced = queue.batches.slice(kept)
    checkSame(replaced, batch)
    if (endOf(batch) <= next) return "known"
    if (batch.firstSeq !== (replaced[0]?.firstSeq ?? next)) {
      refuse("MEMPOOL_SERIAL", batch, `expected serial ${next}, got ${batch.firstSeq}`)
    }
    const growth = batchesBytes([batch]) - batchesBytes(replaced)
    const isFull =
      queue.bytes + growth > MEMPOOL_SUBMITTER_BYTES_MAX || this.#bytes + growth > MEMPOOL_BYTES_MAX
    if (isFull) refuse("MEMPOOL_FULL", batch, `${this.#bytes} bytes are waiting already`)
    queue.batches.length = kept
    queue.batches.push(batch)
    queue.bytes += growth
    this.#bytes += growth
    this.#queues.set(submitter, queue)
    return "added"
  }

  /** True when some batch could stand in a block on a head with these serials. */
  hasWork(serials: Serials): boolean {
    for (const [submitter, { batches }] of this.#queues) {
      const next = (serials.get(submitter) ?? 0) + 1
      if (indexOf(batches, next) !== -1) return true
    }
    return false
  }

  /**
   * Batches for one block on a head with these serials, up to `bytesMax` of them but at least one.
   * One batch of each submitter in turn, so that a long queue does not hold up a short one;
   * `begin`, any number from 0, moves the submitter that is first, so that a large batch does not
   * keep the others out of a small block again and again.
   */
  take(serials: Serials, bytesMax: number, begin: number): Batch[] {
    const submitters = [...this.#queues.keys()].sort((a, b) => a - b)
    const ready = submitters
      .map((submitter) => this.#ready(submitter, serials))
      .filter(({ length }) => length > 0)
    const first = ready.length === 0 ? 0 : begin % ready.length
    let queues = [...ready.slice(first), ...ready.slice(0, first)]
    const taken: Batch[] = []
    let bytes = 0
    for (let turn = 0; queues.length > 0; turn++) {
      queues = queues.filter((queue) => {
        const batch = queue[turn]
        if (batch === undefined || taken.length === BLOCK_BATCHES_MAX) return false
        const length = batchesBytes([batch])
        if (taken.length > 0 && bytes + length > bytesMax) return false
        bytes += length
        taken.push(batch)
        return true
      })
    }
    return taken
  }

  /** The batch that waits with this first serial. */
  find(submitter: number, firstSeq: number): Batch | undefined {
    const batches = this.#queues.get(submitter)?.batches ?? []
    return batches[indexOf(batches, firstSeq)]
  }

  /** Drops all of one submitter, who may not submit any more. */
  drop(submitter: number): void {
    this.#keepFrom(submitter, Number.POSITIVE_INFINITY)
  }

  /** Drops what the final chain has, and what no longer joins it because it was cut differently. */
  forget(final: Serials): void {
    for (const submitter of this.#queues.keys()) this.#trim(submitter, final)
  }

  #trim(submitter: number, final: Serials): void {
    const { batches } = this.#queues.get(submitter) ?? { batches: [] }
    const start = indexOf(batches, (final.get(submitter) ?? 0) + 1)
    if (start !== 0) this.#keepFrom(submitter, start === -1 ? batches.length : start)
  }

  #ready(submitter: number, serials: Serials): readonly Batch[] {
    const { batches } = this.#queues.get(submitter) ?? { batches: [] }
    const start = indexOf(batches, (serials.get(submitter) ?? 0) + 1)
    // A block takes no more, whatever else waits.
    return start === -1 ? [] : batches.slice(start, start + BLOCK_BATCHES_MAX)
  }

  /** Drops the first `start` batches of a queue. */
  #keepFrom(submitter: number, start: number): void {
    const queue = this.#queues.get(submitter)
    if (queue === undefined) return
    const bytes = batchesBytes(queue.batches.slice(0, start))
    queue.batches = queue.batches.slice(start)
    queue.bytes -= bytes
    this.#bytes -= bytes
    if (queue.batches.length === 0) this.#queues.delete(submitter)
  }
}

/** Where the batch with this first serial waits, or -1. */
function indexOf(batches: readonly Batch[], firstSeq: number): number {
  const index = countBelow(batches, (batch) => batch.firstSeq < firstSeq)
  return batches[index]?.firstSeq === firstSeq ? index : -1
}

/** How many from the beginning fulfil `isBelow`, which none does behind one that does not. */
function countBelow(batches: readonly Batch[], isBelow: (batch: Batch) => boolean): number {
  let [low, high] = [0, batches.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const batch = batches[middle]
    if (batch !== undefined && isBelow(batch)) low = middle + 1
    else high = middle
  }
  return low
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

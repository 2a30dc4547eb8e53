/**
 * Whether the disk under the consensus log answers, and how fast (LEDGER §9.5).
 *
 * A vote waits for its record, so a disk that never answers ends a validator's votes without an
 * error that anybody could catch. It must be seen: here, by its operator, and by the others.
 */

import { LOG_SLOW_MS, LOG_SLOW_SAMPLES, LOG_STALL_MS } from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import type { LedgerLog } from "./submitter.ts"

export class LogWatch {
  readonly #clock: Clock
  readonly #log: LedgerLog
  /** Writes that have taken too long and are not done. */
  #stalled = 0
  #writes = 0
  #slow = 0

  constructor(clock: Clock, log: LedgerLog) {
    this.#clock = clock
    this.#log = log
  }

  get isStalled(): boolean {
    return this.#stalled > 0
  }

  /** Waits for one write, and tells when it takes too long. @throws what the write does. */
  async watch(write: Promise<void>): Promise<void> {
    const startedMs = this.#clock.monotonicMs()
    let isLate = false
    const timer = this.#clock.after(LOG_STALL_MS, () => {
      isLate = true
      this.#stalled += 1
      if (this.#stalled > 1) return
      const message = `the disk of the consensus log has not answered for ${LOG_STALL_MS} ms`
      this.#log.warn("LOG_STALLED", { message: `${message}: this validator's votes wait for it` })
    })
    try {
      await write
    } finally {
      timer.cancel()
      const tookMs = Math.round(this.#clock.monotonicMs() - startedMs)
      if (isLate) this.#stalled -= 1
      if (isLate && this.#stalled === 0) {
        const message = `the disk of the consensus log answers again, after ${tookMs} ms`
        this.#log.warn("LOG_ANSWERS", { message })
      }
      this.#count(tookMs)
    }
  }

  /** One slow write in a hundred is what a disk does now and then; more are told. */
  #count(tookMs: number): void {
    this.#writes += 1
    if (tookMs > LOG_SLOW_MS) this.#slow += 1
    if (this.#writes < LOG_SLOW_SAMPLES) return
    if (this.#slow > LOG_SLOW_SAMPLES / 100) {
      const share = `${this.#slow} of ${this.#writes} writes of the consensus log`
      const message = `${share} took longer than ${LOG_SLOW_MS} ms, and votes waited for them`
      this.#log.warn("LOG_SLOW", { message })
    }
    this.#writes = 0
    this.#slow = 0
  }
}

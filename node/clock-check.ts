/**
 * Notices that this machine's clock is wrong, by the ledger: the time of the block that made an
 * entry of ours final is headquarters', and we know how long ago we made the entry.
 *
 * Nothing is ordered or refused by clocks, so a wrong one is told, not acted upon.
 */

import * as limits from "../protocol/limits.ts"
import type { Clock } from "./clock.ts"

/** Entries made here that are not final yet; older ones tell nothing and make room. */
const KEPT_MAX = 64

export class ClockCheck {
  readonly #clock: Clock
  readonly #made = new Map<number, number>()
  #skewMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** An entry of ours with this serial is being made. */
  made(seq: number): void {
    this.#made.set(seq, this.#clock.monotonicMs())
    const [oldest] = this.#made.keys()
    if (this.#made.size > KEPT_MAX && oldest !== undefined) this.#made.delete(oldest)
  }

  /** It stands in a block of this time. */
  final(seq: number, blockTimeMs: number): void {
    const madeMs = this.#made.get(seq)
    this.#made.delete(seq)
    if (madeMs === undefined) return
    // The block was made between then and now; whatever lies outside of that is skew.
    const nowMs = this.#clock.now()
    const elapsedMs = this.#clock.monotonicMs() - madeMs
    if (blockTimeMs > nowMs) this.#skewMs = nowMs - blockTimeMs
    else this.#skewMs = Math.max(0, nowMs - elapsedMs - blockTimeMs)
  }

  /** A line for the operator, when the clocks differ by more than half a minute. */
  warnings(): string[] {
    if (Math.abs(this.#skewMs) <= limits.CLOCK_SKEW_WARN_MS) return []
    const seconds = Math.round(Math.abs(this.#skewMs) / 1_000)
    const side = this.#skewMs > 0 ? "ahead of" : "behind"
    return [`this machine's clock is ${seconds} s ${side} headquarters'`]
  }
}

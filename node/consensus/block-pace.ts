/**
 * When a leader builds: at once after a quiet spell; right after a block it collects for a while,
 * so that a burst goes into few blocks and a lone cable still waits for nobody (LEDGER §9).
 */

import { BLOCK_LINGER_MS } from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"

export class BlockPace {
  readonly #clock: Clock
  readonly #build: () => void
  #lastBlockMs = -BLOCK_LINGER_MS
  #timer: Timer | undefined

  /** @param build is called once for each `ask`, never within it twice. */
  constructor(clock: Clock, build: () => void) {
    this.#clock = clock
    this.#build = build
  }

  /** A block was built or found valid, here or elsewhere. */
  seen(): void {
    this.#lastBlockMs = this.#clock.monotonicMs()
  }

  /** A block is wanted: now, or when the time to collect is over. */
  ask(): void {
    if (this.#timer !== undefined) return
    const waitMs = this.#lastBlockMs + BLOCK_LINGER_MS - this.#clock.monotonicMs()
    if (waitMs <= 0) {
      this.#build()
      return
    }
    this.#timer = this.#clock.after(waitMs, () => {
      this.#timer = undefined
      this.#build()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }
}

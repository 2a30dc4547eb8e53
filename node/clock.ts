/** Time as the node sees it. The simulator has another implementation (test/support/clock.ts). */

export interface Timer {
  /** Harmless when the timer has fired or was cancelled. */
  cancel(): void
}

export interface Clock {
  /** Wall clock, Unix milliseconds. May jump; nothing is ordered by it. */
  now(): number
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number
  /** Calls `run` once, `delayMs` from now. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

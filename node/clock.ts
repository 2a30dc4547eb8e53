/** Time as the node sees it. The simulator has another implementation (test/support/clock.ts). */

import { setImmediate as nextTurn } from "node:timers/promises"

export interface Timer {
  /** Harmless when the timer has fired or was cancelled. */
  cancel(): void
}

export interface Clock {
  /** Wall clock, Unix milliseconds. May jump; nothing is ordered by it. */
  now(): number
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number
  /**
   * Calls `run` once, `delayMs` from now or later, never before by {@link monotonicMs}. The timer
   * does not keep the process alive.
   */
  after(delayMs: number, run: () => void): Timer
}

/** Longest delay that the runtime's timers take. */
const TIMER_MS_MAX = 2 ** 31 - 1
/** More than what a timer was seen to fire early. */
const TIMER_EARLY_MS = 3

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const dueMs = performance.now() + delayMs
    let isOver = false
    const fire = (): void => {
      if (isOver) return
      const leftMs = dueMs - performance.now()
      if (leftMs <= 0) run()
      // A timer may fire a millisecond or two early; what is left is too short for another one.
      else if (leftMs < TIMER_EARLY_MS) setImmediate(fire)
      else arm(leftMs)
    }
    let timer: NodeJS.Timeout
    const arm = (leftMs: number): void => {
      // A longer delay would fire at once.
      timer = setTimeout(fire, Math.min(leftMs, TIMER_MS_MAX))
      timer.unref()
    }
    arm(Math.max(0, delayMs))
    const cancel = (): void => {
      isOver = true
      clearTimeout(timer)
    }
    return { cancel }
  },
}

/**
 * For long computations: the answer is called between two steps, and lets the event loop turn when
 * `sliceMs` have passed since it last did.
 */
export function createSlices(clock: Clock, sliceMs: number): () => Promise<void> {
  let startedMs = clock.monotonicMs()
  return async () => {
    if (clock.monotonicMs() - startedMs < sliceMs) return
    await nextTurn()
    startedMs = clock.monotonicMs()
  }
}

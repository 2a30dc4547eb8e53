/**
 * When an exchange has taken too long: after a whole time, and where a protocol has it so, after a
 * shorter one in which nothing moved. A large answer on a thin line takes minutes and is worth
 * them; a peer that has stalled is not.
 */

import type { Clock, Timer } from "../clock.ts"

export interface DeadlineParts {
  readonly clock: Clock
  /** Whole exchange. */
  readonly timeoutMs: number
  /** Without progress; looked at so often, so up to twice as long may pass. */
  readonly stallMs: number | undefined
  /** Grows while bytes move. */
  readonly progress: () => number
  /** `why` says how long nothing came. */
  readonly onOver: (why: string) => void
}

/** Runs from now on, until it is over or cancelled. */
export function startDeadline(parts: DeadlineParts): Timer {
  const { clock, timeoutMs, stallMs = timeoutMs, progress, onOver } = parts
  const fromMs = clock.monotonicMs()
  let seen = progress()
  let timer: Timer
  const watch = (): void => {
    const leftMs = timeoutMs - (clock.monotonicMs() - fromMs)
    const isLast = leftMs <= stallMs
    timer = clock.after(isLast ? leftMs : stallMs, () => {
      const now = progress()
      if (isLast) return onOver(`expected an answer within ${timeoutMs} ms, got none`)
      if (now === seen) return onOver(`nothing came for ${stallMs} ms`)
      seen = now
      watch()
    })
  }
  watch()
  return { cancel: () => timer.cancel() }
}

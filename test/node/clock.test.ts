import { describe, expect, it } from "vitest"
import { systemClock } from "../../node/clock.ts"

/** How early a timer of the machine's clock fires, in milliseconds; at most 0: it does not. */
async function earlyMs(delayMs: number): Promise<number> {
  const startedMs = systemClock.monotonicMs()
  // Its timers do not keep the process alive; this one does, and is ended at once.
  const alive = setInterval(() => undefined, 1_000)
  return new Promise((resolve) => {
    systemClock.after(delayMs, () => {
      clearInterval(alive)
      resolve(startedMs + delayMs - systemClock.monotonicMs())
    })
  })
}

describe("a timer of the machine's clock", () => {
  it("never fires before its time by the clock that it was set by", async () => {
    const delays = Array.from({ length: 200 }, (_, index) => 5 + index / 7)
    const early = await Promise.all(delays.map(earlyMs))
    expect(Math.max(...early)).toBeLessThanOrEqual(0)
  })

  it("that was cancelled does not fire", async () => {
    let fired = 0
    const timer = systemClock.after(1, () => (fired += 1))
    timer.cancel()
    await earlyMs(5)
    timer.cancel()
    expect(fired).toBe(0)
  })
})

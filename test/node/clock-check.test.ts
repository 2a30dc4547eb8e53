import { describe, expect, it } from "vitest"
import { ClockCheck } from "../../node/clock-check.ts"
import { createVirtualClock } from "../support/clock.ts"

const DAY_MS = 86_400_000

describe("the check of the clock", () => {
  it("says nothing while the block's time lies between the making of the entry and now", async () => {
    const clock = createVirtualClock()
    const check = new ClockCheck(clock)
    check.made(1)
    const blockTimeMs = clock.now() + 5_000
    await clock.runFor(3_600_000)
    check.final(1, blockTimeMs)
    expect(check.warnings()).toEqual([])
  })

  it("tells that the clock is a day ahead, or a day behind", () => {
    const clock = createVirtualClock()
    const check = new ClockCheck(clock)
    check.made(1)
    check.final(1, clock.now() - DAY_MS)
    expect(check.warnings()).toEqual(["this machine's clock is 86400 s ahead of headquarters'"])
    check.made(2)
    check.final(2, clock.now() + DAY_MS)
    expect(check.warnings()).toEqual(["this machine's clock is 86400 s behind headquarters'"])
  })

  it("takes the warning back once the clock is set", () => {
    const clock = createVirtualClock()
    const check = new ClockCheck(clock)
    check.made(1)
    check.final(1, clock.now() - DAY_MS)
    check.made(2)
    check.final(2, clock.now())
    expect(check.warnings()).toEqual([])
  })

  it("judges by entries only whose making it saw, and forgets the oldest", () => {
    const clock = createVirtualClock()
    const check = new ClockCheck(clock)
    check.final(1, clock.now() - DAY_MS)
    expect(check.warnings()).toEqual([])
    for (let seq = 1; seq <= 100; seq++) check.made(seq)
    check.final(1, clock.now() - DAY_MS)
    expect(check.warnings()).toEqual([])
  })
})

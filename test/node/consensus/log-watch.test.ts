import { describe, expect, it } from "vitest"
import { LogWatch } from "../../../node/consensus/log-watch.ts"
import { LOG_SLOW_MS, LOG_SLOW_SAMPLES, LOG_STALL_MS } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

const VALIDATORS = 4
const MINUTE_MS = 60_000
const ROUNDS = 24
/** Kind of records that hold a block (LEDGER §9.1). */
const NOTARIZE = 1

class Watched {
  readonly clock = createVirtualClock()
  readonly told: string[] = []
  readonly watch = new LogWatch(this.clock, { warn: (event) => void this.told.push(event) })

  /** One write that takes so long. */
  async write(tookMs: number): Promise<void> {
    let done = (): void => undefined
    const write = this.watch.watch(new Promise<void>((resolve) => (done = resolve)))
    await this.clock.runFor(tookMs)
    done()
    await write
  }
}

describe("a watch over the consensus log's disk", () => {
  it("tells once that writes are not answered, and when they are", async () => {
    const watched = new Watched()
    const writes = [watched.write(LOG_STALL_MS + 500), watched.write(0)]
    expect(watched.watch.isStalled).toBe(false)
    await watched.clock.runFor(LOG_STALL_MS)
    expect([watched.watch.isStalled, watched.told]).toEqual([true, ["LOG_STALLED"]])
    await Promise.all(writes)
    expect([watched.watch.isStalled, watched.told]).toEqual([false, ["LOG_STALLED", "LOG_ANSWERS"]])
  })

  it.each([
    [1, []],
    [2, ["LOG_SLOW"]],
  ])("with %i slow writes in a hundred tells %j", async (slow, told) => {
    const watched = new Watched()
    for (let count = 0; count < LOG_SLOW_SAMPLES; count++) {
      await watched.write(count < slow ? LOG_SLOW_MS + 1 : LOG_SLOW_MS)
    }
    expect(watched.told).toEqual(told)
  })
})

describe("a validator whose disk hangs", () => {
  it("says so and is seen as silent, and votes again once the disk answers", async () => {
    const world = new LedgerWorld(VALIDATORS + 1, "hung", { validators: VALIDATORS })
    await world.start()
    const mission = world.node(VALIDATORS)
    await world.during(mission.submit())
    await world.untilQuiet(MINUTE_MS)
    const hung = [world.node(1), world.node(2)]
    for (const { wal } of hung) wal.hang()
    await world.during(mission.submit())
    await world.clock.runFor(MINUTE_MS)
    for (const { ledger, warnings } of hung) {
      expect(ledger.validatorStatus()).toMatchObject({ state: "voting", isStalled: true })
      expect(warnings).toContain("LOG_STALLED")
    }
    const silentMs = world.node(0).ledger.validatorStatus()?.silentMs ?? []
    expect(silentMs.map((ms) => ms > MINUTE_MS / 2)).toEqual([false, true, true, false])
    const { height } = mission
    for (const { wal } of hung) wal.answer()
    await world.untilQuiet(MINUTE_MS)
    expect(mission.height).toBeGreaterThan(height)
    expect(hung.map(({ ledger }) => ledger.validatorStatus()?.isStalled)).toEqual([false, false])
  })

  it("does not pile up records of votes meanwhile, and follows what the others decide", async () => {
    const world = new LedgerWorld(VALIDATORS + 1, "one hung", { validators: VALIDATORS })
    await world.start()
    const hung = world.node(1)
    const mission = world.node(VALIDATORS)
    hung.wal.hang()
    const { length } = hung.wal.records
    for (let round = 0; round < ROUNDS; round++) {
      await world.during(mission.submit())
      await world.clock.runFor(MINUTE_MS / 4)
    }
    expect(mission.ledger.lastSeq(mission.post.rid)).toBe(ROUNDS)
    expect(hung.height).toBe(mission.height)
    hung.wal.answer()
    const late = hung.wal.records.slice(length)
    // What let it into a view for each block that it fetched, and no blocks beside those before the
    // disk was known to hang.
    expect(late.length).toBeLessThan(1.5 * ROUNDS)
    expect(late.filter(({ kind }) => kind === NOTARIZE).length).toBeLessThan(3)
    await world.during(mission.submit())
    await world.untilQuiet(MINUTE_MS)
    world.node(3).crash()
    await world.during(mission.submit())
    await world.untilQuiet(MINUTE_MS)
    expect(mission.ledger.lastSeq(mission.post.rid)).toBe(ROUNDS + 2)
  })
})

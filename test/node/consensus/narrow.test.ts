import { describe, expect, it } from "vitest"
import { LedgerWorld } from "../../support/ledgers.ts"

const VALIDATORS = 4
const MINUTE_MS = 60_000
/** Mbit/s as bytes each second. */
const MBIT = 1_000_000 / 8

/** Four validators, two missions, and uplinks as narrow as this. */
async function found(megabits: number): Promise<LedgerWorld> {
  const link = { delayMs: 40, bytesPerSecond: megabits * MBIT }
  const world = new LedgerWorld(VALIDATORS + 2, `narrow ${megabits}`, {
    validators: VALIDATORS,
    link,
  })
  await world.start()
  await world.clock.runFor(MINUTE_MS)
  return world
}

/** A mission has this much waiting. */
async function heap(world: LedgerWorld, bytes: number, payloadBytes: number): Promise<void> {
  const mission = world.node(VALIDATORS)
  const payload = new Uint8Array(payloadBytes)
  for (let sent = 0; sent < bytes; sent += payloadBytes) {
    await world.during(mission.submit(mission.governance(payload)))
  }
}

describe("validators with narrow uplinks", () => {
  it("make final what no view has the time to carry in one piece, and another's entry soon", async () => {
    const world = await found(2)
    await heap(world, 2_000_000, 60_000)
    const other = world.node(VALIDATORS + 1)
    await world.clock.runFor(MINUTE_MS / 2)
    await world.during(other.submit())
    const isRecorded = (): boolean => other.ledger.pending().length === 0
    await world.clock.runUntil(isRecorded, MINUTE_MS)
    await world.untilQuiet(3 * MINUTE_MS)
    expect(world.node(0).ledger.lastSeq(other.post.rid)).toBe(1)
    for (const { wal } of world.nodes) {
      const bytes = wal.records.reduce((sum, { payload }) => sum + payload.length, 0)
      expect(bytes).toBeLessThan(8_000_000)
    }
    for (const node of world.nodes) expect(node.failures).toEqual([])
  })
})

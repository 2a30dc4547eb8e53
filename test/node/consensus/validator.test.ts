import { describe, expect, it } from "vitest"
import { decodeFinalBlock } from "../../../ledger/block.ts"
import { LOG_TRIM_BYTES } from "../../../protocol/limits.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

/** Every submitter's entries once and in order, and the same blocks everywhere. */
async function checkNoFork(world: LedgerWorld, counts: readonly number[]): Promise<void> {
  const chains: Uint8Array[][] = []
  for (const node of world.nodes) {
    chains.push(await world.blocksOf(node))
  }
  for (const chain of chains) expect(chain).toEqual(chains[0])
  const batches = (chains[0] ?? []).flatMap(
    (bytes) => decodeFinalBlock(world.ministry.suite, bytes).block.batches,
  )
  for (const [index, count] of counts.entries()) {
    const serials = batches
      .flatMap((batch) => batch.entries)
      .filter((entry) => entry.submitter === index + 1)
      .map((entry) => entry.submitterSeq)
    expect(serials).toEqual(Array.from({ length: count }, (_, i) => i + 1))
  }
}

describe("a validator that crashes", () => {
  it.each(["lost", "kept"] as const)(
    "at any write, which is %s, comes back without fork or loss",
    async (inFlight) => {
      for (let crashAt = 1; crashAt <= 24; crashAt++) {
        const world = new LedgerWorld(2, "crash")
        await world.start()
        const hq = world.headquarters
        let writes = 0
        let crashed = false
        const count = (): void => {
          writes += 1
          if (writes !== crashAt) return
          crashed = true
          hq.crash(inFlight)
        }
        hq.wal.onAppend = count
        hq.disk.onSync = count
        for (let round = 0; round < 4; round++) {
          void world.node(1).submit()
          if (hq.isUp && round === 2) hq.submit().catch(() => undefined)
          await world.clock.runFor(60)
        }
        expect(crashed).toBe(writes >= crashAt)
        hq.wal.onAppend = undefined
        hq.disk.onSync = undefined
        await world.start()
        await world.untilQuiet()
        expect(hq.failures).toEqual([])
        expect(world.node(1).ledger.lastSeq(2)).toBe(4)
        await checkNoFork(world, [hq.ledger.lastSeq(1), 4])
        await world.during(hq.ledger.verifyAll())
      }
    },
  )

  it("stores again what its log made final and its store lacks", async () => {
    const world = new LedgerWorld(2, "redelivery")
    await world.start()
    const hq = world.headquarters
    await world.during(world.node(1).submit())
    await world.untilQuiet()
    const before = hq.disk.snapshot()
    world.network.partition([[hq.post.peer]])
    await world.during(hq.submit())
    await world.untilQuiet().catch(() => undefined)
    await world.clock.runFor(100)
    expect(hq.height).toBe(2)
    const { hash } = hq.ledger.head()
    // The store is one block behind the log, as after a crash between the two.
    hq.crash()
    hq.disk.restore(before)
    await world.during(hq.start())
    await world.clock.runUntil(() => hq.height === 2, 60_000)
    expect(hq.ledger.head().hash).toEqual(hash)
  })
})

describe("the log of a validator", () => {
  it("is rewritten without old records, however often the node starts in between", async () => {
    const world = new LedgerWorld(1, "trimming")
    await world.start()
    const hq = world.headquarters
    let written = 0
    for (let life = 1; life <= 3; life++) {
      for (let round = 0; round < 100; round++) {
        await world.during(hq.submit())
        await world.untilQuiet()
      }
      written += 2 * 100
      expect(hq.height).toBe(100 * life)
      await world.during(hq.stop())
      await world.during(hq.start())
    }
    expect(hq.wal.records.length).toBeLessThan(written - 2 * 200)
    await world.during(hq.submit())
    await world.untilQuiet()
    expect(hq.failures).toEqual([])
  })

  it("is rewritten once it has grown large, long before its limit", async () => {
    const world = new LedgerWorld(1, "large blocks")
    await world.start()
    const hq = world.headquarters
    const payload = new Uint8Array(60_000)
    let largest = 0
    for (let written = 0; written < 1.25 * LOG_TRIM_BYTES; written += 16 * payload.length) {
      const entries = Array.from({ length: 16 }, async () => hq.submit(hq.governance(payload)))
      await world.during(Promise.all(entries))
      await world.untilQuiet()
      const bytes = hq.wal.records.reduce((sum, record) => sum + record.payload.length, 0)
      largest = Math.max(largest, bytes)
    }
    expect(hq.failures).toEqual([])
    expect(largest).toBeGreaterThan(LOG_TRIM_BYTES / 2)
    expect(largest).toBeLessThan(1.1 * LOG_TRIM_BYTES)
  })
})

describe("a validator that must not vote", () => {
  it("follows when its log is lost, and never votes again", async () => {
    const world = new LedgerWorld(2, "lost log")
    await world.start()
    const hq = world.headquarters
    await world.during(hq.submit())
    await world.untilQuiet()
    hq.crash()
    hq.wal.records = []
    await world.during(hq.start())
    expect(hq.refusal?.code).toBe("CONSENSUS_KEY_DEAD")
    await world.clock.runFor(100)
    await world.during(hq.stop())
    await world.during(hq.start())
    expect(hq.refusal?.code).toBe("VALIDATOR_KEY_DEAD")
    expect(hq.height).toBe(1)
  })

  it("follows when a follower shows it a block of its own that it does not know", async () => {
    const world = new LedgerWorld(2, "rolled back")
    await world.start()
    const hq = world.headquarters
    await world.during(hq.submit())
    await world.untilQuiet()
    const backup = { disk: hq.disk.snapshot(), records: [...hq.wal.records] }
    await world.during(world.node(1).submit())
    await world.untilQuiet()
    hq.crash()
    hq.disk.restore(backup.disk)
    hq.wal.records = backup.records
    await world.during(hq.start())
    await world.clock.runUntil(() => hq.refusal !== undefined, 60_000)
    expect(hq.refusal?.code).toBe("CONSENSUS_KEY_DEAD")
    expect(hq.height).toBe(2)
    expect(hq.failures).toEqual([])
  })

  it("stops when its disk fails, and nobody hears of the block", async () => {
    const world = new LedgerWorld(2, "dying disk")
    await world.start()
    const hq = world.headquarters
    hq.failNextWrite()
    await world.during(world.node(1).submit())
    await world.clock.runUntil(() => hq.failures.length > 0, 60_000)
    expect(hq.failures[0]).toMatchObject({ code: "STORE_FAILED" })
    await world.clock.runFor(60_000)
    expect(world.node(1).height).toBe(0)
  })
})

import { describe, expect, it } from "vitest"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const HOUR_MS = 3_600_000
const SIGNED_ROW = "ledger/cosigned/witness"

/** A validator and two missions on slow disks, with five entries, before the first full hour. */
async function beforeTheHour(seed: string): Promise<LedgerWorld> {
  const world = new LedgerWorld(3, seed, { validators: 1, syncMs: 200 })
  await world.start()
  for (let i = 0; i < 5; i++) {
    await world.during(world.node(1).submit())
    await world.clock.runFor(3_000)
  }
  return world
}

/** Missions whose line is under the checkpoint that they all sign, as headquarters has it. */
async function witnessesOf(world: LedgerWorld): Promise<string[]> {
  const { checkpoints } = world.headquarters.ledger.publisher
  const found = await world.during(checkpoints.missions())
  const names = (found?.signed ?? []).map(({ key }) => key.name)
  return [...new Set(names.filter((name) => name.includes("/witness/")))].map((name) =>
    name.slice(-3),
  )
}

function isNoted(node: LedgerNode): boolean {
  return node.disk.snapshot().has(SIGNED_ROW)
}

describe("a witness", () => {
  it("that crashes between noting what it signs and giving its lines gives them later", async () => {
    const world = await beforeTheHour("witness crash")
    const node = world.node(1)
    const { code } = node.post
    await world.clock.runUntil(() => hasAsked(world, node), 2 * HOUR_MS)
    expect(isNoted(node)).toBe(false)
    await world.clock.runFor(50)
    node.crash("kept")
    expect(isNoted(node)).toBe(true)
    await world.clock.runFor(10_000)
    expect(await witnessesOf(world)).not.toContain(code)
    await world.during(node.start())
    await world.clock.runFor(2 * HOUR_MS)
    expect(await witnessesOf(world)).toContain(code)
    expect(await witnessesOf(world)).toHaveLength(3)
  })

  it("says nothing more once its lines were given after a start", async () => {
    const world = await beforeTheHour("witness silent")
    const node = world.node(1)
    await world.clock.runFor(2 * HOUR_MS)
    await world.during(node.stop())
    await world.during(node.start())
    await world.clock.runFor(2 * HOUR_MS)
    const before = { ...world.network.counts }
    await world.clock.runFor(24 * HOUR_MS)
    expect(world.network.counts).toEqual(before)
  })
})

/** True once this post has been answered which checkpoint is that of the hour. */
function hasAsked(world: LedgerWorld, node: LedgerNode): boolean {
  const peer = node.post.peer.slice(0, 4)
  return world.network.trace.some((line) => line.includes("checkpoint") && line.includes(peer))
}

import { describe, expect, it } from "vitest"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const RELAY = 1
const FOLLOWER = 2
const HOUR_MS = 3_600_000

/** Who has contact with whom, whatever the directory says. */
function connect(world: LedgerWorld, node: LedgerNode, others: readonly number[]): void {
  const peers = others.map((index) => world.node(index).post.peer)
  node.transport.setMembers(peers.map((peer) => ({ peer, addresses: [], keep: true })))
}

/** Headquarters made many blocks; the relay has their entries alone, and will be all there is. */
async function scene(name: string): Promise<LedgerWorld> {
  const world = new LedgerWorld(4, name, { link: { delayMs: 100 } })
  const { headquarters: hq } = world
  await world.during(hq.start())
  for (let burst = 0; burst < 12; burst++) {
    await world.during(Promise.all(Array.from({ length: 30 }, async () => hq.submit())))
    await world.clock.runFor(200)
  }
  await world.clock.runFor(5_000)
  const relay = world.node(RELAY)
  relay.sync = "bundles"
  await world.during(relay.start())
  await world.clock.runUntil(() => relay.height === hq.height, 600_000)
  connect(world, hq, [RELAY])
  return world
}

async function start(world: LedgerWorld, sync: LedgerNode["sync"]): Promise<LedgerNode> {
  const follower = world.node(FOLLOWER)
  follower.sync = sync
  await world.during(follower.start())
  connect(world, follower, [RELAY])
  return follower
}

async function untilEven(world: LedgerWorld, node: LedgerNode, withinMs: number): Promise<void> {
  await world.clock.runUntil(() => node.height === world.headquarters.height, withinMs)
  expect(node.ledger.head()).toEqual(world.headquarters.ledger.head())
  await world.during(node.ledger.verifyAll())
  expect(node.failures).toEqual([])
}

describe("a follower whose peers have entries alone", () => {
  it("takes entries as well, although its link is good", async () => {
    const world = await scene("entries alone")
    await untilEven(world, await start(world, "auto"), 60_000)
  })

  it.each(["bundles", "auto"] as const)(
    "goes on after they were away for a while, by %s",
    async (sync) => {
      const world = await scene(`away ${sync}`)
      const { network, clock } = world
      const follower = await start(world, sync)
      const [here, there] = [follower.post.peer, world.node(RELAY).post.peer]
      const isAsked = (): boolean =>
        network.trace.some((line) => line.includes(`/bundle/1 ${here.slice(0, 8)}>`))
      await clock.runUntil(isAsked, 60_000)
      network.setLink(there, here, { answerLoss: 1 }, true)
      await clock.runFor(150_000)
      expect(follower.height).toBe(0)
      network.setLink(there, here, { answerLoss: 0 }, true)
      await untilEven(world, follower, HOUR_MS)
    },
  )

  it("takes blocks where another peer has them", async () => {
    const world = await scene("blocks elsewhere")
    const { headquarters: hq } = world
    connect(world, hq, [RELAY, FOLLOWER])
    const follower = await start(world, "auto")
    connect(world, follower, [RELAY, 0])
    await untilEven(world, follower, 600_000)
    const rows = [...follower.disk.snapshot().keys()]
    expect(rows.filter((key) => key.startsWith("ledger/h/"))).toEqual([])
    expect(await world.blocksOf(follower)).toEqual(await world.blocksOf(hq))
  })

  it("is asked for blocks now and again where it insists on them, and entries help it not", async () => {
    const world = await scene("insists")
    const follower = await start(world, "blocks")
    await world.clock.runFor(HOUR_MS)
    expect(follower.height).toBe(0)
    connect(world, world.headquarters, [RELAY, FOLLOWER])
    connect(world, follower, [RELAY, 0])
    await untilEven(world, follower, 600_000)
  })
})

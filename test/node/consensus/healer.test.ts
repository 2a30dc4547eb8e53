import { describe, expect, it } from "vitest"
import { RETRY_MAX_MS } from "../../../protocol/limits.ts"
import { encodeBlocksRequest, encodeBundleRequest, PROTOCOLS } from "../../../protocol/wire.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const BUNDLE = "ledger/e/00000000000000"

type Mode = "blocks" | "bundles"

/** A mission with blocks, or with entries alone, of which some are rotten, and one that can ask. */
async function damagedWorld(mode: Mode): Promise<{ world: LedgerWorld; node: LedgerNode }> {
  const world = new LedgerWorld(3, `healer ${mode}`, { link: { delayMs: 100 } })
  const [hq, node, other] = [world.headquarters, world.node(1), world.node(2)]
  await world.during(hq.start())
  for (let burst = 0; burst < 12; burst++) {
    await world.during(Promise.all(Array.from({ length: 30 }, async () => hq.submit())))
    await world.clock.runFor(300)
  }
  node.sync = mode
  await world.during(node.start())
  await world.clock.runUntil(() => node.height === hq.height, 600_000)
  // Another life, which has none of it in memory.
  await world.during(node.stop())
  await world.during(node.start())
  await world.during(other.start())
  await world.clock.runFor(20_000)
  node.rotten.add(BUNDLE)
  return { world, node }
}

/** Somebody asks for what is damaged: it is refused, and a repair begins. */
function ask(world: LedgerWorld, node: LedgerNode, mode: Mode): void {
  const { size } = node.ledger.head().frontier
  const { transport } = world.node(2)
  const answer =
    mode === "blocks"
      ? transport.request(
          node.post.peer,
          PROTOCOLS.blocks,
          encodeBlocksRequest({ fromHeight: 1, count: 1 }),
        )
      : transport.request(
          node.post.peer,
          PROTOCOLS.bundle,
          encodeBundleRequest({ first: 0, count: 256, treeSize: size }),
        )
  answer.catch(() => undefined)
}

describe.each<Mode>(["blocks", "bundles"])("a ledger of %s that heals", (mode) => {
  it("may be stopped meanwhile: that is no failure, and nothing is tried again", async () => {
    const { world, node } = await damagedWorld(mode)
    ask(world, node, mode)
    await world.clock.runFor(150)
    await world.during(node.stop())
    const { warnings } = node
    const said = warnings.length
    await world.clock.runFor(3 * RETRY_MAX_MS)
    expect(node.failures).toEqual([])
    expect(warnings.slice(said)).not.toContain("STORE_DAMAGED")
    expect(node.rotten.has(BUNDLE)).toBe(true)
    await world.during(node.start())
    ask(world, node, mode)
    await world.clock.runUntil(() => !node.rotten.has(BUNDLE), 60_000)
  })
})

import { describe, expect, it } from "vitest"
import { SYNC_POLL_MS } from "../../../protocol/limits.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

const STUCK = 3
const RELAY = 4
const FOLLOWER = 5

/** Connects these pairs of posts, and nobody else. */
function connect(world: LedgerWorld, pairs: readonly (readonly [number, number])[]): void {
  for (const [index, node] of world.nodes.entries()) {
    const others = pairs.filter((pair) => pair.includes(index)).map(([a, b]) => a + b - index)
    const members = others.map((other) => {
      return { peer: world.node(other).post.peer, addresses: [], keep: true }
    })
    node.transport.setMembers(members)
  }
}

describe("a follower that hears of no new blocks", () => {
  it("asks others too while the one validator in its reach is stuck", async () => {
    const world = new LedgerWorld(6, "stuck", { validators: 4 })
    await world.start()
    await world.during(world.node(0).submit())
    await world.untilQuiet()
    const others = [
      [0, 1],
      [0, 2],
      [1, 2],
      [0, RELAY],
      [RELAY, FOLLOWER],
    ] as const
    connect(world, [...others, [STUCK, FOLLOWER]])
    const { height } = world.headquarters
    for (let round = 0; round < 3; round++) {
      await world.during(world.headquarters.submit())
      await world.clock.runFor(5_000)
    }
    expect(world.headquarters.height).toBeGreaterThan(height)
    expect(world.node(STUCK).height).toBe(height)
    await world.clock.runFor(3 * SYNC_POLL_MS)
    expect(world.node(FOLLOWER).height).toBe(world.headquarters.height)
  })

  it("asks nobody while so many validators are in reach that they cannot all be stuck", async () => {
    const world = new LedgerWorld(6, "heard", { validators: 4 })
    await world.start()
    await world.during(world.node(0).submit())
    await world.untilQuiet()
    await world.clock.runFor(SYNC_POLL_MS)
    const heights = (): number =>
      world.network.trace.filter((line) => {
        return line.includes(`/height/1 ${world.node(FOLLOWER).post.peer.slice(0, 8)}>`)
      }).length
    const before = heights()
    expect(before).toBeGreaterThan(0)
    await world.clock.runFor(10 * SYNC_POLL_MS)
    expect(heights()).toBe(before)
  })
})

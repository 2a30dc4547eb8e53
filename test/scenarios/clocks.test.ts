import { describe, expect, it } from "vitest"
import { NodeWorld } from "../support/world.ts"

const YEAR_MS = 365 * 86_400_000
const MINUTE_MS = 60_000

describe("clocks of validators that are a year off", () => {
  it("one ahead and one behind: cables are delivered and registered all the same", async () => {
    const world = new NodeWorld(5, "clocks", { validators: 4 })
    await world.start()
    for (const [code, skewMs] of [
      ["LON", YEAR_MS],
      ["DEL", -YEAR_MS],
    ] as const) {
      world.crash(code)
      world.at(code).skewMs = skewMs
      await world.boot(code)
    }
    const started = (await world.node("DAC").service.ledgerStatus()).finalAtMs ?? 0
    for (let round = 0; round < 8; round++) {
      const id = await world.send("RUH", { to: ["DAC"] })
      await world.untilDelivered("RUH", id)
      await world.until(
        async () => (await world.node("RUH").service.cableStatus(id)).registered,
        5 * MINUTE_MS,
      )
    }
    const { finalAtMs = 0 } = await world.node("DAC").service.ledgerStatus()
    // A leader a year ahead dates its blocks so; nobody votes for them.
    expect(finalAtMs - started).toBeLessThan(60 * MINUTE_MS)
    world.demandAlive()
    await world.until(async () => {
      const all = await Promise.all(
        world.posts.map(async ({ post }) => world.node(post.code).service.ledgerStatus()),
      )
      return new Set(all.map(({ rootHash }) => rootHash)).size === 1
    })
  })
})

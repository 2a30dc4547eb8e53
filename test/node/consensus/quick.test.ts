import { expect, it } from "vitest"
import { LedgerWorld } from "../../support/ledgers.ts"

it("four validators finalise", async () => {
  const world = new LedgerWorld(6, "quick", { validators: 4, link: { delayMs: 75 } })
  await world.start()
  const t0 = world.clock.monotonicMs()
  console.log("start", t0, world.nodes.map((n) => n.height))
  for (let i = 0; i < 5; i++) await world.during(world.node(5).submit())
  const t = await world.untilQuiet(60_000)
  console.log("quiet", t, world.clock.monotonicMs() - t0, world.nodes.map((n) => n.height), world.nodes.map((n) => n.warnings.slice(0, 5)))
  for (const n of world.nodes) { const f = n.finals.at(-1); console.log(f?.height, n.failures) }
  expect(world.nodes.every((n) => n.height === world.node(0).height)).toBe(true)
})

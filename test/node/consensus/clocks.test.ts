import { expect, it } from "vitest"
import { LedgerWorld } from "../../support/ledgers.ts"

it.each([
  { slowMs: 0, aheadMs: 3_590_000 },
  { slowMs: 30_000, aheadMs: 3_590_000 },
  { slowMs: 300_000, aheadMs: 3_590_000 },
])(
  "a clock $slowMs ms slow votes for what stands on a final block dated $aheadMs ms ahead",
  async ({ slowMs, aheadMs }) => {
    const world = new LedgerWorld(5, "clocks", { validators: 4 })
    const [first, slow, ahead, follower] = [0, 2, 3, 4].map((at) => world.node(at))
    if (!first || !slow || !ahead || !follower) throw new Error("five posts")
    slow.skewMs = -slowMs
    ahead.skewMs = aheadMs
    await world.start()
    await world.clock.runFor(40_000)
    for (let i = 0; first.finals.at(-1)?.leader !== ahead.post.rid; i++) {
      expect(i).toBeLessThan(40)
      await world.during(follower.submit())
      await world.clock.runFor(500)
    }
    await world.clock.runFor(300)
    // Without the one whose clock is ahead it takes all others to make a block final.
    ahead.crash()
    const { height } = first
    const refused = slow.warnings.length
    await world.during(follower.submit())
    await world.clock.runUntil(() => first.height > height, 5_000)
    expect(slow.warnings.slice(refused)).toEqual([])
    for (const node of [first, slow]) expect(node.failures).toEqual([])
  },
)

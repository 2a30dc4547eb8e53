/**
 * Validators on bad lines and slow disks, crashed again and again while all submit: one chain, and
 * everything final once they are left in peace. The seeds are those that once found a fault, and a
 * few more; the real processes are in test/soak/.
 */

import { describe, expect, it } from "vitest"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"
import { randomInt, seededRandom } from "../../support/rng.ts"

const VALIDATORS = 4
const POSTS = 6
const CRASHES = 12
const PEACE_MS = 10 * 60_000
const BAD_LINE = { delayMs: 20, jitterMs: 330, requestLoss: 0.05, answerLoss: 0.05 }
const STEADY_LINE = { ...BAD_LINE, requestLoss: 0, answerLoss: 0 }

class Campaign {
  readonly world: LedgerWorld
  /** The newest serial that each post was told is on its disk. */
  readonly acknowledged = new Map<LedgerNode, number>()
  readonly #draw: (below: number) => number

  constructor(seed: number, syncMs: number) {
    const random = seededRandom(`hunt ${seed}`)
    this.#draw = (below) => randomInt(random, below)
    const options = { validators: VALIDATORS, link: BAD_LINE, syncMs }
    this.world = new LedgerWorld(POSTS, `hunt ${seed}`, options)
  }

  async run(): Promise<void> {
    const { world } = this
    await world.start()
    await world.clock.runFor(3_000)
    for (let crash = 0; crash < CRASHES; crash++) {
      await this.#traffic()
      const isValidator = this.#draw(4) > 0
      const index = isValidator ? this.#draw(VALIDATORS) : VALIDATORS + this.#draw(2)
      const post = world.node(index)
      post.crash(this.#draw(2) === 0 ? "lost" : "kept")
      if (this.#draw(3) > 0) await world.clock.runFor(this.#draw(6_000))
      await world.during(post.start())
    }
    world.network.setDefaultLink(STEADY_LINE)
    await world.untilQuiet(PEACE_MS)
  }

  async #traffic(): Promise<void> {
    const { world } = this
    for (let round = 0; round < 5; round++) {
      for (const node of world.nodes) {
        if (this.#draw(2) === 0) this.acknowledged.set(node, await world.during(node.submit()))
      }
      await world.clock.runFor(200 + this.#draw(1_600))
    }
  }
}

describe("four validators that crash again and again", () => {
  it.each([
    // Blocks that came while others were being stored were taken for invalid.
    { seed: 2, syncMs: 300 },
    // A block that was notarized late was not asked for any more.
    { seed: 14, syncMs: 300 },
    { seed: 33, syncMs: 300 },
    { seed: 1, syncMs: 1 },
    { seed: 3, syncMs: 1_000 },
  ])(
    "lose nothing and stop nowhere, seed $seed, disks of $syncMs ms",
    async ({ seed, syncMs }) => {
      const campaign = new Campaign(seed, syncMs)
      await campaign.run()
      const { world, acknowledged } = campaign
      for (const [node, seq] of acknowledged) {
        for (const other of world.nodes) {
          expect(other.ledger.lastSeq(node.post.rid)).toBeGreaterThanOrEqual(seq)
        }
      }
      for (const node of world.nodes) {
        expect(node.failures).toEqual([])
        expect(node.warnings).not.toContain("CONSENSUS_BLOCK")
        expect(node.refusal).toBeUndefined()
        expect(await world.during(node.ledger.accusations())).toEqual([])
        await world.during(node.ledger.verifyAll())
      }
    },
    60_000,
  )
})

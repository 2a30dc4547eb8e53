/** Two machines with one validator's key: which of them may vote, and when (LEDGER §9.4). */

import { beforeEach, describe, expect, it } from "vitest"
import { decodeFinalBlock } from "../../../ledger/block.ts"
import { RUN_LATE_MS, RUN_LIVE_MS } from "../../../protocol/limits.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const VALIDATORS = 4
const POSTS = 5
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

let world: LedgerWorld
let original: LedgerNode

const mission = (): LedgerNode => world.node(POSTS - 1)

async function record(): Promise<void> {
  await world.during(mission().submit())
  await world.untilQuiet(10 * MINUTE_MS)
}

function stateOf(node: LedgerNode): string | undefined {
  return node.ledger.validatorStatus()?.state
}

/** Starts a machine and waits until it votes; how long that took. */
async function votesAfter(node: LedgerNode, withinMs: number): Promise<number> {
  const startMs = world.clock.monotonicMs()
  await world.during(node.start())
  await world.clock.runUntil(() => stateOf(node) === "voting", withinMs)
  return world.clock.monotonicMs() - startMs
}

async function untilRefused(node: LedgerNode, withinMs: number): Promise<number> {
  const startMs = world.clock.monotonicMs()
  await world.clock.runUntil(() => node.refusal !== undefined, withinMs)
  return world.clock.monotonicMs() - startMs
}

/** Nobody has signed two things that exclude each other, and all have one chain. */
async function checkOneChain(): Promise<void> {
  const chains: unknown[] = []
  for (const node of world.nodes) {
    if (!node.isUp) continue
    const blocks = await world.blocksOf(node)
    chains.push(blocks.map((bytes) => decodeFinalBlock(world.ministry.suite, bytes).block.header))
    expect(node.failures).toEqual([])
  }
  for (const chain of chains) expect(chain).toEqual(chains[0])
  expect(await world.during(mission().ledger.accusations())).toEqual([])
}

beforeEach(async () => {
  world = new LedgerWorld(POSTS, "twins", { validators: VALIDATORS, link: { delayMs: 20 } })
  await world.start()
  await record()
  original = world.node(2)
  await world.clock.runFor(20 * SECOND_MS)
})

describe("a copy of a running validator's disk", () => {
  it("never votes: it signs nothing but its question, and is dead for good", async () => {
    const clone = original.clone("elsewhere")
    await world.during(clone.start())
    const tookMs = await untilRefused(clone, 3 * MINUTE_MS)
    expect(tookMs).toBeGreaterThan(RUN_LATE_MS)
    expect(clone.refusal).toMatchObject({ code: "VALIDATOR_KEY_DEAD" })
    expect(clone.refusal?.message).toContain("copy")
    expect(clone.warnings).toContain("VALIDATOR_WAITS")
    expect(clone.signatures).toBe(1)
    await record()
    await world.during(clone.stop())
    await world.during(clone.start())
    expect(clone.refusal).toMatchObject({ code: "VALIDATOR_KEY_DEAD" })
    expect(clone.signatures).toBe(1)
  })

  it("leaves the original its vote, which says that there is a copy, and its next start", async () => {
    const clone = original.clone("elsewhere")
    await world.during(clone.start())
    await untilRefused(clone, 3 * MINUTE_MS)
    // The ledger stands or falls with the original's vote.
    world.node(3).crash()
    await record()
    expect(stateOf(original)).toBe("voting")
    expect(original.ledger.validatorStatus()?.isCopied).toBe(true)
    expect(original.warnings.filter((one) => one === "VALIDATOR_COPIED")).toHaveLength(1)
    expect(world.node(1).ledger.validatorStatus()?.isCopied).toBe(false)
    await world.during(world.node(3).start())
    // Nor is its next start taken from it.
    clone.crash()
    await world.clock.runFor(10 * SECOND_MS)
    original.crash()
    expect(await votesAfter(original, 5 * SECOND_MS)).toBeLessThan(SECOND_MS)
    expect(original.ledger.validatorStatus()?.isCopied).toBe(false)
    await checkOneChain()
  })

  it("is dead at once when the original has voted since, however long ago that one stopped", async () => {
    const clone = original.clone("elsewhere")
    await record()
    await world.during(original.stop())
    await world.clock.runFor(10 * MINUTE_MS)
    await world.during(clone.start())
    expect(await untilRefused(clone, MINUTE_MS)).toBeLessThan(SECOND_MS)
    expect(clone.refusal).toMatchObject({ code: "CONSENSUS_KEY_DEAD" })
    expect(clone.signatures).toBe(1)
  })

  it("goes on in the original's place when nothing was voted since; then that one is over", async () => {
    const clone = original.clone("elsewhere")
    await world.during(original.stop())
    expect(await votesAfter(clone, 5 * SECOND_MS)).toBeLessThan(SECOND_MS)
    clone.crash()
    await world.during(original.start())
    await untilRefused(original, MINUTE_MS)
    expect(original.refusal?.message).toContain("another machine")
    await checkOneChain()
  })

  it("votes when the original has been cut off for long, which is over when it is back", async () => {
    const clone = original.clone("elsewhere")
    world.network.partition([[original.post.peer]])
    await world.clock.runFor(RUN_LIVE_MS + 10 * SECOND_MS)
    expect(await votesAfter(clone, 10 * SECOND_MS)).toBeLessThan(SECOND_MS)
    await world.during(mission().submit())
    await world.clock.runUntil(() => mission().ledger.pending().length === 0, MINUTE_MS)
    world.network.heal()
    await untilRefused(original, MINUTE_MS)
    expect(original.refusal?.code).toMatch(/^(VALIDATOR|CONSENSUS)_KEY_DEAD$/)
    expect(stateOf(clone)).toBe("voting")
    world.node(3).crash()
    await record()
    await checkOneChain()
  })
})

describe("one machine with its own disk", () => {
  it("votes at once after its process was killed", async () => {
    original.crash()
    expect(await votesAfter(original, MINUTE_MS)).toBeLessThan(SECOND_MS)
    expect(original.warnings).not.toContain("VALIDATOR_WAITS")
    await record()
    await checkOneChain()
  })

  it("votes after a power cut once nothing of the run before can be expected, and no later", async () => {
    original.crash("lost", true)
    const tookMs = await votesAfter(original, MINUTE_MS)
    expect(tookMs).toBeGreaterThan(RUN_LIVE_MS - 11 * SECOND_MS)
    expect(tookMs).toBeLessThan(RUN_LIVE_MS + 6 * SECOND_MS)
    expect(original.warnings).toContain("VALIDATOR_WAITS")
    await record()
    await checkOneChain()
  })

  it("votes at once with all others, when the whole network comes back", async () => {
    for (const node of world.nodes) node.crash("lost", true)
    const startMs = world.clock.monotonicMs()
    for (const node of world.nodes) await world.during(node.start())
    const all = world.nodes.slice(0, VALIDATORS)
    await world.clock.runUntil(() => all.every((node) => stateOf(node) === "voting"), MINUTE_MS)
    expect(world.clock.monotonicMs() - startMs).toBeLessThan(2 * SECOND_MS)
    await record()
    await checkOneChain()
  })
})

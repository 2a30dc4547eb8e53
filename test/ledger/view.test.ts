import { describe, expect, it } from "vitest"
import { blockHash, type Block } from "../../ledger/block.ts"
import { buildBlock, genesisHead } from "../../ledger/chain.ts"
import type { Message } from "../../ledger/message.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { certify, DELTA_MS, Door, FOUR } from "../support/door.ts"
import { batch, CHAIN_ID, LISBON, named, NOON_MS, voteOf } from "../support/ledger.ts"
import { suite } from "../support/suites.ts"

const SELF = leaderOf(FOUR, 4)
const LEADER = leaderOf(FOUR, 1)
const OTHERS = [0, 1, 2, 3].filter((at) => at !== SELF)

const blockOf = (view: number, serials = 1): Block =>
  buildBlock(suite, genesisHead(CHAIN_ID), view, [batch(LISBON, 1, serials)], NOON_MS)
const hashOf = (block: Block): Uint8Array => blockHash(suite, block.header)

const proposal = (block: Block): Message => {
  const { view } = block.header
  const vote = voteOf(leaderOf(FOUR, view), "notarize", view, hashOf(block))
  return { type: "proposal", block, vote }
}

const block = blockOf(1)
const hash = hashOf(block)
const NOTARIZED = {
  type: "certificate",
  certificate: certify("notarize", 1, hash, OTHERS),
} as const
const NULLIFIED = { type: "certificate", certificate: certify("nullify", 1, hash, OTHERS) } as const
const FINAL = { type: "certificate", certificate: certify("finalize", 1, hash, OTHERS) } as const

describe("R1: the leader of a view", () => {
  const leading = (): Door => {
    const door = new Door(LEADER)
    door.hasWork = true
    return door
  }

  it("builds on what is certified, once, and only while something waits", () => {
    expect(new Door(LEADER).on({ type: "submitted" })).toEqual([])
    const door = leading()
    expect(door.on({ type: "submitted" })).toEqual(["build 1"])
    expect(door.on({ type: "submitted" })).toEqual([])
    const told = door.on({ type: "blockBuilt", view: 1, block })
    expect(told).toEqual(["persist notarize", "send proposal"])
    expect(door.on({ type: "blockBuilt", view: 1, block })).toEqual([])
  })

  it("does not propose in a view that it gave up", () => {
    const door = leading()
    door.on({ type: "submitted" })
    expect(door.at(2 * DELTA_MS)).toEqual(["persist nullify", "send nullify 1", "resubmit"])
    expect(door.on({ type: "blockBuilt", view: 1, block })).toEqual([])
  })
})

describe("R2: a proposal", () => {
  it("is voted for once, when its record is on the disk", () => {
    const door = new Door(SELF)
    expect(door.hear(LEADER, proposal(block))).toEqual([
      "checkBlock",
      "persist notarize",
      "send notarize 1",
    ])
    expect(door.hear(LEADER, proposal(block))).toEqual([])
  })

  it.each(["invalid", "untimely"] as const)("that is %s is answered by nullifying", (verdict) => {
    const door = new Door(SELF)
    door.verdict = verdict
    const told = door.hear(LEADER, proposal(block))
    expect(told).toEqual(["checkBlock", "persist nullify", "send nullify 1"])
  })

  it("waits until every view below it is known to be void, and asks its leader", () => {
    const door = new Door(SELF)
    const later = proposal(blockOf(3))
    expect(door.hear(leaderOf(FOUR, 3), later)).toEqual(["checkBlock"])
    const void2 = { ...NULLIFIED, certificate: certify("nullify", 2, hash, OTHERS) }
    const told = door.hear(LEADER, void2)
    expect(told).toContain(`send fetch to ${leaderOf(FOUR, 3)}`)
    expect(told).not.toContain("send notarize 3")
    expect(door.hear(LEADER, NULLIFIED)).toContain("send notarize 3")
  })

  it("is kept for the view and two more, one each; a second one is evidence, told once", () => {
    const door = new Door(SELF)
    for (const view of [1, 2, 3, 5]) door.hear(leaderOf(FOUR, view), proposal(blockOf(view)))
    expect(door.state.blocks.size).toBe(3)
    expect(door.hear(LEADER, proposal(blockOf(1, 2)))).toEqual([`evidence ${LEADER}`])
    expect(door.hear(LEADER, proposal(blockOf(1, 3)))).toEqual([])
    expect(door.state.blocks.size).toBe(3)
  })
})

describe("R2: a block that was voted for", () => {
  const asks = { type: "fetchBlock", hash } as const

  it("is there for whoever asks, though its view is void, and after a restart too", () => {
    const door = new Door(SELF)
    door.hear(LEADER, proposal(block))
    door.hear(LEADER, NULLIFIED)
    expect(door.hear(LEADER, asks)).toEqual([`send block to ${LEADER}`])
    expect(door.records.map(({ kind }) => kind)).toEqual(["notarize", "certificate"])
    const again = new Door(SELF, door.records)
    again.at(DELTA_MS)
    expect(again.hear(LEADER, asks)).toContain(`send block to ${LEADER}`)
  })

  it("is not there when it was never voted for", () => {
    const door = new Door(SELF)
    door.verdict = "invalid"
    door.hear(LEADER, proposal(block))
    door.hear(LEADER, NULLIFIED)
    expect(door.hear(LEADER, asks)).toEqual([])
  })
})

describe("R3: a notarize certificate", () => {
  it("is answered by a finalize vote, though the block is not here, which is asked for", () => {
    const told = new Door(SELF).hear(LEADER, NOTARIZED)
    expect(told.slice(0, 3)).toEqual([
      "persist finalize",
      "send certificate notarize 1",
      "send finalize 1",
    ])
    expect(told[3]).toMatch(/^send fetchBlock to [0-3]$/)
  })

  it("is not, by who nullified; the next view is entered all the same", () => {
    const door = new Door(SELF)
    door.hear(LEADER, { type: "vote", vote: voteOf(LEADER, "nullify", 1, hash) })
    const told = door.hear(LEADER, NOTARIZED)
    expect(told).toContain("persist certificate")
    expect(told).not.toContain("send finalize 1")
    expect(door.state.view).toBe(2)
  })
})

describe("R5, R6: a nullify or finalize certificate", () => {
  it("lets us into the next view, once", () => {
    for (const message of [NULLIFIED, FINAL]) {
      const door = new Door(SELF)
      door.hear(LEADER, message, 1)
      expect(door.state.view).toBe(2)
      expect(door.hear(LEADER, message, 1)).toEqual([])
    }
  })

  it("delivers the block when it is here and judged", () => {
    const door = new Door(SELF)
    door.hear(LEADER, proposal(block))
    expect(door.hear(LEADER, FINAL)).toContain("deliver 1")
    expect(door.state.delivered.height).toBe(1)
  })
})

describe("R7: what a peer sends", () => {
  const good = voteOf(LEADER, "notarize", 1, hash)
  const bad: [what: string, change: object, code: string][] = [
    ["forged", { signature: new Uint8Array(64) }, "VOTE_SIGNATURE"],
    ["of a foreign epoch", { epoch: 1 }, "VOTE_INVALID"],
    ["in another's name", { signer: SELF }, "VOTE_INVALID"],
    ["of a view too far above", { view: 52 }, "VOTE_STALE"],
  ]

  it.each(bad)("is refused when it is %s, and changes nothing", (_, change, code) => {
    const door = new Door(SELF)

    const told = door.hear(LEADER, { type: "vote", vote: { ...good, ...change } })
    expect(told).toEqual([`reject ${code}`])

    expect(door.state.view).toBe(1)

    expect(door.state.views.get(1)?.votes.notarize.some((vote) => vote !== undefined)).toBe(false)
    expect(door.hear(LEADER, { type: "vote", vote: good })).toEqual([])
    expect(door.state.views.get(1)?.votes.notarize[LEADER]).toEqual(good)
  })

  it("is ignored when its view is long past, forged or not", () => {
    const door = new Door(SELF)
    const certificate = certify("finalize", 30, hash, OTHERS)
    door.hear(LEADER, { type: "certificate", certificate }, 30)
    const forged = { ...voteOf(LEADER, "notarize", 9, hash), signature: new Uint8Array(64) }
    expect(door.hear(LEADER, { type: "vote", vote: forged }, 30)).toEqual([])
    expect(door.state.views.has(9)).toBe(false)
    const recent = { ...forged, view: 10 }
    const told = door.hear(LEADER, { type: "vote", vote: recent }, 30)
    expect(told).toEqual(["reject VOTE_SIGNATURE"])
  })

  it("is a vote by our key that our log has not: R11, the key is dead", () => {
    const vote = voteOf(SELF, "notarize", 1, named("a twin's block"))
    const door = new Door(SELF)
    expect(door.hear(SELF, { type: "vote", vote })).toEqual(["stop CONSENSUS_KEY_DEAD"])
    expect(door.hear(LEADER, NULLIFIED)).toEqual([])
  })
})

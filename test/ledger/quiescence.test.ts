import { describe, expect, it } from "vitest"
import { blockHash } from "../../ledger/block.ts"
import { buildBlock, genesisHead } from "../../ledger/chain.ts"
import { step } from "../../ledger/consensus.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { HEARTBEAT_MS } from "../../protocol/limits.ts"
import { certify, DELTA_MS, Door, FOUR } from "../support/door.ts"
import { batch, CHAIN_ID, LISBON, named, NOON_MS, voteOf } from "../support/ledger.ts"
import { suite } from "../support/suites.ts"

const SELF = leaderOf(FOUR, 4)
const LEADER = leaderOf(FOUR, 1)
const OTHERS = [0, 1, 2, 3].filter((at) => at !== SELF)
const hash = named("a block")
const HEARTBEAT = { type: "heartbeat" } as const

describe("R4: a view is given up", () => {
  it("after 2Δ without a proposal while armed, and not a moment before", () => {
    const door = new Door(SELF)
    door.hasWork = true
    door.on({ type: "submitted" })
    expect(door.at(2 * DELTA_MS - 1)).toEqual([])
    expect(door.at(2 * DELTA_MS)).toEqual(["persist nullify", "send nullify 1", "resubmit"])
  })

  it("after 3Δ in all, though its proposal came and was voted for", () => {
    const door = new Door(SELF)
    door.hasWork = true
    door.on({ type: "submitted" })
    const block = buildBlock(suite, genesisHead(CHAIN_ID), 1, [batch(LISBON, 1)], NOON_MS)
    const vote = voteOf(LEADER, "notarize", 1, blockHash(suite, block.header))
    expect(door.hear(LEADER, { type: "proposal", block, vote })).toContain("send notarize 1")
    expect(door.at(2 * DELTA_MS)).toEqual(["send notarize 1"])
    expect(door.at(3 * DELTA_MS - 1)).toEqual([])
    expect(door.at(3 * DELTA_MS)).toEqual(["persist nullify", "send nullify 1", "resubmit"])
  })

  it.each([
    [3, 2],
    [5, 4],
    [9, 8],
    [33, 8],
  ])("in view %i, when none before it was final, after %iΔ without a proposal", (view, deltas) => {
    const door = new Door(SELF)
    door.hasWork = true
    door.on({ type: "submitted" })
    for (let at = 1; at < view; at++) {
      const certificate = certify("nullify", at, hash, OTHERS)
      door.hear(LEADER, { type: "certificate", certificate })
    }
    expect(door.at(deltas * DELTA_MS - 1)).toEqual([])
    expect(door.at(deltas * DELTA_MS)).toContain(`send nullify ${view}`)
  })

  it("after 2Δ, however many leaders were away one after another while nothing waited", () => {
    const door = new Door(SELF)
    for (let view = 1; view <= 12; view++) {
      const certificate = certify("nullify", view, hash, OTHERS)
      door.hear(LEADER, { type: "certificate", certificate })
    }
    door.hasWork = true
    door.on({ type: "submitted" })
    expect(door.at(2 * DELTA_MS - 1)).toEqual([])
    expect(door.at(2 * DELTA_MS)).toContain("send nullify 13")
  })

  it("after 2Δ again, once a view before it was final", () => {
    const door = new Door(SELF)
    const certificate = certify("finalize", 8, hash, OTHERS)
    door.hear(LEADER, { type: "certificate", certificate })
    door.hasWork = true
    door.on({ type: "submitted" })
    expect(door.at(2 * DELTA_MS)).toContain("send nullify 9")
  })

  it("again every 2Δ, with what waits, while armed", () => {
    const door = new Door(SELF)
    door.hasWork = true
    door.on({ type: "submitted" })
    door.at(2 * DELTA_MS)
    expect(door.at(4 * DELTA_MS - 1)).toEqual([])
    expect(door.at(4 * DELTA_MS)).toEqual(["send nullify 1", "resubmit"])
  })

  it("when its leader gives it up, but never after a finalize vote", () => {
    const message = { type: "vote", vote: voteOf(LEADER, "nullify", 1, hash) } as const
    expect(new Door(SELF).hear(LEADER, message)).toContain("send nullify 1")
    const door = new Door(SELF)
    door.hear(LEADER, { type: "certificate", certificate: certify("notarize", 1, hash, OTHERS) })
    expect(door.hear(LEADER, message)).not.toContain("send nullify 1")
  })
})

describe("a timer", () => {
  it("that fires before its time is set again", () => {
    const { state } = new Door(SELF)
    const atMs = state.timerMs ?? 0
    expect(atMs).toBe(HEARTBEAT_MS)
    expect(step(state, { type: "tick" }, atMs - 0.5)).toEqual([{ type: "timer", atMs }])
    const late = step(state, { type: "tick" }, atMs)
    expect(late).toContainEqual({ type: "send", message: HEARTBEAT, after: 0 })
    expect(late).toContainEqual({ type: "timer", atMs: 2 * atMs })
  })
})

describe("R8: a leader that was silent for 30 s", () => {
  it.each([
    [2, true],
    [1, false],
  ])("while %i others were heard is given up: %s", (count, isGivenUp) => {
    const door = new Door(SELF)
    door.nowMs = 30_001
    const told = OTHERS.filter((at) => at !== LEADER)
      .slice(0, count)
      .flatMap((from) => door.hear(from, HEARTBEAT))
    expect(told.includes("send nullify 1")).toBe(isGivenUp)
  })
})

describe("R9: a validator that is behind", () => {
  it("is helped at most once in Δ, and not while what went to all is on its way", () => {
    const door = new Door(SELF)
    const certificate = certify("finalize", 1, hash, OTHERS)
    expect(door.hear(LEADER, { type: "certificate", certificate }, 1)).toContain(
      "send certificate finalize 1",
    )
    const behind = OTHERS.find((at) => at !== LEADER) ?? 0
    const help = [`send certificate finalize 1 to ${behind}`]
    door.nowMs = DELTA_MS - 1
    expect(door.hear(behind, HEARTBEAT, 0)).toEqual([])
    door.nowMs = DELTA_MS
    expect(door.hear(behind, HEARTBEAT, 0)).toEqual(help)
    expect(door.hear(behind, HEARTBEAT, 0)).toEqual([])
    expect(door.hear(behind, HEARTBEAT, 1)).toEqual([])
  })
})

describe("R2: a vote for a proposal that may have been lost", () => {
  it("goes again after 2Δ in its view, from its leader with the block for who has not voted", () => {
    const door = new Door(LEADER)
    door.hasWork = true
    door.on({ type: "submitted" })
    const block = buildBlock(suite, genesisHead(CHAIN_ID), 1, [batch(LISBON, 1)], NOON_MS)
    expect(door.on({ type: "blockBuilt", view: 1, block })).toContain("send proposal")
    expect(door.at(2 * DELTA_MS - 1)).toEqual([])
    const [voter = 0, ...others] = [0, 1, 2, 3].filter((at) => at !== LEADER)
    const vote = voteOf(voter, "notarize", 1, blockHash(suite, block.header))
    door.hear(voter, { type: "vote", vote })
    const told = [`send notarize 1 to ${voter}`, ...others.map((at) => `send proposal to ${at}`)]
    expect(door.at(2 * DELTA_MS).sort()).toEqual(told.sort())
  })
})

describe("Q5: a validator that is in reach again", () => {
  const contact = { type: "contact", with: OTHERS[0] ?? 0 } as const

  it("is told our final view, and nothing else where nothing was said", () => {
    expect(new Door(SELF).on(contact)).toEqual([`send heartbeat to ${contact.with}`])
  })

  it("is sent what let us into the view and our vote there", () => {
    const door = new Door(SELF)
    door.hear(LEADER, { type: "certificate", certificate: certify("nullify", 1, hash, OTHERS) })
    door.hasWork = true
    door.on({ type: "submitted" })
    door.at(2 * DELTA_MS)
    expect(door.on(contact)).toEqual([
      `send certificate nullify 1 to ${contact.with}`,
      `send nullify 2 to ${contact.with}`,
    ])
  })

  it("is sent the unfinal tip with our vote for it", () => {
    const door = new Door(SELF)
    door.hear(LEADER, { type: "certificate", certificate: certify("notarize", 1, hash, OTHERS) })
    expect(door.on(contact)).toContain(`send finalize 1 to ${contact.with}`)
  })

  it("is heard: it is not taken for silent at once", () => {
    const door = new Door(SELF)
    door.nowMs = 30_001
    door.on({ type: "contact", with: LEADER })
    const told = OTHERS.filter((at) => at !== LEADER).flatMap((at) => door.hear(at, HEARTBEAT))
    expect(told).not.toContain("send nullify 1")
  })
})

describe("Q2, Q4: who has nothing to do", () => {
  it("sends a heartbeat every 10 s, and nothing else", () => {
    const door = new Door(SELF)
    expect(door.at(9_999)).toEqual([])
    expect(door.at(10_000)).toEqual(["send heartbeat"])
    expect(door.at(19_999)).toEqual([])
    expect(door.at(20_000)).toEqual(["send heartbeat"])
  })

  it("says again after 4Δ what is notarized and not final", () => {
    const door = new Door(SELF)
    door.hear(LEADER, { type: "certificate", certificate: certify("notarize", 1, hash, OTHERS) })
    expect(door.at(4 * DELTA_MS - 1)).not.toContain("send finalize 1")
    const told = door.at(4 * DELTA_MS)
    expect(told).toContain("send certificate notarize 1")
    expect(told).toContain("send finalize 1")
  })
})

describe("Q2: the leader of a view", () => {
  it("closes with an empty block what stays unfinal, after 4Δ", () => {
    const door = new Door(SELF)
    const block = buildBlock(suite, genesisHead(CHAIN_ID), 1, [batch(LISBON, 1)], NOON_MS)
    const proposed = blockHash(suite, block.header)
    const vote = voteOf(LEADER, "notarize", 1, proposed)
    door.hear(LEADER, { type: "proposal", block, vote })
    const notarized = certify("notarize", 1, proposed, OTHERS)
    door.hear(LEADER, { type: "certificate", certificate: notarized })
    for (const view of [2, 3]) {
      const certificate = certify("nullify", view, hash, OTHERS)
      door.hear(LEADER, { type: "certificate", certificate })
    }
    expect(door.at(4 * DELTA_MS - 1)).not.toContain("build 4 closing")
    expect(door.at(4 * DELTA_MS)).toContain("build 4 closing")
  })
})

describe("a fetch", () => {
  it("is answered with what is held, at most once in Δ/4", () => {
    const door = new Door(SELF)
    door.hear(LEADER, { type: "certificate", certificate: certify("nullify", 1, hash, OTHERS) })
    const fetch = { type: "fetch", fromView: 1, toView: 9 } as const
    const answer = [`send certificate nullify 1 to ${LEADER}`]
    expect(door.hear(LEADER, fetch)).toEqual(answer)
    expect(door.hear(LEADER, fetch)).toEqual([])
    door.nowMs = DELTA_MS / 4
    expect(door.hear(LEADER, fetch)).toEqual(answer)
  })
})

import { describe, expect, it } from "vitest"
import { createConsensus, step } from "../../ledger/consensus.ts"
import type { Message } from "../../ledger/message.ts"
import { decodeRecord } from "../../ledger/record.ts"
import type { ConsensusEffect, ConsensusEvent, Place } from "../../ledger/state.ts"
import {
  batch,
  CHAIN_ID,
  chainOf,
  finalize,
  LISBON,
  NAIROBI,
  named,
  validatorSet,
  voteOf,
} from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"
import { CONFIG, Disk, TestValidator } from "../support/validator.ts"

const START: Place = { view: 0, height: 0, hash: CHAIN_ID }

const [first] = chainOf([[batch(NAIROBI, 1, 2)]]).blocks
if (first === undefined) throw new Error("no block")
const { block } = first

describe("one validator", () => {
  it("makes submitted entries final: notarize, finalize, deliver, each vote on the disk first", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    validator.submit(batch(LISBON, 1))
    expect(disk.head.height).toBe(1)
    const kinds = disk.log.map((record) => decodeRecord(suite, record).kind)
    expect(kinds).toEqual(["notarize", "finalize"])
    validator.submit(batch(LISBON, 2))
    expect(disk.head.height).toBe(2)
    expect(disk.finals.map(({ block: { header } }) => header.view)).toEqual([1, 2])
  })

  it("emits these effects in this order, and nothing before its record is persisted", () => {
    let waits = true
    const state = createConsensus({ ...CONFIG, hasWork: () => waits }, START, undefined, 0)
    const types = (event: ConsensusEvent): string[] => step(state, event, 0).map(describeEffect)
    expect(types({ type: "submitted" })).toEqual(["buildBlock 1", "timer 1000"])
    expect(types({ type: "submitted" })).toEqual([])
    expect(types({ type: "blockBuilt", view: 1, block })).toEqual([
      "persist 1 notarize",
      "send proposal after 1",
      "timer 1500",
    ])
    waits = false
    expect(types({ type: "persisted", seq: 1 })).toEqual([
      "persist 2 finalize",
      "send certificate after 2",
      "send vote after 2",
      "timer 2000",
    ])
    expect(types({ type: "persisted", seq: 2 })).toEqual([
      "send certificate after 0",
      "deliver 1",
      "timer undefined",
    ])
    expect(types({ type: "persisted", seq: 2 })).toEqual([])
    expect(state.armedMs).toBeUndefined()
  })

  it("builds the next block while the last one's finalize vote is on its way to the disk", () => {
    const state = createConsensus({ ...CONFIG, hasWork: () => true }, START, undefined, 0)
    step(state, { type: "submitted" }, 0)
    step(state, { type: "blockBuilt", view: 1, block }, 0)
    const effects = step(state, { type: "persisted", seq: 1 }, 0)
    expect(effects.map(describeEffect)).toContain("buildBlock 2")
    expect([state.final.view, state.certified.view]).toEqual([0, 1])
  })

  it("that is idle does nothing at all", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    validator.submit(batch(LISBON, 1))
    const { certificate } = disk.finals.at(-1) ?? first
    const log = disk.log.length
    const message: Message = { type: "certificate", certificate }
    expect(validator.handle({ type: "message", from: 0, finalView: 1, message })).toEqual([])
    expect(validator.handle({ type: "tick" })).toEqual([])
    expect(new TestValidator(disk).state.view).toBe(validator.state.view)
    expect(disk.log).toHaveLength(log)
  })

  it("asks again after it found nothing to build, once something is submitted", () => {
    const state = createConsensus({ ...CONFIG, hasWork: () => true }, START, undefined, 0)
    step(state, { type: "submitted" }, 0)
    const nothing = { type: "blockBuilt", view: 1, block: undefined } as const
    expect(step(state, nothing, 0)).toEqual([])
    expect(step(state, { type: "submitted" }, 0).map(describeEffect)).toEqual(["buildBlock 1"])
  })

  it("is refused at construction when it is not in the set", () => {
    const create = (self: number): unknown =>
      refusal(() => createConsensus({ ...CONFIG, self }, START, undefined, 0))
    expect(create(0)).toBeUndefined()
    expect(create(1)).toBe("CONSENSUS_KEY")
  })

  it("forgets old views: its state does not grow with the chain", () => {
    const validator = new TestValidator(new Disk())
    for (let serial = 1; serial <= 60; serial++) validator.submit(batch(LISBON, serial))
    const { state } = validator
    expect(state.delivered.height).toBe(60)
    expect(state.views.size).toBeLessThanOrEqual(22)
    expect(state.blocks.size).toBeLessThanOrEqual(1)
    expect(state.unsynced.size).toBe(0)
  })
})

describe("what peers send to one validator", () => {
  const good = voteOf(0, "finalize", 1, named("x"))
  const send = (message: Message): string[] => {
    const validator = new TestValidator(new Disk())
    validator.handle({ type: "message", from: 0, finalView: 0, message })
    expect(validator.stopped).toBeUndefined()
    return validator.rejected
  }

  it("is rejected when forged, of a foreign epoch, in another's name, or far in the future", () => {
    const vote = (change: object): string[] => send({ type: "vote", vote: { ...good, ...change } })
    expect(vote({ signature: new Uint8Array(64) })).toEqual(["VOTE_SIGNATURE"])
    expect(vote({ epoch: 1 })).toEqual(["VOTE_INVALID"])
    expect(vote({ signer: 1 })).toEqual(["VOTE_INVALID"])
    expect(vote({ view: 52 })).toEqual(["VOTE_STALE"])
    const certificate = finalize(block)
    const none = { ...certificate, signers: [], signatures: [] }
    expect(send({ type: "certificate", certificate: none })).toEqual(["CERTIFICATE_BELOW_QUORUM"])
    const forged = { ...certificate, signatures: [new Uint8Array(64)] }
    expect(send({ type: "certificate", certificate: forged })).toEqual(["CERTIFICATE_SIGNATURE"])
    const foreign = finalize(block, validatorSet(1, 1))
    expect(send({ type: "certificate", certificate: foreign })).toEqual(["CERTIFICATE_INVALID"])
  })
})

function describeEffect(effect: ConsensusEffect): string {
  switch (effect.type) {
    case "persist":
      return `persist ${effect.seq} ${effect.record.kind}`
    case "send":
      return `send ${effect.message.type} after ${effect.after}`
    case "buildBlock":
      return `buildBlock ${effect.view}`
    case "deliver":
      return `deliver ${effect.blocks.map((final) => final.block.header.height).join(" ")}`
    case "timer":
      return `timer ${effect.atMs}`
    default:
      return effect.type
  }
}

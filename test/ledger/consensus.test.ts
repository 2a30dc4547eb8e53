import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Batch } from "../../protocol/entry.ts"
import { leavesOf } from "../../ledger/block.ts"
import { createConsensus, step } from "../../ledger/consensus.ts"
import { decodeRecord, mustKeep, type ConsensusRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type { ConsensusEffect, ConsensusState, Message, Place } from "../../ledger/view.ts"
import {
  batch,
  CHAIN_ID,
  finalize,
  LISBON,
  NAIROBI,
  named,
  validatorSet,
} from "../support/ledger.ts"
import { ALONE, voteOf } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"
import { CONFIG, Disk, PowerCut, TestValidator } from "../support/validator.ts"

const START: Place = { view: 0, height: 0, hash: CHAIN_ID }

const WORK: readonly Batch[] = [
  batch(LISBON, 1, 2),
  batch(NAIROBI, 1),
  batch(LISBON, 3),
  batch(LISBON, 4, 3),
]

/** Submits everything that is not final yet, as missions do until they see it final. */
function work(validator: TestValidator): void {
  for (const one of WORK) validator.submit(one)
}

/** One life that ends after `powerFor` effects, or with all work done. */
function live(disk: Disk, powerFor: number): boolean {
  try {
    work(new TestValidator(disk, powerFor))
    return true
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error
    return false
  }
}

function recordsOf(disk: Disk): ConsensusRecord[] {
  return disk.log.map((record) => decodeRecord(suite, record))
}

function entriesOf(disk: Disk): string[] {
  return disk.finals.flatMap(({ block }) => leavesOf(block.batches).map(bytesToHex))
}

const EXPECTED = leavesOf(WORK).map(bytesToHex).sort()

function expectDone(disk: Disk): void {
  expect(entriesOf(disk).sort()).toEqual(EXPECTED)
  expect(disk.head.height).toBe(disk.finals.length)
}

describe("one validator", () => {
  it("makes submitted entries final: notarize, finalize, deliver, each vote on the disk first", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    validator.submit(batch(LISBON, 1))
    expect(disk.head.height).toBe(1)
    expect(recordsOf(disk).map((record) => record.kind)).toEqual(["notarize", "finalize"])
    validator.submit(batch(LISBON, 2))
    expect(disk.head.height).toBe(2)
    expect(disk.finals.map(({ block }) => block.header.view)).toEqual([1, 2])
  })

  it("emits these effects in this order, and nothing before its record is persisted", () => {
    let state: ConsensusState = createConsensus(CONFIG, START)
    const types = (event: Parameters<typeof step>[1]): string[] => {
      const next = step(state, event)
      state = next.state
      return next.effects.map(describeEffect)
    }
    expect(types({ type: "submitted" })).toEqual(["buildBlock 1"])
    expect(types({ type: "submitted" })).toEqual([])
    const { block } = firstBlock()
    expect(types({ type: "blockBuilt", view: 1, block, more: false })).toEqual([
      "persist 1 notarize",
      "send proposal after 1",
    ])
    expect(types({ type: "persisted", seq: 1 })).toEqual([
      "send certificate after 0",
      "persist 2 finalize",
      "send vote after 2",
      "buildBlock 2",
    ])
    expect(types({ type: "blockBuilt", view: 2, block: undefined, more: false })).toEqual([])
    expect(types({ type: "persisted", seq: 2 })).toEqual(["send certificate after 0", "deliver 1"])
    expect(types({ type: "persisted", seq: 2 })).toEqual([])
    expect(state.armed).toBe(false)
  })

  it("builds the next block while the last one's finalize vote is on its way to the disk", () => {
    let state = createConsensus(CONFIG, START)
    const run = (event: Parameters<typeof step>[1]): readonly ConsensusEffect[] => {
      const next = step(state, event)
      state = next.state
      return next.effects
    }
    run({ type: "submitted" })
    const { block } = firstBlock()
    run({ type: "blockBuilt", view: 1, block, more: true })
    const effects = run({ type: "persisted", seq: 1 })
    expect(effects.map(describeEffect)).toContain("buildBlock 2")
    expect(state.final.height).toBe(0)
    expect(state.certified.height).toBe(1)
  })

  it("that is idle does nothing at all", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    work(validator)
    const log = disk.log.length
    const { state } = validator
    const peer = "Lisbon"
    const last = disk.finals.at(-1)
    if (last === undefined) throw new Error("nothing is final")
    const own: Message = { type: "certificate", certificate: last.certificate }
    expect(validator.handle({ type: "message", peer, message: own })).toEqual([])
    expect(new TestValidator(disk).state.view).toBe(state.view)
    expect(disk.log).toHaveLength(log)
    expect(validator.state).toEqual(state)
  })

  it("asks again when something was submitted while a block was being built", () => {
    let state = createConsensus(CONFIG, START)
    for (const event of [{ type: "submitted" }, { type: "submitted" }] as const) {
      state = step(state, event).state
    }
    const empty = { type: "blockBuilt", view: 1, block: undefined, more: false } as const
    const again = step(state, empty)
    expect(again.effects.map(describeEffect)).toEqual(["buildBlock 1"])
    expect(step(again.state, empty).effects).toEqual([])
  })

  it("of a set of two or more, or outside the set, is refused at construction", () => {
    for (const n of [2, 4, 16]) {
      const config = { ...CONFIG, validators: validatorSet(n) }
      expect(refusal(() => createConsensus(config, START))).toBe("CONSENSUS_SIZE")
    }
    expect(refusal(() => createConsensus({ ...CONFIG, self: 1 }, START))).toBe("CONSENSUS_KEY")
  })

  it("forgets old views: its state does not grow with the chain", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    for (let serial = 1; serial <= 60; serial++) validator.submit(batch(LISBON, serial))
    expect(validator.state.final.height).toBe(60)
    expect(validator.state.own.size).toBeLessThanOrEqual(21)
    expect(validator.state.tally.size).toBeLessThanOrEqual(21)
    expect(validator.state.blocks.size).toBe(0)
    expect(validator.state.unsynced.size).toBe(0)
  })
})

describe("after a crash", () => {
  const whole = new Disk()
  live(whole, Infinity)

  it(`before each of ${whole.operations} effects, the same votes follow and nothing is lost`, () => {
    expectDone(whole)
    for (let cut = 0; cut < whole.operations; cut++) {
      const disk = new Disk()
      expect(live(disk, cut)).toBe(false)
      expect(live(disk, Infinity)).toBe(true)
      expectDone(disk)
    }
  })

  it("and another one before each effect of the second life, likewise", () => {
    let cuts = 0
    for (let first = 0; first < whole.operations; first++) {
      for (let second = 0; ; second++) {
        const disk = new Disk()
        live(disk, first)
        const isDone = live(disk, second)
        if (!isDone) live(disk, Infinity)
        expectDone(disk)
        cuts += 1
        if (isDone) break
      }
    }
    expect(cuts).toBeGreaterThan(whole.operations * 10)
  })

  it("many times in a row at random places, likewise", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(8), { maxLength: 30 }), (lives) => {
        const disk = new Disk()
        for (const powerFor of lives) live(disk, powerFor)
        live(disk, Infinity)
        expectDone(disk)
      }),
      { numRuns: 60 },
    )
  })

  it("a trimmed log still restores", () => {
    const disk = new Disk()
    const validator = new TestValidator(disk)
    for (let serial = 1; serial <= 30; serial++) validator.submit(batch(LISBON, serial))
    const kept = disk.log.filter((record) => mustKeep(record, disk.head.view))
    expect(kept.length).toBeLessThan(disk.log.length)
    disk.log.splice(0, disk.log.length, ...kept)
    // The validator remembers blocks of the log by their parents, all of which are in the store.
    const again = new TestValidator(disk)
    again.submit(batch(LISBON, 31))
    expect(disk.head.height).toBe(31)
  })
})

describe("a dead key", () => {
  const disk = new Disk()
  work(new TestValidator(disk))
  const { view, height, hash } = disk.head
  const certificate = disk.finals.at(-1)?.certificate
  const records = recordsOf(disk)

  it("is noticed when the log was lost, or put back to an older state than the store", () => {
    const restore = (count: number): unknown =>
      refusal(() =>
        restoreConsensus(CONFIG, { view, height, hash }, certificate, records.slice(0, count)),
      )
    expect(restore(records.length)).toBeUndefined()
    expect(restore(0)).toBe("CONSENSUS_KEY_DEAD")
    expect(restore(records.length - 1)).toBe("CONSENSUS_KEY_DEAD")
    expect(restore(2)).toBe("CONSENSUS_KEY_DEAD")
  })

  it("is noticed when the store is older than the log allows", () => {
    const gone = records.slice(2)
    expect(refusal(() => restoreConsensus(CONFIG, START, undefined, gone))).toBe("RECORD_INVALID")
  })

  it("stops the validator when a peer brings a vote of ours that our log does not have", () => {
    for (const message of [
      { type: "vote", vote: voteOf(0, "notarize", 1, named("a twin's block")) },
      { type: "vote", vote: voteOf(0, "nullify", 3, hash) },
      { type: "certificate", certificate: finalize(firstBlock().block) },
    ] as const) {
      const validator = new TestValidator(new Disk())
      validator.handle({ type: "message", peer: "Nairobi", message })
      expect(validator.stopped).toBe("CONSENSUS_KEY_DEAD")
      expect(validator.handle({ type: "submitted" })).toEqual([])
      expect(validator.state.isStopped).toBe(true)
    }
  })

  it("is not suspected for its own votes, whoever brings them back, nor for those long past", () => {
    const validator = new TestValidator(disk)
    for (const { block, certificate } of disk.finals) {
      const votes = [voteOf(0, "notarize", block.header.view, certificate.blockHash)]
      validator.handle({
        type: "message",
        peer: "Lisbon",
        message: { type: "certificate", certificate },
      })
      for (const vote of votes) {
        validator.handle({ type: "message", peer: "Lisbon", message: { type: "vote", vote } })
      }
    }
    expect(validator.stopped).toBeUndefined()
    expect(validator.rejected).toEqual([])
  })
})

describe("what peers send", () => {
  const good = voteOf(0, "finalize", 1, named("x"))
  const send = (message: Message): string[] => {
    const validator = new TestValidator(new Disk())
    validator.handle({ type: "message", peer: "Mallory", message })
    expect(validator.stopped).toBeUndefined()
    return validator.rejected
  }

  it("is rejected when forged, of a foreign epoch, by a stranger, or far in the future", () => {
    expect(send({ type: "vote", vote: { ...good, signature: named("x") } })).toEqual([
      "VOTE_SIGNATURE",
    ])
    expect(send({ type: "vote", vote: voteOf(0, "finalize", 1, named("x"), 1) })).toEqual([
      "VOTE_INVALID",
    ])
    expect(send({ type: "vote", vote: { ...good, signer: 1 } })).toEqual(["VOTE_INVALID"])
    expect(send({ type: "vote", vote: voteOf(0, "finalize", 52, named("x")) })).toEqual([
      "VOTE_STALE",
    ])
    const { block } = firstBlock()
    const certificate = finalize(block)
    const none = { ...certificate, signers: [], signatures: [] }
    expect(send({ type: "certificate", certificate: none })).toEqual(["CERTIFICATE_BELOW_QUORUM"])
    const forged = { ...certificate, signatures: [new Uint8Array(64)] }
    expect(send({ type: "certificate", certificate: forged })).toEqual(["CERTIFICATE_SIGNATURE"])
    const foreign = finalize(block, validatorSet(1, 1))
    expect(send({ type: "certificate", certificate: foreign })).toEqual(["CERTIFICATE_INVALID"])
    const vote = { ...voteOf(0, "notarize", 1, named("x")), signature: new Uint8Array(64) }
    expect(send({ type: "proposal", block, vote })).toEqual(["VOTE_SIGNATURE"])
  })

  it("never changes the state when it is rejected", () => {
    const validator = new TestValidator(new Disk())
    const before = validator.state
    const vote = { ...good, signature: new Uint8Array(64) }
    for (let i = 0; i < 100; i++) {
      validator.handle({ type: "message", peer: "Mallory", message: { type: "vote", vote } })
    }
    expect(validator.state).toBe(before)
    expect(validator.rejected).toHaveLength(100)
  })
})

describe("a log that contradicts itself", () => {
  const disk = new Disk()
  work(new TestValidator(disk))
  const records = recordsOf(disk)
  const restore = (list: typeof records): unknown =>
    refusal(() => restoreConsensus(CONFIG, START, undefined, list))

  it("is refused: foreign epoch, foreign signer, repeats, or votes out of order", () => {
    const [notarize, finalizeRecord] = records
    if (notarize === undefined || finalizeRecord === undefined) throw new Error("no records")
    expect(restore(records)).toBeUndefined()
    expect(restore([{ ...notarize, epoch: 1 }])).toBe("RECORD_INVALID")
    expect(restore([finalizeRecord])).toBe("RECORD_INVALID")
    expect(restore([notarize, notarize])).toBe("RECORD_INVALID")
    expect(restore([notarize, finalizeRecord, finalizeRecord])).toBe("RECORD_INVALID")
    expect(restore(records.slice(2))).toBe("RECORD_INVALID")
    if (notarize.kind !== "notarize") throw new Error("the first record is no notarize record")
    const foreign = { ...notarize.vote, signer: 1 }
    expect(restore([{ ...notarize, vote: foreign }])).toBe("RECORD_INVALID")
    const forged = { ...notarize.vote, signature: new Uint8Array(64) }
    expect(restore([{ ...notarize, vote: forged }])).toBe("VOTE_SIGNATURE")
    const other = voteOf(0, "notarize", 1, named("another block"))
    expect(restore([{ ...notarize, vote: other }])).toBe("RECORD_INVALID")
    const elsewhere = voteOf(0, "finalize", 1, named("another block"))
    if (finalizeRecord.kind !== "finalize")
      throw new Error("the second record is no finalize record")
    expect(restore([notarize, { ...finalizeRecord, vote: elsewhere }])).toBe("RECORD_INVALID")
  })
})

/** A first block that this validator would build. */
function firstBlock(): Disk["finals"][number] {
  const disk = new Disk()
  new TestValidator(disk).submit(batch(NAIROBI, 1, 2))
  const [first] = disk.finals
  if (first === undefined) throw new Error("nothing became final")
  expect(first.certificate.signers).toHaveLength(ALONE.quorum)
  return first
}

function describeEffect(effect: ConsensusEffect): string {
  switch (effect.type) {
    case "persist":
      return `persist ${effect.seq} ${effect.record.kind}`
    case "send":
      return `send ${effect.message.type} after ${effect.after}`
    case "buildBlock":
      return `buildBlock ${effect.view}`
    case "deliver":
      return `deliver ${effect.block.header.height}`
    default:
      return `${effect.type} ${effect.code}`
  }
}

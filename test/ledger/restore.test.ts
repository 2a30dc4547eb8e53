import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Batch } from "../../protocol/entry.ts"
import { leavesOf } from "../../ledger/block.ts"
import { decodeRecord, mustKeep, type ConsensusRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type { Place } from "../../ledger/state.ts"
import {
  batch,
  CHAIN_ID,
  chainOf,
  finalize,
  LISBON,
  NAIROBI,
  named,
  voteOf,
} from "../support/ledger.ts"
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

const [first] = chainOf([[batch(NAIROBI, 1, 2)]]).blocks
if (first === undefined) throw new Error("no block")

describe("a dead key", () => {
  const disk = new Disk()
  work(new TestValidator(disk))
  const { view, height, hash } = disk.head
  const certificate = disk.finals.at(-1)?.certificate
  const records = recordsOf(disk)

  it("is noticed when the log was lost, or put back to an older state than the store", () => {
    const restore = (count: number): unknown =>
      refusal(() =>
        restoreConsensus(CONFIG, { view, height, hash }, certificate, records.slice(0, count), 0),
      )
    expect(restore(records.length)).toBeUndefined()
    expect(restore(0)).toBe("CONSENSUS_KEY_DEAD")
    expect(restore(records.length - 1)).toBe("CONSENSUS_KEY_DEAD")
    expect(restore(2)).toBe("CONSENSUS_KEY_DEAD")
  })

  it("is not suspected when a store that was rebuilt ends below what the log was trimmed to", () => {
    const final = disk.finals[0]
    if (final === undefined) throw new Error("no block")
    const { header } = final.block
    const rebuilt = { view: header.view, height: 1, hash: final.certificate.blockHash }
    const restore = (log: readonly ConsensusRecord[]): unknown =>
      refusal(() => restoreConsensus(CONFIG, rebuilt, final.certificate, log, 0))
    const trimmed = records.filter((record) => {
      return record.kind !== "certificate" && record.vote.view > header.view
    })
    expect(trimmed.length).toBeLessThan(records.length)
    expect(restore(trimmed)).toBeUndefined()
    // Its oldest vote is of that view, so it was not trimmed of the other one.
    expect(restore(records.slice(0, 1))).toBe("CONSENSUS_KEY_DEAD")
    expect(restore([])).toBe("CONSENSUS_KEY_DEAD")
  })

  it("stops the validator when a peer brings a vote of ours that our log does not have", () => {
    for (const message of [
      { type: "vote", vote: voteOf(0, "notarize", 1, named("a twin's block")) },
      { type: "vote", vote: voteOf(0, "nullify", 3, hash) },
      { type: "certificate", certificate: finalize(first.block) },
    ] as const) {
      const validator = new TestValidator(new Disk())
      validator.handle({ type: "message", from: 0, finalView: 0, message })
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
        from: 0,
        finalView: 0,
        message: { type: "certificate", certificate },
      })
      for (const vote of votes) {
        validator.handle({
          type: "message",
          from: 0,
          finalView: 0,
          message: { type: "vote", vote },
        })
      }
    }
    expect(validator.stopped).toBeUndefined()
    expect(validator.rejected).toEqual([])
  })
})

describe("a log that contradicts itself", () => {
  const disk = new Disk()
  work(new TestValidator(disk))
  const records = recordsOf(disk)
  const restore = (list: typeof records): unknown =>
    refusal(() => restoreConsensus(CONFIG, START, undefined, list, 0))

  it("is refused: foreign epoch, foreign signer, repeats, or a vote for another block", () => {
    const [notarize, finalizeRecord] = records
    if (notarize === undefined || finalizeRecord === undefined) throw new Error("no records")
    expect(restore(records)).toBeUndefined()
    expect(restore([{ ...notarize, epoch: 1 }])).toBe("RECORD_INVALID")
    expect(restore([notarize, notarize])).toBe("RECORD_INVALID")
    expect(restore([notarize, finalizeRecord, finalizeRecord])).toBe("RECORD_INVALID")
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

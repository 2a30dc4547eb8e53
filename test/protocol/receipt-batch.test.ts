import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decode, encode } from "../../protocol/codec.ts"
import { LABELS } from "../../protocol/labels.ts"
import {
  buildReceipts,
  decodeReceipts,
  decodeStatement,
  hashStatement,
  splitFor,
  verifyReceipts,
  type ReceiptsInput,
  type SignedReceipts,
} from "../../protocol/receipt-batch.ts"
import { NO_PRIOR_RECEIPT, signReceipt, type Receipt } from "../../protocol/receipt.ts"
import { NOON_MS } from "../support/contents.ts"
import { World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "receipt batch")
const { dhaka, lisbon, mallory } = world
const checks = world.lookups(lisbon)

function receipts(count: number): Receipt[] {
  return Array.from({ length: count }, (_, index) => ({
    net: world.net,
    cableId: world.random(32),
    issuer: dhaka.rid,
    stage: "decrypted",
    reason: "none",
    atMs: NOON_MS + index,
    priorHash: NO_PRIOR_RECEIPT,
    officer: undefined,
  }))
}

function inputOf(list: readonly Receipt[]): ReceiptsInput {
  return {
    net: world.net,
    issuer: dhaka.rid,
    incarnation: 0,
    createdMs: NOON_MS,
    receipts: list,
    signerKid: dhaka.kid,
    sign: dhaka.sign,
  }
}

function verdict(bytes: Uint8Array): string | undefined {
  return refusal(() => verifyReceipts(suite, bytes, checks))
}

const list = receipts(5)
const batch = buildReceipts(suite, inputOf(list))

describe("a batch of receipts", () => {
  it("gives every sender exactly its own receipts, under one signature", () => {
    const verified = verifyReceipts(suite, splitFor(batch, [4, 1]), checks)
    expect(verified.receipts).toEqual([list[1], list[4]])
    expect(verified).toMatchObject({ issuer: dhaka.rid, incarnation: 0, count: 5 })
    expect(verified.statementHash).toEqual(hashStatement(suite, batch.statement))
    const all = verifyReceipts(suite, splitFor(batch, [0, 1, 2, 3, 4]), checks)
    expect(all.receipts).toEqual(list)
  })

  it("works for one receipt and for 256, also when officers signed all of them", () => {
    const one = buildReceipts(suite, inputOf(receipts(1)))
    expect(verifyReceipts(suite, splitFor(one, [0]), checks).receipts).toHaveLength(1)
    const { kid, sign } = dhaka.duty
    const acted = receipts(256).map((receipt) =>
      signReceipt({ ...receipt, stage: "acted" }, kid, sign),
    )
    const full = buildReceipts(suite, inputOf(acted))
    const bytes = splitFor(
      full,
      acted.map((_, index) => index),
    )
    expect(bytes.length).toBeLessThan(1_048_576)
    expect(verifyReceipts(suite, bytes, checks).receipts).toEqual(acted)
  })

  it("is not built of none, of 257, of another mission's, or of a broken receipt", () => {
    const [first] = list
    if (first === undefined) throw new TypeError("there is a receipt")
    const wrong = [
      [],
      receipts(257),
      [{ ...first, issuer: lisbon.rid }],
      [{ ...first, net: NO_PRIOR_RECEIPT }],
      [{ ...first, stage: "nack" as const }],
    ]
    for (const some of wrong) {
      expect(refusal(() => buildReceipts(suite, inputOf(some)))).toBe("RECEIPT_INVALID")
    }
  })

  it("holds each receipt to its place, path and root", () => {
    const place = (change: Partial<SignedReceipts["receipts"][number]>): Uint8Array => {
      const [first, ...rest] = batch.receipts
      if (first === undefined) throw new TypeError("there is a receipt")
      return splitFor({ ...batch, receipts: [{ ...first, ...change }, ...rest] }, [0])
    }
    const second = batch.receipts[1]
    expect(verdict(place({}))).toBeUndefined()
    expect(verdict(place({ index: 2 }))).toBe("RECEIPT_INVALID")
    expect(verdict(place({ index: 255 }))).toBe("RECEIPT_INVALID")
    expect(verdict(place({ path: new Uint8Array(0) }))).toBe("RECEIPT_INVALID")
    expect(verdict(place({ path: new Uint8Array(96) }))).toBe("RECEIPT_INVALID")
    expect(verdict(place({ receipt: second?.receipt ?? NO_PRIOR_RECEIPT }))).toBe("RECEIPT_INVALID")
  })

  it("is refused from another network, an unknown key, another mission's key, another signer", () => {
    const bytes = splitFor(batch, [0])
    const net = { ...checks, net: NO_PRIOR_RECEIPT }
    expect(refusal(() => verifyReceipts(suite, bytes, net))).toBe("ENVELOPE_NETWORK")
    const nobody = { ...checks, senderKeyOf: () => undefined }
    expect(refusal(() => verifyReceipts(suite, bytes, nobody))).toBe("DIRECTORY_UNKNOWN")
    const posing = buildReceipts(suite, {
      ...inputOf(list),
      signerKid: mallory.kid,
      sign: mallory.sign,
    })
    expect(verdict(splitFor(posing, [0]))).toBe("RECEIPT_INVALID")
    const forged = buildReceipts(suite, { ...inputOf(list), sign: mallory.sign })
    expect(verdict(splitFor(forged, [0]))).toBe("SIGNATURE_INVALID")
    const crossed = buildReceipts(suite, {
      ...inputOf(list),
      sign: (_, message) => dhaka.sign(LABELS.cableReal, message),
    })
    expect(verdict(splitFor(crossed, [0]))).toBe("SIGNATURE_INVALID")
  })

  it("is refused with a bad officer's signature, even if the mission signed the batch", () => {
    const [first] = list
    if (first === undefined) throw new TypeError("there is a receipt")
    const bad = signReceipt({ ...first, stage: "read" }, dhaka.duty.kid, mallory.duty.sign)
    const built = buildReceipts(suite, inputOf([bad]))
    expect(verdict(splitFor(built, [0]))).toBe("SIGNATURE_INVALID")
  })

  it("is refused with every single byte changed", () => {
    const bytes = splitFor(batch, [0, 3])
    for (let at = 0; at < bytes.length; at += at > 120 && at < 3_400 ? 97 : 1) {
      const mutant = bytes.slice()
      mutant[at] = (mutant[at] ?? 0) ^ (1 << (at % 8))
      expect(verdict(mutant), `byte ${at}`).toMatch(/^[A-Z]+_[A-Z_]+$/)
    }
  })

  it("answers arbitrary and cut bytes with coded errors, and re-encodes what it accepts", () => {
    const bytes = splitFor(batch, [0, 3])
    const read = decodeReceipts(bytes)
    const placed = read.receipts.map((one) => [one.index, one.receipt, one.path])
    const again = encode([
      LABELS.receiptsBatch,
      read.statement,
      read.signerKid,
      read.signature,
      placed,
    ])
    expect(again).toEqual(bytes)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (length) => {
        expect(refusal(() => decodeReceipts(bytes.subarray(0, length)))).toMatch(/^CODEC_/)
      }),
      { seed: 23, numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(refusal(() => decodeReceipts(noise))).toMatch(/^CODEC_/)
        expect(refusal(() => decodeStatement(noise))).toMatch(/^CODEC_/)
      }),
      { seed: 24, numRuns: 300 },
    )
  })

  it("refuses indices that do not rise, and a statement about nothing", () => {
    const [first, second] = batch.receipts.map((one) => [one.index, one.receipt, one.path])
    if (first === undefined || second === undefined) throw new TypeError("two receipts")
    const wire = (placed: (typeof first)[]): Uint8Array =>
      encode([LABELS.receiptsBatch, batch.statement, batch.signerKid, batch.signature, placed])
    expect(refusal(() => decodeReceipts(wire([first, second])))).toBeUndefined()
    expect(refusal(() => decodeReceipts(wire([second, first])))).toBe("CODEC_ORDER")
    expect(refusal(() => decodeReceipts(wire([first, first])))).toBe("CODEC_ORDER")
    expect(refusal(() => decodeReceipts(wire([])))).toBe("CODEC_LENGTH")
    const zeros = new Uint8Array(32)
    const nothing = encode([LABELS.receiptsRoot, zeros, 1, 0, 0, zeros, 0])
    expect(refusal(() => decodeStatement(nothing))).toBe("CODEC_RANGE")
    expect(decode(batch.statement, "test", 128, (reader) => reader.raw("all"))).toEqual(
      batch.statement,
    )
  })
})

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeReceipt,
  encodeReceipt,
  hashReceipt,
  NO_PRIOR_RECEIPT,
  receiptStatement,
  signReceipt,
  verifyReceiptOfficer,
  type Receipt,
} from "../../protocol/receipt.ts"
import { LABELS } from "../../protocol/labels.ts"
import { RECEIPT_REASONS, RECEIPT_STAGES } from "../../protocol/words.ts"
import { NOON_MS } from "../support/contents.ts"
import { World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "receipt")
const { dhaka, nairobi } = world
const { officerKeyOf } = world.lookups(world.lisbon)

const STORED: Receipt = {
  net: world.net,
  cableId: world.random(32),
  issuer: dhaka.rid,
  stage: "stored",
  reason: "none",
  atMs: NOON_MS,
  priorHash: NO_PRIOR_RECEIPT,
  officer: undefined,
}
const READ = signReceipt(
  { ...STORED, stage: "read", priorHash: hashReceipt(suite, encodeReceipt(STORED)) },
  dhaka.duty.kid,
  dhaka.duty.sign,
)

describe("a receipt", () => {
  it("comes back from its bytes as it went in, with and without an officer", () => {
    for (const receipt of [STORED, READ]) {
      const bytes = encodeReceipt(receipt)
      expect(decodeReceipt(bytes)).toEqual(receipt)
      expect(encodeReceipt(decodeReceipt(bytes))).toEqual(bytes)
    }
    expect(encodeReceipt(STORED).length).toBeLessThan(160)
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeReceipt(STORED)
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeReceipt(decodeReceipt(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|RECEIPT_INVALID)/)
      }),
      { seed: 21, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => decodeReceipt(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 22, numRuns: 500 },
    )
  })

  it("has a reason if and only if it is a nack", () => {
    for (const stage of RECEIPT_STAGES.list) {
      for (const reason of RECEIPT_REASONS.list) {
        const bytes = encodeReceipt({ ...STORED, stage, reason })
        const isRight = (stage === "nack") === (reason !== "none")
        expect(
          refusal(() => decodeReceipt(bytes)),
          `${stage} ${reason}`,
        ).toBe(isRight ? undefined : "RECEIPT_INVALID")
      }
    }
  })

  it("has an officer only where a person acts, and never half of one", () => {
    const allowed = RECEIPT_STAGES.list.filter((stage) => {
      const reason = stage === "nack" ? "no-key" : "none"
      const bytes = encodeReceipt({ ...READ, stage, reason })
      return refusal(() => decodeReceipt(bytes)) === undefined
    })
    expect(allowed).toEqual(["read", "acted", "acknowledged"])
    const { kid, signature } = READ.officer ?? { kid: NO_PRIOR_RECEIPT, signature: STORED.net }
    const empty = new Uint8Array(0)
    for (const officer of [
      { kid, signature: empty },
      { kid: empty, signature },
      { kid: kid.subarray(1), signature },
    ]) {
      const bytes = encodeReceipt({ ...READ, officer })
      expect(refusal(() => decodeReceipt(bytes))).toBe("RECEIPT_INVALID")
    }
  })
})

describe("an officer's signature on a receipt", () => {
  it("holds for that receipt and no other", () => {
    verifyReceiptOfficer(suite, READ, officerKeyOf)
    const changes: Partial<Receipt>[] = [
      { net: NO_PRIOR_RECEIPT },
      { cableId: NO_PRIOR_RECEIPT },
      { stage: "acted" },
      { atMs: NOON_MS + 1 },
      { priorHash: NO_PRIOR_RECEIPT },
    ]
    for (const change of changes) {
      const check = (): void => {
        verifyReceiptOfficer(suite, { ...READ, ...change }, officerKeyOf)
      }
      expect(refusal(check), JSON.stringify(change)).toBe("SIGNATURE_INVALID")
    }
  })

  it("is refused from another mission, from nobody known, and under another context", () => {
    const foreign = signReceipt(STORED, nairobi.duty.kid, nairobi.duty.sign)
    expect(refusal(() => verifyReceiptOfficer(suite, foreign, officerKeyOf))).toBe(
      "RECEIPT_INVALID",
    )
    expect(refusal(() => verifyReceiptOfficer(suite, READ, () => undefined))).toBe(
      "DIRECTORY_UNKNOWN",
    )
    const crossed = signReceipt(STORED, dhaka.duty.kid, (_, message) =>
      dhaka.duty.sign(LABELS.release, message),
    )
    expect(refusal(() => verifyReceiptOfficer(suite, crossed, officerKeyOf))).toBe(
      "SIGNATURE_INVALID",
    )
  })

  it("covers the receipt with its last field empty, which is no receipt itself", () => {
    const statement = receiptStatement(READ, dhaka.duty.kid)
    expect(refusal(() => decodeReceipt(statement))).toBe("RECEIPT_INVALID")
  })
})

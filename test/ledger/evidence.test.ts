import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { assembleCertificate, type Certificate } from "../../ledger/certificate.ts"
import {
  culpritsOf,
  decodeEvidence,
  encodeEvidence,
  evidenceOf,
  isConflict,
  verifyEvidence,
} from "../../ledger/evidence.ts"
import type { VoteKind } from "../../ledger/vote.ts"
import { decoding } from "../support/canonical.ts"
import { CHAIN_ID, flipped, named, validatorSet, voteOf } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const four = validatorSet(4)
const one = named("one block")
const other = named("another block")

const notarize = voteOf(2, "notarize", 9, one)
const notarizeOther = voteOf(2, "notarize", 9, other)
const nullify = voteOf(2, "nullify", 9, one)
const finalize = voteOf(2, "finalize", 9, one)
const finalizeOther = voteOf(2, "finalize", 9, other)

function certificate(
  kind: VoteKind,
  view: number,
  hash: Uint8Array,
  signers: readonly number[],
): Certificate {
  const votes = signers.map((signer) => voteOf(signer, kind, view, hash))
  const made = assembleCertificate(votes, four)
  if (made === undefined) throw new Error("no quorum")
  return made
}

describe("two votes of one validator in one view", () => {
  it("conflict when they notarize or finalize two blocks, or nullify and finalize", () => {
    expect(isConflict(notarize, notarizeOther)).toBe(true)
    expect(isConflict(finalize, finalizeOther)).toBe(true)
    expect(isConflict(nullify, finalize)).toBe(true)
    expect(isConflict(finalize, nullify)).toBe(true)
  })

  it("do not conflict when they are legal together", () => {
    expect(isConflict(notarize, notarize)).toBe(false)
    expect(isConflict(notarize, nullify)).toBe(false)
    expect(isConflict(notarize, finalizeOther)).toBe(false)
    expect(isConflict(nullify, nullify)).toBe(false)
    expect(isConflict(notarize, voteOf(1, "notarize", 9, other))).toBe(false)
    expect(isConflict(notarize, voteOf(2, "notarize", 8, other))).toBe(false)
    expect(isConflict(notarize, voteOf(2, "notarize", 9, other, 1))).toBe(false)
  })
})

describe("evidence", () => {
  const evidence = evidenceOf(finalize, nullify)

  it("has one order, comes back as it was, and verifies", () => {
    expect(evidence).toEqual(evidenceOf(nullify, finalize))
    expect(evidence.first.kind).toBe("nullify")
    const bytes = encodeEvidence(CHAIN_ID, evidence)
    expect(decodeEvidence(bytes, CHAIN_ID)).toEqual(evidence)
    verifyEvidence(suite, CHAIN_ID, evidence, four)
  })

  it("is refused of another network, of votes that are legal, and in the other order", () => {
    const decodeIt = (bytes: Uint8Array, net = CHAIN_ID): unknown =>
      refusal(() => decodeEvidence(bytes, net))
    expect(decodeIt(encodeEvidence(CHAIN_ID, evidence), named("another"))).toBe("EVIDENCE_INVALID")
    const legal = { first: notarize, second: nullify }
    expect(decodeIt(encodeEvidence(CHAIN_ID, legal))).toBe("EVIDENCE_INVALID")
    const turned = { first: evidence.second, second: evidence.first }
    expect(decodeIt(encodeEvidence(CHAIN_ID, turned))).toBe("EVIDENCE_INVALID")
    expect(refusal(() => verifyEvidence(suite, CHAIN_ID, legal, four))).toBe("EVIDENCE_INVALID")
  })

  it("accuses nobody whose signature it does not hold", () => {
    const forged = { ...finalize, signature: flipped(finalize.signature, 5) }
    const made = evidenceOf(nullify, forged)
    expect(refusal(() => verifyEvidence(suite, CHAIN_ID, made, four))).toBe("VOTE_SIGNATURE")
    const foreign = validatorSet(4, 1)
    expect(refusal(() => verifyEvidence(suite, CHAIN_ID, evidence, foreign))).toBe("VOTE_INVALID")
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const bytes = encodeEvidence(CHAIN_ID, evidence)
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const verdict = decoding(
          flipped(bytes, bit),
          (changed) => decodeEvidence(changed, CHAIN_ID),
          (value) => encodeEvidence(CHAIN_ID, value),
        )
        expect(verdict).toMatch(/^(canonical$|CODEC_|VOTE_|EVIDENCE_)/)
      }),
      { numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (any) => {
        expect(refusal(() => decodeEvidence(any, CHAIN_ID))).toMatch(/^(CODEC_|VOTE_|EVIDENCE_)/)
      }),
    )
  })
})

describe("the culprits of a fork", () => {
  it("are all who signed two final blocks of one view", () => {
    const culprits = culpritsOf([
      certificate("finalize", 9, one, [0, 1, 2]),
      certificate("finalize", 9, other, [1, 2, 3]),
    ])
    expect(culprits.map(({ first }) => first.signer)).toEqual([1, 2])
    for (const evidence of culprits) verifyEvidence(suite, CHAIN_ID, evidence, four)
  })

  it("are all who signed that a view is void and that its block is final", () => {
    const culprits = culpritsOf([
      certificate("finalize", 9, one, [0, 1, 2]),
      certificate("nullify", 9, one, [0, 2, 3]),
      certificate("finalize", 10, other, [0, 1, 3]),
    ])
    expect(culprits.map(({ first }) => first.signer)).toEqual([0, 2])
  })

  it("are nobody while certificates agree", () => {
    expect(
      culpritsOf([
        certificate("notarize", 9, one, [0, 1, 2]),
        certificate("nullify", 9, one, [1, 2, 3]),
        certificate("finalize", 10, other, [0, 1, 2]),
      ]),
    ).toEqual([])
  })
})

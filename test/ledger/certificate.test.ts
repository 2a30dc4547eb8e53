import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  assembleCertificate,
  decodeCertificate,
  encodeCertificate,
  verifyCertificate,
  votesOf,
  type Certificate,
} from "../../ledger/certificate.ts"
import { decodeVote, encodeVote, verifyVote, VOTE_BYTES, type Vote } from "../../ledger/vote.ts"
import { CHAIN_ID, flipped, named, validatorSet, voteOf } from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const hash = named("a block")
const four = validatorSet(4)

function certificateOf(signers: readonly number[]): Certificate {
  const votes = signers.map((i) => voteOf(i, "finalize", 9, hash))
  const { kind, epoch, view, blockHash } = voteOf(0, "finalize", 9, hash)
  const signatures = votes.map((vote) => vote.signature)
  return { kind, epoch, view, blockHash, signers, signatures }
}

const check = (certificate: Certificate): unknown =>
  refusal(() => verifyCertificate(suite, CHAIN_ID, certificate, four))

describe("a vote", () => {
  it("is 111 bytes, comes back as it was and verifies", () => {
    for (const kind of ["notarize", "nullify", "finalize"] as const) {
      const vote = voteOf(2, kind, 5, hash)
      const bytes = encodeVote(vote)
      expect(bytes).toHaveLength(111)
      expect(VOTE_BYTES).toBe(111)
      expect(decodeVote(bytes)).toEqual(vote)
      verifyVote(suite, CHAIN_ID, vote, four)
    }
  })

  it("does not verify in another epoch, on another chain, or as another validator's", () => {
    const vote = voteOf(2, "notarize", 5, hash)
    const verify = (changed: Vote, chain = CHAIN_ID, set = four): unknown =>
      refusal(() => verifyVote(suite, chain, changed, set))
    expect(verify(vote, named("another chain"))).toBe("VOTE_SIGNATURE")
    expect(verify(vote, CHAIN_ID, validatorSet(4, 1))).toBe("VOTE_INVALID")
    expect(verify({ ...vote, signer: 1 })).toBe("VOTE_SIGNATURE")
    expect(verify({ ...vote, signer: 4 })).toBe("VOTE_INVALID")
    expect(verify({ ...vote, kind: "finalize" })).toBe("VOTE_SIGNATURE")
    expect(verify({ ...vote, epoch: 1 }, CHAIN_ID, validatorSet(4, 1))).toBe("VOTE_SIGNATURE")
  })

  it("is for the hash that was given, whatever its owner writes into that array later", () => {
    const array = hash.slice()
    const first = encodeVote(voteOf(2, "notarize", 5, array))
    array.set(named("another block"))
    const second = decodeVote(encodeVote(voteOf(2, "notarize", 5, array)))
    verifyVote(suite, CHAIN_ID, decodeVote(first), four)
    verifyVote(suite, CHAIN_ID, second, four)
    expect(second.blockHash).toEqual(named("another block"))
  })

  it("is refused or does not verify with any one bit flipped", () => {
    const bytes = encodeVote(voteOf(0, "notarize", 5, hash))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const code = refusal(() => {
        verifyVote(suite, CHAIN_ID, decodeVote(flipped(bytes, bit)), four)
      })
      expect(code, `bit ${bit}`).toMatch(/^(CODEC_|VOTE_)/)
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 100, maxLength: 112 }), fc.nat(4), (bytes, kind) => {
        bytes[0] = kind
        const verdict = decoding(bytes, decodeVote, encodeVote)
        expect(verdict).toMatch(/^(canonical$|CODEC_|VOTE_)/)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe("a certificate", () => {
  it("of 4 validators is 239 bytes, of 13 it is 623, and it comes back as it was", () => {
    for (const [n, length] of [
      [1, 111],
      [4, 239],
      [13, 623],
    ] as const) {
      const set = validatorSet(n)
      const votes = Array.from({ length: n }, (_, i) => voteOf(i, "notarize", 3, hash))
      const certificate = assembleCertificate(votes, set)
      if (certificate === undefined) throw new Error("no certificate")
      const bytes = encodeCertificate(certificate)
      expect(bytes).toHaveLength(length)
      expect(decodeCertificate(bytes)).toEqual(certificate)
      verifyCertificate(suite, CHAIN_ID, certificate, set)
    }
  })

  it("is the same whatever order the votes came in, and none below the quorum", () => {
    const votes = [3, 0, 2, 1].map((i) => voteOf(i, "finalize", 9, hash))
    expect(assembleCertificate(votes, four)).toEqual(certificateOf([0, 1, 2]))
    expect(assembleCertificate(votes.slice(2), four)).toBeUndefined()
    expect(assembleCertificate([], four)).toBeUndefined()
    expect(votesOf(certificateOf([0, 1, 2]))[1]).toEqual(voteOf(1, "finalize", 9, hash))
  })

  it("passes with any three of four, and is refused with two or with four signers", () => {
    expect(check(certificateOf([0, 1, 2]))).toBeUndefined()
    expect(check(certificateOf([0, 2, 3]))).toBeUndefined()
    expect(check(certificateOf([1, 3]))).toBe("CERTIFICATE_BELOW_QUORUM")
    expect(check(certificateOf([]))).toBe("CERTIFICATE_BELOW_QUORUM")
    expect(check(certificateOf([0, 1, 2, 3]))).toBe("CERTIFICATE_INVALID")
  })

  it("never counts a forged vote: the signature is checked before the signers are counted", () => {
    const good = certificateOf([0, 1, 2])
    const forged = good.signatures.map((signature, i) =>
      i === 2 ? flipped(signature, 3) : signature,
    )
    expect(check({ ...good, signatures: forged })).toBe("CERTIFICATE_SIGNATURE")
    const swapped = [1, 0, 2].map((i) => good.signatures[i] ?? hash)
    expect(check({ ...good, signatures: swapped })).toBe("CERTIFICATE_SIGNATURE")
    const repeated = {
      ...certificateOf([0, 1]),
      signers: [0, 1, 2],
      signatures: good.signatures.slice(),
    }
    expect(
      check({ ...repeated, signatures: [0, 1, 1].map((i) => good.signatures[i] ?? hash) }),
    ).toBe("CERTIFICATE_SIGNATURE")
    const two = certificateOf([0, 3])
    expect(check({ ...two, signatures: two.signatures.map((s) => flipped(s, 0)) })).toBe(
      "CERTIFICATE_SIGNATURE",
    )
  })

  it("of another epoch, chain or set is refused", () => {
    const good = certificateOf([0, 1, 2])
    const against = (set: typeof four, chain = CHAIN_ID): unknown =>
      refusal(() => verifyCertificate(suite, chain, good, set))
    expect(against(validatorSet(4, 1))).toBe("CERTIFICATE_INVALID")
    expect(against(four, named("another chain"))).toBe("CERTIFICATE_SIGNATURE")
    expect(against(validatorSet(1))).toBe("CERTIFICATE_INVALID")
  })

  it("is refused with any one bit flipped", () => {
    const bytes = encodeCertificate(certificateOf([0, 1, 3]))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const code = refusal(() => {
        verifyCertificate(suite, CHAIN_ID, decodeCertificate(flipped(bytes, bit)), four)
      })
      expect(code, `bit ${bit}`).toMatch(/^(CODEC_|VOTE_|CERTIFICATE_)/)
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeCertificate(certificateOf([0, 1, 3]))
    const mutated = fc.tuple(fc.nat(48), fc.nat(255)).map(([at, value]) => {
      const out = start.slice()
      out[at] = value
      return out
    })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        const verdict = decoding(bytes, decodeCertificate, encodeCertificate)
        expect(verdict).toMatch(/^(canonical$|CODEC_|VOTE_)/)
      }),
      { numRuns: 1_000 },
    )
  })
})

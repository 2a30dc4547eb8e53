import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encodeEntry, entryCommitment, messageEntry } from "../../protocol/entry.ts"
import { COMPOSITE_SIGNATURE_BYTES } from "../../protocol/limits.ts"
import { encodeHeader, leavesOf, type FinalBlock } from "../../ledger/block.ts"
import { encodeCertificate } from "../../ledger/certificate.ts"
import { appendLeaves, EMPTY_FRONTIER, hashLeaves, inclusionProof } from "../../ledger/merkle.ts"
import { decodeProof, encodeProof, verifyProof, type Proof } from "../../ledger/proof.ts"
import { batch, CHAIN_ID, chainOf, finalize, flipped, LISBON, NAIROBI } from "../support/ledger.ts"
import { named, NOON_MS, RULES, signed, validatorSet } from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const opening = {
  header: named("a message header"),
  signature: new Uint8Array(COMPOSITE_SIGNATURE_BYTES).fill(5),
  salt: named("salt"),
}
const cableId = suite.sha256(opening.header)
const sealed = messageEntry(LISBON, 4, NOON_MS, entryCommitment(suite, opening.salt, cableId))

const chain = chainOf([
  [batch(LISBON, 1, 3), batch(NAIROBI, 1, 30)],
  [signed([sealed]), batch(NAIROBI, 31, 5)],
  [batch(NAIROBI, 36)],
])

/** Proof that entry `index` is under the header of `final`. */
function proofOf(final: FinalBlock, index: number): Proof {
  const { header } = final.block
  const upTo = chain.blocks.filter(({ block }) => block.header.height <= header.height)
  const leaves = upTo.flatMap(({ block }) => leavesOf(block.batches))
  const nodes = new Map<string, Uint8Array>()
  appendLeaves(EMPTY_FRONTIER, hashLeaves(leaves), (level, first, hashes) => {
    for (let i = 0; i < hashes.length / 32; i++) {
      nodes.set(`${level}/${first + i}`, hashes.slice(i * 32, i * 32 + 32))
    }
  })
  const source = (level: number, at: number): Uint8Array =>
    nodes.get(`${level}/${at}`) ?? named("no")
  return {
    net: CHAIN_ID,
    header: encodeHeader(header),
    certificate: encodeCertificate(final.certificate),
    leafIndex: index,
    entry: leaves[index] ?? named("no"),
    path: inclusionProof(source, index, header.treeSize),
    opening: undefined,
  }
}

const [, second, third] = chain.blocks
if (second === undefined || third === undefined) throw new Error("no such block")
const verify = (proof: Proof, rules = RULES): unknown =>
  refusal(() => verifyProof(suite, CHAIN_ID, proof, rules.validatorsOf))

describe("a proof", () => {
  it("verifies offline for every entry, under its own block and under a later one", () => {
    for (const final of [second, third]) {
      for (let index = 0; index < final.block.header.treeSize; index++) {
        const proof = decodeProof(encodeProof(proofOf(final, index)))
        const proven = verifyProof(suite, CHAIN_ID, proof, RULES.validatorsOf)
        expect(encodeEntry(proven.entry)).toEqual(proof.entry)
        expect(proven.leafIndex).toBe(index)
        expect(proven.header).toEqual(final.block.header)
        expect(proven.cableId).toBeUndefined()
      }
    }
  })

  it("with an opening gives the message's id, and comes back as it was", () => {
    const proof = { ...proofOf(third, 33), opening }
    const bytes = encodeProof(proof)
    expect(decodeProof(bytes)).toEqual(proof)
    expect(verifyProof(suite, CHAIN_ID, proof, RULES.validatorsOf).cableId).toEqual(cableId)
  })

  it("of one validator in a tree of 40 is less than 700 bytes", () => {
    expect(encodeProof(proofOf(third, 33)).length).toBeLessThan(700)
  })

  it("is refused when header or salt do not open the entry, or another entry is opened", () => {
    const proof = { ...proofOf(third, 33), opening }
    const changed = (change: Partial<typeof opening>): Proof => {
      return { ...proof, opening: { ...opening, ...change } }
    }
    expect(verify(proof)).toBeUndefined()
    expect(verify(changed({ salt: named("another salt") }))).toBe("PROOF_OPENING")
    expect(verify(changed({ header: named("another header") }))).toBe("PROOF_OPENING")
    expect(verify({ ...proofOf(third, 3), opening })).toBe("PROOF_OPENING")
  })

  it("of another network, under another block's certificate, or of unknown validators is refused", () => {
    const proof = proofOf(third, 33)
    const elsewhere = named("another chain")
    expect(verify({ ...proof, net: elsewhere })).toBe("PROOF_INVALID")
    const trusted = refusal(() => {
      verifyProof(suite, elsewhere, { ...proof, net: elsewhere }, RULES.validatorsOf)
    })
    expect(trusted).toBe("CERTIFICATE_SIGNATURE")
    const other = encodeCertificate(second.certificate)
    expect(verify({ ...proof, certificate: other })).toBe("PROOF_INVALID")
    expect(verify({ ...proof, leafIndex: 32 })).toBe("TREE_INCLUSION")
    expect(verify({ ...proof, entry: proofOf(third, 32).entry })).toBe("TREE_INCLUSION")
    expect(verify({ ...proof, path: proof.path.slice(1) })).toBe("TREE_INCLUSION")
    expect(verify(proof, { ...RULES, validatorsOf: () => undefined })).toBe("EPOCH_UNKNOWN")
    const four = { ...RULES, validatorsOf: () => validatorSet(4) }
    expect(verify(proof, four)).toBe("CERTIFICATE_BELOW_QUORUM")
    const byFour = encodeCertificate(finalize(third.block, validatorSet(4)))
    expect(verify({ ...proof, certificate: byFour }, four)).toBeUndefined()
    expect(verify({ ...proof, certificate: byFour })).toBe("CERTIFICATE_INVALID")
  })

  it("is refused with any one bit flipped", () => {
    const bytes = encodeProof({ ...proofOf(third, 33), opening: { ...opening } })
    // The message's own signature is for its reader to check, against the sender's key.
    const signatureAt = bytes.length - 34 - COMPOSITE_SIGNATURE_BYTES
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      if (bit >> 3 >= signatureAt && bit >> 3 < bytes.length - 34) continue
      const code = refusal(() => {
        verifyProof(suite, CHAIN_ID, decodeProof(flipped(bytes, bit)), RULES.validatorsOf)
      })
      expect(code, `bit ${bit}`).toBeDefined()
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeProof(proofOf(third, 33))
    const mutated = fc
      .array(fc.tuple(fc.nat(start.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((changes) => {
        const out = start.slice()
        for (const [at, value] of changes) out[at] = value
        return out
      })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        const verdict = decoding(bytes, decodeProof, encodeProof)
        expect(verdict).toMatch(/^(canonical$|CODEC_)/)
      }),
      { numRuns: 2_000 },
    )
  })
})

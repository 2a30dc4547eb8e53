import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { blockHash } from "../../ledger/block.ts"
import { assembleCertificate } from "../../ledger/certificate.ts"
import { genesisHead } from "../../ledger/chain.ts"
import {
  decodeRecord,
  encodeRecord,
  mustKeep,
  type ConsensusRecord,
  type EncodedRecord,
} from "../../ledger/record.ts"
import { ALONE, batch, CHAIN_ID, finalBlockOn, LISBON, voteOf } from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const { block } = finalBlockOn(genesisHead(CHAIN_ID), [batch(LISBON, 1)])
const hash = blockHash(suite, block.header)
const vote = voteOf(0, "notarize", 1, hash)
const certificate = assembleCertificate([vote], ALONE)
if (certificate === undefined) throw new Error("no certificate")

const records: readonly ConsensusRecord[] = [
  { kind: "notarize", epoch: 0, vote, block },
  { kind: "nullify", epoch: 0, vote: voteOf(0, "nullify", 1, hash) },
  { kind: "finalize", epoch: 0, vote: voteOf(0, "finalize", 1, hash), certificate },
  { kind: "certificate", epoch: 0, certificate },
]
const encoded = records.map(encodeRecord)
const verdictOf = (record: EncodedRecord): unknown => refusal(() => decodeRecord(suite, record))

describe("a record of the consensus log", () => {
  it("comes back as it was", () => {
    expect(encoded.map(({ epoch, kind }) => [epoch, kind])).toEqual([
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
    ])
    expect(encoded.map((record) => decodeRecord(suite, record))).toEqual(records)
  })

  it("is refused when its kind is unknown, or its vote is of another kind or epoch", () => {
    for (const record of encoded) {
      for (const kind of [0, 5, 255]) {
        expect(verdictOf({ ...record, kind })).toBe("RECORD_INVALID")
      }
      expect(verdictOf({ ...record, epoch: 1 })).toBe("RECORD_INVALID")
    }
    for (const record of encoded.slice(0, 3)) {
      for (const kind of [1, 2, 3].filter((other) => other !== record.kind)) {
        expect(verdictOf({ ...record, kind })).toBe("RECORD_INVALID")
      }
    }
  })

  it("is refused when something is left over", () => {
    for (const record of encoded) {
      const payload = Uint8Array.of(...record.payload, 0)
      expect(verdictOf({ ...record, payload })).toMatch(/^(RECORD|CODEC|BLOCK)_/)
    }
  })

  it("cut at any byte is refused", () => {
    for (const record of encoded) {
      for (let length = 0; length < record.payload.length; length++) {
        const payload = record.payload.subarray(0, length)
        expect(verdictOf({ ...record, payload }), `${length} bytes`).toMatch(/^(CODEC|BLOCK)_/)
      }
    }
  })

  it("gives nothing but whole records or coded refusals for any bytes", () => {
    const tails = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(fc.constantFrom(...encoded), fc.nat(700), tails, (record, keep, tail) => {
        const bytes = Uint8Array.of(...record.payload.subarray(0, keep), ...tail)
        const verdict = decoding(
          bytes,
          (payload) => decodeRecord(suite, { ...record, payload }),
          (found) => encodeRecord(found).payload,
        )
        expect(verdict).toMatch(/^(canonical$|(RECORD|CODEC|VOTE|BLOCK|CERTIFICATE)_)/)
      }),
    )
  })

  it("is kept while it is of the last twenty views", () => {
    const keeps = (finalView: number): boolean[] => encoded.map((one) => mustKeep(one, finalView))
    expect(keeps(21)).toEqual([true, true, true, true])
    expect(keeps(22)).toEqual([false, false, false, false])
  })
})

import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { blockHash } from "../../ledger/block.ts"
import { assembleCertificate } from "../../ledger/certificate.ts"
import { genesisHead } from "../../ledger/chain.ts"
import {
  crc32c,
  decodeLog,
  encodeRecord,
  mustKeep,
  type ConsensusRecord,
} from "../../ledger/record.ts"
import { ALONE, batch, CHAIN_ID, finalBlockOn, flipped, LISBON, voteOf } from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const { block } = finalBlockOn(genesisHead(CHAIN_ID), [batch(LISBON, 1)])
const hash = blockHash(suite, block.header)
const vote = voteOf(0, "notarize", 1, hash)
const certificate = assembleCertificate([vote], ALONE)
if (certificate === undefined) throw new Error("no certificate")

const records: readonly ConsensusRecord[] = [
  { kind: "open", epoch: 0, logId: new Uint8Array(16).fill(7), boot: 3 },
  { kind: "notarize", epoch: 0, vote, block },
  { kind: "finalize", epoch: 0, vote: voteOf(0, "finalize", 1, hash), certificate },
]
const frames = records.map(encodeRecord)
const log = concatBytes(...frames)

describe("the consensus log", () => {
  it("uses CRC-32C with its published check value", () => {
    expect(crc32c(utf8ToBytes("123456789"))).toBe(0xe3069283)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  })

  it("comes back as it was", () => {
    expect(decodeLog(suite, log)).toEqual({ records, length: log.length })
    expect(decodeLog(suite, new Uint8Array(0))).toEqual({ records: [], length: 0 })
  })

  it("cut at any byte loses the torn record and no other", () => {
    const ends = frames.map((_, i) => concatBytes(...frames.slice(0, i + 1)).length)
    for (let cut = 0; cut <= log.length; cut++) {
      const whole = ends.filter((end) => end <= cut)
      const { records: found, length } = decodeLog(suite, log.subarray(0, cut))
      expect(found).toHaveLength(whole.length)
      expect(length).toBe(whole.at(-1) ?? 0)
    }
  })

  it("whose last record is damaged, or followed by zeros or half a record, drops that tail", () => {
    const before = concatBytes(...frames.slice(0, 2))
    for (const bit of [0, 5, 31, 40, 100, 800]) {
      const torn = concatBytes(before, flipped(frames[2] ?? log, bit))
      expect(decodeLog(suite, torn).length).toBe(before.length)
    }
    expect(decodeLog(suite, concatBytes(log, new Uint8Array(4_096))).length).toBe(log.length)
  })

  it("with any one bit flipped before the last record is refused as corrupt", () => {
    const last = frames[2]?.length ?? 0
    for (let bit = 0; bit < (log.length - last) * 8; bit += 7) {
      const code = refusal(() => decodeLog(suite, flipped(log, bit)))
      expect(code, `bit ${bit}`).toBe("RECORD_CORRUPT")
    }
  })

  it("gives nothing but whole records or coded refusals for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        const bytes = concatBytes(frames[0] ?? log, tail)
        const verdict = decoding(
          bytes,
          (input) => decodeLog(suite, input),
          // What is not in a whole record is the torn tail.
          ({ records, length }) => concatBytes(...records.map(encodeRecord), bytes.slice(length)),
        )
        expect(verdict).toMatch(/^(canonical$|(RECORD|CODEC|VOTE|BLOCK)_)/)
      }),
    )
  })

  it("keeps the records of the last twenty views and those that name it", () => {
    const keeps = (finalView: number): boolean[] => records.map((one) => mustKeep(one, finalView))
    expect(keeps(21)).toEqual([true, true, true])
    expect(keeps(22)).toEqual([true, false, false])
  })
})

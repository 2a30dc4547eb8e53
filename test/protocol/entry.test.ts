import { sha256 } from "@noble/hashes/sha2.js"
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  batchBytes,
  decodeBatch,
  decodeEntry,
  encodeBatch,
  encodeEntry,
  entriesPart,
  entryCommitment,
  joinBatch,
  signBatch,
  verifyBatch,
  type Entry,
} from "../../protocol/entry.ts"
import { ENTRY_BYTES_MAX, ENTRY_HEAD_BYTES } from "../../protocol/limits.ts"
import {
  batch,
  CHAIN_ID,
  flipped,
  governance,
  LISBON,
  message,
  NAIROBI,
} from "../support/ledger.ts"
import { named, signed, submitKeyOf } from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const lisbonKey = submitKeyOf(LISBON) ?? named("nobody")

describe("an entry", () => {
  it("of a message is 54 bytes and comes back as it was", () => {
    const entry = message(LISBON, 7)
    const bytes = encodeEntry(entry)
    expect(bytes).toHaveLength(54)
    expect(bytes.slice(0, 4)).toEqual(Uint8Array.of(1, 1, 0, 2))
    expect(decodeEntry(suite, bytes)).toEqual(entry)
  })

  it("with a payload carries it behind the head, and its hash in the head", () => {
    const payload = utf8ToBytes("a proposal")
    const bytes = encodeEntry(governance(LISBON, 8, payload))
    expect(bytes).toHaveLength(ENTRY_HEAD_BYTES + payload.length)
    expect(bytes.slice(22, 54)).toEqual(sha256(payload))
    expect(decodeEntry(suite, bytes).payload).toEqual(payload)
  })

  it("commits to salt and cable id behind the label", () => {
    const [salt, cableId] = [named("salt"), named("cable")]
    const expected = sha256(concatBytes(utf8ToBytes("tarbarta/commit/v1\0"), salt, cableId))
    expect(entryCommitment(suite, salt, cableId)).toEqual(expected)
    expect(refusal(() => entryCommitment(suite, salt.slice(1), cableId))).toBe("ENTRY_INVALID")
  })

  it("is refused with another version, type, reserved field, serial 0 or a number of 2^53", () => {
    const bytes = encodeEntry(message(LISBON, 7))
    const changed = (at: number, value: number): Uint8Array => {
      const out = bytes.slice()
      out[at] = value
      return out
    }
    expect(refusal(() => decodeEntry(suite, changed(0, 2)))).toBe("CODEC_VERSION")
    expect(refusal(() => decodeEntry(suite, changed(1, 2)))).toBe("ENTRY_INVALID")
    expect(refusal(() => decodeEntry(suite, changed(1, 9)))).toBe("ENTRY_INVALID")
    expect(refusal(() => decodeEntry(suite, changed(11, 0)))).toBe("ENTRY_INVALID")
    expect(refusal(() => decodeEntry(suite, changed(21, 1)))).toBe("ENTRY_INVALID")
    expect(refusal(() => decodeEntry(suite, changed(4, 0x20)))).toBe("CODEC_RANGE")
    expect(refusal(() => decodeEntry(suite, bytes.slice(0, 53)))).toBe("CODEC_TRUNCATED")
    expect(refusal(() => decodeEntry(suite, new Uint8Array(65_536)))).toBe("CODEC_LENGTH")
  })

  it("is refused when its payload is missing, changed, or where none belongs", () => {
    const bytes = encodeEntry(governance(LISBON, 8, utf8ToBytes("a proposal")))
    expect(refusal(() => decodeEntry(suite, bytes.slice(0, 54)))).toBe("ENTRY_INVALID")
    expect(refusal(() => decodeEntry(suite, flipped(bytes, 54 * 8)))).toBe("ENTRY_INVALID")
    const trailing = concatBytes(encodeEntry(message(LISBON, 7)), Uint8Array.of(0))
    expect(refusal(() => decodeEntry(suite, trailing))).toBe("ENTRY_INVALID")
  })

  it("is not made of a payload that does not fit", () => {
    const fits = governance(LISBON, 1, new Uint8Array(ENTRY_BYTES_MAX - ENTRY_HEAD_BYTES))
    expect(encodeEntry(fits)).toHaveLength(ENTRY_BYTES_MAX)
    const tooLarge = governance(LISBON, 1, new Uint8Array(ENTRY_BYTES_MAX - ENTRY_HEAD_BYTES + 1))
    expect(refusal(() => encodeEntry(tooLarge))).toBe("ENTRY_INVALID")
    expect(refusal(() => encodeEntry({ ...message(LISBON, 1), submitterSeq: 0 }))).toBe(
      "ENTRY_INVALID",
    )
    expect(refusal(() => encodeEntry({ ...message(LISBON, 1), timeMs: 2 ** 53 }))).toBe(
      "ENTRY_INVALID",
    )
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeEntry(message(LISBON, 7))
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 120 }),
      fc.tuple(fc.nat(53), fc.nat(255)).map(([at, value]) => {
        const out = start.slice()
        out[at] = value
        return out
      }),
    )
    fc.assert(
      fc.property(bytes, (input) => {
        const verdict = decoding(input, (bytes) => decodeEntry(suite, bytes), encodeEntry)
        expect(verdict).toMatch(/^(canonical$|CODEC_|ENTRY_INVALID)/)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe("a batch", () => {
  it("comes back as it was, and its signature verifies with its submitter's key only", () => {
    const original = signed([message(LISBON, 1), governance(LISBON, 2, utf8ToBytes("x"))])
    const bytes = encodeBatch(original)
    expect(bytes).toHaveLength(batchBytes(original))
    const decoded = decodeBatch(suite, bytes)
    expect(decoded).toEqual(original)
    verifyBatch(suite, CHAIN_ID, decoded, lisbonKey)
    const otherKey = submitKeyOf(NAIROBI) ?? lisbonKey
    expect(refusal(() => verifyBatch(suite, CHAIN_ID, decoded, otherKey))).toBe("BATCH_SIGNATURE")
    const elsewhere = named("another chain")
    expect(refusal(() => verifyBatch(suite, elsewhere, decoded, lisbonKey))).toBe("BATCH_SIGNATURE")
  })

  it("is joined from head, entries and signature that are kept apart, and says what it took", () => {
    const first = signed([message(LISBON, 1), governance(LISBON, 2, utf8ToBytes("x"))])
    const second = batch(LISBON, 3, 5)
    const entries = concatBytes(...[first, second].map((one) => entriesPart(encodeBatch(one))))
    const headOf = ({ submitter, firstSeq, entries, signature }: typeof first) => {
      return { submitter, firstSeq, count: entries.length, signature }
    }
    const { batch: joined, taken } = joinBatch(suite, headOf(first), entries)
    expect(joined).toEqual(first)
    expect(encodeBatch(joined)).toEqual(encodeBatch(first))
    const rest = joinBatch(suite, headOf(second), entries.subarray(taken))
    expect(rest).toEqual({ batch: second, taken: entries.length - taken })
    const refused = (change: object): unknown =>
      refusal(() => joinBatch(suite, { ...headOf(first), ...change }, entries))
    expect(refused({ count: 8 })).toBe("CODEC_TRUNCATED")
    expect(refused({ count: 0 })).toBe("BATCH_INVALID")
    expect(refused({ submitter: NAIROBI })).toBe("BATCH_INVALID")
    expect(refused({ firstSeq: 2 })).toBe("BATCH_INVALID")
  })

  it("is refused or does not verify with any one bit flipped", () => {
    const bytes = encodeBatch(batch(LISBON, 1, 2))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const code = refusal(() => {
        verifyBatch(suite, CHAIN_ID, decodeBatch(suite, flipped(bytes, bit)), lisbonKey)
      })
      expect(code, `bit ${bit}`).toMatch(/^(CODEC_|ENTRY_|BATCH_)/)
    }
  })

  it("holds 1 to 256 entries of one submitter with consecutive serials", () => {
    const sign = (): Uint8Array => new Uint8Array(64)
    const make = (entries: readonly Entry[]): unknown =>
      refusal(() => signBatch(suite, CHAIN_ID, entries, sign))
    const many = Array.from({ length: 257 }, (_, i) => message(LISBON, i + 1))
    expect(make(many.slice(1))).toBeUndefined()
    expect(make(many)).toBe("BATCH_INVALID")
    expect(make([])).toBe("BATCH_INVALID")
    expect(make([message(LISBON, 1), message(LISBON, 3)])).toBe("BATCH_INVALID")
    expect(make([message(LISBON, 1), message(NAIROBI, 2)])).toBe("BATCH_INVALID")
    const large = new Uint8Array(65_000)
    const heavy = Array.from({ length: 17 }, (_, i) => governance(LISBON, i + 1, large))
    expect(make(heavy)).toBe("BATCH_INVALID")
  })

  it("with a count that promises more entries than there are is refused before it is believed", () => {
    const bytes = encodeBatch(batch(LISBON, 1))
    bytes[13] = 200
    expect(refusal(() => decodeBatch(suite, bytes))).toMatch(/^(CODEC_|ENTRY_)/)
    bytes[12] = 200
    expect(refusal(() => decodeBatch(suite, bytes))).toBe("CODEC_RANGE")
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeBatch(batch(LISBON, 1, 3))
    const mutated = fc
      .array(fc.tuple(fc.nat(start.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((changes) => {
        const out = start.slice()
        for (const [at, value] of changes) out[at] = value
        return out
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (input) => {
        const verdict = decoding(input, (bytes) => decodeBatch(suite, bytes), encodeBatch)
        expect(verdict).toMatch(/^(canonical$|CODEC_|ENTRY_|BATCH_)/)
      }),
      { numRuns: 2_000 },
    )
  })
})

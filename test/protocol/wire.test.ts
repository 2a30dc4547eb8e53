import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { CERTIFICATE_BYTES_MAX } from "../../ledger/certificate.ts"
import { encode } from "../../protocol/codec.ts"
import {
  BATCH_BYTES_MAX,
  BLOCKS_PER_ANSWER_MAX,
  BUNDLE_BYTES_MAX,
  ENVELOPE_BYTES_MAX,
  BLOCK_HEADER_BYTES,
  FINAL_HEADER_BYTES_MAX,
  HOLDERS_ANSWER_BYTES,
  HOLDERS_PER_REQUEST_MAX,
  REASSEMBLY_BYTES_MAX,
  RECEIPTS_BYTES_MAX,
  STORED_BLOCK_BYTES_MAX,
  SUBMIT_BATCHES_MAX,
  UNFINAL_BLOCKS_MAX,
  SUBMIT_BYTES,
} from "../../protocol/limits.ts"
import {
  decodeBlob,
  decodeBundleAnswer,
  decodeBundleRequest,
  decodeHoldersAnswer,
  decodeHoldersRequest,
  decodeBlocksAnswer,
  decodeBlocksRequest,
  decodeCopyRequest,
  decodeCopyStatus,
  decodeNumber,
  decodeSubmitRequest,
  encodeBlob,
  encodeBundleAnswer,
  encodeBundleRequest,
  encodeHoldersAnswer,
  encodeHoldersRequest,
  encodeBlocksAnswer,
  encodeBlocksRequest,
  encodeCopyRequest,
  encodeCopyStatus,
  encodeNumber,
  encodeSubmitRequest,
  PROTOCOLS,
} from "../../protocol/wire.ts"
import { refusal } from "../support/refusal.ts"
import { outcome } from "../support/vectors.ts"

const blob = (bytes: Uint8Array): Uint8Array => decodeBlob(bytes, "sample request", 100)
const number = (bytes: Uint8Array): number => decodeNumber(bytes, "sample answer")

describe("the table of protocols", () => {
  it("has an id with a version, and a lane, for each", () => {
    const ids = Object.values(PROTOCOLS).map(({ id }) => id)
    expect(new Set<string>(ids).size).toBe(ids.length)
    for (const [name, protocol] of Object.entries(PROTOCOLS)) {
      expect(protocol.id).toBe(`/tarbarta/${name}/1`)
      expect(protocol.requestBytesMax).toBeLessThanOrEqual(REASSEMBLY_BYTES_MAX)
      expect(protocol.answerBytesMax).toBeLessThanOrEqual(REASSEMBLY_BYTES_MAX)
    }
  })

  it("has room for the largest thing that each carries, frame included", () => {
    const framed = (length: number): number => encodeBlob(new Uint8Array(length)).length
    expect(PROTOCOLS.deliver.requestBytesMax).toBeGreaterThanOrEqual(framed(ENVELOPE_BYTES_MAX))
    expect(PROTOCOLS.relay.requestBytesMax).toBeGreaterThanOrEqual(framed(ENVELOPE_BYTES_MAX))
    const submission = (count: number, bytes: number): number =>
      encodeSubmitRequest(Array.from({ length: count }, () => new Uint8Array(bytes))).length
    expect(PROTOCOLS.submit.requestBytesMax).toBeGreaterThanOrEqual(submission(1, BATCH_BYTES_MAX))
    const small = Math.floor(SUBMIT_BYTES / SUBMIT_BATCHES_MAX)
    expect(PROTOCOLS.submit.requestBytesMax).toBeGreaterThan(submission(SUBMIT_BATCHES_MAX, small))
    expect(PROTOCOLS.receipt.requestBytesMax).toBeGreaterThanOrEqual(framed(RECEIPTS_BYTES_MAX))
    const largest = encodeBlocksAnswer([new Uint8Array(STORED_BLOCK_BYTES_MAX)])
    expect(PROTOCOLS.blocks.answerBytesMax).toBeGreaterThanOrEqual(largest.length)
    expect(decodeBlocksAnswer(largest)[0]).toHaveLength(STORED_BLOCK_BYTES_MAX)
    const request = encodeBlocksRequest({ fromHeight: Number.MAX_SAFE_INTEGER, count: 256 })
    expect(PROTOCOLS.blocks.requestBytesMax).toBeGreaterThanOrEqual(request.length)
    const height = encodeNumber(Number.MAX_SAFE_INTEGER)
    expect(PROTOCOLS.height.requestBytesMax).toBeGreaterThanOrEqual(height.length)
  })
})

describe("requests and answers", () => {
  it("give back what was encoded", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.maxSafeNat(), (bytes, n) => {
        expect(blob(encodeBlob(bytes))).toEqual(bytes)
        expect(decodeCopyRequest(encodeCopyRequest(bytes))).toEqual(bytes)
        expect(number(encodeNumber(n))).toBe(n)
        const request = { fromHeight: n, count: bytes.length }
        expect(decodeBlocksRequest(encodeBlocksRequest(request))).toEqual(request)
        expect(decodeBlocksAnswer(encodeBlocksAnswer([bytes, bytes]))).toEqual([bytes, bytes])
        expect(decodeHoldersRequest(encodeHoldersRequest([n, 0]))).toEqual([n, 0])
        expect(decodeHoldersAnswer(encodeHoldersAnswer([bytes]))).toEqual([bytes])
        expect(decodeSubmitRequest(encodeSubmitRequest([bytes, bytes]))).toEqual([bytes, bytes])
        const answer = { entries: bytes, path: [new Uint8Array(32).fill(n % 256)] }
        expect(decodeBundleAnswer(encodeBundleAnswer(answer))).toEqual(answer)
      }),
      { numRuns: 300 },
    )
    for (const status of ["stored", "duplicate", "later"] as const) {
      expect(decodeCopyStatus(encodeCopyStatus(status))).toBe(status)
    }
    expect(decodeBlocksAnswer(encodeBlocksAnswer([]))).toEqual([])
  })

  it("accept no bytes that would be encoded otherwise, and refuse with a code", () => {
    const decoders: readonly ((bytes: Uint8Array) => Uint8Array)[] = [
      (bytes) => encodeBlob(blob(bytes)),
      (bytes) => encodeCopyRequest(decodeCopyRequest(bytes)),
      (bytes) => encodeCopyStatus(decodeCopyStatus(bytes)),
      (bytes) => encodeNumber(number(bytes)),
      (bytes) => encodeSubmitRequest(decodeSubmitRequest(bytes)),
      (bytes) => encodeBlocksRequest(decodeBlocksRequest(bytes)),
      (bytes) => encodeBlocksAnswer(decodeBlocksAnswer(bytes)),
      (bytes) => encodeHoldersRequest(decodeHoldersRequest(bytes)),
      (bytes) => encodeHoldersAnswer(decodeHoldersAnswer(bytes)),
      (bytes) => encodeBundleRequest(decodeBundleRequest(bytes)),
      (bytes) => encodeBundleAnswer(decodeBundleAnswer(bytes)),
    ]
    const tail = fc.oneof(
      fc.uint8Array({ maxLength: 12 }),
      fc.uint8Array({ minLength: 1, maxLength: 6 }).map((bytes) => encode(bytes)),
      fc.nat(300).map((value) => encode(value)),
      fc.array(fc.nat(300), { maxLength: 2 }).map((value) => encode(value)),
    )
    const nearly = fc
      .tuple(fc.constantFrom([0x82, 1], [0x83, 1]), tail, tail, fc.boolean())
      .map(([head, one, two, both]) => Uint8Array.of(...head, ...one, ...(both ? two : [])))
    let accepted = 0
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), nearly), (bytes) => {
        for (const reencode of decoders) {
          const result = outcome(() => reencode(bytes))
          const isAccepted = result === bytesToHex(bytes)
          if (isAccepted) accepted += 1
          expect(isAccepted || /^(CODEC_|WIRE_INVALID)/.test(result), result).toBe(true)
        }
      }),
      { numRuns: 2_000 },
    )
    expect(accepted).toBeGreaterThan(50)
  })

  const good: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => unknown])[] = [
    ["a copy", encodeCopyRequest(Uint8Array.of(1, 2)), decodeCopyRequest],
    ["what became of a copy", encodeCopyStatus("stored"), decodeCopyStatus],
    ["bytes", encodeBlob(Uint8Array.of(1)), blob],
    ["a number", encodeNumber(1_000), number],
    ["a submission", encodeSubmitRequest([Uint8Array.of(5)]), decodeSubmitRequest],
    ["a request for blocks", encodeBlocksRequest({ fromHeight: 7, count: 9 }), decodeBlocksRequest],
    ["blocks", encodeBlocksAnswer([Uint8Array.of(5)]), decodeBlocksAnswer],
    ["places of entries", encodeHoldersRequest([7, 9]), decodeHoldersRequest],
    ["holders", encodeHoldersAnswer([Uint8Array.of(5)]), decodeHoldersAnswer],
    [
      "a request for entries",
      encodeBundleRequest({ first: 250, count: 6, treeSize: 256 }),
      decodeBundleRequest,
    ],
    [
      "entries",
      encodeBundleAnswer({ entries: Uint8Array.of(1), path: [new Uint8Array(32)] }),
      decodeBundleAnswer,
    ],
  ]
  it.each(good)("refuse %s of another version, cut, or followed by more", (_, bytes, decode) => {
    expect(refusal(() => decode(bytes))).toBeUndefined()
    expect(refusal(() => decode(bytes.with(1, 2)))).toBe("CODEC_VERSION")
    expect(refusal(() => decode(bytes.with(1, 0)))).toBe("CODEC_VERSION")
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(() => decode(bytes.subarray(0, length)))).toBe("CODEC_TRUNCATED")
    }
    expect(refusal(() => decode(Uint8Array.of(...bytes, 0)))).toBe("CODEC_TRAILING")
  })

  it("refuse an unknown status", () => {
    for (const status of [0, 4, 2 ** 40]) {
      expect(
        refusal(() => decodeCopyStatus(encode([1, status]))),
        `${status}`,
      ).toBe("WIRE_INVALID")
    }
  })

  it("ask for entries of one bundle and of the tree, and of no more at once than the limit", () => {
    const ask = (first: number, count: number, treeSize: number): string | undefined =>
      refusal(() => decodeBundleRequest(encodeBundleRequest({ first, count, treeSize })))
    expect(ask(0, 256, 256)).toBeUndefined()
    expect(ask(300, 212, 1_000)).toBeUndefined()
    expect(ask(300, 213, 1_000)).toBe("CODEC_RANGE")
    expect(ask(0, 257, 1_000)).toBe("CODEC_RANGE")
    expect(ask(0, 256, 255)).toBe("WIRE_INVALID")
    expect(ask(5, 0, 255)).toBe("WIRE_INVALID")
    const places = (count: number): string | undefined => {
      const indexes = Array.from({ length: count }, () => Number.MAX_SAFE_INTEGER)
      const bytes = encodeHoldersRequest(indexes)
      expect(bytes.length).toBeLessThanOrEqual(PROTOCOLS.holders.requestBytesMax + 16)
      return refusal(() => decodeHoldersRequest(bytes))
    }
    expect(places(HOLDERS_PER_REQUEST_MAX)).toBeUndefined()
    expect(places(HOLDERS_PER_REQUEST_MAX + 1)).toBe("CODEC_LENGTH")
    const entries = new Uint8Array(BUNDLE_BYTES_MAX)
    const path = Array.from({ length: 53 }, () => new Uint8Array(32))
    const largest = encodeBundleAnswer({ entries, path })
    expect(largest.length).toBeLessThanOrEqual(PROTOCOLS.bundle.answerBytesMax)
    expect(refusal(() => decodeBundleAnswer(largest))).toBeUndefined()
  })

  it("carry the headers through which a block is final, as many as there may be", () => {
    const finality = 2 + CERTIFICATE_BYTES_MAX + UNFINAL_BLOCKS_MAX * BLOCK_HEADER_BYTES
    const holder = new Uint8Array(finality + 2 * BLOCK_HEADER_BYTES)
    expect(refusal(() => decodeHoldersAnswer(encodeHoldersAnswer([holder])))).toBeUndefined()
    const longer = new Uint8Array(FINAL_HEADER_BYTES_MAX + 1)
    expect(refusal(() => decodeHoldersAnswer(encodeHoldersAnswer([longer])))).toBe("CODEC_LENGTH")
    // All but the last of an answer are smaller than where it stops.
    const before = Array.from({ length: HOLDERS_PER_REQUEST_MAX - 1 }, () => {
      return new Uint8Array(HOLDERS_ANSWER_BYTES / HOLDERS_PER_REQUEST_MAX)
    })
    const answer = encodeHoldersAnswer([...before, holder])
    expect(answer.length).toBeLessThanOrEqual(PROTOCOLS.holders.answerBytesMax)
    expect(refusal(() => decodeHoldersAnswer(answer))).toBeUndefined()
  })

  it("hold what they carry to its bounds, both ends", () => {
    expect(refusal(() => blob(encodeBlob(new Uint8Array(100))))).toBeUndefined()
    expect(refusal(() => blob(encodeBlob(new Uint8Array(101))))).toBe("CODEC_LENGTH")
    expect(refusal(() => blob(encodeBlob(new Uint8Array(200))))).toBe("CODEC_LENGTH")
    expect(refusal(() => blob(encodeBlob(new Uint8Array(0))))).toBe("CODEC_LENGTH")
    const submit = (count: number): string | undefined => {
      const batches = Array.from({ length: count }, () => Uint8Array.of(1))
      return refusal(() => decodeSubmitRequest(encodeSubmitRequest(batches)))
    }
    expect(submit(0)).toBe("WIRE_INVALID")
    expect(submit(SUBMIT_BATCHES_MAX)).toBeUndefined()
    expect(submit(SUBMIT_BATCHES_MAX + 1)).toBe("CODEC_LENGTH")
    const ask = (count: number): string | undefined =>
      refusal(() => decodeBlocksRequest(encodeBlocksRequest({ fromHeight: 1, count })))
    expect(ask(BLOCKS_PER_ANSWER_MAX)).toBeUndefined()
    expect(ask(BLOCKS_PER_ANSWER_MAX + 1)).toBe("CODEC_RANGE")
    const answer = (count: number): string | undefined => {
      const blocks = Array.from({ length: count }, () => Uint8Array.of(1))
      return refusal(() => decodeBlocksAnswer(encodeBlocksAnswer(blocks)))
    }
    expect(answer(BLOCKS_PER_ANSWER_MAX)).toBeUndefined()
    expect(answer(BLOCKS_PER_ANSWER_MAX + 1)).toBe("CODEC_LENGTH")
    const empty = encodeBlocksAnswer([new Uint8Array(0)])
    expect(refusal(() => decodeBlocksAnswer(empty))).toBe("CODEC_LENGTH")
  })
})

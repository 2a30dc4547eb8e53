/** Chunked encryption: published vectors, frozen ones, every kind of damage. */

import { createHash } from "node:crypto"
import { inflateSync } from "node:zlib"
import * as fc from "fast-check"
import { bytesToHex } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import {
  chunkedCommitment,
  chunkedLength,
  deriveChunkKeys,
  openChunked,
  sealChunked,
} from "../../protocol/chunked.ts"
import { BODY_CHUNK_BYTES, BODY_HEADER_BYTES } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { seededRandom } from "../support/rng.ts"
import {
  BROKEN_PROMISE,
  countCases,
  hex,
  outcome,
  readFrozen,
  publishedVectors,
  type Wycheproof,
  type WycheproofCase,
} from "../support/vectors.ts"

interface ChunkedCase extends WycheproofCase {
  readonly key: string
  readonly ctx: string
  /** The body, deflated. */
  readonly ct: string
  readonly aeadKey?: string
  readonly baseNonce?: string
  readonly msgLength?: number
  readonly msgSha512?: string
}

interface FrozenCase {
  readonly key: string
  readonly context: string
  readonly length: number
  readonly plaintextSeed: string
  readonly randomSeed: string
  readonly header: string
  readonly bodyLength: number
  readonly bodySha256: string
}

const SEALED_CHUNK_BYTES = BODY_CHUNK_BYTES + 16
const frozen = readFrozen("chunked.json") as readonly FrozenCase[]

describe.each([portableSuite, nativeSuite])("chunked bodies on the $name suite", (suite) => {
  const wycheproof = publishedVectors<Wycheproof<{ tests: readonly ChunkedCase[] }>>({
    file: "wycheproof/c2sp_chunked_encryption_aes_256_gcm_test.json",
    count: countCases,
  })
  it(
    wycheproof.name("open when they are valid, and are refused with the fitting code otherwise"),
    (task) => {
      const data = wycheproof.read(task)
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const name = `tcId ${test.tcId}: ${test.comment}`
        const [key, context] = [hex(test.key), hex(test.ctx)]
        const body = new Uint8Array(inflateSync(hex(test.ct)))
        const open = (): Uint8Array => openChunked(suite, key, context, body)
        const digest = (): Uint8Array => {
          const plaintext = open()
          const again = sealChunked(suite, key, context, plaintext, () => body.subarray(0, 24))
          expect(bytesToHex(suite.sha256(again)), name).toBe(bytesToHex(suite.sha256(body)))
          return suite.sha512(plaintext)
        }
        const derive = (): Uint8Array => {
          const keys = deriveChunkKeys(suite, key, body.subarray(0, 24), context)
          return concatBytes(keys.key, keys.baseNonce)
        }
        const derived = outcome(derive)
        const wanted = test.aeadKey === undefined ? derived : `${test.aeadKey}${test.baseNonce}`
        expect(derived, name).toBe(wanted)
        expect(outcome(digest), name).toBe(wantedOutcome(test, body.length))
      }
    },
  )

  it(`match ${frozen.length} frozen ones`, () => {
    for (const one of frozen) {
      const [key, context] = [hex(one.key), hex(one.context)]
      const plaintext = seededRandom(one.plaintextSeed)(one.length)
      const body = sealChunked(suite, key, context, plaintext, seededRandom(one.randomSeed))
      expect(body.length).toBe(one.bodyLength)
      expect(chunkedLength(one.length)).toBe(one.bodyLength)
      expect(bytesToHex(body.subarray(0, BODY_HEADER_BYTES))).toBe(one.header)
      expect(createHash("sha256").update(body).digest("hex")).toBe(one.bodySha256)
      expect(bytesToHex(chunkedCommitment(body))).toBe(one.header.slice(48))
      expect(bytesToHex(openChunked(suite, key, context, body))).toBe(bytesToHex(plaintext))
    }
  })
})

/** The digest of the message, or the refusal that fits the fault. */
function wantedOutcome(test: ChunkedCase, bodyLength: number): string {
  if (test.result === "valid") return test.msgSha512 ?? "no digest in the file"
  if (test.flags.includes("InvalidKeySize")) return BROKEN_PROMISE
  const isComplete = bodyLength >= BODY_HEADER_BYTES
  const isHeaderAtFault = isComplete && test.flags.includes("HeaderFailure")
  return isHeaderAtFault ? "CHUNKED_COMMITMENT" : "CHUNKED_OPEN"
}

describe("chunked bodies", () => {
  const suite = nativeSuite
  const random = seededRandom("chunked bodies")
  const key = random(32)
  const context = random(10)
  const plaintext = random(3 * BODY_CHUNK_BYTES + 5)
  const body = sealChunked(suite, key, context, plaintext, random)
  const open = (bytes: Uint8Array): Uint8Array => openChunked(suite, key, context, bytes)

  it("open under their own key and context only", () => {
    expect(open(body)).toEqual(plaintext)
    const wrong = [
      () => openChunked(suite, random(32), context, body),
      () => openChunked(suite, key, context.subarray(1), body),
      () => openChunked(suite, key, concatBytes(context, new Uint8Array(1)), body),
      () => openChunked(suite, key, new Uint8Array(0), body),
    ]
    for (const action of wrong) expect(refusal(action)).toBe("CHUNKED_COMMITMENT")
  })

  it("are refused with any bit changed, by the commitment or by the chunk", () => {
    fc.assert(
      fc.property(fc.nat(body.length * 8 - 1), (bit) => {
        const damaged = Uint8Array.from(body)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const code = bit >> 3 < BODY_HEADER_BYTES ? "CHUNKED_COMMITMENT" : "CHUNKED_OPEN"
        expect(refusal(() => open(damaged))).toBe(code)
      }),
      { seed: 1, numRuns: 300 },
    )
  })

  it("are refused when cut anywhere, at the end of a chunk too", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: body.length }), (cut) => {
        expect(refusal(() => open(body.subarray(0, -cut)))).toBe("CHUNKED_OPEN")
      }),
      { seed: 2, numRuns: 300 },
    )
    for (let chunks = 0; chunks <= 3; chunks++) {
      const cut = body.subarray(0, BODY_HEADER_BYTES + chunks * SEALED_CHUNK_BYTES)
      expect(
        refusal(() => open(cut)),
        `${chunks} whole chunks`,
      ).toBe("CHUNKED_OPEN")
    }
  })

  it("are refused with chunks exchanged, repeated or left out", () => {
    const at = (index: number): Uint8Array => {
      const start = BODY_HEADER_BYTES + index * SEALED_CHUNK_BYTES
      return body.subarray(start, start + SEALED_CHUNK_BYTES)
    }
    const head = body.subarray(0, BODY_HEADER_BYTES)
    const build = (...order: readonly number[]): Uint8Array => concatBytes(head, ...order.map(at))
    expect(open(build(0, 1, 2, 3))).toEqual(plaintext)
    for (const order of [[1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 2, 3, 3], [3]]) {
      expect(
        refusal(() => open(build(...order))),
        order.join(" "),
      ).toBe("CHUNKED_OPEN")
    }
  })

  it("refuse arbitrary bytes with a code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => open(bytes))).toMatch(/^CHUNKED_(OPEN|COMMITMENT)$/)
      }),
      { seed: 3 },
    )
  })

  it("differ each time, by the salt", () => {
    const again = sealChunked(suite, key, context, plaintext, random)
    expect(bytesToHex(chunkedCommitment(again))).not.toBe(bytesToHex(chunkedCommitment(body)))
    expect(open(again)).toEqual(plaintext)
  })

  it("show their commitment only when they are long enough to hold one", () => {
    expect(refusal(() => chunkedCommitment(body.subarray(0, 55)))).toBe("CHUNKED_OPEN")
    expect(chunkedCommitment(body.subarray(0, 56))).toEqual(body.slice(24, 56))
  })
})

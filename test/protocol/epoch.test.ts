import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encode } from "../../protocol/codec.ts"
import { decodeEpochKeys, epochAt, signEpochKeys, verifyEpochKeys } from "../../protocol/epoch.ts"
import { keyId } from "../../protocol/keys.ts"
import { LABELS } from "../../protocol/labels.ts"
import { flipped } from "../support/ledger.ts"
import { compositeKey } from "../support/ministry.ts"
import { refusal } from "../support/refusal.ts"
import { randomInt, seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const random = seededRandom("epoch tests")
const net = random(32)
const signing = compositeKey(suite, random)
const stranger = compositeKey(suite, random)
const publication = {
  net,
  rid: 2,
  keys: [20_454, 20_455, 20_460].map((epoch) => ({ epoch, publicKey: random(1_216) })),
  createdMs: Date.UTC(2026, 0, 1),
}
const payload = signEpochKeys(suite, publication, signing.publicKey, signing.sign)

/** A payload around any statement. */
function around(statement: Uint8Array): Uint8Array {
  return encode([statement, new Uint8Array(32), new Uint8Array(3_373)])
}

function stating(keys: readonly (readonly [number, Uint8Array])[]): string | undefined {
  const statement = encode([LABELS.epochKeys, net, 2, keys, 1])
  return refusal(() => decodeEpochKeys(around(statement)))
}

describe("an epoch", () => {
  it("is a day since 1970, from midnight to midnight UTC", () => {
    expect(epochAt(0)).toBe(0)
    expect(epochAt(86_399_999)).toBe(0)
    expect(epochAt(86_400_000)).toBe(1)
    expect(epochAt(Date.UTC(2026, 0, 1))).toBe(20_454)
  })
})

describe("a publication of epoch keys", () => {
  it("gives back what was signed, and by whom", () => {
    const decoded = decodeEpochKeys(payload)
    expect(decoded).toMatchObject(publication)
    expect(decoded.signerKid).toEqual(keyId(suite, signing.publicKey))
    expect(refusal(() => verifyEpochKeys(suite, decoded, signing.publicKey))).toBeUndefined()
    const { statement, signerKid, signature } = decoded
    expect(encode([statement, signerKid, signature])).toEqual(payload)
  })

  it("is refused under another key, another context, or with a signature over something else", () => {
    const decoded = decodeEpochKeys(payload)
    const check = (signed: typeof decoded): string | undefined =>
      refusal(() => verifyEpochKeys(suite, signed, signing.publicKey))
    const byStranger = signEpochKeys(suite, publication, signing.publicKey, stranger.sign)
    expect(check(decodeEpochKeys(byStranger))).toBe("EPOCH_KEYS_INVALID")
    const elsewhere = signEpochKeys(suite, publication, signing.publicKey, (_, message) =>
      signing.sign(LABELS.ballot, message),
    )
    expect(check(decodeEpochKeys(elsewhere))).toBe("EPOCH_KEYS_INVALID")
    const later = signEpochKeys(
      suite,
      { ...publication, createdMs: 2 },
      signing.publicKey,
      signing.sign,
    )
    const { signature } = decodeEpochKeys(later)
    expect(check({ ...decoded, signature })).toBe("EPOCH_KEYS_INVALID")
  })

  it("does not pass with any bit changed (300 places); the key id is for the directory", () => {
    const kidFrom = payload.length - 3_373 - 3 - 32
    for (let count = 0; count < 300; count++) {
      const bit = randomInt(random, payload.length * 8)
      if (bit >> 3 >= kidFrom && bit >> 3 < kidFrom + 32) continue
      const changed = flipped(payload, bit)
      const code = refusal(() => {
        verifyEpochKeys(suite, decodeEpochKeys(changed), signing.publicKey)
      })
      expect(code, `bit ${bit}`).toMatch(/^(CODEC_|EPOCH_KEYS_INVALID)/)
    }
  })

  it("holds 1 … 32 keys in rising order of their epochs", () => {
    const key = random(1_216)
    const run = (from: number, count: number): (readonly [number, Uint8Array])[] =>
      Array.from({ length: count }, (_, index) => [from + index, key] as const)
    expect(stating(run(0, 1))).toBeUndefined()
    expect(stating(run(5, 32))).toBeUndefined()
    expect(stating([])).toBe("CODEC_LENGTH")
    expect(stating(run(5, 33))).toBe("CODEC_LENGTH")
    expect(stating([...run(6, 1), ...run(5, 1)])).toBe("CODEC_ORDER")
    expect(stating([...run(6, 1), ...run(6, 1)])).toBe("CODEC_ORDER")
    expect(stating(run(2 ** 32, 1))).toBe("CODEC_RANGE")
    expect(stating([[5, random(1_215)]])).toBe("CODEC_LENGTH")
  })

  it("fits into an entry with 32 keys", () => {
    const keys = Array.from({ length: 32 }, (_, epoch) => ({ epoch, publicKey: random(1_216) }))
    const full = signEpochKeys(suite, { ...publication, keys }, signing.publicKey, signing.sign)
    expect(full.length).toBeLessThan(65_535 - 54)
    expect(decodeEpochKeys(full).keys).toEqual(keys)
  })

  it("is refused cut, followed by more, or under another label", () => {
    expect(refusal(() => decodeEpochKeys(payload.subarray(0, 500)))).toBe("CODEC_TRUNCATED")
    expect(refusal(() => decodeEpochKeys(Uint8Array.of(...payload, 0)))).toBe("CODEC_TRAILING")
    const statement = encode([LABELS.ballot, net, 2, [], 1])
    expect(refusal(() => decodeEpochKeys(around(statement)))).toBe("CODEC_LABEL")
  })

  it("is refused with a code when its bytes are arbitrary", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => decodeEpochKeys(bytes))).toMatch(/^CODEC_/)
        expect(refusal(() => decodeEpochKeys(around(bytes)))).toMatch(/^CODEC_/)
      }),
      { numRuns: 500 },
    )
  })
})

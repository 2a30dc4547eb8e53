/** The composite signature: published vectors, frozen ones, and everything that must not verify. */

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import {
  compositePublicKey,
  compositeSign,
  isCompositeValid,
  verifyComposite,
} from "../../protocol/composite.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { seededRandom } from "../support/rng.ts"
import { hex, readFrozen, publishedVectors } from "../support/vectors.ts"

interface Published {
  readonly m: string
  readonly ctx: string
  readonly tests: readonly {
    readonly tcId: string
    readonly pk: string
    readonly sk: string
    readonly s: string
    readonly sWithContext: string
  }[]
}

interface FrozenCase {
  readonly seed: string
  readonly context: string
  readonly message: string
  readonly randomSeed: string
  readonly publicKey: string
  readonly signature: string
}

const NAME = "id-MLDSA65-Ed25519-SHA512"
const frozen = readFrozen("composite.json") as readonly FrozenCase[]
const MLDSA_END = 3_309

describe.each([portableSuite, nativeSuite])("composite signatures on the $name suite", (suite) => {
  const lamps = publishedVectors<Published>({
    file: "composite/lamps-composite.json",
    count: ({ tests }) => 2 * tests.filter((test) => test.tcId === NAME).length,
  })
  it(lamps.name(`are those of ${NAME}, with and without context`), (task) => {
    const { m, ctx, tests } = lamps.read(task)
    const message = base64(m)
    const context = new TextDecoder().decode(base64(ctx))
    for (const test of tests.filter(({ tcId }) => tcId === NAME)) {
      const [key, seed] = [base64(test.pk), base64(test.sk)]
      const [bare, bound] = [base64(test.s), base64(test.sWithContext)]
      expect(compositePublicKey(suite, seed)).toEqual(key)
      expect(isCompositeValid(suite, key, "", message, bare)).toBe(true)
      expect(isCompositeValid(suite, key, context, message, bound)).toBe(true)
      expect(isCompositeValid(suite, key, context, message, bare)).toBe(false)
      expect(isCompositeValid(suite, key, "", message, bound)).toBe(false)
    }
  })

  it(`match ${frozen.length} frozen ones`, () => {
    for (const one of frozen) {
      const [seed, message, signature] = [hex(one.seed), hex(one.message), hex(one.signature)]
      const key = compositePublicKey(suite, seed)
      expect(key).toEqual(hex(one.publicKey))
      verifyComposite(suite, key, one.context, message, signature)
      const made = compositeSign(suite, seed, one.context, message, seededRandom(one.randomSeed))
      // Native ML-DSA takes no randomness, so its signature is another one that must verify.
      expect(suite.name === "portable" ? made : signature).toEqual(signature)
      verifyComposite(portableSuite, key, one.context, message, made)
    }
  })

  const seed = seededRandom("composite seed")(64)
  const other = compositePublicKey(suite, seededRandom("another seed")(64))
  const key = compositePublicKey(suite, seed)
  const message = new TextEncoder().encode("a message")
  const sign = (text: string): Uint8Array =>
    compositeSign(suite, seed, text, message, seededRandom(text))
  const signature = sign("one")

  it("are refused under another key, context or message", () => {
    verifyComposite(suite, key, "one", message, signature)
    const verify = (by: Uint8Array, context: string, of: Uint8Array) => () => {
      verifyComposite(suite, by, context, of, signature)
    }
    expect(refusal(verify(other, "one", message))).toBe("SIGNATURE_INVALID")
    expect(refusal(verify(key, "two", message))).toBe("SIGNATURE_INVALID")
    expect(refusal(verify(key, "", message))).toBe("SIGNATURE_INVALID")
    expect(refusal(verify(key, "one", message.subarray(1)))).toBe("SIGNATURE_INVALID")
  })

  it("need both halves", () => {
    const second = sign("two")
    const mixed = [
      join(signature.subarray(0, MLDSA_END), second.subarray(MLDSA_END)),
      join(second.subarray(0, MLDSA_END), signature.subarray(MLDSA_END)),
    ]
    for (const one of mixed) {
      expect(isCompositeValid(suite, key, "one", message, one)).toBe(false)
      expect(isCompositeValid(suite, key, "two", message, one)).toBe(false)
    }
  })

  it("are refused with any bit changed", () => {
    fc.assert(
      fc.property(fc.nat(signature.length * 8 - 1), (bit) => {
        const damaged = Uint8Array.from(signature)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        return !isCompositeValid(suite, key, "one", message, damaged)
      }),
      { seed: 1, numRuns: 100 },
    )
  })

  it("are refused, not choked on, in any other length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (a, b) => {
        expect(isCompositeValid(suite, a, "one", message, b)).toBe(false)
        expect(isCompositeValid(suite, key, "one", message, join(signature, b, a, key))).toBe(false)
      }),
      { seed: 2, numRuns: 50 },
    )
  })

  it("take a context of 255 bytes at most, and seeds of 64", () => {
    const random = seededRandom(3)
    expect(() => compositeSign(suite, seed, "x".repeat(256), message, random)).toThrow(
      AssertionError,
    )
    expect(() => compositePublicKey(suite, random(63))).toThrow(AssertionError)
  })
})

function base64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"))
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

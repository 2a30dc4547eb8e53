/** What only the native suite has: keys that stay imported. */

import { describe, expect, it } from "vitest"
import { KEY_CACHE_ENTRIES_MAX } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { seededRandom } from "../support/rng.ts"

const NOTHING = new Uint8Array(0)

describe("imported keys", () => {
  it("give the right verdicts when more public keys are used than are kept", () => {
    const random = seededRandom("more keys than kept")
    const signers = Array.from({ length: KEY_CACHE_ENTRIES_MAX + 50 }, () => {
      const seed = random(32)
      const publicKey = nativeSuite.ed25519PublicKey(seed)
      return { publicKey, signature: nativeSuite.ed25519Sign(seed, publicKey) }
    })
    for (const round of [1, 2]) {
      for (const { publicKey, signature } of signers) {
        const verdict = nativeSuite.ed25519Verify(publicKey, publicKey, signature)
        expect(verdict, `round ${round}`).toBe(true)
      }
    }
  })

  it("are found by their bytes, so a reused buffer does not keep the last key", () => {
    const random = seededRandom("reused buffer")
    const [first, second] = [random(32), random(32)]
    const signature = nativeSuite.ed25519Sign(first, NOTHING)
    const buffer = Uint8Array.from(nativeSuite.ed25519PublicKey(first))
    expect(nativeSuite.ed25519Verify(buffer, NOTHING, signature)).toBe(true)
    buffer.set(nativeSuite.ed25519PublicKey(second))
    expect(nativeSuite.ed25519Verify(buffer, NOTHING, signature)).toBe(false)
  })

  it("of one seed serve every algorithm that the seed is used for", () => {
    const seed = seededRandom("one seed")(32)
    for (const _ of [1, 2]) {
      expect(nativeSuite.ed25519PublicKey(seed)).toEqual(portableSuite.ed25519PublicKey(seed))
      expect(nativeSuite.x25519PublicKey(seed)).toEqual(portableSuite.x25519PublicKey(seed))
      for (const level of [44, 65] as const) {
        const key = nativeSuite.mldsaPublicKey(level, seed)
        expect(key).toEqual(portableSuite.mldsaPublicKey(level, seed))
      }
    }
  })

  it("of bytes that are no key are refused every time", () => {
    const notReduced = new Uint8Array(1_184).fill(0xff)
    for (const _ of [1, 2]) {
      const run = () => nativeSuite.mlkem768Encapsulate(notReduced, seededRandom(1))
      expect(run).toThrow("not below the modulus")
    }
  })
})

describe("a view into a larger buffer", () => {
  it("is taken for its own bytes only", () => {
    const random = seededRandom("views")
    const frame = random(5_000)
    const [seed, message] = [frame.subarray(7, 39), frame.subarray(100, 400)]
    const copy = { seed: new Uint8Array(seed), message: new Uint8Array(message) }
    const signature = nativeSuite.ed25519Sign(seed, message)
    expect(signature).toEqual(portableSuite.ed25519Sign(copy.seed, copy.message))
    expect(nativeSuite.sha256(message)).toEqual(portableSuite.sha256(copy.message))
  })
})

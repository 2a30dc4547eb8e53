/**
 * The portable suite against the native one: 12,000 seeded cases over all operations, 1,000 of them
 * ML-DSA. What one makes the other must make, open or verify; what one refuses the other refuses.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import { AssertionError } from "../../protocol/assert.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { MldsaLevel, RandomSource, Suite } from "../../protocol/suite.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { randomInt, seededRandom } from "../support/rng.ts"

const NOTHING = new Uint8Array(0)

describe("the portable suite agrees with the native one", () => {
  it("on 2,000 hashes and 1,500 derivations", () => {
    const random = seededRandom("differential hashes")
    for (let round = 0; round < 500; round++) {
      const data = randomBytes(random, 700)
      const length = randomInt(random, 300)
      agree(round, (suite) => suite.sha256(data))
      agree(round, (suite) => suite.sha512(data))
      agree(round, (suite) => suite.sha3x256(data))
      agree(round, (suite) => suite.shake256(data, length))
      const [salt, key] = [randomBytes(random, 100), random(32)]
      agree(round, (suite) => suite.hkdfExtract(salt, data))
      agree(round, (suite) => suite.hkdfExpand(key, data, length))
      agree(round, (suite) => suite.hkdfExpandSha512(key, data, length))
    }
  })

  it("on 4,000 seals and openings of both AEADs, one opening in four damaged", () => {
    const random = seededRandom("differential aead")
    for (let round = 0; round < 2_000; round++) {
      const [key, nonce, data] = [random(32), random(12), randomBytes(random, 60)]
      const plaintext = randomBytes(random, 600)
      const chacha = round % 2 === 0
      const seal = chacha ? "chacha20Poly1305Seal" : "aes256GcmSeal"
      const open = chacha ? "chacha20Poly1305Open" : "aes256GcmOpen"
      const sealed = agree(round, (suite) => suite[seal](key, nonce, data, plaintext))
      const given = round % 4 === 3 ? damage(random, sealed) : sealed
      agree(round, (suite) => suite[open](key, nonce, data, given))
    }
  })

  it("on 1,500 Ed25519 signatures, half of them damaged", () => {
    const random = seededRandom("differential ed25519")
    for (let round = 0; round < 500; round++) {
      const [seed, message] = [random(32), randomBytes(random, 300)]
      const key = agree(round, (suite) => suite.ed25519PublicKey(seed))
      const signature = agree(round, (suite) => suite.ed25519Sign(seed, message))
      const [given, by] =
        round % 2 === 0 ? [signature, key] : [damage(random, signature), sometimes(random, key)]
      const verdict = agreeAnswer(round, (suite) => suite.ed25519Verify(by, message, given))
      expect(verdict).toBe(round % 2 === 0)
    }
  })

  it("on 1,000 X25519 keys and secrets", () => {
    const random = seededRandom("differential x25519")
    for (let round = 0; round < 500; round++) {
      const secret = random(32)
      agree(round, (suite) => suite.x25519PublicKey(secret))
      // Any 32 bytes are a public key, about half of them on the twist.
      const theirs = random(32)
      agree(round, (suite) => suite.x25519SharedSecret(secret, theirs))
      const own = portableSuite.x25519PublicKey(secret)
      const made = nativeSuite.x25519Encapsulate(own, random)
      const opened = portableSuite.x25519SharedSecret(secret, made.ephemeralKey)
      expect(made.sharedSecret).toEqual(opened)
    }
  })

  it("on 1,000 ML-KEM-768 keys, encapsulations and decapsulations", () => {
    const random = seededRandom("differential ml-kem")
    for (let round = 0; round < 250; round++) {
      const seed = random(64)
      const key = agree(round, (suite) => suite.mlkem768PublicKey(seed))
      for (const maker of [portableSuite, nativeSuite]) {
        const made = maker.mlkem768Encapsulate(key, random)
        const opened = agree(round, (suite) => suite.mlkem768Decapsulate(seed, made.ciphertext))
        expect(bytesToHex(opened)).toBe(bytesToHex(made.sharedSecret))
      }
      const damaged = damage(random, portableSuite.mlkem768Encapsulate(key, random).ciphertext)
      agree(round, (suite) => suite.mlkem768Decapsulate(seed, damaged))
    }
  })

  it("on 1,000 ML-DSA keys and signatures of both levels, three checks in four damaged", () => {
    const random = seededRandom("differential ml-dsa")
    for (let round = 0; round < 200; round++) {
      const level: MldsaLevel = round % 2 === 0 ? 44 : 65
      const [seed, message, context] = [
        random(32),
        randomBytes(random, 200),
        randomBytes(random, 99),
      ]
      const key = agree(round, (suite) => suite.mldsaPublicKey(level, seed))
      const signer = round % 4 < 2 ? portableSuite : nativeSuite
      const signature = signer.mldsaSign(level, seed, message, context, random)
      const verify = (given: Uint8Array, by: Uint8Array, under: Uint8Array): boolean =>
        agreeAnswer(round, (suite) => suite.mldsaVerify(level, by, message, under, given))
      expect(verify(signature, key, context)).toBe(true)
      expect(verify(damage(random, signature), key, context)).toBe(false)
      expect(verify(signature, damage(random, key), context)).toBe(false)
      expect(verify(signature, key, concatBytes(context, NOTHING, random(1)))).toBe(false)
    }
  })
})

describe.each([portableSuite, nativeSuite])("the $name suite", (suite) => {
  it("refuses public keys and ciphertexts of the wrong length with a code", () => {
    const short = new Uint8Array(31)
    const random = seededRandom(1)
    expect(refusal(() => suite.x25519SharedSecret(random(32), short))).toBe("SUITE_KEY")
    expect(refusal(() => suite.x25519Encapsulate(short, random))).toBe("SUITE_KEY")
    expect(refusal(() => suite.x25519Encapsulate(new Uint8Array(32), random))).toBe("SUITE_KEY")
    expect(refusal(() => suite.mlkem768Encapsulate(short, random))).toBe("SUITE_KEY")
    expect(refusal(() => suite.mlkem768Decapsulate(random(64), short))).toBe("SUITE_KEY")
    expect(refusal(() => suite.aes256GcmOpen(random(32), random(12), NOTHING, short))).toBe(
      "SUITE_OPEN",
    )
    const tiny = new Uint8Array(15)
    for (const open of ["aes256GcmOpen", "chacha20Poly1305Open"] as const) {
      const run = () => suite[open](random(32), random(12), NOTHING, tiny)
      expect(refusal(run)).toBe("SUITE_OPEN")
    }
  })

  it("takes seeds, keys and nonces of the right length only", () => {
    const short = new Uint8Array(31)
    const key = new Uint8Array(32)
    const random = seededRandom(2)
    for (const action of [
      () => suite.ed25519PublicKey(short),
      () => suite.ed25519Sign(short, key),
      () => suite.x25519PublicKey(short),
      () => suite.x25519SharedSecret(short, key),
      () => suite.mlkem768PublicKey(key),
      () => suite.mlkem768Decapsulate(key, new Uint8Array(1_088)),
      () => suite.mldsaPublicKey(65, short),
      () => suite.mldsaSign(44, short, key, NOTHING, random),
      () => suite.mldsaSign(65, key, key, new Uint8Array(256), random),
      () => suite.aes256GcmSeal(short, new Uint8Array(12), NOTHING, key),
      () => suite.chacha20Poly1305Seal(key, new Uint8Array(11), NOTHING, key),
      () => suite.chacha20Poly1305Seal(short, new Uint8Array(12), NOTHING, new Uint8Array(999)),
      () => suite.hkdfExpand(key, NOTHING, 8_161),
      () => suite.hkdfExpandSha512(key, NOTHING, 16_321),
    ]) {
      expect(action).toThrow(AssertionError)
    }
  })

  it("gives plain byte arrays, whose slice is a copy", () => {
    const seed = new Uint8Array(32).fill(3)
    for (const bytes of [
      suite.sha256(seed),
      suite.hkdfExpandSha512(seed, seed, 40),
      suite.ed25519PublicKey(seed),
      suite.ed25519Sign(seed, seed),
      suite.x25519SharedSecret(seed, suite.x25519PublicKey(seed)),
      suite.aes256GcmSeal(seed, new Uint8Array(12), seed, seed),
      suite.mldsaPublicKey(65, seed),
    ]) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype)
    }
  })
})

/** Both must give the same bytes, or the same refusal; returns the bytes, empty when refused. */
function agree(round: number, action: (suite: Suite) => Uint8Array): Uint8Array {
  const [portable, native] = [outcome(action, portableSuite), outcome(action, nativeSuite)]
  expect(native.text, `round ${round}`).toBe(portable.text)
  return native.bytes
}

function outcome(
  action: (suite: Suite) => Uint8Array,
  suite: Suite,
): { readonly bytes: Uint8Array; readonly text: string } {
  let bytes: Uint8Array = NOTHING
  const code = refusal(() => {
    bytes = action(suite)
  })
  return { bytes, text: code ?? bytesToHex(bytes) }
}

function agreeAnswer(round: number, action: (suite: Suite) => boolean): boolean {
  const answer = action(nativeSuite)
  expect(action(portableSuite), `round ${round}`).toBe(answer)
  return answer
}

function randomBytes(random: RandomSource, below: number): Uint8Array {
  return random(randomInt(random, below))
}

/** A copy with one bit changed. */
function damage(random: RandomSource, bytes: Uint8Array): Uint8Array {
  const out = Uint8Array.from(bytes)
  const at = randomInt(random, out.length)
  out[at] = (out[at] ?? 0) ^ (1 << randomInt(random, 8))
  return out
}

function sometimes(random: RandomSource, bytes: Uint8Array): Uint8Array {
  return randomInt(random, 2) === 0 ? bytes : damage(random, bytes)
}

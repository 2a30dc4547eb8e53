/** Published vectors of ML-KEM-768 and ML-DSA-65, on both suites. */

import { createPrivateKey, decapsulate } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { shake128 } from "@noble/hashes/sha3.js"
import { ml_dsa65 as mldsa65 } from "@noble/post-quantum/ml-dsa.js"
import { ml_kem768 as mlkem768 } from "@noble/post-quantum/ml-kem.js"
import { describe, expect, it } from "vitest"
import { assert } from "../../protocol/assert.ts"
import { concatBytes, equalBytes } from "../../protocol/bytes.ts"
import { MLKEM768_SEED_BYTES } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { seededRandom } from "../support/rng.ts"
import {
  BROKEN_PROMISE,
  countCases,
  hex,
  outcome,
  parseAssignments,
  publishedVectors,
  type Wycheproof,
  type WycheproofCase,
} from "../support/vectors.ts"

const NOTHING = new Uint8Array(0)
const SUITES = [portableSuite, nativeSuite]

interface KemCase extends WycheproofCase {
  readonly seed: string
  readonly ek?: string
  readonly c: string
  readonly K: string
}

interface EncapsulationCase extends WycheproofCase {
  readonly ek: string
  readonly m: string
  readonly c: string
  readonly K: string
}

interface VerifyGroup {
  readonly publicKey: string
  readonly tests: readonly (WycheproofCase & {
    readonly msg: string
    readonly ctx?: string
    readonly sig: string
  })[]
}

interface SignGroup {
  readonly privateSeed: string
  readonly publicKey: string | null
  readonly tests: readonly SignCase[]
}

interface SignCase extends WycheproofCase {
  readonly msg?: string
  readonly mu?: string
  readonly ctx?: string
  readonly rnd?: string
  readonly sig: string
}

interface Accumulated {
  readonly results: readonly { readonly iterations: number; readonly result_hex: string }[]
}

describe.each(SUITES)("the $name suite", (suite) => {
  const decapsulation = publishedVectors<Wycheproof<{ tests: readonly KemCase[] }>>({
    file: "wycheproof/mlkem_768_test.json",
    count: countCases,
  })
  it(
    decapsulation.name("decapsulates ML-KEM-768, rejects implicitly, and refuses wrong lengths"),
    (task) => {
      const data = decapsulation.read(task)
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const name = `tcId ${test.tcId}`
        const [seed, ciphertext] = [hex(test.seed), hex(test.c)]
        const run = (): Uint8Array => suite.mlkem768Decapsulate(seed, ciphertext)
        const isSeed = seed.length === MLKEM768_SEED_BYTES
        const refused = isSeed ? "SUITE_KEY" : BROKEN_PROMISE
        expect(outcome(run), name).toBe(test.result === "valid" ? test.K : refused)
        const key = outcome(() => suite.mlkem768PublicKey(seed))
        expect(key, name).toBe(isSeed ? (test.ek ?? key) : BROKEN_PROMISE)
      }
    },
  )

  const keyGeneration = publishedVectors<Wycheproof<{ tests: readonly KemCase[] }>>({
    file: "wycheproof/mlkem_768_keygen_seed_test.json",
    count: countCases,
  })
  it(keyGeneration.name("derives ML-KEM-768 public keys from seeds"), (task) => {
    const data = keyGeneration.read(task)
    for (const test of data.testGroups.flatMap((group) => group.tests)) {
      expect(suite.mlkem768PublicKey(hex(test.seed)), `tcId ${test.tcId}`).toEqual(hex(test.ek))
    }
  })

  // The native suite takes no randomness, so its own ciphertexts are not comparable: there the test
  // is that it takes the same keys. What it makes is opened in the differential test.
  const encapsulation = publishedVectors<Wycheproof<{ tests: readonly EncapsulationCase[] }>>({
    file: "wycheproof/mlkem_768_encaps_test.json",
    count: countCases,
  })
  it(
    encapsulation.name("encapsulates to every ML-KEM-768 key that is one, and to no other"),
    (task) => {
      const data = encapsulation.read(task)
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const run = (): Uint8Array => {
          const { ciphertext, sharedSecret } = suite.mlkem768Encapsulate(hex(test.ek), () =>
            hex(test.m),
          )
          return suite.name === "native"
            ? hex(test.c + test.K)
            : concatBytes(ciphertext, sharedSecret)
        }
        const wanted = test.result === "valid" ? test.c + test.K : "SUITE_KEY"
        expect(outcome(run), `tcId ${test.tcId}`).toBe(wanted)
      }
    },
  )

  const modulus = publishedVectors<readonly string[]>({
    file: "cctv/ml-kem-768-modulus.txt.gz",
    parse: (bytes) => new TextDecoder().decode(gunzipSync(bytes)).trim().split("\n"),
    count: (keys) => keys.length,
  })
  it(
    modulus.name("refuses every ML-KEM-768 key with a coefficient that is not reduced"),
    (task) => {
      const keys = modulus.read(task)
      for (const [index, key] of keys.entries()) {
        const run = () => suite.mlkem768Encapsulate(hex(key), seededRandom(index))
        expect(refusal(run), `line ${index + 1}`).toBe("SUITE_KEY")
      }
    },
  )

  // These files are older than the last word of FIPS 203 on how a seed gives a key, and give the
  // expanded key only. The suites take seeds, so the libraries below them decapsulate here.
  for (const file of ["cctv/ml-kem-768-intermediate.txt", "cctv/ml-kem-768-unluckysample.txt"]) {
    const source = publishedVectors({ file, parse: parseAssignments, count: () => 1 })
    it(source.name("reaches the published ML-KEM-768 ciphertext and secret"), (task) => {
      const values = source.read(task)
      const made = suite.mlkem768Encapsulate(hex(values["ek"]), () => hex(values["m"]))
      expect(decapsulateExpanded(suite, values["dk"], made.ciphertext)).toEqual(made.sharedSecret)
      const portable = portableSuite.mlkem768Encapsulate(hex(values["ek"]), () => hex(values["m"]))
      expect(portable.ciphertext).toEqual(hex(values["c"]))
      const secret = decapsulateExpanded(suite, values["dk"], hex(values["c"]))
      expect(secret).toEqual(hex(values["K"]))
    })
  }

  const strcmp = publishedVectors({
    file: "cctv/ml-kem-768-strcmp.txt",
    parse: parseAssignments,
    count: () => 1,
  })
  it(strcmp.name("compares all of the ML-KEM-768 ciphertext, zero bytes or not"), (task) => {
    const values = strcmp.read(task)
    const secret = decapsulateExpanded(suite, values["dk"], hex(values["c"]))
    expect(secret).toEqual(hex(values["K"]))
  })

  const verification = publishedVectors<Wycheproof<VerifyGroup>>({
    file: "wycheproof/mldsa_65_verify_test.json",
    count: countCases,
  })
  it(verification.name("accepts every valid ML-DSA-65 signature and no other"), (task) => {
    const data = verification.read(task)
    for (const { publicKey, tests } of data.testGroups) {
      for (const test of tests) {
        const [message, context] = [hex(test.msg), hex(test.ctx ?? "")]
        const verdict = suite.mldsaVerify(65, hex(publicKey), message, context, hex(test.sig))
        expect(verdict, `tcId ${test.tcId}`).toBe(test.result === "valid")
      }
    }
  })

  const signing = publishedVectors<Wycheproof<SignGroup>>({
    file: "wycheproof/mldsa_65_sign_seed_test.json",
    count: countCases,
  })
  it(
    signing.name("signs with ML-DSA-65 from seeds: the portable bytes, the native verdict"),
    (task) => {
      const data = signing.read(task)
      for (const group of data.testGroups) {
        for (const test of group.tests) {
          const name = `tcId ${test.tcId}`
          const wanted = test.result === "valid" ? test.sig : BROKEN_PROMISE
          expect(
            outcome(() => signPublished(suite, group, test)),
            name,
          ).toBe(wanted)
        }
      }
    },
  )

  // Only the first of the published iterations (100, 10,000, 60,000,000) is short enough.
  const accumulated = publishedVectors<Accumulated>({
    file: "cctv/ml-dsa-65-accumulated.json",
    count: () => 100,
  })
  it(accumulated.name("accumulates deterministic ML-DSA-65 signatures"), (task) => {
    const data = accumulated.read(task)
    const seeds = shake128.create()
    const hash = shake128.create()
    for (let round = 0; round < 100; round++) {
      const seed = seeds.xof(32)
      const key = suite.mldsaPublicKey(65, seed)
      // Native signatures are always hedged, so the portable ones are accumulated and the native
      // suite verifies them.
      const signature = portableSuite.mldsaSign(65, seed, NOTHING, NOTHING, zeros)
      expect(suite.mldsaVerify(65, key, NOTHING, NOTHING, signature)).toBe(true)
      hash.update(key).update(signature)
    }
    const wanted = data.results.find((result) => result.iterations === 100)
    expect(hash.xof(32)).toEqual(hex(wanted?.result_hex))
  })
})

/** Deterministic signatures are hedged ones with zeros for randomness (FIPS 204 §3.4). */
function zeros(length: number): Uint8Array {
  return new Uint8Array(length)
}

/**
 * The signature of a published case. The native suite takes no randomness: there its own signature
 * must verify, the published one too, and the published one is what counts.
 */
function signPublished(suite: Suite, group: SignGroup, test: SignCase): Uint8Array {
  const seed = hex(group.privateSeed)
  if (test.msg === undefined) {
    // Given by its representative only, which the suites do not take: the library below signs it.
    const options = { externalMu: true, extraEntropy: false } as const
    return mldsa65.internal.sign(hex(test.mu), mldsa65.keygen(seed).secretKey, options)
  }
  const [message, context] = [hex(test.msg), hex(test.ctx ?? "")]
  const random = test.rnd === undefined ? zeros : () => hex(test.rnd)
  const made = suite.mldsaSign(65, seed, message, context, random)
  const key = suite.mldsaPublicKey(65, seed)
  const published = hex(test.sig)
  assert(equalBytes(key, hex(group.publicKey ?? undefined)), "another public key")
  for (const signature of [made, published]) {
    assert(portableSuite.mldsaVerify(65, key, message, context, signature), "not verified")
    assert(nativeSuite.mldsaVerify(65, key, message, context, signature), "not verified")
  }
  return suite.name === "native" ? published : made
}

/** Decapsulation with a 2,400-byte expanded key, by the library that the suite stands on. */
function decapsulateExpanded(
  suite: Suite,
  key: string | undefined,
  ciphertext: Uint8Array,
): Uint8Array {
  if (suite.name === "portable") return mlkem768.decapsulate(ciphertext, hex(key))
  const prefix = hex("30820978020100300b06096086480165030404020482096404820960")
  const der = Buffer.from(concatBytes(prefix, hex(key)))
  const imported = createPrivateKey({ key: der, format: "der", type: "pkcs8" })
  return new Uint8Array(decapsulate(imported, ciphertext))
}

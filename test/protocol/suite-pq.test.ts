/** Published vectors of ML-KEM-768 and ML-DSA-65, on both suites. */

import { createPrivateKey, decapsulate } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { shake128 } from "@noble/hashes/sha3.js"
import { ml_dsa65 as mldsa65 } from "@noble/post-quantum/ml-dsa.js"
import { ml_kem768 as mlkem768 } from "@noble/post-quantum/ml-kem.js"
import { describe, expect } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import { concatBytes } from "../../protocol/bytes.ts"
import { MLKEM768_SEED_BYTES } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { seededRandom } from "../support/rng.ts"
import {
  countCases,
  hex,
  parseAssignments,
  testVectors,
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
  readonly tests: readonly (WycheproofCase & {
    readonly msg?: string
    readonly mu?: string
    readonly ctx?: string
    readonly rnd?: string
    readonly sig: string
  })[]
}

interface Accumulated {
  readonly results: readonly { readonly iterations: number; readonly result_hex: string }[]
}

describe.each(SUITES)("the $name suite", (suite) => {
  testVectors<Wycheproof<{ tests: readonly KemCase[] }>>({
    file: "wycheproof/mlkem_768_test.json",
    title: "decapsulates ML-KEM-768, rejects implicitly, and refuses wrong lengths",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const name = `tcId ${test.tcId}`
        const [seed, ciphertext] = [hex(test.seed), hex(test.c)]
        const run = (): Uint8Array => suite.mlkem768Decapsulate(seed, ciphertext)
        if (test.result === "valid") {
          expect(run(), name).toEqual(hex(test.K))
          if (test.ek !== undefined) expect(suite.mlkem768PublicKey(seed)).toEqual(hex(test.ek))
        } else if (seed.length !== MLKEM768_SEED_BYTES) {
          expect(run, name).toThrow(AssertionError)
        } else {
          expect(refusal(run), name).toBe("SUITE_KEY")
        }
      }
    },
  })

  testVectors<Wycheproof<{ tests: readonly KemCase[] }>>({
    file: "wycheproof/mlkem_768_keygen_seed_test.json",
    title: "derives ML-KEM-768 public keys from seeds",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        expect(suite.mlkem768PublicKey(hex(test.seed)), `tcId ${test.tcId}`).toEqual(hex(test.ek))
      }
    },
  })

  // The native suite takes no randomness, so its own ciphertexts are not comparable: there the test
  // is that it takes the same keys. What it makes is opened in the differential test.
  testVectors<Wycheproof<{ tests: readonly EncapsulationCase[] }>>({
    file: "wycheproof/mlkem_768_encaps_test.json",
    title: "encapsulates to every ML-KEM-768 key that is one, and to no other",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const run = () => suite.mlkem768Encapsulate(hex(test.ek), () => hex(test.m))
        if (test.result === "invalid") {
          expect(refusal(run), `tcId ${test.tcId}`).toBe("SUITE_KEY")
          continue
        }
        const made = run()
        if (suite.name === "native") continue
        expect(made.ciphertext, `tcId ${test.tcId}`).toEqual(hex(test.c))
        expect(made.sharedSecret, `tcId ${test.tcId}`).toEqual(hex(test.K))
      }
    },
  })

  testVectors<readonly string[]>({
    file: "cctv/ml-kem-768-modulus.txt.gz",
    title: "refuses every ML-KEM-768 key with a coefficient that is not reduced",
    parse: (bytes) => new TextDecoder().decode(gunzipSync(bytes)).trim().split("\n"),
    count: (keys) => keys.length,
    run(keys) {
      for (const [index, key] of keys.entries()) {
        const run = () => suite.mlkem768Encapsulate(hex(key), seededRandom(index))
        expect(refusal(run), `line ${index + 1}`).toBe("SUITE_KEY")
      }
    },
  })

  // These files are older than the last word of FIPS 203 on how a seed gives a key, and give the
  // expanded key only. The suites take seeds, so the libraries below them decapsulate here.
  for (const file of ["cctv/ml-kem-768-intermediate.txt", "cctv/ml-kem-768-unluckysample.txt"]) {
    testVectors({
      file,
      title: "reaches the published ML-KEM-768 ciphertext and secret",
      parse: parseAssignments,
      count: () => 1,
      run(values) {
        const made = suite.mlkem768Encapsulate(hex(values["ek"]), () => hex(values["m"]))
        expect(decapsulateExpanded(suite, values["dk"], made.ciphertext)).toEqual(made.sharedSecret)
        if (suite.name === "portable") expect(made.ciphertext).toEqual(hex(values["c"]))
        const secret = decapsulateExpanded(suite, values["dk"], hex(values["c"]))
        expect(secret).toEqual(hex(values["K"]))
      },
    })
  }

  testVectors({
    file: "cctv/ml-kem-768-strcmp.txt",
    title: "compares all of the ML-KEM-768 ciphertext, zero bytes or not",
    parse: parseAssignments,
    count: () => 1,
    run(values) {
      const secret = decapsulateExpanded(suite, values["dk"], hex(values["c"]))
      expect(secret).toEqual(hex(values["K"]))
    },
  })

  testVectors<Wycheproof<VerifyGroup>>({
    file: "wycheproof/mldsa_65_verify_test.json",
    title: "accepts every valid ML-DSA-65 signature and no other",
    count: countCases,
    run(data) {
      for (const { publicKey, tests } of data.testGroups) {
        for (const test of tests) {
          const [message, context] = [hex(test.msg), hex(test.ctx ?? "")]
          const verdict = suite.mldsaVerify(65, hex(publicKey), message, context, hex(test.sig))
          expect(verdict, `tcId ${test.tcId}`).toBe(test.result === "valid")
        }
      }
    },
  })

  testVectors<Wycheproof<SignGroup>>({
    file: "wycheproof/mldsa_65_sign_seed_test.json",
    title: "signs with ML-DSA-65 from seeds: the portable bytes, the native verdict",
    count: countCases,
    run(data) {
      for (const group of data.testGroups) runSignGroup(suite, group)
    },
  })

  // Only the first of the published iterations (100, 10,000, 60,000,000) is short enough.
  testVectors<Accumulated>({
    file: "cctv/ml-dsa-65-accumulated.json",
    title: "accumulates deterministic ML-DSA-65 signatures",
    count: () => 100,
    run(data) {
      const seeds = shake128.create()
      const accumulated = shake128.create()
      for (let round = 0; round < 100; round++) {
        const seed = seeds.xof(32)
        const key = suite.mldsaPublicKey(65, seed)
        // Native signatures are always hedged, so the portable ones are accumulated and the native
        // suite verifies them.
        const signature = portableSuite.mldsaSign(65, seed, NOTHING, NOTHING, zeros)
        expect(suite.mldsaVerify(65, key, NOTHING, NOTHING, signature)).toBe(true)
        accumulated.update(key).update(signature)
      }
      const wanted = data.results.find((result) => result.iterations === 100)
      expect(accumulated.xof(32)).toEqual(hex(wanted?.result_hex))
    },
  })
})

/** Deterministic signatures are hedged ones with zeros for randomness (FIPS 204 §3.4). */
function zeros(length: number): Uint8Array {
  return new Uint8Array(length)
}

function runSignGroup(suite: Suite, group: SignGroup): void {
  const seed = hex(group.privateSeed)
  for (const test of group.tests) {
    const name = `tcId ${test.tcId}`
    if (test.msg === undefined) {
      // Given by its representative only, which the suites do not take: the library below signs it.
      const { secretKey } = mldsa65.keygen(seed)
      const options = { externalMu: true, extraEntropy: false } as const
      expect(mldsa65.internal.sign(hex(test.mu), secretKey, options), name).toEqual(hex(test.sig))
      continue
    }
    const [message, context] = [hex(test.msg), hex(test.ctx ?? "")]
    const random = test.rnd === undefined ? zeros : () => hex(test.rnd)
    const run = (): Uint8Array => suite.mldsaSign(65, seed, message, context, random)
    if (test.result === "invalid") {
      expect(run, name).toThrow(AssertionError)
      continue
    }
    const key = suite.mldsaPublicKey(65, seed)
    expect(key, name).toEqual(hex(group.publicKey ?? undefined))
    expect(suite.mldsaVerify(65, key, message, context, hex(test.sig)), name).toBe(true)
    const made = run()
    if (suite.name === "portable") expect(made, name).toEqual(hex(test.sig))
    else expect(portableSuite.mldsaVerify(65, key, message, context, made), name).toBe(true)
  }
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

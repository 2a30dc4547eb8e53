/** Published vectors of the symmetric and classical primitives, on both suites. */

import { createHmac } from "node:crypto"
import { describe, expect, it } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import { concatBytes } from "../../protocol/bytes.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import {
  countCases,
  hex,
  testVectors,
  type Wycheproof,
  type WycheproofCase,
} from "../support/vectors.ts"

interface HkdfCase extends WycheproofCase {
  readonly ikm: string
  readonly salt: string
  readonly info: string
  readonly size: number
  readonly okm: string
}

interface AeadCase extends WycheproofCase {
  readonly key: string
  readonly iv: string
  readonly aad: string
  readonly msg: string
  readonly ct: string
  readonly tag: string
}

interface XdhCase extends WycheproofCase {
  readonly public: string
  readonly private: string
  readonly shared: string
}

interface EddsaGroup {
  readonly publicKey: { readonly pk: string }
  readonly tests: readonly (WycheproofCase & { readonly msg: string; readonly sig: string })[]
}

describe.each([portableSuite, nativeSuite])("the $name suite", (suite) => {
  it("hashes the empty string and abc as FIPS 180-4 and 202 say", () => {
    const abc = new TextEncoder().encode("abc")
    expect(suite.sha256(abc)).toEqual(
      hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    )
    expect(suite.sha512(new Uint8Array(0)).subarray(0, 8)).toEqual(hex("cf83e1357eefb8bd"))
    expect(suite.sha3x256(new Uint8Array(0))).toEqual(
      hex("a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
    )
    expect(suite.shake256(new Uint8Array(0), 20)).toEqual(
      hex("46b9dd2b0ba88d13233b3feb743eeb243fcd52ea"),
    )
  })

  testVectors<Wycheproof<{ tests: readonly HkdfCase[] }>>({
    file: "wycheproof/hkdf_sha256_test.json",
    title: "derives what HKDF-SHA256 derives, and no more than 255 blocks",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const key = suite.hkdfExtract(hex(test.salt), hex(test.ikm))
        const derive = (): Uint8Array => suite.hkdfExpand(key, hex(test.info), test.size)
        if (test.result === "valid") expect(derive(), `tcId ${test.tcId}`).toEqual(hex(test.okm))
        else expect(derive, `tcId ${test.tcId}`).toThrow(AssertionError)
      }
    },
  })

  testVectors<Wycheproof<{ tests: readonly HkdfCase[] }>>({
    file: "wycheproof/hkdf_sha512_test.json",
    title: "expands what HKDF-SHA512 expands, and no more than 255 blocks",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        // The suite has no Extract for SHA-512, since nothing uses it: it is one HMAC.
        const key = createHmac("sha512", hex(test.salt)).update(hex(test.ikm)).digest()
        const derive = (): Uint8Array => suite.hkdfExpandSha512(key, hex(test.info), test.size)
        if (test.result === "valid") expect(derive(), `tcId ${test.tcId}`).toEqual(hex(test.okm))
        else expect(derive, `tcId ${test.tcId}`).toThrow(AssertionError)
      }
    },
  })

  testVectors<Wycheproof<{ ivSize: number; tests: readonly AeadCase[] }>>({
    file: "wycheproof/chacha20_poly1305_test.json",
    title: "seals and opens ChaCha20-Poly1305, and refuses every altered tag and odd nonce",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const name = `tcId ${test.tcId}`
        const [key, nonce, aad] = [hex(test.key), hex(test.iv), hex(test.aad)]
        const sealed = concatBytes(hex(test.ct), hex(test.tag))
        const open = (): Uint8Array => suite.chacha20Poly1305Open(key, nonce, aad, sealed)
        if (test.result === "valid") {
          expect(open(), name).toEqual(hex(test.msg))
          expect(suite.chacha20Poly1305Seal(key, nonce, aad, hex(test.msg)), name).toEqual(sealed)
        } else if (test.flags.includes("InvalidNonceSize")) {
          expect(open, name).toThrow(AssertionError)
        } else {
          expect(refusal(open), name).toBe("SUITE_OPEN")
        }
      }
    },
  })

  testVectors<Wycheproof<{ tests: readonly XdhCase[] }>>({
    file: "wycheproof/x25519_test.json",
    title:
      "agrees on X25519 secrets, twisted and non-canonical keys included, and refuses low order",
    count: countCases,
    run(data) {
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const agree = (): Uint8Array =>
          suite.x25519SharedSecret(hex(test.private), hex(test.public))
        // "Acceptable" means: RFC 7748 computes it, a stricter protocol may refuse. We compute all
        // but those that give zeros.
        if (test.flags.includes("ZeroSharedSecret")) {
          expect(refusal(agree), `tcId ${test.tcId}`).toBe("SUITE_KEY")
        } else {
          expect(agree(), `tcId ${test.tcId}`).toEqual(hex(test.shared))
        }
      }
    },
  })

  testVectors<Wycheproof<EddsaGroup>>({
    file: "wycheproof/ed25519_test.json",
    title: "accepts every valid Ed25519 signature and no other",
    count: countCases,
    run(data) {
      for (const { publicKey, tests } of data.testGroups) {
        for (const test of tests) {
          const verdict = suite.ed25519Verify(hex(publicKey.pk), hex(test.msg), hex(test.sig))
          expect(verdict, `tcId ${test.tcId}`).toBe(test.result === "valid")
        }
      }
    },
  })
})

/** Published vectors of the symmetric and classical primitives, on both suites. */

import { createHmac } from "node:crypto"
import { bytesToHex } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import {
  BROKEN_PROMISE,
  countCases,
  hex,
  outcome,
  publishedVectors,
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

  const hkdfSha256 = publishedVectors<Wycheproof<{ tests: readonly HkdfCase[] }>>({
    file: "wycheproof/hkdf_sha256_test.json",
    count: countCases,
  })
  it(hkdfSha256.name("derives what HKDF-SHA256 derives, and no more than 255 blocks"), (task) => {
    const data = hkdfSha256.read(task)
    for (const test of data.testGroups.flatMap((group) => group.tests)) {
      const key = suite.hkdfExtract(hex(test.salt), hex(test.ikm))
      const info = hex(test.info)
      const derive = (): Uint8Array => suite.hkdfExpand(key, info, test.size)
      const [first] = suite.hkdfExpandEach(key, [info])
      expect(first, `tcId ${test.tcId}, first block`).toEqual(suite.hkdfExpand(key, info, 32))
      const wanted = test.result === "valid" ? test.okm : BROKEN_PROMISE
      expect(outcome(derive), `tcId ${test.tcId}`).toBe(wanted)
    }
  })

  const hkdfSha512 = publishedVectors<Wycheproof<{ tests: readonly HkdfCase[] }>>({
    file: "wycheproof/hkdf_sha512_test.json",
    count: countCases,
  })
  it(hkdfSha512.name("expands what HKDF-SHA512 expands, and no more than 255 blocks"), (task) => {
    const data = hkdfSha512.read(task)
    for (const test of data.testGroups.flatMap((group) => group.tests)) {
      // The suite has no Extract for SHA-512, since nothing uses it: it is one HMAC.
      const key = createHmac("sha512", hex(test.salt)).update(hex(test.ikm)).digest()
      const derive = (): Uint8Array => suite.hkdfExpandSha512(key, hex(test.info), test.size)
      const wanted = test.result === "valid" ? test.okm : BROKEN_PROMISE
      expect(outcome(derive), `tcId ${test.tcId}`).toBe(wanted)
    }
  })

  const chacha = publishedVectors<Wycheproof<{ ivSize: number; tests: readonly AeadCase[] }>>({
    file: "wycheproof/chacha20_poly1305_test.json",
    count: countCases,
  })
  it(
    chacha.name("seals and opens ChaCha20-Poly1305, and refuses every altered tag and odd nonce"),
    (task) => {
      const data = chacha.read(task)
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const name = `tcId ${test.tcId}`
        const [key, nonce, aad] = [hex(test.key), hex(test.iv), hex(test.aad)]
        const sealed = concatBytes(hex(test.ct), hex(test.tag))
        const open = (): Uint8Array => suite.chacha20Poly1305Open(key, nonce, aad, sealed)
        const seal = (): Uint8Array => suite.chacha20Poly1305Seal(key, nonce, aad, hex(test.msg))
        const refused = test.flags.includes("InvalidNonceSize") ? BROKEN_PROMISE : "SUITE_OPEN"
        const isValid = test.result === "valid"
        expect(outcome(open), name).toBe(isValid ? test.msg : refused)
        // Some invalid cases are the sealing of a valid one with another tag.
        expect(outcome(seal) === bytesToHex(sealed), name).toBe(isValid)
      }
    },
  )

  const x25519 = publishedVectors<Wycheproof<{ tests: readonly XdhCase[] }>>({
    file: "wycheproof/x25519_test.json",
    count: countCases,
  })
  it(
    x25519.name(
      "agrees on X25519 secrets, twisted and non-canonical keys included, and refuses low order",
    ),
    (task) => {
      const data = x25519.read(task)
      for (const test of data.testGroups.flatMap((group) => group.tests)) {
        const agree = (): Uint8Array =>
          suite.x25519SharedSecret(hex(test.private), hex(test.public))
        // "Acceptable" means: RFC 7748 computes it, a stricter protocol may refuse. We compute all
        // but those that give zeros.
        const wanted = test.flags.includes("ZeroSharedSecret") ? "SUITE_KEY" : test.shared
        expect(outcome(agree), `tcId ${test.tcId}`).toBe(wanted)
      }
    },
  )

  const ed25519 = publishedVectors<Wycheproof<EddsaGroup>>({
    file: "wycheproof/ed25519_test.json",
    count: countCases,
  })
  it(ed25519.name("accepts every valid Ed25519 signature and no other"), (task) => {
    const data = ed25519.read(task)
    for (const { publicKey, tests } of data.testGroups) {
      for (const test of tests) {
        const verdict = suite.ed25519Verify(hex(publicKey.pk), hex(test.msg), hex(test.sig))
        expect(verdict, `tcId ${test.tcId}`).toBe(test.result === "valid")
      }
    }
  })
})

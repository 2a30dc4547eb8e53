import { concatBytes } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { hashPacked, hashPair } from "../../ledger/sha256.ts"
import { seededRandom } from "../support/rng.ts"
import { suites } from "../support/suites.ts"

describe("packed SHA-256", () => {
  const lengths = Array.from({ length: 260 }, (_, i) => i + 1)

  it("agrees with every suite for each length from 1 to 260, three messages at once", () => {
    const random = seededRandom("packed lengths")
    for (const length of lengths) {
      const input = random(3 * length)
      const hashes = hashPacked(length & 0xff, input, length)
      for (let i = 0; i < 3; i++) {
        const message = input.subarray(i * length, (i + 1) * length)
        const prefixed = concatBytes(Uint8Array.of(length & 0xff), message)
        for (const suite of suites) {
          expect(hashes.slice(i * 32, i * 32 + 32)).toEqual(new Uint8Array(suite.sha256(prefixed)))
        }
      }
    }
  })

  it("agrees for the longest entry and around it, and after a longer message than the next", () => {
    const random = seededRandom("packed long")
    for (const length of [65_535, 65_534, 54, 4_096, 1, 64, 65_535]) {
      const input = random(length)
      const prefixed = concatBytes(Uint8Array.of(0), input)
      for (const suite of suites) {
        expect(hashPacked(0, input, length)).toEqual(new Uint8Array(suite.sha256(prefixed)))
      }
    }
  })

  it("takes the end of each record, whatever stands in front of it", () => {
    const random = seededRandom("packed records")
    for (const [length, stride, count] of [
      [54, 56, 300],
      [1, 3, 7],
      [65_535, 65_537, 9],
      [64, 64, 5],
    ] as const) {
      const input = random(count * stride)
      const hashes = hashPacked(0, input, length, stride)
      expect(hashes).toHaveLength(count * 32)
      for (let i = 0; i < count; i++) {
        const message = input.subarray((i + 1) * stride - length, (i + 1) * stride)
        expect(hashes.slice(i * 32, i * 32 + 32)).toEqual(hashPacked(0, message, length))
      }
    }
  })

  it("hashes a pair as the packed pair, whatever was hashed before", () => {
    const random = seededRandom("pairs")
    for (const length of [54, 64, 1, 64, 300]) {
      hashPacked(length & 1, random(length), length)
      const [left, right] = [random(32), random(32)]
      expect(hashPair(1, left, right)).toEqual(hashPacked(1, concatBytes(left, right), 64))
    }
  })

  it("agrees where a call is cut into slices of the module's memory", () => {
    const random = seededRandom("packed slices")
    const count = 20_011
    const input = random(count * 64)
    const hashes = hashPacked(1, input, 64)
    expect(hashes).toHaveLength(count * 32)
    for (const i of [0, 1, 4_095, 4_096, 8_191, 8_192, count - 1]) {
      const prefixed = concatBytes(Uint8Array.of(1), input.subarray(i * 64, i * 64 + 64))
      for (const suite of suites) {
        expect(hashes.slice(i * 32, i * 32 + 32)).toEqual(new Uint8Array(suite.sha256(prefixed)))
      }
    }
    expect(hashPacked(1, new Uint8Array(0), 64)).toHaveLength(0)
  })
})

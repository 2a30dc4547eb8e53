import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { crc32c } from "../../../node/store/crc32c.ts"

const text = (ascii: string) => new TextEncoder().encode(ascii)

/** Bit by bit, as the definition reads. */
function slow(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

describe("crc32c", () => {
  it("gives the values of RFC 3720 §B.4 and the usual check value", () => {
    expect(crc32c(text("123456789"))).toBe(0xe306_9283)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa)
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8_ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd_794e)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index))).toBe(0x113f_db5c)
    expect(crc32c(new Uint8Array(0))).toBe(0)
  })

  it("agrees with the definition on any bytes, in one piece or two", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
        expect(crc32c(bytes)).toBe(slow(bytes))
        expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(slow(bytes))
      }),
    )
  })
})

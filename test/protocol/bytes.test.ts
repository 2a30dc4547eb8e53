import { describe, expect, it } from "vitest"
import { compareBytes, concatBytes, equalBytes, u16, u32, u8 } from "../../protocol/bytes.ts"

describe("bytes", () => {
  it("joins parts in order, also none", () => {
    expect(concatBytes(u8(1), u16(0x0203), u32(0x04050607))).toEqual(
      Uint8Array.of(1, 2, 3, 4, 5, 6, 7),
    )
    expect(concatBytes()).toEqual(new Uint8Array(0))
  })

  it("writes integers big-endian up to their full range", () => {
    expect(u8(255)).toEqual(Uint8Array.of(255))
    expect(u16(0xffff)).toEqual(Uint8Array.of(255, 255))
    expect(u32(0xffff_ffff)).toEqual(Uint8Array.of(255, 255, 255, 255))
  })

  it("calls two arrays equal only if every byte and the length are", () => {
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
  })

  it("orders by unsigned bytes, a prefix first", () => {
    expect(compareBytes(Uint8Array.of(0x7f), Uint8Array.of(0x80))).toBeLessThan(0)
    expect(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBeLessThan(0)
    expect(compareBytes(Uint8Array.of(2), Uint8Array.of(1, 9))).toBeGreaterThan(0)
    expect(compareBytes(Uint8Array.of(5), Uint8Array.of(5))).toBe(0)
  })
})

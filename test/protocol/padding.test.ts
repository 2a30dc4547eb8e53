import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import { concatBytes, u32 } from "../../protocol/bytes.ts"
import { ENVELOPE_PLAINTEXT_BYTES_MAX, PADDED_BYTES_MIN } from "../../protocol/limits.ts"
import { LENGTH_PREFIX_BYTES, pad, paddedLength, unpad } from "../../protocol/padding.ts"
import { refusal } from "../support/refusal.ts"

const lengths = fc.nat(ENVELOPE_PLAINTEXT_BYTES_MAX)

describe("padded lengths", () => {
  it("are those of the PURB paper, above a floor of 1 KiB", () => {
    // By hand: an exponent of 10 … 15 takes four bits, of 16 … 31 five.
    for (const [length, padded] of [
      [0, 1_024],
      [1, 1_024],
      [1_024, 1_024],
      [1_025, 1_088],
      [1_089, 1_152],
      [2_047, 2_048],
      [2_049, 2_176],
      [10_000, 10_240],
      [65_535, 65_536],
      [65_536, 65_536],
      [65_537, 67_584],
      [1_000_000, 1_015_808],
      [16_777_217, 17_301_504],
    ] as const) {
      expect(paddedLength(length), `${length}`).toBe(padded)
    }
  })

  it("suffice, add at most 12 %, never shrink, and are their own padded length", () => {
    fc.assert(
      fc.property(lengths, (length) => {
        const padded = paddedLength(length)
        expect(padded).toBeGreaterThanOrEqual(length)
        expect(padded).toBeLessThanOrEqual(Math.max(PADDED_BYTES_MIN, length * 1.12))
        expect(paddedLength(length + 1)).toBeGreaterThanOrEqual(padded)
        expect(paddedLength(padded)).toBe(padded)
      }),
      { seed: 1, numRuns: 2_000 },
    )
  })

  it("are few: 19 MiB of lengths fall into fewer than 400", () => {
    const found = new Set<number>()
    for (let length = 0; length <= ENVELOPE_PLAINTEXT_BYTES_MAX;) {
      const padded = paddedLength(length)
      found.add(padded)
      length = padded + 1
    }
    expect(found.size).toBeLessThan(400)
  })

  it("are asked for whole numbers only", () => {
    for (const length of [-1, 1.5, Number.NaN, 2 ** 31]) {
      expect(() => paddedLength(length)).toThrow(AssertionError)
    }
  })
})

describe("padded bytes", () => {
  it("give the content back, and nothing but it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_000 }), (content) => {
        const padded = pad(content, paddedLength(content.length + LENGTH_PREFIX_BYTES))
        expect(padded.length).toBe(paddedLength(padded.length))
        expect(unpad(padded)).toEqual(content)
      }),
      { seed: 2 },
    )
  })

  it("come out of the bytes that were accepted, again to the byte", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.uint8Array({ maxLength: 40 }), (length, rest) => {
        const given = concatBytes(u32(length), rest)
        let again: Uint8Array | undefined
        const code = refusal(() => {
          again = pad(unpad(given), given.length)
        })
        expect(again ?? code).toEqual(code === undefined ? given : "ENVELOPE_PADDING")
      }),
      { seed: 3, numRuns: 1_000 },
    )
  })

  it("are refused when a byte of the fill is set", () => {
    const padded = pad(Uint8Array.of(1, 2, 3), 32)
    expect(unpad(padded)).toEqual(Uint8Array.of(1, 2, 3))
    for (let index = 7; index < 32; index++) {
      const damaged = Uint8Array.from(padded)
      damaged[index] = 1
      expect(
        refusal(() => unpad(damaged)),
        `byte ${index}`,
      ).toBe("ENVELOPE_PADDING")
    }
  })

  it("are refused when the length does not fit", () => {
    expect(refusal(() => unpad(new Uint8Array(3)))).toBe("ENVELOPE_PADDING")
    expect(refusal(() => unpad(concatBytes(u32(5), new Uint8Array(4))))).toBe("ENVELOPE_PADDING")
    expect(refusal(() => unpad(new Uint8Array(1_024).fill(0xff)))).toBe("ENVELOPE_PADDING")
    expect(unpad(concatBytes(u32(4), new Uint8Array(4)))).toEqual(new Uint8Array(4))
  })

  it("must have room for the content", () => {
    expect(() => pad(new Uint8Array(29), 32)).toThrow(AssertionError)
    expect(pad(new Uint8Array(28), 32)).toHaveLength(32)
  })
})

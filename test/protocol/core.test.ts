import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encode, type Encodable } from "../../protocol/codec.ts"
import { coreFields, decodeCore, encodeCore, type Core } from "../../protocol/core.ts"
import { BODY_TYPES, KINDS, PRECEDENCES } from "../../protocol/words.ts"
import { NOON_MS } from "../support/contents.ts"
import { refusal } from "../support/refusal.ts"

const CORE: Core = {
  net: new Uint8Array(32).fill(1),
  bodyType: "cable",
  kind: "real",
  sender: 2,
  signerKid: new Uint8Array(32).fill(2),
  incarnation: 0,
  seq: 1,
  prevHash: new Uint8Array(32),
  highestPrecedence: "flash",
  flags: { breakGlass: false, courier: false },
  createdMs: NOON_MS,
  expiresMs: NOON_MS + 1,
  paddedLen: 1_024,
}

/** The encoded core with one field replaced. */
function withField(index: number, value: Encodable): Uint8Array {
  const fields = coreFields(CORE)
  if (!Array.isArray(fields)) throw new TypeError("a core is an array")
  return encode((fields as readonly Encodable[]).with(index, value))
}

describe("the core of an envelope", () => {
  it("re-encodes to the same bytes, whatever it says", () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const cores = fc.record({
      net: hash,
      bodyType: fc.constantFrom(...BODY_TYPES.list.filter((type) => type !== "signal")),
      kind: fc.constantFrom(...KINDS.list),
      sender: fc.nat(0xffff),
      signerKid: hash,
      incarnation: fc.nat(0xffff_ffff),
      seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      prevHash: hash,
      highestPrecedence: fc.constantFrom(...PRECEDENCES.list),
      flags: fc.record({ breakGlass: fc.boolean(), courier: fc.boolean() }),
      createdMs: fc.nat(),
      expiresMs: fc.integer({ min: 2 ** 31, max: Number.MAX_SAFE_INTEGER }),
      paddedLen: fc.integer({ min: 1_024, max: 19 * 1_048_576 }),
    })
    fc.assert(
      fc.property(cores, (core) => {
        const bytes = encodeCore(core)
        expect(decodeCore(bytes)).toEqual(core)
        expect(bytes.length).toBeLessThan(256)
      }),
      { seed: 9, numRuns: 500 },
    )
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeCore(CORE)
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeCore(decodeCore(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|ENVELOPE_SUITE|ENVELOPE_HEADER)/)
      }),
      { seed: 10, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(refusal(() => decodeCore(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 11, numRuns: 500 },
    )
  })

  it("refuses other suites, unknown words, unknown flags and impossible numbers by name", () => {
    const cases: [number, Encodable, string][] = [
      [0, "TB1/hdr", "CODEC_LABEL"],
      [1, 2, "ENVELOPE_SUITE"],
      [2, new Uint8Array(31), "CODEC_LENGTH"],
      [3, 0, "CODEC_RANGE"],
      [3, 5, "CODEC_RANGE"],
      [4, 0, "CODEC_RANGE"],
      [4, 5, "CODEC_RANGE"],
      [5, 0x1_0000, "CODEC_RANGE"],
      [7, 0x1_0000_0000, "CODEC_RANGE"],
      [8, 0, "ENVELOPE_HEADER"],
      [10, 6, "CODEC_RANGE"],
      [11, 4, "CODEC_RANGE"],
      [13, NOON_MS, "ENVELOPE_HEADER"],
      [14, 1_023, "ENVELOPE_HEADER"],
      [14, 19 * 1_048_576 + 1, "CODEC_RANGE"],
      [14, "1024", "CODEC_TYPE"],
    ]
    expect(refusal(() => decodeCore(encodeCore(CORE)))).toBeUndefined()
    for (const [index, value, code] of cases) {
      expect(
        refusal(() => decodeCore(withField(index, value))),
        `field ${index}`,
      ).toBe(code)
    }
  })

  it("gives a signal one padded length and no other", () => {
    const signal: Core = { ...CORE, bodyType: "signal", paddedLen: 8_192 }
    expect(decodeCore(encodeCore(signal))).toEqual(signal)
    expect(refusal(() => decodeCore(encodeCore({ ...signal, paddedLen: 8_704 })))).toBe(
      "ENVELOPE_HEADER",
    )
  })
})

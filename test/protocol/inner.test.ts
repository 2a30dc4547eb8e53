import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encode } from "../../protocol/codec.ts"
import {
  checkAddresses,
  decodeInner,
  encodeInner,
  paddedInnerLength,
  type Inner,
  type ListedRecipient,
} from "../../protocol/inner.ts"
import { LABELS } from "../../protocol/labels.ts"
import { refusal } from "../support/refusal.ts"

function recipient(rid: number): ListedRecipient {
  return {
    rid,
    role: "action",
    precedence: "flash",
    pairSeq: 5,
    leaf: new Uint8Array(32).fill(rid),
  }
}

const INNER: Inner = {
  coreHash: new Uint8Array(32).fill(4),
  recipients: [recipient(1), recipient(3)],
  exempted: [2, 9],
  content: Uint8Array.of(1, 2, 3),
  release: Uint8Array.of(4),
}

describe("the plaintext of an envelope", () => {
  it("comes back from its bytes as it went in", () => {
    const bytes = encodeInner(INNER)
    expect(decodeInner(bytes, "cable")).toEqual(INNER)
    expect(encodeInner(decodeInner(bytes, "cable"))).toEqual(bytes)
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeInner(INNER)
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const again = (): Uint8Array => encodeInner(decodeInner(bytes, "cable"))
        const code = refusal(() => expect(again()).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|ENVELOPE_RECIPIENTS)/)
      }),
      { seed: 14, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(refusal(() => decodeInner(bytes, "cable"))).toMatch(/^CODEC_/)
      }),
      { seed: 15, numRuns: 500 },
    )
    for (let length = 0; length < valid.length; length++) {
      expect(refusal(() => decodeInner(valid.subarray(0, length), "cable"))).toMatch(/^CODEC_/)
    }
  })

  it("refuses lists that are not strictly sorted, and addressees who are exempted", () => {
    const cases: [Partial<Inner>, string][] = [
      [{ recipients: [recipient(3), recipient(1)] }, "CODEC_ORDER"],
      [{ recipients: [recipient(3), recipient(3)] }, "CODEC_ORDER"],
      [{ exempted: [9, 2] }, "CODEC_ORDER"],
      [{ exempted: [2, 2] }, "CODEC_ORDER"],
      [{ exempted: [3] }, "ENVELOPE_RECIPIENTS"],
      [{ recipients: [] }, "CODEC_LENGTH"],
    ]
    for (const [change, code] of cases) {
      const bytes = encodeInner({ ...INNER, ...change })
      expect(refusal(() => decodeInner(bytes, "cable"))).toBe(code)
    }
  })

  it("holds 81 addressees of a cable and 16 of a signal, and not one more", () => {
    const list = (count: number): ListedRecipient[] =>
      Array.from({ length: count }, (_, index) => recipient(100 + index))
    const check = (type: "cable" | "signal", count: number): string | undefined =>
      refusal(() => decodeInner(encodeInner({ ...INNER, recipients: list(count) }), type))
    expect(check("cable", 81)).toBeUndefined()
    expect(check("cable", 82)).toBe("CODEC_LENGTH")
    expect(check("signal", 16)).toBeUndefined()
    expect(check("signal", 17)).toBe("ENVELOPE_RECIPIENTS")
  })

  it("refuses a list that claims a thousand million addressees without allocating for them", () => {
    const head = encode([LABELS.inner, new Uint8Array(32)]).slice(1)
    const bytes = Uint8Array.of(0x86, ...head, 0x9a, 0x3b, 0x9a, 0xca, 0x00)
    expect(refusal(() => decodeInner(bytes, "cable"))).toBe("CODEC_LENGTH")
  })
})

describe("addressees", () => {
  it("may stand in any order before sealing, each once", () => {
    const codes = [
      refusal(() => checkAddresses("cable", [recipient(3), recipient(1)], [2])),
      refusal(() => checkAddresses("cable", [recipient(3), recipient(3)], [])),
      refusal(() => checkAddresses("cable", [recipient(3)], [3])),
      refusal(() => checkAddresses("cable", [recipient(3)], [4, 4])),
      refusal(() => checkAddresses("cable", [], [])),
    ]
    const wrong = "ENVELOPE_RECIPIENTS"
    expect(codes).toEqual([undefined, wrong, wrong, wrong, wrong])
  })
})

describe("the padded length", () => {
  it("is Padmé with a floor for cables and one size for signals", () => {
    expect(paddedInnerLength("cable", 10)).toBe(1_024)
    expect(paddedInnerLength("cable", 1_020)).toBe(1_024)
    expect(paddedInnerLength("cable", 1_021)).toBeGreaterThan(1_024)
    expect(paddedInnerLength("signal", 10)).toBe(8_192)
    expect(paddedInnerLength("signal", 8_188)).toBe(8_192)
    expect(refusal(() => paddedInnerLength("signal", 8_189))).toBe("ENVELOPE_PADDING")
  })
})

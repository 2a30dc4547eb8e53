import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  cableTextBytesMax,
  decodeCable,
  encodeCable,
  normaliseText,
  validateCable,
  type CableContent,
} from "../../protocol/cable.ts"
import { encode, type Encodable } from "../../protocol/codec.ts"
import { LABELS } from "../../protocol/labels.ts"
import { CLASSIFICATIONS, PRECEDENCES } from "../../protocol/words.ts"
import { sampleCable } from "../support/contents.ts"
import { refusal } from "../support/refusal.ts"

const NFC_TEXT = fc.string({ unit: "grapheme", maxLength: 40 }).map((text) => text.normalize("NFC"))

describe("the content of a cable", () => {
  it("comes back from its bytes as it went in, in both languages", () => {
    const cable: CableContent = {
      ...sampleCable(),
      caveats: ["EYES ONLY", "NOFORN"],
      dateTimeGroup: "211935Z JUL 67",
      originRef: "MEA-WAS/123/26",
      subject: "বাণিজ্য আলোচনা / trade talks",
      references: ["DAC 12", "LON 7"],
      subjectCodes: ["PFOR", "বাণিজ্য"],
      inReplyTo: new Uint8Array(32).fill(7),
      text: "আমাদের আলোচনা শেষ হয়েছে।\n\nTalks ended. 😀",
    }
    const bytes = encodeCable(cable)
    expect(decodeCable(bytes)).toEqual(cable)
    expect(encodeCable(decodeCable(bytes))).toEqual(bytes)
  })

  it("re-encodes to the same bytes whatever fields it has", () => {
    const cables = fc.record({
      classification: fc.constantFrom(...CLASSIFICATIONS.list),
      caveats: fc.array(fc.constantFrom("EYES ONLY", "সীমিত"), { maxLength: 4 }),
      dateTimeGroup: fc.constantFrom("", "211935Z JUL 67"),
      filedMs: fc.nat(),
      originRef: NFC_TEXT.filter((text) => text.length < 30),
      subject: NFC_TEXT,
      references: fc.array(fc.constantFrom("DAC 1", "LON 2"), { maxLength: 4 }),
      subjectCodes: fc.array(fc.constantFrom("PFOR", "UN"), { maxLength: 4 }),
      inReplyTo: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined }),
      text: NFC_TEXT.filter((text) => text !== ""),
    })
    fc.assert(
      fc.property(cables, (cable) => {
        // Graphemes may be longer than fc counts; such a cable is refused for its size alone.
        if (refusal(() => validateCable(cable, "routine")) !== undefined) return
        expect(decodeCable(encodeCable(cable))).toEqual(cable)
      }),
      { seed: 3, numRuns: 300 },
    )
  })

  it("answers arbitrary and damaged bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeCable(sampleCable())
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeCable(decodeCable(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|CABLE_INVALID)/)
      }),
      { seed: 4, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => decodeCable(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 5, numRuns: 500 },
    )
  })

  it("refuses another version, extensions and every cut", () => {
    const fields: Encodable[] = [
      LABELS.cableContent,
      1,
      0,
      [],
      "",
      0,
      "",
      "",
      [],
      [],
      new Uint8Array(0),
      "text",
      [],
    ]
    expect(decodeCable(encode(fields)).text).toBe("text")
    expect(refusal(() => decodeCable(encode(fields.with(1, 2))))).toBe("CODEC_VERSION")
    expect(refusal(() => decodeCable(encode(fields.with(12, [1]))))).toBe("CODEC_LENGTH")
    expect(refusal(() => decodeCable(encode(fields.with(10, new Uint8Array(31)))))).toBe(
      "CODEC_LENGTH",
    )
    const bytes = encode(fields)
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(() => decodeCable(bytes.subarray(0, length)))).toMatch(/^CODEC_/)
    }
  })
})

describe("the rules of a cable", () => {
  it.each(PRECEDENCES.list)("a %s text may fill its cap and not one byte more", (precedence) => {
    const cap = cableTextBytesMax(precedence)
    const full = { ...sampleCable(), text: "x".repeat(cap) }
    expect(refusal(() => validateCable(full, precedence))).toBeUndefined()
    expect(() => validateCable({ ...full, text: "x".repeat(cap + 1) }, precedence)).toThrow(
      expect.objectContaining({
        code: "CABLE_TOO_LARGE",
        message: `cable ${precedence} text: expected at most ${cap} bytes, got ${cap + 1}`,
      }),
    )
  })

  it("counts bytes of UTF-8, not characters", () => {
    const cap = cableTextBytesMax("flash")
    const text = "ক".repeat(Math.floor(cap / 3))
    expect(refusal(() => validateCable({ ...sampleCable(), text }, "flash"))).toBeUndefined()
    expect(refusal(() => validateCable({ ...sampleCable(), text: `${text}ক` }, "flash"))).toBe(
      "CABLE_TOO_LARGE",
    )
  })

  it("has the caps 16 KiB, 1 MiB and 16 MiB, never lower for a lower precedence", () => {
    expect(PRECEDENCES.list.map((one) => cableTextBytesMax(one) / 1024)).toEqual([
      16_384, 16_384, 16_384, 1_024, 16, 16,
    ])
  })

  it("refuses what cannot be sent", () => {
    const good = sampleCable()
    const wrong: [Partial<CableContent>, string][] = [
      [{ text: "" }, "CABLE_INVALID"],
      [{ dateTimeGroup: "310000Z FEB 67" }, "CABLE_INVALID"],
      [{ subjectCodes: ["NINECHARS"] }, "CABLE_INVALID"],
      [{ subjectCodes: [""] }, "CABLE_INVALID"],
      [{ references: [""] }, "CABLE_INVALID"],
      [{ inReplyTo: new Uint8Array(31) }, "CABLE_INVALID"],
      [{ subject: "x".repeat(1_025) }, "CABLE_TOO_LARGE"],
      [{ originRef: "x".repeat(129) }, "CABLE_TOO_LARGE"],
      [{ references: Array.from({ length: 33 }, () => "DAC 1") }, "CABLE_TOO_LARGE"],
      [{ references: ["x".repeat(257)] }, "CABLE_TOO_LARGE"],
      [{ caveats: ["x".repeat(65)] }, "CABLE_TOO_LARGE"],
      [{ text: "lone \ud800 surrogate" }, "CODEC_TEXT"],
      [{ text: "\u09dc" }, "CODEC_TEXT"],
    ]
    expect(refusal(() => validateCable(good, "routine"))).toBeUndefined()
    for (const [change, code] of wrong) {
      const cable = { ...good, ...change }
      expect(
        refusal(() => validateCable(cable, "routine")),
        JSON.stringify(change),
      ).toBe(code)
    }
  })
})

describe("text that enters", () => {
  it("is decomposed where Bengali normal form asks for it, and the sender is told", () => {
    // RRA, RHA and YYA are composition exclusions: NFC is the letter and a nukta.
    const cases: [string, string][] = [
      ["\u09dc", "\u09a1\u09bc"],
      ["\u09dd", "\u09a2\u09bc"],
      ["\u09df", "\u09af\u09bc"],
    ]
    for (const [entered, nfc] of cases) {
      expect(normaliseText(`পা${entered}া`)).toEqual({ text: `পা${nfc}া`, changed: true })
      expect(normaliseText(`পা${nfc}া`)).toEqual({ text: `পা${nfc}া`, changed: false })
    }
    // Two-part vowel signs are composed.
    expect(normaliseText("\u0995\u09c7\u09be")).toEqual({ text: "\u0995\u09cb", changed: true })
  })

  it("is left alone when it is NFC already, and refused with half a surrogate pair", () => {
    expect(normaliseText("Talks ended. 😀")).toEqual({ text: "Talks ended. 😀", changed: false })
    expect(refusal(() => normaliseText("\udc00"))).toBe("CODEC_TEXT")
  })

  it("passes validation after it was normalised, and decodes to the same text", () => {
    const { text } = normaliseText("পাড়া, গাঢ়, বিজয়")
    const cable = { ...sampleCable(), text }
    validateCable(cable, "flash")
    expect(decodeCable(encodeCable(cable)).text).toBe(text)
  })
})

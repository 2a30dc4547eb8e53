import { describe, expect, it } from "vitest"
import * as fc from "fast-check"
import { cut, pad, visible, visibleLine, widthOf, wrap } from "../../cli/width.ts"

describe("a text on the terminal", () => {
  it("is as wide as terminals make it", () => {
    const widths: [string, number][] = [
      ["abc", 3],
      ["", 0],
      ["ক", 1],
      ["কি", 2],
      ["কু", 1],
      ["ক্ষ", 2],
      ["বাংলা", 5],
      ["日本", 4],
      ["e\u0301", 1],
      ["👩‍👩‍👧", 2],
      ["a\u200cb", 2],
    ]
    for (const [text, width] of widths) expect([text, widthOf(text)]).toEqual([text, width])
  })

  it("is cut between characters as people count them, never within", () => {
    expect(cut("abcdef", 4)).toBe("abc…")
    expect(cut("abcd", 4)).toBe("abcd")
    expect(cut("কিকিকি", 4)).toBe("কি…")
    expect(cut("日本語", 4)).toBe("日…")
  })

  it("shows what would deceive the reader as code points, and Bengali as it is", () => {
    expect(visible("a\u202eb\u0000\u001b\u2066\ufeff\u0085")).toBe(
      "a<U+202E>b<U+0000><U+001B><U+2066><U+FEFF><U+0085>",
    )
    expect(visible("র\u200d্য ক্ষ\u200c\n\tবাংলা")).toBe("র\u200d্য ক্ষ\u200c\n\tবাংলা")
    expect(visibleLine("a\r\nb\tc\rd")).toBe("a b c<U+000D>d")
  })

  it("keeps to its cells however it is made", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 3, max: 40 }),
        (text, cells) => {
          const line = visibleLine(text)
          expect(widthOf(cut(line, cells))).toBeLessThanOrEqual(cells)
          expect(widthOf(pad(cut(line, cells), cells))).toBe(cells)
          for (const part of wrap(line, cells)) expect(widthOf(part)).toBeLessThanOrEqual(cells + 2)
          expect(visible(visible(text))).toBe(visible(text))
        },
      ),
    )
  })
})

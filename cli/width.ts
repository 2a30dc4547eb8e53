/**
 * Texts on a terminal: how wide they are, how they are cut, and how characters that would deceive
 * the reader are shown.
 */

// Made when it is first needed: that takes 12 ms, and most of what we print is ASCII.
let segmenter: Intl.Segmenter | undefined

/** Characters as people count them. */
function clusters(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter("bn", { granularity: "grapheme" })
  return segmenter.segment(text)
}

// Controls, bidirectional and other invisible marks, line separators, private use. The joiners
// U+200C and U+200D stay: Bengali is written with them.
const DECEIVING = /(?!\u200c|\u200d|\n|\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu
// Marks that take no cell of their own, as terminals count them; Bengali vowel signs such as U+09BE
// are spacing marks and do take one.
const NO_CELL = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]$/u
// East Asian wide and full-width blocks.
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]$/u
const PICTURE = /\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f/u

/**
 * A text of unknown origin as it may be shown: a control or bidirectional character stands as its
 * code point, such as `<U+202E>`. Line breaks and tabs stay.
 */
export function visible(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(DECEIVING, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase()
    return `<U+${hex.padStart(4, "0")}>`
  })
}

/** As {@link visible}, on one line: line breaks and tabs become spaces. */
export function visibleLine(text: string): string {
  return visible(text).replace(/[\n\t]+/g, " ")
}

/** Cells that a text takes on a terminal. */
export function widthOf(text: string): number {
  // Plain ASCII is most of what we print.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of clusters(text)) width += clusterWidth(segment)
  return width
}

/** At most so many cells, never cutting within a character; what was cut ends in `…`. */
export function cut(text: string, cells: number): string {
  if (widthOf(text) <= cells) return text
  let kept = ""
  let width = 0
  for (const { segment } of clusters(text)) {
    width += clusterWidth(segment)
    if (width > cells - 1) break
    kept += segment
  }
  return `${kept}…`
}

/** Filled up with spaces to so many cells. */
export function pad(text: string, cells: number, side: "left" | "right" = "right"): string {
  const spaces = " ".repeat(Math.max(0, cells - widthOf(text)))
  return side === "right" ? text + spaces : spaces + text
}

/**
 * Lines of at most so many cells, broken at spaces where there are any. A longer word is cut, or
 * kept whole on a line of its own, however long.
 */
export function wrap(
  text: string,
  cells: number,
  longWords: "cut" | "whole" = "cut",
): readonly string[] {
  const lines: string[] = []
  for (const paragraph of text.split("\n")) {
    let line = ""
    const words = paragraph.split(" ")
    for (const word of longWords === "cut" ? words.flatMap((one) => pieces(one, cells)) : words) {
      const longer = line === "" ? word : `${line} ${word}`
      if (line !== "" && widthOf(longer) > cells) {
        lines.push(line)
        line = word
      } else line = longer
    }
    lines.push(line)
  }
  return lines
}

function pieces(word: string, cells: number): readonly string[] {
  if (widthOf(word) <= cells) return [word]
  const all: string[] = []
  let piece = ""
  for (const { segment } of clusters(word)) {
    if (widthOf(piece + segment) > cells) {
      all.push(piece)
      piece = ""
    }
    piece += segment
  }
  return [...all, piece]
}

function clusterWidth(cluster: string): number {
  if (PICTURE.test(cluster)) return 2
  let width = 0
  for (const character of cluster) {
    if (WIDE.test(character)) width += 2
    else if (!NO_CELL.test(character)) width += 1
  }
  return width
}

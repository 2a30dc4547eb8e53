import { describe, expect, it } from "vitest"
import { encode, Reader } from "../../protocol/codec.ts"
import {
  BODY_TYPES,
  CLASSIFICATIONS,
  classificationRank,
  highestPrecedence,
  KINDS,
  PRECEDENCES,
  precedenceRank,
  RECEIPT_REASONS,
  RECEIPT_STAGES,
  RECIPIENT_ROLES,
  RELEASE_ROLES,
  SIGNAL_CATEGORIES,
  SIGNAL_CERTAINTIES,
  SIGNAL_EVENT_KINDS,
  SIGNAL_MESSAGE_TYPES,
  SIGNAL_SEVERITIES,
  SIGNAL_STATUSES,
  SIGNAL_URGENCIES,
  type Words,
} from "../../protocol/words.ts"

const SETS: [string, Words<string>, number][] = [
  ["body types", BODY_TYPES, 1],
  ["kinds", KINDS, 1],
  ["recipient roles", RECIPIENT_ROLES, 1],
  ["precedences", PRECEDENCES, 0],
  ["classifications", CLASSIFICATIONS, 0],
  ["release roles", RELEASE_ROLES, 1],
  ["receipt stages", RECEIPT_STAGES, 1],
  ["receipt reasons", RECEIPT_REASONS, 0],
  ["signal statuses", SIGNAL_STATUSES, 1],
  ["signal message types", SIGNAL_MESSAGE_TYPES, 1],
  ["signal categories", SIGNAL_CATEGORIES, 1],
  ["signal urgencies", SIGNAL_URGENCIES, 1],
  ["signal severities", SIGNAL_SEVERITIES, 1],
  ["signal certainties", SIGNAL_CERTAINTIES, 1],
  ["signal event kinds", SIGNAL_EVENT_KINDS, 1],
]

describe("words", () => {
  it.each(SETS)("%s map to integers and back, and no other integer is read", (_, words, first) => {
    expect(new Set(words.list).size).toBe(words.list.length)
    for (const [index, word] of words.list.entries()) {
      expect(words.code(word)).toBe(first + index)
      expect(words.read(new Reader(encode(first + index), "test"), "word")).toBe(word)
    }
    for (const code of [first - 1, first + words.list.length, 255, 2 ** 40]) {
      if (code < 0) continue
      const reader = new Reader(encode(code), "test")
      expect(() => words.read(reader, "word")).toThrow(
        expect.objectContaining({ code: "CODEC_RANGE" }),
      )
    }
  })

  it("ranks precedences and classifications as the field does", () => {
    expect(PRECEDENCES.list.map(precedenceRank)).toEqual([0, 1, 2, 3, 4, 5])
    expect(CLASSIFICATIONS.list.map(classificationRank)).toEqual([0, 1, 2, 3, 4])
  })

  it("finds the highest precedence wherever it stands", () => {
    expect(highestPrecedence(["routine", "flash", "immediate"])).toBe("flash")
    expect(highestPrecedence(["override", "deferred"])).toBe("override")
    expect(highestPrecedence([])).toBe("deferred")
  })
})

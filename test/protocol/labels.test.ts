import { describe, expect, it } from "vitest"
import { LABELS } from "../../protocol/labels.ts"

describe("the registry of labels", () => {
  it("holds no label twice, and none that is a prefix of another", () => {
    const labels = Object.values(LABELS)
    expect(new Set<string>(labels).size).toBe(labels.length)
    const pairs = labels.flatMap((one) =>
      labels.filter((other) => other !== one && other.startsWith(one)).map((other) => [one, other]),
    )
    expect(pairs).toEqual([])
  })

  it("holds plain ASCII alone, and at most 64 characters, which readers accept", () => {
    for (const label of Object.values(LABELS)) {
      expect(label).toMatch(/^[\x21-\x7e]+\0?$/)
      expect(label.length).toBeLessThanOrEqual(64)
    }
  })
})

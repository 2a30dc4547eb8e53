import { describe, expect, it } from "vitest"
import { corruptMissionsOf, missionThreshold } from "../../ledger/policy.ts"

describe("the majority of missions", () => {
  it("is 46 of 81, with ten that may lie", () => {
    expect(corruptMissionsOf(81)).toBe(10)
    expect(missionThreshold(81)).toBe(46)
  })

  it("makes any two such sets share an honest mission, for any number of them", () => {
    for (let count = 1; count <= 128; count++) {
      const shared = 2 * missionThreshold(count) - count
      expect(shared).toBeGreaterThan(corruptMissionsOf(count))
      expect(missionThreshold(count)).toBeLessThanOrEqual(count)
    }
  })
})

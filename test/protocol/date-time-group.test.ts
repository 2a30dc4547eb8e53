import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { formatDateTimeGroup, isDateTimeGroup } from "../../protocol/date-time-group.ts"

describe("date-time groups", () => {
  it("accepts the forms that cables use", () => {
    for (const text of ["211935Z JUL 67", "010000A JAN 00", "290000Z FEB 24", "312359F DEC 99"]) {
      expect(isDateTimeGroup(text), text).toBe(true)
    }
  })

  it("refuses days, hours, zones and months that do not exist", () => {
    const wrong = [
      "",
      "211935Z JUL 1967",
      "211935 JUL 67",
      "211935z jul 67",
      "000000Z JUL 67",
      "310000Z JUN 67",
      "300000Z FEB 24",
      "290000Z FEB 23",
      "212400Z JUL 67",
      "211960Z JUL 67",
      "211935J JUL 67",
      "211935Z JUX 67",
      " 211935Z JUL 67",
      "211935Z JUL 67\n",
      "২১১৯৩৫Z JUL 67",
    ]
    for (const text of wrong) expect(isDateTimeGroup(text), text).toBe(false)
  })

  it("formats Unix time in Zulu", () => {
    expect(formatDateTimeGroup(0)).toBe("010000Z JAN 70")
    expect(formatDateTimeGroup(Date.UTC(2024, 1, 29, 23, 59, 59, 999))).toBe("292359Z FEB 24")
    expect(formatDateTimeGroup(Date.UTC(2000, 11, 31, 12, 30))).toBe("311230Z DEC 00")
  })

  it("agrees with the platform's calendar for eight centuries", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 25_000_000_000_000 }), (timeMs) => {
        const date = new Date(timeMs)
        const text = formatDateTimeGroup(timeMs)
        expect(text.slice(0, 2)).toBe(date.getUTCDate().toString().padStart(2, "0"))
        expect(text.slice(2, 4)).toBe(date.getUTCHours().toString().padStart(2, "0"))
        expect(text.slice(4, 6)).toBe(date.getUTCMinutes().toString().padStart(2, "0"))
        const month = date.toLocaleString("en-US", { month: "short", timeZone: "UTC" })
        expect(text.slice(8, 11)).toBe(month.toUpperCase())
        expect(text.slice(12)).toBe((date.getUTCFullYear() % 100).toString().padStart(2, "0"))
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  it("accepts everything it formats, in the years that two digits mean", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Date.UTC(2099, 11, 31) }), (timeMs) => {
        expect(isDateTimeGroup(formatDateTimeGroup(timeMs))).toBe(true)
      }),
      { seed: 2, numRuns: 500 },
    )
  })
})

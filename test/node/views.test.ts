import { describe, expect, it } from "vitest"
import type { AddresseeRow } from "../../node/delivery/rows.ts"
import { addresseeOf, Names } from "../../node/views.ts"
import { Directory } from "../../protocol/directory.ts"
import { createMinistry } from "../support/ministry.ts"

const { suite, genesisBytes } = createMinistry(2, "views")
const names = new Names(new Directory(suite, genesisBytes))

function attemptsOf(change: Partial<AddresseeRow>): number {
  const row: AddresseeRow = {
    rid: 2,
    role: "action",
    precedence: "routine",
    state: "queued",
    atMs: 1,
    relays: [],
    attempts: 0,
    ...change,
  }
  return addresseeOf(row, names).attempts
}

describe("an addressee as the sender sees it", () => {
  it("was tried once when the first try went through", () => {
    for (const state of ["delivered", "read", "acted"] as const) {
      expect(attemptsOf({ state })).toBe(1)
      expect(attemptsOf({ state, attempts: 3 })).toBe(4)
    }
  })

  it("was not tried while the cable is only queued", () => {
    expect(attemptsOf({})).toBe(0)
    expect(attemptsOf({ attempts: 2 })).toBe(2)
  })

  it("got it by a relay in the tries that are counted already", () => {
    expect(attemptsOf({ state: "relayed", relays: [1], attempts: 1 })).toBe(1)
    expect(attemptsOf({ state: "delivered", relays: [1], attempts: 1 })).toBe(1)
  })

  it("refused it in a try, whether it said so at once or by a receipt", () => {
    expect(attemptsOf({ state: "refused" })).toBe(1)
    expect(attemptsOf({ state: "refused", attempts: 2 })).toBe(2)
  })

  it("has its code, or its number while the directory does not know it", () => {
    const row = { role: "info", precedence: "flash", state: "queued", atMs: 1 } as const
    const coded = (rid: number) => addresseeOf({ ...row, rid, relays: [1, 9], attempts: 0 }, names)
    expect(coded(2)).toMatchObject({ mission: "LON", relays: ["DAC", "#9"] })
    expect(coded(9)).toMatchObject({ mission: "#9" })
  })
})

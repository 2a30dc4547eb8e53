import { describe, expect, it } from "vitest"
import {
  createValidatorSet,
  faultsOf,
  leaderOf,
  quorumOf,
  validatorIndex,
} from "../../ledger/validators.ts"
import { named, validatorFacts, validatorSet } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

describe("the quorum", () => {
  it("of 1 to 16 validators is the table of the specification", () => {
    const table = [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11]
    expect(table.map((_, i) => quorumOf(i + 1))).toEqual(table)
  })

  it("makes any two quorums share more validators than may lie, and can be met without those", () => {
    for (let n = 1; n <= 16; n++) {
      const [f, q] = [faultsOf(n), quorumOf(n)]
      expect(2 * q - n).toBeGreaterThanOrEqual(f + 1)
      expect(q).toBeLessThanOrEqual(n - f)
      // One vote less would not do.
      expect(2 * (q - 1) - n).toBeLessThan(f + 1)
    }
  })
})

describe("a validator set", () => {
  it("is the same set whatever order it is given in", () => {
    const facts = [4, 2, 3, 1].map(validatorFacts)
    const set = createValidatorSet(suite, 0, facts)
    expect(set).toEqual(validatorSet(4))
    expect(set.validators.map(({ rid }) => rid)).toEqual([1, 2, 3, 4])
    expect(createValidatorSet(suite, 1, facts).hash).not.toEqual(set.hash)
  })

  it("lets everyone lead in turn, from a place that depends on the epoch", () => {
    const set = validatorSet(4)
    const leaders = Array.from({ length: 8 }, (_, view) => leaderOf(set, view + 1))
    expect(new Set(leaders.slice(0, 4)).size).toBe(4)
    expect(leaders.slice(4)).toEqual(leaders.slice(0, 4))
    const starts = Array.from({ length: 30 }, (_, epoch) => leaderOf(validatorSet(4, epoch), 1))
    expect(new Set(starts).size).toBe(4)
    expect(leaderOf(validatorSet(1), 12)).toBe(0)
  })

  it("finds a validator by its key and nobody by another", () => {
    const set = validatorSet(4)
    expect(validatorIndex(set, validatorFacts(3).consensusKey)).toBe(2)
    expect(validatorIndex(set, named("nobody"))).toBeUndefined()
  })

  it("is refused empty, with 17, with a rid or a key twice, or with a key of a wrong length", () => {
    const make = (facts: Parameters<typeof createValidatorSet>[2]): unknown =>
      refusal(() => createValidatorSet(suite, 0, facts))
    const one = validatorFacts(1)
    const seventeen = Array.from({ length: 17 }, (_, i) => validatorFacts(i + 1))
    expect(make([])).toBe("VALIDATORS_INVALID")
    expect(make(seventeen)).toBe("VALIDATORS_INVALID")
    expect(make(seventeen.slice(1))).toBeUndefined()
    expect(make([one, { ...validatorFacts(2), rid: 1 }])).toBe("VALIDATORS_INVALID")
    expect(make([one, { ...validatorFacts(2), logKey: one.logKey }])).toBe("VALIDATORS_INVALID")
    expect(make([{ ...one, logKey: one.cosignerKey }])).toBe("VALIDATORS_INVALID")
    expect(make([{ ...one, logKey: one.logKey.slice(1) }])).toBe("VALIDATORS_INVALID")
    expect(make([{ ...one, cosignerPqKey: one.logKey }])).toBe("VALIDATORS_INVALID")
  })
})

import { describe, expect, it } from "vitest"
import { ADVERSARIES } from "./adversaries.ts"
import { faultsOf } from "../../ledger/validators.ts"
import { FORKS_MIN, replayOf, runAny } from "./campaigns.ts"
import { MIXES, QUIET_MIXES, type Case } from "./mixes.ts"
import { faultsOfMutants, huntMutant } from "./mutants.ts"

/** Red cases, each with the command that replays it. */
function redsOf(mix: string, counts: readonly number[], seeds: number): string[] {
  const cases: Case[] = counts.flatMap((count) =>
    Array.from({ length: seeds }, (_, seed) => ({ mix, count, seed: seed + 1_000_000 })),
  )
  return cases.flatMap((one) => {
    const { red } = runAny(one)
    return red === undefined ? [] : [`${red}; replay: ${replayOf(one)}`]
  })
}

describe("validators in simulated trouble stay safe, become final once it ends, then are silent", () => {
  for (const mix of [...Object.keys(MIXES), ...Object.keys(QUIET_MIXES)]) {
    it(mix, () => {
      expect(redsOf(mix, [4, 6], 25)).toEqual([])
      expect(redsOf(mix, [7], 5)).toEqual([])
    })
  }
})

describe("liars among honest validators break nothing", () => {
  for (const liar of Object.keys(ADVERSARIES)) {
    it(liar, () => {
      expect(redsOf(liar, [4, 7], 5)).toEqual([])
    })
  }
})

describe("a key in two machines", () => {
  it("breaks nothing while no more than f keys are, and once healed ten blocks are final", () => {
    expect(redsOf("twins", [4, 6, 7], 40)).toEqual([])
  })

  it("forks the chain only when f+1 are, and then f+1 culprits have evidence against them", () => {
    for (const count of [4, 6, 7]) {
      const outcomes = Array.from({ length: 20 }, (_, i) =>
        runAny({ mix: "blame", count, seed: i + 1_000_000 }),
      )
      expect(outcomes.flatMap(({ red }) => red ?? [])).toEqual([])
      const forked = outcomes.flatMap(({ culprits }) => culprits ?? [])
      expect(forked.length).toBeGreaterThanOrEqual(20 * FORKS_MIN)
      for (const culprits of forked) expect(culprits).toBeGreaterThan(faultsOf(count))
    }
  })
})

describe("the simulator", () => {
  it("leaves the same trace for the same seed, and another for another", () => {
    const digests = new Set<number>()
    for (let seed = 0; seed < 20; seed++) {
      const one = { mix: "everything", count: 4, seed }
      const { digest } = runAny(one)
      expect(runAny(one).digest).toBe(digest)
      digests.add(digest)
    }
    expect(digests.size).toBe(20)
  })

  it("has bugs that can be put into the code as it is", () => {
    expect(faultsOfMutants()).toEqual([])
  })

  it("finds a bug that is put into a copy of the code", () => {
    expect(huntMutant("finalize after nullify")).toMatchObject({ isKilled: true })
  })
})

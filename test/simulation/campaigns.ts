/** Which cases make up a run of the simulator, and how one of them is run and replayed. */

import { ADVERSARIES } from "./adversaries.ts"
import { runByzantine } from "./byzantine.ts"
import { MIXES, QUIET_MIXES, runCase, type Case, type Outcome } from "./mixes.ts"
import { runTwins } from "./twins.ts"

/** Consecutive seeds of one mix. */
export interface Job {
  readonly campaign: string
  readonly mix: string
  readonly count: number
  readonly from: number
  readonly to: number
  /** Each seed runs twice and must leave the same trace. */
  readonly isTwice?: boolean
}

/** Runs one case of any campaign. */
export function runAny(one: Case, onTrace?: (line: string) => void): Outcome {
  if (one.mix === "twins") return runTwins(one.count, one.seed, 0, onTrace)
  if (one.mix === "blame") return runTwins(one.count, one.seed, 1, onTrace)
  return one.mix in ADVERSARIES ? runByzantine(one, onTrace) : runCase(one, onTrace)
}

export function replayOf({ mix, count, seed }: Case): string {
  return `npm run test:simulation -- --seed ${seed} --mix ${mix} --n ${count} --trace`
}

/** Most cases are of the sizes that are most likely in use. */
const SHARES: readonly (readonly [count: number, share: number])[] = [
  [4, 0.46],
  [6, 0.34],
  [7, 0.12],
  [10, 0.06],
  [13, 0.02],
]

const SEEDS_PER_JOB = 100

function jobsOf(campaign: string, mixes: readonly string[], seeds: number, isTwice = false): Job[] {
  const jobs: Job[] = []
  for (const mix of mixes) {
    for (const [count, share] of SHARES) {
      const total = Math.ceil((seeds * share) / mixes.length)
      for (let from = 1; from <= total; from += SEEDS_PER_JOB) {
        const to = Math.min(from + SEEDS_PER_JOB, total + 1)
        jobs.push({ campaign, mix, count, from, to, isTwice })
      }
    }
  }
  return jobs
}

/** Everything but mutants; `scale` 1 is the full size. */
export function allJobs(scale: number): Job[] {
  const size = (full: number): number => Math.ceil(full * scale)
  const liars = Object.keys(ADVERSARIES)
  return [
    ...jobsOf("random", Object.keys(MIXES), size(120_000)),
    ...jobsOf("quiet", Object.keys(QUIET_MIXES), size(10_000)),
    ...jobsOf("twins", ["twins"], size(20_000)),
    ...jobsOf("blame", ["blame"], size(1_000)),
    ...jobsOf("liars", liars, size(505 * liars.length)),
    ...jobsOf("determinism", Object.keys(MIXES), Math.max(200, size(200)), true),
  ]
}

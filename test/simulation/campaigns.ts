/** Which cases make up a run of the simulator, and how one of them is run and replayed. */

import { ADVERSARIES } from "./adversaries.ts"
import { runByzantine } from "./byzantine.ts"
import { MIXES, QUIET_MIXES, runCase, type Case, type Outcome } from "./mixes.ts"
import { huntMutant } from "./mutants.ts"
import { MUTANTS } from "./mutations.ts"
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

/** A job, or one mutant to be hunted. */
export type Work = Job | { readonly mutant: string }

/** What came of one piece of work. */
export interface Report {
  readonly campaign: string
  readonly mix: string
  /** Validators in each of its cases; none of a mutant. */
  readonly count: number
  readonly seeds: number
  /** Seeds whose final blocks forked, with enough culprits. */
  readonly forks: number
  readonly views: number
  readonly events: number
  /** Over the traces of all its seeds. */
  readonly hash: number
  /** Each with the command that shows it again. */
  readonly reds: readonly string[]
}

/** What the full size must reach: seeds of a campaign, of each of its mixes, or views. */
export const GOALS: readonly {
  readonly campaign: string
  readonly of: "seeds" | "seeds of each" | "views"
  readonly atLeast: number
}[] = [
  { campaign: "random", of: "seeds", atLeast: 100_000 },
  { campaign: "random", of: "views", atLeast: 3_000_000 },
  { campaign: "twins", of: "seeds", atLeast: 20_000 },
  { campaign: "liars", of: "seeds of each", atLeast: 500 },
  { campaign: "mutants", of: "seeds", atLeast: 25 },
  { campaign: "determinism", of: "seeds", atLeast: 200 },
]

/**
 * With f+1 twins at least so many seeds of each size must fork: a campaign of blame without forks
 * would say nothing.
 */
export const FORKS_MIN: number = 1 / 3

/** Runs one case of any campaign. */
export function runAny(one: Case, onTrace?: (line: string) => void): Outcome {
  if (one.mix === "twins") return runTwins(one.count, one.seed, 0, onTrace)
  if (one.mix === "blame") return runTwins(one.count, one.seed, 1, onTrace)
  return one.mix in ADVERSARIES ? runByzantine(one, onTrace) : runCase(one, onTrace)
}

export function replayOf({ mix, count, seed }: Case): string {
  return `npm run test:simulation -- --seed ${seed} --mix ${mix} --n ${count} --trace`
}

export function perform(work: Work): Report {
  if ("mutant" in work) {
    const { name, isKilled, said } = huntMutant(work.mutant)
    const command = `npm run test:simulation -- --mutant "${name}"`
    const reds = isKilled ? [] : [`mutant lives: ${name}: ${said}\n  ${command}`]
    const nothing = { count: 0, forks: 0, views: 0, events: 0, hash: 0 }
    return { campaign: "mutants", mix: "", seeds: 1, ...nothing, reds }
  }
  const { campaign, mix, count, from, to } = work
  let views = 0
  let events = 0
  let hash = 0
  let forks = 0
  const reds: string[] = []
  for (let seed = from; seed < to; seed++) {
    const one = { mix, count, seed }
    const outcome = runAny(one)
    views += outcome.views
    events += outcome.events
    if (outcome.culprits !== undefined) forks += 1
    // A sum: jobs end in any order.
    hash = (hash + outcome.digest) >>> 0
    const why =
      outcome.red ??
      (work.isTwice === true && runAny(one).digest !== outcome.digest
        ? "the same seed left another trace"
        : undefined)
    if (why !== undefined) reds.push(`${why}\n  ${replayOf(one)}`)
  }
  return { campaign, mix, count, seeds: to - from, forks, views, events, hash, reds }
}

/** Most cases are of the sizes that are most likely in use. */
const SHARES: readonly (readonly [count: number, share: number])[] = [
  [4, 0.46],
  [6, 0.34],
  [7, 0.12],
  [10, 0.06],
  [13, 0.02],
]

const SEEDS_PER_JOB = 50

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

/**
 * Everything; `scale` 1 is the full size. What takes longest comes first, so that no thread is left
 * alone with it in the end.
 */
export function allWork(scale: number): Work[] {
  const size = (full: number): number => Math.ceil(full * scale)
  const random = Object.keys(MIXES)
  const quiet = Object.keys(QUIET_MIXES)
  const liars = Object.keys(ADVERSARIES)
  const all = [...random, ...quiet, ...liars, "twins", "blame"]
  const jobs = [
    ...jobsOf("random", random, size(101_000)),
    ...jobsOf("quiet", quiet, size(10_000)),
    ...jobsOf("twins", ["twins"], size(20_000)),
    ...jobsOf("blame", ["blame"], size(1_000)),
    ...jobsOf("liars", liars, size(505 * liars.length)),
    ...jobsOf("determinism", all, 200, true),
  ]
  const mutants = MUTANTS.map(({ name }) => ({ mutant: name }))
  return [...mutants, ...jobs.sort((a, b) => costOf(b) - costOf(a))]
}

/** About how long one piece of work takes, in no unit: messages of a view grow with n². */
export function costOf(work: Work): number {
  if ("mutant" in work) return 5_000
  return (work.to - work.from) * work.count ** 2 * (work.isTwice === true ? 2 : 1)
}

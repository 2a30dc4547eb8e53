/**
 * `npm run test:simulation`: consensus under every fault that we can think of, in simulated time, on
 * two threads. The default is the slice that CI runs; `--full` is the whole campaign.
 *
 * `--seed S --mix NAME --n N --trace` replays one case and prints what happened.
 */

import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import { allJobs, replayOf, runAny, type Job } from "./campaigns.ts"
import { huntMutant } from "./mutants.ts"
import { MUTANTS } from "./mutations.ts"

const THREADS = 2
const SLICE = 0.03
const REDS_SHOWN = 20

type Work = Job | { readonly mutant: string }

interface Report {
  readonly name: string
  readonly seeds: number
  readonly views: number
  readonly events: number
  readonly reds: readonly string[]
}

function perform(work: Work): Report {
  if ("mutant" in work) {
    const { name, isKilled, said } = huntMutant(work.mutant)
    const command = `npm run test:simulation -- --mutant "${name}"`
    const reds = isKilled ? [] : [`mutant lives: ${name}: ${said}\n  ${command}`]
    return { name: "mutants", seeds: 1, views: 0, events: 0, reds }
  }
  let views = 0
  let events = 0
  const reds: string[] = []
  for (let seed = work.from; seed < work.to; seed++) {
    const one = { mix: work.mix, count: work.count, seed }
    const outcome = runAny(one)
    views += outcome.views
    events += outcome.events
    const why =
      outcome.red ??
      (work.isTwice === true && runAny(one).digest !== outcome.digest
        ? "the same seed left another trace"
        : undefined)
    if (why !== undefined) reds.push(`${why}\n  ${replayOf(one)}`)
  }
  return { name: `${work.campaign} ${work.mix}`, seeds: work.to - work.from, views, events, reds }
}

/** Hands out work to threads until none is left. */
async function performAll(works: readonly Work[]): Promise<Report[]> {
  const waiting = [...works].reverse()
  const reports: Report[] = []
  const runThread = async (): Promise<void> => {
    const worker = new Worker(new URL("simulation.ts", import.meta.url), { argv: [] })
    await new Promise<void>((resolve, reject) => {
      const next = (): void => {
        const work = waiting.pop()
        if (work === undefined) {
          resolve()
          return
        }
        // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
        worker.postMessage(work)
      }
      worker.on("message", (report: Report) => {
        reports.push(report)
        next()
      })
      worker.on("error", reject)
      next()
    })
    await worker.terminate()
  }
  await Promise.all(Array.from({ length: THREADS }, runThread))
  return reports
}

function printTotals(reports: readonly Report[]): boolean {
  const totals = new Map<string, { seeds: number; views: number; events: number; reds: string[] }>()
  for (const { name, seeds, views, events, reds } of reports) {
    const campaign = name.split(" ")[0] ?? name
    for (const key of new Set([name, `= ${campaign}`])) {
      const total = totals.get(key) ?? { seeds: 0, views: 0, events: 0, reds: [] }
      total.seeds += seeds
      total.views += views
      total.events += events
      total.reds.push(...reds)
      totals.set(key, total)
    }
  }
  console.log(`${"".padEnd(28)}${["seeds", "views", "events", "red"].map(pad).join("")}`)
  for (const [name, { seeds, views, events, reds }] of [...totals].sort(byName)) {
    console.log(name.padEnd(28) + [seeds, views, events, reds.length].map(pad).join(""))
  }
  const reds = reports.flatMap((report) => report.reds)
  for (const red of reds.slice(0, REDS_SHOWN)) console.log(`red: ${red}`)
  return reds.length === 0
}

function pad(value: number | string): string {
  return value.toLocaleString("en").padStart(14)
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** Looks for a bug that somebody put in: the first red ends the hunt. */
function hunt(hunts: string, seeds: number): boolean {
  for (let seed = 1; seed <= seeds; seed++) {
    for (const one of hunts.split(",")) {
      const [mix = "", count] = one.split(":")
      const { red } = runAny({ mix, count: Number(count), seed })
      if (red === undefined) continue
      console.log(`red: ${mix}, ${count} validators, seed ${seed}: ${red}`)
      return false
    }
  }
  return true
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      full: { type: "boolean", default: false },
      trace: { type: "boolean", default: false },
      seed: { type: "string" },
      mix: { type: "string", default: "clean" },
      n: { type: "string", default: "4" },
      mutant: { type: "string" },
      hunt: { type: "string" },
      seeds: { type: "string", default: "1000" },
    },
  })
  if (values.hunt !== undefined) return hunt(values.hunt, Number(values.seeds))
  if (values.mutant !== undefined) return printTotals([perform({ mutant: values.mutant })])
  if (values.seed !== undefined) {
    const one = { mix: values.mix, count: Number(values.n), seed: Number(values.seed) }
    const outcome = runAny(one, values.trace ? (line) => console.log(line) : undefined)
    console.log(outcome)
    return outcome.red === undefined
  }
  const mutants = MUTANTS.map(({ name }) => ({ mutant: name }))
  const startMs = performance.now()
  const isGreen = printTotals(await performAll([...mutants, ...allJobs(values.full ? 1 : SLICE)]))
  console.log(`${Math.round((performance.now() - startMs) / 1_000)} s on ${THREADS} threads`)
  return isGreen
}

if (isMainThread) {
  process.exitCode = (await main()) ? 0 : 1
} else {
  parentPort?.on("message", (work: Work) => {
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
    parentPort?.postMessage(perform(work))
  })
}

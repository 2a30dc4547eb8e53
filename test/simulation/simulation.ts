/**
 * `npm run test:simulation`: consensus under every fault that we can think of, in simulated time, on
 * two threads. The default is the slice that CI runs; `--full` is the whole campaign.
 *
 * `--seed S --mix NAME --n N --trace` replays one case and prints what happened.
 */

import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker } from "node:worker_threads"
import { allWork, costOf, perform, runAny, type Report, type Work } from "./campaigns.ts"
import { Totals } from "./totals.ts"

const THREADS = 2
const SLICE = 0.2
const PROGRESS_MS = 15_000

/** Hands out work to threads until none is left. */
async function performAll(works: readonly Work[], totals: Totals): Promise<void> {
  const waiting = [...works].reverse()
  const startMs = performance.now()
  const allCost = works.reduce((sum, work) => sum + costOf(work), 0)
  let doneCost = 0
  const progress = setInterval(() => {
    const passedMs = performance.now() - startMs
    const leftMs = (passedMs / doneCost) * (allCost - doneCost)
    const left = doneCost === 0 ? "" : `, about ${seconds(leftMs)} left`
    console.log(`${seconds(passedMs)}${left}: ${totals.describe()}`)
  }, PROGRESS_MS)
  const runThread = async (): Promise<void> => {
    const worker = new Worker(new URL("simulation.ts", import.meta.url), { argv: [] })
    await new Promise<void>((resolve, reject) => {
      let work: Work | undefined
      const next = (): void => {
        work = waiting.pop()
        if (work === undefined) resolve()
        // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
        else worker.postMessage(work)
      }
      worker.on("message", (report: Report) => {
        totals.add(report)
        if (work !== undefined) doneCost += costOf(work)
        next()
      })
      worker.on("error", reject)
      next()
    })
    await worker.terminate()
  }
  await Promise.all(Array.from({ length: THREADS }, runThread))
  clearInterval(progress)
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`
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
  const totals = new Totals()
  if (values.mutant !== undefined) {
    totals.add(perform({ mutant: values.mutant }))
    totals.print()
    return totals.isGreen
  }
  if (values.seed !== undefined) {
    const one = { mix: values.mix, count: Number(values.n), seed: Number(values.seed) }
    const outcome = runAny(one, values.trace ? (line) => console.log(line) : undefined)
    console.log(outcome)
    return outcome.red === undefined
  }
  const startMs = performance.now()
  await performAll(allWork(values.full ? 1 : SLICE), totals)
  totals.print()
  console.log(`${seconds(performance.now() - startMs)} on ${THREADS} threads`)
  return (!values.full || totals.printGoals()) && totals.isGreen
}

if (isMainThread) {
  process.exitCode = (await main()) ? 0 : 1
} else {
  // Liars make consensus refuse things by the million; a replay shows where.
  Error.stackTraceLimit = 0
  parentPort?.on("message", (work: Work) => {
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
    parentPort?.postMessage(perform(work))
  })
}

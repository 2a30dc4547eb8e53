/**
 * The demo: headquarters and four missions as five node processes on this machine.
 *
 *   npm run demo                                   the story, under a minute
 *   npm run demo -- --stay                         leaves the network up and says what to try
 *   npm run demo -- --corpus FILE [--count N]      sends the telegrams of a JSONL file as well
 *   npm run demo -- --validators N                 the first N posts found it and vote, 1 … 5; 4
 *   npm run demo -- --json                         prints one object at the end
 */

import { once } from "node:events"
import { Command, InvalidArgumentError } from "commander"
import { validatorsAway } from "./absences.ts"
import { Cast, type DemoPost } from "./cast.ts"
import { readTelegrams, sendCorpus } from "./corpus.ts"
import { isGood, Teller, type DemoReport } from "./report.ts"
import {
  crashInTraffic,
  exchangeCables,
  missionAway,
  proveAndTamper,
  raiseNetwork,
  ringTheDesk,
  tellTally,
  type Stage,
} from "./story.ts"
import { Traffic, type Tally } from "./traffic.ts"

interface Options {
  readonly stay?: boolean
  readonly corpus?: string
  readonly count?: number
  readonly json?: boolean
  readonly validators: number
}

const CORPUS_SETTLE_MS = 120_000

const options: Options = new Command("demo")
  .description("a ministry on one machine")
  .option("--stay", "leave the network up until Ctrl-C")
  .option("--corpus <FILE>", "send the telegrams of a JSONL file")
  .option("--count <N>", "how many of them", wholeNumber)
  .option("--validators <N>", "how many of the posts found the network and vote", validators, 4)
  .option("--json", "print one object at the end, and nothing else")
  .parse()
  .opts()

const teller = new Teller(options.json === true)
const cast = await Cast.assemble()
const interrupted = new AbortController()
let isStaying = false
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interrupted.abort(new Error(`ended by ${signal}`)))
}

try {
  const report = await Promise.race([play(), untilInterrupted()])
  if (options.json === true) console.log(JSON.stringify(report))
  else tellEnd(report)
  process.exitCode = report.ok ? 0 : 1
} catch (error) {
  if (!interrupted.signal.aborted) console.error(error)
  // Ctrl-C is how a network that was told to stay is ended.
  process.exitCode = isStaying ? 0 : interrupted.signal.aborted ? 130 : 1
} finally {
  await cast.close()
}
process.exit()

async function play(): Promise<DemoReport> {
  const posts = await raiseNetwork(cast, teller, options.validators)
  const stage: Stage = { cast, teller, posts, traffic: new Traffic(posts) }
  const cables = await exchangeCables(stage)
  const offline = await missionAway(stage)
  const crash = await crashInTraffic(stage)
  const absences = await validatorsAway(stage)
  const hotline = await ringTheDesk(stage)
  const audit = await proveAndTamper(stage, cables)
  const tally =
    options.corpus === undefined
      ? await stage.traffic.settle(stage.traffic.sent, CORPUS_SETTLE_MS)
      : await playCorpus(stage, options.corpus)
  const states = await Promise.all(posts.map(async ({ client }) => client.ledgerStatus()))
  const found = {
    missions: posts.length,
    validators: states.filter(({ isValidator }) => isValidator).length,
    voting: states.filter(({ vote }) => vote?.state === "voting").length,
    cables: tally,
    hotline,
    offline,
    crash,
    absences,
    audit,
  }
  const report = { ok: isGood(found), ...found, ms: teller.elapsedMs }
  if (options.stay === true) await stay(posts)
  return report
}

async function playCorpus(stage: Stage, path: string): Promise<Tally> {
  const { posts, traffic } = stage
  const [headquarters, ...missions] = posts
  if (headquarters === undefined) throw new Error("the demo needs headquarters")
  const telegrams = await readTelegrams(path, options.count ?? Number.POSITIVE_INFINITY)
  teller.chapter(`${telegrams.length} telegrams from a file`)
  const { sent, lowered } = await sendCorpus(traffic, headquarters, missions, telegrams)
  if (lowered > 0) teller.line(`${lowered} above the cap of their level went with the next below`)
  const tally = await traffic.settle(sent, CORPUS_SETTLE_MS)
  tellTally(teller, tally)
  return tally
}

function tellEnd(report: DemoReport): void {
  const { cables, audit } = report
  teller.chapter(report.ok ? "All is well" : "Something is wrong")
  tellTally(teller, cables)
  teller.line(
    `ledger of ${audit.entries} entries, ${report.missions} missions, ` +
      `${report.voting} of ${report.validators} validators vote; all processes end now`,
  )
}

/** Leaves the network up until Ctrl-C. */
async function stay(posts: readonly DemoPost[]): Promise<void> {
  isStaying = true
  console.log(`
The network stays up. In another terminal:

  export TARBARTA_PASSPHRASE_FILE=${cast.folder}/passphrase TARBARTA_KDF_PROFILE=test
${posts.map((post) => `  npx tarbarta --home ${post.home} node status`).join("\n")}

Try: cable send --to LON --subject "Hello" --text "..." --wait
     cable inbox, hotline watch, hotline raise --event medical "...",
     ledger status, ledger watch, ledger verify

Ctrl-C ends it and removes everything.`)
  await once(interrupted.signal, "abort")
}

async function untilInterrupted(): Promise<never> {
  if (!interrupted.signal.aborted) await once(interrupted.signal, "abort")
  throw interrupted.signal.reason
}

function validators(text: string): number {
  const number = wholeNumber(text)
  if (number <= 5) return number
  throw new InvalidArgumentError("expected 1 … 5: the demo has five posts")
}

function wholeNumber(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new InvalidArgumentError("expected a whole number above 0")
}

/**
 * How long four validators need until an entry is final, on links of 75 ms one way: δ is that delay,
 * Δ the bound of the network's policy (LEDGER §8).
 *
 * Real ledgers, each in a thread of its own: own code, keys, sealed databases and synced logs on the
 * disk; messages travel between the threads and arrive δ later. Outages and lossy links take their course in virtual time, with
 * simulated disks of 1 ms, because they last for hours.
 */

import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { LedgerWorld } from "../support/ledgers.ts"
import { benchAbsent } from "./absent.ts"
import {
  BOUND_MS,
  createWorld,
  DelayedStage,
  DELAY_MS,
  type DelayedFinal,
  type DelayedNode,
} from "./delayed.ts"
import { quantile, spreadOf, type Figure, type Options, type Progress } from "./figures.ts"
import { benchLoaded, LOADING } from "./loaded.ts"
import { benchTraffic } from "./traffic.ts"
import { VALIDATORS, wallMs } from "./validator.ts"

/** In virtual time. */
const POSTS = VALIDATORS + 1
const ROUNDS = 3
const ENTRIES = 8
const ENTRIES_FULL = 60
/** Entries over a line of 1 ms: a node that runs for days has its code compiled. */
const WARM_UP = 400
const WARM_UP_DELAY_MS = 1
/** Longer than the validators' linger, so that the ledger is idle when the next entry comes. */
const PAUSE_MS = 150
const MINUTE_MS = 60_000
const HEALINGS = 3
const DAY_MS = 24 * 60 * MINUTE_MS
/** Long ones once: days of retries take their time even in virtual time. */
const OUTAGES: readonly (readonly [name: string, lastsMs: number, healings: number])[] = [
  ["1 min", MINUTE_MS, HEALINGS],
  ["1 hour", 60 * MINUTE_MS, HEALINGS],
  ["1 day", DAY_MS, 1],
]
const OUTAGES_FULL: typeof OUTAGES = [...OUTAGES, ["1 week", 7 * DAY_MS, 1]]
const LOSSY_SEEDS = 60
const LOSSY_BURSTS = 5
const LOSSY = { delayMs: 50, jitterMs: 300, requestLoss: 0.3, answerLoss: 0 }

export async function benchFinality(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  const clean = await onStage(1, async (stage) => benchClean(stage, progress, isFull))
  progress("under load")
  const loaded = await onStage(LOADING, async (stage) => benchLoaded(stage, isFull))
  progress("a dead validator")
  const absent = await benchAbsent()
  const outages: Figure[] = []
  for (const [name, lastsMs, healings] of isFull ? OUTAGES_FULL : OUTAGES) {
    progress(`an outage of ${name}`)
    outages.push(await benchOutage(`outage of ${name}`, lastsMs, healings, 0))
  }
  outages.push(await benchOutage("1 min, links redialled one by one", MINUTE_MS, HEALINGS))
  progress("lossy links")
  const lossy = await benchLossy()
  const traffic = await benchTraffic()
  return [...clean, ...loaded, ...absent, ...outages, ...lossy, ...traffic]
}

/** On the machine's own clock and disks, for as long as `work` takes. */
async function onStage(
  missions: number,
  work: (stage: DelayedStage) => Promise<Figure[]>,
): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-finality-"))
  // Timers of a node do not keep a process alive.
  const alive = setInterval(() => undefined, MINUTE_MS)
  try {
    const stage = await DelayedStage.open(folder, missions)
    try {
      return await work(stage)
    } finally {
      await stage.close()
    }
  } finally {
    clearInterval(alive)
    await rm(folder, { recursive: true, force: true })
  }
}

// --- a clean network -------------------------------------------------------------------------

async function benchClean(
  { validators, missions, line }: DelayedStage,
  progress: Progress,
  isFull: boolean,
): Promise<Figure[]> {
  const [mission] = missions
  if (mission === undefined) throw new Error("there is a mission that submits")
  progress("warming up")
  line.setDelay(WARM_UP_DELAY_MS)
  for (let index = 0; index < WARM_UP; index++) await record(validators, mission)
  line.setDelay(DELAY_MS)
  // With it comes what was said of the last ones, over the short line.
  await record(validators, mission)
  const rounds: Timings[] = []
  for (let number = 1; number <= ROUNDS; number++) {
    progress(`round ${number} of ${ROUNDS}`)
    const timings: Timings = { proposed: [], submitted: [], underWay: [] }
    for (let index = 0; index < (isFull ? ENTRIES_FULL : ENTRIES); index++) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      for (const { proposedMs, submittedMs, tookMs } of await record(validators, mission)) {
        timings.proposed.push(proposedMs)
        timings.submitted.push(submittedMs)
        timings.underWay.push(...tookMs)
      }
    }
    rounds.push(timings)
  }
  return [
    wayFigure(rounds),
    delayFigure("proposal → final at each validator", 3, 10, 0.5, rounds, "proposed"),
    delayFigure("proposal → final at each validator", 3, 40, 0.99, rounds, "proposed"),
    delayFigure("submission → final at each validator", 4, 20, 0.5, rounds, "submitted"),
    delayFigure("submission → final at each validator", 4, 40, 0.99, rounds, "submitted"),
  ]
}

/** One entry on an idle ledger, and when each of the validators had its block on the disk. */
async function record(
  validators: readonly DelayedNode[],
  mission: DelayedNode,
): Promise<Recorded[]> {
  const startedMs = wallMs()
  const finals = [...validators, mission].map(async (node) => nextFinal(node))
  mission.order({ type: "submit", count: 1 })
  const found = (await Promise.all(finals)).slice(0, validators.length)
  const builtMs = found.find((final) => final.builtMs !== undefined)?.builtMs
  if (builtMs === undefined) throw new Error("one of the validators proposed the block")
  return found.map(({ atMs, tookMs }) => {
    return { proposedMs: atMs - builtMs, submittedMs: atMs - startedMs, tookMs }
  })
}

/** The next final block with entries, once a node has it on the disk. */
async function nextFinal(node: DelayedNode): Promise<DelayedFinal> {
  return new Promise((resolve) => {
    const leave = node.onFinal((final) => {
      if (final.serials.length === 0) return
      leave()
      resolve(final)
    })
  })
}

/** One entry at one validator. */
interface Recorded {
  readonly proposedMs: number
  readonly submittedMs: number
  /** Of each message that came for it. */
  readonly tookMs: readonly number[]
}

interface Timings {
  readonly proposed: number[]
  readonly submitted: number[]
  readonly underWay: number[]
}

/** What δ was: the line is never early, and a receiver that is busy takes a message late. */
function wayFigure(rounds: readonly Timings[]): Figure {
  const medians = rounds.map(({ underWay }) => quantile(underWay, 0.5))
  return {
    name: "a message was under way, p50",
    unit: "ms",
    measured: spreadOf(medians),
    against: { name: "δ", value: spreadOf([DELAY_MS]) },
    ratio: spreadOf(medians).median / DELAY_MS,
  }
}

/** All entries together: a round is too short for a tail of its own. */
function delayFigure(
  name: string,
  delays: number,
  roomMs: number,
  share: number,
  rounds: readonly Timings[],
  what: "proposed" | "submitted",
): Figure {
  const measured = spreadOf(rounds.map((round) => quantile(round[what], share)))
  const median = quantile(
    rounds.flatMap((round) => round[what]),
    share,
  )
  const floorMs = delays * DELAY_MS
  return {
    name: `${name}, p${share * 100}`,
    unit: "ms",
    measured: { ...measured, median },
    against: { name: `${delays} δ`, value: spreadOf([floorMs]) },
    ratio: median / floorMs,
    goal: { text: `at most ${delays} δ + ${roomMs} ms`, isMet: median <= floorMs + roomMs },
  }
}

// --- outages and lossy links, in virtual time --------------------------------------------------

/**
 * Everybody is cut from everybody while something waits, then the lines are back. The clock starts
 * when three validators and the mission are in contact again, and stops at the first final block
 * anywhere; 0 when it needed less contact than that. With `redialMs` 0 all have contact at the same
 * moment: the part that is consensus alone. Without, each link is redialled as the host does it.
 */
async function benchOutage(
  name: string,
  lastsMs: number,
  healings: number,
  redialMs?: number,
): Promise<Figure> {
  const healedMs: number[] = []
  for (let seed = 0; seed < healings; seed++) {
    const world = createWorld(POSTS, `outage ${seed}`, { delayMs: DELAY_MS })
    await world.start()
    await world.during(world.node(VALIDATORS).submit())
    await world.untilQuiet()
    // The cut comes while an entry is on its way, each time at another moment.
    await world.during(world.node(VALIDATORS).submit())
    await world.clock.runFor(seed * DELAY_MS)
    world.network.partition(world.nodes.map(({ post }) => [post.peer]))
    await world.clock.runFor(lastsMs)
    await world.during(world.node(VALIDATORS).submit())
    const before = Math.max(...world.nodes.map(({ height }) => height))
    const from = world.network.trace.length
    world.network.heal(redialMs)
    const isFinal = (): boolean => world.nodes.some(({ height }) => height > before)
    const finalMs = await world.clock.runUntil(isFinal, MINUTE_MS)
    healedMs.push(finalMs - Math.min(finalMs, contactMs(world, from)))
  }
  const worst = Math.max(...healedMs)
  const boundMs = 2 * BOUND_MS + 6 * DELAY_MS
  return {
    name: `${name}: contact → first final block, worst of ${healings}`,
    unit: "ms",
    measured: { ...spreadOf(healedMs), median: worst },
    against: { name: "2 Δ + 6 δ", value: spreadOf([boundMs]) },
    ratio: worst / boundMs,
    goal: { text: "at most 2 Δ + 6 δ", isMet: worst <= boundMs },
  }
}

/**
 * The first moment at which three validators and the mission were all in contact; never: they
 * needed less.
 */
function contactMs(world: LedgerWorld, from: number): number {
  const names = world.nodes.slice(0, VALIDATORS).map(({ post }) => post.peer.slice(0, 8))
  const mission = world.node(VALIDATORS).post.peer.slice(0, 8)
  const up = new Set<string>()
  for (const line of world.network.trace.slice(from)) {
    const [at = "", what, one = "", two = ""] = line.split(" ")
    if (what !== "up") continue
    up.add(`${one} ${two}`).add(`${two} ${one}`)
    const isQuorum = names.some((left) => {
      const others = [...names.filter((name) => name !== left), mission]
      return others.every((a) => others.every((b) => a === b || up.has(`${a} ${b}`)))
    })
    if (isQuorum) return Number(at)
  }
  return Number.POSITIVE_INFINITY
}

function isVoting({ nodes }: LedgerWorld): boolean {
  const validators = nodes.slice(0, VALIDATORS)
  return validators.every(({ ledger }) => ledger.validatorStatus()?.state === "voting")
}

/** Bursts on links that lose three of ten messages, 50 … 350 ms one way, with silence between. */
async function benchLossy(): Promise<Figure[]> {
  const tookMs: number[] = []
  for (let seed = 0; seed < LOSSY_SEEDS; seed++) {
    const world = createWorld(POSTS, `lossy ${seed}`, LOSSY)
    await world.start()
    // A start on such links takes as long as it takes: what is measured is a ledger that runs.
    await world.clock.runUntil(() => isVoting(world), 60 * MINUTE_MS)
    for (let burst = 0; burst < LOSSY_BURSTS; burst++) {
      const mission = world.node(VALIDATORS)
      const seq = await world.during(mission.submit())
      const startedMs = world.clock.monotonicMs()
      const isFinal = (): boolean =>
        world.nodes.some((node) => node.ledger.lastSeq(mission.post.rid) >= seq)
      tookMs.push((await world.clock.runUntil(isFinal, 60 * MINUTE_MS)) - startedMs)
      await world.untilQuiet(60 * MINUTE_MS)
    }
  }
  const all = LOSSY_SEEDS * LOSSY_BURSTS
  const p99 = quantile(tookMs, 0.99)
  return [
    {
      name: `30 % loss, 200 ± 150 ms: final, of ${all}`,
      unit: "",
      measured: spreadOf([tookMs.length]),
      goal: { text: "all", isMet: tookMs.length === all },
    },
    {
      name: "the same: submission → first final block, p99",
      unit: "ms",
      measured: { ...spreadOf(tookMs), median: p99 },
      goal: { text: "at most 10 s", isMet: p99 <= 10_000 },
    },
  ]
}

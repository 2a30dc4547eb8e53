/**
 * How long four validators need until an entry is final, on links of 75 ms one way: δ is that delay,
 * Δ the bound of the network's policy (LEDGER §8).
 *
 * Real ledgers: own code, keys, sealed databases and synced logs on the disk; messages travel in
 * this process and arrive δ later. Outages and lossy links take their course in virtual time, with
 * simulated disks of 1 ms, because they last for hours.
 */

import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock } from "../../node/clock.ts"
import type { Final } from "../../node/consensus/finality.ts"
import { DiskLedger, random } from "../support/disk-ledger.ts"
import { LedgerWorld } from "../support/ledgers.ts"
import { createMinistry } from "../support/ministry.ts"
import { createSimulatedNetwork } from "../support/network.ts"
import { quantile, spreadOf, type Figure, type Options, type Progress } from "./figures.ts"

const VALIDATORS = 4
const POSTS = 5
const DELAY_MS = 75
const BOUND_MS = 500
const ROUNDS = 3
const ENTRIES = 8
const ENTRIES_FULL = 60
const WARM_UP = 5
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
  const clean = await benchClean(progress, isFull)
  const outages: Figure[] = []
  for (const [name, lastsMs, healings] of isFull ? OUTAGES_FULL : OUTAGES) {
    progress(`an outage of ${name}`)
    outages.push(await benchOutage(`outage of ${name}`, lastsMs, healings, 0))
  }
  outages.push(await benchOutage("1 min, links redialled one by one", MINUTE_MS, HEALINGS))
  progress("lossy links")
  return [...clean, ...outages, ...(await benchLossy())]
}

// --- a clean network -------------------------------------------------------------------------

async function benchClean(progress: Progress, isFull: boolean): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-finality-"))
  try {
    // Timers of a node do not keep a process alive.
    const alive = setInterval(() => undefined, MINUTE_MS)
    const stage = await FinalityStage.open(folder)
    try {
      // The first entries compile the code and meet idle disks.
      for (let index = 0; index < WARM_UP; index++) await stage.record()
      const rounds: Timings[] = []
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`round ${round} of ${ROUNDS}`)
        rounds.push(await stage.round(isFull ? ENTRIES_FULL : ENTRIES))
      }
      return [
        delayFigure("proposal → final at each validator", 3, 10, 0.5, rounds, "proposed"),
        delayFigure("proposal → final at each validator", 3, 40, 0.99, rounds, "proposed"),
        delayFigure("submission → final at each validator", 4, 20, 0.5, rounds, "submitted"),
        delayFigure("submission → final at each validator", 4, 40, 0.99, rounds, "submitted"),
      ]
    } finally {
      clearInterval(alive)
      await stage.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Timings {
  readonly proposed: number[]
  readonly submitted: number[]
}

/** All entries together: a round is too short for a tail of its own. */
function delayFigure(
  name: string,
  delays: number,
  roomMs: number,
  share: number,
  rounds: readonly Timings[],
  what: keyof Timings,
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

/** Four validators and a mission that submits. */
class FinalityStage {
  readonly #nodes: readonly DiskLedger[]

  private constructor(nodes: readonly DiskLedger[]) {
    this.#nodes = nodes
  }

  static async open(folder: string): Promise<FinalityStage> {
    const ministry = createMinistry(POSTS, "bench finality", {
      validators: VALIDATORS,
      policy: { consensusDeltaMs: BOUND_MS },
    })
    const link = { delayMs: DELAY_MS }
    const network = createSimulatedNetwork({ clock: systemClock, random, link })
    const members = ministry.posts.map(({ peer }) => ({ peer, addresses: [], keep: true }))
    const nodes: DiskLedger[] = []
    for (const post of ministry.posts) {
      const transport = network.transport(post.peer)
      const place = join(folder, post.code)
      const parts = { ministry, post, folder: place, transport, clock: systemClock }
      nodes.push(await DiskLedger.open(parts))
      transport.setMembers(members)
      await transport.start()
    }
    return new FinalityStage(nodes)
  }

  async round(entries: number): Promise<Timings> {
    const timings: Timings = { proposed: [], submitted: [] }
    for (let index = 0; index < entries; index++) {
      for (const { proposedMs, submittedMs } of await this.record()) {
        timings.proposed.push(proposedMs)
        timings.submitted.push(submittedMs)
      }
    }
    return timings
  }

  /** One entry, and when each of the validators had its block on the disk. */
  async record(): Promise<{ proposedMs: number; submittedMs: number }[]> {
    const submitter = this.#nodes[VALIDATORS]
    if (submitter === undefined) throw new Error("there is a mission that submits")
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    const startedMs = performance.timeOrigin + performance.now()
    const seq = submitter.ledger.lastSeq(submitter.post.rid) + 1
    const times: { proposedMs: number; submittedMs: number }[] = []
    const done = this.#everywhere((final, index) => {
      const isIt = final.entries.some(({ entry }) => entry.submitterSeq === seq)
      if (!isIt || index === VALIDATORS) return isIt
      const nowMs = performance.timeOrigin + performance.now()
      // A proposer's clock shows whole milliseconds.
      times.push({ proposedMs: nowMs - final.timeMs, submittedMs: nowMs - startedMs })
      return true
    })
    await submitter.submit()
    await done
    return times
  }

  /** Resolves when every node has told of a final block that `take` was waiting for. */
  async #everywhere(take: (final: Final, index: number) => boolean): Promise<void> {
    await Promise.all(
      this.#nodes.map(
        async (node, index) =>
          new Promise<void>((resolve) => {
            const leave = node.onFinal((final) => {
              if (!take(final, index)) return
              leave()
              resolve()
            })
          }),
      ),
    )
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) await node.stop()
  }
}

// --- outages and lossy links, in virtual time --------------------------------------------------

function createWorld(seed: string, link: object): LedgerWorld {
  const policy = { consensusDeltaMs: BOUND_MS }
  return new LedgerWorld(POSTS, seed, { validators: VALIDATORS, policy, link })
}

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
    const world = createWorld(`outage ${seed}`, { delayMs: DELAY_MS })
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
    const world = createWorld(`lossy ${seed}`, LOSSY)
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

/**
 * The random campaign: what fails, in which way, for a while; then everything heals, and whatever
 * was submitted must become final everywhere, and then there must be silence (LEDGER §8.3).
 */

import {
  HEARTBEAT_MS,
  PATIENCE_MAX,
  RETRY_DELTAS,
  SKIP_MS,
  VIEW_DELTAS,
} from "../../protocol/limits.ts"
import { faultsOf } from "../../ledger/validators.ts"
import type { ConsensusState } from "../../ledger/state.ts"
import { Cluster, DEFAULTS, type ClusterOptions } from "./cluster.ts"
import { Red } from "./invariants.ts"
import type { Machine } from "./machine.ts"
import type { LinkQuality } from "./network.ts"
import { Random } from "./random.ts"

/** One kind of trouble. */
export interface Mix {
  readonly quality?: Partial<LinkQuality>
  readonly options?: Partial<ClusterOptions>
  /** Validators that never come back, at most n - q. */
  readonly dead?: (count: number) => number
  /** Clocks that run away from each other. */
  readonly hasOddClocks?: boolean
  /** Missions submit until they see it final: what waits is lost in crashes. */
  readonly isLosing?: boolean
  /** Plans the trouble up to a moment. */
  readonly plan?: (cluster: Cluster, random: Random, untilMs: number) => void
}

/** Does something at random moments until `untilMs`. */
function often(
  cluster: Cluster,
  random: Random,
  meanMs: number,
  untilMs: number,
  act: () => void,
): void {
  const next = (): void => {
    if (cluster.schedule.nowMs >= untilMs) return
    act()
    cluster.schedule.after(meanMs * random.between(0.2, 1.8), next)
  }
  cluster.schedule.after(meanMs * random.between(0.2, 1.8), next)
}

function partition(cluster: Cluster, random: Random, untilMs: number): void {
  often(cluster, random, 1_500, untilMs, () => {
    const sides = random.chance(0.3) ? 1 : random.chance(0.7) ? 2 : 3
    cluster.regroup(() => {
      for (const { end } of cluster.actors) cluster.network.putOnSide(end, random.int(sides))
    })
  })
}

function flap(cluster: Cluster, random: Random, untilMs: number): void {
  const { end } = random.pick(cluster.actors)
  let isAway = false
  often(cluster, random, 400, untilMs, () => {
    isAway = !isAway
    cluster.regroup(() => cluster.network.putOnSide(end, isAway ? 1 : 0))
  })
}

/** One validator is cut off, and loses there what waits; then it is back, behind and idle. */
function away(cluster: Cluster, random: Random, untilMs: number): void {
  const machine = random.pick(cluster.machines)
  let isAway = false
  often(cluster, random, 1_000, untilMs, () => {
    isAway = !isAway
    cluster.regroup(() => cluster.network.putOnSide(machine.end, isAway ? 1 : 0))
    if (!isAway) return
    machine.crash()
    cluster.restartLater(machine)
  })
}

function crashSome(cluster: Cluster, random: Random, untilMs: number): void {
  often(cluster, random, 700, untilMs, () => {
    const machine = random.pick(cluster.machines)
    machine.crash()
    cluster.restartLater(machine)
  })
}

function crashAll(cluster: Cluster, random: Random, untilMs: number): void {
  often(cluster, random, 1_200, untilMs, () => {
    for (const machine of cluster.machines) {
      machine.crash()
      cluster.restartLater(machine)
    }
  })
}

function jumpClocks(cluster: Cluster, random: Random, untilMs: number): void {
  often(cluster, random, 600, untilMs, () => {
    random.pick(cluster.machines).jump(random.between(0, 20_000))
  })
}

/** At most f validators lose their newest final blocks in a crash; their logs have their votes. */
function lose(cluster: Cluster, random: Random, untilMs: number): void {
  const victims = random.shuffle([...cluster.machines]).slice(0, faultsOf(cluster.options.count))
  often(cluster, random, 700, untilMs, () => {
    const machine = random.pick(cluster.machines)
    machine.crash()
    if (victims.includes(machine)) machine.disk.lose(random)
    cluster.restartLater(machine)
  })
}

/** Logs of at most f validators rot; whoever has such a log never signs again. */
function rot(cluster: Cluster, random: Random, untilMs: number): void {
  const victims = random.shuffle([...cluster.machines]).slice(0, faultsOf(cluster.options.count))
  often(cluster, random, 700, untilMs, () => {
    const machine = random.pick(cluster.machines)
    machine.crash()
    if (victims.includes(machine) && random.chance(0.5)) machine.disk.log.rot(random)
    cluster.restartLater(machine)
  })
}

function everything(cluster: Cluster, random: Random, untilMs: number): void {
  for (const plan of [partition, crashSome, jumpClocks, flap]) {
    if (random.chance(0.5)) plan(cluster, random, untilMs)
  }
}

/** How often it is looked at who waits, in simulated ms. */
const LOOK_MS = 250

const ODD = { doubling: 0.3, jitterMs: 48 } as const

export const MIXES: Readonly<Record<string, Mix>> = {
  clean: {},
  "loss-30": { quality: { loss: 0.3 } },
  "loss-50": { quality: { loss: 0.5 } },
  jitter: { quality: { delayMs: 200, jitterMs: 150 } },
  partition: { plan: partition },
  flapping: { plan: flap },
  crash: { plan: crashSome, isLosing: true },
  "all-crash": { plan: crashAll, isLosing: true },
  "all-crash-dead": { plan: crashAll, isLosing: true, dead: mostDead },
  disk: { options: { diskFails: 0.02, diskMs: 15 }, isLosing: true },
  rebuilt: { plan: lose, isLosing: true },
  rot: { plan: rot, isLosing: true },
  clocks: { plan: jumpClocks, hasOddClocks: true },
  reorder: { quality: ODD },
  dead: { dead: () => 1 },
  "dead-most": { dead: mostDead, quality: { loss: 0.1 } },
  everything: {
    plan: everything,
    isLosing: true,
    hasOddClocks: true,
    quality: { loss: 0.1, doubling: 0.1, jitterMs: 45 },
    options: { diskFails: 0.005, diskMs: 5 },
  },
}

/** Bursts, then silence: the table of the quiescence rules. */
export const QUIET_MIXES: Readonly<Record<string, Mix>> = {
  "quiet-clean": {},
  "quiet-30": { quality: { loss: 0.3 } },
  "quiet-50": { quality: { loss: 0.5 } },
  "quiet-crash": { plan: crashSome, isLosing: true },
  "quiet-away": { plan: away, isLosing: true },
  "quiet-dead": { quality: { loss: 0.3 }, dead: () => 1 },
  "quiet-dead-2": { quality: { loss: 0.5 }, dead: (count) => (count < 6 ? 1 : 2) },
}

function mostDead(count: number): number {
  return count - 1 - Math.ceil((count + faultsOf(count) - 1) / 2)
}

export interface Case {
  readonly mix: string
  readonly count: number
  readonly seed: number
}

export interface Outcome {
  readonly views: number
  readonly events: number
  readonly digest: number
  /** After healing, the longest that anybody waited for one block, in simulated ms. */
  readonly longestMs: number
  readonly red: string | undefined
  /** Where final blocks forked: how many validators are proven to have lied. */
  readonly culprits?: number
}

/** Runs one case to its end. */
export function runCase(one: Case, onTrace?: (line: string) => void): Outcome {
  const mix = MIXES[one.mix] ?? QUIET_MIXES[one.mix]
  if (mix === undefined) throw new Error(`no mix is called ${one.mix}`)
  const random = new Random(one.seed * 7 + one.count)
  const quality = { ...DEFAULTS.quality, ...mix.quality }
  const turn = random.int(one.count)
  const fixed = { seed: one.seed, count: one.count, quality, turn }
  const cluster = new Cluster({ ...DEFAULTS, ...mix.options, ...fixed })
  cluster.onTrace = onTrace
  for (let identity = 0; identity < one.count; identity++) {
    const isOdd = mix.hasOddClocks === true
    const wallMs = 1e9
    cluster.addMachine(
      identity,
      isOdd
        ? { offsetMs: random.between(0, 1e6), rate: random.between(0.9, 1.1), wallMs }
        : { offsetMs: random.int(1_000), wallMs },
    )
  }
  let red: string | undefined
  let longestMs = 0
  try {
    longestMs = live(cluster, mix, random, one.mix in QUIET_MIXES)
  } catch (error) {
    red = error instanceof Red ? error.message : String((error as Error).stack)
  }
  const { views } = cluster
  return { views, events: cluster.events, digest: cluster.digest, longestMs, red }
}

function live(cluster: Cluster, mix: Mix, random: Random, isBurst: boolean): number {
  cluster.startAll()
  const deadCount = mix.dead?.(cluster.options.count) ?? 0
  const dead = random.shuffle([...cluster.machines]).slice(0, deadCount)
  const troubleMs = isBurst ? random.between(2_000, 6_000) : random.between(3_800, 11_500)
  for (const machine of dead) {
    cluster.schedule.at(random.chance(0.5) ? 0 : random.next() * troubleMs, () => {
      machine.crash()
      machine.stopped = "dead"
    })
  }
  mix.plan?.(cluster, random, troubleMs)
  planWork(cluster, random, troubleMs, isBurst)
  cluster.run(troubleMs)
  heal(cluster)
  if (mix.isLosing === true) planAgain(cluster)
  const alive = cluster.machines.filter((machine) => machine.stopped === undefined)
  return demandFinality(cluster, alive)
}

function planWork(cluster: Cluster, random: Random, troubleMs: number, isBurst: boolean): void {
  let next = 1
  const bursts = isBurst ? 1 + random.int(3) : 30 + random.int(50)
  for (let i = 0; i < bursts; i++) {
    const count = isBurst ? 1 + random.int(12) : 1 + random.int(3)
    const transactions = Array.from({ length: count }, () => next++)
    cluster.schedule.at(random.next() * troubleMs, () => cluster.submit(transactions))
  }
}

function heal(cluster: Cluster): void {
  cluster.regroup(() => cluster.network.joinAll())
  for (const machine of cluster.machines) machine.start()
  cluster.tellAll("healed")
}

/** Missions submit again what they do not see final. */
function planAgain(cluster: Cluster): void {
  const { invariants, schedule } = cluster
  const again = (): void => {
    const missing = [...invariants.submitted].filter((one) => !invariants.isFinal(one))
    if (missing.length === 0) return
    cluster.submit(missing)
    schedule.after(1_000, again)
  }
  again()
}

/**
 * Whatever waits becomes final everywhere: whoever waits has a further block with transactions within
 * {@link boundOf}, again and again, and whoever lacks a block that is final elsewhere has it in that
 * time. Then there is silence. Answers the longest that anybody waited for one block.
 */
export function demandFinality(
  cluster: Cluster,
  alive: readonly Machine[],
  { isSilent } = { isSilent: true },
): number {
  const { schedule } = cluster
  const startMs = schedule.nowMs
  const boundMs = boundOf(cluster, alive.length)
  let longestMs = 0
  while (!isAllFinal(cluster, alive)) {
    const since = alive.map((machine) => Math.max(startMs, waitingSince(cluster, machine)))
    const firstMs = Math.min(...since)
    if (schedule.nowMs >= firstMs + boundMs) {
      const waits = alive.filter((_, i) => since[i] === firstMs).map(({ identity }) => identity)
      throw new Red(`no further block is final ${boundMs} ms long; waiting at ${waits.join(" ")}`)
    }
    const untilMs = Math.min(firstMs + boundMs, schedule.nowMs + LOOK_MS)
    cluster.run(untilMs, () => isAllFinal(cluster, alive))
    longestMs = Math.max(longestMs, schedule.nowMs - firstMs)
  }
  cluster.tellAll("all final")
  // Liars are never silent.
  if (isSilent) demandSilence(cluster, alive)
  return longestMs
}

/** Since when a validator waits for a block; now, if it has all and waits for none. */
function waitingSince({ schedule, invariants }: Cluster, machine: Machine): number {
  const { waiting, waitsSinceMs, delivered, isUp } = machine
  if (!isUp || waiting.size > 0) return waitsSinceMs
  const missedMs = invariants.finalMs[delivered.height]
  return missedMs === undefined ? schedule.nowMs : Math.max(missedMs, waitsSinceMs)
}

/**
 * No message, no record, no block any more. Where messages are lost, the highest notarized block may
 * still be unfinal: it becomes final as everything else did (LEDGER §8.3, Q2), and has as long for it.
 */
function demandSilence(cluster: Cluster, alive: readonly Machine[]): void {
  const { schedule, invariants } = cluster
  const isLossy = cluster.options.quality.loss > 0
  // Where heartbeats are lost, a leader may seem dead for a while.
  const noiseNow = (): number => invariants.noise + (isLossy ? 0 : invariants.skips)
  // A restart is no silence: whoever comes back is greeted (Q5).
  cluster.areDisksGood = true
  cluster.run(schedule.nowMs + (isLossy ? 2 : 1) * (2 * HEARTBEAT_MS + SKIP_MS))
  const untilMs = schedule.nowMs + boundOf(cluster, alive.length)
  for (let isBusy = isLossy; isBusy && schedule.nowMs < untilMs;) {
    const noise = noiseNow()
    cluster.run(schedule.nowMs + 2 * HEARTBEAT_MS)
    isBusy = noiseNow() > noise || alive.some(({ state }) => !isSettled(state))
  }
  const { height } = invariants.chain.at(-1) ?? { height: 0 }
  for (const { identity, disk, state } of alive) {
    if (disk.store.length !== height) {
      throw new Red(`validator ${identity} has height ${disk.store.length} of ${height} at the end`)
    }
    if (state?.armedMs !== undefined) throw new Red(`validator ${identity} is armed for ever`)
  }
  for (const { identity, disk, stopped } of cluster.machines) {
    if (stopped !== "WAL_DAMAGED" || disk.store.length === height) continue
    throw new Red(`follower ${identity} has height ${disk.store.length} of ${height} at the end`)
  }
  const lastMs = schedule.nowMs + boundOf(cluster, alive.length)
  for (;;) {
    const noise = noiseNow()
    const { skips } = invariants
    cluster.run(schedule.nowMs + 2 * HEARTBEAT_MS)
    if (noiseNow() === noise) return
    // Who gives such a leader up (R8) may hold a proposal for the view after, and votes for it.
    const isSkipping = isLossy && invariants.skips > skips
    if (!isSkipping || schedule.nowMs > lastMs) throw new Red(`no silence: ${invariants.lastNoise}`)
  }
}

/** Nothing is left to do for it. */
function isSettled(state: ConsensusState | undefined): boolean {
  return state?.armedMs === undefined && (state?.certified.view ?? 0) <= (state?.final.view ?? 0)
}

/**
 * How long a validator may wait for a block, once everything has healed. 8Δ(f+1) where all messages
 * arrive; and a heartbeat more where two validators did not notice that they reach each other again:
 * who is idle and behind then hears of it by that (LEDGER §8.1 R9, §8.3 Q4).
 *
 * Where messages are lost nothing bounds it, but chance: see {@link lossMs}.
 */
function boundOf(cluster: Cluster, alive: number): number {
  const { options, network, hasMissedContact } = cluster
  const base = 8 * options.deltaMs * (faultsOf(options.count) + 1)
  const { loss } = network.quality
  return base + (hasMissedContact ? HEARTBEAT_MS : 0) + (loss > 0 ? lossMs(cluster, alive) : 0)
}

/**
 * As many views as fail in a row once in 10⁹ times. A view lasts 3Δ at the utmost patience, four
 * times as long, and 2Δ more for a vote that is repeated (R4). It is a success if of the others who
 * are alive a quorum without the leader hears one of two tries: what matters is said again every 2Δ,
 * most of it more than once in a view. Leaders that are dead make the rounds longer.
 */
function lossMs({ options, network, set }: Cluster, alive: number): number {
  const heard = 1 - network.quality.loss ** 2
  const others = alive - 1
  let success = 0
  for (let k = set.quorum - 1; k <= others; k++) {
    success += choose(others, k) * heard ** k * (1 - heard) ** (others - k)
  }
  const views = Math.log(1e-9) / Math.log(1 - success)
  const viewDeltas = VIEW_DELTAS * PATIENCE_MAX + RETRY_DELTAS
  return views * viewDeltas * options.deltaMs * (options.count / alive)
}

function choose(from: number, count: number): number {
  return count === 0 ? 1 : (choose(from - 1, count - 1) * from) / count
}

function isAllFinal(cluster: Cluster, alive: readonly Machine[]): boolean {
  if (cluster.underWay > 0) return false
  const height = cluster.invariants.chain.length
  for (const { isUp, waiting, delivered } of alive) {
    if (!isUp || waiting.size > 0 || delivered.height !== height) return false
  }
  return true
}

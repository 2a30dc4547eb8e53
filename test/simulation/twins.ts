/**
 * Twins: a key that is in two machines, both honest and neither knowing of the other, in networks
 * that are cut anew in every view (LEDGER §8.6). With f twins nothing may fork and, once healed,
 * everything goes on; with f+1 a fork is possible, and then f+1 of them are to blame.
 */

import { culpritsOf } from "../../ledger/evidence.ts"
import type { Message } from "../../ledger/message.ts"
import { faultsOf } from "../../ledger/validators.ts"
import { Cluster, DEFAULTS } from "./cluster.ts"
import { Fork, Red } from "./invariants.ts"
import type { Machine } from "./machine.ts"
import type { Outcome } from "./mixes.ts"
import { Random } from "./random.ts"

/** Where one machine is in one view: bit 1 for side A, bit 2 for side B. */
type Mask = 0 | 1 | 2 | 3

const MASKS: readonly Mask[] = [0, 1, 2, 3, 1, 2]
const FINALITIES = 10

interface Script {
  readonly rounds: number
  /** By view, then by end. */
  readonly masks: readonly (readonly Mask[])[]
}

function viewOfMessage(message: Message): number | undefined {
  switch (message.type) {
    case "vote":
    case "proposal":
      return message.vote.view
    case "certificate":
      return message.certificate.view
    case "fetch":
      return message.fromView
    case "block":
      return message.block.header.view
    case "fetchBlock":
    default:
      return undefined
  }
}

/** With `extra` more twins than a quorum bears. */
export function runTwins(
  count: number,
  seed: number,
  extra: 0 | 1,
  onTrace?: (line: string) => void,
): Outcome {
  const random = new Random(seed * 13 + count)
  const turn = random.int(count)
  const isSafe = extra === 0
  const cluster = new Cluster({ ...DEFAULTS, seed, count, turn, isSafe, deltaMs: 250 })
  cluster.onTrace = onTrace
  const numbers = random.shuffle(Array.from({ length: count }, (_, i) => i))
  const twins = numbers.slice(0, faultsOf(count) + extra)
  for (const twin of twins) cluster.invariants.liars.add(twin)
  for (let i = 0; i < count; i++) cluster.addMachine(i, {}, twins.includes(i))
  for (const twin of twins) cluster.addMachine(twin, {}, true)
  const rounds = extra === 0 ? 3 + random.int(5) : 12
  const script: Script = {
    rounds,
    masks: Array.from({ length: rounds + 1 }, () =>
      cluster.machines.map(({ isTwin }, end) => maskOf(random, isTwin, end, count, extra)),
    ),
  }
  let red: string | undefined
  let culprits: number | undefined
  let longestMs = 0
  try {
    longestMs = play(cluster, script, random)
  } catch (error) {
    if (error instanceof Fork && !isSafe) {
      culprits = culpritsFor(cluster, twins)
      if (culprits <= faultsOf(count)) red = `a fork has ${culprits} culprits: ${error.message}`
    } else red = error instanceof Red ? error.message : String((error as Error).stack)
  }
  const { views } = cluster
  const { events, digest } = cluster
  return { views, events, digest, longestMs, red, ...(culprits !== undefined && { culprits }) }
}

/** To get forks, one half of each key goes with side A and the other with side B. */
function maskOf(random: Random, isTwin: boolean, end: number, count: number, extra: 0 | 1): Mask {
  if (extra === 0) return random.pick(MASKS)
  if (isTwin) return end < count ? 1 : 2
  return end % 2 === 0 ? 1 : 2
}

function play(cluster: Cluster, script: Script, random: Random): number {
  let isHealed = false
  const honest = cluster.machines.filter(({ isTwin }) => !isTwin)
  cluster.mayPass = (from, to, message) => {
    if (isHealed) return true
    const view = viewOfMessage(message) ?? (from as Machine).state?.view ?? 1
    const masks = script.masks[Math.min(view, script.rounds)]
    return ((masks?.[from.end] ?? 0) & (masks?.[to.end] ?? 0)) !== 0
  }
  cluster.startAll()
  let next = 1
  const submit = (): void => cluster.submit([next++, next++])
  for (let i = 0; i < 12; i++) cluster.schedule.at(random.next() * 3_000, submit)
  cluster.run(script.rounds * 2_000, () =>
    honest.every(({ state }) => (state?.view ?? 0) > script.rounds),
  )
  isHealed = true
  cluster.mayPass = undefined
  cluster.tellAll("healed")
  if (!cluster.options.isSafe) {
    cluster.run(cluster.schedule.nowMs + 30_000)
    return 0
  }
  const startMs = cluster.schedule.nowMs
  demandProgress(cluster, submit)
  return cluster.schedule.nowMs - startMs
}

/** So many more blocks become final at every honest validator. */
export function demandProgress(cluster: Cluster, submit: () => void): void {
  const { deltaMs, count } = cluster.options
  const honest = cluster.machines.filter(({ identity }) => !cluster.invariants.liars.has(identity))
  const lowest = (): number => Math.min(...honest.map(({ delivered }) => delivered.height))
  const goal = cluster.invariants.chain.length + FINALITIES
  for (let round = 0; round < FINALITIES * 3; round++) {
    submit()
    const untilMs = cluster.schedule.nowMs + 12 * deltaMs * (faultsOf(count) + 1)
    const height = lowest()
    cluster.run(untilMs, () => honest.every(({ delivered }) => delivered.height > height))
    if (lowest() >= goal) return
  }
  throw new Red(`height ${lowest()} of ${goal} after the network healed`)
}

function culpritsFor(cluster: Cluster, twins: readonly number[]): number {
  const culprits = new Set(cluster.invariants.accused)
  for (const { first } of culpritsOf(cluster.certificates())) culprits.add(first.signer)
  for (const culprit of culprits) {
    if (!twins.includes(culprit)) throw new Error(`honest ${culprit} is blamed`)
  }
  return culprits.size
}

/** The campaign of liars: f validators that lie all the same way, among others that do not. */

import { faultsOf } from "../../ledger/validators.ts"
import { ADVERSARIES, BLAMED, FLOOD, Flooder } from "./adversaries.ts"
import { Cluster, DEFAULTS } from "./cluster.ts"
import { Red } from "./invariants.ts"
import { demandFinality, type Case, type Outcome } from "./mixes.ts"
import { Random } from "./random.ts"
import { demandProgress } from "./twins.ts"

/** `mix` is the liars' name. */
export function runByzantine(one: Case, onTrace?: (line: string) => void): Outcome {
  const { mix, count, seed } = one
  const make = ADVERSARIES[mix]
  if (make === undefined) throw new Error(`no liar is called ${mix}`)
  const random = new Random(seed * 17 + count)
  const turn = random.int(count)
  const cluster = new Cluster({ ...DEFAULTS, seed, count, turn })
  cluster.onTrace = onTrace
  const numbers = random.shuffle(Array.from({ length: count }, (_, i) => i))
  const liars = numbers.slice(0, faultsOf(count))
  for (const liar of liars) cluster.invariants.liars.add(liar)
  for (const identity of numbers) {
    if (liars.includes(identity)) cluster.addActor((end) => new make(cluster, end, identity))
    else cluster.addMachine(identity, { wallMs: 1e9, offsetMs: random.int(1_000) })
  }
  let red: string | undefined
  let longestMs = 0
  try {
    longestMs = live(cluster, random, mix)
  } catch (error) {
    red = error instanceof Red ? error.message : String((error as Error).stack)
  }
  const { views } = cluster
  return { views, events: cluster.events, digest: cluster.digest, longestMs, red }
}

function live(cluster: Cluster, random: Random, mix: string): number {
  cluster.startAll()
  let next = 1
  const submit = (): void => cluster.submit([next++, next++])
  const troubleMs = random.between(1_000, 4_000)
  for (let i = 0; i < 15; i++) cluster.schedule.at(random.next() * troubleMs, submit)
  cluster.run(troubleMs)
  const longestMs = demandFinality(cluster, cluster.machines, { isSilent: false })
  demandProgress(cluster, submit)
  if (BLAMED.includes(mix) && cluster.invariants.accused.size === 0) {
    throw new Red(`nobody noticed what the ${mix} did`)
  }
  for (const actor of cluster.actors) {
    // Ten blocks after one another: everybody has led a view.
    if (actor instanceof Flooder && actor.flooded !== FLOOD) {
      throw new Red(`flooder ${actor.identity} sent ${actor.flooded} proposals of ${FLOOD}`)
    }
  }
  return longestMs
}

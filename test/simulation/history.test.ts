import { describe, expect, it } from "vitest"
import type { Message } from "../../ledger/message.ts"
import type { HeldBlock, View } from "../../ledger/state.ts"
import { faultsOf, leaderOf, quorumOf } from "../../ledger/validators.ts"
import { UNFINAL_CONTENT_MAX } from "../../protocol/limits.ts"
import { FLOOD, Flooder } from "./adversaries.ts"
import { runAny } from "./campaigns.ts"
import { Cluster, DEFAULTS, type ClusterOptions } from "./cluster.ts"
import type { Machine } from "./machine.ts"
import { demandFinality } from "./mixes.ts"

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const YEAR_MS = 365 * 24 * HOUR_MS

/** What broke others, each of which must not break us. */
function clusterOf(count: number, seed: number, options: Partial<ClusterOptions> = {}): Cluster {
  const cluster = new Cluster({ ...DEFAULTS, seed, count, turn: 0, ...options })
  for (let identity = 0; identity < count; identity++) {
    cluster.addMachine(identity, { wallMs: YEAR_MS })
  }
  return cluster
}

function machine(cluster: Cluster, identity: number): Machine {
  const found = cluster.machines[identity]
  if (found === undefined) throw new Error(`no validator ${identity}`)
  return found
}

function crashAll(cluster: Cluster): void {
  for (const one of cluster.machines) one.crash()
}

/** Missions submit again, as they do, and everything becomes final everywhere. */
function expectFinal(cluster: Cluster, transactions: readonly number[]): void {
  const alive = cluster.machines.filter(({ stopped }) => stopped === undefined)
  for (const one of alive) one.start()
  cluster.submit(transactions)
  cluster.run(cluster.schedule.nowMs + 1_000)
  demandFinality(cluster, alive)
  for (const one of transactions) expect(cluster.invariants.isFinal(one)).toBe(true)
}

describe("the quorum", () => {
  it("of 1 … 16 validators always holds f+1 in common, and is there without the f", () => {
    for (let count = 1; count <= 16; count++) {
      const faults = faultsOf(count)
      expect(2 * quorumOf(count) - count).toBeGreaterThanOrEqual(faults + 1)
      expect(quorumOf(count)).toBeLessThanOrEqual(count - faults)
    }
    expect([4, 5, 6, 7, 8, 9, 10, 13].map(quorumOf)).toEqual([3, 4, 4, 5, 6, 6, 7, 9])
  })
})

describe("a simulation", () => {
  it("takes nothing for final while a submission is on its way", () => {
    const cluster = clusterOf(4, 1)
    cluster.startAll()
    cluster.submit([1])
    expect(demandFinality(cluster, cluster.machines)).toBeGreaterThan(0)
    expect(cluster.invariants.isFinal(1)).toBe(true)
  })

  it("does not take the restart of a validator whose disk fails for noise", () => {
    const quality = { ...DEFAULTS.quality, loss: 0.4 }
    for (let seed = 60; seed < 85; seed++) {
      const cluster = clusterOf(4, seed, { diskFails: 0.2, quality })
      cluster.startAll()
      cluster.submit([1, 2])
      expect(() => demandFinality(cluster, cluster.machines)).not.toThrow()
    }
  })

  it("does not stand still where a clock's rate rounds a timer to a moment before its time", () => {
    expect(runAny({ mix: "clocks", count: 6, seed: 1_000_011 }).red).toBeUndefined()
  })

  it("does not take for noise what a leader causes who seems dead where heartbeats are lost", () => {
    // A closing proposal for the view after was held, and is voted for when that view begins.
    expect(runAny({ mix: "loss-50", count: 4, seed: 351 }).red).toBeUndefined()
  })

  it("gives silence as long as finality where half of all is lost", () => {
    // All is final, and a hundred seconds later closing blocks above it are not.
    expect(runAny({ mix: "quiet-dead-2", count: 4, seed: 6338 }).red).toBeUndefined()
  })
})

describe("consensus goes on", () => {
  it("when one withheld its finalize votes for hours, while another was away and blocks piled up", () => {
    const cluster = clusterOf(4, 3)
    // Nor does it hear those of others: it would show them what they lack.
    cluster.mayPass = (from, to, message) =>
      (from.identity !== 3 && to.identity !== 3) ||
      message.type !== "vote" ||
      message.vote.kind !== "finalize"
    cluster.startAll()
    const away = machine(cluster, 2)
    away.crash()
    cluster.submit([1, 2])
    cluster.run(6 * HOUR_MS)
    expect(cluster.invariants.chain).toEqual([])
    const made = machine(cluster, 0).disk.log.records.filter(({ kind }) => kind === "notarize")
    expect(made.length).toBeGreaterThan(UNFINAL_CONTENT_MAX)
    // Its late votes are enough, and the liar goes on.
    away.start()
    cluster.run(cluster.schedule.nowMs + MINUTE_MS, () => cluster.invariants.isFinal(2))
    expect(cluster.invariants.isFinal(1) && cluster.invariants.isFinal(2)).toBe(true)
    expectFinal(cluster, [3])
  })

  it("after all crashed when they had just nullified a view", () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = clusterOf(4, seed)
      const leader = machine(cluster, leaderOf(cluster.set, 1))
      cluster.startAll()
      leader.crash()
      leader.stopped = "dead"
      cluster.submit([1, 2])
      const others = cluster.machines.filter((one) => one !== leader)
      const hasNullified = ({ disk }: Machine): boolean =>
        disk.log.records.some(({ kind }) => kind === "nullify")
      cluster.run(5_000, () => others.every(hasNullified))
      expect(others.every(hasNullified)).toBe(true)
      crashAll(cluster)
      expectFinal(cluster, [1, 2])
    }
  })

  it.each([[[0]], [[1]], [[2, 3]]])(
    "when %j saw a view notarized and the others saw it nullified, or nothing",
    (holders) => {
      for (let seed = 0; seed < 10; seed++) {
        const cluster = clusterOf(4, seed)
        cluster.mayPass = (_from, to, message) => maySplit(holders.includes(to.identity), message)
        cluster.startAll()
        cluster.submit([1, 2, 3])
        cluster.run(4_000)
        expect(cluster.invariants.chain).toEqual([])
        cluster.mayPass = undefined
        expectFinal(cluster, [1, 2, 3])
      }
    },
  )

  it.each([[0], [3], [6]])(
    "when %j of seven alone saw that void views were notarized, has no block, and all crashed",
    (late) => {
      for (let seed = 0; seed < 10; seed++) {
        const cluster = clusterOf(7, seed)
        cluster.mayPass = (_from, to, message) => mayBeLate(to.identity === late, message)
        cluster.startAll()
        cluster.submit([1, 2, 3])
        cluster.run(8_000)
        const { views, blocks } = machine(cluster, late).state ?? {}
        const isNotarized = ({ view, certificates }: View): boolean =>
          certificates.notarize !== undefined && leaderOf(cluster.set, view) !== late
        expect([...(views?.values() ?? [])].filter(isNotarized).length).toBeGreaterThan(1)
        expect([...(blocks?.values() ?? [])].every(isBy(cluster, late))).toBe(true)
        cluster.mayPass = (_from, _to, message) => isNullifying(message)
        cluster.run(16_000)
        expect(cluster.invariants.chain).toEqual([])
        crashAll(cluster)
        cluster.mayPass = undefined
        expectFinal(cluster, [1, 2, 3])
      }
    },
  )

  it("after a crash before any record or message of one validator", () => {
    const effectsOf = (cut: number): number => {
      const cluster = clusterOf(4, 7)
      let count = 0
      let isOver = false
      cluster.onTrace = (line) => {
        // Later it would be a crash in the silence, after which validators greet each other (Q5).
        isOver ||= line.endsWith("all final")
        if (isOver || !/^ *[\d.]+ 1 .* {2}> (?:persist|send)/.test(line)) return
        if (count++ !== cut) return
        machine(cluster, 1).crash()
        cluster.restartLater(machine(cluster, 1))
      }
      cluster.startAll()
      for (const at of [1, 2, 3]) cluster.schedule.at(at * 100, () => cluster.submit([at]))
      cluster.run(1_500)
      expectFinal(cluster, [1, 2, 3])
      return count
    }
    const whole = effectsOf(-1)
    expect(whole).toBeGreaterThan(15)
    for (let cut = 0; cut < whole; cut++) effectsOf(cut)
  })

  it("with what was final, after all crashed and the leader's disk was lost", () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = clusterOf(4, seed)
      let hash = ""
      cluster.onTrace = (line) => {
        hash ||= /certificate finalize v1 (\w+)/.exec(line)?.[1] ?? ""
      }
      cluster.startAll()
      cluster.submit([1, 2])
      cluster.run(5_000, () => hash !== "")
      crashAll(cluster)
      machine(cluster, leaderOf(cluster.set, 1)).stopped = "dead"
      expectFinal(cluster, [1, 2])
      expect(cluster.invariants.describeChain().split(" ")[0]).toBe(hash)
    }
  })

  it("with clocks that are a year apart", () => {
    const cluster = new Cluster({ ...DEFAULTS, seed: 1, count: 7, turn: 0 })
    const years = [1, 2, 1, 0, 1, 1, 1]
    for (const [i, year] of years.entries()) cluster.addMachine(i, { wallMs: year * YEAR_MS })
    cluster.startAll()
    for (let i = 1; i <= 20; i++) cluster.schedule.at(i * 200, () => cluster.submit([i]))
    cluster.run(6_000)
    demandFinality(cluster, cluster.machines)
    expect(cluster.invariants.finalCount).toBe(20)
  })

  it("over links of 200 ± 150 ms that lose every third message", () => {
    const quality = { delayMs: 200, jitterMs: 150, loss: 0.3, doubling: 0 }
    const cluster = clusterOf(4, 3, { quality })
    cluster.startAll()
    for (let i = 1; i <= 20; i++) cluster.schedule.at(i * 200, () => cluster.submit([i]))
    cluster.run(5_000)
    demandFinality(cluster, cluster.machines)
    expect(cluster.invariants.finalCount).toBeGreaterThanOrEqual(19)
  })

  it("after a leader sent ten thousand different proposals for its view, of which one is held", () => {
    const cluster = new Cluster({ ...DEFAULTS, seed: 1, count: 4, turn: 1 })
    const liar = leaderOf(cluster.set, 1)
    cluster.invariants.liars.add(liar)
    for (let identity = 0; identity < 4; identity++) {
      if (identity !== liar) cluster.addMachine(identity, { wallMs: YEAR_MS })
      else cluster.addActor((end) => new Flooder(cluster, end, identity))
    }
    const [victim] = cluster.machines
    let proposals = 0
    let heldMax = 0
    cluster.onTrace = (line) => {
      if (!line.includes(`< ${liar} (`) || !line.includes("proposal h1 ")) return
      proposals += 1
      heldMax = Math.max(heldMax, victim?.state?.blocks.size ?? 0)
    }
    cluster.startAll()
    cluster.submit([1, 2, 3])
    cluster.run(6_000)
    // The victim had the one that all three had as well.
    expect(proposals).toBe(FLOOD + 3)
    expect(heldMax).toBe(1)
    expect(cluster.invariants.chain.map(({ view }) => view)).toContain(2)
    for (const one of [1, 2, 3]) expect(cluster.invariants.isFinal(one)).toBe(true)
  })

  it("for one validator alone, through a crash before each of its records and messages", () => {
    const effectsOf = (cut: number): number => {
      const cluster = clusterOf(1, 1)
      let count = 0
      cluster.onTrace = (line) => {
        if (!/ {2}> (?:persist|send|deliver)/.test(line) || count++ !== cut) return
        machine(cluster, 0).crash()
      }
      cluster.startAll()
      cluster.submit([1, 2])
      cluster.run(500)
      expectFinal(cluster, [1, 2])
      return count
    }
    const whole = effectsOf(-1)
    expect(whole).toBeGreaterThan(4)
    for (let cut = 0; cut < whole; cut++) effectsOf(cut)
  })
})

describe("a validator", () => {
  it("whose log and store were put back stops once it is shown its lost vote; the others go on", () => {
    let shown = 0
    for (let seed = 1; seed <= 10; seed++) {
      const cluster = clusterOf(4, seed)
      const victim = machine(cluster, 0)
      cluster.invariants.mayStop = true
      cluster.startAll()
      for (let i = 1; i <= 10; i++) cluster.schedule.at(i * 200, () => cluster.submit([i]))
      cluster.run(1_000)
      victim.crash()
      const former = victim.disk.copy()
      victim.start()
      cluster.run(3_000)
      victim.crash()
      victim.disk = former
      victim.start()
      cluster.schedule.after(100, () => cluster.submit([11]))
      cluster.run(6_000)
      const { stops } = cluster.invariants
      expect([[], ["CONSENSUS_KEY_DEAD"]]).toContainEqual(stops)
      shown += stops.length
      expect(cluster.invariants.isFinal(11)).toBe(true)
    }
    // Where no certificate that it gets has its vote, R11 has nothing to see; §9.4 is for that.
    expect(shown).toBeGreaterThanOrEqual(5)
  })

  it("that is idle for an hour makes no block and no record, and says nothing but heartbeats", () => {
    const cluster = clusterOf(4, 1)
    cluster.startAll()
    cluster.run(3_600_000)
    expect(cluster.invariants.noise + cluster.invariants.skips).toBe(0)
    // Each greets those whom it meets when it starts (Q5).
    const greetings = cluster.network.messages - 4 * 3 * 360
    expect(greetings).toBeGreaterThanOrEqual(0)
    expect(greetings).toBeLessThanOrEqual(4 * 3)
    for (const { disk, state } of cluster.machines) {
      expect([disk.log.records.length, disk.store.length, state?.view]).toEqual([0, 0, 1])
    }
  })
})

function isNullifying(message: Message): boolean {
  if (message.type === "vote") return message.vote.kind === "nullify"
  return message.type === "certificate" && message.certificate.kind === "nullify"
}

/** Blocks reach all but one, and notarize votes that one alone. */
function mayBeLate(isLate: boolean, message: Message): boolean {
  if (message.type === "certificate" || isNullifying(message)) return isNullifying(message)
  return message.type === "vote" ? isLate && message.vote.kind === "notarize" : !isLate
}

/** Whether a block is of a view that this validator leads. */
function isBy(cluster: Cluster, identity: number): (held: HeldBlock) => boolean {
  return ({ block }) => leaderOf(cluster.set, block.header.view) === identity
}

/** Notarize votes and certificates reach the holders alone, everything else but F the others. */
function maySplit(isHolder: boolean, message: Message): boolean {
  if (message.type === "proposal") return true
  if (message.type === "vote" || message.type === "certificate") {
    const { kind } = message.type === "vote" ? message.vote : message.certificate
    if (kind === "finalize") return false
    return isHolder ? kind === "notarize" : kind === "nullify"
  }
  return !isHolder
}

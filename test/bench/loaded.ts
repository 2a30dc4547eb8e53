/**
 * Finality while three missions submit a thousand entries a second together: 16 entries at once every
 * 48 ms each, on a schedule that waits for nothing. A mission signs batches of what has come since its
 * last ones left, as its node does.
 *
 * On the machine's own clock, seven nodes on its processors, against the same in virtual time,
 * where computing takes none: what the way of an entry costs before any processor is asked.
 */

import type { LedgerNode } from "../support/ledgers.ts"
import { createWorld, DELAY_MS, type DelayedStage } from "./delayed.ts"
import { quantile, spreadOf, type Figure } from "./figures.ts"
import { VALIDATORS, wallMs } from "./validator.ts"

/** Missions that load the ledger together. */
export const LOADING = 3
const AT_ONCE = 16
const EVERY_MS = 48
const WARM_UP_MS = 2_000
const LASTS_MS = 8_000
const LASTS_FULL_MS = 30_000
const LASTS_VIRTUAL_MS = 4_000
const WITHIN_MS = 60_000
const POLL_MS = 50
/** The goals leave room for the view before an entry's own. */
const GOALS = [
  { share: 0.5, delays: 6 },
  { share: 0.99, delays: 9 },
]

export async function benchLoaded(stage: DelayedStage, isFull: boolean): Promise<Figure[]> {
  const tookMs = await new Load(realPlace(stage)).run(isFull ? LASTS_FULL_MS : LASTS_MS)
  const leastMs = await new Load(await virtualPlace()).run(LASTS_VIRTUAL_MS)
  const rate = (1_000 * AT_ONCE * LOADING) / EVERY_MS
  const entries = tookMs.length / VALIDATORS
  return GOALS.map(({ share, delays }): Figure => {
    const measuredMs = quantile(tookMs, share)
    const floorMs = quantile(leastMs, share)
    return {
      name: `${rate} entries/s, ${entries}: submission → final at each validator, p${share * 100}`,
      unit: "ms",
      measured: { ...spreadOf(tookMs), median: measuredMs },
      against: { name: "in virtual time", value: { ...spreadOf(leastMs), median: floorMs } },
      ratio: measuredMs / floorMs,
      goal: { text: `at most ${delays} δ`, isMet: measuredMs <= delays * DELAY_MS },
    }
  })
}

interface Mission {
  readonly rid: number
  /** So many entries, in one go. */
  submit(count: number): unknown
}

/** Nodes and their clock. */
interface Place {
  nowMs(): number
  runFor(ms: number): Promise<void>
  /** Calls back for each entry at each validator, with the moment at which it was final there. */
  onFinal(listener: (rid: number, seq: number, atMs: number) => void): void
  readonly missions: readonly Mission[]
}

function realPlace({ validators, missions }: DelayedStage): Place {
  return {
    nowMs: wallMs,
    runFor: async (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    onFinal: (listener) => {
      for (const validator of validators) {
        validator.onFinal(({ serials, atMs }) => {
          for (const { rid, seq } of serials) listener(rid, seq, atMs)
        })
      }
    },
    missions: missions.map((node): Mission => {
      return { rid: node.rid, submit: (count) => node.order({ type: "submit", count }) }
    }),
  }
}

async function virtualPlace(): Promise<Place> {
  const world = createWorld(VALIDATORS + LOADING, "loaded", { delayMs: DELAY_MS })
  await world.start()
  const missionOf = (node: LedgerNode): Mission => ({
    rid: node.post.rid,
    submit: async (count) => {
      await Promise.all(Array.from({ length: count }, async () => node.submit()))
    },
  })
  return {
    nowMs: () => world.clock.monotonicMs(),
    runFor: async (ms) => world.clock.runFor(ms),
    onFinal: (listener) => {
      for (const { ledger } of world.nodes.slice(0, VALIDATORS)) {
        ledger.onFinal(({ entries }) => {
          const atMs = world.clock.monotonicMs()
          for (const { entry } of entries) listener(entry.submitter, entry.submitterSeq, atMs)
        })
      }
    },
    missions: world.nodes.slice(VALIDATORS).map(missionOf),
  }
}

class Load {
  readonly #place: Place
  /** When an entry was due, by its submitter and its serial. */
  readonly #dueMs = new Map<string, number>()
  /** Of each entry at each validator. */
  readonly #tookMs: number[] = []

  constructor(place: Place) {
    this.#place = place
  }

  /** For so long after the warm-up. Returns how long each entry took to each validator. */
  async run(lastsMs: number): Promise<number[]> {
    const { missions } = this.#place
    const startedMs = this.#place.nowMs()
    this.#place.onFinal((rid, seq, atMs) => {
      const dueMs = this.#dueMs.get(`${rid} ${seq}`)
      if (dueMs !== undefined) this.#tookMs.push(atMs - dueMs)
    })
    const submissions: unknown[] = []
    const shiftMs = EVERY_MS / missions.length
    for (let turn = 0; turn * shiftMs < WARM_UP_MS + lastsMs; turn++) {
      const dueMs = startedMs + turn * shiftMs
      await this.#place.runFor(Math.max(0, dueMs - this.#place.nowMs()))
      const mission = missions[turn % missions.length]
      if (mission === undefined) throw new Error("there are missions that submit")
      const first = Math.floor(turn / missions.length) * AT_ONCE + 1
      if (dueMs >= startedMs + WARM_UP_MS) this.#expect(mission.rid, first, dueMs)
      submissions.push(mission.submit(AT_ONCE))
    }
    const wanted = this.#dueMs.size * VALIDATORS
    for (let left = WITHIN_MS / POLL_MS; this.#tookMs.length < wanted; left--) {
      if (left === 0) throw new Error("not all became final")
      await this.#place.runFor(POLL_MS)
    }
    await Promise.all(submissions)
    return this.#tookMs
  }

  /** These are counted, from when they were due: a late submission is no fault of theirs. */
  #expect(rid: number, first: number, dueMs: number): void {
    for (let seq = first; seq < first + AT_ONCE; seq++) this.#dueMs.set(`${rid} ${seq}`, dueMs)
  }
}

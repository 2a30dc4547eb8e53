/**
 * Finality while three missions submit a thousand entries a second together: 16 entries at once every
 * 48 ms each, on a schedule that waits for nothing. A mission signs batches of what has come since its
 * last ones left, as its node does.
 */

import { DELAY_MS, type DelayedStage } from "./delayed.ts"
import { quantile, spreadOf, type Figure } from "./figures.ts"

const AT_ONCE = 16
const EVERY_MS = 48
const WARM_UP_MS = 2_000
const LASTS_MS = 8_000
const LASTS_FULL_MS = 30_000
const WITHIN_MS = 60_000
const POLL_MS = 50
/** What an entry needs on an idle ledger; the goals leave room for the view before its own. */
const IDLE_DELAYS = 4
const GOALS = [
  { share: 0.5, delays: 6 },
  { share: 0.99, delays: 9 },
]

export async function benchLoaded(stage: DelayedStage, isFull: boolean): Promise<Figure[]> {
  const lastsMs = isFull ? LASTS_FULL_MS : LASTS_MS
  const load = new Load(stage)
  const wanted = await load.run(WARM_UP_MS + lastsMs, WARM_UP_MS)
  const rate = (1_000 * AT_ONCE * stage.missions.length) / EVERY_MS
  const floorMs = IDLE_DELAYS * DELAY_MS
  return GOALS.map(({ share, delays }): Figure => {
    const measuredMs = quantile(load.tookMs, share)
    return {
      name: `${rate} entries/s, ${wanted}: submission → final at each validator, p${share * 100}`,
      unit: "ms",
      measured: { ...spreadOf(load.tookMs), median: measuredMs },
      against: { name: `${IDLE_DELAYS} δ`, value: spreadOf([floorMs]) },
      ratio: measuredMs / floorMs,
      goal: { text: `at most ${delays} δ`, isMet: measuredMs <= delays * DELAY_MS },
    }
  })
}

class Load {
  readonly #stage: DelayedStage
  /** When an entry was due, by its submitter and its serial. */
  readonly #dueMs = new Map<string, number>()
  /** Of each entry at each validator. */
  readonly tookMs: number[] = []

  constructor(stage: DelayedStage) {
    this.#stage = stage
  }

  /** Returns how many entries were counted: those that were due after `warmUpMs`. */
  async run(lastsMs: number, warmUpMs: number): Promise<number> {
    const { validators, missions } = this.#stage
    const startedMs = performance.now()
    for (const validator of validators) {
      validator.onFinal(({ entries }) => {
        const nowMs = performance.now()
        for (const { entry } of entries) {
          const dueMs = this.#dueMs.get(`${entry.submitter} ${entry.submitterSeq}`)
          if (dueMs !== undefined) this.tookMs.push(nowMs - dueMs)
        }
      })
    }
    const submissions: Promise<void>[] = []
    const shiftMs = EVERY_MS / missions.length
    for (let turn = 0; turn * shiftMs < lastsMs; turn++) {
      const dueMs = startedMs + turn * shiftMs
      await pause(dueMs - performance.now())
      const mission = missions[turn % missions.length]
      if (mission === undefined) throw new Error("there are missions that submit")
      const first = Math.floor(turn / missions.length) * AT_ONCE + 1
      if (dueMs >= startedMs + warmUpMs) this.#expect(mission.post.rid, first, dueMs)
      submissions.push(mission.submit(AT_ONCE))
    }
    await Promise.all(submissions)
    const wanted = this.#dueMs.size * validators.length
    for (let left = WITHIN_MS / POLL_MS; this.tookMs.length < wanted; left--) {
      if (left === 0) throw new Error("not all became final")
      await pause(POLL_MS)
    }
    return this.#dueMs.size
  }

  /** These are counted, from when they were due: a late submission is no fault of theirs. */
  #expect(rid: number, first: number, dueMs: number): void {
    for (let seq = first; seq < first + AT_ONCE; seq++) this.#dueMs.set(`${rid} ${seq}`, dueMs)
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}

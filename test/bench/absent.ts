/**
 * Finality while one validator of four is dead, in virtual time: what an entry waits for whose view the
 * dead one leads, before the others have given it up and after (LEDGER §8, R4 and R8).
 */

import { createValidatorSet, leaderOf, type ValidatorSet } from "../../ledger/validators.ts"
import type { LedgerNode, LedgerWorld } from "../support/ledgers.ts"
import { BOUND_MS, createWorld, DELAY_MS } from "./delayed.ts"
import { quantile, spreadOf, type Figure } from "./figures.ts"
import { VALIDATORS } from "./validator.ts"

const SEEDS = 8
const ENTRIES = 20
/** After 30 s of silence a validator is given up at once; heartbeats of the others are 10 s apart. */
const UNTIL_MS = 29_000
const GIVEN_UP_MS = 60_000
/** Entries come at any phase of what the one before them left behind. */
const PAUSE_MAX_MS = 400
const WITHIN_MS = 60_000
const ROOM_MS = 40
const IDLE_MS = 4 * DELAY_MS

export async function benchAbsent(): Promise<Figure[]> {
  const led: number[] = []
  const givenUp: number[] = []
  for (let seed = 0; seed < SEEDS; seed++) {
    const absence = await Absence.begin(seed)
    led.push(...(await absence.untilGivenUp()))
    givenUp.push(...(await absence.givenUp()))
  }
  return [
    tailFigure("a dead validator leads", "2 Δ", 2 * BOUND_MS, led),
    tailFigure("a dead validator is given up", "2 δ", 2 * DELAY_MS, givenUp),
  ]
}

function tailFigure(name: string, more: string, moreMs: number, tookMs: readonly number[]): Figure {
  const p99 = quantile(tookMs, 0.99)
  const floorMs = IDLE_MS + moreMs
  return {
    name: `${name}, ${tookMs.length} times: submission → final at each other, p99`,
    unit: "ms",
    measured: { ...spreadOf(tookMs), median: p99 },
    against: { name: `4 δ + ${more}`, value: spreadOf([floorMs]) },
    ratio: p99 / floorMs,
    goal: { text: `at most 4 δ + ${more} + ${ROOM_MS} ms`, isMet: p99 <= floorMs + ROOM_MS },
  }
}

/** A network one of whose validators has no power any more. */
class Absence {
  readonly #world: LedgerWorld
  readonly #set: ValidatorSet
  readonly #dead: number
  readonly #sinceMs: number

  private constructor(world: LedgerWorld, dead: number) {
    const { suite } = world.ministry
    this.#world = world
    this.#set = createValidatorSet(
      suite,
      0,
      world.node(VALIDATORS).ledger.directory.genesis.validators,
    )
    this.#dead = dead
    this.#sinceMs = world.clock.monotonicMs()
  }

  static async begin(seed: number): Promise<Absence> {
    const world = createWorld(VALIDATORS + 1, `absent ${seed}`, { delayMs: DELAY_MS })
    await world.start()
    await world.during(world.node(VALIDATORS).submit())
    await world.untilQuiet()
    const dead = seed % VALIDATORS
    world.node(dead).crash("lost", true)
    return new Absence(world, dead)
  }

  /** Of the entries that come while the dead one leads and is still waited for. */
  async untilGivenUp(): Promise<number[]> {
    const led: number[] = []
    while (this.#world.clock.monotonicMs() < this.#sinceMs + UNTIL_MS) {
      await this.#pause()
      const isLed = this.#isLed()
      const tookMs = await this.#record()
      if (isLed) led.push(...tookMs)
    }
    return led
  }

  /** Of all entries, once the dead one is given up. */
  async givenUp(): Promise<number[]> {
    await this.#world.clock.runFor(GIVEN_UP_MS)
    const all: number[] = []
    for (let entry = 0; entry < ENTRIES; entry++) {
      await this.#pause()
      all.push(...(await this.#record()))
    }
    return all
  }

  #living(): LedgerNode[] {
    return this.#world.nodes.filter((node, at) => at < VALIDATORS && at !== this.#dead && node.isUp)
  }

  /** The view that all others are in is one of the dead one's. */
  #isLed(): boolean {
    return this.#living().every(({ ledger }) => {
      const view = ledger.validatorStatus()?.view ?? 0
      return leaderOf(this.#set, view) === this.#dead
    })
  }

  async #pause(): Promise<void> {
    const [low = 0] = this.#world.random(1)
    await this.#world.clock.runFor((PAUSE_MAX_MS * low) / 255)
  }

  /** One entry: how long until each of the others had it. */
  async #record(): Promise<number[]> {
    const { clock } = this.#world
    const mission = this.#world.node(VALIDATORS)
    const { rid } = mission.post
    const seq = mission.ledger.lastSeq(rid) + 1
    const startedMs = clock.monotonicMs()
    const tookMs: number[] = []
    const leave = this.#living().map(({ ledger }) =>
      ledger.onFinal(({ entries }) => {
        const isIt = entries.some(
          ({ entry }) => entry.submitter === rid && entry.submitterSeq === seq,
        )
        if (isIt) tookMs.push(clock.monotonicMs() - startedMs)
      }),
    )
    await this.#world.during(mission.submit())
    await clock.runUntil(() => tookMs.length === VALIDATORS - 1, WITHIN_MS)
    for (const stop of leave) stop()
    // The next one finds a ledger that waits for nothing.
    await this.#world.untilQuiet()
    return tookMs
  }
}

/** What a run of the simulator has shown so far, and what is printed of it. */

import { FORKS_MIN, GOALS, type Report } from "./campaigns.ts"

interface Total {
  seeds: number
  views: number
  events: number
  hash: number
  reds: number
}

const NAME_WIDTH = 28
const NUMBER_WIDTH = 15
const REDS_SHOWN = 20

export class Totals {
  /** By campaign, then by mix; the mix "" is all of a campaign. */
  readonly #totals = new Map<string, Map<string, Total>>()
  /** Of the campaign of blame, by the number of validators. */
  readonly #forks = new Map<number, { seeds: number; forks: number }>()
  #redsShown = 0

  add(report: Report): void {
    const { campaign, mix, seeds, views, events, hash, reds } = report
    if (campaign === "blame") this.#addForks(report)
    const mixes = this.#totals.get(campaign) ?? new Map<string, Total>()
    this.#totals.set(campaign, mixes)
    for (const key of new Set(["", mix])) {
      const total = mixes.get(key) ?? { seeds: 0, views: 0, events: 0, hash: 0, reds: 0 }
      mixes.set(key, total)
      total.seeds += seeds
      total.views += views
      total.events += events
      total.hash = (total.hash + hash) >>> 0
      total.reds += reds.length
    }
    for (const red of reds) {
      if (this.#redsShown++ < REDS_SHOWN) console.log(`red: ${red}`)
    }
  }

  #addForks({ count, seeds, forks }: Report): void {
    const former = this.#forks.get(count) ?? { seeds: 0, forks: 0 }
    this.#forks.set(count, { seeds: former.seeds + seeds, forks: former.forks + forks })
  }

  get isGreen(): boolean {
    return [...this.#totals.values()].every((mixes) => mixes.get("")?.reds === 0)
  }

  /** One line while it runs. */
  describe(): string {
    const words: string[] = []
    let reds = 0
    let views = 0
    for (const [campaign, mixes] of this.#totals) {
      const all = mixes.get("")
      words.push(`${campaign} ${number(all?.seeds ?? 0)}`)
      reds += all?.reds ?? 0
      views += all?.views ?? 0
    }
    return `${words.sort().join(", ")}; ${number(views)} views, ${reds} red`
  }

  print(): void {
    const heads = ["seeds", "views", "events", "trace hash", "red"]
    console.log("".padEnd(NAME_WIDTH) + heads.map((head) => head.padStart(NUMBER_WIDTH)).join(""))
    for (const [campaign, mixes] of [...this.#totals].sort(byName)) {
      for (const [mix, { seeds, views, events, hash, reds }] of [...mixes].sort(byName)) {
        const name = mix === "" ? campaign : `  ${mix}`
        const trace = hash.toString(16).padStart(8, "0")
        const cells = [number(seeds), number(views), number(events), trace, number(reds)]
        console.log(
          name.padEnd(NAME_WIDTH) + cells.map((cell) => cell.padStart(NUMBER_WIDTH)).join(""),
        )
      }
    }
    const mutants = this.#totals.get("mutants")?.get("")
    if (mutants !== undefined) {
      console.log(`mutants killed: ${mutants.seeds - mutants.reds} of ${mutants.seeds}`)
    }
  }

  /** Says how the counts stand to the goals of the full size; true when all are reached. */
  printGoals(): boolean {
    let areReached = true
    for (const { campaign, of, atLeast } of GOALS) {
      const mixes = this.#totals.get(campaign) ?? new Map<string, Total>()
      const all = mixes.get("") ?? { seeds: 0, views: 0 }
      const each = [...mixes].filter(([mix]) => mix !== "").map(([, { seeds }]) => seeds)
      const count =
        of === "views" ? all.views : of === "seeds" ? all.seeds : Math.min(...each, all.seeds)
      const isReached = count >= atLeast
      areReached &&= isReached
      const word = isReached ? "reached" : "NOT REACHED"
      console.log(`${campaign}: ${number(count)} ${of}, goal ${number(atLeast)}: ${word}`)
    }
    for (const [count, { seeds, forks }] of [...this.#forks].sort(([a], [b]) => a - b)) {
      const isReached = forks >= seeds * FORKS_MIN
      areReached &&= isReached
      const of = `blame: ${number(forks)} of ${number(seeds)} seeds of ${count} validators forked`
      console.log(`${of}, goal a third: ${isReached ? "reached" : "NOT REACHED"}`)
    }
    return areReached
  }
}

function number(value: number): string {
  return value.toLocaleString("en")
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** What the demo found, and how it tells it: a story on the way, one JSON object at the end. */

import type { Tally } from "./traffic.ts"

/** One validator that was away while cables flowed. */
export interface Absence {
  mission: string
  how: "killed" | "cut off" | "shut down"
  /** Cables that the others' nodes took meanwhile, and how many of them became final meanwhile. */
  submitted: number
  registered: number
  /** Missions that were there and of which nothing became final meanwhile. */
  withoutFinality: string[]
  awayMs: number
  /** From its return until it voted and had every block of the others, at this height. */
  backMs: number
  height: number
}

export interface DemoReport {
  ok: boolean
  missions: number
  validators: number
  /** Validators whose key votes at the end. */
  voting: number
  cables: Tally
  hotline: { raised: number; displayed: number; acknowledged: number; medianMs: number }
  offline: { queued: number; deliveredAfterReturn: number }
  crash: { kills: number; lost: number; duplicated: number }
  absences: Absence[]
  audit: { entries: number; proofs: number; verified: number; tamperDetected: boolean }
  ms: number
}

/** Tells the story on standard output, or keeps silent for `--json`. */
export class Teller {
  readonly #isSilent: boolean
  readonly #startMs = performance.now()
  #chapter = 0

  constructor(isSilent: boolean) {
    this.#isSilent = isSilent
  }

  chapter(title: string): void {
    this.#chapter += 1
    const seconds = ((performance.now() - this.#startMs) / 1_000).toFixed(1).padStart(5)
    this.#print(`\n${this.#chapter}. ${title.padEnd(62)} ${seconds} s`)
  }

  line(text: string): void {
    this.#print(`   ${text}`)
  }

  get elapsedMs(): number {
    return Math.round(performance.now() - this.#startMs)
  }

  #print(text: string): void {
    if (!this.#isSilent) console.log(text)
  }
}

/** True when nothing is lost, late for good, doubled or unproven. */
export function isGood(report: Omit<DemoReport, "ok" | "ms">): boolean {
  const { validators, voting, cables, hotline, offline, crash, absences, audit } = report
  return (
    voting === validators &&
    cables.delivered === cables.sent &&
    cables.registered === cables.sent &&
    cables.lost === 0 &&
    cables.duplicated === 0 &&
    hotline.displayed === hotline.raised &&
    hotline.acknowledged > 0 &&
    offline.deliveredAfterReturn === offline.queued &&
    crash.lost === 0 &&
    crash.duplicated === 0 &&
    absences.every(({ withoutFinality }) => withoutFinality.length === 0) &&
    audit.verified === audit.proofs &&
    audit.tamperDetected
  )
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted[middle] ?? 0
}

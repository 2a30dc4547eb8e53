/**
 * Links between simulated validators: slow, lossy, doubling, out of order, cut. A link knows what
 * stands at its two ends, never what is said.
 */

import type { Random } from "./random.ts"
import type { Schedule } from "./schedule.ts"

/** Of every link alike; times in ms. */
export interface LinkQuality {
  readonly delayMs: number
  readonly jitterMs: number
  readonly loss: number
  readonly doubling: number
}

export class Network {
  quality: LinkQuality
  readonly #schedule: Schedule
  readonly #random: Random
  /** Ends with different numbers do not reach each other. */
  readonly #sides: number[] = []
  messages = 0

  constructor(schedule: Schedule, random: Random, quality: LinkQuality) {
    this.#schedule = schedule
    this.#random = random
    this.quality = quality
  }

  putOnSide(end: number, side: number): void {
    this.#sides[end] = side
  }

  joinAll(): void {
    this.#sides.length = 0
  }

  isCut(from: number, to: number): boolean {
    return (this.#sides[from] ?? 0) !== (this.#sides[to] ?? 0)
  }

  /** Carries something over the link, or loses it, or carries it twice; says how often it arrives. */
  carry(from: number, to: number, arrive: () => void): number {
    this.messages += 1
    const { loss, doubling } = this.quality
    const random = this.#random
    if (this.isCut(from, to) || random.chance(loss)) return 0
    this.#schedule.after(this.wayMs(), arrive)
    if (!random.chance(doubling)) return 1
    this.#schedule.after(this.wayMs() * 2, arrive)
    return 2
  }

  /** How long one message takes. */
  wayMs(): number {
    const { delayMs, jitterMs } = this.quality
    return Math.max(0, delayMs + (this.#random.next() * 2 - 1) * jitterMs)
  }
}

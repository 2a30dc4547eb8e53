/**
 * Fast seeded randomness for simulations: sfc32, so that a seed gives the same run on every machine.
 * test/support/rng.ts is the one for bytes; here millions of draws a second are made.
 */

export class Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0
    this.#c = 0x9e3779b9 | 0
    for (let i = 0; i < 15; i++) this.next()
  }

  /** In 0 … 1, without 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return (sum >>> 0) / 0x1_0000_0000
  }

  /** An integer in 0 … `below` - 1. */
  int(below: number): number {
    return Math.floor(this.next() * below)
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.int(from.length)]
    if (found === undefined) throw new Error("nothing to pick from")
    return found
  }

  /** In place. */
  shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const held = list[i] as T
      list[i] = list[j] as T
      list[j] = held
    }
    return list
  }
}

/**
 * A virtual clock: the simulator's {@link Clock}. Time stands still until a test moves it.
 *
 * Timers fire in order of their time, then of their making. Between two firings the event loop
 * turns a few times, so that promises which the first one settled have run to their next wait:
 * the same seed gives the same trace.
 */

import { AssertionError } from "../../protocol/assert.ts"
import type { Clock, Timer } from "../../node/clock.ts"

/** Turns of the event loop after each firing; one empties all promise queues, the rest is room. */
const TURNS = 3
/** Firings at one instant after which a test is taken to be stuck. */
const FIRINGS_PER_INSTANT_MAX = 1_000_000

export interface VirtualClock extends Clock {
  /** Moves virtual time to `untilMs` (of {@link Clock.monotonicMs}), firing what comes due. */
  run(untilMs: number): Promise<void>
  /** As `run`, `durationMs` from now. */
  runFor(durationMs: number): Promise<void>
  /**
   * Runs until `isDone`, asked after every firing. Returns the virtual time; throws when
   * `withinMs` pass first.
   */
  runUntil(isDone: () => boolean, withinMs: number): Promise<number>
  /** Lets promises run to their next wait without moving time. */
  settle(): Promise<void>
  /** Moves the wall clock alone, as an operator or a time server would. */
  jump(byMs: number): void
  /** Timers that wait. */
  readonly pending: number
}

/** `startMs` is the wall clock at the start; monotonic time starts at 0. */
export function createVirtualClock(startMs: number = Date.UTC(2026, 0, 1)): VirtualClock {
  const heap = new TimerHeap()
  let elapsedMs = 0
  let wallMs = startMs
  let made = 0

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < TURNS; turn++) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve)
      })
    }
  }

  /** Fires what is due until `untilMs`; true as soon as `isDone` holds. */
  const advance = async (untilMs: number, isDone: () => boolean): Promise<boolean> => {
    let firings = 0
    await settle()
    while (!isDone()) {
      const next = heap.peek()
      if (next === undefined || next.atMs > untilMs) {
        elapsedMs = Math.max(elapsedMs, untilMs)
        return false
      }
      heap.pop()
      firings = next.atMs > elapsedMs ? 0 : firings + 1
      if (firings > FIRINGS_PER_INSTANT_MAX) throw new AssertionError("virtual time stands still")
      elapsedMs = Math.max(elapsedMs, next.atMs)
      next.run()
      await settle()
    }
    return true
  }

  return {
    now: () => Math.floor(wallMs + elapsedMs),
    monotonicMs: () => elapsedMs,
    after(delayMs, run): Timer {
      const entry: Entry = { atMs: elapsedMs + Math.max(0, delayMs), order: made, run }
      made += 1
      heap.push(entry)
      return { cancel: () => heap.remove(entry) }
    },
    async run(untilMs) {
      await advance(untilMs, () => false)
    },
    async runFor(durationMs) {
      await advance(elapsedMs + durationMs, () => false)
    },
    async runUntil(isDone, withinMs) {
      const fromMs = elapsedMs
      if (await advance(fromMs + withinMs, isDone)) return elapsedMs
      throw new AssertionError(`not done within ${withinMs} ms of virtual time from ${fromMs} ms`)
    },
    settle,
    jump(byMs) {
      wallMs += byMs
    },
    get pending() {
      return heap.size
    },
  }
}

interface Entry {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

/** Binary heap by time, then by order of making. Cancelled entries are skipped when they surface. */
class TimerHeap {
  readonly #entries: Entry[] = []
  readonly #live = new Set<Entry>()

  get size(): number {
    return this.#live.size
  }

  push(entry: Entry): void {
    this.#live.add(entry)
    let at = this.#entries.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfLess(at, parent)) break
      at = parent
    }
  }

  peek(): Entry | undefined {
    for (;;) {
      const first = this.#entries[0]
      if (first === undefined || this.#live.has(first)) return first
      this.#shift()
    }
  }

  pop(): void {
    const first = this.peek()
    if (first === undefined) return
    this.#live.delete(first)
    this.#shift()
  }

  remove(entry: Entry): void {
    this.#live.delete(entry)
  }

  #shift(): void {
    const last = this.#entries.pop()
    if (last === undefined || this.#entries.length === 0) return
    this.#entries[0] = last
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      const lesser = this.#isLess(right, left) ? right : left
      if (!this.#swapIfLess(lesser, at)) return
      at = lesser
    }
  }

  #isLess(a: number, b: number): boolean {
    const one = this.#entries[a]
    const two = this.#entries[b]
    if (one === undefined || two === undefined) return false
    return one.atMs < two.atMs || (one.atMs === two.atMs && one.order < two.order)
  }

  #swapIfLess(a: number, b: number): boolean {
    if (!this.#isLess(a, b)) return false
    const one = this.#entries[a]
    const two = this.#entries[b]
    if (one === undefined || two === undefined) return false
    this.#entries[a] = two
    this.#entries[b] = one
    return true
  }
}

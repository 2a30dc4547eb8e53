/**
 * What happens next in simulated time: a heap of moments. Of two things at one moment the one that
 * was planned first comes first.
 */

interface Planned {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class Schedule {
  readonly #heap: Planned[] = []
  #order = 0
  nowMs = 0

  /** Plans something, not before now. */
  at(atMs: number, run: () => void): void {
    const heap = this.#heap
    const planned = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run }
    let at = heap.length
    heap.push(planned)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (parent === undefined || !isBefore(planned, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = planned
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run)
  }

  /** Lets the next thing happen; false when it is later than `untilMs`, which is now then. */
  next(untilMs: number): boolean {
    const first = this.#heap[0]
    if (first === undefined || first.atMs > untilMs) {
      this.nowMs = untilMs
      return false
    }
    this.#removeFirst()
    this.nowMs = first.atMs
    first.run()
    return true
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      const left = heap[child] as Planned
      const lesser = right !== undefined && isBefore(right, left) ? right : left
      if (lesser === right) child += 1
      if (!isBefore(lesser, last)) break
      heap[at] = lesser
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

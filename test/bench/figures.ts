/**
 * What a bench hands back: a figure with its spread, beside the floor that was measured in the same
 * run, and whether the goal is met (docs/BENCHMARKS.md).
 */

/** Middle and quarters of what the rounds gave. */
export interface Spread {
  readonly median: number
  /** A quarter of the rounds is below, a quarter above. */
  readonly low: number
  readonly high: number
  readonly rounds: number
}

export interface Goal {
  /** As people read it, such as "at most 1.3 ×". */
  readonly text: string
  readonly isMet: boolean
}

export interface Figure {
  readonly name: string
  readonly unit: "" | "ms" | "µs" | "s" | "/s" | "B"
  readonly measured: Spread
  /** What it is measured against, in the same unit. */
  readonly against?: { readonly name: string; readonly value: Spread }
  /** Measured ÷ against: the median over the rounds. */
  readonly ratio?: number
  readonly goal?: Goal
}

/** How much is asked of a bench. */
export interface Options {
  /** The sizes of the goals; without, what fits into four minutes for all benches. */
  readonly isFull: boolean
}

/** Says what goes on; never more than a line. */
export type Progress = (text: string) => void

export function spreadOf(values: readonly number[]): Spread {
  return {
    median: quantile(values, 0.5),
    low: quantile(values, 0.25),
    high: quantile(values, 0.75),
    rounds: values.length,
  }
}

/** Nearest rank; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = Math.min(sorted.length - 1, Math.floor(sorted.length * share))
  return sorted[rank] ?? Number.NaN
}

/** Median of the ratios of each round, which a machine that slows down for a while hardly moves. */
export function ratioOf(measured: readonly number[], against: readonly number[]): number {
  return quantile(
    measured.map((value, round) => value / (against[round] ?? Number.NaN)),
    0.5,
  )
}

/**
 * Runs all of `work` once a round, in turn. The first round, which fills caches and compiles, is not
 * counted. Returns what each gave, round by round.
 */
export async function interleave<Name extends string>(
  rounds: number,
  work: Readonly<Record<Name, () => number | Promise<number>>>,
  progress: Progress,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(work) as Name[]
  const found = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    number[]
  >
  for (let round = 0; round <= rounds; round++) {
    progress(round === 0 ? "warming up" : `round ${round} of ${rounds}`)
    for (const name of names) {
      globalThis.gc?.()
      const value = await work[name]()
      if (round > 0) found[name].push(value)
      // Timers and sockets of the process get their turn between two measurements.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return found
}

/** Milliseconds that each of `count` runs took. */
export function millisecondsEach(count: number, run: () => void): number {
  const startedMs = performance.now()
  for (let index = 0; index < count; index++) run()
  return (performance.now() - startedMs) / count
}

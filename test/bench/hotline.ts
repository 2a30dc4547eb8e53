/** From raising a signal to its display at the desk of another node, beside a bare TCP round trip. */

import type { NodeEvent } from "../../node/api/shapes.ts"
import type { ProcessNetwork } from "../support/processes.ts"
import { quantile, spreadOf, type Figure, type Progress } from "./figures.ts"
import { RawTcp } from "./raw-tcp.ts"
import type { Stage } from "./stage.ts"

const ROUNDS = 6
const SIGNALS = 20
const TRIPS = 200
const LIMIT_MS = 10_000
const SEAT = "bench desk"

export async function benchHotline(progress: Progress, stage: Stage): Promise<Figure[]> {
  progress("starting two nodes")
  const network = await stage.network()
  const raw = await RawTcp.start()
  const desk = await Desk.open(network)
  try {
    const message = new Uint8Array(200)
    const rounds: { shown: number[]; told: number[]; tcp: number[] }[] = []
    for (let round = 0; round <= ROUNDS; round++) {
      progress(round === 0 ? "warming up" : `round ${round} of ${ROUNDS}`)
      const [shown, told, tcp]: number[][] = [[], [], []]
      for (let index = 0; index < SIGNALS; index++) {
        const times = await desk.raise()
        shown?.push(times.shownMs)
        told?.push(times.toldMs)
      }
      for (let index = 0; index < TRIPS; index++) tcp?.push(await raw.roundTrip(message))
      if (round > 0) rounds.push({ shown: shown ?? [], told: told ?? [], tcp: tcp ?? [] })
    }
    return [
      figure("raise → on the desk's screen", 0.5, rounds, "shown"),
      figure("raise → on the desk's screen", 0.99, rounds, "shown"),
      figure("raise → displayed, known to the raiser", 0.5, rounds, "told"),
      figure("raise → displayed, known to the raiser", 0.99, rounds, "told"),
    ]
  } finally {
    desk.close()
    await raw.stop()
  }
}

/** All signals together: a round is too short for a tail of its own. */
function figure(
  name: string,
  share: number,
  rounds: readonly { shown: number[]; told: number[]; tcp: number[] }[],
  what: "shown" | "told",
): Figure {
  const at = (values: readonly number[]): number => quantile(values, share)
  const measured = spreadOf(rounds.map((round) => at(round[what])))
  const tcp = spreadOf(rounds.map((round) => at(round.tcp)))
  const all = at(rounds.flatMap((round) => round[what]))
  const allTcp = at(rounds.flatMap((round) => round.tcp))
  return {
    name: `${name}, p${share * 100}`,
    unit: "ms",
    measured: { ...measured, median: all },
    against: { name: "bare TCP", value: { ...tcp, median: allTcp } },
    ratio: all / allTcp,
  }
}

/** London raises; a screen at headquarters reports every signal as displayed at once. */
class Desk {
  readonly #network: ProcessNetwork
  readonly #stop = new AbortController()
  readonly #shownMs = new Map<string, number>()
  readonly #told = new Map<string, PromiseWithResolvers<number>>()

  private constructor(network: ProcessNetwork) {
    this.#network = network
  }

  static async open(network: ProcessNetwork): Promise<Desk> {
    const desk = new Desk(network)
    const screen = network.headquarters.client
    await desk.#follow("DAC", async (event) => {
      if (event.type !== "signal-received") return
      desk.#shownMs.set(event.signal.id, performance.now())
      await screen.markDisplayed(event.signal.id, SEAT)
    })
    await desk.#follow("LON", async (event) => {
      if (event.type !== "signal-progress" || event.signal.displayedAfterMs === undefined) return
      desk.#waiter(event.signal.id).resolve(performance.now())
    })
    return desk
  }

  close(): void {
    this.#stop.abort()
  }

  async raise(): Promise<{ readonly shownMs: number; readonly toldMs: number }> {
    const startedMs = performance.now()
    const { id } = await this.#network.at("LON").client.raiseSignal({
      event: "unrest",
      text: "দূতাবাসের সামনে ভিড়। Crowd at the gate.",
      kind: "drill",
    })
    const waiter = this.#waiter(id)
    const timer = setTimeout(() => {
      waiter.reject(new Error(`a signal was not displayed within ${LIMIT_MS} ms`))
    }, LIMIT_MS)
    try {
      const toldMs = (await waiter.promise) - startedMs
      return { shownMs: (this.#shownMs.get(id) ?? Number.NaN) - startedMs, toldMs }
    } finally {
      clearTimeout(timer)
    }
  }

  /** The event may come before the answer that names the signal. */
  #waiter(id: string): PromiseWithResolvers<number> {
    const known = this.#told.get(id) ?? Promise.withResolvers<number>()
    this.#told.set(id, known)
    return known
  }

  async #follow(code: string, take: (event: NodeEvent) => Promise<void>): Promise<void> {
    const { signal } = this.#stop
    const events = await this.#network.at(code).client.events({ signal })
    const read = async (): Promise<void> => {
      for await (const event of events) await take(event)
    }
    read().catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

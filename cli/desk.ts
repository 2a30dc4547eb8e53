/**
 * The desk: shows each signal once, rings, tells the node at once that it was displayed, and
 * reminds until somebody has acknowledged. It outlives its node (stay.ts).
 */

import type { NodeClient } from "../node/api/client.ts"
import type { NodeEvent, Signal } from "../node/api/shapes.ts"
import type { Clock, Timer } from "../node/clock.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { stay } from "./stay.ts"
import type { Terminal } from "./terminal.ts"

/** Open signals ring again so often. */
const REMIND_MS = 10_000
const SHOWN_DIGITS = 8

export interface DeskParts {
  readonly terminal: Terminal
  readonly client: Pick<NodeClient, "events" | "markDisplayed" | "signals">
  /** Its timers must keep the process alive: they are all that is left while the node is away. */
  readonly clock: Pick<Clock, "after">
  /** Name of this screen. */
  readonly seat: string
  readonly isRinging: boolean
}

/** One screen on watch. */
export class Desk {
  readonly #parts: DeskParts
  readonly #shown = new Set<string>()
  /** Shown here, but the node does not know it yet. */
  readonly #unreported = new Set<string>()
  /** Shown and not acknowledged. */
  readonly #open = new Set<string>()
  #reminder: Timer | undefined

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /**
   * Keeps watch until `ending` aborts. `onWatch` is called when it has begun to listen.
   *
   * @throws NodeError `NODE_UNREACHABLE` when no node answers at the beginning.
   */
  async watch(ending: AbortSignal, onWatch: () => void): Promise<void> {
    const ready = (): void => {
      onWatch()
      this.#remindLater()
    }
    try {
      await stay(this.#parts, ending, ready, async (events) => this.#follow(events))
    } finally {
      this.#reminder?.cancel()
    }
  }

  /** What was open before, then every signal as it comes, until the node or the watch ends. */
  async #follow(events: AsyncIterable<NodeEvent>): Promise<void> {
    await this.#showOpen()
    for await (const event of events) {
      if (event.type === "signal-received") {
        if (this.#display(event.signal)) await this.#report(event.signal.id)
      } else if (event.type === "signal-progress") this.#close(event.signal)
      else if (event.type === "resync") await this.#showOpen()
    }
  }

  #remindLater(): void {
    this.#reminder = this.#parts.clock.after(REMIND_MS, () => {
      this.#remind()
      this.#remindLater()
    })
  }

  /** Rings again for what nobody has acknowledged. */
  #remind(): void {
    // A node that is away hears of it when it is back; who listens to it says that it is away.
    for (const id of this.#unreported) this.#report(id).catch(refuseBugs)
    if (this.#open.size === 0) return
    const { terminal, isRinging } = this.#parts
    if (isRinging) terminal.bell()
    const ids = [...this.#open].map(short).join(", ")
    terminal.tell("signal.open", { count: this.#open.size, ids })
  }

  async #showOpen(): Promise<void> {
    const signals = await this.#parts.client.signals({ open: true })
    // What was acknowledged while we did not listen rings no more.
    const isOpen = new Set(signals.map((signal) => signal.id))
    for (const id of this.#open) if (!isOpen.has(id)) this.#open.delete(id)
    for (const signal of signals.toReversed()) {
      if (signal.direction === "received") this.#display(signal)
    }
    for (const id of this.#unreported) await this.#report(id)
  }

  /** False when this screen has shown it before. */
  #display(signal: Signal): boolean {
    if (this.#shown.has(signal.id)) return false
    this.#shown.add(signal.id)
    this.#unreported.add(signal.id)
    if (!isAcknowledged(signal)) this.#open.add(signal.id)
    this.#banner(signal)
    if (this.#parts.isRinging) this.#parts.terminal.bell()
    return true
  }

  /**
   * After it is on the screen: the report is a statement of fact. What the node does not take is
   * told, and tried again with the next reminder.
   */
  async #report(id: string): Promise<void> {
    const { terminal, client, seat } = this.#parts
    try {
      const displayed = await client.markDisplayed(id, seat)
      if (this.#unreported.delete(id)) terminal.json(displayed)
    } catch (error) {
      if (!(error instanceof TarbartaError) || error.code === "NODE_UNREACHABLE") throw error
      terminal.warn(`${short(id)}: ${error.message}`)
    }
  }

  #banner(signal: Signal): void {
    const { terminal } = this.#parts
    const kind = signal.kind === "real" ? "" : ` · ${terminal.say(`kind.${signal.kind}`)}`
    const title = `${terminal.say("signal.banner")} · ${signal.from}${kind}`
    const about = [signal.event, signal.urgency, signal.severity, signal.certainty, signal.place]
    terminal.box(title, [
      about.filter((word) => word !== "").join(" · "),
      `${terminal.zulu(signal.raisedMs)}  ${short(signal.id)}`,
      "",
      signal.text,
      "",
      terminal.say("signal.answer", { id: short(signal.id) }),
    ])
  }

  #close(signal: Signal): void {
    if (!isAcknowledged(signal) || !this.#open.delete(signal.id)) return
    const officer = signal.desks.find((desk) => desk.officer !== undefined)?.officer ?? ""
    this.#parts.terminal.tell("signal.closed", { id: short(signal.id), officer })
  }
}

function refuseBugs(error: unknown): void {
  if (!(error instanceof TarbartaError)) throw error
}

function short(id: string): string {
  return id.slice(0, SHOWN_DIGITS)
}

function isAcknowledged(signal: Signal): boolean {
  return signal.desks.some((desk) => desk.acknowledgedMs !== undefined)
}

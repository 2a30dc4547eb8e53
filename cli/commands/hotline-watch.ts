/**
 * `tarbarta hotline watch`: the desk. A process that stays, shows each signal, rings, and tells the
 * node at once that it was displayed; it reminds until somebody has acknowledged.
 */

import { Command } from "commander"
import type { NodeClient } from "../../node/api/client.ts"
import type { NodeEvent, Signal } from "../../node/api/shapes.ts"
import { act, type Program, type Session } from "../session.ts"

const REMIND_MS = 10_000
const RETRY_MS = 1_000

interface WatchOptions {
  readonly bell: boolean
  readonly seat: string
}

export function watchCommand(program: Program): Command {
  const watch = new Command("watch")
    .description("be the desk: show every signal and ring until it is acknowledged")
    .option("--no-bell", "show, but do not ring")
    .option("--seat <NAME>", "name of this screen", "desk")
    .addHelpText(
      "after",
      `
Answer from another terminal: tarbarta hotline ack 4f2a91 --officer "S. Akter"
Ctrl-C ends the watch. With --json, one JSON object is printed for each signal.
`,
    )
  return act(watch, program, keepWatch)
}

async function keepWatch(session: Session, options: WatchOptions): Promise<void> {
  const { terminal } = session
  const ending = new AbortController()
  const end = (): void => ending.abort()
  process.once("SIGINT", end)
  process.once("SIGTERM", end)
  const client = await session.client()
  const { mission } = await client.status()
  const desk = new Desk(session, client, options)
  const reminder = setInterval(() => desk.remind(), REMIND_MS)
  try {
    let events: AsyncIterable<NodeEvent> | undefined = await client.events({
      signal: ending.signal,
    })
    terminal.note(terminal.say("watch.ready", { mission }))
    for (;;) {
      if (events !== undefined) await desk.follow(events, ending.signal)
      if (ending.signal.aborted) break
      // A desk outlives its node: it says that it is deaf, and listens again as soon as it can.
      if (events !== undefined) terminal.warn(terminal.say("watch.lost"))
      await pause(RETRY_MS, ending.signal)
      events = await reopened(client, ending.signal)
      if (events !== undefined) terminal.note(terminal.say("watch.back"))
    }
  } finally {
    clearInterval(reminder)
    process.off("SIGINT", end)
    process.off("SIGTERM", end)
  }
}

/** The events again; undefined while no node answers. */
async function reopened(
  client: NodeClient,
  signal: AbortSignal,
): Promise<AsyncIterable<NodeEvent> | undefined> {
  try {
    return await client.events({ signal })
  } catch (error) {
    if (signal.aborted || isUnreachable(error)) return undefined
    throw error
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "NODE_UNREACHABLE"
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, delayMs)
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}

/** What this screen has shown, and what is still open. */
class Desk {
  readonly #session: Session
  readonly #client: NodeClient
  readonly #options: WatchOptions
  readonly #shown = new Set<string>()
  readonly #open = new Map<string, Signal>()

  constructor(session: Session, client: NodeClient, options: WatchOptions) {
    this.#session = session
    this.#client = client
    this.#options = options
  }

  /**
   * What was open before, then every signal as it comes, until the node stops or the watch ends.
   */
  async follow(events: AsyncIterable<NodeEvent>, ending: AbortSignal): Promise<void> {
    try {
      await this.#showOpen()
      for await (const event of events) {
        if (event.type === "signal-received") await this.#show(event.signal)
        else if (event.type === "signal-progress") this.#close(event.signal)
        else if (event.type === "resync") await this.#showOpen()
      }
    } catch (error) {
      if (!ending.aborted && !isUnreachable(error)) throw error
    }
  }

  /** Rings again for what nobody has acknowledged. */
  remind(): void {
    if (this.#open.size === 0) return
    const { terminal } = this.#session
    if (this.#options.bell) terminal.bell()
    const ids = [...this.#open.keys()].map((id) => id.slice(0, 8)).join(", ")
    terminal.tell("signal.open", { count: this.#open.size, ids })
  }

  async #showOpen(): Promise<void> {
    const signals = await this.#client.signals({ open: true })
    for (const signal of signals.toReversed()) {
      if (signal.direction === "received") await this.#show(signal)
    }
    // What was acknowledged while we did not listen rings no more.
    const isOpen = new Set(signals.map((signal) => signal.id))
    for (const id of this.#open.keys()) if (!isOpen.has(id)) this.#open.delete(id)
  }

  async #show(signal: Signal): Promise<void> {
    if (this.#shown.has(signal.id)) return
    this.#shown.add(signal.id)
    if (!isAcknowledged(signal)) this.#open.set(signal.id, signal)
    this.#banner(signal)
    if (this.#options.bell) this.#session.terminal.bell()
    // On the screen first, then said to be: the report is a statement of fact.
    const displayed = await this.#client.markDisplayed(signal.id, this.#options.seat)
    this.#session.terminal.json(displayed)
  }

  #banner(signal: Signal): void {
    const { terminal } = this.#session
    const kind = signal.kind === "real" ? "" : ` · ${terminal.say(`kind.${signal.kind}`)}`
    const title = `${terminal.say("signal.banner")} · ${signal.from}${kind}`
    const about = [signal.event, signal.urgency, signal.severity, signal.certainty, signal.place]
    terminal.box(title, [
      about.filter((word) => word !== "").join(" · "),
      `${terminal.zulu(signal.raisedMs)}  ${signal.id.slice(0, 8)}`,
      "",
      signal.text,
      "",
      terminal.say("signal.answer", { id: signal.id.slice(0, 8) }),
    ])
  }

  #close(signal: Signal): void {
    if (!isAcknowledged(signal) || !this.#open.delete(signal.id)) return
    const officer = signal.desks.find((desk) => desk.officer !== undefined)?.officer ?? ""
    const id = signal.id.slice(0, 8)
    this.#session.terminal.tell("signal.closed", { id, officer })
  }
}

function isAcknowledged(signal: Signal): boolean {
  return signal.desks.some((desk) => desk.acknowledgedMs !== undefined)
}

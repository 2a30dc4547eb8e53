/**
 * Follows the ledger on a screen: one line for each final block, one for each validator that is
 * heard again or no more, and what that means for the quorum.
 *
 * Blocks come with the node's events. Who is heard is asked for: when a contact changes, and every
 * few seconds, because silence makes no event.
 */

import type { NodeClient } from "../node/api/client.ts"
import type { LedgerStatus, NodeEvent, ValidatorInfo } from "../node/api/shapes.ts"
import type { Timer } from "../node/clock.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { quorumLine, validatorWord } from "./ledger-state.ts"
import { stay, type StayParts } from "./stay.ts"
import type { Terminal } from "./terminal.ts"

/** Silence counts from 30 s on; it shows here at most so much later. */
const LOOK_MS = 5_000

export interface LedgerFollowerParts extends StayParts {
  readonly terminal: Terminal
  readonly client: Pick<NodeClient, "events" | "ledgerStatus">
}

type BlockEvent = Extract<NodeEvent, { type: "block" }>

export class LedgerFollower {
  readonly #parts: LedgerFollowerParts
  /** What was last said of each validator, and of the quorum. */
  readonly #told = new Map<string, string>()
  #toldQuorum = ""
  #toldFacts = ""
  /** Newest height that was shown or known; undefined before the first look. */
  #height: number | undefined
  #timer: Timer | undefined
  #look: Promise<void> = Promise.resolve()

  constructor(parts: LedgerFollowerParts) {
    this.#parts = parts
  }

  /**
   * Follows until `ending` aborts. `onWatch` is called when it has begun to listen.
   *
   * @throws NodeError `NODE_UNREACHABLE` when no node answers at the beginning.
   */
  async watch(ending: AbortSignal, onWatch: () => void): Promise<void> {
    const ready = (): void => {
      onWatch()
      this.#lookLater()
    }
    try {
      await stay(this.#parts, ending, ready, async (events) => this.#follow(events))
    } finally {
      this.#timer?.cancel()
    }
  }

  async #follow(events: AsyncIterable<NodeEvent>): Promise<void> {
    await this.#catchUp()
    for await (const event of events) {
      if (event.type === "block") this.#showBlock(event)
      else if (event.type === "contact") await this.#lookNow()
      else if (event.type === "resync") await this.#catchUp()
    }
  }

  /** After a beginning or a gap: what became final meanwhile is named, not shown. */
  async #catchUp(): Promise<void> {
    const status = await this.#parts.client.ledgerStatus()
    const before = this.#height
    this.#height = status.height
    if (before !== undefined && status.height > before) {
      const { terminal } = this.#parts
      const missed = { from: before + 1, to: status.height }
      terminal.json({ type: "missed", atMs: status.atMs, ...missed })
      const time = terminal.timeOfDay(status.atMs)
      terminal.tell("follow.missed", { time, ...missed })
    }
    this.#show(status)
  }

  #showBlock({ height, view, entries, leader, atMs }: BlockEvent): void {
    if (height <= (this.#height ?? 0)) return
    this.#height = height
    const { terminal } = this.#parts
    terminal.json({ type: "block", atMs, height, view, entries, leader })
    const time = terminal.timeOfDay(atMs)
    terminal.tell("follow.block", { time, height, view, entries, leader })
  }

  #lookLater(): void {
    this.#timer = this.#parts.clock.after(LOOK_MS, () => {
      // A node that is away is noticed by who reads its events.
      this.#lookNow().catch((error: unknown) => {
        if (!(error instanceof TarbartaError)) throw error
      })
      this.#lookLater()
    })
  }

  /** One question at a time, so that an older answer is never shown after a newer one. */
  async #lookNow(): Promise<void> {
    const look = this.#look.then(async () => this.#show(await this.#parts.client.ledgerStatus()))
    this.#look = look.catch(() => undefined)
    await look
  }

  #show(status: LedgerStatus): void {
    const { terminal } = this.#parts
    const time = terminal.timeOfDay(status.atMs)
    for (const validator of status.validators) this.#showValidator(validator, status, time)
    const facts = JSON.stringify(status.quorum)
    if (facts !== this.#toldFacts) {
      terminal.json({ type: "quorum", atMs: status.atMs, ...status.quorum })
      this.#toldFacts = facts
    }
    const sentence = quorumLine(terminal, status)
    if (sentence === this.#toldQuorum) return
    this.#toldQuorum = sentence
    terminal.tell("follow.quorum", { time, sentence })
  }

  #showValidator(validator: ValidatorInfo, status: LedgerStatus, time: string): void {
    const { terminal } = this.#parts
    const { mission, state: seen } = validator
    const state = validatorWord(terminal, validator, status)
    if (this.#told.get(mission) === state) return
    this.#told.set(mission, state)
    const heard = seen !== "silent" && seen !== "down"
    const own = seen === "self" && status.vote !== undefined ? { vote: status.vote.state } : {}
    terminal.json({ type: "validator", atMs: status.atMs, mission, state: seen, heard, ...own })
    terminal.tell("follow.validator", { time, mission, state })
  }
}

/**
 * Warnings that others cause: one line for each code and validator or peer in a minute, with a
 * count (LEDGER §8.2). So nobody fills our disk through the log.
 */

import { WARNING_REPEAT_MS } from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"
import type { LedgerLog } from "./submitter.ts"

type Facts = Parameters<LedgerLog["warn"]>[1]

interface Pause {
  readonly timer: Timer
  /** What was not told since the last line, and how often. */
  facts: Facts | undefined
  count: number
}

export class PacedLog implements LedgerLog {
  readonly #log: LedgerLog
  readonly #clock: Clock
  /** By code, and validator or peer: members and codes are few. */
  readonly #pauses = new Map<string, Pause>()

  constructor(log: LedgerLog, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  warn(event: string, facts: Facts): void {
    const key = `${event} ${facts["validator"] ?? facts["peer"] ?? ""}`
    const pause = this.#pauses.get(key)
    if (pause !== undefined) {
      pause.facts = facts
      pause.count += 1
      return
    }
    this.#log.warn(event, facts)
    this.#pause(event, key)
  }

  /** Tells what is left to tell. */
  stop(): void {
    for (const [key, { timer }] of this.#pauses) {
      timer.cancel()
      this.#tell(key.slice(0, key.indexOf(" ")), key)
    }
    this.#pauses.clear()
  }

  #pause(event: string, key: string): void {
    const timer = this.#clock.after(WARNING_REPEAT_MS, () => {
      const isTold = this.#tell(event, key)
      this.#pauses.delete(key)
      if (isTold) this.#pause(event, key)
    })
    this.#pauses.set(key, { timer, facts: undefined, count: 0 })
  }

  #tell(event: string, key: string): boolean {
    const { facts, count } = this.#pauses.get(key) ?? { facts: undefined, count: 0 }
    if (facts === undefined) return false
    this.#log.warn(event, { ...facts, count })
    return true
  }
}

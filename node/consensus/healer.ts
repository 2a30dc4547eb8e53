/**
 * When damage is healed (LEDGER §12): as soon as it is found, one repair at a time, and again later
 * while no peer can help. What a repair does is in repair.ts.
 */

import { RETRY_MAX_MS } from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { repairLedger, type Repaired, type RepairParts } from "./repair.ts"

export interface HealerParts extends RepairParts {
  readonly clock: Clock
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

export class Healer {
  readonly #parts: HealerParts
  #repair: Promise<Repaired> | undefined
  #timer: Timer | undefined
  #isStopped = false

  constructor(parts: HealerParts) {
    this.#parts = parts
  }

  /** What is under way ends by itself, and nobody hears of it. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /** @throws as {@link repairLedger}. */
  async repair(): Promise<Repaired> {
    this.#repair ??= repairLedger(this.#parts).finally(() => {
      this.#repair = undefined
    })
    return this.#repair
  }

  /** Damage that no peer can heal now is tried again later; it was told to the operator. */
  async heal(): Promise<void> {
    if (this.#isStopped || this.#timer !== undefined) return
    try {
      await this.repair()
    } catch (error) {
      // After an orderly stop the store is closed and refuses what was under way.
      if (this.#isStopped) return
      if (!(error instanceof NodeError) || error.code !== "STORE_DAMAGED") {
        this.#parts.onFatal(error)
        return
      }
      this.#parts.log.warn(error.code, { message: error.message })
      this.#timer ??= this.#parts.clock.after(RETRY_MAX_MS, () => {
        this.#timer = undefined
        void this.heal()
      })
    }
  }
}

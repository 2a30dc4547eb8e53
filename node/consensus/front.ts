/**
 * The request that all others wait for (LEDGER §11.1): whoever keeps them waiting is given up for
 * this time when another peer could be asked.
 */

import type { BlocksQuery } from "../../ledger/sync.ts"
import { SYNC_PATIENCE_MS } from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"

export class FrontWatch {
  readonly #clock: Clock
  readonly #onStalled: (query: BlocksQuery) => void
  #query: BlocksQuery | undefined
  #timer: Timer | undefined
  /** How often a peer was too slow, with the blocks from this height on or with those before. */
  #stalls = 0
  #height = 0

  constructor(clock: Clock, onStalled: (query: BlocksQuery) => void) {
    this.#clock = clock
    this.#onStalled = onStalled
  }

  /** The request that is waited for now, while another peer could be asked; undefined for none. */
  watch(query: BlocksQuery | undefined): void {
    const last = this.#query
    if (last?.peer === query?.peer && last?.fromHeight === query?.fromHeight) return
    this.stop()
    this.#query = query
    if (query === undefined) return
    // Where everybody is slow, somebody must get to the end; and at the next height, where they
    // will be no faster, not everything should begin anew.
    if (this.#height !== query.fromHeight) this.#stalls = Math.max(0, this.#stalls - 1)
    this.#height = query.fromHeight
    this.#timer = this.#clock.after(SYNC_PATIENCE_MS * 2 ** this.#stalls, () => {
      this.#query = undefined
      this.#stalls += 1
      this.#onStalled(query)
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#query = undefined
  }
}

/**
 * What each peer may have verified in a second (LEDGER §3.2, §15.6): a signature costs us a hundred
 * microseconds, and a forged one costs its sender nothing but bytes.
 */

import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey } from "../network/transport.ts"

const SECOND_MS = 1_000

export class Allowance {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #what: string
  readonly #spent = new Map<PeerKey, number>()
  #sinceMs = Number.NEGATIVE_INFINITY

  /** `what` is counted, for the refusal: "batches were verified in vain". */
  constructor(clock: Clock, perSecond: number, what: string) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#what = what
  }

  /** Before one is verified. @throws NodeError `NODE_BUSY` when this second's are used up. */
  spend(peer: PeerKey): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs >= SECOND_MS) {
      this.#sinceMs = nowMs
      this.#spent.clear()
    }
    const spent = this.#spent.get(peer) ?? 0
    if (spent >= this.#perSecond) {
      throw new NodeError("NODE_BUSY", `${spent} ${this.#what} in this second`)
    }
    this.#spent.set(peer, spent + 1)
  }

  /** It was of use: it costs its sender nothing. */
  refund(peer: PeerKey): void {
    this.#spent.set(peer, Math.max(0, (this.#spent.get(peer) ?? 0) - 1))
  }
}

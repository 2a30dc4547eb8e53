/**
 * How many batches each peer may have verified in vain in a second (LEDGER §3.2).
 *
 * A check costs a hundred microseconds, a forged batch 150 bytes of a line. What is verified and
 * becomes part of what waits costs its sender nothing here.
 */

import { VAIN_BATCHES_PER_S_MAX } from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey } from "../network/transport.ts"

const SECOND_MS = 1_000

export class Patience {
  readonly #clock: Clock
  readonly #spent = new Map<PeerKey, number>()
  #sinceMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Before a batch is verified. @throws NodeError `NODE_BUSY` when this second's are used up. */
  spend(peer: PeerKey): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs >= SECOND_MS) {
      this.#sinceMs = nowMs
      this.#spent.clear()
    }
    const spent = this.#spent.get(peer) ?? 0
    if (spent >= VAIN_BATCHES_PER_S_MAX) {
      throw new NodeError("NODE_BUSY", `${spent} batches were verified in vain in this second`)
    }
    this.#spent.set(peer, spent + 1)
  }

  /** It was new, and waits. */
  refund(peer: PeerKey): void {
    this.#spent.set(peer, Math.max(0, (this.#spent.get(peer) ?? 0) - 1))
  }
}

/**
 * Batches that wait here may have reached no other validator: they are sent on (LEDGER §8.3, Q3).
 */

import { TarbartaError } from "../../protocol/errors.ts"
import { PACKET_TIMEOUT_MS, TAKE_BYTES_MIN } from "../../protocol/limits.ts"
import { encodeSubmitRequest, PROTOCOLS } from "../../protocol/wire.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { Intake } from "./intake.ts"

export interface ResubmissionParts {
  readonly transport: Pick<Transport, "request" | "connected">
  readonly intake: Pick<Intake, "waiting">
  /** Transport key of each validator, by its number; undefined for ourselves. */
  readonly peers: readonly (PeerKey | undefined)[]
  /** Something that is no refusal went wrong. */
  readonly onBug: (error: unknown) => void
}

export class Resubmission {
  readonly #parts: ResubmissionParts
  /** Validators that the last batches are still on their way to. */
  readonly #busy = new Set<PeerKey>()
  #turn = 0

  constructor(parts: ResubmissionParts) {
    this.#parts = parts
  }

  /** Little at a time, each time of others: the line has votes and blocks to carry as well. */
  send(): void {
    const { transport, intake, peers, onBug } = this.#parts
    const connected = new Set(transport.connected(PROTOCOLS.submit.lane))
    const free = peers.filter((peer): peer is PeerKey => {
      return peer !== undefined && connected.has(peer) && !this.#busy.has(peer)
    })
    if (free.length === 0) return
    const requests = intake.waiting(TAKE_BYTES_MIN, this.#turn++).map(encodeSubmitRequest)
    for (const peer of free) {
      this.#busy.add(peer)
      this.#sendTo(peer, requests).catch(onBug)
    }
  }

  async #sendTo(peer: PeerKey, requests: readonly Uint8Array[]): Promise<void> {
    const { transport } = this.#parts
    const options = { timeoutMs: PACKET_TIMEOUT_MS }
    const outcomes = await Promise.allSettled(
      requests.map(async (request) => transport.request(peer, PROTOCOLS.submit, request, options)),
    )
    this.#busy.delete(peer)
    for (const outcome of outcomes) {
      // Lost or refused: its submitter sends it too, and we shall again.
      if (outcome.status === "rejected" && !(outcome.reason instanceof TarbartaError)) {
        throw outcome.reason
      }
    }
  }
}

/**
 * Batches that wait here may have reached no other validator: they are sent on (LEDGER §8.3, Q3).
 */

import { TarbartaError } from "../../protocol/errors.ts"
import { SUBMIT_BYTES } from "../../protocol/limits.ts"
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

  constructor(parts: ResubmissionParts) {
    this.#parts = parts
  }

  send(): void {
    const { transport, intake, peers, onBug } = this.#parts
    const requests = intake.waiting(SUBMIT_BYTES).map(encodeSubmitRequest)
    const connected = new Set(transport.connected(PROTOCOLS.submit.lane))
    for (const peer of peers) {
      if (peer === undefined || !connected.has(peer)) continue
      for (const request of requests) {
        transport.request(peer, PROTOCOLS.submit, request).catch((error: unknown) => {
          // Lost or refused: its submitter sends it too, and we shall again.
          if (!(error instanceof TarbartaError)) onBug(error)
        })
      }
    }
  }
}

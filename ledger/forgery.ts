/**
 * R7: what forged signatures of one validator may cost the others (LEDGER §8.2).
 *
 * A forged vote never fills its slot, so each one would be verified. Who has sent a few within Δ is
 * not read again before Δ is over; an honest validator never sends one, on a line that proves who
 * speaks.
 */

import { FORGERIES_PER_DELTA_MAX } from "../protocol/limits.ts"
import type { LedgerCode } from "./errors.ts"
import type { ConsensusState } from "./state.ts"

const CODES: ReadonlySet<LedgerCode> = new Set([
  "VOTE_SIGNATURE",
  "CERTIFICATE_SIGNATURE",
  "CERTIFICATE_INVALID",
  "CERTIFICATE_BELOW_QUORUM",
])

/** True while a validator's messages are dropped unverified. */
export function isShunned(state: ConsensusState, from: number, nowMs: number): boolean {
  const forged = state.forged[from]
  if (forged === undefined || forged.count < FORGERIES_PER_DELTA_MAX) return false
  return nowMs - forged.sinceMs < state.config.deltaMs
}

/** Counts a refusal, if verifying is what it took to find it. */
export function countForgery(
  state: ConsensusState,
  from: number,
  code: LedgerCode,
  nowMs: number,
): void {
  const forged = state.forged[from]
  if (forged === undefined || !CODES.has(code)) return
  if (nowMs - forged.sinceMs >= state.config.deltaMs) {
    forged.sinceMs = nowMs
    forged.count = 0
  }
  forged.count += 1
}

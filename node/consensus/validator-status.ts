/**
 * How consensus stands at a validator, for whoever asks.
 */

import { viewsInVain, type ConsensusState } from "../../ledger/state.ts"

export interface ValidatorStatus {
  /** `asking` before the first vote: too few others have answered yet. */
  readonly state: "asking" | "voting" | "refused"
  readonly view: number
  readonly finalView: number
  /** Views that passed with nothing final, those aside that were skipped while nothing waited. */
  readonly viewsInVain: number
  /** Milliseconds since something came from each validator, by number; 0 for ourselves. */
  readonly silentMs: readonly number[]
  /** A copy of this disk was started elsewhere. */
  readonly isCopied: boolean
  /** The disk of the consensus log does not answer, and votes wait for it. */
  readonly isStalled: boolean
}

/** `state` is absent before the first vote; `finalView` is that of the store. */
export function statusOf(
  state: ConsensusState | undefined,
  finalView: number,
  nowMs: number,
  facts: Pick<ValidatorStatus, "isCopied" | "isStalled"> & { readonly isRefused: boolean },
): ValidatorStatus {
  const { isRefused, isCopied, isStalled } = facts
  const silentMs = state?.heardMs.map((heardMs, index) =>
    index === state.config.self ? 0 : nowMs - heardMs,
  )
  return {
    state: isRefused ? "refused" : state === undefined ? "asking" : "voting",
    view: state?.view ?? 0,
    finalView: state?.final.view ?? finalView,
    viewsInVain: state === undefined ? 0 : viewsInVain(state),
    silentMs: silentMs ?? [],
    isCopied,
    isStalled,
  }
}

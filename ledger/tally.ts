/**
 * Counts the votes of a view, and notices who contradicts itself (LEDGER §8.2, §8.6).
 *
 * One slot per signer, kind and view; the votes are verified before they come here.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { assembleCertificate, type Certificate } from "./certificate.ts"
import { evidenceOf, isConflict } from "./evidence.ts"
import { viewOf, type ConsensusState, type View } from "./state.ts"
import type { Vote } from "./vote.ts"

/** Puts a verified vote into its slot; false when the slot was taken. */
export function placeVote(state: ConsensusState, vote: Vote): boolean {
  const view = viewOf(state, vote.view)
  accuse(state, view, vote)
  const slots = view.votes[vote.kind]
  if (slots[vote.signer] !== undefined) return false
  slots[vote.signer] = vote
  return true
}

/** The certificate that the votes equal to this one make; undefined below the quorum. */
export function countVotes(state: ConsensusState, like: Vote): Certificate | undefined {
  const slots = viewOf(state, like.view).votes[like.kind]
  const { validators } = state.config
  const isEqual = (vote: Vote | undefined): vote is Vote =>
    vote !== undefined && equalBytes(vote.blockHash, like.blockHash)
  let count = 0
  for (const vote of slots) if (isEqual(vote)) count += 1
  if (count < validators.quorum) return undefined
  return assembleCertificate(slots.filter(isEqual), validators)
}

/** True when this very vote was verified before. */
export function isPlaced(state: ConsensusState, vote: Vote): boolean {
  const placed = state.views.get(vote.view)?.votes[vote.kind][vote.signer]
  return (
    placed !== undefined &&
    equalBytes(placed.blockHash, vote.blockHash) &&
    equalBytes(placed.signature, vote.signature)
  )
}

/** True once a signer's contradiction in this view was told. */
export function isAccused(view: View | undefined, signer: number): boolean {
  return view !== undefined && (view.accused & (1 << signer)) !== 0
}

/** Tells of a signer's first contradiction in a view. */
function accuse(state: ConsensusState, view: View, vote: Vote): void {
  if (isAccused(view, vote.signer)) return
  const { notarize, nullify, finalize } = view.votes
  for (const other of [notarize[vote.signer], nullify[vote.signer], finalize[vote.signer]]) {
    if (other === undefined || !isConflict(other, vote)) continue
    view.accused |= 1 << vote.signer
    state.out.push({ type: "evidence", evidence: evidenceOf(other, vote) })
    return
  }
}

/**
 * Counts the votes of a view, and notices who contradicts itself (LEDGER §8.2, §8.6).
 *
 * One slot per signer, kind and view; the votes are verified before they come here. Only those that
 * come after their certificate wait in slots of their own, and are verified if that ever matters.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { assembleCertificate, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { evidenceOf, isConflict } from "./evidence.ts"
import { countForgery } from "./forgery.ts"
import { viewOf, type ConsensusState, type View } from "./state.ts"
import { verifyVote, type Vote, type VoteKind } from "./vote.ts"

const KINDS: readonly VoteKind[] = ["notarize", "nullify", "finalize"]

/** Puts a verified vote into its slot; false when the slot was taken. */
export function placeVote(state: ConsensusState, vote: Vote): boolean {
  const view = viewOf(state, vote.view)
  settleLate(state, view, vote.signer, (late) => isConflict(late, vote))
  accuse(state, view, vote)
  const slots = view.votes[vote.kind]
  if (slots[vote.signer] !== undefined) return false
  slots[vote.signer] = vote
  return true
}

/**
 * Keeps a vote of another validator as it came, if it agrees with a certificate that is there and with
 * all that is held of its signer: nothing follows from it then. False when it must be verified.
 */
export function putAside(state: ConsensusState, vote: Vote): boolean {
  const view = state.views.get(vote.view)
  const certificate = view?.certificates[vote.kind]
  if (view === undefined || certificate === undefined) return false
  if (!equalBytes(certificate.blockHash, vote.blockHash)) return false
  const { signer } = vote
  const held = KINDS.flatMap((kind) => [view.votes[kind][signer], view.late[kind][signer]])
  if (held.some((other) => other !== undefined && isConflict(other, vote))) return false
  const before = view.late[vote.kind][signer]
  // One of the two is forged, and must not stand in the way of the other.
  if (before !== undefined) return equalBytes(before.signature, vote.signature)
  view.late[vote.kind][signer] = vote
  return true
}

/**
 * Verifies the late votes of a signer that matter now; forged ones are forgotten. Returns how many
 * those were.
 */
function settleLate(
  state: ConsensusState,
  view: View,
  signer: number,
  matters: (vote: Vote) => boolean,
): number {
  let forged = 0
  const { suite, chainId, validators } = state.config
  for (const kind of KINDS) {
    const vote = view.late[kind][signer]
    if (vote === undefined || !matters(vote)) continue
    view.late[kind][signer] = undefined
    try {
      verifyVote(suite, chainId, vote, validators)
      view.votes[kind][signer] ??= vote
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error
      forged += 1
    }
  }
  return forged
}

/**
 * The newest vote of a validator that is held: of its highest view, the one that ended it. Forged
 * ones that had to be verified for that count as such, so that who asks often gains nothing.
 */
export function newestVote(state: ConsensusState, signer: number, nowMs: number): Vote | undefined {
  const views = [...state.views.values()].sort((a, b) => b.view - a.view)
  for (const view of views) {
    const forged = settleLate(state, view, signer, () => true)
    for (let at = 0; at < forged; at++) countForgery(state, signer, "VOTE_SIGNATURE", nowMs)
    const { notarize, nullify, finalize } = view.votes
    const newest = finalize[signer] ?? nullify[signer] ?? notarize[signer]
    if (newest !== undefined) return newest
  }
  return undefined
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

/**
 * Counts the votes of recent views (LEDGER §8.2).
 *
 * One slot per signer, kind and view; the votes are verified before they come here. A tally is a
 * value: adding gives a new one.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { assembleCertificate, type Certificate } from "./certificate.ts"
import type { ValidatorSet } from "./validators.ts"
import type { Vote, VoteKind } from "./vote.ts"

/** Votes by view, kind and signer. */
export type Tally = ReadonlyMap<number, readonly Vote[]>

export const EMPTY_TALLY: Tally = new Map()

/** The vote that stands in the slot of this one; undefined when it is free. */
export function voteInSlot(tally: Tally, slot: VoteSlot): Vote | undefined {
  const votes = tally.get(slot.view) ?? []
  return votes.find((vote) => vote.kind === slot.kind && vote.signer === slot.signer)
}

export interface VoteSlot {
  readonly kind: VoteKind
  readonly view: number
  readonly signer: number
}

/** Adds a vote whose slot is free. */
export function addVote(tally: Tally, vote: Vote): Tally {
  return new Map(tally).set(vote.view, [...(tally.get(vote.view) ?? []), vote])
}

/** The certificate that the votes equal to this one make; undefined below the quorum. */
export function countVotes(
  tally: Tally,
  like: Vote,
  validators: ValidatorSet,
): Certificate | undefined {
  const hash = bytesToHex(like.blockHash)
  const equal = (tally.get(like.view) ?? []).filter((vote) => {
    return vote.kind === like.kind && bytesToHex(vote.blockHash) === hash
  })
  return assembleCertificate(equal, validators)
}

/** Without the votes of views below `view`. */
export function pruneTally(tally: Tally, view: number): Tally {
  return new Map([...tally].filter(([voted]) => voted >= view))
}

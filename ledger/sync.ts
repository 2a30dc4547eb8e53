/**
 * Catching up: what a follower asks for next, and what it believes (LEDGER §11).
 *
 * A height that a peer claims is a hint and costs at most one request; a block counts only after
 * acceptBlock. Followers of this version fetch whole blocks in order, one request at a time.
 */

import { BLOCKS_PER_ANSWER_MAX } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { decodeFinalBlock, type FinalBlock } from "./block.ts"
import { acceptBlock, type ChainHead, type SubmitKeyOf } from "./chain.ts"
import { LedgerError } from "./errors.ts"
import type { NodeSink } from "./merkle.ts"
import type { ValidatorsOf } from "./validators.ts"

export interface BlocksQuery {
  readonly peer: string
  readonly fromHeight: number
  readonly count: number
}

/** A value: every function gives a new one. */
export interface SyncState {
  /** Last claimed height by peer. */
  readonly claims: ReadonlyMap<string, number>
  /** The one request that is out. */
  readonly asked: BlocksQuery | undefined
}

export const EMPTY_SYNC: SyncState = { claims: new Map(), asked: undefined }

/** A verified block and the head that it leads to. */
export interface Accepted {
  readonly final: FinalBlock
  readonly head: ChainHead
}

/** A peer says how high its chain is. */
export function heardHeight(state: SyncState, peer: string, height: number): SyncState {
  return { ...state, claims: new Map(state.claims).set(peer, height) }
}

/**
 * The next request, while none is out and some peer claims more than we have. The highest claim
 * goes first, and of equal ones the peer that spoke last, so that one peer's failure lets another
 * try.
 */
export function askNext(
  state: SyncState,
  ownHeight: number,
): { readonly state: SyncState; readonly query: BlocksQuery | undefined } {
  if (state.asked !== undefined) return { state, query: undefined }
  let best: readonly [peer: string, height: number] | undefined
  for (const claim of state.claims) if (best === undefined || claim[1] >= best[1]) best = claim
  if (best === undefined || best[1] <= ownHeight) return { state, query: undefined }
  const [peer, height] = best
  const count = Math.min(height - ownHeight, BLOCKS_PER_ANSWER_MAX)
  const query = { peer, fromHeight: ownHeight + 1, count }
  return { state: { ...state, asked: query }, query }
}

/** The request brought at least one block that was accepted. */
export function answered(state: SyncState): SyncState {
  return { ...state, asked: undefined }
}

/**
 * The request failed, brought nothing, or brought what was refused: the peer's claim is void until
 * it speaks again.
 */
export function failed(state: SyncState, peer: string): SyncState {
  const claims = new Map(state.claims)
  claims.delete(peer)
  return { claims, asked: state.asked?.peer === peer ? undefined : state.asked }
}

/**
 * Verifies an answer block by block, each fully before the next is decoded.
 *
 * The caller stores each accepted block and applies its governance entries before it asks for the
 * next one, because they may change who may submit. Blocks that came before a bad one stay
 * accepted.
 *
 * @throws {@link LedgerError} `SYNC_ANSWER` for none or too many blocks; everything that
 * decodeFinalBlock and acceptBlock refuse.
 */
export function* verifyAnswer(
  suite: Suite,
  head: ChainHead,
  query: BlocksQuery,
  answer: readonly Uint8Array[],
  rules: { readonly validatorsOf: ValidatorsOf; readonly submitKeyOf: SubmitKeyOf },
  sink?: NodeSink,
): Generator<Accepted, void, void> {
  if (answer.length === 0 || answer.length > query.count) {
    const why = `expected 1 … ${query.count} blocks from height ${query.fromHeight}`
    throw new LedgerError("SYNC_ANSWER", `answer: ${why}, got ${answer.length}`)
  }
  let current = head
  for (const bytes of answer) {
    const final = decodeFinalBlock(suite, bytes)
    current = acceptBlock(suite, current, final, rules, sink)
    yield { final, head: current }
  }
}

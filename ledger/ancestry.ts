/**
 * What a block stands on: which views are notarized or void below it, and asking for what is not
 * here (LEDGER §8.1, R1 and R2).
 */

import { equalBytes } from "../protocol/bytes.ts"
import { FETCH_VIEWS_MAX, RETRY_DELTAS } from "../protocol/limits.ts"
import type { Certificate } from "./certificate.ts"
import { heldBlock, keyOfHash, type ConsensusState } from "./state.ts"

/** Hash of the block that is certified in a view, by either kind; undefined for none. */
function certifiedIn(state: ConsensusState, view: number): Uint8Array | undefined {
  if (view === state.final.view) return state.final.hash
  const certificates = state.views.get(view)?.certificates
  return (certificates?.finalize ?? certificates?.notarize)?.blockHash
}

function isNullified(state: ConsensusState, view: number): boolean {
  return state.views.get(view)?.certificates.nullify !== undefined
}

/**
 * The highest certified block below a view with every view between nullified; or the lowest view
 * that stands in the way because neither certificate is here.
 */
export function findParent(
  state: ConsensusState,
  view: number,
): { view: number; hash: Uint8Array; missing?: undefined } | { missing: number } {
  let missing: number | undefined
  for (let at = view - 1; at >= state.final.view; at--) {
    const hash = certifiedIn(state, at)
    if (hash !== undefined) return missing === undefined ? { view: at, hash } : { missing }
    if (!isNullified(state, at)) missing = at
  }
  return { missing: missing ?? state.final.view + 1 }
}

/**
 * Whether a proposal's parent is certified and every view between it and the proposal nullified.
 * `conflict`: it stands below what is final, or on a block that is not the certified one of its
 * view, and can never be voted for.
 */
export function coverOf(
  state: ConsensusState,
  parent: Uint8Array,
  view: number,
): { type: "covered" } | { type: "missing"; fromView: number } | { type: "conflict" } {
  for (let at = view - 1; at >= state.final.view; at--) {
    const hash = certifiedIn(state, at)
    if (hash !== undefined && equalBytes(hash, parent)) return coveredAbove(state, at, view)
  }
  const held = heldBlock(state, parent)
  if (held !== undefined && held.block.header.view <= state.final.view) return { type: "conflict" }
  if (equalBytes(parent, state.delivered.hash)) return { type: "conflict" }
  return { type: "missing", fromView: state.final.view + 1 }
}

function coveredAbove(
  state: ConsensusState,
  parentView: number,
  view: number,
): { type: "covered" } | { type: "missing"; fromView: number } {
  for (let at = parentView + 1; at < view; at++) {
    if (!isNullified(state, at)) return { type: "missing", fromView: at }
  }
  return { type: "covered" }
}

/**
 * Asks one validator for the certificates of some views: the leader first, where there is one to
 * ask, then the others in turn.
 */
export function wantViews(
  state: ConsensusState,
  fromView: number,
  toView: number,
  leader: number | undefined,
): void {
  if (toView < fromView) return
  const to = state.fetchedMs === Number.NEGATIVE_INFINITY ? leader : undefined
  const until = Math.min(toView, fromView + FETCH_VIEWS_MAX - 1)
  state.fetching = { fromView, toView: until, first: to }
}

/** Remembers a certified block that is not here; whoever signed for it is asked. */
export function wantBlock(state: ConsensusState, certificate: Certificate): void {
  if (certificate.view <= state.delivered.view) return
  if (heldBlock(state, certificate.blockHash) !== undefined) return
  want(state, certificate.blockHash, certificate)
}

/** Wants a block that a certificate certifies, with or by another one. */
export function want(state: ConsensusState, hash: Uint8Array, certificate: Certificate): void {
  const key = keyOfHash(hash)
  const { view } = certificate
  const signers = certificate.signers.filter((signer) => signer !== state.config.self)
  if (state.wanted.has(key) || signers.length === 0) return
  state.wanted.set(key, { hash, view, signers, turn: 0, nextMs: Number.NEGATIVE_INFINITY })
}

/**
 * What a certified block stands on is certified with it, block by block: wants the first one below
 * that is not here.
 */
export function wantAncestor(state: ConsensusState, certificate: Certificate): void {
  let { blockHash: hash } = certificate
  while (!equalBytes(hash, state.delivered.hash)) {
    const held = heldBlock(state, hash)
    if (held === undefined) {
      want(state, hash, certificate)
      return
    }
    if (held.status !== "waiting") return
    hash = held.block.header.parent
  }
}

/** Sends the requests that are due; says when the next one is. */
export function sendFetches(state: ConsensusState, nowMs: number): number {
  const retryMs = RETRY_DELTAS * state.config.deltaMs
  let nextMs = Number.POSITIVE_INFINITY
  const { fetching } = state
  if (fetching !== undefined) {
    if (nowMs >= state.fetchedMs + retryMs) {
      state.fetchedMs = nowMs
      const { fromView, toView, first } = fetching
      const to = first ?? nextPeer(state)
      const message = { type: "fetch", fromView, toView } as const
      if (to !== undefined) state.out.push({ type: "send", message, after: 0, to })
    }
    nextMs = state.fetchedMs + retryMs
  }
  for (const wanted of state.wanted.values()) {
    if (nowMs >= wanted.nextMs) {
      const isRetry = wanted.nextMs !== Number.NEGATIVE_INFINITY
      wanted.nextMs = nowMs + retryMs
      const to = wanted.signers[wanted.turn++ % wanted.signers.length]
      const message = { type: "fetchBlock", hash: wanted.hash } as const
      if (to !== undefined) state.out.push({ type: "send", message, after: 0, to })
      // Whoever has made it final holds it here no more: then it comes out of the store.
      if (to !== undefined && isRetry && isFinalMissing(state)) {
        state.out.push({ type: "behind", from: to })
      }
    }
    nextMs = Math.min(nextMs, wanted.nextMs)
  }
  return nextMs
}

/** A block that is final cannot be delivered yet. */
function isFinalMissing(state: ConsensusState): boolean {
  return state.final.view > state.delivered.view
}

function nextPeer(state: ConsensusState): number | undefined {
  const count = state.config.validators.validators.length
  if (count === 1) return undefined
  state.fetchTurn = (state.fetchTurn + 1) % count
  if (state.fetchTurn === state.config.self) state.fetchTurn = (state.fetchTurn + 1) % count
  return state.fetchTurn
}

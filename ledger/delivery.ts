/**
 * From certificates to final blocks: which of them can be delivered, in order, and what can be
 * forgotten (LEDGER §8.1, R6).
 */

import { equalBytes } from "../protocol/bytes.ts"
import { BLAME_VIEWS_MAX, VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import { want } from "./ancestry.ts"
import type { FinalBlock, Header } from "./block.ts"
import type { Certificate } from "./certificate.ts"
import { heldBlock, keyOfHash, type ConsensusState, type HeldBlock, type Place } from "./state.ts"

/** R6: delivers the highest final block and all below it, once all are here. */
export function deliver(state: ConsensusState): void {
  const { certificate } = state.final
  if (certificate === undefined || equalBytes(state.final.hash, state.delivered.hash)) return
  // A follower may have brought us past what consensus knows.
  if (state.final.view <= state.delivered.view) return
  const chain = chainToDeliver(state, certificate)
  if (chain === undefined) return
  const blocks: FinalBlock[] = []
  let links: Header[] = []
  let finality = certificate
  for (const { block, hash } of chain) {
    const { header } = block
    const own = state.views.get(header.view)?.certificates.finalize
    if (own !== undefined && equalBytes(own.blockHash, hash)) {
      finality = own
      links = []
    }
    blocks.unshift({ block, certificate: finality, links })
    links = [header, ...links]
  }
  state.out.push({ type: "deliver", blocks, kept: keptCertificates(state, state.final.view) })
  const last = chain[0]
  if (last === undefined) return
  const { view, height } = last.block.header
  forgetBelow(state, { view, height, hash: last.hash })
}

/** From the newest final block down to the first that was not delivered; undefined: not yet. */
function chainToDeliver(state: ConsensusState, certificate: Certificate): HeldBlock[] | undefined {
  const chain: HeldBlock[] = []
  let isJudged = true
  let { hash } = state.final
  while (!equalBytes(hash, state.delivered.hash)) {
    const held = heldBlock(state, hash)
    if (held === undefined) {
      want(state, hash, certificate)
      return undefined
    }
    const { header } = held.block
    if (header.height <= state.delivered.height) {
      const why = `view ${certificate.view} is final on a chain without our block ${header.height}`
      return stop(state, "CONSENSUS_FORK", why)
    }
    if (held.status === "invalid") {
      const why = `height ${header.height} is final, and our check refuses it`
      return stop(state, "CONSENSUS_DIVERGED", why)
    }
    if (held.status === "waiting" || held.status === "checking") isJudged = false
    chain.push(held)
    hash = header.parent
  }
  return isJudged ? chain : undefined
}

function stop(
  state: ConsensusState,
  code: "CONSENSUS_FORK" | "CONSENSUS_DIVERGED",
  why: string,
): undefined {
  state.isStopped = true
  state.out.push({ type: "stop", code, why })
}

/** Certificates of views up to a final one that blame would need, if there ever were a fork. */
export function keptCertificates(state: ConsensusState, finalView: number): Certificate[] {
  const kept: Certificate[] = []
  for (const [at, { certificates }] of state.views) {
    if (at <= state.delivered.view || at > finalView) continue
    const { notarize, nullify, finalize } = certificates
    if (nullify !== undefined) kept.push(nullify)
    if (notarize !== undefined && finalize === undefined) kept.push(notarize)
  }
  return kept
}

/** Final blocks up to `place` are in the store. */
export function forgetBelow(state: ConsensusState, place: Place): void {
  state.delivered = place
  for (const [key, { block }] of state.blocks) {
    if (block.header.view <= place.view && key !== keyOfHash(place.hash)) state.blocks.delete(key)
  }
  for (const [key, { view }] of state.wanted) {
    if (view <= place.view) state.wanted.delete(key)
  }
  prune(state)
}

/** Votes and certificates far below the final view are of no use to anybody who still counts. */
export function prune(state: ConsensusState): void {
  // Certificates above the delivered block are kept for blame until they are handed over, but not
  // by a validator that is far behind.
  const kept = Math.max(state.delivered.view, state.final.view - BLAME_VIEWS_MAX)
  const oldest = Math.min(state.final.view, kept) - VOTE_VIEWS_BEHIND
  for (const at of state.views.keys()) if (at < oldest) state.views.delete(at)
}

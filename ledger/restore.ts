/**
 * A validator after a restart: the same votes again, never others (LEDGER §9.3).
 */

import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { blockHash } from "./block.ts"
import { verifyCertificate, votesOf, type Certificate } from "./certificate.ts"
import { createConsensus, settle } from "./consensus.ts"
import { LedgerError } from "./errors.ts"
import type { ConsensusRecord } from "./record.ts"
import {
  keyOfHash,
  viewOf,
  type ConsensusConfig,
  type ConsensusEffect,
  type ConsensusState,
  type Place,
} from "./state.ts"
import { leaderOf } from "./validators.ts"
import { onCertificate, onVote } from "./view.ts"
import { verifyVote } from "./vote.ts"

/**
 * R10: the state after a restart, from the last final block in the store and the log's records.
 *
 * Every own vote of the log is known before anything counts, so none is made anew. We are in the
 * highest view that any record speaks of. Votes of undecided views are sent and counted again.
 *
 * `finalCertificate` is what makes `delivered` final, undefined at the start of an epoch.
 *
 * `areVerified`: the signatures of these very records were checked before.
 *
 * @throws {@link LedgerError} as {@link createConsensus}; `CONSENSUS_KEY_DEAD` when the certificate
 * has our vote and the log has not; `RECORD_INVALID` when the records contradict each other.
 */
export function restoreConsensus(
  config: ConsensusConfig,
  delivered: Place,
  finalCertificate: Certificate | undefined,
  records: readonly ConsensusRecord[],
  nowMs: number,
  areVerified = false,
): { state: ConsensusState; effects: readonly ConsensusEffect[] } {
  assert((finalCertificate === undefined) === (delivered.view === 0), "a block without certificate")
  const state = createConsensus(config, delivered, finalCertificate, nowMs)
  const certificates: Certificate[] = []
  for (const record of records) {
    if (record.epoch !== config.validators.epoch) {
      invalid(`expected epoch ${config.validators.epoch}, got ${record.epoch}`)
    }
    recall(state, record, areVerified)
    if (record.kind === "finalize" || record.kind === "certificate") {
      certificates.push(record.certificate)
    }
  }
  demandOwnVote(state, finalCertificate)
  for (const [at, { own }] of state.views) {
    // A finalize vote was cast on leaving its view.
    const next = own.finalize === undefined ? at : at + 1
    state.view = Math.max(state.view, next)
  }
  for (const { view } of certificates) state.view = Math.max(state.view, view + 1)
  const entry = certificates.find(({ view }) => view + 1 === state.view)
  if (entry !== undefined) state.entry = entry
  replay(state, certificates, nowMs)
  settle(state, nowMs)
  return { state, effects: state.out }
}

/** One record back into the state; nothing takes effect yet. */
function recall(state: ConsensusState, record: ConsensusRecord, isVerified: boolean): void {
  const { suite, chainId, validators, self } = state.config
  if (record.kind === "certificate") {
    if (!isVerified) verifyCertificate(suite, chainId, record.certificate, validators)
    return
  }
  const { vote, kind } = record
  const { view } = vote
  if (vote.signer !== self) invalid(`view ${view}: the vote is not ours`)
  if (!isVerified) verifyVote(suite, chainId, vote, validators)
  const { own } = viewOf(state, view)
  if (own[kind] !== undefined) invalid(`view ${view}: two ${kind} votes`)
  if (kind !== "notarize" && (own.nullify ?? own.finalize) !== undefined) {
    invalid(`view ${view}: both a nullify and a finalize vote`)
  }
  own[kind] = vote
  state.lowestLogged = Math.min(state.lowestLogged, view)
  if (record.kind === "finalize") {
    const { certificate } = record
    if (!isVerified) verifyCertificate(suite, chainId, certificate, validators)
    const allows = certificate.kind === "notarize" && certificate.view === view
    if (!allows || !equalBytes(certificate.blockHash, vote.blockHash)) {
      invalid(`view ${view}: a finalize vote without the certificate that allows it`)
    }
    return
  }
  if (record.kind !== "notarize") return
  const { block } = record
  if (!equalBytes(blockHash(suite, block.header), vote.blockHash) || block.header.view !== view) {
    invalid(`view ${view}: the block is not the one that was voted for`)
  }
  if (view <= state.final.view && block.header.height <= state.delivered.height) return
  viewOf(state, view).proposal = vote.blockHash
  const held = { block, hash: vote.blockHash, status: "waiting" } as const
  state.blocks.set(keyOfHash(vote.blockHash), { ...held })
}

/**
 * Our vote made a block final, and the log has no such vote: not the log that we wrote. A store
 * that was rebuilt may end below what the log was trimmed to; of such votes it says nothing (R11).
 */
function demandOwnVote(state: ConsensusState, certificate: Certificate | undefined): void {
  for (const vote of certificate === undefined ? [] : votesOf(certificate)) {
    if (vote.signer !== state.config.self || vote.view < trimmedBelow(state)) continue
    const own = state.views.get(vote.view)?.own.finalize
    if (own !== undefined && equalBytes(own.blockHash, vote.blockHash)) continue
    const why = `the log does not have our vote for the final block of view ${vote.view}`
    throw new LedgerError("CONSENSUS_KEY_DEAD", `consensus: ${why}`)
  }
}

/** View below which the log may have had votes once; without votes it never had any. */
function trimmedBelow({ lowestLogged }: ConsensusState): number {
  return lowestLogged === Number.POSITIVE_INFINITY ? 0 : lowestLogged
}

/** R10: certificates take effect again, and own votes of undecided views leave and count again. */
function replay(state: ConsensusState, certificates: readonly Certificate[], nowMs: number): void {
  const { certificate } = state.final
  if (certificate !== undefined) viewOf(state, certificate.view).certificates.finalize = certificate
  for (const one of certificates) {
    if (one.view > state.final.view) onCertificate(state, one, undefined, nowMs)
  }
  const undecided = [...state.views.values()]
    .filter(({ view }) => view > state.final.view)
    .sort((a, b) => a.view - b.view)
  for (const { view, own } of undecided) {
    const { notarize, nullify, finalize } = own
    if (notarize !== undefined) {
      const held = state.blocks.get(keyOfHash(notarize.blockHash))
      const isLeader = leaderOf(state.config.validators, view) === state.config.self
      state.out.push({
        type: "send",
        message:
          isLeader && held !== undefined
            ? { type: "proposal", block: held.block, vote: notarize }
            : { type: "vote", vote: notarize },
        after: 0,
      })
      onVote(state, notarize, nowMs)
    }
    for (const vote of [nullify, finalize]) {
      if (vote === undefined) continue
      state.out.push({ type: "send", message: { type: "vote", vote }, after: 0 })
      onVote(state, vote, nowMs)
    }
  }
}

function invalid(why: string): never {
  throw new LedgerError("RECORD_INVALID", `consensus log: ${why}`)
}

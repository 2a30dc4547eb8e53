/**
 * A validator after a restart: the same votes again, never others (LEDGER §9.3).
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { blockHash } from "./block.ts"
import { votesOf, type Certificate } from "./certificate.ts"
import { createConsensus } from "./consensus.ts"
import { LedgerError } from "./errors.ts"
import type { ConsensusRecord } from "./record.ts"
import { andThen, countVote } from "./view.ts"
import type {
  ConsensusConfig,
  ConsensusEffect,
  ConsensusState,
  Message,
  Place,
  Step,
} from "./view.ts"
import { verifyVote, type Vote } from "./vote.ts"

/**
 * R10: the state after a restart, from the last final block in the store and the log's records.
 * Every vote of the log counts again; none is made anew.
 *
 * `finalCertificate` is that of `final`, undefined at the start of an epoch.
 *
 * @throws {@link LedgerError} as {@link createConsensus}; `CONSENSUS_KEY_DEAD` when the certificate
 * has our vote and the log has not; `RECORD_INVALID` when the records do not follow the store or
 * each other.
 */
export function restoreConsensus(
  config: ConsensusConfig,
  final: Place,
  finalCertificate: Certificate | undefined,
  records: readonly ConsensusRecord[],
): Step {
  const certifiedView = finalCertificate?.view ?? 0
  assert(certifiedView === final.view, "the last final block came without its certificate")
  let state = createConsensus(config, final)
  for (const record of records) {
    if (record.epoch !== config.validators.epoch) {
      invalid(`expected epoch ${config.validators.epoch}, got ${record.epoch}`)
    }
    state = recall(state, record)
  }
  for (const vote of finalCertificate === undefined ? [] : votesOf(finalCertificate)) {
    if (vote.signer !== config.self) continue
    const own = state.own.get(vote.view)?.finalize
    if (own === undefined || !equalBytes(own.blockHash, vote.blockHash)) {
      const why = `the log does not have our vote for the final block of view ${vote.view}`
      throw new LedgerError("CONSENSUS_KEY_DEAD", `consensus: ${why}`)
    }
  }
  const undecided = [...state.own.values()].filter(({ notarize }) => notarize.view > final.view)
  let current: Step = { state, effects: [] }
  for (const { notarize } of undecided.sort((a, b) => a.notarize.view - b.notarize.view)) {
    current = andThen(current, (next) => replay(next, notarize))
  }
  return current
}

/** One record back into the state; nothing takes effect yet. */
function recall(state: ConsensusState, record: ConsensusRecord): ConsensusState {
  const { suite, chainId, validators, self } = state.config
  const { vote } = record
  const { view } = vote
  if (vote.signer !== self) invalid(`view ${view}: the vote is not ours`)
  verifyVote(suite, chainId, vote, validators)
  const own = state.own.get(view)
  if (record.kind === "finalize") {
    const notarized = own?.notarize
    if (notarized === undefined) {
      // The log was trimmed between the two votes of a view that is final long since.
      if (view <= state.final.view) return state
      return invalid(`view ${view}: a finalize vote without its notarize vote`)
    }
    if (own?.finalize !== undefined) invalid(`view ${view}: two finalize votes`)
    if (!equalBytes(notarized.blockHash, vote.blockHash)) {
      invalid(`view ${view}: notarize and finalize votes for different blocks`)
    }
    return { ...state, own: new Map(state.own).set(view, { notarize: notarized, finalize: vote }) }
  }
  if (own !== undefined) invalid(`view ${view}: two notarize votes`)
  const { block } = record
  if (!equalBytes(blockHash(suite, block.header), vote.blockHash)) {
    invalid(`view ${view}: the block is not the one that was voted for`)
  }
  const blocks = new Map(state.blocks)
  if (view > state.final.view) blocks.set(bytesToHex(vote.blockHash), block)
  return { ...state, own: new Map(state.own).set(view, { notarize: vote }), blocks }
}

/** R10: our own vote for an undecided view, sent and counted again. */
function replay(state: ConsensusState, vote: Vote): Step {
  const block = state.blocks.get(bytesToHex(vote.blockHash))
  assert(block !== undefined, "a notarize record came back without its block")
  const { certified } = state
  const { header } = block
  const follows = header.height === certified.height + 1 && header.view === vote.view
  if (!follows || !equalBytes(header.parent, certified.hash) || vote.view !== state.view) {
    invalid(`view ${vote.view}: its block does not stand on height ${certified.height}`)
  }
  const message: Message = { type: "proposal", block, vote }
  const sent: ConsensusEffect = { type: "send", message, after: 0 }
  return andThen({ state, effects: [sent] }, (next) => countVote(next, vote))
}

function invalid(why: string): never {
  throw new LedgerError("RECORD_INVALID", `consensus log: ${why}`)
}

/**
 * Consensus: Simplex-Q, quiescent (LEDGER §8). The only door is `step(state, event, nowMs)`.
 *
 * Pure and synchronous. A step changes the state that it is given and returns the effects that
 * node/ performs in their order: a vote is persisted before it is sent, counted or acted upon.
 * Marks such as R3 are the rules of LEDGER §8.1, Q1 those of §8.3. The rules of a view are in
 * view.ts, with the argument why they are safe; timers are in quiescence.ts.
 *
 * Liveness: once messages arrive within Δ, the sync before them included, all honest validators are
 * in one view within that of each other, because certificates are passed on. An honest leader's
 * block is final three such ways after it was proposed; a dead leader costs 2Δ once.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { TAKE_BYTES_START, VOTE_VIEWS_AHEAD, VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import { sendFetches } from "./ancestry.ts"
import { blockHash, type Block } from "./block.ts"
import { verifyCertificate, voteIn, votesOf, type Certificate } from "./certificate.ts"
import { deliver, forgetBelow, keptCertificates } from "./delivery.ts"
import { LedgerError } from "./errors.ts"
import { countForgery, isShunned } from "./forgery.ts"
import { arm, giveUp, greet, nextDeadline, repeat } from "./quiescence.ts"
import {
  heldBlock,
  viewOf,
  type ConsensusConfig,
  type ConsensusEffect,
  type ConsensusEvent,
  type ConsensusState,
  type Place,
} from "./state.ts"
import { isAccused, isPlaced, placeVote } from "./tally.ts"
import { leaderOf } from "./validators.ts"
import {
  considerProposal,
  holdBlock,
  judgeBlocks,
  onBlockBuilt,
  onCertificate,
  onProposal,
  onVote,
  propose,
} from "./view.ts"
import { verifyVote, type Vote } from "./vote.ts"

/**
 * A validator before its first vote, standing on a final block.
 *
 * @throws {@link LedgerError} `CONSENSUS_KEY` when `self` is not in the set.
 */
export function createConsensus(
  config: ConsensusConfig,
  delivered: Place,
  certificate: Certificate | undefined,
  nowMs: number,
): ConsensusState {
  const { validators } = config.validators
  if (validators[config.self] === undefined) {
    throw new LedgerError("CONSENSUS_KEY", `consensus: the set has no number ${config.self}`)
  }
  const view = certificate?.view ?? delivered.view
  const hash = certificate?.blockHash ?? delivered.hash
  return {
    config,
    view: view + 1,
    enteredMs: nowMs,
    entry: certificate,
    certified: { view, hash },
    tipMs: nowMs,
    tipResentMs: nowMs,
    final: { view, hash, certificate },
    delivered,
    views: new Map(),
    blocks: new Map(),
    wanted: new Map(),
    unsynced: new Map(),
    nextSeq: 1,
    armedMs: undefined,
    idleView: 0,
    building: 0,
    takeBytes: TAKE_BYTES_START,
    resentMs: nowMs,
    fetching: undefined,
    fetchedMs: Number.NEGATIVE_INFINITY,
    fetchTurn: config.self,
    heardMs: validators.map(() => nowMs),
    contactMs: validators.map(() => nowMs),
    helpedMs: validators.map(() => Number.NEGATIVE_INFINITY),
    servedMs: validators.map(() => Number.NEGATIVE_INFINITY),
    forged: validators.map(() => ({ sinceMs: Number.NEGATIVE_INFINITY, count: 0 })),
    heartbeatMs: nowMs,
    lowestLogged: Number.POSITIVE_INFINITY,
    isStopped: false,
    out: [],
    timerMs: undefined,
  }
}

/**
 * What an event leads to. `nowMs` is a monotonic clock's. Synchronous; nothing of a peer's makes it
 * throw.
 */
export function step(
  state: ConsensusState,
  event: ConsensusEvent,
  nowMs: number,
): readonly ConsensusEffect[] {
  state.out = []
  if (state.isStopped) return state.out
  handle(state, event, nowMs)
  settle(state, nowMs)
  return state.out
}

function handle(state: ConsensusState, event: ConsensusEvent, nowMs: number): void {
  switch (event.type) {
    case "tick":
      // It has fired. Whether or not it was due, there is none now, and the next one must be set.
      state.timerMs = undefined
      return
    case "submitted":
      if (state.building < 0) state.building = 0
      return
    case "contact":
      state.contactMs[event.with] = nowMs
      greet(state, event.with)
      return
    case "blockBuilt":
      onBlockBuilt(state, event.view, event.block)
      return
    case "blockChecked": {
      const held = heldBlock(state, event.hash)
      if (held !== undefined) held.status = event.verdict
      return
    }
    case "persisted":
      onPersisted(state, event.seq, nowMs)
      return
    case "adopted":
      onAdopted(state, event.place, event.certificates, nowMs)
      return
    case "message":
      onMessage(state, event, nowMs)
  }
}

/** What follows from the state as it is now; every step ends here. */
export function settle(state: ConsensusState, nowMs: number): void {
  if (state.isStopped) return
  deliver(state)
  if (state.isStopped) return
  judgeBlocks(state)
  arm(state, nowMs)
  state.fetching = undefined
  giveUp(state, nowMs)
  considerProposal(state, nowMs)
  if (state.armedMs !== undefined) propose(state)
  repeat(state, nowMs)
  const nextMs = nextDeadline(state, nowMs, sendFetches(state, nowMs))
  const timerMs = nextMs === Number.POSITIVE_INFINITY ? undefined : nextMs
  if (timerMs === state.timerMs) return
  state.timerMs = timerMs
  state.out.push({ type: "timer", atMs: timerMs })
}

/** A vote of ours takes effect, in our own count too, only now that it is on the disk. */
function onPersisted(state: ConsensusState, seq: number, nowMs: number): void {
  for (const [number, vote] of state.unsynced) {
    if (number > seq) continue
    state.unsynced.delete(number)
    onVote(state, vote, nowMs)
  }
}

/** Final blocks that were fetched and verified elsewhere in this node. */
function onAdopted(
  state: ConsensusState,
  place: Place,
  certificates: readonly Certificate[],
  nowMs: number,
): void {
  for (const vote of certificates.flatMap(votesOf)) {
    if (vote.signer === state.config.self && !isOwn(state, vote)) {
      stopKey(state, vote)
      return
    }
  }
  if (place.height > state.delivered.height) {
    const kept = keptCertificates(state, place.view)
    if (kept.length > 0) state.out.push({ type: "keep", certificates: kept })
    forgetBelow(state, place)
  }
  const certificate = certificates.at(-1)
  if (certificate === undefined || certificate.view <= state.final.view) return
  onCertificate(state, certificate, undefined, nowMs)
}

// --- what peers send --------------------------------------------------------------------------

/** R7: whatever a peer sends is verified before it is acted on, and never makes us throw. */
function onMessage(
  state: ConsensusState,
  event: Extract<ConsensusEvent, { type: "message" }>,
  nowMs: number,
): void {
  const { from, finalView, message } = event
  state.heardMs[from] = nowMs
  help(state, from, finalView, nowMs)
  if (isShunned(state, from, nowMs)) return
  try {
    switch (message.type) {
      case "vote":
        admitVote(state, from, message.vote, nowMs)
        return
      case "certificate":
        admitCertificate(state, from, message.certificate, nowMs)
        return
      case "proposal":
        admitProposal(state, from, message.block, message.vote, nowMs)
        return
      case "fetch":
        serveViews(state, from, message.fromView, message.toView, nowMs)
        return
      case "fetchBlock":
        serveBlock(state, from, message.hash, nowMs)
        return
      case "block":
        admitBlock(state, message.block)
        return
      case "heartbeat":
        return
    }
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    countForgery(state, from, error.code, nowMs)
    state.out.push({ type: "reject", from, code: error.code, why: error.message })
  }
}

/** R9: who is behind is sent the newest finalize certificate, at most once in Δ. */
function help(state: ConsensusState, from: number, finalView: number, nowMs: number): void {
  const { certificate, view } = state.final
  if (certificate === undefined || finalView >= view) return
  if (nowMs - (state.helpedMs[from] ?? 0) < state.config.deltaMs) return
  state.helpedMs[from] = nowMs
  const message = { type: "certificate", certificate } as const
  state.out.push({ type: "send", message, after: 0, to: from })
}

/**
 * A vote is taken from its signer alone, for views that can still matter, once; its signature is
 * checked only where it can change something.
 */
function admitVote(state: ConsensusState, from: number, vote: Vote, nowMs: number): boolean {
  const { suite, chainId, validators, self } = state.config
  if (vote.epoch !== validators.epoch || vote.signer !== from) {
    const why = `of epoch ${vote.epoch} by ${vote.signer}, from ${from}`
    throw new LedgerError("VOTE_INVALID", `${vote.kind} vote for view ${vote.view}: ${why}`)
  }
  if (vote.view < state.final.view - VOTE_VIEWS_BEHIND) return false
  if (vote.view > state.view + VOTE_VIEWS_AHEAD) {
    const why = `view ${vote.view} is too far above ${state.view}`
    throw new LedgerError("VOTE_STALE", `${vote.kind} vote: ${why}`)
  }
  const known = state.views.get(vote.view)
  const placed = known?.votes[vote.kind][from]
  if (placed !== undefined && equalBytes(placed.blockHash, vote.blockHash)) return true
  // A third vote of a proven liar, for a slot that is taken: nothing more can come of it.
  if (placed !== undefined && isAccused(known, from)) return false
  verifyVote(suite, chainId, vote, validators)
  if (vote.signer === self && !isOwn(state, vote)) {
    stopKey(state, vote)
    return false
  }
  onVote(state, vote, nowMs)
  return true
}

/** Certificates prove themselves: taken from anybody, for any view that can still matter. */
function admitCertificate(
  state: ConsensusState,
  from: number,
  certificate: Certificate,
  nowMs: number,
): void {
  const { suite, chainId, validators } = state.config
  const { kind, view } = certificate
  if (view < state.final.view - VOTE_VIEWS_BEHIND) return
  const known = state.views.get(view)?.certificates[kind]
  if (known !== undefined && equalBytes(known.blockHash, certificate.blockHash)) {
    judgeOwn(state, certificate)
    return
  }
  verifyCertificate(suite, chainId, certificate, validators, (vote) => isPlaced(state, vote))
  for (const vote of votesOf(certificate)) {
    if (vote.signer === state.config.self && !isOwn(state, vote)) {
      stopKey(state, vote)
      return
    }
    placeVote(state, vote)
  }
  onCertificate(state, certificate, from, nowMs)
  if (kind === "finalize" && heldBlock(state, certificate.blockHash) === undefined) {
    state.out.push({ type: "behind", from })
  }
}

/** A certificate that we have already may still hold a vote by our key that we did not cast. */
function judgeOwn(state: ConsensusState, certificate: Certificate): void {
  const { suite, chainId, validators, self } = state.config
  const vote = voteIn(certificate, self)
  if (vote === undefined || isOwn(state, vote)) return
  verifyVote(suite, chainId, vote, validators)
  stopKey(state, vote)
}

function admitProposal(
  state: ConsensusState,
  from: number,
  block: Block,
  vote: Vote,
  nowMs: number,
): void {
  const { suite, validators } = state.config
  const { header } = block
  const name = `proposal of view ${header.view}`
  if (vote.kind !== "notarize" || vote.view !== header.view || header.epoch !== vote.epoch) {
    throw new LedgerError("VOTE_INVALID", `${name}: its vote is not for it`)
  }
  if (vote.view > state.view + VOTE_VIEWS_AHEAD || vote.view < state.view) {
    // Too late to be voted for; its vote may still count.
    admitVote(state, from, vote, nowMs)
    return
  }
  if (leaderOf(validators, header.view) !== from) {
    throw new LedgerError("VOTE_INVALID", `${name}: validator ${from} does not lead it`)
  }
  const hash = blockHash(suite, header)
  if (!equalBytes(hash, vote.blockHash)) {
    throw new LedgerError("VOTE_INVALID", `${name}: its vote is for another block`)
  }
  if (admitVote(state, from, vote, nowMs)) onProposal(state, block, hash)
}

/** A block is taken only when it was asked for. */
function admitBlock(state: ConsensusState, block: Block): void {
  const hash = blockHash(state.config.suite, block.header)
  for (const wanted of state.wanted.values()) {
    if (!equalBytes(wanted.hash, hash)) continue
    holdBlock(state, block, hash)
    return
  }
}

/** Answers cost more than questions: one at a time to each validator. */
function mayServe(state: ConsensusState, from: number, nowMs: number): boolean {
  if (nowMs - (state.servedMs[from] ?? 0) < state.config.deltaMs / 4) return false
  state.servedMs[from] = nowMs
  return true
}

function serveViews(
  state: ConsensusState,
  from: number,
  fromView: number,
  toView: number,
  nowMs: number,
): void {
  if (!mayServe(state, from, nowMs)) return
  for (let at = fromView; at <= toView; at++) {
    const { notarize, nullify, finalize } = state.views.get(at)?.certificates ?? {}
    for (const certificate of [notarize, nullify, finalize]) {
      if (certificate === undefined) continue
      const message = { type: "certificate", certificate } as const
      state.out.push({ type: "send", message, after: 0, to: from })
    }
  }
}

function serveBlock(state: ConsensusState, from: number, hash: Uint8Array, nowMs: number): void {
  const held = heldBlock(state, hash)
  if (held === undefined || !mayServe(state, from, nowMs)) return
  const message = { type: "block", block: held.block } as const
  state.out.push({ type: "send", message, after: 0, to: from })
}

// --- R11: votes by our key --------------------------------------------------------------------

/** True for a vote that our log has, or that is older than what it was trimmed to. */
export function isOwn(state: ConsensusState, vote: Vote): boolean {
  const isLogged = state.lowestLogged !== Number.POSITIVE_INFINITY
  if (vote.view < (isLogged ? state.lowestLogged : state.final.view + 1)) return true
  const own = viewOf(state, vote.view).own[vote.kind]
  return own !== undefined && equalBytes(own.blockHash, vote.blockHash)
}

/** R11: a valid vote by our key that our log does not have. Log lost, put back, or cloned. */
function stopKey(state: ConsensusState, vote: Vote): void {
  const what = `a ${vote.kind} vote for view ${vote.view}`
  const why = `our key signed ${what} that our log does not have`
  state.isStopped = true
  state.out.push({ type: "stop", code: "CONSENSUS_KEY_DEAD", why })
}

/**
 * When a validator acts, and when it is silent (LEDGER §8.3): timers, retries, heartbeats, and not
 * waiting for leaders that are gone.
 *
 * An idle ledger has no blocks, no records and no messages but heartbeats. Timers do not grow with
 * an outage, so that how long it lasted makes no difference to how long healing takes.
 */

import {
  HEARTBEAT_MS,
  LEADER_DELTAS,
  PATIENCE_MAX,
  RETRY_DELTAS,
  SKIP_MS,
  TIP_DELTAS,
  VIEW_DELTAS,
} from "../protocol/limits.ts"
import type { Message } from "./message.ts"
import { heldBlock, roundsSinceFinal, viewOf, type ConsensusState } from "./state.ts"
import { leaderOf } from "./validators.ts"
import { nullify, onVote } from "./view.ts"

const NEVER = Number.POSITIVE_INFINITY

/** Q1: armed while something waits, or the highest notarized block is unfinal for too long. */
export function arm(state: ConsensusState, nowMs: number): void {
  const isArmed = isTipLate(state, nowMs) || state.config.hasWork(state.certified.hash)
  if (!isArmed) state.armedMs = undefined
  else state.armedMs ??= nowMs
  if (!isArmed && !isTipUnfinal(state)) state.idleView = state.view
}

function isTipUnfinal(state: ConsensusState): boolean {
  return state.certified.view > state.final.view
}

function isTipLate(state: ConsensusState, nowMs: number): boolean {
  return isTipUnfinal(state) && nowMs >= state.tipMs + TIP_DELTAS * state.config.deltaMs
}

/**
 * R4, R8: gives the current view up when its leader did so, when its leader has been silent while
 * a quorum was not, and, armed, when no proposal came in time or the view took too long.
 */
export function giveUp(state: ConsensusState, nowMs: number): void {
  const view = viewOf(state, state.view)
  const { validators, self } = state.config
  const leader = leaderOf(validators, state.view)
  const { own } = view
  if (own.nullify !== undefined || own.finalize !== undefined) return
  if (
    leader !== self &&
    (view.votes.nullify[leader] !== undefined || isGone(state, leader, nowMs))
  ) {
    nullify(state, nowMs)
    return
  }
  if (state.armedMs === undefined) return
  if (nowMs < endOfView(state, state.armedMs)) return
  nullify(state, nowMs)
  // Q3: the leader may be silent because it lacks what waits here.
  state.out.push({ type: "resubmit" })
}

/** When the current view has taken too long, armed since a moment. */
function endOfView(state: ConsensusState, armedMs: number): number {
  const { proposal } = viewOf(state, state.view)
  const deltas = proposal === undefined ? LEADER_DELTAS : VIEW_DELTAS
  return Math.max(state.enteredMs, armedMs) + deltas * patience(state) * state.config.deltaMs
}

/**
 * R4: when every validator led a view and none was final, messages take longer than Δ: views last
 * twice as long, and after another round four times. Views go on with a quorum alone, so that an
 * outage lengthens nothing.
 */
function patience(state: ConsensusState): number {
  return Math.min(2 ** roundsSinceFinal(state), PATIENCE_MAX)
}

/** R8: silent for long, while so many others were heard that a quorum is there without it. */
function isGone(state: ConsensusState, leader: number, nowMs: number): boolean {
  const { validators, self } = state.config
  const lastMs = (at: number): number => Math.max(state.heardMs[at] ?? 0, state.contactMs[at] ?? 0)
  const isSilent = (at: number): boolean => nowMs - lastMs(at) > SKIP_MS
  if (!isSilent(leader)) return false
  let present = 1
  for (let at = 0; at < validators.validators.length; at++) {
    if (at !== self && !isSilent(at)) present += 1
  }
  return present >= validators.quorum
}

/**
 * R4, Q2, Q3: what was said and may be lost is said again: while armed, our vote of the view, what
 * let us into it, and once we gave it up, the batches that wait; while it is unfinal, the highest
 * notarized block's certificate and our vote for it; the heartbeat.
 */
export function repeat(state: ConsensusState, nowMs: number): void {
  const { deltaMs, validators } = state.config
  if (validators.validators.length === 1) return
  const { own } = viewOf(state, state.view)
  const vote = own.nullify ?? own.notarize
  const isRetryDue = nowMs >= state.resentMs + RETRY_DELTAS * deltaMs
  if (state.armedMs !== undefined && vote !== undefined && isRetryDue) {
    state.resentMs = nowMs
    sendView(state)
    // Into our own count as well: after a crash of all, it is in nobody's.
    if (!isUnsynced(state, vote)) onVote(state, vote, nowMs)
    if (own.nullify !== undefined) state.out.push({ type: "resubmit" })
  }
  if (isTipUnfinal(state) && nowMs >= state.tipResentMs + TIP_DELTAS * deltaMs) {
    state.tipResentMs = nowMs
    repeatTip(state, nowMs)
  }
  if (nowMs >= state.heartbeatMs + HEARTBEAT_MS) {
    state.heartbeatMs = nowMs
    send(state, { type: "heartbeat" })
  }
}

function repeatTip(state: ConsensusState, nowMs: number): void {
  sendTip(state)
  const { finalize: vote } = viewOf(state, state.certified.view).own
  if (vote !== undefined && !isUnsynced(state, vote)) onVote(state, vote, nowMs)
}

/**
 * Q5: who is in reach again hears at once where we stand, with the final view in front. What was
 * said while there was no contact is lost, and timers would take their time to say it again.
 */
export function greet(state: ConsensusState, to: number): void {
  const { length } = state.out
  if (isTipUnfinal(state)) sendTip(state, to)
  sendView(state, to)
  if (state.out.length === length) send(state, { type: "heartbeat" }, to)
}

/**
 * What let us into the view, and our vote there: of its leader, with the block, for those who have
 * not voted in it. A block is large, and who has voted has it or has given it up.
 */
function sendView(state: ConsensusState, to?: number): void {
  const { entry } = state
  if (entry !== undefined) send(state, { type: "certificate", certificate: entry }, to)
  const { own, proposal, votes } = viewOf(state, state.view)
  const vote = own.nullify ?? own.notarize
  if (vote === undefined || isUnsynced(state, vote)) return
  const { validators, self } = state.config
  const isOurs = leaderOf(validators, state.view) === self
  const held = isOurs && proposal !== undefined ? heldBlock(state, proposal) : undefined
  if (vote.kind !== "notarize" || held === undefined) {
    send(state, { type: "vote", vote }, to)
    return
  }
  for (let at = 0; at < validators.validators.length; at++) {
    if (at === self || (to !== undefined && to !== at)) continue
    const hasVoted = (votes.notarize[at] ?? votes.nullify[at]) !== undefined
    const { block } = held
    send(state, hasVoted ? { type: "vote", vote } : { type: "proposal", block, vote }, at)
  }
}

/** The highest notarized block's certificate, and our vote to make it final. */
function sendTip(state: ConsensusState, to?: number): void {
  const { certificates, own } = viewOf(state, state.certified.view)
  const { notarize: certificate } = certificates
  if (certificate !== undefined) send(state, { type: "certificate", certificate }, to)
  const { finalize: vote } = own
  if (vote !== undefined && !isUnsynced(state, vote)) send(state, { type: "vote", vote }, to)
}

function send(state: ConsensusState, message: Message, to?: number): void {
  state.out.push({ type: "send", message, after: 0, ...(to !== undefined && { to }) })
}

function isUnsynced(state: ConsensusState, vote: object): boolean {
  for (const waiting of state.unsynced.values()) if (waiting === vote) return true
  return false
}

/** The next moment at which anything here would happen by itself. */
export function nextDeadline(state: ConsensusState, nowMs: number, fetchMs: number): number {
  const { deltaMs, validators } = state.config
  let nextMs = fetchMs
  const at = (ms: number): void => {
    if (ms > nowMs) nextMs = Math.min(nextMs, ms)
  }
  if (state.armedMs !== undefined) {
    const { nullify, notarize, finalize } = viewOf(state, state.view).own
    if (nullify === undefined && finalize === undefined) at(endOfView(state, state.armedMs))
    if ((nullify ?? notarize ?? finalize) !== undefined && validators.validators.length > 1) {
      at(state.resentMs + RETRY_DELTAS * deltaMs)
    }
  }
  if (isTipUnfinal(state)) {
    at(state.tipMs + TIP_DELTAS * deltaMs)
    at(state.tipResentMs + TIP_DELTAS * deltaMs)
  }
  if (validators.validators.length > 1) at(state.heartbeatMs + HEARTBEAT_MS)
  return nextMs === Number.NEGATIVE_INFINITY ? NEVER : nextMs
}

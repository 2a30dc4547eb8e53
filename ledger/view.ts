/**
 * One view of consensus, from a proposal to a final block or to nothing (LEDGER §8.1).
 *
 * Pure: works on the state it is given and pushes effects. Marks such as R3 are the rules of LEDGER
 * §8.1, which follow the Simplex paper (eprint 2023/463) and list where we differ.
 *
 * Why it is safe. S1: two notarized blocks in one view need f+1 honest validators with two notarize
 * votes there, against R2. S2: a view that is both nullified and final needs an honest validator
 * with both votes: no F after X (R3), and X in the current view alone, where there was no F (R4);
 * both are in the log before they are sent. S3: if a block c is final at view v, every valid block
 * at a view w > v extends c. Its parent at p < v would need view v to be nullified (S2); p = v
 * gives c (S1); p > v by induction. Nothing is locked.
 */

import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import {
  HASH_BYTES,
  PROPOSAL_VIEWS_AHEAD,
  UNFINAL_BLOCKS_MAX,
  UNFINAL_CONTENT_MAX,
} from "../protocol/limits.ts"
import { coverOf, findParent, wantAncestor, wantBlock, wantViews } from "./ancestry.ts"
import { bytesToTake, learnSize } from "./block-size.ts"
import { blockHash, type Block } from "./block.ts"
import type { Certificate } from "./certificate.ts"
import { prune } from "./delivery.ts"
import type { ConsensusRecord } from "./record.ts"
import {
  heldBlock,
  keyOfHash,
  viewOf,
  type ConsensusState,
  type HeldBlock,
  type Place,
} from "./state.ts"
import { countVotes, placeVote } from "./tally.ts"
import { leaderOf } from "./validators.ts"
import { signVote, type Vote, type VoteKind } from "./vote.ts"

const NO_BLOCK = new Uint8Array(HASH_BYTES)

/**
 * Enters a view: on a certificate of the view before, or of any higher one. Timers start here, or
 * when we are armed.
 */
function enter(state: ConsensusState, view: number, entry: Certificate, nowMs: number): void {
  assert(view > state.view, "a view was entered backwards")
  state.view = view
  state.enteredMs = nowMs
  state.entry = entry
  state.resentMs = nowMs
  state.fetchedMs = Number.NEGATIVE_INFINITY
}

// --- R1: proposing ----------------------------------------------------------------------------

/**
 * R1: the leader of the view, while armed, asks for a block on the highest notarized block below
 * which every view up to here is nullified. Without new work it is an empty block, which makes an
 * older one final (Q2).
 */
export function propose(state: ConsensusState): void {
  const { config, view } = state
  const { own } = viewOf(state, view)
  if (leaderOf(config.validators, view) !== config.self) return
  if (Math.abs(state.building) === view) return
  if (own.notarize !== undefined || own.nullify !== undefined) return
  const parent = findParent(state, view)
  if (parent.missing !== undefined) {
    wantViews(state, parent.missing, view - 1, undefined)
    return
  }
  const place = placeOf(state, parent.hash)
  if (place === undefined) return
  if (!mayStandOn(state, place, view)) return
  const isDeep = place.height - state.delivered.height >= UNFINAL_CONTENT_MAX
  const isClosing = isDeep || !config.hasWork(place.hash)
  if (isClosing && parent.view <= state.final.view) return
  state.building = view
  const bytesMax = bytesToTake(state)
  state.out.push({ type: "buildBlock", view, parent: place, isClosing, bytesMax })
}

/**
 * R1, R2: whether a block of this view may stand on that one. The more blocks are unfinal, the
 * more views must lie between two: they double with every sixteen, and there is an end. A block
 * takes the headers above it along as its proof, so while finality fails, no matter for how long or
 * who is at fault, the heap must not outgrow what a proof can hold.
 */
export function mayStandOn(state: ConsensusState, parent: Place, view: number): boolean {
  const depth = parent.height + 1 - state.delivered.height
  if (depth > UNFINAL_BLOCKS_MAX) return false
  const doublings = Math.max(0, Math.floor(depth / UNFINAL_CONTENT_MAX) - 1)
  return view - parent.view >= 2 ** doublings
}

/** A certified block that was judged here, or the delivered one; undefined while it is not. */
function placeOf(state: ConsensusState, hash: Uint8Array): Place | undefined {
  if (equalBytes(hash, state.delivered.hash)) return state.delivered
  const held = heldBlock(state, hash)
  if (held === undefined || !isJudged(held)) return undefined
  const { view, height } = held.block.header
  return { view, height, hash }
}

function isJudged(held: HeldBlock): boolean {
  return held.status === "valid" || held.status === "untimely"
}

/** R1, R2: our proposal carries our notarize vote; both go to the log as one record. */
export function onBlockBuilt(state: ConsensusState, view: number, block: Block | undefined): void {
  // Nothing to build from: asked again when something new waits.
  if (block === undefined && state.building === view) state.building = -view
  if (block === undefined || view !== state.view) return
  const { own } = viewOf(state, view)
  if (own.notarize !== undefined || own.nullify !== undefined) return
  const { config } = state
  const { header } = block
  assert(header.epoch === config.validators.epoch, "a block was built for another epoch")
  assert(header.view === view, "a block was built for another view")
  assert(leaderOf(config.validators, view) === config.self, "a block was built out of turn")
  const hash = blockHash(config.suite, header)
  state.blocks.set(keyOfHash(hash), { block, hash, status: "valid" })
  viewOf(state, view).proposal = hash
  castNotarize(state, block, hash, true)
}

// --- R2: judging a proposal -------------------------------------------------------------------

/** R2: keeps the leader's first proposal of a view; its vote was verified and placed before. */
export function onProposal(state: ConsensusState, block: Block, hash: Uint8Array): void {
  const { view: at } = block.header
  if (at < state.view || at > state.view + PROPOSAL_VIEWS_AHEAD) return
  const view = viewOf(state, at)
  // A second distinct proposal is evidence by its vote; one place a view bounds what a liar costs.
  if (view.proposal !== undefined) return
  view.proposal = hash
  holdBlock(state, block, hash)
}

/** A block that was proposed, or that we asked for by its hash. */
export function holdBlock(state: ConsensusState, block: Block, hash: Uint8Array): void {
  const key = keyOfHash(hash)
  state.wanted.delete(key)
  if (!state.blocks.has(key)) state.blocks.set(key, { block, hash, status: "waiting" })
}

/** Has every block judged whose parent was: a block's content depends on the one below it. */
export function judgeBlocks(state: ConsensusState): void {
  const tip = state.views.get(state.certified.view)?.certificates
  const certificate = tip?.notarize ?? tip?.finalize
  if (certificate !== undefined) wantAncestor(state, certificate)
  for (const held of state.blocks.values()) {
    if (held.status !== "waiting") continue
    const { parent } = held.block.header
    if (placeOf(state, parent) === undefined) continue
    held.status = "checking"
    state.out.push({ type: "checkBlock", block: held.block, hash: held.hash })
  }
}

/**
 * R2: votes for the proposal of the current view, once: if its parent is certified, every view
 * between is nullified, and its content is valid. What is missing is asked of the leader, and we
 * keep waiting. R4: an invalid one is answered by nullifying.
 */
export function considerProposal(state: ConsensusState, nowMs: number): void {
  const view = state.views.get(state.view)
  if (view?.proposal === undefined) return
  if (view.own.notarize !== undefined || view.own.nullify !== undefined) return
  const held = heldBlock(state, view.proposal)
  if (held === undefined) return
  const cover = coverOf(state, held.block.header.parent, state.view)
  if (cover.type === "missing") {
    const leader = leaderOf(state.config.validators, state.view)
    wantViews(state, cover.fromView, state.view - 1, leader)
    return
  }
  const parent = placeOf(state, held.block.header.parent)
  const isTooDeep = parent !== undefined && !mayStandOn(state, parent, state.view)
  const isRefused = held.status === "invalid" || held.status === "untimely" || isTooDeep
  if (cover.type === "conflict" || isRefused) {
    nullify(state, nowMs)
    return
  }
  if (held.status === "valid") castNotarize(state, held.block, held.hash, false)
}

function castNotarize(
  state: ConsensusState,
  block: Block,
  hash: Uint8Array,
  isLeader: boolean,
): void {
  const { epoch } = state.config.validators
  const { view } = block.header
  const { vote, seq } = cast(state, "notarize", view, hash, (vote) => {
    return { kind: "notarize", epoch, vote, block }
  })
  state.out.push({
    type: "send",
    message: isLeader ? { type: "proposal", block, vote } : { type: "vote", vote },
    after: seq,
  })
}

/** Signs a vote and logs it; it counts, as it leaves, only when its record is on the disk. */
function cast(
  state: ConsensusState,
  kind: VoteKind,
  view: number,
  hash: Uint8Array,
  recordOf: (vote: Vote) => ConsensusRecord,
): { vote: Vote; seq: number } {
  const { chainId, validators, self, sign } = state.config
  const { own } = viewOf(state, view)
  assert(own[kind] === undefined, "a second vote of one kind was cast in one view")
  const body = { kind, epoch: validators.epoch, view, blockHash: hash }
  const vote = signVote(chainId, body, self, sign)
  own[kind] = vote
  state.lowestLogged = Math.min(state.lowestLogged, view)
  const seq = state.nextSeq++
  state.unsynced.set(seq, vote)
  state.out.push({ type: "persist", seq, record: recordOf(vote) })
  return { vote, seq }
}

// --- R4: nullifying ---------------------------------------------------------------------------

/** R4: gives the current view up, unless we voted to finalize in it. */
export function nullify(state: ConsensusState, nowMs: number): void {
  const { view } = state
  const { own } = viewOf(state, view)
  if (own.nullify !== undefined || own.finalize !== undefined) return
  const { epoch } = state.config.validators
  const { vote, seq } = cast(state, "nullify", view, NO_BLOCK, (vote) => {
    return { kind: "nullify", epoch, vote }
  })
  state.resentMs = nowMs
  state.out.push({ type: "send", message: { type: "vote", vote }, after: seq })
}

// --- R3, R5, R6: quorums ----------------------------------------------------------------------

/** A verified vote, of ours or of others, goes into its slot; a quorum is a certificate. */
export function onVote(state: ConsensusState, vote: Vote, nowMs: number): void {
  if (!placeVote(state, vote)) return
  if (viewOf(state, vote.view).certificates[vote.kind] !== undefined) return
  const certificate = countVotes(state, vote)
  if (certificate !== undefined) onCertificate(state, certificate, undefined, nowMs)
}

/** R3, R5, R6: a certificate, ours or verified, takes effect once and goes to everybody else. */
export function onCertificate(
  state: ConsensusState,
  certificate: Certificate,
  from: number | undefined,
  nowMs: number,
): void {
  const view = viewOf(state, certificate.view)
  if (view.certificates[certificate.kind] !== undefined) return
  view.certificates[certificate.kind] = certificate
  switch (certificate.kind) {
    case "notarize":
      onNotarized(state, certificate, from, nowMs)
      return
    case "nullify":
      passOn(state, certificate, from)
      onNullified(state, certificate, nowMs)
      return
    case "finalize":
      passOn(state, certificate, from)
      onFinalized(state, certificate, nowMs)
  }
}

/** To all but the one who sent it, once record `after` is on the disk. */
function passOn(
  state: ConsensusState,
  certificate: Certificate,
  from: number | undefined,
  after = 0,
): void {
  const message = { type: "certificate", certificate } as const
  state.out.push({ type: "send", message, after, ...(from !== undefined && { except: from }) })
}

/**
 * R3: on a notarize certificate of a view above the final one, votes to finalize unless we gave the
 * view up, and goes on. It needs no look at the block: f+1 honest validators had one. It may come
 * late, to one who was away: then the view can still be final without another block, and as X is
 * cast in the current view alone, it can never follow there. The certificate leaves with that vote,
 * in one packet: it is the longer of the two, and whoever lacks it alone waits for one sync more.
 */
function onNotarized(
  state: ConsensusState,
  certificate: Certificate,
  from: number | undefined,
  nowMs: number,
): void {
  const { view, blockHash: hash } = certificate
  raiseTip(state, view, hash, nowMs)
  wantBlock(state, certificate)
  const { own } = viewOf(state, view)
  const { epoch } = state.config.validators
  const isOpen = view > state.final.view && own.finalize === undefined
  if (isOpen && own.nullify === undefined) {
    const { vote, seq } = cast(state, "finalize", view, hash, (vote) => {
      return { kind: "finalize", epoch, vote, certificate }
    })
    passOn(state, certificate, from, seq)
    state.out.push({ type: "send", message: { type: "vote", vote }, after: seq })
  } else {
    passOn(state, certificate, from)
    if (isOpen && view >= state.view) logCertificate(state, certificate)
  }
  if (view >= state.view) enter(state, view + 1, certificate, nowMs)
}

/** R5: on a nullify certificate of this or a later view, goes on. */
function onNullified(state: ConsensusState, certificate: Certificate, nowMs: number): void {
  const { view } = certificate
  learnSize(state, certificate)
  dropProposal(state, view)
  if (view < state.view) return
  logCertificate(state, certificate)
  enter(state, view + 1, certificate, nowMs)
}

/** R6: on a finalize certificate its block and all below it are final. */
function onFinalized(state: ConsensusState, certificate: Certificate, nowMs: number): void {
  const { view, blockHash: hash } = certificate
  learnSize(state, certificate)
  if (view > state.final.view) {
    state.final = { view, hash, certificate }
    // It has just gone to everybody: R9 does not send it beside itself.
    state.helpedMs.fill(nowMs)
    raiseTip(state, view, hash, nowMs)
    wantBlock(state, certificate)
    prune(state)
  }
  if (view >= state.view) enter(state, view + 1, certificate, nowMs)
}

function raiseTip(state: ConsensusState, view: number, hash: Uint8Array, nowMs: number): void {
  if (view <= state.certified.view) return
  state.certified = { view, hash }
  state.tipMs = nowMs
  state.tipResentMs = nowMs
}

/** What let us go on is remembered over a crash, so that others can be shown it. */
function logCertificate(state: ConsensusState, certificate: Certificate): void {
  const { epoch } = state.config.validators
  const seq = state.nextSeq++
  state.out.push({ type: "persist", seq, record: { kind: "certificate", epoch, certificate } })
}

/** The block of a view that is void is of no use, unless it is notarized as well. */
function dropProposal(state: ConsensusState, at: number): void {
  const { proposal, certificates, own } = viewOf(state, at)
  // Ours may be one of the votes that notarized it elsewhere: then others ask us for it.
  if (proposal === undefined || (certificates.notarize ?? own.notarize) !== undefined) return
  state.blocks.delete(keyOfHash(proposal))
}

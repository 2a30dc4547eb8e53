/**
 * Catching up: what a node that is behind asks for next, and what it believes (LEDGER §11).
 *
 * Heights that peers claim are hints. Whoever claims far more than we have is asked for its newest
 * header first; below a height that a verified certificate names, ranges of blocks are fetched from
 * several peers at once. They are verified in order, and a block counts only after acceptBlock. All
 * numbers here are our own: nothing is filed under a number that a peer chose.
 */

import { assert } from "../protocol/assert.ts"
import * as limits from "../protocol/limits.ts"
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

/** Heights that one peer was asked for; they stay here until the blocks are accepted or refused. */
export interface SyncRange extends BlocksQuery {
  /** Encoded blocks, once they came. */
  readonly answer: readonly Uint8Array[] | undefined
}

/** How much is asked of a peer at once: little at first, more with every answer that was good. */
interface Pace {
  readonly ranges: number
  readonly blocks: number
}

/** A value: every function gives a new one. */
export interface SyncState {
  /** Last claimed height by peer; no certificate covers it. */
  readonly claims: ReadonlyMap<string, number>
  /** Highest height that a verified certificate names. */
  readonly certified: number
  /** The peer that is being asked for its newest header. */
  readonly proving: string | undefined
  /** Disjoint, ascending. */
  readonly ranges: readonly SyncRange[]
  readonly paces: ReadonlyMap<string, Pace>
}

export const EMPTY_SYNC: SyncState = {
  claims: new Map(),
  certified: 0,
  proving: undefined,
  ranges: [],
  paces: new Map(),
}

/** What to send: a request for the newest header, or for blocks. */
export type SyncAsk =
  | { readonly type: "newest"; readonly peer: string }
  | { readonly type: "blocks"; readonly query: BlocksQuery }

/** A verified block and the head that it leads to. */
export interface Accepted {
  readonly final: FinalBlock
  readonly head: ChainHead
}

/** A peer says how high its chain is. */
export function heardHeight(state: SyncState, peer: string, height: number): SyncState {
  const claims = new Map(state.claims)
  // The one that spoke last stands last, so that of equals it is asked first.
  claims.delete(peer)
  return { ...state, claims: claims.set(peer, height) }
}

/** The peer's newest header is final, at this height. */
export function provenHeight(state: SyncState, peer: string, height: number): SyncState {
  const proving = state.proving === peer ? undefined : state.proving
  const claims = new Map(state.claims)
  if (claims.has(peer)) claims.set(peer, height)
  return { ...state, proving, claims, certified: Math.max(state.certified, height) }
}

/** All requests that are due now; each is sent once. */
export function askNext(
  state: SyncState,
  ownHeight: number,
): { readonly state: SyncState; readonly asks: readonly SyncAsk[] } {
  const ranges = state.ranges.filter((range) => lastOf(range) > ownHeight)
  let current: SyncState = { ...state, ranges }
  const asks: SyncAsk[] = []
  const prover = proverOf(current, ownHeight)
  if (prover !== undefined) {
    current = { ...current, proving: prover }
    asks.push({ type: "newest", peer: prover })
  }
  for (;;) {
    const query = nextQuery(current, ownHeight)
    if (query === undefined) return { state: current, asks }
    const added = [...current.ranges, { ...query, answer: undefined }]
    added.sort((a, b) => a.fromHeight - b.fromHeight)
    current = { ...current, ranges: added }
    asks.push({ type: "blocks", query })
  }
}

/** Whoever claims more than one request could bring shows its newest header first. */
function proverOf(state: SyncState, ownHeight: number): string | undefined {
  const known = Math.max(state.certified, ownHeight)
  if (state.proving !== undefined || state.certified > ownHeight) return undefined
  const [peer, height] = highestClaim(state.claims) ?? ["", 0]
  return height > known + limits.SYNC_WINDOW_BLOCKS ? peer : undefined
}

function highestClaim(claims: ReadonlyMap<string, number>): [string, number] | undefined {
  let best: [string, number] | undefined
  for (const claim of claims) if (best === undefined || claim[1] >= best[1]) best = claim
  return best
}

function nextQuery(state: SyncState, ownHeight: number): BlocksQuery | undefined {
  const { ranges, certified } = state
  const { from, to } = firstGap(ranges, ownHeight)
  const isFront = from === ownHeight + 1
  if (ranges.length >= limits.SYNC_RANGES_MAX) return undefined
  if (!isFront && !hasRoom(ranges)) return undefined
  // What no certificate covers is asked for in one request at a time, all peers together.
  if (from > certified && ranges.some((range) => lastOf(range) > certified)) return undefined
  const peer = chooseFor(state, from, isFront)
  if (peer === undefined) return undefined
  const last = Math.min(to, state.claims.get(peer) ?? 0, from > certified ? Infinity : certified)
  return { peer, fromHeight: from, count: Math.min(last - from + 1, paceOf(state, peer).blocks) }
}

/** The lowest heights above our own that nobody is asked for. */
function firstGap(ranges: readonly SyncRange[], ownHeight: number): { from: number; to: number } {
  let from = ownHeight + 1
  for (const range of ranges) {
    if (range.fromHeight > from) return { from, to: range.fromHeight - 1 }
    from = Math.max(from, lastOf(range) + 1)
  }
  return { from, to: Infinity }
}

/**
 * The least busy of those that claim a height; of equals, the one that was not too slow before; of
 * equals again, the one that spoke last. Anybody can speak last, so that alone decides nothing.
 */
function chooseFor(state: SyncState, height: number, isFront: boolean): string | undefined {
  let best: { peer: string; busy: number; blocks: number } | undefined
  for (const [peer, claim] of state.claims) {
    const busy = busyOf(state, peer, isFront)
    const { ranges, blocks } = paceOf(state, peer)
    if (claim < height || peer === state.proving || busy >= ranges) continue
    const isBetter =
      best === undefined || busy < best.busy || (busy === best.busy && blocks >= best.blocks)
    if (isBetter) best = { peer, busy, blocks }
  }
  return best?.peer
}

/**
 * Who has shown nothing good yet gets no second request before the first is accepted, unless that
 * one waits for these very heights.
 */
function busyOf(state: SyncState, peer: string, isFront: boolean): number {
  const isNew = paceOf(state, peer).ranges === 1 && !isFront
  const { ranges } = state
  return ranges.filter((range) => range.peer === peer && (isNew || !range.answer)).length
}

function paceOf(state: SyncState, peer: string): Pace {
  return state.paces.get(peer) ?? { ranges: 1, blocks: limits.SYNC_WINDOW_BLOCKS }
}

/** Room for one more answer of the usual size beside what waits and what is under way. */
function hasRoom(ranges: readonly SyncRange[]): boolean {
  const underWay = ranges.filter(({ answer }) => answer === undefined).length
  const expected = (underWay + 1) * limits.SYNC_ANSWER_BYTES
  return heldBytes(ranges) + expected <= limits.SYNC_HELD_BYTES_MAX
}

function heldBytes(ranges: readonly SyncRange[]): number {
  return ranges.reduce((sum, { answer }) => sum + (answer === undefined ? 0 : bytesOf(answer)), 0)
}

function bytesOf(answer: readonly Uint8Array[]): number {
  return answer.reduce((sum, block) => sum + block.length, 0)
}

function lastOf({ fromHeight, count }: BlocksQuery): number {
  return fromHeight + count - 1
}

/**
 * An answer came. It waits for its turn, unless nobody waits for it any more. Where answers are
 * larger than all of them together may be, the highest are dropped and asked for again later.
 *
 * @throws {@link LedgerError} `SYNC_ANSWER` for none or too many blocks.
 */
export function arrived(
  state: SyncState,
  query: BlocksQuery,
  answer: readonly Uint8Array[],
): SyncState {
  if (answer.length === 0 || answer.length > query.count) {
    const why = `expected 1 … ${query.count} blocks from height ${query.fromHeight}`
    throw new LedgerError("SYNC_ANSWER", `answer: ${why}, got ${answer.length}`)
  }
  const isAsked = (range: SyncRange): boolean => isSame(range, query) && range.answer === undefined
  const ranges = state.ranges.map((range) => (isAsked(range) ? { ...range, answer } : range))
  const { claims } = state
  const isShort = answer.length < query.count && bytesOf(answer) < limits.SYNC_ANSWER_BYTES
  while (heldBytes(ranges) > limits.SYNC_HELD_BYTES_MAX) {
    const highest = ranges.findLastIndex((range) => range.answer !== undefined)
    // The one whose turn it is stays, whatever its size.
    if (highest === 0) break
    ranges.splice(highest, 1)
  }
  if (!isShort || !claims.has(query.peer)) return { ...state, ranges }
  // It stopped before there was a reason: it has no more.
  const shown = query.fromHeight + answer.length - 1
  return { ...state, ranges, claims: new Map(claims).set(query.peer, shown) }
}

/** The range whose turn it is, once its blocks are here. It stays until it is accepted. */
export function readyRange(
  state: SyncState,
  ownHeight: number,
): (SyncRange & { readonly answer: readonly Uint8Array[] }) | undefined {
  for (const range of state.ranges) {
    if (range.answer === undefined || lastOf(range) <= ownHeight) continue
    if (range.fromHeight <= ownHeight + 1) return { ...range, answer: range.answer }
  }
  return undefined
}

/** As if nobody had been asked for anything. */
export function withoutRequests(state: SyncState): SyncState {
  return { ...state, ranges: [], proving: undefined }
}

/** The blocks of a range were accepted: its peer may be asked for more at once. */
export function accepted(state: SyncState, range: BlocksQuery): SyncState {
  const { ranges, blocks } = paceOf(state, range.peer)
  const pace = {
    ranges: Math.min(ranges + 1, limits.SYNC_RANGES_PER_PEER_MAX),
    blocks: Math.min(2 * blocks, limits.SYNC_WINDOW_BLOCKS),
  }
  return {
    ...state,
    ranges: state.ranges.filter((one) => !isSame(one, range)),
    paces: new Map(state.paces).set(range.peer, pace),
  }
}

/** The request under way that all others wait for, while another peer could be asked instead. */
export function stalledQuery(state: SyncState, ownHeight: number): BlocksQuery | undefined {
  const front = state.ranges.find((range) => lastOf(range) > ownHeight)
  if (front === undefined || front.answer !== undefined) return undefined
  const isElsewhere = [...state.claims].some(([peer, height]) => {
    return peer !== front.peer && height >= front.fromHeight
  })
  return isElsewhere ? front : undefined
}

/**
 * A request to the peer failed: its claim is void until it speaks again, and others are asked. A
 * `slow` one is asked for less the next time. What it brought before waits on, unless it `lied`.
 */
export function failed(
  state: SyncState,
  peer: string,
  reason: "slow" | "gone" | "lied",
): SyncState {
  const claims = new Map(state.claims)
  claims.delete(peer)
  const { blocks } = paceOf(state, peer)
  const pace = { ranges: 1, blocks: reason === "slow" ? Math.ceil(blocks / 2) : blocks }
  const isKept = (range: SyncRange): boolean =>
    range.peer !== peer || (range.answer !== undefined && reason !== "lied")
  return {
    ...state,
    claims,
    proving: state.proving === peer ? undefined : state.proving,
    ranges: state.ranges.filter(isKept),
    paces: new Map(state.paces).set(peer, pace),
  }
}

function isSame(a: BlocksQuery, b: BlocksQuery): boolean {
  return a.peer === b.peer && a.fromHeight === b.fromHeight && a.count === b.count
}

/**
 * Verifies an answer block by block, each fully before the next is decoded; those at or below the
 * head are skipped.
 *
 * The caller applies each block's governance entries before it asks for the next one, because they
 * may change who may submit. Blocks that came before a bad one stay accepted.
 *
 * @throws everything that decodeFinalBlock and acceptBlock refuse.
 */
export function* verifyAnswer(
  suite: Suite,
  head: ChainHead,
  query: BlocksQuery,
  answer: readonly Uint8Array[],
  rules: { readonly validatorsOf: ValidatorsOf; readonly submitKeyOf: SubmitKeyOf },
  sink?: NodeSink,
): Generator<Accepted, void, void> {
  const skipped = head.height + 1 - query.fromHeight
  assert(skipped >= 0, "an answer was verified before its turn")
  let current = head
  for (const bytes of answer.slice(skipped)) {
    const final = decodeFinalBlock(suite, bytes)
    current = acceptBlock(suite, current, final, rules, sink)
    yield { final, head: current }
  }
}

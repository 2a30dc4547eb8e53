/**
 * Keeping up with the chain: what every node does that is behind, validators included (LEDGER §11).
 *
 * ledger/sync.ts says which blocks to ask of whom; here they are fetched from several peers at
 * once, verified in order on the directory as it was before each, and stored. A peer that sends a
 * wrong block, or claims a height that it cannot show, is left alone for a while; one that is slow
 * or gone costs its own range, which another is asked for. On a poor link, or where nobody has the
 * blocks, entries are fetched without them (course.ts, bundles.ts).
 */

import { decodeFinalBlock } from "../../ledger/block.ts"
import { decodeFinalHeader, type FinalHeader } from "../../ledger/bundle.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import { verifyFinality, type ChainHead } from "../../ledger/chain.ts"
import * as sync from "../../ledger/sync.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import * as wire from "../../protocol/wire.ts"
import { createSlices, type Clock, type Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import { BundleFetcher } from "./bundles.ts"
import { Course, type CourseParts } from "./course.ts"
import type { Finality, Staged } from "./finality.ts"
import { FrontWatch } from "./front.ts"
import { Heights } from "./heights.ts"
import type { LedgerLog } from "./submitter.ts"

/** What was asked for, for the log. */
type Facts = Readonly<Record<string, string | number>>

/** What a node that is behind asks for. */
export type SyncMode = CourseParts["mode"]

/** One who has failed so often in a row is not counted on for blocks. */
const FAILURES_MAX = 3

export interface FollowerParts {
  readonly suite: Suite
  readonly transport: Transport
  readonly clock: Clock
  readonly log: LedgerLog
  readonly store: BlockStore
  readonly finality: Finality
  /** Transport keys of the validators, this node's excepted. */
  readonly validators: () => readonly PeerKey[]
  /** Set on a validator. */
  readonly validator?: {
    /**
     * Blocks of others were folded and stored up to this head; called before anybody else's turn
     * in {@link Finality.exclusive}. The certificates make the blocks final, the last one
     * the head.
     */
    readonly onAdopted: (head: ChainHead, certificates: readonly Certificate[]) => void
  }
  /** Two final chains: the certificates of both where they part, and what is the matter. */
  readonly onFork: (certificates: readonly Certificate[], why: string) => void
  /** Whether entries may be fetched without their blocks; never on a validator. */
  readonly mode?: SyncMode
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

export class Follower {
  readonly #parts: FollowerParts
  readonly #heights: Heights
  /** Peers that lied, and until when they are left alone (monotonic ms). */
  readonly #distrusted = new Map<PeerKey, number>()
  /** Peers that others could replace and that kept all waiting, and until when they rest. */
  readonly #resting = new Map<PeerKey, number>()
  /** Failed requests in a row. */
  readonly #failures = new Map<PeerKey, number>()
  /** Ends the requests to a peer that are under way. */
  readonly #requests = new Map<PeerKey, AbortController>()
  #sync: sync.SyncState = sync.EMPTY_SYNC
  readonly #front: FrontWatch
  #waitTimer: Timer | undefined
  #isDraining = false
  readonly #bundles: BundleFetcher
  readonly #jumps = new AbortController()
  #isJumping = false
  #jumpTimer: Timer | undefined
  readonly #course: Course
  #isRunning = false

  constructor(parts: FollowerParts) {
    this.#parts = parts
    const { transport, clock, validators, store, mode = "auto" } = parts
    const ownHeight = (): number => store.head.height
    this.#course = new Course({
      clock,
      mode: parts.validator === undefined ? mode : "blocks",
      ownHeight,
    })
    this.#front = new FrontWatch(clock, (query) => this.#passBy(query))
    this.#heights = new Heights({
      transport,
      clock,
      validators,
      isValidator: parts.validator !== undefined,
      ownHeight,
      onHeard: (peer, height) => this.#hear(peer, height),
      onLost: (peer) => this.#lose(peer),
    })
    this.#bundles = new BundleFetcher({
      ...parts,
      peers: () => this.#ahead().filter((peer) => !this.#isDistrusted(peer)),
      onFailed: (peer, error, what) => this.#blame(peer, error, { asked: what }),
      onServed: (peer) => this.#failures.delete(peer),
    })
  }

  start(): void {
    this.#isRunning = true
    this.#heights.start()
  }

  stop(): void {
    this.#isRunning = false
    this.#heights.stop()
    this.#jumps.abort()
    this.#jumpTimer?.cancel()
    this.#front.stop()
    this.#waitTimer?.cancel()
  }

  /** The highest height that is known or claimed by somebody who is not distrusted. */
  heightSeen(): number {
    const claims = [...this.#sync.claims].filter(([peer]) => !this.#isDistrusted(peer))
    return Math.max(this.#parts.store.head.height, ...claims.map(([, height]) => height))
  }

  /** This peer is known to have more than we do. */
  catchUp(peer: PeerKey): void {
    this.#heights.ask(peer)
  }

  /** Answers a peer's height with ours. */
  receiveHeight(peer: PeerKey, request: Uint8Array): Uint8Array {
    return this.#heights.receive(peer, request)
  }

  /** After a final block of our own making: all who are connected hear of it. */
  announce(): void {
    this.#heights.announce()
  }

  /** Asks a peer for blocks; used for repairs too. */
  async fetch(
    peer: PeerKey,
    fromHeight: number,
    count: number,
    options?: { readonly signal: AbortSignal },
  ): Promise<Uint8Array[]> {
    const request = wire.encodeBlocksRequest({ fromHeight, count })
    const { transport } = this.#parts
    const answer = await transport.request(peer, wire.PROTOCOLS.blocks, request, options)
    return wire.decodeBlocksAnswer(answer)
  }

  /** Asks a peer for the entries of one bundle; used for repairs. */
  async fetchEntries(
    peer: PeerKey,
    first: number,
    count: number,
    final: FinalHeader,
  ): Promise<readonly Uint8Array[]> {
    return this.#bundles.fetch(peer, first, count, final, this.#jumps.signal)
  }

  // --- heights ---------------------------------------------------------------------------------

  #hear(peer: PeerKey, height: number): void {
    const isResting = this.#parts.clock.monotonicMs() < (this.#resting.get(peer) ?? 0)
    if (isResting || this.#isDistrusted(peer)) return
    this.#sync = sync.heardHeight(this.#sync, peer, height)
    if (this.#parts.validator === undefined || this.#sync.ranges.length > 0) this.#pump()
    else if (height > this.#parts.store.head.height) this.#pumpLater()
  }

  /** Consensus brings a validator its blocks; it fetches them only when that takes too long. */
  #pumpLater(): void {
    this.#waitTimer ??= this.#parts.clock.after(limits.SYNC_VALIDATOR_WAIT_MS, () => {
      this.#waitTimer = undefined
      this.#pump()
    })
  }

  #lose(peer: PeerKey): void {
    this.#resting.delete(peer)
    this.#abort(peer)
    this.#sync = sync.failed(this.#sync, peer, "gone")
    this.#pump()
  }

  // --- requests --------------------------------------------------------------------------------

  #pump(): void {
    if (!this.#isRunning) return
    this.#reviewCourse()
    if (this.#course.isByEntries) {
      void this.#jump()
      return
    }
    if (this.#sync.ranges.length === 0) this.#course.restart()
    const { state, asks } = sync.askNext(this.#sync, this.#parts.store.head.height)
    this.#sync = state
    for (const ask of asks) {
      if (ask.type === "newest") void this.#prove(ask.peer)
      else void this.#fetchRange(ask.query)
    }
    void this.#drain()
    this.#front.watch(sync.stalledQuery(this.#sync, this.#parts.store.head.height))
  }

  /** Asks a peer for its newest header; undefined when it could not show any. */
  async #prove(peer: PeerKey): Promise<FinalHeader | undefined> {
    const { suite, transport, finality } = this.#parts
    let found: FinalHeader | undefined
    await this.#attempt(peer, { asked: "newest header" }, async (signal) => {
      const request = wire.encodeNumber(0)
      const answer = await transport.request(peer, wire.PROTOCOLS.newest, request, { signal })
      const bytes = wire.decodeBlob(answer, "newest header", limits.FINAL_HEADER_BYTES_MAX)
      const shown = decodeFinalHeader(bytes)
      const { header } = shown
      verifyFinality(suite, finality.head.chainId, header, shown, finality.validatorsOf)
      this.#sync = sync.provenHeight(this.#sync, peer, header.height)
      found = shown
    })
    return found
  }

  async #fetchRange(query: sync.BlocksQuery): Promise<void> {
    const { peer, fromHeight, count } = query
    await this.#attempt(peer, rangeOf(query), async (signal) => {
      const answer = await this.fetch(peer, fromHeight, count, { signal })
      this.#measure(answer.reduce((sum, block) => sum + block.length, 0))
      this.#sync = sync.arrived(this.#sync, query, answer)
    })
  }

  /** One request to a peer; what goes wrong is the peer's fault, or bad luck. */
  async #attempt(
    peer: PeerKey,
    where: Facts,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const abort = this.#requests.get(peer) ?? new AbortController()
    this.#requests.set(peer, abort)
    try {
      await work(abort.signal)
    } catch (error) {
      if (!this.#isRunning || abort.signal.aborted) return
      if (!(error instanceof TarbartaError)) throw error
      this.#blame(peer, error, where)
    }
    this.#pump()
  }

  /** What is wrong is a lie; what is missing is bad luck. */
  #blame(peer: PeerKey, error: TarbartaError, where: Facts): void {
    if (error instanceof NodeError) this.#retryLater(peer, error, where)
    else if (!this.#isDistrusted(peer)) this.#distrust(peer, error, where)
  }

  #abort(peer: PeerKey): void {
    this.#requests.get(peer)?.abort()
    this.#requests.delete(peer)
  }

  /** Who keeps all others waiting rests for a while, whatever it says, and another is asked. */
  #passBy(query: sync.BlocksQuery): void {
    const { peer } = query
    this.#abort(peer)
    const error = new NodeError("STREAM_DEADLINE", "others could be faster")
    this.#resting.set(peer, this.#parts.clock.monotonicMs() + limits.SYNC_REST_MS)
    this.#retryLater(peer, error, rangeOf(query), limits.SYNC_REST_MS)
    this.#pump()
  }

  // --- entries without blocks ------------------------------------------------------------------

  #measure(bytes: number): void {
    if (this.#course.measure(bytes, this.#sync.certified)) this.#dropRequests()
  }

  #reviewCourse(): void {
    const ahead = this.#ahead()
    const counted = ahead.filter((peer) => (this.#failures.get(peer) ?? 0) < FAILURES_MAX)
    if (ahead.length > 0 && this.#course.review(counted)) this.#dropRequests()
  }

  /** What is under way of blocks is of no use where entries are fetched. */
  #dropRequests(): void {
    for (const peer of this.#requests.keys()) this.#abort(peer)
    this.#sync = sync.withoutRequests(this.#sync)
  }

  /** Jumps ahead until nobody claims more; then, where bundles are the rule, waits a while. */
  async #jump(): Promise<void> {
    if (this.#isJumping || this.#jumpTimer !== undefined) return
    this.#isJumping = true
    const { store } = this.#parts
    try {
      for (let peer = this.#ahead()[0]; peer !== undefined; peer = this.#ahead()[0]) {
        const newest = await this.#prove(peer)
        if (!this.#isRunning) return
        if (newest === undefined || newest.header.height <= store.head.height) continue
        const result = await this.#bundles.jump(newest, this.#jumps.signal)
        if (!this.#isRunning) return
        if (result === "jumped") continue
        this.#course.jumpFailed()
        break
      }
      this.#course.jumpsEnded()
      if (store.head.height >= this.#sync.certified) this.#jumpLater()
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isJumping = false
    }
    if (!this.#course.isByEntries) this.#pump()
  }

  #jumpLater(): void {
    this.#jumpTimer = this.#parts.clock.after(limits.JUMP_PAUSE_MS, () => {
      this.#jumpTimer = undefined
      this.#pump()
    })
  }

  /** Peers that claim more than we have, the highest claim first. */
  #ahead(): PeerKey[] {
    const { height } = this.#parts.store.head
    const claims = [...this.#sync.claims].filter(([, claim]) => claim > height)
    return claims.sort(([, a], [, b]) => b - a).map(([peer]) => peer)
  }

  // --- blocks ----------------------------------------------------------------------------------

  /** Accepts what has come, in order, as far as it joins. */
  async #drain(): Promise<void> {
    if (this.#isDraining) return
    this.#isDraining = true
    const { finality, store } = this.#parts
    try {
      for (;;) {
        const range = sync.readyRange(this.#sync, store.head.height)
        if (range === undefined || !this.#isRunning) return
        const refusal = await finality.exclusive(async () => this.#accept(range, range.answer))
        if (!this.#isRunning) return
        if (refusal === undefined) {
          this.#sync = sync.accepted(this.#sync, range)
          this.#failures.delete(range.peer)
        } else {
          this.#distrust(range.peer, refusal, rangeOf(range))
        }
        this.#pump()
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isDraining = false
    }
  }

  #fail(error: unknown): void {
    // After an orderly stop the store is closed and refuses what was under way.
    if (!this.#isRunning) return
    this.stop()
    this.#parts.onFatal(error)
  }

  /** Verifies, folds and stores; the refusal of the block at which it ended, if any. */
  async #accept(
    query: sync.BlocksQuery,
    answer: readonly Uint8Array[],
  ): Promise<TarbartaError | undefined> {
    const { suite, clock, finality, validator } = this.#parts
    // Consensus may have made it meanwhile.
    if (query.fromHeight + answer.length <= finality.head.height + 1) return undefined
    const giveWay = createSlices(clock, limits.VERIFY_SLICE_MS)
    const staged: Staged[] = []
    let refusal: TarbartaError | undefined
    try {
      for (const { final, head } of sync.verifyAnswer(
        suite,
        finality.head,
        query,
        answer,
        finality,
      )) {
        staged.push(finality.fold(final, head))
        await giveWay()
        if (!this.#isRunning) return undefined
      }
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      refusal = error
    }
    await finality.commit(staged)
    if (refusal?.code === "BLOCK_PARENT") await this.#judgeFork(query, answer)
    const last = staged.at(-1)
    const certificates = staged.map(({ final }) => final.certificate)
    if (last !== undefined) validator?.onAdopted(last.head, certificates)
    return refusal
  }

  /** A block was refused for its parent, after its certificate was verified (LEDGER §8.6). */
  async #judgeFork({ fromHeight }: sync.BlocksQuery, answer: readonly Uint8Array[]): Promise<void> {
    const { suite, store, log, onFork } = this.#parts
    const { height, epoch, hash } = store.head
    const bytes = answer[height + 1 - fromHeight]
    if (bytes === undefined) return
    const { block, certificate } = decodeFinalBlock(suite, bytes)
    const { header } = block
    const isNext = header.height === height + 1 && header.epoch === epoch
    if (!isNext || equalBytes(header.parent, hash)) return
    const why = `a block of height ${header.height} is final that does not stand on ours of ${height}`
    log.warn("CONSENSUS_FORK", { height, message: why })
    const ours = height === 0 ? [] : [(await store.finalHeader(height)).certificate]
    onFork([...ours, certificate], why)
  }

  // --- trust -----------------------------------------------------------------------------------

  #distrust(peer: PeerKey, { code, message }: TarbartaError, where: Facts): void {
    const { log, clock } = this.#parts
    const ignoredMs = limits.SYNC_DISTRUST_MS
    log.warn(code, { peer, ...where, message, ignoredMs })
    const untilMs = clock.monotonicMs() + ignoredMs
    this.#distrusted.set(peer, untilMs)
    this.#abort(peer)
    this.#sync = sync.failed(this.#sync, peer, "lied")
    clock.after(ignoredMs, () => {
      if (this.#distrusted.get(peer) === untilMs) this.#distrusted.delete(peer)
      // What it said of its height meanwhile was not heard, and it may not say it again.
      this.#askHeight(peer)
    })
  }

  #isDistrusted(peer: PeerKey): boolean {
    const untilMs = this.#distrusted.get(peer)
    if (untilMs === undefined) return false
    if (this.#parts.clock.monotonicMs() < untilMs) return true
    this.#distrusted.delete(peer)
    return false
  }

  /** One who fails again and again is asked ever more rarely, so that others get their turn. */
  #retryLater(
    peer: PeerKey,
    { code, message, refusal }: NodeError,
    where: Facts,
    pauseMsMin = 0,
  ): void {
    const { log, clock } = this.#parts
    const failures = this.#failures.get(peer) ?? 0
    if (failures === 0) log.warn(code, { peer, ...where, message })
    this.#failures.set(peer, failures + 1)
    const isSlow = code === "STREAM_DEADLINE"
    this.#sync = sync.failed(this.#sync, peer, isSlow ? "slow" : "gone")
    // A link on which nothing arrives in time is poor as well.
    if (isSlow) this.#measure(0)
    if (refusal === "STORE_GAP") this.#course.gapShown(peer)
    const pauseMs = Math.min(limits.RETRY_MIN_MS * 2 ** failures, limits.RETRY_MAX_MS)
    clock.after(Math.max(pauseMsMin, pauseMs), () => this.#askHeight(peer))
  }

  #askHeight(peer: PeerKey): void {
    const { transport } = this.#parts
    if (this.#isRunning && transport.connected().includes(peer)) this.#heights.ask(peer)
  }
}

function rangeOf({ fromHeight, count }: sync.BlocksQuery): { from: number; to: number } {
  return { from: fromHeight, to: fromHeight + count - 1 }
}

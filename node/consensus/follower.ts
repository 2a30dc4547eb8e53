/**
 * Keeping up with the chain: what every node does that is behind, validators included (LEDGER §11).
 *
 * ledger/sync.ts says which blocks to ask of whom; here they are fetched from several peers at
 * once, verified in order on the directory as it was before each, and stored. A peer that sends a
 * wrong block, or claims a height that it cannot show, is left alone for a while; one that is slow
 * or gone costs its own range, which another is asked for. Every node serves what it has.
 */

import { concatBytes } from "@noble/hashes/utils.js"
import { decodeHeader, encodeFinality, encodeHeader, readFinality } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import { verifyFinality, type ChainHead } from "../../ledger/chain.ts"
import * as sync from "../../ledger/sync.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader } from "../../protocol/fields.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import * as wire from "../../protocol/wire.ts"
import { createSlices, type Clock, type Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Finality, Staged } from "./finality.ts"
import { Heights } from "./heights.ts"
import type { LedgerLog } from "./submitter.ts"

/** What was asked for, for the log. */
type Facts = Readonly<Record<string, string | number>>

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
  /** A stored block cannot be read. */
  readonly onDamage: () => void
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

export class Follower {
  readonly #parts: FollowerParts
  readonly #heights: Heights
  /** Peers that lied, and until when they are left alone (monotonic ms). */
  readonly #distrusted = new Map<PeerKey, number>()
  /** Failed requests in a row. */
  readonly #failures = new Map<PeerKey, number>()
  /** Ends the requests to a peer that are under way. */
  readonly #requests = new Map<PeerKey, AbortController>()
  #sync: sync.SyncState = sync.EMPTY_SYNC
  /** Height that all wait for, and how often a peer was found too slow with it. */
  #stalls = { height: 0, count: 0 }
  #stallTimer: Timer | undefined
  #waitTimer: Timer | undefined
  #isDraining = false
  #isRunning = false

  constructor(parts: FollowerParts) {
    this.#parts = parts
    const { transport, clock, validators, store } = parts
    this.#heights = new Heights({
      transport,
      clock,
      validators,
      isValidator: parts.validator !== undefined,
      ownHeight: () => store.head.height,
      onHeard: (peer, height) => this.#hear(peer, height),
      onLost: (peer) => this.#lose(peer),
    })
  }

  start(): void {
    this.#isRunning = true
    this.#heights.start()
  }

  stop(): void {
    this.#isRunning = false
    this.#heights.stop()
    this.#stallTimer?.cancel()
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

  /** @throws ProtocolError `CODEC_*`; NodeError `STORE_DAMAGED` when our own copy is broken. */
  async serveBlocks(request: Uint8Array): Promise<Uint8Array> {
    const { fromHeight, count } = wire.decodeBlocksRequest(request)
    const { store } = this.#parts
    const blocks = store.blocks(fromHeight, count, limits.SYNC_ANSWER_BYTES)
    return wire.encodeBlocksAnswer(await this.#serve(blocks))
  }

  /**
   * Our newest header with what makes it final.
   *
   * @throws as {@link serveBlocks}; NodeError `NODE_BUSY` before the first block.
   */
  async serveNewest(request: Uint8Array): Promise<Uint8Array> {
    wire.decodeNumber(request, "newest request")
    const { store } = this.#parts
    const { height } = store.head
    if (height === 0) throw new NodeError("NODE_BUSY", "the ledger has no blocks yet")
    const row = await this.#serve(store.row(height))
    return wire.encodeBlob(concatBytes(encodeFinality(row), encodeHeader(row.header)))
  }

  async #serve<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      if (error instanceof NodeError && error.code === "STORE_DAMAGED") this.#parts.onDamage()
      throw error
    }
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

  // --- heights ---------------------------------------------------------------------------------

  #hear(peer: PeerKey, height: number): void {
    if (this.#isDistrusted(peer)) return
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
    this.#abort(peer)
    this.#sync = sync.failed(this.#sync, peer, "gone")
    this.#pump()
  }

  // --- requests --------------------------------------------------------------------------------

  #pump(): void {
    if (!this.#isRunning) return
    const { state, asks } = sync.askNext(this.#sync, this.#parts.store.head.height)
    this.#sync = state
    for (const ask of asks) {
      if (ask.type === "newest") void this.#prove(ask.peer)
      else void this.#fetchRange(ask.query)
    }
    void this.#drain()
    this.#watchFront()
  }

  /** Asks a peer that claims far more than we have for its newest header. */
  async #prove(peer: PeerKey): Promise<void> {
    const { suite, transport, finality } = this.#parts
    await this.#attempt(peer, { asked: "newest header" }, async (signal) => {
      const request = wire.encodeNumber(0)
      const answer = await transport.request(peer, wire.PROTOCOLS.newest, request, { signal })
      const reader = new FieldReader(
        wire.decodeBlob(answer, "newest header", limits.NEWEST_HEADER_BYTES_MAX),
        "newest header",
      )
      const found = readFinality(reader)
      const header = decodeHeader(reader.view("header", reader.left))
      verifyFinality(suite, finality.head.chainId, header, found, finality.validatorsOf)
      this.#sync = sync.provenHeight(this.#sync, peer, header.height)
    })
  }

  async #fetchRange(query: sync.BlocksQuery): Promise<void> {
    const { peer, fromHeight, count } = query
    await this.#attempt(peer, rangeOf(query), async (signal) => {
      const answer = await this.fetch(peer, fromHeight, count, { signal })
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
      if (error instanceof NodeError) this.#retryLater(peer, error, where)
      else this.#distrust(peer, error, where)
    }
    this.#pump()
  }

  #abort(peer: PeerKey): void {
    this.#requests.get(peer)?.abort()
    this.#requests.delete(peer)
  }

  /** Who keeps all others waiting is given up for this time, and another peer is asked. */
  #watchFront(): void {
    const { clock, store } = this.#parts
    const stalled = sync.stalledQuery(this.#sync, store.head.height)
    if (stalled === undefined || this.#stallTimer !== undefined) return
    // Twice as long each time: where everybody is slow, somebody must get to the end.
    const times = this.#stalls.height === stalled.fromHeight ? this.#stalls.count : 0
    this.#stallTimer = clock.after(limits.SYNC_PATIENCE_MS * 2 ** times, () => {
      this.#stallTimer = undefined
      const still = sync.stalledQuery(this.#sync, store.head.height)
      if (still?.peer === stalled.peer && still.fromHeight === stalled.fromHeight) {
        this.#stalls = { height: stalled.fromHeight, count: times + 1 }
        this.#abort(stalled.peer)
        const error = new NodeError("STREAM_DEADLINE", "others are faster")
        this.#retryLater(stalled.peer, error, rangeOf(stalled))
        this.#pump()
      }
      this.#watchFront()
    })
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
      // After an orderly stop the store is closed and refuses what was under way.
      if (!this.#isRunning) return
      this.stop()
      this.#parts.onFatal(error)
    } finally {
      this.#isDraining = false
    }
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
    const last = staged.at(-1)
    const certificates = staged.map(({ final }) => final.certificate)
    if (last !== undefined) validator?.onAdopted(last.head, certificates)
    return refusal
  }

  // --- trust -----------------------------------------------------------------------------------

  #distrust(peer: PeerKey, { code, message }: TarbartaError, where: Facts): void {
    const ignoredMs = limits.SYNC_DISTRUST_MS
    this.#parts.log.warn(code, { peer, ...where, message, ignoredMs })
    this.#distrusted.set(peer, this.#parts.clock.monotonicMs() + ignoredMs)
    this.#abort(peer)
    this.#sync = sync.failed(this.#sync, peer, "lied")
  }

  #isDistrusted(peer: PeerKey): boolean {
    const untilMs = this.#distrusted.get(peer)
    if (untilMs === undefined) return false
    if (this.#parts.clock.monotonicMs() < untilMs) return true
    this.#distrusted.delete(peer)
    return false
  }

  /** One who fails again and again is asked ever more rarely, so that others get their turn. */
  #retryLater(peer: PeerKey, { code, message }: NodeError, where: Facts): void {
    const { log, clock, transport } = this.#parts
    const failures = this.#failures.get(peer) ?? 0
    if (failures === 0) log.warn(code, { peer, ...where, message })
    this.#failures.set(peer, failures + 1)
    this.#sync = sync.failed(this.#sync, peer, code === "STREAM_DEADLINE" ? "slow" : "gone")
    clock.after(Math.min(limits.RETRY_MIN_MS * 2 ** failures, limits.RETRY_MAX_MS), () => {
      if (this.#isRunning && transport.connected().includes(peer)) this.#heights.ask(peer)
    })
  }
}

function rangeOf({ fromHeight, count }: sync.BlocksQuery): { from: number; to: number } {
  return { from: fromHeight, to: fromHeight + count - 1 }
}

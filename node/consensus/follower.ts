/**
 * Keeping up with the chain: what every node does, validators included (LEDGER §11).
 *
 * Nodes tell each other their heights on contact, validators also after every block. Whoever is
 * behind fetches blocks in windows from one peer at a time and believes nothing: every block is
 * verified in full on the directory as it was before it. A peer that sends a wrong block, or claims
 * a height that it cannot show, is left alone for a while. Every node serves what it has.
 */

import { ProtocolError, TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import {
  decodeBlocksAnswer,
  decodeBlocksRequest,
  decodeNumber,
  encodeBlocksAnswer,
  encodeBlocksRequest,
  encodeNumber,
  PROTOCOLS,
} from "../../protocol/wire.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import {
  answered,
  askNext,
  EMPTY_SYNC,
  failed,
  heardHeight,
  verifyAnswer,
  type BlocksQuery,
  type SyncState,
} from "../../ledger/sync.ts"
import { createSlices, type Clock, type Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Finality, Staged } from "./finality.ts"
import type { LedgerLog } from "./submitter.ts"

export interface FollowerParts {
  readonly suite: Suite
  readonly transport: Transport
  readonly clock: Clock
  readonly log: LedgerLog
  readonly store: BlockStore
  readonly finality: Finality
  /** Transport keys of the validators, this node's excepted. */
  readonly validators: () => readonly PeerKey[]
  /** Announces every block to all peers: what a validator does. */
  readonly isValidator: boolean
  /** Fetched blocks up to this head are stored. */
  readonly onAdopted: (head: ChainHead, certificate: Certificate) => void
  /** A stored block cannot be read. */
  readonly onDamage: () => void
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

/** What a peer was told of our height. */
interface Told {
  /** -1 since the last contact: nothing yet. */
  height: number
  isBusy: boolean
  failures: number
  timer: Timer | undefined
}

export class Follower {
  readonly #parts: FollowerParts
  readonly #told = new Map<PeerKey, Told>()
  /** Peers that lied, and until when they are left alone (monotonic ms). */
  readonly #distrusted = new Map<PeerKey, number>()
  /** Failed requests in a row. */
  readonly #failures = new Map<PeerKey, number>()
  #sync: SyncState = EMPTY_SYNC
  #unsubscribe: (() => void) | undefined
  #pollTimer: Timer | undefined
  #polled = 0
  #isRunning = false

  constructor(parts: FollowerParts) {
    this.#parts = parts
  }

  start(): void {
    this.#isRunning = true
    this.#unsubscribe = this.#parts.transport.onContact((peer, state) => {
      if (state === "up") this.#meet(peer)
      else this.#lose(peer)
    })
    for (const peer of this.#parts.transport.connected()) this.#meet(peer)
    this.#schedulePoll()
  }

  stop(): void {
    this.#isRunning = false
    this.#unsubscribe?.()
    this.#pollTimer?.cancel()
    for (const told of this.#told.values()) told.timer?.cancel()
  }

  /** The highest height that is known or claimed by somebody who is not distrusted. */
  heightSeen(): number {
    const claims = [...this.#sync.claims].filter(([peer]) => !this.#isDistrusted(peer))
    return Math.max(this.#parts.store.head.height, ...claims.map(([, height]) => height))
  }

  /** Answers a peer's height with ours. */
  receiveHeight(peer: PeerKey, request: Uint8Array): Uint8Array {
    this.#hear(peer, decodeNumber(request, "height"))
    return encodeNumber(this.#parts.store.head.height)
  }

  /** @throws ProtocolError `CODEC_*`; NodeError `STORE_DAMAGED` when our own copy is broken. */
  async serveBlocks(request: Uint8Array): Promise<Uint8Array> {
    const { fromHeight, count } = decodeBlocksRequest(request)
    const { store, onDamage } = this.#parts
    try {
      return encodeBlocksAnswer(await store.blocks(fromHeight, count, limits.SYNC_ANSWER_BYTES))
    } catch (error) {
      if (error instanceof NodeError && error.code === "STORE_DAMAGED") onDamage()
      throw error
    }
  }

  /** This peer is known to have more than we do. */
  catchUp(peer: PeerKey): void {
    this.#ask(peer)
  }

  /** After a final block of our own making: all who are connected hear of it. */
  announce(): void {
    for (const peer of this.#parts.transport.connected()) this.#tell(peer)
  }

  /** Asks a peer for blocks; used for repairs too. */
  async fetch(peer: PeerKey, fromHeight: number, count: number): Promise<Uint8Array[]> {
    const request = encodeBlocksRequest({ fromHeight, count })
    const answer = await this.#parts.transport.request(peer, PROTOCOLS.blocks, request)
    return decodeBlocksAnswer(answer)
  }

  // --- heights ---------------------------------------------------------------------------------

  #meet(peer: PeerKey): void {
    this.#lose(peer)
    this.#tell(peer)
  }

  #lose(peer: PeerKey): void {
    this.#told.get(peer)?.timer?.cancel()
    this.#told.delete(peer)
  }

  /** Tells a peer our height until it has heard: once per contact, validators after each block. */
  #tell(peer: PeerKey): void {
    const told = this.#told.get(peer) ?? {
      height: -1,
      isBusy: false,
      failures: 0,
      timer: undefined,
    }
    this.#told.set(peer, told)
    if (!this.#isRunning || told.isBusy || told.timer !== undefined) return
    const { height } = this.#parts.store.head
    const isDue = this.#parts.isValidator ? told.height < height : told.height < 0
    if (!isDue) return
    told.isBusy = true
    void this.#exchange(peer, told, height)
  }

  async #exchange(peer: PeerKey, told: Told, height: number): Promise<void> {
    const { transport, clock } = this.#parts
    try {
      const answer = await transport.request(peer, PROTOCOLS.height, encodeNumber(height))
      told.height = height
      told.failures = 0
      this.#hear(peer, decodeNumber(answer, "height answer"))
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      const isConnected = transport.connected().includes(peer)
      if (this.#isRunning && isConnected && this.#told.get(peer) === told) {
        const delayMs = Math.min(limits.RETRY_MIN_MS * 2 ** told.failures, limits.SYNC_POLL_MS)
        told.failures += 1
        told.timer = clock.after(delayMs, () => {
          told.timer = undefined
          this.#tell(peer)
        })
      }
    } finally {
      told.isBusy = false
    }
    if (told.timer === undefined && this.#told.get(peer) === told) this.#tell(peer)
  }

  #hear(peer: PeerKey, height: number): void {
    if (!this.#isRunning || this.#isDistrusted(peer)) return
    this.#sync = heardHeight(this.#sync, peer, height)
    this.#pump()
  }

  /** Without a validator in reach nobody announces: then a peer is asked now and again. */
  #schedulePoll(): void {
    this.#pollTimer = this.#parts.clock.after(limits.SYNC_POLL_MS, () => {
      this.#schedulePoll()
      const { transport, validators, isValidator } = this.#parts
      const peers = transport.connected()
      if (isValidator || validators().some((peer) => peers.includes(peer))) return
      const peer = peers[this.#polled % peers.length]
      this.#polled += 1
      if (peer !== undefined) this.#ask(peer)
    })
  }

  /** Exchanges heights anew, also after a failed request has made a claim void. */
  #ask(peer: PeerKey): void {
    const told = this.#told.get(peer)
    if (told !== undefined) told.height = -1
    this.#tell(peer)
  }

  // --- blocks ----------------------------------------------------------------------------------

  #pump(): void {
    const { state, query } = askNext(this.#sync, this.#parts.store.head.height)
    this.#sync = state
    if (query !== undefined) void this.#catchUp(query)
  }

  async #catchUp(query: BlocksQuery): Promise<void> {
    const { peer } = query
    const window = { ...query, count: Math.min(query.count, limits.SYNC_WINDOW_BLOCKS) }
    try {
      const answer = await this.fetch(peer, window.fromHeight, window.count)
      if (!this.#isRunning) return
      const { finality } = this.#parts
      const refusal = await finality.exclusive(async () => this.#accept(window, answer))
      if (refusal === undefined) {
        this.#sync = answered(this.#sync)
        this.#failures.delete(peer)
      } else {
        this.#distrust(peer, refusal)
      }
    } catch (error) {
      // After an orderly stop the store is closed and refuses what was under way.
      if (!this.#isRunning) return
      if (!(error instanceof TarbartaError) || isDiskFailure(error)) {
        this.stop()
        this.#parts.onFatal(error)
        return
      }
      if (error instanceof ProtocolError) this.#distrust(peer, error)
      else this.#retryLater(peer, error)
    }
    if (this.#isRunning) this.#pump()
  }

  /** Verifies, folds and stores; the refusal of the block at which it ended, if any. */
  async #accept(
    query: BlocksQuery,
    answer: readonly Uint8Array[],
  ): Promise<TarbartaError | undefined> {
    const { suite, clock, finality, onAdopted } = this.#parts
    const giveWay = createSlices(clock, limits.VERIFY_SLICE_MS)
    const staged: Staged[] = []
    let refusal: TarbartaError | undefined
    // Consensus may have brought them meanwhile.
    if (finality.head.height >= query.fromHeight) return undefined
    try {
      const blocks = verifyAnswer(suite, finality.head, query, answer, finality)
      for (const { final, head } of blocks) {
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
    if (last !== undefined) onAdopted(last.head, last.final.certificate)
    return refusal
  }

  #distrust(peer: PeerKey, { code, message }: TarbartaError): void {
    this.#parts.log.warn(code, { peer, message, ignoredMs: limits.SYNC_DISTRUST_MS })
    this.#distrusted.set(peer, this.#parts.clock.monotonicMs() + limits.SYNC_DISTRUST_MS)
    this.#sync = failed(this.#sync, peer)
  }

  #isDistrusted(peer: PeerKey): boolean {
    const untilMs = this.#distrusted.get(peer)
    if (untilMs === undefined) return false
    if (this.#parts.clock.monotonicMs() < untilMs) return true
    this.#distrusted.delete(peer)
    return false
  }

  /** One who fails again and again is asked ever more rarely, so that others get their turn. */
  #retryLater(peer: PeerKey, { code, message }: TarbartaError): void {
    const { log, clock, transport } = this.#parts
    const failures = this.#failures.get(peer) ?? 0
    if (failures === 0) log.warn(code, { peer, message })
    this.#failures.set(peer, failures + 1)
    this.#sync = failed(this.#sync, peer)
    clock.after(Math.min(limits.RETRY_MIN_MS * 2 ** failures, limits.RETRY_MAX_MS), () => {
      if (this.#isRunning && transport.connected().includes(peer)) this.#ask(peer)
    })
  }
}

function isDiskFailure(error: TarbartaError): boolean {
  return error.code === "STORE_FAILED" || error.code === "STORE_FULL"
}

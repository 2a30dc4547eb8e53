/**
 * A mission's own entries on their way to finality (LEDGER §3).
 *
 * The row of an entry is written in the batch that makes its cable durable, and goes in the batch
 * that stores its final block. In between, every validator is sent the entries that it lacks, in
 * signed batches, for ever: an answer names the serial that the validator expects next, so what was
 * lost or refused is sent again from there. Nothing is sent that is not on the disk, because a
 * serial that was shown once must never stand for another entry.
 */

import { equalBytes } from "../../protocol/bytes.ts"
import {
  decodeEntry,
  encodeBatch,
  encodeEntry,
  signBatch,
  type Entry,
  type Signer,
} from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { PROTOCOLS, decodeNumber, encodeSubmitRequest } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { Database, Operation } from "../store/database.ts"
import { numberKey } from "../store/tiles.ts"

const PREFIX = "ledger/w/"
/** Bytes of a batch besides its entries, and of the request around it. */
const FRAME_BYTES = 128

/** What the ledger's parts tell the operator. */
export interface LedgerLog {
  warn(event: string, facts: Readonly<Record<string, string | number>>): void
}

export interface SubmitterParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly database: Database
  readonly transport: Transport
  readonly clock: Clock
  readonly log: LedgerLog
  /** Signs with this mission's submit key. */
  readonly sign: Signer
  /** Transport keys of the validators at the newest height, this node's excepted. */
  readonly validators: () => readonly PeerKey[]
  /** When this node is a validator itself: takes batches as if they had come from a peer. */
  readonly submitHere?: (batches: readonly Uint8Array[]) => Promise<number>
}

/** What is known of one validator. */
interface Feed {
  /** Serial that it is taken to expect. */
  next: number
  isBusy: boolean
  failures: number
  timer: Timer | undefined
  /** Ends the request that is under way. */
  ending: AbortController | undefined
  /** Code of the last failure, so that a lasting one is told once. */
  told: string
}

interface Signed {
  readonly firstSeq: number
  readonly count: number
  readonly bytes: Uint8Array
}

/** Ends a request when its validator is in reach again: it may be stuck on a dead connection. */
const RENEWED = new Error("contact anew")
/** Stands for this node among the validators. */
const HERE = "here"

export class Submitter {
  readonly #parts: SubmitterParts
  readonly #pending = new Map<number, Entry>()
  readonly #feeds = new Map<string, Feed>()
  #unsubscribe: (() => void) | undefined
  /** Newest serial that was loaded or is final; rows are loaded in order, without a hole. */
  #newest = 0
  /**
   * Batches of what waits, by their first serial. Each is cut once and all validators get the same:
   * one whose batches end elsewhere than a final block's drops what it has behind that block.
   */
  readonly #signed = new Map<number, Signed>()
  #isRunning = false
  #quietTimer: Timer | undefined
  #resendTimer: Timer | undefined
  #resendMs = limits.SUBMIT_RESEND_MS
  #lastCutMs = -limits.SUBMIT_QUIET_MS
  #loading: Promise<void> = Promise.resolve()

  constructor(parts: SubmitterParts) {
    this.#parts = parts
  }

  /**
   * The row of an entry, for the batch of whoever gave it its serial; `poke` once it is written.
   */
  entryOperation(entry: Entry): Operation {
    return { type: "put", key: rowKey(entry.submitterSeq), value: encodeEntry(entry) }
  }

  /** Entries that are on the disk and not final, in the order of their serials. */
  pending(): Entry[] {
    return [...this.#pending.values()]
  }

  /**
   * Loads the rows behind `lastFinalSeq`, the newest serial of ours that the stored ledger holds.
   * Older rows, as after a restore from a backup, go now.
   */
  async start(lastFinalSeq: number): Promise<void> {
    this.#newest = lastFinalSeq
    const { database, transport } = this.#parts
    const stale: Operation[] = []
    const until = rowKey(lastFinalSeq + 1)
    for await (const [key] of database.range({ prefix: PREFIX, until })) {
      stale.push({ type: "delete", key })
    }
    if (stale.length > 0) await database.write(stale, { urgent: true })
    await this.#load()
    this.#isRunning = true
    this.#unsubscribe = transport.onContact((peer, state) => {
      if (state === "up") this.#renew(peer)
    }, PROTOCOLS.submit.lane)
    this.#pump()
  }

  stop(): void {
    this.#isRunning = false
    this.#unsubscribe?.()
    this.#quietTimer?.cancel()
    this.#resendTimer?.cancel()
    for (const feed of this.#feeds.values()) feed.timer?.cancel()
  }

  /** New rows were written. The first after a quiet spell goes at once, a burst goes together. */
  async poke(): Promise<void> {
    // One after another, so that a later poke never sees fewer rows than an earlier one.
    this.#loading = this.#loading.then(async () => this.#load())
    await this.#loading
    this.#pump()
  }

  /** Removals of rows, for the batch of the block that makes these entries final. */
  finalOperations(entries: readonly Entry[]): Operation[] {
    return entries.filter((entry) => this.#pending.has(entry.submitterSeq)).map(rowRemoval)
  }

  /**
   * These entries of ours stand in a stored final block.
   *
   * @returns true when one of them did not wait here, as after a restore: `poke` then.
   */
  settle(entries: readonly Entry[]): boolean {
    let isNews = false
    for (const entry of entries) {
      this.#newest = Math.max(this.#newest, entry.submitterSeq)
      const own = this.#pending.get(entry.submitterSeq)
      if (own === undefined) {
        isNews = true
        continue
      }
      this.#pending.delete(entry.submitterSeq)
      this.#signed.delete(entry.submitterSeq)
      if (!equalBytes(encodeEntry(own), encodeEntry(entry))) {
        // Somebody else signs with our submit key, or this node was restored from a backup.
        this.#parts.log.warn("SUBMIT_CONFLICT", { serial: entry.submitterSeq })
      }
    }
    this.#resendMs = limits.SUBMIT_RESEND_MS
    this.#resendTimer?.cancel()
    this.#resendTimer = undefined
    if (this.#pending.size > 0) this.#pump()
    return isNews
  }

  async #load(): Promise<void> {
    const from = rowKey(this.#newest + 1)
    for await (const [, value] of this.#parts.database.range({ prefix: PREFIX, from })) {
      const entry = decodeEntry(this.#parts.suite, value)
      // Writes may finish out of order; what stands behind a hole waits for a later poke.
      if (entry.submitterSeq !== this.#newest + 1) break
      this.#newest = entry.submitterSeq
      this.#pending.set(entry.submitterSeq, entry)
    }
  }

  /** Sends what there is, or waits for the end of a burst. */
  #pump(): void {
    if (!this.#isRunning || this.#pending.size === 0 || this.#quietTimer !== undefined) return
    const sinceMs = this.#parts.clock.monotonicMs() - this.#lastCutMs
    if (sinceMs < limits.SUBMIT_QUIET_MS) {
      this.#quietTimer = this.#parts.clock.after(limits.SUBMIT_QUIET_MS - sinceMs, () => {
        this.#quietTimer = undefined
        this.#pump()
      })
      return
    }
    this.#lastCutMs = this.#parts.clock.monotonicMs()
    if (this.#parts.submitHere !== undefined) this.#wake(HERE)
    for (const peer of this.#parts.validators()) this.#wake(peer)
    this.#resendTimer ??= this.#parts.clock.after(this.#resendMs, () => this.#resend())
  }

  /** What was sent long ago and is not final may be lost: all of it goes again. */
  #resend(): void {
    this.#resendTimer = undefined
    this.#resendMs = Math.min(2 * this.#resendMs, limits.RETRY_MAX_MS)
    for (const feed of this.#feeds.values()) feed.next = 0
    this.#pump()
  }

  /** A peer is back, and may have forgotten what it had not put into a block. */
  #renew(peer: PeerKey): void {
    const feed = this.#feeds.get(peer)
    if (feed !== undefined) {
      feed.next = 0
      feed.failures = 0
      feed.timer?.cancel()
      feed.timer = undefined
      feed.ending?.abort(RENEWED)
    }
    if (this.#pending.size > 0 && this.#parts.validators().includes(peer)) this.#wake(peer)
  }

  #wake(peer: string): void {
    const feed = this.#feeds.get(peer) ?? newFeed()
    this.#feeds.set(peer, feed)
    if (feed.isBusy || feed.timer !== undefined) return
    feed.isBusy = true
    void this.#feed(peer, feed)
  }

  async #feed(peer: string, feed: Feed): Promise<void> {
    try {
      for (let some = this.#cut(feed.next); some.length > 0; some = this.#cut(feed.next)) {
        const serial = some[0]?.firstSeq ?? 0
        const batches = some.map(({ bytes }) => bytes)
        const next = await this.#send(peer, batches, feed)
        if (!this.#isRunning) break
        feed.next = next
        if (next <= serial) {
          this.#pause(peer, feed, "SUBMIT_EXPECTS", { expected: next, serial })
          break
        }
        feed.failures = 0
        feed.told = ""
      }
    } catch (error) {
      if (error instanceof TarbartaError) {
        this.#pause(peer, feed, error.code, { message: error.message })
      } else if (error !== RENEWED) {
        throw error
      }
    } finally {
      feed.isBusy = false
    }
    // Entries may have come between the last cut and now.
    if (feed.timer === undefined && this.#cut(feed.next).length > 0) this.#wake(peer)
  }

  async #send(peer: string, some: readonly Uint8Array[], feed: Feed): Promise<number> {
    const { submitHere, transport } = this.#parts
    if (peer === HERE && submitHere !== undefined) return submitHere(some)
    const request = encodeSubmitRequest(some)
    // A lost request must not hold the feed for as long as a long one may take on a thin line.
    const patienceMs = limits.RETRY_MIN_MS * 2 ** (feed.failures + 1)
    const timeMs = (1_000 * request.length) / limits.SYNC_POOR_BYTES_PER_S
    const timeoutMs = Math.min(timeMs + patienceMs, PROTOCOLS.submit.timeoutMs)
    feed.ending = new AbortController()
    const { signal } = feed.ending
    const answer = await transport.request(peer, PROTOCOLS.submit, request, { timeoutMs, signal })
    return decodeNumber(answer, "submit answer")
  }

  #pause(peer: string, feed: Feed, code: string, facts: Record<string, string | number>): void {
    if (!this.#isRunning) return
    if (feed.told !== code) this.#parts.log.warn(code, { peer, ...facts })
    feed.told = code
    const delayMs = Math.min(limits.RETRY_MIN_MS * 2 ** feed.failures, limits.RETRY_MAX_MS)
    feed.failures += 1
    feed.timer = this.#parts.clock.after(delayMs, () => {
      feed.timer = undefined
      if (this.#pending.size > 0) this.#wake(peer)
    })
  }

  /** Serial of the oldest entry that waits; rows are loaded, and mostly leave, in order. */
  #oldest(): number {
    return this.#pending.keys().next().value ?? this.#newest + 1
  }

  /** Signed batches of the entries from serial `next` on, or from the oldest one that waits. */
  #cut(next: number): Signed[] {
    const batches: Signed[] = []
    if (!this.#isRunning || this.#pending.size === 0) return batches
    let length = 0
    for (let seq = Math.max(next, this.#oldest()); seq <= this.#newest;) {
      const batch = this.#batchFrom(seq)
      if (batch === undefined) break
      length += batch.bytes.length
      if (batches.length > 0 && length > limits.SUBMIT_BYTES) break
      batches.push(batch)
      if (batches.length === limits.SUBMIT_BATCHES_MAX) break
      seq += batch.count
    }
    return batches
  }

  /** The signed batch that begins here; it ends where another begins that was cut before. */
  #batchFrom(firstSeq: number): Signed | undefined {
    const known = this.#signed.get(firstSeq)
    if (known !== undefined) return known
    const entries: Entry[] = []
    let length = FRAME_BYTES
    for (let seq = firstSeq; seq <= this.#newest; seq++) {
      const entry = this.#pending.get(seq)
      if (entry === undefined || entries.length === limits.BATCH_ENTRIES_MAX) break
      length += 2 + limits.ENTRY_HEAD_BYTES + entry.payload.length
      if (length > limits.BATCH_BYTES_MAX || this.#signed.has(seq)) break
      entries.push(entry)
    }
    const count = entries.length
    if (count === 0) return undefined
    const { suite, chainId, sign } = this.#parts
    const signed = { firstSeq, count, bytes: encodeBatch(signBatch(suite, chainId, entries, sign)) }
    this.#signed.set(firstSeq, signed)
    return signed
  }
}

function newFeed(): Feed {
  return { next: 0, isBusy: false, failures: 0, timer: undefined, ending: undefined, told: "" }
}

function rowKey(seq: number): string {
  return `${PREFIX}${numberKey(seq)}`
}

function rowRemoval(entry: Entry): Operation {
  return { type: "delete", key: rowKey(entry.submitterSeq) }
}

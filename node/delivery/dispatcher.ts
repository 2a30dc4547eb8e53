/**
 * Dispatcher: carries queued copies to their addressees, highest precedence first.
 *
 * One worker an addressee. A copy that the addressee's disk has waits for the signed receipt and is
 * offered again when that does not come; an addressee out of reach gets its copy by a relay as
 * well. Retries go on for ever with a growing wait that any contact cuts short. What is in memory
 * here is only what is under way: after a restart the queue rows are all there is to know.
 */

import { assert } from "../../protocol/assert.ts"
import type { Directory, Mission } from "../../protocol/directory.ts"
import { encodeCopy } from "../../protocol/copy.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import {
  decodeCopyStatus,
  encodeCopyRequest,
  PROTOCOLS,
  type CopyStatus,
} from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Transport } from "../network/transport.ts"
import type { Database } from "../store/database.ts"
import { isDisk } from "./receipts.ts"
import { fromHex, isQueuedAsFlash, KEYS, parseRow, type CableId, type WrapRow } from "./rows.ts"
import type { Sent } from "./sent.ts"

export interface DispatcherParts {
  readonly database: Database
  readonly clock: Clock
  readonly directory: Directory
  readonly transport: Transport
  readonly sent: Sent
  readonly rid: () => number | undefined
  readonly height: () => number
  readonly peerOf: (rid: number) => string | undefined
  readonly onFatal: (error: unknown) => void
}

/** Copies under way to one addressee at once. */
const WINDOW = 16
/** Queue rows looked at in one go. */
const SCAN = 128
/** A copy that is stored there and still unreceipted is offered again after this. */
const RECEIPT_WAIT_MS = 60_000
/** Beginnings of the codes by which an addressee judges the copy itself: those are final. */
const FINAL_REFUSALS: readonly string[] = [
  "CABLE_",
  "CHUNKED_",
  "CODEC_",
  "DIRECTORY_REVOKED",
  "ENVELOPE_",
  "EPOCH_KEY_MISSING",
  "HPKE_",
  "RELEASE_",
  "SIGNATURE_",
  "WIRE_",
]

/**
 * True when the addressee will never take this copy. Every other refusal, a failing disk there
 * above all, is one that time may mend.
 */
export function isFinalRefusal(code: string): boolean {
  return FINAL_REFUSALS.some((beginning) => code.startsWith(beginning))
}

interface Worker {
  readonly rid: number
  isRunning: boolean
  isAgain: boolean
  /** FLASH or higher came meanwhile: the walk through the queue starts over. */
  isUrgent: boolean
  timer: Timer | undefined
  waitMs: number
  /** Ids that the addressee has stored, and until when its receipt is awaited. */
  readonly awaited: Map<CableId, number>
  /**
   * Last row of each precedence's queue that is carried, like all before it: where the walk goes on
   * when something new is queued.
   */
  readonly carried: Map<string, string>
  /** What was carried may have to be offered again: the next walk begins at the first row. */
  isAfresh: boolean
}

/** One walk through an addressee's queue. */
interface Pass {
  readonly mission: Mission
  /** FLASH or higher waits: the wait between two tries is shorter. */
  isFlash: boolean
  /** The addressee did not answer: the rest goes to relays only. */
  isAway: boolean
  /** Nobody takes copies: the rest waits. */
  isStuck: boolean
  /** Something must be tried again later. */
  isRetry: boolean
}

/** `stored` there, try again (`retry`), out of reach (`away`), or refused for good (`final`). */
type Offered = "stored" | "retry" | "away" | "final"

export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #workers = new Map<number, Worker>()
  #isStopped = false

  constructor(parts: DispatcherParts) {
    this.#parts = parts
  }

  async start(): Promise<void> {
    const rids = new Set<number>()
    for await (const [key] of this.#parts.database.range({ prefix: KEYS.queuePrefix })) {
      rids.add(Number(key.split("/")[1]))
    }
    for (const rid of rids) this.wake(rid)
  }

  stop(): void {
    this.#isStopped = true
    for (const worker of this.#workers.values()) worker.timer?.cancel()
  }

  /** Something is queued for this addressee; what is `urgent` waits for nothing behind it. */
  wake(rid: number, urgent = false): void {
    const worker = this.#worker(rid)
    worker.isUrgent ||= urgent
    this.#start(worker)
  }

  /** The addressee's node is in contact: no more waiting. */
  contact(rid: number): void {
    const worker = this.#workers.get(rid)
    if (worker === undefined) return
    worker.waitMs = limits.RETRY_MIN_MS
    worker.awaited.clear()
    worker.isAfresh = true
    this.#start(worker)
  }

  /** A receipt settled this cable. */
  settled(rid: number, id: CableId): void {
    this.#workers.get(rid)?.awaited.delete(id)
  }

  #worker(rid: number): Worker {
    const known = this.#workers.get(rid)
    if (known !== undefined) return known
    const worker: Worker = {
      rid,
      isRunning: false,
      isAgain: false,
      isUrgent: false,
      timer: undefined,
      waitMs: limits.RETRY_MIN_MS,
      awaited: new Map(),
      carried: new Map(),
      isAfresh: true,
    }
    this.#workers.set(rid, worker)
    return worker
  }

  #start(worker: Worker): void {
    if (this.#isStopped) return
    worker.timer?.cancel()
    worker.timer = undefined
    if (worker.isRunning) {
      worker.isAgain = true
      return
    }
    worker.isRunning = true
    this.#run(worker).catch(this.#parts.onFatal)
  }

  async #run(worker: Worker): Promise<void> {
    let pass: Pass
    do {
      worker.isAgain = false
      worker.isUrgent = false
      if (worker.isAfresh) worker.carried.clear()
      worker.isAfresh = false
      pass = await this.#pass(worker)
    } while (worker.isAgain && !pass.isRetry && !this.#isStopped)
    // Now and not a turn later: who wakes us from here on finds nobody running.
    worker.isRunning = false
    if (this.#isStopped) return
    // What came meanwhile has not been tried yet.
    if (worker.isAgain) worker.waitMs = limits.RETRY_MIN_MS
    const longestMs = pass.isFlash ? limits.RETRY_MAX_FLASH_MS : limits.RETRY_MAX_MS
    const dueMs = pass.isRetry ? Math.min(worker.waitMs, longestMs) : this.#nextDue(worker)
    worker.waitMs = pass.isRetry ? Math.min(worker.waitMs * 2, longestMs) : limits.RETRY_MIN_MS
    if (dueMs === undefined) return
    worker.timer = this.#parts.clock.after(dueMs, () => {
      worker.isAfresh = true
      this.#start(worker)
    })
  }

  #nextDue(worker: Worker): number | undefined {
    if (worker.awaited.size === 0) return undefined
    const earliest = Math.min(...worker.awaited.values())
    return Math.max(limits.RETRY_MIN_MS, earliest - this.#parts.clock.monotonicMs())
  }

  /** Carries what is queued, the highest precedence first. */
  async #pass(worker: Worker): Promise<Pass> {
    const mission = this.#parts.directory.mission(worker.rid)
    assert(mission !== undefined, "cables are queued for missions of the directory")
    const pass: Pass = { mission, isFlash: false, isAway: false, isStuck: false, isRetry: false }
    for (const prefix of KEYS.queuesOf(worker.rid)) {
      await this.#walk(prefix, pass, worker)
      // A higher precedence that came meanwhile starts the walk over.
      if (pass.isStuck || worker.isAgain || this.#isStopped) break
    }
    worker.isAfresh ||= pass.isRetry
    return pass
  }

  /** Walks through the queue of one precedence, a window at a time. */
  async #walk(prefix: string, pass: Pass, worker: Worker): Promise<void> {
    const { database, clock } = this.#parts
    const running = new Set<Promise<void>>()
    for (;;) {
      const from = worker.carried.get(prefix)
      const rows: [string, CableId][] = []
      const range = {
        prefix,
        limit: SCAN,
        ...(from === undefined ? {} : { from: `${from}\x01` }),
      }
      for await (const [key, value] of database.range(range)) {
        rows.push([key, parseRow<{ id: CableId }>(key, value).id])
      }
      pass.isFlash ||= rows.some(([key]) => isQueuedAsFlash(key))
      for (const [, id] of rows) {
        if (pass.isStuck || worker.isUrgent || this.#isStopped) break
        const until = worker.awaited.get(id)
        if (until !== undefined && until > clock.monotonicMs()) continue
        const job: Promise<void> = this.#carry(id, pass, worker).finally(() => running.delete(job))
        running.add(job)
        if (running.size >= WINDOW) await Promise.race(running)
      }
      await Promise.all(running)
      if (pass.isStuck || worker.isUrgent || this.#isStopped) return
      const last = rows.at(-1)?.[0]
      if (last !== undefined) worker.carried.set(prefix, last)
      if (rows.length < SCAN || worker.isAgain) return
    }
  }

  /** One copy, one try: to the addressee, and to a relay when the addressee is out of reach. */
  async #carry(id: CableId, pass: Pass, worker: Worker): Promise<void> {
    const { sent, directory, height, clock } = this.#parts
    const { rid } = pass.mission
    if (directory.isRevoked(pass.mission, height())) {
      await sent.note(id, rid, { state: "refused", reason: "revoked" })
      return
    }
    // A backlog that relays hold already is not read again for every retry.
    if (pass.isAway && (await sent.relaysOf(id, rid)).length > 0) {
      pass.isRetry = true
      return
    }
    const found = await sent.copyOf(id, rid)
    if (found === undefined) return
    const request = encodeCopyRequest(bytesOf(found.row, found.wrap, found.body))
    const outcome = pass.isAway ? "away" : await this.#offer(id, rid, request)
    if (outcome === "stored") worker.awaited.set(id, clock.monotonicMs() + RECEIPT_WAIT_MS)
    if (outcome === "retry" || outcome === "away") pass.isRetry = true
    if (outcome === "away") {
      pass.isAway = true
      if (!(await this.#relay(id, rid, request))) pass.isStuck = true
    }
  }

  async #offer(id: CableId, rid: number, request: Uint8Array): Promise<Offered> {
    const { sent, transport, peerOf } = this.#parts
    const peer = peerOf(rid)
    if (peer === undefined) return "away"
    try {
      const answer = await transport.request(peer, PROTOCOLS.deliver, request)
      const status: CopyStatus = decodeCopyStatus(answer)
      if (status === "later") return "retry"
      sent.stored(id, rid)
      return "stored"
    } catch (error) {
      if (!(error instanceof TarbartaError) || isDisk(error)) throw error
      // Bytes that are no answer: that node is not well, which is no reason to end ours.
      if (!(error instanceof NodeError)) return "retry"
      if (error.code !== "REQUEST_REFUSED") return error.code === "NODE_BUSY" ? "retry" : "away"
      const reason = error.refusal ?? error.code
      const isFinal = isFinalRefusal(reason)
      await sent.note(id, rid, isFinal ? { state: "refused", reason } : { reason })
      return isFinal ? "final" : "retry"
    }
  }

  /**
   * Puts a copy with the first member that takes it: headquarters, else any that is in contact.
   * False when nobody is there to take it.
   */
  async #relay(id: CableId, rid: number, request: Uint8Array): Promise<boolean> {
    const { transport, sent } = this.#parts
    const held = await sent.relaysOf(id, rid)
    if (held.length > 0) return true
    for (const relay of this.#relays(rid)) {
      try {
        const answer = await transport.request(relay.peer, PROTOCOLS.relay, request)
        if (decodeCopyStatus(answer) === "later") continue
        await sent.note(id, rid, { state: "relayed", relay: relay.rid })
        return true
      } catch (error) {
        // This relay will not or cannot; the next one may. The direct retry goes on anyway.
        if (!(error instanceof TarbartaError) || isDisk(error)) throw error
      }
    }
    await sent.note(id, rid, { reason: "out of reach" })
    return false
  }

  #relays(rid: number): { rid: number; peer: string }[] {
    const { directory, transport, height, peerOf } = this.#parts
    const self = this.#parts.rid()
    const connected = new Set(transport.connected())
    return directory
      .missions()
      .filter((one) => one.rid !== rid && one.rid !== self && !directory.isRevoked(one, height()))
      .flatMap((one) => {
        const peer = peerOf(one.rid)
        return peer !== undefined && connected.has(peer) ? [{ rid: one.rid, peer }] : []
      })
      .toSorted((a, b) => a.rid - b.rid)
  }
}

function bytesOf(
  row: { readonly header: string; readonly signature: string },
  wrap: WrapRow,
  body: Uint8Array,
): Uint8Array {
  return encodeCopy({
    header: fromHex(row.header),
    signature: fromHex(row.signature),
    rid: wrap.rid,
    epoch: wrap.epoch,
    ekHash: fromHex(wrap.ekHash),
    precedence: wrap.precedence,
    wrap: fromHex(wrap.wrap),
    index: wrap.index,
    path: fromHex(wrap.path),
    body,
  })
}

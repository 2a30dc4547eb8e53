/**
 * Relay: keeps copies for members that are away, and hands them over when they are back.
 *
 * It checks what anybody can check (header, signature, path, body) and holds ciphertext only. A
 * copy goes when the addressee's disk has it, when it has expired, or when the addressee is
 * revoked. All of it together is bounded; beyond that the sender is told, and keeps its copy as it
 * does anyway.
 */

import { decodeCopy, verifyCopy } from "../../protocol/copy.ts"
import type { Directory } from "../../protocol/directory.ts"
import { ProtocolError, TarbartaError } from "../../protocol/errors.ts"
import { decodeHeader } from "../../protocol/header.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import {
  decodeCopyRequest,
  decodeCopyStatus,
  encodeCopyRequest,
  encodeCopyStatus,
  PROTOCOLS,
} from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Transport } from "../network/transport.ts"
import type { Database } from "../store/database.ts"
import { isFinalRefusal } from "./dispatcher.ts"
import { keyLookups } from "./lookups.ts"
import { isDisk } from "./receipts.ts"
import { KEYS, putBytes, remove, toHex } from "./rows.ts"

export interface RelayParts {
  readonly database: Database
  readonly suite: Suite
  readonly clock: Clock
  readonly directory: Directory
  readonly transport: Transport
  readonly rid: () => number | undefined
  readonly height: () => number
  readonly peerOf: (rid: number) => string | undefined
  readonly onFatal: (error: unknown) => void
}

/** A copy that its addressee could not take yet is offered again after this. */
const RETRY_MS = 30_000
/** How often copies that nobody will fetch any more are looked for. */
const SWEEP_MS = 6 * 3_600_000

export class Relay {
  readonly #parts: RelayParts
  readonly #running = new Set<number>()
  /** Copies came for these members while others were being handed over. */
  readonly #again = new Set<number>()
  readonly #storing = new Set<string>()
  readonly #timers = new Map<number, Timer>()
  #sweepTimer: Timer | undefined
  #bytes = 0
  #count = 0
  #isStopped = false

  constructor(parts: RelayParts) {
    this.#parts = parts
  }

  /** Before the first copy comes: counts what is held. */
  async load(): Promise<void> {
    for await (const [, value] of this.#parts.database.range({ prefix: KEYS.relayPrefix })) {
      this.#bytes += value.length
      this.#count += 1
    }
  }

  /** From now on, copies whose time or addressee is gone are dropped now and then. */
  start(): void {
    this.#sweepTimer = this.#parts.clock.after(SWEEP_MS, () => {
      this.#sweep().catch(this.#parts.onFatal)
      if (!this.#isStopped) this.start()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#sweepTimer?.cancel()
    for (const timer of this.#timers.values()) timer.cancel()
  }

  /** Copies kept for others at this moment. */
  get held(): number {
    return this.#count
  }

  /** Handler of the relay protocol: answers when the disk has the copy. */
  async receive(request: Uint8Array): Promise<Uint8Array> {
    const { database, suite, directory, clock, height } = this.#parts
    const bytes = decodeCopyRequest(request)
    const copy = decodeCopy(bytes)
    const { core } = decodeHeader(suite, copy.header)
    const sender = directory.missionBySigner(core.signerKid)
    const addressee = directory.mission(copy.rid)
    if (sender === undefined || addressee === undefined) return encodeCopyStatus("later")
    for (const mission of [sender, addressee]) {
      if (!directory.isRevoked(mission, height())) continue
      throw new ProtocolError("DIRECTORY_REVOKED", `mission ${mission.facts.code} is revoked`)
    }
    if (copy.rid === this.#parts.rid()) {
      throw new NodeError("CABLE_REFUSED", "a copy for this mission itself is not for its relay")
    }
    const { cableId } = verifyCopy(suite, copy, keyLookups(directory))
    if (core.expiresMs <= clock.now()) {
      throw new ProtocolError("ENVELOPE_EXPIRED", "envelope copy has expired")
    }
    const key = KEYS.relayCopy(copy.rid, copy.precedence, toHex(cableId))
    // The same copy twice at once: the second comes back when the first is on the disk.
    if (this.#storing.has(key)) return encodeCopyStatus("later")
    this.#storing.add(key)
    try {
      if ((await database.get(key)) !== undefined) return encodeCopyStatus("duplicate")
      await this.#store(key, bytes)
    } finally {
      this.#storing.delete(key)
    }
    this.contact(copy.rid)
    return encodeCopyStatus("stored")
  }

  async #store(key: string, bytes: Uint8Array): Promise<void> {
    if (this.#bytes + bytes.length > limits.RELAY_BYTES_MAX) {
      throw new NodeError("STORE_FULL", `relay holds ${this.#bytes} bytes for others already`)
    }
    // Counted before it is written: many at once must not pass the bound together.
    this.#bytes += bytes.length
    this.#count += 1
    try {
      await this.#parts.database.write([putBytes(key, bytes)])
    } catch (error) {
      this.#bytes -= bytes.length
      this.#count -= 1
      throw error
    }
  }

  /** The member is in contact, or may be: hands over what is here for it. */
  contact(rid: number): void {
    const peer = this.#parts.peerOf(rid)
    if (peer === undefined || this.#isStopped) return
    if (this.#running.has(rid)) {
      this.#again.add(rid)
      return
    }
    if (!this.#parts.transport.connected().includes(peer)) return
    this.#running.add(rid)
    this.#timers.get(rid)?.cancel()
    this.#serve(rid, peer).catch(this.#parts.onFatal)
  }

  async #serve(rid: number, peer: string): Promise<void> {
    this.#again.delete(rid)
    const isAll = await this.#handOver(rid, peer)
    this.#running.delete(rid)
    if (this.#isStopped) return
    if (isAll && this.#again.has(rid)) return this.contact(rid)
    if (isAll) return
    const timer = this.#parts.clock.after(RETRY_MS, () => this.contact(rid))
    this.#timers.set(rid, timer)
  }

  /** False when a copy is left that the addressee could not take yet. */
  async #handOver(rid: number, peer: string): Promise<boolean> {
    let isAll = true
    for await (const [key, bytes] of this.#parts.database.range({ prefix: KEYS.relayOf(rid) })) {
      if (this.#isStopped) return true
      const outcome = this.#isExpired(bytes) ? "done" : await this.#offer(peer, bytes)
      if (outcome === "away") return false
      if (outcome === "done") await this.#drop(key, bytes)
      else isAll = false
    }
    return isAll
  }

  /** One try: it is `done` with, `later` perhaps, or the addressee is `away`. */
  async #offer(peer: string, bytes: Uint8Array): Promise<"done" | "later" | "away"> {
    const { transport } = this.#parts
    try {
      const answer = await transport.request(peer, PROTOCOLS.deliver, encodeCopyRequest(bytes))
      return decodeCopyStatus(answer) === "later" ? "later" : "done"
    } catch (error) {
      if (!(error instanceof TarbartaError) || isDisk(error)) throw error
      // Bytes that are no answer: that node is not well, which is no reason to end ours.
      if (!(error instanceof NodeError)) return "later"
      if (error.code === "NODE_BUSY") return "later"
      if (error.code !== "REQUEST_REFUSED") return "away"
      // A copy that is refused for good is the sender's affair; the sender offers it too.
      return isFinalRefusal(error.refusal ?? error.code) ? "done" : "later"
    }
  }

  async #sweep(): Promise<void> {
    const { database, directory, height } = this.#parts
    for await (const [key, bytes] of database.range({ prefix: KEYS.relayPrefix })) {
      if (this.#isStopped) return
      const rid = Number(key.split("/")[1])
      const addressee = directory.mission(rid)
      const isRevoked = addressee !== undefined && directory.isRevoked(addressee, height())
      if ((isRevoked || this.#isExpired(bytes)) && !this.#running.has(rid)) {
        await this.#drop(key, bytes)
      }
    }
  }

  async #drop(key: string, bytes: Uint8Array): Promise<void> {
    await this.#parts.database.write([remove(key)], { urgent: true })
    this.#bytes -= bytes.length
    this.#count -= 1
  }

  #isExpired(bytes: Uint8Array): boolean {
    const { suite, clock } = this.#parts
    return decodeHeader(suite, decodeCopy(bytes).header).core.expiresMs <= clock.now()
  }
}

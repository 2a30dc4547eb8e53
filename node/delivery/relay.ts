/**
 * Relay: keeps copies for members that are away, and hands them over when they are back.
 *
 * It checks what anybody can check (header, signature, path, body) and holds ciphertext only. A copy
 * goes when the addressee's disk has it, when it has expired, or when the addressee is revoked. All
 * of it together is bounded; beyond that the sender is told, and keeps its copy as it does anyway.
 */

import { decodeCopy, verifyCopy } from "../../protocol/copy.ts"
import type { Directory } from "../../protocol/directory.ts"
import { ProtocolError } from "../../protocol/errors.ts"
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
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Transport } from "../network/transport.ts"
import type { Database } from "../store/database.ts"
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

export class Relay {
  readonly #parts: RelayParts
  readonly #running = new Set<number>()
  #bytes = 0
  #count = 0
  #isStopped = false

  constructor(parts: RelayParts) {
    this.#parts = parts
  }

  async start(): Promise<void> {
    for await (const [, value] of this.#parts.database.range({ prefix: KEYS.relayPrefix })) {
      this.#bytes += value.length
      this.#count += 1
    }
  }

  stop(): void {
    this.#isStopped = true
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
    if ((await database.get(key)) !== undefined) return encodeCopyStatus("duplicate")
    if (this.#bytes + bytes.length > limits.RELAY_BYTES_MAX) {
      throw new NodeError("STORE_FULL", `relay holds ${this.#bytes} bytes for others already`)
    }
    await database.write([putBytes(key, bytes)])
    this.#bytes += bytes.length
    this.#count += 1
    this.contact(copy.rid)
    return encodeCopyStatus("stored")
  }

  /** The member is in contact, or may be: hands over what is here for it. */
  contact(rid: number): void {
    const peer = this.#parts.peerOf(rid)
    if (peer === undefined || this.#running.has(rid) || this.#isStopped) return
    if (!this.#parts.transport.connected().includes(peer)) return
    this.#running.add(rid)
    this.#handOver(rid, peer)
      .catch(this.#parts.onFatal)
      .finally(() => this.#running.delete(rid))
  }

  async #handOver(rid: number, peer: string): Promise<void> {
    const { database, transport, clock, suite } = this.#parts
    for await (const [key, bytes] of database.range({ prefix: KEYS.relayOf(rid) })) {
      if (this.#isStopped) return
      const { core } = decodeHeader(suite, decodeCopy(bytes).header)
      let isDone = core.expiresMs <= clock.now()
      if (!isDone) {
        try {
          const answer = await transport.request(peer, PROTOCOLS.deliver, encodeCopyRequest(bytes))
          isDone = decodeCopyStatus(answer) !== "later"
        } catch (error) {
          if (!(error instanceof NodeError) || isDisk(error)) throw error
          // A copy that its addressee refuses is the sender's affair; the sender offers it too.
          if (error.code !== "REQUEST_REFUSED") return
          isDone = true
        }
      }
      if (!isDone) continue
      await database.write([remove(key)], { urgent: true })
      this.#bytes -= bytes.length
      this.#count -= 1
    }
  }
}

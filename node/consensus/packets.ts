/**
 * What goes to the other validators (LEDGER §8.4): messages of one turn in one packet, to each peer
 * apart.
 *
 * Nothing is kept for a peer out of contact, and little for a slow one: the oldest goes first,
 * because what is still needed is said again. Blocks that would hold up votes and signals travel on
 * the bulk lane. A proposal that is under way is not sent beside itself, and what waits is dropped
 * for a newer one: a slow line has nothing to spare for what nobody can vote for any more.
 */

import type { Block } from "../../ledger/block.ts"
import { encodePacket, PACKET_HEAD_BYTES, type Message } from "../../ledger/message.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import {
  BLOCK_QUEUE_MAX,
  FRAME_BYTES_MAX,
  PACKET_MESSAGES_MAX,
  PACKET_QUEUE_MAX,
  PACKET_TIMEOUT_MS,
  PACKETS_IN_FLIGHT_MAX,
} from "../../protocol/limits.ts"
import { PROTOCOLS } from "../../protocol/wire.ts"
import type { PeerKey, ProtocolSpec, Transport } from "../network/transport.ts"

export interface PacketsParts {
  readonly transport: Pick<Transport, "request" | "connected">
  readonly epoch: number
  readonly finalView: () => number
  /** Nonce of our run (LEDGER §9.4). */
  readonly run: Uint8Array
  /** Transport key of each validator, by its number; undefined for ourselves. */
  readonly peers: readonly (PeerKey | undefined)[]
  /** A validator has answered a packet. @throws as decoders do. */
  readonly onAnswer: (peer: PeerKey, answer: Uint8Array) => void
  /** Something that is no refusal went wrong. */
  readonly onBug: (error: unknown) => void
}

/** An encoded message, and the block if it proposes one. */
interface Item {
  readonly bytes: Uint8Array
  readonly proposed: Block | undefined
}

/** Where a message goes, and what it was before it was encoded. */
interface Addressed {
  readonly to?: number
  readonly except?: number
  readonly message?: Message
}

/** What waits for one validator, and how much is on its way. */
interface Lane {
  readonly protocol: ProtocolSpec
  readonly bytesMax: number
  readonly queueMax: number
  readonly inFlightMax: number
  /** After which a packet gives up its place; it may arrive all the same. */
  readonly timeoutMs: number
  queue: Item[]
  inFlight: number
  /** Blocks of proposals that are on their way. */
  readonly underWay: Set<Block>
}

interface Line {
  readonly peer: PeerKey
  readonly votes: Lane
  readonly blocks: Lane
}

export class Packets {
  readonly #parts: PacketsParts
  readonly #lines: readonly (Line | undefined)[]
  /** Bytes sent since the start, for whoever measures. */
  sentBytes = 0

  constructor(parts: PacketsParts) {
    this.#parts = parts
    this.#lines = parts.peers.map((peer) => {
      if (peer === undefined) return undefined
      const votes = {
        ...laneOf(PROTOCOLS.consensus, PACKET_QUEUE_MAX, PACKETS_IN_FLIGHT_MAX),
        timeoutMs: PACKET_TIMEOUT_MS,
      }
      return { peer, votes, blocks: laneOf(PROTOCOLS.proposal, BLOCK_QUEUE_MAX, 1) }
    })
  }

  /** Puts an encoded message into the next packet for some, or for all but one. */
  add(bytes: Uint8Array, { to, except, message }: Addressed): void {
    const isSmall = PACKET_HEAD_BYTES + bytes.length <= FRAME_BYTES_MAX
    const proposed = message?.type === "proposal" ? message.block : undefined
    for (const [index, line] of this.#lines.entries()) {
      if (line === undefined || index === except) continue
      if (to !== undefined && to !== index) continue
      const lane = isSmall ? line.votes : line.blocks
      if (proposed !== undefined) {
        if (lane.underWay.has(proposed)) continue
        for (const other of [line.votes, line.blocks]) {
          other.queue = other.queue.filter((item) => item.proposed === undefined)
        }
      }
      lane.queue.push({ bytes, proposed })
      if (lane.queue.length > lane.queueMax) lane.queue.shift()
    }
  }

  /** Sends what was added, in each lane by itself: a vote does not wait for a bulk connection. */
  flush(): void {
    for (const name of ["votes", "blocks"] as const) {
      const waiting = this.#lines.flatMap((line) => {
        return line === undefined || line[name].queue.length === 0 ? [] : [line]
      })
      if (waiting.length === 0) continue
      const connected = new Set(this.#parts.transport.connected(waiting[0]?.[name].protocol.lane))
      for (const { peer, [name]: lane } of waiting) {
        if (!connected.has(peer)) lane.queue = []
        this.#pump(peer, lane)
      }
    }
  }

  #pump(peer: PeerKey, lane: Lane): void {
    while (lane.queue.length > 0 && lane.inFlight < lane.inFlightMax) {
      const items: Item[] = []
      let length = PACKET_HEAD_BYTES
      for (const item of lane.queue) {
        length += item.bytes.length
        if (items.length === PACKET_MESSAGES_MAX || length > lane.bytesMax) break
        items.push(item)
      }
      lane.queue = lane.queue.slice(items.length)
      lane.inFlight += 1
      this.#send(peer, lane, items).catch(this.#parts.onBug)
    }
  }

  async #send(peer: PeerKey, lane: Lane, items: readonly Item[]): Promise<void> {
    const { transport, epoch, finalView, run, onAnswer } = this.#parts
    const messages = items.map(({ bytes }) => bytes)
    const packet = encodePacket({ epoch, finalView: finalView(), run }, messages)
    this.sentBytes += packet.length
    const { timeoutMs, underWay } = lane
    for (const { proposed } of items) if (proposed !== undefined) underWay.add(proposed)
    try {
      onAnswer(peer, await transport.request(peer, lane.protocol, packet, { timeoutMs }))
    } catch (error) {
      // Lost, as on any line; what is still needed is said again.
      if (!(error instanceof TarbartaError)) throw error
    } finally {
      lane.inFlight -= 1
      for (const { proposed } of items) if (proposed !== undefined) underWay.delete(proposed)
      this.#pump(peer, lane)
    }
  }
}

function laneOf(protocol: ProtocolSpec, queueMax: number, inFlightMax: number): Lane {
  const { requestBytesMax: bytesMax, timeoutMs } = protocol
  const underWay = new Set<Block>()
  return { protocol, bytesMax, queueMax, inFlightMax, timeoutMs, queue: [], inFlight: 0, underWay }
}

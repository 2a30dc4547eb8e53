/**
 * What goes to the other validators (LEDGER §8.4): messages of one turn in one packet, to each peer
 * apart.
 *
 * Nothing is kept for a peer out of contact, and little for a slow one: the oldest goes first,
 * because what is still needed is said again. Blocks that would hold up votes and signals travel on
 * the bulk lane.
 */

import { encodePacket, PACKET_HEAD_BYTES } from "../../ledger/message.ts"
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

/** What waits for one validator, and how much is on its way. */
interface Lane {
  readonly protocol: ProtocolSpec
  readonly bytesMax: number
  readonly queueMax: number
  readonly inFlightMax: number
  /** After which a packet gives up its place; it may arrive all the same. */
  readonly timeoutMs: number
  queue: Uint8Array[]
  inFlight: number
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
  add(message: Uint8Array, to: { readonly to?: number; readonly except?: number }): void {
    const isSmall = PACKET_HEAD_BYTES + message.length <= FRAME_BYTES_MAX
    for (const [index, line] of this.#lines.entries()) {
      if (line === undefined || index === to.except) continue
      if (to.to !== undefined && to.to !== index) continue
      const lane = isSmall ? line.votes : line.blocks
      lane.queue.push(message)
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
      const messages: Uint8Array[] = []
      let length = PACKET_HEAD_BYTES
      for (const message of lane.queue) {
        length += message.length
        if (messages.length === PACKET_MESSAGES_MAX || length > lane.bytesMax) break
        messages.push(message)
      }
      lane.queue = lane.queue.slice(messages.length)
      lane.inFlight += 1
      this.#send(peer, lane, messages).catch(this.#parts.onBug)
    }
  }

  async #send(peer: PeerKey, lane: Lane, messages: readonly Uint8Array[]): Promise<void> {
    const { transport, epoch, finalView, run, onAnswer } = this.#parts
    const packet = encodePacket({ epoch, finalView: finalView(), run }, messages)
    this.sentBytes += packet.length
    try {
      const { timeoutMs } = lane
      onAnswer(peer, await transport.request(peer, lane.protocol, packet, { timeoutMs }))
    } catch (error) {
      // Lost, as on any line; what is still needed is said again.
      if (!(error instanceof TarbartaError)) throw error
    } finally {
      lane.inFlight -= 1
      this.#pump(peer, lane)
    }
  }
}

function laneOf(protocol: ProtocolSpec, queueMax: number, inFlightMax: number): Lane {
  const { requestBytesMax: bytesMax, timeoutMs } = protocol
  return { protocol, bytesMax, queueMax, inFlightMax, timeoutMs, queue: [], inFlight: 0 }
}

/**
 * The {@link Transport} of a node whose peers are threads of this process, at the ends of one line
 * (line.ts). All are in contact from the moment that they are told to meet until they stop, and
 * nothing is lost.
 */

import { systemClock } from "../../node/clock.ts"
import { NodeError } from "../../node/errors.ts"
import type {
  ContactListener,
  Member,
  PeerKey,
  ProtocolSpec,
  RequestHandler,
  Transport,
} from "../../node/network/transport.ts"
import { assert } from "../../protocol/assert.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { refused } from "../support/simulated-transport.ts"
import { receive, send, type LineEnd } from "./line.ts"

interface Ask {
  readonly type: "ask"
  readonly from: number
  /** The asker's number of the question. */
  readonly number: number
  readonly protocol: string
  readonly bytes: Uint8Array
}

interface Answer {
  readonly type: "answer"
  readonly number: number
  readonly bytes?: Uint8Array
  /** Code of what was thrown in place of an answer. */
  readonly refusal?: string
}

interface Waiting {
  readonly protocol: ProtocolSpec
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: Error) => void
}

export class LineTransport implements Transport {
  readonly #end: LineEnd
  readonly #self: number
  /** Transport keys by the number of their end. */
  readonly #peers: readonly PeerKey[]
  readonly #handlers = new Map<string, RequestHandler>()
  readonly #listeners = new Set<ContactListener>()
  readonly #waiting = new Map<number, Waiting>()
  readonly #tookMs: number[] = []
  #number = 0
  #isUp = false

  constructor(end: LineEnd, self: number, peers: readonly PeerKey[]) {
    this.#end = end
    this.#self = self
    this.#peers = peers
  }

  handle(protocol: ProtocolSpec, handler: RequestHandler): void {
    this.#handlers.set(protocol.id, handler)
  }

  async request(
    peer: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const to = this.#peers.indexOf(peer)
    if (!this.#isUp || to < 0) throw new NodeError("PEER_UNREACHABLE", "nobody is at that end")
    const { signal } = options
    signal?.throwIfAborted()
    this.#number += 1
    const number = this.#number
    return new Promise((resolve, reject) => {
      const onAbort = (): void => settle(() => reject(signal?.reason as Error))
      const settle = (how: () => void): void => {
        this.#waiting.delete(number)
        signal?.removeEventListener("abort", onAbort)
        deadline.cancel()
        how()
      }
      const timeoutMs = options.timeoutMs ?? protocol.timeoutMs
      const deadline = systemClock.after(timeoutMs, () => {
        const error = new NodeError("STREAM_DEADLINE", `${protocol.id}: no answer`)
        settle(() => reject(error))
      })
      this.#waiting.set(number, {
        protocol,
        resolve: (bytes) => settle(() => resolve(bytes)),
        reject: (error) => settle(() => reject(error)),
      })
      signal?.addEventListener("abort", onAbort)
      const head = { type: "ask", from: this.#self, number, protocol: protocol.id } as const
      send<Ask>(this.#end, to, { ...head, bytes: message })
    })
  }

  connected(): PeerKey[] {
    return this.#isUp ? this.#others() : []
  }

  onContact(listener: ContactListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Who is at the ends is known from the start; nobody else could come. */
  setMembers(members: readonly Member[]): void {
    assert(
      members.every(({ peer }) => this.#peers.includes(peer)),
      "members are at the ends of the line",
    )
  }

  async start(): Promise<void> {
    receive<Ask | Answer>(this.#end, (told, tookMs) => {
      if (told.type === "answer") {
        this.#conclude(told)
        return
      }
      this.#tookMs.push(tookMs)
      void this.#serve(told)
    })
    return Promise.resolve()
  }

  /** All have started: everybody is in contact with everybody. */
  meet(): void {
    this.#isUp = true
    for (const peer of this.#others()) for (const tell of this.#listeners) tell(peer, "up")
  }

  /** How long each question was under way that came since the last call, in ms. */
  takeTimes(): number[] {
    return this.#tookMs.splice(0)
  }

  async stop(): Promise<void> {
    this.#isUp = false
    const error = new NodeError("PEER_UNREACHABLE", "the transport was stopped")
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#end.port.close()
    return Promise.resolve()
  }

  #others(): PeerKey[] {
    return this.#peers.filter((_, index) => index !== this.#self)
  }

  async #serve({ from, number, protocol, bytes }: Ask): Promise<void> {
    const handler = this.#handlers.get(protocol)
    const peer = this.#peers[from]
    if (!this.#isUp || handler === undefined || peer === undefined) return
    try {
      const answer = await handler(peer, bytes, { isClosed: false })
      send<Answer>(this.#end, from, { type: "answer", number, bytes: answer })
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      send<Answer>(this.#end, from, { type: "answer", number, refusal: error.code })
    }
  }

  #conclude({ number, bytes, refusal }: Answer): void {
    const waiting = this.#waiting.get(number)
    if (bytes !== undefined) waiting?.resolve(bytes)
    else if (refusal !== undefined) waiting?.reject(refused(waiting.protocol, refusal))
  }
}

/**
 * The real {@link Transport}: members over libp2p, two connections each, on TCP and WebSocket.
 *
 * Holds the peers, admits connections after the greeting, and hands inbound streams to their
 * handlers. What happens on one stream is asker.ts and answerer.ts, what happens with one member
 * is peer.ts.
 */

import type { Connection, Libp2p, Stream } from "@libp2p/interface"
import tls from "node:tls"
import {
  CONNECTIONS_PER_PEER_MAX,
  DIAL_TIMEOUT_MS,
  HELLO_TIMEOUT_MS,
  STREAMS_PER_PROTOCOL_MAX,
  STREAM_WRITE_BUFFER_BYTES_MAX,
} from "../../protocol/limits.ts"
import { assert } from "../../protocol/assert.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { Answerer } from "./answerer.ts"
import { MessageBudget } from "./credits.ts"
import { createGater, peerKeyOf } from "./gater.ts"
import { Greeting, HELLO_PROTOCOL } from "./hello.ts"
import { Peer } from "./peer.ts"
import type { Encryption } from "./stack.ts"
import type * as StackModule from "./stack.ts"
import { carrierOf, cutConnection, joinStream, noteEnded } from "./streams.ts"
import type {
  Carrier,
  ContactListener,
  Lane,
  Member,
  PeerKey,
  ProtocolSpec,
  RequestHandler,
  Transport,
} from "./transport.ts"

/** What the host reports; ids, counts and codes only. */
export interface NetworkLog {
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}
export type LogFields = Readonly<Record<string, string | number | boolean>>

export interface HostOptions {
  /** Seed of the transport key, 32 bytes. */
  readonly transportSeed: Uint8Array
  /**
   * Multiaddrs to listen on, `/ip4/…/tcp/…` or `/ip4/…/tcp/…/ws`; none for a node that only dials.
   */
  readonly listen: readonly string[]
  /** The ledger's policy; the same on all members. */
  readonly encryption: Encryption
  readonly clock: Clock
  readonly log: NetworkLog
}

export interface Host extends Transport {
  /** Where the host listens, with the ports that it got; with its peer id at the end. */
  addresses(): string[]
}

/** Hybrid of X25519 and ML-KEM-768; set alone, so that a server refuses anything else. */
const PQ_GROUP = "X25519MLKEM768"

/**
 * A host that does not run yet. `start` throws {@link NodeError} `PORT_IN_USE` with the address
 * when another process listens there.
 */
export function createHost(options: HostOptions): Host {
  return new Libp2pHost(options)
}

type Stack = typeof StackModule

/**
 * Loads libp2p, once; {@link Host.start} needs it. It takes the one JavaScript thread four tenths
 * of a second, for which a key that other threads derive need not wait.
 */
export async function loadStack(encryption: Encryption): Promise<Stack> {
  if (encryption === "tls-pq") tls.DEFAULT_ECDH_CURVE = PQ_GROUP
  return import("./stack.ts")
}

class Libp2pHost implements Host {
  readonly #options: HostOptions
  readonly #budget = new MessageBudget()
  readonly #handlers = new Map<string, { protocol: ProtocolSpec; handler: RequestHandler }>()
  readonly #listeners = new Set<{ readonly listener: ContactListener; readonly lane?: Lane }>()
  readonly #peers = new Map<PeerKey, Peer>()
  readonly #endings = new Set<AbortController>()
  readonly #started = Promise.withResolvers<void>()
  readonly #carriers = new WeakMap<Connection, Carrier>()
  #members = new Map<PeerKey, Member>()
  #stack: Stack | undefined
  #node: Libp2p | undefined
  #self: PeerKey = ""

  constructor(options: HostOptions) {
    this.#options = options
  }

  handle(protocol: ProtocolSpec, handler: RequestHandler): void {
    assert(this.#node === undefined, `${protocol.id} registered after the start`)
    assert(!this.#handlers.has(protocol.id), `${protocol.id} registered twice`)
    this.#handlers.set(protocol.id, { protocol, handler })
  }

  async request(
    peer: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const { signal, timeoutMs = protocol.timeoutMs } = options
    if (message.length > protocol.requestBytesMax) {
      const { id, requestBytesMax } = protocol
      const why = `${id}: expected a request of at most ${requestBytesMax} bytes`
      throw new NodeError("STREAM_LIMIT", `${why}, got ${message.length}`)
    }
    if (this.#node === undefined) await this.#untilStarted(timeoutMs)
    const target = this.#peers.get(peer)
    if (target !== undefined) return target.request(protocol, message, timeoutMs, signal)
    const isMember = this.#members.has(peer)
    const why = `${short(peer)} is ${isMember ? "not reachable: the host stopped" : "no member"}`
    throw new NodeError(isMember ? "PEER_UNREACHABLE" : "PEER_DENIED", why)
  }

  /** Parts of the node ask before there is a network; who belongs to it is not known until then. */
  async #untilStarted(timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<never>()
    const timer = this.#options.clock.after(timeoutMs, () => {
      late.reject(new NodeError("PEER_UNREACHABLE", "the host has not started"))
    })
    try {
      await Promise.race([this.#started.promise, late.promise])
    } finally {
      timer.cancel()
    }
  }

  connected(lane?: Lane): PeerKey[] {
    return [...this.#peers].filter(([, peer]) => peer.isUp(lane)).map(([key]) => key)
  }

  onContact(listener: ContactListener, lane?: Lane): () => void {
    const entry = { listener, ...(lane && { lane }) }
    this.#listeners.add(entry)
    return () => this.#listeners.delete(entry)
  }

  setMembers(members: readonly Member[]): void {
    this.#members = new Map(members.map((member) => [member.peer, member]))
    if (this.#node !== undefined) this.#applyMembers()
  }

  addresses(): string[] {
    return this.#node?.getMultiaddrs().map((address) => address.toString()) ?? []
  }

  async start(): Promise<void> {
    assert(this.#node === undefined, "the host runs already")
    this.#stack = await loadStack(this.#options.encryption)
    const gater = createGater((peer) => this.#members.has(peer))
    const node = await this.#stack.createStack({ ...this.#options, gater })
    this.#self = peerKeyOf(node.peerId) ?? ""
    node.addEventListener("connection:open", (event) => this.#onOpen(event.detail))
    node.addEventListener("connection:close", (event) => this.#onClose(event.detail))
    await this.#register(node)
    try {
      await node.start()
    } catch (error) {
      await node.stop()
      throw listenError(error, this.#options.listen)
    }
    this.#node = node
    this.#applyMembers()
    this.#started.resolve()
  }

  async stop(): Promise<void> {
    const node = this.#node
    if (node === undefined) return
    this.#node = undefined
    for (const ending of this.#endings) ending.abort(new Error("the host stops"))
    for (const peer of this.#peers.values()) {
      peer.end(new NodeError("PEER_UNREACHABLE", "the host stops"))
    }
    this.#peers.clear()
    for (const connection of node.getConnections())
      cutConnection(connection, new Error("the host stops"))
    await node.stop()
  }

  async #register(node: Libp2p): Promise<void> {
    const limits = {
      maxInboundStreams: STREAMS_PER_PROTOCOL_MAX,
      maxOutboundStreams: STREAMS_PER_PROTOCOL_MAX,
    }
    await node.handle(
      HELLO_PROTOCOL,
      (stream, connection) => this.#onHello(stream, connection),
      limits,
    )
    for (const { protocol, handler } of this.#handlers.values()) {
      await node.handle(
        protocol.id,
        (stream, connection) => this.#onStream(protocol, handler, stream, connection),
        limits,
      )
    }
  }

  #applyMembers(): void {
    for (const [key, peer] of this.#peers) {
      if (this.#members.has(key)) continue
      this.#peers.delete(key)
      peer.end(new NodeError("PEER_DENIED", `${short(key)} is no member`))
    }
    for (const connection of this.#node?.getConnections() ?? []) {
      const key = peerKeyOf(connection.remotePeer)
      if (key === undefined || !this.#members.has(key)) {
        cutConnection(connection, new Error("no longer a member"))
      }
    }
    for (const member of this.#members.values()) {
      if (member.peer === this.#self) continue
      const peer = this.#peers.get(member.peer)
      if (peer === undefined) this.#createPeer(member).start()
      else peer.update(member)
    }
  }

  #createPeer(member: Member): Peer {
    const { clock, log } = this.#options
    const peer = new Peer(member, {
      self: this.#self,
      clock,
      budget: this.#budget,
      dial: (current, lane, connectMs) => this.#dial(current, lane, connectMs),
      onContact: (state, lane) => {
        if (lane === undefined) log.info("contact", { peer: short(member.peer), state })
        for (const entry of this.#listeners) {
          if (entry.lane === lane) entry.listener(member.peer, state)
        }
      },
      onBanished: (error) => {
        log.warn("peer broke the stream protocol", { peer: short(member.peer), why: error.message })
      },
    })
    this.#peers.set(member.peer, peer)
    return peer
  }

  // --- connections ------------------------------------------------------------------------

  #onOpen(connection: Connection): void {
    limitWrites(connection)
    this.#carriers.set(connection, carrierOf(connection))
    if (connection.direction === "outbound") return
    const key = peerKeyOf(connection.remotePeer)
    const peer = key === undefined ? undefined : this.#peers.get(key)
    const count = this.#node?.getConnections(connection.remotePeer).length ?? 0
    if (peer === undefined || count > CONNECTIONS_PER_PEER_MAX) {
      return cutConnection(connection, new Error("too many connections"))
    }
    const timer = this.#options.clock.after(HELLO_TIMEOUT_MS, () => {
      if (peer.laneOf(connection) === undefined) cutConnection(connection, new Error("no hello"))
    })
    connection.addEventListener("close", () => timer.cancel())
  }

  #onClose(connection: Connection): void {
    const key = peerKeyOf(connection.remotePeer)
    if (key !== undefined) this.#peers.get(key)?.lose(connection)
  }

  /** Dials one lane and waits until the other side has welcomed us. */
  async #dial(member: Member, lane: Lane, connectMs?: number): Promise<void> {
    const stack = this.#stack
    const node = this.#node
    assert(stack !== undefined && node !== undefined, "dial before the start")
    const { clock } = this.#options
    const peerId = stack.peerIdOf(member.peer)
    const addresses = member.addresses.map((address) => stack.dialAddress(address, peerId))
    const ending = new AbortController()
    this.#endings.add(ending)
    const timer = clock.after(DIAL_TIMEOUT_MS, () => ending.abort(new Error("dial timeout")))
    const { signal } = ending
    try {
      const options = { signal, clock, ...(connectMs !== undefined && { connectMs }) }
      const connection = await stack.dialAny(node, addresses, options)
      const stream = await connection.newStream(HELLO_PROTOCOL, { signal })
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => {
          cutConnection(connection, new Error("not welcomed in time"))
          reject(asError(signal.reason))
        })
        const greeting = this.#greet(stream, connection, lane, () => resolve(), reject)
        greeting.greet()
      })
    } catch (error) {
      throw asError(error)
    } finally {
      timer.cancel()
      this.#endings.delete(ending)
    }
  }

  #onHello(stream: Stream, connection: Connection): void {
    this.#greet(
      stream,
      connection,
      undefined,
      () => {},
      () => {},
    )
  }

  #greet(
    stream: Stream,
    connection: Connection,
    dialled: Lane | undefined,
    onAdmitted: () => void,
    onLost: (error: Error) => void,
  ): Greeting {
    const key = peerKeyOf(connection.remotePeer)
    const open = (pipe: ConstructorParameters<typeof Greeting>[0]["pipe"]): Greeting =>
      new Greeting({
        pipe,
        clock: this.#options.clock,
        dialled,
        onAdmitted: (lane) => {
          const peer = key === undefined ? undefined : this.#peers.get(key)
          if (peer === undefined) return cutConnection(connection, new Error("no member"))
          peer.admit(connection, lane, dialled !== undefined)
          onAdmitted()
        },
        onLost: (error, how) => {
          if (how === "ended") noteEnded(connection)
          // Not from within: the stream may have ended because the stack is closing just now.
          queueMicrotask(() => cutConnection(connection, error))
          onLost(error)
        },
      })
    return joinStream(stream, open, (error) => cutConnection(connection, error))
  }

  // --- inbound streams --------------------------------------------------------------------

  #onStream(
    protocol: ProtocolSpec,
    handler: RequestHandler,
    stream: Stream,
    connection: Connection,
  ): void {
    const { clock, log } = this.#options
    const key = peerKeyOf(connection.remotePeer)
    const peer = key === undefined ? undefined : this.#peers.get(key)
    if (key === undefined || peer?.laneOf(connection) !== protocol.lane) {
      const why = `${protocol.id}: expected an admitted connection of lane ${protocol.lane}`
      const error = new NodeError("STREAM_PROTOCOL", why)
      stream.abort(error)
      peer?.breach(error)
      return
    }
    const carrier = this.#carriers.get(connection)
    assert(carrier !== undefined, "a stream on a connection that was not opened")
    joinStream(
      stream,
      (pipe) =>
        new Answerer({
          protocol,
          handler: (request) => handler(key, request, carrier),
          clock,
          budget: this.#budget,
          pipe,
          onBug: (error) => {
            const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
            log.error("handler failed", { protocol: protocol.id, why })
          },
        }),
      (error) => peer.breach(error),
    )
  }
}

/** What the encrypted layer cannot pass on is held without limit unless it is told otherwise. */
function limitWrites(connection: Connection): void {
  const layers = connection as Connection & {
    muxer?: { maConn?: { maxWriteBufferLength?: number } }
  }
  const encrypted = layers.muxer?.maConn
  assert(encrypted !== undefined, "a connection without the layer whose buffer is limited")
  encrypted.maxWriteBufferLength = STREAM_WRITE_BUFFER_BYTES_MAX
}

function listenError(error: unknown, listen: readonly string[]): Error {
  const text = asError(error).message
  if (!text.includes("EADDRINUSE")) return asError(error)
  const line = text.split("\n").find((one) => one.includes("EADDRINUSE")) ?? ""
  const address = listen.find((one) => line.includes(one)) ?? listen.join(", ")
  return new NodeError("PORT_IN_USE", `${address}: another process listens there`, {
    cause: error,
    hint: "stop that process, or give the node another address: listen in config.json",
  })
}

/** The stack rejects with events where its WebSocket dialer failed. */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  if (thrown instanceof Event) {
    if ("error" in thrown && thrown.error instanceof Error) return thrown.error
    return new Error(`connection failed: ${thrown.type} event`)
  }
  return new Error(String(thrown))
}

function short(peer: PeerKey): string {
  return peer.slice(0, 8)
}

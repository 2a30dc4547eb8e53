/**
 * One machine's side of the simulated network (network.ts): its handlers, its requests and what of
 * them it still waits for.
 */

import type { Clock } from "../../node/clock.ts"
import { NodeError } from "../../node/errors.ts"
import { startDeadline } from "../../node/network/deadline.ts"
import type {
  Carrier,
  Member,
  PeerKey,
  ProtocolSpec,
  RequestHandler,
  Transport,
} from "../../node/network/transport.ts"
import { TarbartaError } from "../../protocol/errors.ts"

/** One direction between two peers. */
export interface Link {
  readonly delayMs: number
  /** What a machine sends leaves one after another, all its links together. */
  readonly bytesPerSecond: number
  /** Added to the delay, uniform in 0 … jitterMs. */
  readonly jitterMs: number
  /** Probability, 0 … 1, that a whole request vanishes. */
  readonly requestLoss: number
  /** Probability, 0 … 1, that a whole answer vanishes. */
  readonly answerLoss: number
}

/** Requests that reached a handler, answers that came back, and what was lost on the way. */
export interface Counts {
  requests: number
  answers: number
  lost: number
  bytes: number
}

/** What a machine needs of the network between it and the others. */
export interface Wires {
  readonly clock: Clock
  readonly counts: Counts
  note(line: string): void
  /** Uniform in 0 … 1, 1 excluded. */
  fraction(): number
  link(from: PeerKey, to: PeerKey): Link
  /** A draw for one message on its way. */
  delayMs(from: PeerKey, to: PeerKey): number
  /** By places. */
  isCut(a: string, b: string): boolean
  isInContact(from: SimulatedTransport, peer: PeerKey): boolean
  /** Connects on demand; resolves when contact stands, or with undefined when there is nobody. */
  connect(from: SimulatedTransport, peer: PeerKey): Promise<SimulatedTransport | undefined>
  /** What a handler learns of the connection between two machines. */
  carrier(a: SimulatedTransport, b: SimulatedTransport): Carrier
  /** A machine came, went, or has other members. */
  review(waits: Waits): void
}

/** How long a cut stays unnoticed, and what members that are kept wait before they dial. */
export type Waits = Partial<Readonly<Record<"noticeMs" | "redialMs" | "eagerMs", number>>>

interface Served {
  readonly protocol: ProtocolSpec
  readonly handler: RequestHandler
}

/** One request that waits for its answer. */
interface Waiting {
  readonly peer: PeerKey
  fail(error: Error): void
}

export class SimulatedTransport implements Transport {
  readonly self: PeerKey
  /** Key and machine. */
  readonly place: string
  readonly #network: Wires
  readonly #served = new Map<string, Served>()
  readonly #listeners = new Set<(peer: PeerKey, state: "up" | "down") => void>()
  readonly #waiting = new Set<Waiting>()
  /** When the last message of a stream arrives: the next may not overtake it. */
  readonly #arrivals = new Map<string, number>()
  #members = new Map<PeerKey, Member>()
  /** When all that was sent so far has left. */
  #sentMs = 0
  #state: "new" | "running" | "stopped" | "crashed" | "off" = "new"

  constructor(network: Wires, self: PeerKey, machine: string) {
    this.#network = network
    this.self = self
    this.place = self + machine
  }

  get isRunning(): boolean {
    return this.#state === "running"
  }

  /** Without power: nobody closed its connections. */
  get isOff(): boolean {
    return this.#state === "off"
  }

  /** It ended, and its machine closed its connections. */
  get hasClosed(): boolean {
    return this.#state === "stopped" || this.#state === "crashed"
  }

  handle(protocol: ProtocolSpec, handler: RequestHandler): void {
    this.#served.set(protocol.id, { protocol, handler })
  }

  isEager(peer: PeerKey): boolean {
    return this.#members.get(peer)?.eager === true
  }

  /** Both lanes are one here. */
  connected(): PeerKey[] {
    if (!this.isRunning) return []
    return [...this.#members.keys()].filter((peer) => this.#network.isInContact(this, peer))
  }

  onContact(listener: (peer: PeerKey, state: "up" | "down") => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  setMembers(members: readonly Member[]): void {
    this.#members = new Map(
      members.filter(({ peer }) => peer !== this.self).map((member) => [member.peer, member]),
    )
    if (this.isRunning) this.#network.review({})
  }

  start(): Promise<void> {
    if (this.#state === "new") {
      this.#state = "running"
      this.#network.note(`start ${short(this.place)}`)
      this.#network.review({})
    }
    return Promise.resolve()
  }

  stop(): Promise<void> {
    if (this.isRunning) {
      this.end("stopped")
      for (const waiting of this.#waiting) waiting.fail(unreachable("the transport was stopped"))
      this.#waiting.clear()
    }
    return Promise.resolve()
  }

  request(
    peer: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<Uint8Array> {
    const { signal } = options
    const timeoutMs = options.timeoutMs ?? protocol.timeoutMs
    return new Promise((resolve, reject) => {
      if (this.#state === "crashed" || this.isOff) return
      const waiting: Waiting = {
        peer,
        fail: (error) => {
          done()
          reject(error)
        },
      }
      const onAbort = (): void => waiting.fail(abortReason(signal))
      const { clock } = this.#network
      let isComing = false
      const timer = startDeadline({
        clock,
        timeoutMs,
        stallMs: protocol.stallMs,
        // All of an answer arrives at once here, but its bytes have been on their way.
        progress: () => (isComing ? clock.monotonicMs() : 0),
        onOver: (why) => waiting.fail(new NodeError("STREAM_DEADLINE", `${protocol.id}: ${why}`)),
      })
      const done = (): void => {
        timer.cancel()
        signal?.removeEventListener("abort", onAbort)
        this.#waiting.delete(waiting)
      }
      this.#waiting.add(waiting)
      if (signal?.aborted === true) return onAbort()
      signal?.addEventListener("abort", onAbort)
      // The sender keeps its buffer, so what travels is a copy.
      const outcome = this.#carry(peer, protocol, message.slice(), () => {
        isComing = true
      })
      void this.#conclude(outcome, waiting, (answer) => {
        done()
        resolve(answer)
      })
    })
  }

  admits(peer: PeerKey): boolean {
    return this.#members.has(peer)
  }

  keeps(peer: PeerKey): boolean {
    return this.#members.get(peer)?.keep === true
  }

  announce(peer: PeerKey, isUp: boolean): void {
    if (!isUp) {
      for (const waiting of this.#waiting) {
        if (waiting.peer === peer) waiting.fail(unreachable("contact was lost"))
      }
    }
    for (const listener of this.#listeners) listener(peer, isUp ? "up" : "down")
  }

  end(how: "stopped" | "crashed" | "off" | "replaced"): void {
    if (this.hasClosed || this.isOff) return
    this.#state = how === "replaced" ? "crashed" : how
    this.#network.review({})
  }

  /** Tells a caller that still waits how its request ended; a lost one ends by its deadline. */
  async #conclude(
    outcome: Promise<Uint8Array | undefined>,
    waiting: Waiting,
    succeed: (answer: Uint8Array) => void,
  ): Promise<void> {
    try {
      const answer = await outcome
      if (answer !== undefined && this.#waiting.has(waiting)) succeed(answer)
    } catch (error) {
      if (this.#waiting.has(waiting)) waiting.fail(asError(error))
    }
  }

  /** The way of one request and its answer; undefined when one of them vanished. */
  async #carry(
    peer: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
    onComing: () => void,
  ): Promise<Uint8Array | undefined> {
    const network = this.#network
    const { self } = this
    if (!this.admits(peer)) throw new NodeError("PEER_DENIED", `${short(peer)} is not a member`)
    if (message.length > protocol.requestBytesMax) {
      throw tooLong("request", protocol, message.length, protocol.requestBytesMax)
    }
    if (!this.isRunning) throw unreachable("the transport does not run")
    const target = await network.connect(this, peer)
    if (target === undefined) throw unreachable("nobody answered the dial")
    const what = `${protocol.id} ${short(self)}>${short(peer)}`
    network.note(`request ${what} ${message.length} B`)
    if (this.#isLost(self, peer, "requestLoss")) return this.#lose(`request ${what}`)
    await this.#travel(self, target, `${protocol.id} ask`, message.length)
    if (!target.isRunning || network.isCut(this.place, target.place))
      return this.#lose(`request ${what}`)
    const answer = await target.#serve(this, protocol, message)
    if (!target.isRunning) return this.#lose(`answer ${what}`)
    if (this.#isLost(peer, self, "answerLoss")) return this.#lose(`answer ${what}`)
    onComing()
    const length = answer instanceof Error ? 0 : answer.length
    await target.#travel(peer, this, `${protocol.id} answer`, length)
    if (!this.isRunning || network.isCut(this.place, target.place))
      return this.#lose(`answer ${what}`)
    network.counts.answers += 1
    if (answer instanceof Error) {
      network.note(`refusal ${what} ${answer instanceof NodeError ? answer.code : answer.name}`)
      throw answer
    }
    network.counts.bytes += answer.length
    network.note(`answer ${what} ${answer.length} B`)
    return answer
  }

  /** What goes back: an answer, or the error that the caller will see. */
  async #serve(
    from: SimulatedTransport,
    protocol: ProtocolSpec,
    message: Uint8Array,
  ): Promise<Uint8Array | Error> {
    this.#network.counts.requests += 1
    this.#network.counts.bytes += message.length
    const served = this.#served.get(protocol.id)
    if (served === undefined) {
      return new NodeError("STREAM_PROTOCOL", `${short(this.self)} does not speak ${protocol.id}`)
    }
    try {
      const carrier = this.#network.carrier(from, this)
      const answer = await served.handler(from.self, message, carrier)
      if (answer.length <= protocol.answerBytesMax) return answer.slice()
      return refused(protocol, "STREAM_LIMIT")
    } catch (error) {
      if (error instanceof TarbartaError) return refused(protocol, error.code)
      this.#network.note(`bug ${protocol.id} at ${short(this.self)}: ${String(error)}`)
      return unreachable("the other side reset the stream")
    }
  }

  #isLost(from: PeerKey, to: PeerKey, kind: "requestLoss" | "answerLoss"): boolean {
    const probability = this.#network.link(from, to)[kind]
    return probability > 0 && this.#network.fraction() < probability
  }

  #lose(what: string): undefined {
    this.#network.counts.lost += 1
    this.#network.note(`lost ${what}`)
  }

  #travel(from: PeerKey, to: SimulatedTransport, stream: string, bytes: number): Promise<void> {
    const { clock } = this.#network
    const key = `${to.place} ${stream}`
    const { bytesPerSecond } = this.#network.link(from, to.self)
    this.#sentMs = Math.max(this.#sentMs, clock.monotonicMs()) + (bytes * 1_000) / bytesPerSecond
    const earliest = this.#sentMs + this.#network.delayMs(from, to.self)
    const atMs = Math.max(earliest, this.#arrivals.get(key) ?? 0)
    this.#arrivals.set(key, atMs)
    return new Promise((resolve) => {
      clock.after(atMs - clock.monotonicMs(), resolve)
    })
  }
}

/** Enough of a key to tell the parties of a test apart. */
export function short(peer: PeerKey): string {
  return peer.slice(0, 8)
}

function unreachable(why: string): NodeError {
  return new NodeError("PEER_UNREACHABLE", why)
}

/** What the asker is told when the other side threw that code. */
export function refused(protocol: ProtocolSpec, refusal: string): NodeError {
  const why = `${protocol.id}: the other side refused the request with ${refusal}`
  return new NodeError("REQUEST_REFUSED", why, { refusal })
}

function tooLong(what: string, protocol: ProtocolSpec, bytes: number, max: number): NodeError {
  const why = `${protocol.id}: expected a ${what} of at most ${max} bytes, got ${bytes}`
  return new NodeError("STREAM_LIMIT", why)
}

function abortReason(signal: AbortSignal | undefined): Error {
  return asError(signal?.reason)
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

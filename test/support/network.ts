/**
 * A simulated network: the {@link Transport} of many peers in one process, on a virtual clock.
 *
 * Links have a delay and may lose whole requests or answers; groups can be cut from each other and
 * peers crash. Everything that happens goes into a trace, which is the same for the same seed.
 * What the real transport promises holds here too: only mutual members talk, requests of one
 * protocol between two peers arrive in order, limits and codes are those of transport.ts.
 */

import { NodeError } from "../../node/errors.ts"
import type { Clock, Timer } from "../../node/clock.ts"
import type {
  Member,
  PeerKey,
  ProtocolSpec,
  RequestHandler,
  Transport,
} from "../../node/network/transport.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { DIAL_TIMEOUT_MS, KEEPALIVE_URGENT_MS, REDIAL_MAX_MS } from "../../protocol/limits.ts"
import type { RandomSource } from "../../protocol/suite.ts"

/** One direction between two peers. */
export interface Link {
  readonly delayMs: number
  /** Added to the delay, uniform in 0 … jitterMs. */
  readonly jitterMs: number
  /** Probability, 0 … 1, that a whole request vanishes. */
  readonly requestLoss: number
  /** Probability, 0 … 1, that a whole answer vanishes. */
  readonly answerLoss: number
}

export interface SimulatedNetwork {
  /** The transport of a peer's next life; the former one, if any, must have crashed or stopped. */
  transport(peer: PeerKey): Transport
  /** Changes one direction, or with `both` both directions, of a link. */
  setLink(from: PeerKey, to: PeerKey, link: Partial<Link>, both?: boolean): void
  /** What links without settings of their own use. */
  setDefaultLink(link: Partial<Link>): void
  /** Peers of different groups no longer reach each other; those in no group form one more. */
  partition(groups: readonly (readonly PeerKey[])[]): void
  /** Ends the partition; members that are kept find each other within the longest redial wait. */
  heal(): void
  /** The process is gone at once: nothing further of it is heard, and it hears nothing. */
  crash(peer: PeerKey): void
  /** One line for each thing that happened, with its virtual time. */
  readonly trace: readonly string[]
  /** Requests that reached a handler, answers that came back, and what was lost on the way. */
  readonly counts: { requests: number; answers: number; lost: number; bytes: number }
}

export interface SimulatedNetworkOptions {
  readonly clock: Clock
  readonly random: RandomSource
  readonly link?: Partial<Link>
}

const PERFECT: Link = { delayMs: 1, jitterMs: 0, requestLoss: 0, answerLoss: 0 }
/** Neither side notices a cut cable before its link check fails. */
const CUT_NOTICE_MS = 2 * KEEPALIVE_URGENT_MS

export function createSimulatedNetwork(options: SimulatedNetworkOptions): SimulatedNetwork {
  return new Simulation(options)
}

class Simulation implements SimulatedNetwork {
  readonly clock: Clock
  readonly trace: string[] = []
  readonly counts = { requests: 0, answers: 0, lost: 0, bytes: 0 }
  readonly #random: RandomSource
  readonly #peers = new Map<PeerKey, SimulatedTransport>()
  readonly #links = new Map<string, Partial<Link>>()
  readonly #contacts = new Map<string, Contact>()
  readonly #groups = new Map<PeerKey, number>()
  #defaultLink: Link

  constructor(options: SimulatedNetworkOptions) {
    this.clock = options.clock
    this.#random = options.random
    this.#defaultLink = { ...PERFECT, ...options.link }
  }

  transport(peer: PeerKey): Transport {
    const transport = new SimulatedTransport(this, peer)
    this.#peers.get(peer)?.end("replaced")
    this.#peers.set(peer, transport)
    return transport
  }

  setLink(from: PeerKey, to: PeerKey, link: Partial<Link>, both = false): void {
    this.#links.set(`${from}>${to}`, { ...this.#links.get(`${from}>${to}`), ...link })
    if (both) this.setLink(to, from, link)
  }

  setDefaultLink(link: Partial<Link>): void {
    this.#defaultLink = { ...this.#defaultLink, ...link }
  }

  partition(groups: readonly (readonly PeerKey[])[]): void {
    this.#groups.clear()
    groups.forEach((group, index) => {
      for (const peer of group) this.#groups.set(peer, index + 1)
    })
    this.note(`partition ${groups.map((group) => group.map(short).join(",")).join(" | ")}`)
    this.review({ noticeMs: CUT_NOTICE_MS })
  }

  heal(): void {
    this.#groups.clear()
    this.note("heal")
    this.review({ redialMs: REDIAL_MAX_MS })
  }

  crash(peer: PeerKey): void {
    this.note(`crash ${short(peer)}`)
    this.#peers.get(peer)?.end("crashed")
  }

  note(line: string): void {
    this.trace.push(`${this.clock.monotonicMs().toFixed(3)} ${line}`)
  }

  /** Uniform in 0 … 1, 1 excluded. */
  fraction(): number {
    const bytes = this.#random(4)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
  }

  link(from: PeerKey, to: PeerKey): Link {
    return { ...this.#defaultLink, ...this.#links.get(`${from}>${to}`) }
  }

  /** A draw for one message on its way. */
  delayMs(from: PeerKey, to: PeerKey): number {
    const link = this.link(from, to)
    return link.delayMs + (link.jitterMs > 0 ? this.fraction() * link.jitterMs : 0)
  }

  isCut(a: PeerKey, b: PeerKey): boolean {
    return (this.#groups.get(a) ?? 0) !== (this.#groups.get(b) ?? 0)
  }

  isUp(a: PeerKey, b: PeerKey): boolean {
    return this.#contacts.get(pair(a, b))?.isUp ?? false
  }

  running(peer: PeerKey): SimulatedTransport | undefined {
    const transport = this.#peers.get(peer)
    return transport?.isRunning === true ? transport : undefined
  }

  /** True when both run, each has the other as a member, and no partition lies between them. */
  isReachable(a: PeerKey, b: PeerKey): boolean {
    return this.#mayTalk(a, b) && !this.isCut(a, b)
  }

  #mayTalk(a: PeerKey, b: PeerKey): boolean {
    const one = this.running(a)
    const two = this.running(b)
    return one?.admits(b) === true && two?.admits(a) === true
  }

  /**
   * Looks at all pairs again after something changed. A cut is noticed after `noticeMs`; kept
   * members that can meet again do so after a wait drawn from 0 … `redialMs`.
   */
  review(waits: { noticeMs?: number; redialMs?: number }): void {
    const peers = [...this.#peers.keys()]
    for (const [index, a] of peers.entries()) {
      for (const b of peers.slice(index + 1)) this.#reviewPair(a, b, waits)
    }
  }

  #reviewPair(a: PeerKey, b: PeerKey, waits: { noticeMs?: number; redialMs?: number }): void {
    const isUp = this.isUp(a, b)
    const reachable = this.isReachable(a, b)
    if (isUp && !reachable) {
      this.#change(a, b, false, this.#mayTalk(a, b) ? (waits.noticeMs ?? 0) : 0)
    } else if (!isUp && reachable) {
      const isKept = this.running(a)?.keeps(b) === true || this.running(b)?.keeps(a) === true
      const redialMs = waits.redialMs === undefined ? 0 : this.fraction() * waits.redialMs
      if (isKept) this.#change(a, b, true, this.#dialMs(a, b) + redialMs)
    }
  }

  /** Connects on demand; resolves true when contact stands, false when there is nobody. */
  connect(a: PeerKey, b: PeerKey): Promise<boolean> {
    if (this.isUp(a, b)) return Promise.resolve(true)
    return new Promise((resolve) => {
      const delayMs = this.isCut(a, b) ? DIAL_TIMEOUT_MS : this.#dialMs(a, b)
      this.clock.after(delayMs, () => {
        if (this.isReachable(a, b)) this.#set(a, b, true)
        resolve(this.isUp(a, b))
      })
    })
  }

  #dialMs(a: PeerKey, b: PeerKey): number {
    return 2 * (this.delayMs(a, b) + this.delayMs(b, a))
  }

  #contact(a: PeerKey, b: PeerKey): Contact {
    const key = pair(a, b)
    const contact = this.#contacts.get(key) ?? { isUp: false, timer: undefined }
    this.#contacts.set(key, contact)
    return contact
  }

  #change(a: PeerKey, b: PeerKey, isUp: boolean, delayMs: number): void {
    if (delayMs === 0) return this.#set(a, b, isUp)
    const contact = this.#contact(a, b)
    contact.timer?.cancel()
    contact.timer = this.clock.after(delayMs, () => {
      if (this.isReachable(a, b) === isUp) this.#set(a, b, isUp)
    })
  }

  #set(a: PeerKey, b: PeerKey, isUp: boolean): void {
    const contact = this.#contact(a, b)
    contact.timer?.cancel()
    if (contact.isUp === isUp) return
    contact.isUp = isUp
    this.note(`${isUp ? "up" : "down"} ${short(a)} ${short(b)}`)
    this.running(a)?.announce(b, isUp)
    this.running(b)?.announce(a, isUp)
  }
}

interface Contact {
  isUp: boolean
  timer: Timer | undefined
}

interface Served {
  readonly protocol: ProtocolSpec
  readonly handler: RequestHandler
}

/** One request that waits for its answer. */
interface Waiting {
  readonly peer: PeerKey
  fail(error: Error): void
}

class SimulatedTransport implements Transport {
  readonly #network: Simulation
  readonly #self: PeerKey
  readonly #served = new Map<string, Served>()
  readonly #listeners = new Set<(peer: PeerKey, state: "up" | "down") => void>()
  readonly #waiting = new Set<Waiting>()
  /** When the last message of a stream arrives: the next may not overtake it. */
  readonly #arrivals = new Map<string, number>()
  #members = new Map<PeerKey, Member>()
  #state: "new" | "running" | "stopped" | "crashed" = "new"

  constructor(network: Simulation, self: PeerKey) {
    this.#network = network
    this.#self = self
  }

  get isRunning(): boolean {
    return this.#state === "running"
  }

  handle(protocol: ProtocolSpec, handler: RequestHandler): void {
    this.#served.set(protocol.id, { protocol, handler })
  }

  /** Both lanes are one here. */
  connected(): PeerKey[] {
    if (!this.isRunning) return []
    return [...this.#members.keys()].filter((peer) => this.#network.isUp(this.#self, peer))
  }

  onContact(listener: (peer: PeerKey, state: "up" | "down") => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  setMembers(members: readonly Member[]): void {
    this.#members = new Map(
      members.filter(({ peer }) => peer !== this.#self).map((member) => [member.peer, member]),
    )
    if (this.isRunning) this.#network.review({})
  }

  start(): Promise<void> {
    if (this.#state === "new") {
      this.#state = "running"
      this.#network.note(`start ${short(this.#self)}`)
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
      if (this.#state === "crashed") return
      const waiting: Waiting = {
        peer,
        fail: (error) => {
          done()
          reject(error)
        },
      }
      const onAbort = (): void => waiting.fail(abortReason(signal))
      const timer = this.#network.clock.after(timeoutMs, () => {
        const why = `${protocol.id}: expected an answer within ${timeoutMs} ms, got none`
        waiting.fail(new NodeError("STREAM_DEADLINE", why))
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
      const outcome = this.#carry(peer, protocol, message.slice())
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

  end(how: "stopped" | "crashed" | "replaced"): void {
    if (this.#state === "stopped" || this.#state === "crashed") return
    this.#state = how === "stopped" ? "stopped" : "crashed"
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
  ): Promise<Uint8Array | undefined> {
    const network = this.#network
    const self = this.#self
    if (!this.admits(peer)) throw new NodeError("PEER_DENIED", `${short(peer)} is not a member`)
    if (message.length > protocol.requestBytesMax) {
      throw tooLong("request", protocol, message.length, protocol.requestBytesMax)
    }
    if (!this.isRunning) throw unreachable("the transport does not run")
    if (!(await network.connect(self, peer))) throw unreachable("nobody answered the dial")
    const what = `${protocol.id} ${short(self)}>${short(peer)}`
    network.note(`request ${what} ${message.length} B`)
    if (this.#isLost(self, peer, "requestLoss")) return this.#lose(`request ${what}`)
    await this.#travel(self, peer, `${protocol.id} ask`)
    const target = network.running(peer)
    if (target === undefined || network.isCut(self, peer)) return this.#lose(`request ${what}`)
    const answer = await target.#serve(self, protocol, message)
    if (!target.isRunning) return this.#lose(`answer ${what}`)
    if (this.#isLost(peer, self, "answerLoss")) return this.#lose(`answer ${what}`)
    await target.#travel(peer, self, `${protocol.id} answer`)
    if (!this.isRunning || network.isCut(self, peer)) return this.#lose(`answer ${what}`)
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
    from: PeerKey,
    protocol: ProtocolSpec,
    message: Uint8Array,
  ): Promise<Uint8Array | Error> {
    this.#network.counts.requests += 1
    this.#network.counts.bytes += message.length
    const served = this.#served.get(protocol.id)
    if (served === undefined) {
      return new NodeError("STREAM_PROTOCOL", `${short(this.#self)} does not speak ${protocol.id}`)
    }
    try {
      const answer = await served.handler(from, message)
      if (answer.length <= protocol.answerBytesMax) return answer.slice()
      return refused(protocol, "STREAM_LIMIT")
    } catch (error) {
      if (error instanceof TarbartaError) return refused(protocol, error.code)
      this.#network.note(`bug ${protocol.id} at ${short(this.#self)}: ${String(error)}`)
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

  #travel(from: PeerKey, to: PeerKey, stream: string): Promise<void> {
    const { clock } = this.#network
    const key = `${to} ${stream}`
    const earliest = clock.monotonicMs() + this.#network.delayMs(from, to)
    const atMs = Math.max(earliest, this.#arrivals.get(key) ?? 0)
    this.#arrivals.set(key, atMs)
    return new Promise((resolve) => {
      clock.after(atMs - clock.monotonicMs(), resolve)
    })
  }
}

function pair(a: PeerKey, b: PeerKey): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

/** Enough of a key to tell the parties of a test apart. */
function short(peer: PeerKey): string {
  return peer.slice(0, 8)
}

function unreachable(why: string): NodeError {
  return new NodeError("PEER_UNREACHABLE", why)
}

function refused(protocol: ProtocolSpec, refusal: string): NodeError {
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

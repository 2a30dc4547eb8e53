/**
 * A simulated network: the {@link Transport} of many peers in one process, on a virtual clock.
 *
 * Links have a delay and may lose whole requests or answers; a machine's uplink may be narrow, and
 * then all that it sends leaves one after another. Groups can be cut from each other and
 * peers crash. Two machines may have one key: as with the real transport, the one that dialled last
 * has the contact, and the other dials anew. Everything that happens goes into a trace, which is the same for the same seed.
 * What the real transport promises holds here too: only mutual members talk, requests of one
 * protocol between two peers arrive in order, limits and codes are those of transport.ts.
 */

import type { Clock, Timer } from "../../node/clock.ts"
import type { Carrier, PeerKey, Transport } from "../../node/network/transport.ts"
import {
  DIAL_TIMEOUT_MS,
  EAGER_CONNECT_MS,
  KEEPALIVE_URGENT_MS,
  REDIAL_MAX_MS,
  REDIAL_MIN_MS,
} from "../../protocol/limits.ts"
import type { RandomSource } from "../../protocol/suite.ts"
import {
  SimulatedTransport,
  short,
  type Counts,
  type Link,
  type Waits,
  type Wires,
} from "./simulated-transport.ts"

export interface SimulatedNetwork {
  /**
   * The transport of a peer's next life; the former one, if any, must have crashed or stopped. A
   * second machine with the same key has a name of its own; nobody can dial it.
   */
  transport(peer: PeerKey, machine?: string): Transport
  /** Changes one direction, or with `both` both directions, of a link. */
  setLink(from: PeerKey, to: PeerKey, link: Partial<Link>, both?: boolean): void
  /** What links without settings of their own use. */
  setDefaultLink(link: Partial<Link>): void
  /**
   * Peers of different groups no longer reach each other; those in no group form one more, second
   * machines among them.
   */
  partition(groups: readonly (readonly PeerKey[])[]): void
  /** Ends the partition; kept members meet within the longest redial wait, or `redialMs`. */
  heal(redialMs?: number): void
  /**
   * The process is gone at once: nothing further of it is heard, and it hears nothing. Its machine
   * closes the connections, unless that is off too.
   */
  crash(peer: PeerKey, how?: { readonly machine?: string; readonly isPowerCut?: boolean }): void
  /** One line for each thing that happened, with its virtual time. */
  readonly trace: readonly string[]
  readonly counts: Counts
}

export interface SimulatedNetworkOptions {
  readonly clock: Clock
  readonly random: RandomSource
  readonly link?: Partial<Link>
}

const PERFECT: Link = {
  delayMs: 1,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  jitterMs: 0,
  requestLoss: 0,
  answerLoss: 0,
}
/** Neither side notices a cut cable before its link check fails. */
const CUT_NOTICE_MS = 2 * KEEPALIVE_URGENT_MS
/** Longest gap between the first packets of two eager dials. */
const EAGER_MS = EAGER_CONNECT_MS + REDIAL_MIN_MS

export function createSimulatedNetwork(options: SimulatedNetworkOptions): SimulatedNetwork {
  return new Simulation(options)
}

class Simulation implements SimulatedNetwork, Wires {
  readonly clock: Clock
  readonly trace: string[] = []
  readonly counts = { requests: 0, answers: 0, lost: 0, bytes: 0 }
  readonly #random: RandomSource
  /** By the peer's key and the name of the machine. */
  readonly #places = new Map<string, SimulatedTransport>()
  readonly #links = new Map<string, Partial<Link>>()
  readonly #contacts = new Map<string, Contact>()
  readonly #groups = new Map<string, number>()
  #defaultLink: Link

  constructor(options: SimulatedNetworkOptions) {
    this.clock = options.clock
    this.#random = options.random
    this.#defaultLink = { ...PERFECT, ...options.link }
  }

  transport(peer: PeerKey, machine = ""): Transport {
    const transport = new SimulatedTransport(this, peer, machine)
    const former = this.#places.get(transport.place)
    former?.end("replaced")
    this.#places.set(transport.place, transport)
    // What a power cut left standing elsewhere is no contact with the next life.
    for (const other of this.#places.values()) this.#set(transport, other, false)
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

  heal(redialMs?: number): void {
    this.#groups.clear()
    this.note("heal")
    this.review({ redialMs: redialMs ?? REDIAL_MAX_MS, eagerMs: redialMs ?? EAGER_MS })
  }

  crash(
    peer: PeerKey,
    { machine = "", isPowerCut = false }: { machine?: string; isPowerCut?: boolean } = {},
  ): void {
    this.note(`${isPowerCut ? "power cut" : "crash"} ${short(peer)}${machine}`)
    this.#places.get(peer + machine)?.end(isPowerCut ? "off" : "crashed")
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

  isCut(a: string, b: string): boolean {
    return (this.#groups.get(a) ?? 0) !== (this.#groups.get(b) ?? 0)
  }

  isUp(a: SimulatedTransport, b: SimulatedTransport): boolean {
    return this.#contacts.get(pair(a, b))?.isUp ?? false
  }

  /** The machine of a peer that is in contact; without one, the machine that can be dialled. */
  machineOf(from: SimulatedTransport, peer: PeerKey): SimulatedTransport | undefined {
    const inContact = [...this.#places.values()].find(
      (place) => place.self === peer && this.isUp(from, place),
    )
    return inContact ?? this.#places.get(peer)
  }

  isInContact(from: SimulatedTransport, peer: PeerKey): boolean {
    const place = this.machineOf(from, peer)
    return place !== undefined && this.isUp(from, place)
  }

  /** What a handler learns of the connection between two machines. */
  carrier(a: SimulatedTransport, b: SimulatedTransport): Carrier {
    return this.#contact(a, b).carrier
  }

  /** True when both run, each has the other as a member, and no partition lies between them. */
  isReachable(a: SimulatedTransport, b: SimulatedTransport): boolean {
    return mayTalk(a, b) && !this.isCut(a.place, b.place)
  }

  /**
   * Looks at all pairs again after something changed. A cut is noticed after `noticeMs`; kept
   * members that can meet again do so after a wait drawn from 0 … `redialMs`.
   */
  review(waits: Waits): void {
    const places = [...this.#places.values()]
    for (const [index, a] of places.entries()) {
      for (const b of places.slice(index + 1)) this.#reviewPair(a, b, waits)
    }
  }

  #reviewPair(a: SimulatedTransport, b: SimulatedTransport, waits: Waits): void {
    const isUp = this.isUp(a, b)
    const reachable = this.isReachable(a, b)
    if (isUp && !reachable) {
      const isOff = a.isOff || b.isOff
      if (isOff && this.#contact(a, b).timer !== undefined) return
      const noticeMs = isOff ? CUT_NOTICE_MS : mayTalk(a, b) ? (waits.noticeMs ?? 0) : 0
      this.#change(a, b, false, noticeMs)
    } else if (!isUp && reachable) {
      if (this.#isTaken(a, b) || this.#isTaken(b, a)) return
      const isKept = a.keeps(b.self) || b.keeps(a.self)
      const isEager = a.isEager(b.self) || b.isEager(a.self)
      const longestMs = (isEager ? waits.eagerMs : waits.redialMs) ?? 0
      const redialMs = longestMs > 0 ? this.fraction() * longestMs : 0
      if (isKept) this.#change(a, b, true, this.#dialMs(a.self, b.self) + redialMs)
    }
  }

  /** The other machine with this key has the contact; this one waits for its turn. */
  #isTaken(a: SimulatedTransport, b: SimulatedTransport): boolean {
    return this.#contact(a, b).timer !== undefined && this.#twins(a).length > 0
  }

  /** Other machines that run with the same key. */
  #twins(a: SimulatedTransport): SimulatedTransport[] {
    return [...this.#places.values()].filter((one) => one !== a && one.self === a.self)
  }

  /** Connects on demand; resolves when contact stands, or with undefined when there is nobody. */
  async connect(a: SimulatedTransport, peer: PeerKey): Promise<SimulatedTransport | undefined> {
    const b = this.machineOf(a, peer)
    if (b !== undefined && this.isUp(a, b)) return b
    const isCut = this.isCut(a.place, b?.place ?? peer)
    const delayMs = isCut ? DIAL_TIMEOUT_MS : this.#dialMs(a.self, peer)
    await new Promise<void>((resolve) => {
      this.clock.after(delayMs, resolve)
      // A connection that comes from elsewhere meanwhile will do.
      if (b !== undefined) this.#contact(a, b).waiting.push(resolve)
    })
    if (b !== undefined && this.isReachable(a, b)) this.#set(a, b, true)
    const met = this.machineOf(a, peer)
    return met !== undefined && this.isUp(a, met) ? met : undefined
  }

  #dialMs(a: PeerKey, b: PeerKey): number {
    return 2 * (this.delayMs(a, b) + this.delayMs(b, a))
  }

  #contact(a: SimulatedTransport, b: SimulatedTransport): Contact {
    const key = pair(a, b)
    const contact = this.#contacts.get(key) ?? {
      isUp: false,
      timer: undefined,
      carrier: { isClosed: false },
      waiting: [],
    }
    this.#contacts.set(key, contact)
    return contact
  }

  #change(a: SimulatedTransport, b: SimulatedTransport, isUp: boolean, delayMs: number): void {
    if (delayMs === 0) return this.#set(a, b, isUp)
    const contact = this.#contact(a, b)
    contact.timer?.cancel()
    contact.timer = this.clock.after(delayMs, () => {
      contact.timer = undefined
      if (this.isReachable(a, b) === isUp) this.#set(a, b, isUp)
    })
  }

  #set(a: SimulatedTransport, b: SimulatedTransport, isUp: boolean): void {
    const contact = this.#contact(a, b)
    contact.timer?.cancel()
    contact.timer = undefined
    if (contact.isUp === isUp) return
    contact.isUp = isUp
    if (isUp) contact.carrier = { isClosed: false }
    else contact.carrier.isClosed = a.hasClosed || b.hasClosed
    this.note(`${isUp ? "up" : "down"} ${short(a.place)} ${short(b.place)}`)
    if (isUp) {
      for (const resolve of contact.waiting.splice(0)) resolve()
      this.#displace(a, b)
      this.#displace(b, a)
    }
    a.announce(b.self, isUp)
    b.announce(a.self, isUp)
  }

  /** A machine has the contact now: another with its key has lost it, and will dial anew. */
  #displace(a: SimulatedTransport, b: SimulatedTransport): void {
    for (const twin of this.#twins(a)) {
      if (this.isUp(twin, b)) this.#set(twin, b, false)
      const redialMs = (REDIAL_MIN_MS * (1 + this.fraction())) / 2
      const dialMs = this.#dialMs(twin.self, b.self)
      if (this.isReachable(twin, b)) this.#change(twin, b, true, redialMs + dialMs)
    }
  }
}

interface Contact {
  isUp: boolean
  timer: Timer | undefined
  carrier: { isClosed: boolean }
  /** Those who dial. */
  readonly waiting: (() => void)[]
}

function pair(a: SimulatedTransport, b: SimulatedTransport): string {
  return a.place < b.place ? `${a.place} ${b.place}` : `${b.place} ${a.place}`
}

/** Both run, and each has the other as a member. */
function mayTalk(a: SimulatedTransport, b: SimulatedTransport): boolean {
  return a.isRunning && b.isRunning && a.admits(b.self) && b.admits(a.self)
}

/**
 * One member: its connections by lane, the streams to it, and whether there is contact.
 *
 * Each lane wants one admitted connection. Two sides that dial at once end with two; then both use
 * the one that the smaller key dialled, and of several by the same dialler the latest. Who dialled
 * the other closes it after a while. A side dials a lane only when it has no connection there: that
 * it does so tells us that the one which we hold is gone, long before the link check would. Contact
 * is up while both lanes stand; who needs one lane alone hears of that one.
 */

import type { Connection } from "@libp2p/interface"
import {
  DIAL_PAUSE_MS,
  DIAL_TIMEOUT_MS,
  DUPLICATE_LINGER_MS,
  EAGER_CONNECT_MS,
  REDIAL_MAX_MS,
  REDIAL_MIN_MS,
  STREAM_BREACHES_MAX,
} from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { Asker } from "./asker.ts"
import type { MessageBudget } from "./credits.ts"
import type { Pipe } from "./outgoing.ts"
import { closeConnection, cutConnection, joinStream } from "./streams.ts"
import type { Lane, Member, PeerKey, ProtocolSpec } from "./transport.ts"

/** One eager dial in so many is patient. */
const EAGER_DIALS = 8
const LANES: readonly Lane[] = ["urgent", "bulk"]

export interface PeerOptions {
  readonly self: PeerKey
  readonly clock: Clock
  readonly budget: MessageBudget
  /**
   * Dials and greets; resolves when the connection was admitted to the lane. An address whose
   * socket is not open after `connectMs` is given up.
   */
  readonly dial: (member: Member, lane: Lane, connectMs?: number) => Promise<void>
  /** Of one lane, or without a lane, of both together. */
  readonly onContact: (state: "up" | "down", lane?: Lane) => void
  /** The peer broke the protocol too often; its connections have been closed. */
  readonly onBanished: (error: NodeError) => void
}

interface Admitted {
  readonly connection: Connection
  readonly lane: Lane
  readonly isOurs: boolean
  readonly atMs: number
}

/** The stream that carries our requests of one protocol. */
interface Line {
  readonly asker: Asker
  /** Undefined while it is being opened. */
  connection: Connection | undefined
}

export class Peer {
  readonly #options: PeerOptions
  /** In the order of admission. */
  #admitted: Admitted[] = []
  readonly #lines = new Map<string, Line>()
  readonly #arrivals: Record<Lane, PromiseWithResolvers<void>> = {
    urgent: Promise.withResolvers(),
    bulk: Promise.withResolvers(),
  }
  #member: Member
  /** Lanes that stand. */
  readonly #up = new Set<Lane>()
  #isEnded = false
  #breaches = 0
  #failures = 0
  #pausedUntilMs = 0
  #dialling: Promise<void> | undefined
  #redial: Timer | undefined

  constructor(member: Member, options: PeerOptions) {
    this.#member = member
    this.#options = options
  }

  /** True while a lane stands, or all of them. */
  isUp(lane?: Lane): boolean {
    return lane === undefined ? this.#up.size === LANES.length : this.#up.has(lane)
  }

  /** Dials for the first time, if the member is to be kept. */
  start(): void {
    this.#keep(0)
  }

  /** Takes the member's addresses as they stand now; when they changed, dials anew. */
  update(member: Member): void {
    const { keep, eager, addresses } = this.#member
    const isKept = keep === member.keep && eager === member.eager
    const isSame = isKept && addresses.join("\n") === member.addresses.join("\n")
    this.#member = member
    if (isSame) return
    this.#failures = 0
    this.#pausedUntilMs = 0
    this.#keep(0)
  }

  /** Sends a request, over a connection that is dialled if there is none. See transport.ts. */
  request(
    protocol: ProtocolSpec,
    message: Uint8Array,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#line(protocol).asker.request(message, timeoutMs, signal)
  }

  /** The lane of an admitted connection. */
  laneOf(connection: Connection): Lane | undefined {
    return this.#admitted.find((admitted) => admitted.connection === connection)?.lane
  }

  /** Both sides agreed on a connection. */
  admit(connection: Connection, lane: Lane, isOurs: boolean): void {
    if (this.#isEnded) return cutConnection(connection, new Error("no longer a member"))
    const atMs = this.#options.clock.monotonicMs()
    if (!isOurs) this.#cutForgotten(lane, atMs)
    this.#admitted.push({ connection, lane, isOurs, atMs })
    this.#arrivals[lane].resolve()
    this.#retireDuplicates(lane)
    this.#review()
  }

  /**
   * The other side has dialled a lane: it had none when it began, at most a dial's time ago. What
   * it had dialled before is over, and so is what we dialled before that time. After a power cut
   * there nobody else would tell us.
   */
  #cutForgotten(lane: Lane, nowMs: number): void {
    const isForgotten = (one: Admitted): boolean =>
      one.lane === lane && (!one.isOurs || one.atMs < nowMs - DIAL_TIMEOUT_MS)
    const forgotten = this.#admitted.filter(isForgotten)
    if (forgotten.length === 0) return
    this.#admitted = this.#admitted.filter((one) => !isForgotten(one))
    for (const { connection } of forgotten) {
      cutConnection(connection, new Error("the other side has dialled anew"))
    }
    this.#review()
  }

  /** A connection is gone. */
  lose(connection: Connection): void {
    const before = this.#admitted.length
    this.#admitted = this.#admitted.filter((admitted) => admitted.connection !== connection)
    if (this.#admitted.length === before) return
    this.#review()
    this.#keep(REDIAL_MIN_MS)
  }

  /** Counts a breach of the stream protocol; too many of them close the connections. */
  breach(error: NodeError): void {
    this.#breaches += 1
    if (this.#breaches < STREAM_BREACHES_MAX) return
    this.#breaches = 0
    this.#abortConnections(error)
    this.#options.onBanished(error)
  }

  /** The member was removed, or the node stops: everything to it ends at once. */
  end(error: NodeError): void {
    this.#isEnded = true
    this.#redial?.cancel()
    this.#abortConnections(error)
    for (const line of this.#lines.values()) line.asker.closed(error)
    this.#lines.clear()
  }

  #abortConnections(error: NodeError): void {
    for (const { connection } of this.#admitted) cutConnection(connection, error)
    this.#admitted = []
    this.#review()
    if (!this.#isEnded) this.#keep(REDIAL_MAX_MS)
  }

  #best(lane: Lane): Connection | undefined {
    const inLane = this.#admitted.filter((admitted) => admitted.lane === lane)
    const weDecide = this.#options.self < this.#member.peer
    const preferred = inLane.findLast((admitted) => admitted.isOurs === weDecide)
    return (preferred ?? inLane.at(-1))?.connection
  }

  #retireDuplicates(lane: Lane): void {
    for (const { connection, isOurs } of this.#admitted.filter((one) => one.lane === lane)) {
      if (!isOurs || connection === this.#best(lane)) continue
      this.#options.clock.after(DUPLICATE_LINGER_MS, () => {
        if (connection !== this.#best(lane)) closeConnection(connection)
      })
    }
  }

  #review(): void {
    const wasUp = this.isUp()
    const changed = LANES.filter((lane) => this.#up.has(lane) !== (this.#best(lane) !== undefined))
    for (const lane of LANES) {
      if (this.#best(lane) === undefined) {
        this.#arrivals[lane] = Promise.withResolvers()
        this.#up.delete(lane)
      } else {
        this.#up.add(lane)
      }
    }
    const isUp = this.isUp()
    if (isUp) this.#failures = 0
    for (const lane of changed) this.#options.onContact(this.#up.has(lane) ? "up" : "down", lane)
    if (isUp !== wasUp) this.#options.onContact(isUp ? "up" : "down")
  }

  // --- dialling ---------------------------------------------------------------------------

  /** For a member that is to be kept: dials after a wait, again and again until it stands. */
  #keep(delayMs: number): void {
    this.#redial?.cancel()
    const { keep, addresses } = this.#member
    if (this.#isEnded || this.isUp() || !keep || addresses.length === 0) return
    // Jitter, so that nodes that lost a peer at the same time do not all come back at once.
    const jittered = delayMs * (0.5 + Math.random() / 2)
    this.#redial = this.#options.clock.after(jittered, () => {
      void this.#keepOnce()
    })
  }

  async #keepOnce(): Promise<void> {
    try {
      await this.#dial()
    } catch {
      // The next try is the answer to a failed one; who waits for contact sees no "up".
      this.#failures += 1
    }
    const doublings = this.#member.eager === true ? 0 : Math.min(this.#failures, 10)
    this.#keep(Math.min(REDIAL_MAX_MS, REDIAL_MIN_MS * 2 ** doublings))
  }

  /** Dials the lanes that are missing; callers share one dial. */
  #dial(): Promise<void> {
    this.#dialling ??= this.#dialLanes().finally(() => {
      this.#dialling = undefined
    })
    return this.#dialling
  }

  async #dialLanes(): Promise<void> {
    const member = this.#member
    const short = member.peer.slice(0, 8)
    if (member.addresses.length === 0) {
      throw new NodeError("PEER_UNREACHABLE", `${short}: no address known, and it has not dialled`)
    }
    // A far address must be reached some time as well.
    const isHasty = member.eager === true && (this.#failures + 1) % EAGER_DIALS !== 0
    const connectMs = isHasty ? EAGER_CONNECT_MS : undefined
    try {
      // One after the other: the stack would join two dials to one peer into one connection.
      for (const lane of LANES) {
        if (this.#best(lane) === undefined) await this.#options.dial(member, lane, connectMs)
      }
    } catch (cause) {
      this.#pausedUntilMs = this.#options.clock.monotonicMs() + DIAL_PAUSE_MS
      throw new NodeError("PEER_UNREACHABLE", `${short}: dial failed`, { cause })
    }
  }

  /** The connection of a lane, dialled if need be; an inbound one that comes first will do. */
  async #reach(lane: Lane): Promise<Connection> {
    let connection = this.#best(lane)
    if (connection !== undefined) return connection
    const isPaused = this.#options.clock.monotonicMs() < this.#pausedUntilMs
    let failure: unknown = new NodeError("PEER_UNREACHABLE", "the last dial failed a moment ago")
    if (!isPaused) {
      try {
        await Promise.race([this.#dial(), this.#arrivals[lane].promise])
      } catch (error) {
        failure = error
      }
    }
    connection = this.#best(lane)
    if (connection !== undefined) return connection
    if (failure instanceof NodeError) throw failure
    throw new NodeError("PEER_UNREACHABLE", "connection: lost while opening", { cause: failure })
  }

  // --- streams ----------------------------------------------------------------------------

  #line(protocol: ProtocolSpec): Line {
    const line = this.#lines.get(protocol.id)
    if (line !== undefined && !line.asker.isClosed) {
      const best = this.#best(protocol.lane)
      if (line.connection === undefined || best === undefined || line.connection === best) {
        return line
      }
      // What is under way on the old stream ends there; it goes with its connection.
    }
    const late = new LatePipe()
    const { clock, budget } = this.#options
    const fresh: Line = {
      asker: new Asker({ protocol, clock, budget, pipe: late }),
      connection: undefined,
    }
    this.#lines.set(protocol.id, fresh)
    void this.#open(fresh, protocol, late)
    return fresh
  }

  async #open(line: Line, protocol: ProtocolSpec, late: LatePipe): Promise<void> {
    try {
      const connection = await this.#reach(protocol.lane)
      line.connection = connection
      const stream = await connection.newStream(protocol.id)
      if (line.asker.isClosed) return stream.abort(new Error("no longer wanted"))
      joinStream(
        stream,
        (pipe) => {
          late.join(pipe)
          return line.asker
        },
        (error) => this.breach(error),
      )
      line.asker.drained()
    } catch (cause) {
      line.asker.closed(openError(protocol, cause))
    }
  }
}

/** Stands in for the stream's pipe until the stream is open. */
class LatePipe implements Pipe {
  #pipe: Pipe | undefined

  join(pipe: Pipe): void {
    this.#pipe = pipe
  }

  send(bytes: Uint8Array): boolean {
    return this.#pipe?.send(bytes) ?? false
  }

  abort(error: NodeError): void {
    this.#pipe?.abort(error)
  }
}

function openError(protocol: ProtocolSpec, cause: unknown): NodeError {
  if (cause instanceof NodeError) return cause
  if (cause instanceof Error && cause.name === "UnsupportedProtocolError") {
    const why = `${protocol.id}: the other side does not speak it`
    return new NodeError("STREAM_PROTOCOL", why, { cause })
  }
  return new NodeError("PEER_UNREACHABLE", `${protocol.id}: no stream`, { cause })
}

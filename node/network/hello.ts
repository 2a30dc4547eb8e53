/**
 * The greeting of a connection, and the check that it still stands (PROTOCOL §10.2).
 *
 * A resolved dial proves nothing: the other side may deny us a moment later. So the dialler names
 * the connection's lane on a stream of its own, and the connection counts once the other side has
 * agreed. The stream stays open for as long as the connection, and both ends ask over it whether
 * the other is alive.
 *
 *     offset 0   type: 1 hello, 2 welcome, 3 ping, 4 pong
 *     offset 1   lane: 0 urgent, 1 bulk
 *     offset 2   0, 0
 *     offset 4   number, u32: of the ping in ping and pong, otherwise 0
 */

import { KEEPALIVE_BULK_MS, KEEPALIVE_URGENT_MS } from "../../protocol/limits.ts"
import type { Clock, Timer } from "../clock.ts"
import { breach } from "./frames.ts"
import { NodeError } from "../errors.ts"
import type { Pipe } from "./outgoing.ts"
import type { Endpoint } from "./streams.ts"
import type { Lane } from "./transport.ts"

export const HELLO_PROTOCOL = "/tarbarta/hello/1"

const NOTE_BYTES = 8
const TYPES = ["hello", "welcome", "ping", "pong"] as const
const LANES = ["urgent", "bulk"] as const

interface Note {
  readonly type: (typeof TYPES)[number]
  readonly lane: Lane
  readonly number: number
}

export interface GreetingOptions {
  readonly pipe: Pipe
  readonly clock: Clock
  /** The lane that we dialled for; undefined on the side that was dialled. */
  readonly dialled: Lane | undefined
  /** Both sides have agreed; called once. */
  readonly onAdmitted: (lane: Lane) => void
  /** The other side has ended the stream, or no longer answers: so the connection is gone. */
  readonly onLost: (error: NodeError, how: "ended" | "silent") => void
}

/** One end of the greeting stream. */
export class Greeting implements Endpoint {
  readonly #options: GreetingOptions
  readonly #buffer = new Uint8Array(NOTE_BYTES)
  #buffered = 0
  #lane: Lane | undefined
  #isAdmitted = false
  #isLost = false
  #timer: Timer | undefined
  #pingNumber = 0
  #isPinging = false
  #isSilent = false

  constructor(options: GreetingOptions) {
    this.#options = options
    this.#lane = options.dialled
  }

  /** The dialler speaks first. */
  greet(): void {
    this.#send("hello", 0)
  }

  receive(bytes: Uint8Array): void {
    let offset = 0
    while (offset < bytes.length) {
      const count = Math.min(NOTE_BYTES - this.#buffered, bytes.length - offset)
      this.#buffer.set(bytes.subarray(offset, offset + count), this.#buffered)
      this.#buffered += count
      offset += count
      if (this.#buffered < NOTE_BYTES) return
      this.#buffered = 0
      this.#onNote(decodeNote(this.#buffer))
    }
  }

  drained(): void {
    // Notes are small and few; the stack holds those that it could not send.
  }

  closed(error: NodeError): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#timer?.cancel()
    this.#options.onLost(error, this.#isSilent ? "silent" : "ended")
  }

  #onNote(note: Note): void {
    const expected = this.#options.dialled === undefined ? "hello" : "welcome"
    if (!this.#isAdmitted) {
      if (note.type !== expected) throw breach(`expected ${expected}, got ${note.type}`)
      if (this.#lane !== undefined && note.lane !== this.#lane) {
        throw breach(`expected lane ${this.#lane}, got ${note.lane}`)
      }
      this.#lane = note.lane
      this.#isAdmitted = true
      if (expected === "hello") this.#send("welcome", 0)
      this.#options.onAdmitted(note.lane)
      return this.#rest()
    }
    if (note.type === "ping") return this.#send("pong", note.number)
    if (note.type !== "pong" || !this.#isPinging || note.number !== this.#pingNumber) {
      throw breach(`got ${note.type} ${note.number}, not awaited`)
    }
    this.#isPinging = false
    this.#timer?.cancel()
    this.#rest()
  }

  /** Waits an interval, then asks; no answer within another interval is the end. */
  #rest(): void {
    if (this.#isLost) return
    const intervalMs = this.#lane === "urgent" ? KEEPALIVE_URGENT_MS : KEEPALIVE_BULK_MS
    this.#timer = this.#options.clock.after(intervalMs, () => {
      this.#pingNumber = (this.#pingNumber + 1) >>> 0
      this.#isPinging = true
      this.#send("ping", this.#pingNumber)
      this.#timer = this.#options.clock.after(intervalMs, () => {
        this.#isSilent = true
        const why = `connection: expected a sign of life within ${intervalMs} ms, got none`
        this.#options.pipe.abort(new NodeError("PEER_UNREACHABLE", why))
      })
    })
  }

  #send(type: Note["type"], number: number): void {
    this.#options.pipe.send(encodeNote({ type, lane: this.#lane ?? "urgent", number }))
  }
}

function encodeNote(note: Note): Uint8Array {
  const bytes = new Uint8Array(NOTE_BYTES)
  bytes[0] = TYPES.indexOf(note.type) + 1
  bytes[1] = LANES.indexOf(note.lane)
  new DataView(bytes.buffer).setUint32(4, note.number)
  return bytes
}

function decodeNote(bytes: Uint8Array): Note {
  const type = TYPES[(bytes[0] ?? 0) - 1]
  const lane = LANES[bytes[1] ?? 0]
  const number = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4)
  if (type === undefined || lane === undefined || bytes[2] !== 0 || bytes[3] !== 0) {
    throw breach("expected a hello, welcome, ping or pong")
  }
  if (number !== 0 && (type === "hello" || type === "welcome")) throw breach("numbered greeting")
  return { type, lane, number }
}

/**
 * The opener's side of a stream: many requests under way at once, each with its own deadline.
 *
 * A request holds one of the stream's places from its first frame until both sides are done with
 * it, also when its caller has given up before: so the other side can count the same places.
 * Knows bytes and a pipe, not libp2p.
 */

import { REQUESTS_PER_STREAM_MAX, REQUESTS_WAITING_MAX } from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { ReceiveCredit, Reassembly, type MessageBudget } from "./credits.ts"
import { startDeadline } from "./deadline.ts"
import { breach, FrameReader, type Frame, type MessageFrame } from "./frames.ts"
import { Outgoing, type Outbound, type Pipe } from "./outgoing.ts"
import type { ProtocolSpec } from "./transport.ts"

export interface AskerOptions {
  readonly protocol: ProtocolSpec
  readonly clock: Clock
  readonly budget: MessageBudget
  readonly pipe: Pipe
}

interface Ask {
  readonly message: Uint8Array
  readonly answer: Reassembly
  readonly outbound: Outbound
  /** 0 until the first frame has gone. */
  requestId: number
  /** The last frame of the request or a cancel has gone. */
  isEnded: boolean
  /** Tells the caller; undefined once the caller knows. */
  conclude: ((outcome: Uint8Array | Error) => void) | undefined
}

export class Asker {
  readonly #options: AskerOptions
  readonly #outgoing: Outgoing
  readonly #reader = new FrameReader()
  readonly #credit = new ReceiveCredit()
  /** Requests that wait for a place. */
  readonly #waiting: Ask[] = []
  /** Requests that have a place but no id yet. */
  readonly #ready = new Set<Ask>()
  readonly #started = new Map<number, Ask>()
  #lastId = 0
  /** Bytes of answers, all requests together: they come one after another. */
  #received = 0
  #failure: NodeError | undefined

  /** The pipe is taken to be closed for writing until {@link Asker.drained} is called. */
  constructor(options: AskerOptions) {
    this.#options = options
    this.#outgoing = new Outgoing(options.pipe, false)
  }

  /** Requests that are not over, those whose callers gave up included. */
  get underWay(): number {
    return this.#waiting.length + this.#ready.size + this.#started.size
  }

  get isClosed(): boolean {
    return this.#failure !== undefined
  }

  /** Bytes kept for a frame that is not complete. */
  get held(): number {
    return this.#reader.held
  }

  /**
   * Sends a request. Errors are those of transport.ts; an aborted `signal` rejects with its reason.
   * The message must not change until the promise is settled.
   */
  request(message: Uint8Array, timeoutMs: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { protocol, clock, budget } = this.#options
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#waiting.length >= REQUESTS_WAITING_MAX) {
      const why = `${protocol.id}: expected at most ${REQUESTS_WAITING_MAX} requests that wait`
      return Promise.reject(new NodeError("STREAM_LIMIT", why))
    }
    return new Promise((resolve, reject) => {
      const ask: Ask = {
        message,
        answer: new Reassembly(budget, protocol.lane),
        outbound: {
          type: "request",
          message,
          start: () => this.#start(ask),
          sent: () => {
            ask.isEnded = true
          },
        },
        requestId: 0,
        isEnded: false,
        conclude: (outcome) => {
          ask.conclude = undefined
          timer.cancel()
          signal?.removeEventListener("abort", onAbort)
          if (outcome instanceof Uint8Array) resolve(outcome)
          else reject(outcome)
        },
      }
      const onAbort = (): void => this.#giveUp(ask, abortReason(signal))
      const timer = startDeadline({
        clock,
        timeoutMs,
        stallMs: protocol.stallMs,
        progress: () => this.#received,
        onOver: (why) => {
          this.#giveUp(ask, new NodeError("STREAM_DEADLINE", `${protocol.id}: ${why}`))
        },
      })
      this.#waiting.push(ask)
      if (signal?.aborted === true) return onAbort()
      signal?.addEventListener("abort", onAbort)
      this.#fillPlaces()
    })
  }

  /** @throws NodeError `STREAM_PROTOCOL`; the caller then aborts the stream. */
  receive(bytes: Uint8Array): void {
    this.#reader.push(bytes, (frame) => this.#onFrame(frame))
  }

  /** The pipe takes bytes: it is open, or has drained. */
  drained(): void {
    this.#outgoing.drained()
  }

  /** The stream is gone; all requests fail with `error`. */
  closed(error: NodeError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#outgoing.close()
    const asks = [...this.#started.values(), ...this.#ready, ...this.#waiting]
    this.#started.clear()
    this.#ready.clear()
    this.#waiting.length = 0
    for (const ask of asks) {
      ask.answer.drop()
      ask.conclude?.(error)
    }
  }

  #fillPlaces(): void {
    while (this.#ready.size + this.#started.size < REQUESTS_PER_STREAM_MAX) {
      const ask = this.#waiting.shift()
      if (ask === undefined) return
      this.#ready.add(ask)
      this.#outgoing.message(ask.outbound)
    }
  }

  #start(ask: Ask): number {
    this.#lastId += 1
    ask.requestId = this.#lastId
    this.#ready.delete(ask)
    this.#started.set(ask.requestId, ask)
    return ask.requestId
  }

  /** The caller no longer waits: deadline, or its own wish. */
  #giveUp(ask: Ask, error: Error): void {
    if (ask.conclude === undefined) return
    ask.conclude(error)
    ask.answer.drop()
    const index = this.#waiting.indexOf(ask)
    if (index >= 0) this.#waiting.splice(index, 1)
    this.#outgoing.drop(ask.outbound)
    if (this.#ready.delete(ask)) return this.#fillPlaces()
    if (this.#started.has(ask.requestId)) this.#cancel(ask)
  }

  #cancel(ask: Ask): void {
    ask.isEnded = true
    this.#outgoing.control({ type: "cancel", requestId: ask.requestId })
  }

  #onFrame(frame: Frame): void {
    if (frame.type === "credit") return this.#outgoing.addCredit(frame.bytes)
    if (frame.type === "request" || frame.type === "cancel") {
      throw breach(`expected no ${frame.type} from the side that answers`)
    }
    const ask = this.#started.get(frame.requestId)
    if (ask === undefined) throw breach(`${frame.type} for request ${frame.requestId}, not asked`)
    if (frame.type === "answer") return this.#onAnswer(ask, frame)
    if (frame.type === "refusal") {
      const why = `${this.#id}: the other side refused the request with ${frame.code}`
      const error = new NodeError("REQUEST_REFUSED", why, { refusal: frame.code })
      return this.#finish(ask, error)
    }
    return this.#finish(ask, new NodeError("NODE_BUSY", `${this.#id}: the other side is busy`))
  }

  #onAnswer(ask: Ask, frame: MessageFrame): void {
    const { answerBytesMax } = this.#options.protocol
    const { payload } = frame
    const bytes = ask.answer.bytes + payload.length
    this.#received += payload.length
    if (bytes > answerBytesMax) {
      throw breach(`${this.#id}: expected an answer of at most ${answerBytesMax} bytes`)
    }
    if (payload.length === 0 && ask.answer.bytes > 0) throw breach("an empty frame ends an answer")
    if (ask.conclude !== undefined && !ask.answer.add(payload)) {
      const why = `${this.#id}: no memory for the answer, ${bytes} bytes so far`
      this.#giveUp(ask, new NodeError("NODE_BUSY", why))
    }
    const credit = this.#credit.consume(payload.length)
    if (credit > 0) this.#outgoing.control({ type: "credit", bytes: credit })
    if (frame.isLast) this.#finish(ask, ask.answer.join())
  }

  /** The other side's last word on a request. */
  #finish(ask: Ask, outcome: Uint8Array | NodeError): void {
    ask.conclude?.(outcome)
    ask.answer.drop()
    this.#outgoing.drop(ask.outbound)
    this.#started.delete(ask.requestId)
    if (!ask.isEnded) this.#cancel(ask)
    this.#fillPlaces()
  }

  get #id(): string {
    return this.#options.protocol.id
  }
}

function abortReason(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason : new Error(String(reason))
}

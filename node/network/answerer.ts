/**
 * The other side of a stream: takes requests, runs the handler, sends answers.
 *
 * Each request has a place from its first frame until its last word has gone and the asker has
 * ended it; an asker that opens more than its places breaks the protocol. What has no memory is
 * answered `busy` and thrown away as it comes. Knows bytes and a pipe, not libp2p.
 */

import { REQUESTS_PER_STREAM_MAX } from "../../protocol/limits.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { ReceiveCredit, Reassembly, type MessageBudget } from "./credits.ts"
import { startDeadline } from "./deadline.ts"
import { breach, FrameReader, type Frame, type MessageFrame } from "./frames.ts"
import { Outgoing, type Outbound, type Pipe } from "./outgoing.ts"
import type { ProtocolSpec } from "./transport.ts"

export interface AnswererOptions {
  readonly protocol: ProtocolSpec
  /** The registered handler, with the asking peer filled in. */
  readonly handler: (request: Uint8Array) => Promise<Uint8Array>
  readonly clock: Clock
  readonly budget: MessageBudget
  readonly pipe: Pipe
  /** A handler failed with something that is no refusal: a bug of ours. */
  readonly onBug: (error: unknown) => void
}

interface Place {
  readonly requestId: number
  readonly request: Reassembly
  /**
   * `receiving` → `handling` → `answering`; or `over`, when the last word has gone but the asker
   * has not ended the request.
   */
  stage: "receiving" | "handling" | "answering" | "over"
  isCancelled: boolean
  answer: Outbound | undefined
  timer: Timer | undefined
}

export class Answerer {
  readonly #options: AnswererOptions
  readonly #outgoing: Outgoing
  readonly #reader = new FrameReader()
  readonly #credit = new ReceiveCredit()
  readonly #places = new Map<number, Place>()
  #lastId = 0
  #isClosed = false

  constructor(options: AnswererOptions) {
    this.#options = options
    this.#outgoing = new Outgoing(options.pipe, true)
  }

  /** Requests that are not over. */
  get underWay(): number {
    return this.#places.size
  }

  /** Bytes kept for a frame that is not complete. */
  get held(): number {
    return this.#reader.held
  }

  /** @throws NodeError `STREAM_PROTOCOL`; the caller then aborts the stream. */
  receive(bytes: Uint8Array): void {
    this.#reader.push(bytes, (frame) => this.#onFrame(frame))
  }

  drained(): void {
    this.#outgoing.drained()
  }

  /** The stream is gone; answers of handlers that still run go nowhere. */
  closed(): void {
    this.#isClosed = true
    this.#outgoing.close()
    for (const place of this.#places.values()) {
      place.timer?.cancel()
      if (place.stage === "receiving") place.request.drop()
      if (place.stage === "answering") this.#releaseAnswer(place)
    }
    this.#places.clear()
  }

  #onFrame(frame: Frame): void {
    switch (frame.type) {
      case "credit":
        return this.#outgoing.addCredit(frame.bytes)
      case "request":
        return this.#onRequest(frame)
      case "cancel":
        return this.#onCancel(frame.requestId)
      case "answer":
      case "refusal":
      case "busy":
        throw breach(`expected no ${frame.type} from the side that asks`)
    }
  }

  #onRequest(frame: MessageFrame): void {
    const { protocol } = this.#options
    const place = this.#places.get(frame.requestId) ?? this.#open(frame.requestId)
    const { payload } = frame
    if (place.stage === "receiving") {
      const bytes = place.request.bytes + payload.length
      if (bytes > protocol.requestBytesMax) {
        throw breach(`expected a request of at most ${protocol.requestBytesMax} bytes`)
      }
      if (payload.length === 0 && place.request.bytes > 0) {
        throw breach("an empty frame ends a request")
      }
      if (!place.request.add(payload)) this.#lastWord(place, "busy")
    } else if (place.stage !== "over") {
      throw breach(`request ${frame.requestId} goes on after its last frame`)
    }
    const credit = this.#credit.consume(payload.length)
    if (credit > 0) this.#outgoing.control({ type: "credit", bytes: credit })
    if (!frame.isLast) return
    if (place.stage === "receiving") this.#handle(place)
    else this.#places.delete(place.requestId)
  }

  #open(requestId: number): Place {
    if (requestId !== this.#lastId + 1) {
      throw breach(`expected request ${this.#lastId + 1}, got ${requestId}`)
    }
    if (this.#places.size >= REQUESTS_PER_STREAM_MAX) {
      throw breach(`expected at most ${REQUESTS_PER_STREAM_MAX} requests under way`)
    }
    this.#lastId = requestId
    const { budget, clock, protocol } = this.#options
    const place: Place = {
      requestId,
      request: new Reassembly(budget, protocol.lane),
      stage: "receiving",
      isCancelled: false,
      answer: undefined,
      timer: undefined,
    }
    place.timer = clock.after(protocol.timeoutMs, () => this.#lastWord(place, "busy"))
    this.#places.set(requestId, place)
    return place
  }

  /** The request is whole: runs the handler. Its memory is on account until the handler is done. */
  #handle(place: Place): void {
    place.timer?.cancel()
    place.stage = "handling"
    const request = place.request.join()
    void this.#run(place, request)
  }

  async #run(place: Place, request: Uint8Array): Promise<void> {
    const { handler, pipe, onBug } = this.#options
    try {
      const answer = await handler(request)
      place.request.drop()
      this.#answer(place, answer)
    } catch (error) {
      place.request.drop()
      if (error instanceof TarbartaError) return this.#refuse(place, error.code)
      onBug(error)
      pipe.abort(new NodeError("STREAM_PROTOCOL", "stream: reset after a failed handler"))
    }
  }

  #answer(place: Place, message: Uint8Array): void {
    const { protocol, budget, clock, onBug } = this.#options
    if (this.#isClosed) return
    if (place.isCancelled) return this.#lastWord(place, "busy")
    if (message.length > protocol.answerBytesMax) {
      onBug(new Error(`${protocol.id}: answer of ${message.length} bytes is above its limit`))
      return this.#refuse(place, "STREAM_LIMIT")
    }
    if (!budget.take(message.length, protocol.lane)) return this.#lastWord(place, "busy")
    place.stage = "answering"
    place.answer = {
      type: "answer",
      message,
      start: () => place.requestId,
      sent: () => {
        place.timer?.cancel()
        this.#releaseAnswer(place)
        this.#places.delete(place.requestId)
      },
    }
    place.timer = startDeadline({
      clock,
      timeoutMs: protocol.timeoutMs,
      stallMs: protocol.stallMs,
      progress: () => this.#outgoing.sentBytes,
      onOver: () => this.#lastWord(place, "busy"),
    })
    this.#outgoing.message(place.answer)
  }

  #refuse(place: Place, code: string): void {
    if (this.#isClosed) return
    if (place.isCancelled) return this.#lastWord(place, "busy")
    this.#places.delete(place.requestId)
    this.#outgoing.control({ type: "refusal", requestId: place.requestId, code })
  }

  /** Ends a request without an answer. Its place is free when the asker has ended it too. */
  #lastWord(place: Place, type: "busy"): void {
    if (this.#isClosed || place.stage === "over") return
    place.timer?.cancel()
    const { stage } = place
    if (stage === "receiving") place.request.drop()
    if (place.answer !== undefined) this.#outgoing.drop(place.answer)
    if (stage === "answering") this.#releaseAnswer(place)
    place.stage = "over"
    if (stage !== "receiving" || place.isCancelled) this.#places.delete(place.requestId)
    this.#outgoing.control({ type, requestId: place.requestId })
  }

  #releaseAnswer(place: Place): void {
    this.#options.budget.release(place.answer?.message.length ?? 0)
    place.answer = undefined
  }

  #onCancel(requestId: number): void {
    const place = this.#places.get(requestId)
    if (place === undefined) {
      // Our last word may have crossed the cancel on its way.
      if (requestId > this.#lastId) throw breach(`cancel of request ${requestId}, never asked`)
      return
    }
    if (place.stage === "over") {
      this.#places.delete(requestId)
    } else {
      place.isCancelled = true
      if (place.stage !== "handling") this.#lastWord(place, "busy")
    }
  }
}

/**
 * What one side of a stream has to send, and which frame goes next.
 *
 * Control frames go first; they cost no credit. Then messages of one frame and pieces of long
 * messages take turns, so that a small one never waits for a large one to end; long messages go
 * one after another, so that the receiver holds one at a time. Pure but for the pipe.
 */

import { FRAME_BYTES_MAX } from "../../protocol/limits.ts"
import type { NodeError } from "../errors.ts"
import { SendCredit } from "./credits.ts"
import { encodeFrame, type CreditFrame, type EndFrame, type RefusalFrame } from "./frames.ts"

/** One direction of bytes towards the other side. */
export interface Pipe {
  /** Hands over bytes. False: take a rest until the pipe reports that it drained. */
  send(bytes: Uint8Array): boolean
  /** Ends the stream at once, both ways. */
  abort(error: NodeError): void
}

/** A message on its way out. */
export interface Outbound {
  readonly type: "request" | "answer"
  readonly message: Uint8Array
  /** Called when the first frame goes; returns the request id that the frames carry. */
  readonly start: () => number
  /** Called when the last frame has gone. */
  readonly sent: () => void
}

interface Queued {
  readonly outbound: Outbound
  requestId: number
  offset: number
}

export class Outgoing {
  readonly #pipe: Pipe
  readonly #credit = new SendCredit()
  readonly #control: (RefusalFrame | CreditFrame | EndFrame)[] = []
  readonly #short: Queued[] = []
  readonly #long: Queued[] = []
  #isWritable: boolean
  #isPumping = false
  #sentBytes = 0
  #longIsNext = false

  /** `isWritable` is false while the stream is still being opened. */
  constructor(pipe: Pipe, isWritable: boolean) {
    this.#pipe = pipe
    this.#isWritable = isWritable
  }

  /** Bytes of messages that have gone, as far as the credit for them goes. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  control(frame: RefusalFrame | CreditFrame | EndFrame): void {
    this.#control.push(frame)
    this.#pump()
  }

  message(outbound: Outbound): void {
    const queue = outbound.message.length <= FRAME_BYTES_MAX ? this.#short : this.#long
    queue.push({ outbound, requestId: 0, offset: 0 })
    this.#pump()
  }

  /** Sends no further frame of a message. */
  drop(outbound: Outbound): void {
    for (const queue of [this.#short, this.#long]) {
      const index = queue.findIndex((queued) => queued.outbound === outbound)
      if (index >= 0) queue.splice(index, 1)
    }
  }

  addCredit(bytes: number): void {
    this.#credit.add(bytes)
    this.#pump()
  }

  /** The pipe takes bytes again. */
  drained(): void {
    this.#isWritable = true
    this.#pump()
  }

  /** Drops everything; the stream is gone. */
  close(): void {
    this.#isWritable = false
    this.#control.length = 0
    this.#short.length = 0
    this.#long.length = 0
  }

  #pump(): void {
    // Callbacks of a sent message may queue the next one: the running loop takes it.
    if (this.#isPumping) return
    this.#isPumping = true
    try {
      while (this.#isWritable && this.#sendOne()) {
        // One frame at a time, until nothing may go.
      }
    } finally {
      this.#isPumping = false
    }
  }

  #sendOne(): boolean {
    const control = this.#control.shift()
    if (control !== undefined) {
      this.#write(encodeFrame(control))
      return true
    }
    const queue = this.#nextQueue()
    const queued = queue[0]
    if (queued === undefined) return false
    const { type, message, start, sent } = queued.outbound
    const payload = message.subarray(queued.offset, queued.offset + FRAME_BYTES_MAX)
    if (payload.length > this.#credit.available) return false
    if (queued.requestId === 0) queued.requestId = start()
    queued.offset += payload.length
    const isLast = queued.offset === message.length
    if (isLast) queue.shift()
    this.#longIsNext = queue === this.#short
    this.#credit.spend(payload.length)
    this.#sentBytes += payload.length
    this.#write(encodeFrame({ type, requestId: queued.requestId, isLast, payload }))
    if (isLast) sent()
    return true
  }

  #nextQueue(): Queued[] {
    if (this.#short.length === 0) return this.#long
    if (this.#long.length === 0) return this.#short
    return this.#longIsNext ? this.#long : this.#short
  }

  #write(bytes: Uint8Array): void {
    if (!this.#pipe.send(bytes)) this.#isWritable = false
  }
}

/**
 * Frames: what one stream carries, byte by byte (PROTOCOL §10.3).
 *
 * Pure. The opener of a stream sends requests and cancels, the other side answers, refusals and
 * busy; both send credits. A message travels in frames of which all but the last are full, so one
 * message has one encoding and tiny frames cannot eat memory. Lengths are checked before anything
 * is allocated.
 *
 *     offset 0   type, 1 … 6
 *     offset 1   flags: 1 on the last frame of a message, otherwise 0
 *     offset 2   request id, u32, from 1 upwards; 0 in a credit
 *     offset 6   length of the payload, u32
 *     offset 10  payload
 */

import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "../../protocol/limits.ts"
import { REFUSAL_CODE_BYTES_MAX, STREAM_CREDIT_BYTES } from "../../protocol/limits.ts"
import { assert } from "../../protocol/assert.ts"
import { NodeError } from "../errors.ts"

export type Frame = MessageFrame | RefusalFrame | CreditFrame | EndFrame

/** A piece of a request or answer. */
export interface MessageFrame {
  readonly type: "request" | "answer"
  readonly requestId: number
  readonly isLast: boolean
  readonly payload: Uint8Array
}

/** The handler refused the request; `code` is its stable error code. */
export interface RefusalFrame {
  readonly type: "refusal"
  readonly requestId: number
  readonly code: string
}

/** The sender of this frame has room for so many more payload bytes. */
export interface CreditFrame {
  readonly type: "credit"
  readonly bytes: number
}

/** `cancel`: the asker no longer wants an answer. `busy`: there will be no answer, try later. */
export interface EndFrame {
  readonly type: "cancel" | "busy"
  readonly requestId: number
}

const TYPES = ["request", "answer", "refusal", "credit", "cancel", "busy"] as const
const FLAG_LAST = 1
const CREDIT_PAYLOAD_BYTES = 4
const REFUSAL_CODE = /^[A-Z][A-Z0-9_]*$/

/** The bytes of a frame; fields out of range are our own mistake. */
export function encodeFrame(frame: Frame): Uint8Array {
  const payload = encodePayload(frame)
  assert(payload.length <= FRAME_BYTES_MAX, `frame payload of ${payload.length} bytes`)
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = TYPES.indexOf(frame.type) + 1
  bytes[1] = "isLast" in frame && frame.isLast ? FLAG_LAST : 0
  view.setUint32(2, frame.type === "credit" ? 0 : frame.requestId)
  view.setUint32(6, payload.length)
  bytes.set(payload, FRAME_HEADER_BYTES)
  return bytes
}

function encodePayload(frame: Frame): Uint8Array {
  if ("payload" in frame) return frame.payload
  if (frame.type === "refusal") return new TextEncoder().encode(frame.code)
  if (frame.type !== "credit") return new Uint8Array(0)
  const bytes = new Uint8Array(CREDIT_PAYLOAD_BYTES)
  new DataView(bytes.buffer).setUint32(0, frame.bytes)
  return bytes
}

/**
 * Cuts a stream of bytes into frames.
 *
 * Holds at most one frame. The payloads it gives out are copies, so that they keep nothing of the
 * stack's buffers alive.
 */
export class FrameReader {
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES)
  #headerBytes = 0
  #payload: Uint8Array | undefined
  #payloadBytes = 0
  #broken = false

  /** Bytes held for a frame that is not complete. */
  get held(): number {
    return this.#headerBytes + (this.#payload?.length ?? 0)
  }

  /**
   * Takes the next bytes of the stream and calls `onFrame` for each frame that they complete.
   *
   * @throws {@link NodeError} `STREAM_PROTOCOL` for bytes that are no frame; nothing is read after.
   */
  push(bytes: Uint8Array, onFrame: (frame: Frame) => void): void {
    if (this.#broken) throw breach("the stream has broken the protocol already")
    let offset = 0
    try {
      while (offset < bytes.length) {
        offset += this.#payload === undefined ? this.#fillHeader(bytes, offset) : 0
        if (this.#payload === undefined) continue
        offset += this.#fillPayload(this.#payload, bytes, offset)
        if (this.#payloadBytes < this.#payload.length) continue
        const frame = this.#frame(this.#payload)
        this.#payload = undefined
        this.#headerBytes = 0
        this.#payloadBytes = 0
        onFrame(frame)
      }
    } catch (error) {
      this.#broken = true
      throw error
    }
  }

  #fillHeader(bytes: Uint8Array, offset: number): number {
    const count = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, bytes.length - offset)
    this.#header.set(bytes.subarray(offset, offset + count), this.#headerBytes)
    this.#headerBytes += count
    if (this.#headerBytes === FRAME_HEADER_BYTES) {
      const length = this.#view().getUint32(6)
      this.#checkHeader(length)
      this.#payload = new Uint8Array(length)
    }
    return count
  }

  #fillPayload(payload: Uint8Array, bytes: Uint8Array, offset: number): number {
    const count = Math.min(payload.length - this.#payloadBytes, bytes.length - offset)
    payload.set(bytes.subarray(offset, offset + count), this.#payloadBytes)
    this.#payloadBytes += count
    return count
  }

  #view(): DataView {
    return new DataView(this.#header.buffer)
  }

  #type(): (typeof TYPES)[number] {
    const number = this.#header[0] ?? 0
    const type = TYPES[number - 1]
    if (type === undefined) throw breach(`expected a frame type of 1 … 6, got ${number}`)
    return type
  }

  /** Everything that can be known before the payload is there. */
  #checkHeader(length: number): void {
    const type = this.#type()
    const flags = this.#header[1] ?? 0
    const requestId = this.#view().getUint32(2)
    const isMessage = type === "request" || type === "answer"
    if (flags !== 0 && !(isMessage && flags === FLAG_LAST)) {
      throw breach(`expected no flags on a ${type} frame but the last one's, got ${flags}`)
    }
    if ((requestId === 0) !== (type === "credit")) {
      throw breach(`expected a request id in each frame but credit, got ${requestId} in ${type}`)
    }
    const [min, max] = lengthBounds(type, flags === FLAG_LAST)
    if (length < min || length > max) {
      throw breach(`expected ${min} … ${max} bytes in a ${type} frame, got ${length}`)
    }
  }

  #frame(payload: Uint8Array): Frame {
    const type = this.#type()
    const requestId = this.#view().getUint32(2)
    if (type === "request" || type === "answer") {
      return { type, requestId, isLast: this.#header[1] === FLAG_LAST, payload }
    }
    if (type === "refusal") {
      const code = String.fromCharCode(...payload)
      if (!REFUSAL_CODE.test(code)) throw breach("expected an error code in a refusal")
      return { type, requestId, code }
    }
    if (type !== "credit") return { type, requestId }
    const bytes = new DataView(payload.buffer).getUint32(0)
    if (bytes === 0 || bytes > STREAM_CREDIT_BYTES) {
      throw breach(`expected a credit of 1 … ${STREAM_CREDIT_BYTES} bytes, got ${bytes}`)
    }
    return { type, bytes }
  }
}

function lengthBounds(type: (typeof TYPES)[number], isLast: boolean): readonly [number, number] {
  if (type === "refusal") return [1, REFUSAL_CODE_BYTES_MAX]
  if (type === "credit") return [CREDIT_PAYLOAD_BYTES, CREDIT_PAYLOAD_BYTES]
  if (type === "cancel" || type === "busy") return [0, 0]
  return isLast ? [0, FRAME_BYTES_MAX] : [FRAME_BYTES_MAX, FRAME_BYTES_MAX]
}

/** The other side broke the stream protocol. */
export function breach(why: string): NodeError {
  return new NodeError("STREAM_PROTOCOL", `stream: ${why}`)
}

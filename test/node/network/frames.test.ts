/** Frames: any bytes give frames or one coded error, and never more memory than a frame's. */

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { NodeError } from "../../../node/errors.ts"
import { encodeFrame, FrameReader, type Frame } from "../../../node/network/frames.ts"
import {
  FRAME_BYTES_MAX,
  FRAME_HEADER_BYTES,
  STREAM_CREDIT_BYTES,
} from "../../../protocol/limits.ts"

const requestId = fc.integer({ min: 1, max: 0xffff_ffff })
const message = fc.record({
  type: fc.constantFrom("request" as const, "answer" as const),
  requestId,
  isLast: fc.constant(true),
  payload: fc.uint8Array({ maxLength: 300 }),
})
const full = fc.record({
  type: fc.constantFrom("request" as const, "answer" as const),
  requestId,
  isLast: fc.boolean(),
  payload: fc.constant(new Uint8Array(FRAME_BYTES_MAX).fill(5)),
})
const refusal = fc.record({
  type: fc.constant("refusal" as const),
  requestId,
  code: fc.constantFrom("NODE_BUSY", "A", "ENVELOPE_SIGNATURE", "X".repeat(64)),
})
const credit = fc.record({
  type: fc.constant("credit" as const),
  bytes: fc.integer({ min: 1, max: STREAM_CREDIT_BYTES }),
})
const end = fc.record({ type: fc.constantFrom("cancel" as const, "busy" as const), requestId })
const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  { weight: 5, arbitrary: message },
  full,
  refusal,
  credit,
  end,
)

/** Feeds bytes in pieces of the given sizes; returns the frames and the error, if any. */
function read(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]) {
  const reader = new FrameReader()
  const frames: Frame[] = []
  let held = 0
  try {
    for (let offset = 0, turn = 0; offset < bytes.length; turn++) {
      const size = Math.max(1, sizes[turn % sizes.length] ?? 1)
      reader.push(bytes.subarray(offset, offset + size), (frame) => frames.push(frame))
      held = Math.max(held, reader.held)
      offset += size
    }
  } catch (error) {
    return { frames, held, error }
  }
  return { frames, held, error: undefined }
}

function codeOf(error: unknown): string {
  if (error === undefined) return "none"
  return error instanceof NodeError ? error.code : "not coded"
}

function join(frames: readonly Frame[]): Uint8Array {
  return new Uint8Array(Buffer.concat(frames.map(encodeFrame)))
}

function header(type: number, flags: number, id: number, length: number): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes[0] = type
  bytes[1] = flags
  view.setUint32(2, id)
  view.setUint32(6, length)
  return bytes
}

describe("frames", () => {
  it("come back as they were sent, however the bytes are cut", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), sizes, (frames, cuts) => {
        const result = read(join(frames), cuts)
        expect(result.error).toBeUndefined()
        expect(result.frames.length).toBe(frames.length)
        expect(Buffer.compare(join(result.frames), join(frames))).toBe(0)
      }),
      { numRuns: 200 },
    )
  })

  it("turn any bytes into frames that encode to the same bytes, or one coded error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const { frames, held, error } = read(bytes)
        const accepted = join(frames)
        expect(Buffer.compare(accepted, bytes.subarray(0, accepted.length))).toBe(0)
        expect(held).toBeLessThanOrEqual(FRAME_BYTES_MAX + FRAME_HEADER_BYTES)
        expect(codeOf(error)).toBeOneOf(["none", "STREAM_PROTOCOL"])
      }),
      { numRuns: 2_000 },
    )
  })

  it("stay whole or fail with the code when one byte of a good stream is changed", () => {
    const place = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 5 }), place, (frames, [at, by]) => {
        const bytes = join(frames)
        const index = at % bytes.length
        bytes[index] = (bytes[index] ?? 0) ^ by
        const { error, frames: got } = read(bytes)
        const accepted = join(got)
        expect(Buffer.compare(accepted, bytes.subarray(0, accepted.length))).toBe(0)
        expect(codeOf(error)).toBeOneOf(["none", "STREAM_PROTOCOL"])
      }),
      { numRuns: 1_000 },
    )
  })

  const bad: readonly [string, Uint8Array][] = [
    ["a payload above the limit, before it is allocated", header(1, 1, 1, FRAME_BYTES_MAX + 1)],
    ["a length of four gibibytes", header(2, 1, 1, 0xffff_ffff)],
    ["a frame that is not the last and not full", header(1, 0, 1, FRAME_BYTES_MAX - 1)],
    ["type 0", header(0, 0, 1, 0)],
    ["type 7", header(7, 0, 1, 0)],
    ["an unknown flag", header(1, 2, 1, 0)],
    ["a last flag on a cancel", header(5, 1, 1, 0)],
    ["request id 0", header(1, 1, 0, 0)],
    ["a credit with a request id", header(4, 0, 1, 4)],
    ["a cancel with a payload", header(5, 0, 1, 1)],
    ["an empty refusal", header(3, 0, 1, 0)],
    ["a refusal of 65 bytes", header(3, 0, 1, 65)],
    ["a refusal that is no code", Buffer.concat([header(3, 0, 1, 3), Buffer.from("a b")])],
    ["a credit of nothing", Buffer.concat([header(4, 0, 0, 4), Buffer.alloc(4)])],
    ["a credit above the window", Buffer.concat([header(4, 0, 0, 4), Buffer.alloc(4, 255)])],
  ]
  it.each(bad)("refuse %s", (_what, bytes) => {
    const { error, held } = read(bytes)
    expect(codeOf(error)).toBe("STREAM_PROTOCOL")
    expect(held).toBeLessThanOrEqual(FRAME_HEADER_BYTES + 64)
  })

  it("are not read any further after a breach", () => {
    const reader = new FrameReader()
    expect(() => reader.push(header(9, 0, 1, 0), () => {})).toThrow(NodeError)
    const good = encodeFrame({ type: "cancel", requestId: 1 })
    expect(() => reader.push(good, () => {})).toThrow("broken the protocol already")
  })
})

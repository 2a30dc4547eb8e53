/** Asker and answerer over a pipe in memory, on the virtual clock: places, credit, budget. */

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { NodeError } from "../../../node/errors.ts"
import { Answerer } from "../../../node/network/answerer.ts"
import { Asker } from "../../../node/network/asker.ts"
import { MessageBudget } from "../../../node/network/credits.ts"
import { encodeFrame, FrameReader, type Frame } from "../../../node/network/frames.ts"
import type { Pipe } from "../../../node/network/outgoing.ts"
import type { ProtocolSpec } from "../../../node/network/transport.ts"
import { ProtocolError } from "../../../protocol/errors.ts"
import {
  FRAME_BYTES_MAX,
  REQUESTS_PER_STREAM_MAX,
  STREAM_CREDIT_BYTES,
} from "../../../protocol/limits.ts"
import { createVirtualClock, type VirtualClock } from "../../support/clock.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const ECHO = echoProtocol("bulk", 5_000_000, 10_000)
/** As {@link ECHO}, for answers that may take long while bytes move. */
const PATIENT = { ...echoProtocol("bulk", 5_000_000, 60_000), stallMs: 1_000 }

/** A pipe that keeps what was written until the test carries it over. */
class HeldPipe implements Pipe {
  readonly frames: Frame[] = []
  readonly #reader = new FrameReader()
  aborted: NodeError | undefined

  send(bytes: Uint8Array): boolean {
    this.#reader.push(bytes, (frame) => this.frames.push(frame))
    return true
  }

  abort(error: NodeError): void {
    this.aborted = error
  }

  take(): Frame[] {
    return this.frames.splice(0)
  }
}

type Handler = (request: Uint8Array) => Promise<Uint8Array>

function pair(
  handler: Handler = (request) => Promise.resolve(request),
  budget?: MessageBudget,
  protocol: ProtocolSpec = ECHO,
) {
  const clock: VirtualClock = createVirtualClock()
  const out = new HeldPipe()
  const back = new HeldPipe()
  const askerBudget = new MessageBudget()
  const answererBudget = budget ?? new MessageBudget()
  const bugs: unknown[] = []
  const asker = new Asker({ protocol, clock, budget: askerBudget, pipe: out })
  const answerer = new Answerer({
    protocol,
    handler,
    clock,
    budget: answererBudget,
    pipe: back,
    onBug: (error) => bugs.push(error),
  })
  asker.drained()
  /** Carries everything over, both ways, until nothing moves. */
  const carry = async (): Promise<void> => {
    for (let round = 0; round < 10_000; round++) {
      for (const frame of out.take()) answerer.receive(encodeFrame(frame))
      await clock.settle()
      for (const frame of back.take()) asker.receive(encodeFrame(frame))
      await clock.settle()
      if (out.frames.length + back.frames.length === 0) return
    }
    throw new Error("frames without end")
  }
  return { clock, out, back, asker, answerer, askerBudget, answererBudget, bugs, carry }
}

/** How a request ended. */
function watch(promise: Promise<Uint8Array>) {
  const seen: { answer?: Uint8Array; error?: Error; code?: string } = {}
  void (async () => {
    try {
      seen.answer = await promise
    } catch (error) {
      if (error instanceof Error) seen.error = error
      if (error instanceof NodeError) seen.code = error.code
    }
  })()
  return seen
}

function frame(id: number, payload: Uint8Array, isLast = true): Uint8Array {
  return encodeFrame({ type: "request", requestId: id, isLast, payload })
}

describe("asker and answerer", () => {
  it("carry messages of any size, many at once, and give all memory back", async () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 100 }),
      fc.constantFrom(65_535, 65_536, 65_537, 131_072, 400_000),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 80 }), async (sizes) => {
        const p = pair()
        const seen = sizes.map((bytes, index) =>
          watch(p.asker.request(new Uint8Array(bytes).fill(index), 5_000)),
        )
        await p.carry()
        seen.forEach(({ answer }, index) => {
          expect(answer?.length).toBe(sizes[index])
          expect(answer?.every((byte) => byte === index)).toBe(true)
        })
        expect(p.asker.underWay + p.answerer.underWay).toBe(0)
        expect(p.askerBudget.used + p.answererBudget.used).toBe(0)
        expect(p.clock.pending).toBe(0)
      }),
      { numRuns: 25 },
    )
  }, 60_000)

  it("send no more than the credit until the other side gives some back", async () => {
    const p = pair()
    void p.asker.request(new Uint8Array(1_000_000), 5_000)
    const payload = p.out.frames.reduce(
      (bytes, one) => bytes + ("payload" in one ? one.payload.length : 0),
      0,
    )
    expect(payload).toBe(STREAM_CREDIT_BYTES)
    await p.carry()
    expect(p.asker.underWay).toBe(0)
  })

  it("let a small request pass between the frames of a large one", async () => {
    const order: number[] = []
    const p = pair((request) => {
      order.push(request.length)
      return Promise.resolve(new Uint8Array(0))
    })
    void p.asker.request(new Uint8Array(1_000_000), 5_000)
    void p.asker.request(new Uint8Array(10), 5_000)
    await p.carry()
    expect(order).toEqual([10, 1_000_000])
  })

  it("bring refusal codes through, and reset the stream for any other failure", async () => {
    const p = pair((request) => {
      if (request.length === 1) throw new ProtocolError("ENVELOPE_SIGNATURE", "wrong signature")
      throw new TypeError("a bug")
    })
    const refused = watch(p.asker.request(new Uint8Array(1), 5_000))
    await p.carry()
    expect(refused.code).toBe("REQUEST_REFUSED")
    expect(refused.error).toMatchObject({ refusal: "ENVELOPE_SIGNATURE" })
    void p.asker.request(new Uint8Array(2), 5_000).catch(() => {})
    await p.carry()
    expect(p.back.aborted?.code).toBe("STREAM_PROTOCOL")
    expect(p.bugs.length).toBe(1)
  })

  it("end a request at its deadline, free its place, and ignore the late answer", async () => {
    const late = Promise.withResolvers<Uint8Array>()
    const p = pair((request) => (request.length === 1 ? late.promise : Promise.resolve(request)))
    const slow = watch(p.asker.request(new Uint8Array(1), 100))
    await p.carry()
    await p.clock.runFor(100)
    expect(slow.code).toBe("STREAM_DEADLINE")
    await p.carry()
    expect(p.answerer.underWay).toBe(1)
    late.resolve(new Uint8Array(9))
    await p.carry()
    expect(p.answerer.underWay + p.asker.underWay).toBe(0)
    const next = watch(p.asker.request(new Uint8Array(2), 100))
    await p.carry()
    expect(next.answer?.length).toBe(2)
  })

  it("stop sending a request whose caller gave up in the middle", async () => {
    const p = pair()
    const controller = new AbortController()
    const seen = watch(p.asker.request(new Uint8Array(4_000_000), 5_000, controller.signal))
    controller.abort(new Error("changed my mind"))
    await p.carry()
    expect(seen.error?.message).toBe("changed my mind")
    expect(p.asker.underWay + p.answerer.underWay + p.answererBudget.used).toBe(0)
  })

  it("answer busy above the memory budget, keep nothing, and go on after", async () => {
    const budget = new MessageBudget(300_000, 0)
    const p = pair(undefined, budget)
    const large = watch(p.asker.request(new Uint8Array(400_000), 5_000))
    const small = watch(p.asker.request(new Uint8Array(1_000), 5_000))
    await p.carry()
    expect(large.code).toBe("NODE_BUSY")
    expect(small.answer?.length).toBe(1_000)
    expect(budget.used).toBe(0)
    expect(p.asker.underWay + p.answerer.underWay).toBe(0)
  })

  it("keep a part of the budget for the urgent lane", () => {
    const budget = new MessageBudget(100, 40)
    expect(budget.take(61, "bulk")).toBe(false)
    expect(budget.take(60, "bulk")).toBe(true)
    expect(budget.take(1, "bulk")).toBe(false)
    expect(budget.take(40, "urgent")).toBe(true)
    expect(budget.take(1, "urgent")).toBe(false)
  })

  it("queue requests above the places of a stream, and refuse them above the queue", async () => {
    const p = pair()
    const seen = Array.from({ length: 1_024 + REQUESTS_PER_STREAM_MAX }, () =>
      watch(p.asker.request(new Uint8Array(1), 5_000)),
    )
    const over = watch(p.asker.request(new Uint8Array(1), 5_000))
    expect(p.out.frames.length).toBe(REQUESTS_PER_STREAM_MAX)
    await p.carry()
    expect(seen.every(({ answer }) => answer?.length === 1)).toBe(true)
    expect(over.code).toBe("STREAM_LIMIT")
  })

  it("fail everything under way when the stream is gone", async () => {
    const p = pair(() => new Promise<Uint8Array>(() => {}))
    const seen = Array.from({ length: 50 }, () => watch(p.asker.request(new Uint8Array(9), 5_000)))
    await p.carry()
    p.asker.closed(new NodeError("PEER_UNREACHABLE", "stream: lost"))
    await p.clock.settle()
    expect(seen.every(({ code }) => code === "PEER_UNREACHABLE")).toBe(true)
    p.answerer.closed()
    expect(p.clock.pending).toBe(0)
  })
})

describe("a large answer on a thin line", () => {
  const LARGE = 2_000_000

  /** A request for it, and a line on which one frame of an answer comes at a time. */
  function scene(timeoutMs = PATIENT.timeoutMs) {
    const p = pair(() => Promise.resolve(new Uint8Array(LARGE)), undefined, PATIENT)
    const seen = watch(p.asker.request(new Uint8Array(1), timeoutMs))
    const next = async (pauseMs: number): Promise<void> => {
      for (const one of p.out.take()) p.answerer.receive(encodeFrame(one))
      await p.clock.settle()
      await p.clock.runFor(pauseMs)
      const [one] = p.back.frames.splice(0, 1)
      if (one !== undefined) p.asker.receive(encodeFrame(one))
    }
    return { ...p, seen, next }
  }

  it("may take much longer than a silence is borne, while bytes come", async () => {
    const { seen, next, asker, answerer, clock } = scene()
    for (let frames = 0; frames < Math.ceil(LARGE / FRAME_BYTES_MAX); frames++) await next(800)
    await clock.settle()
    expect(seen.answer?.length).toBe(LARGE)
    expect(asker.underWay + answerer.underWay).toBe(0)
    expect(clock.monotonicMs()).toBeGreaterThan(20 * PATIENT.stallMs)
    expect(clock.pending).toBe(0)
  })

  it("is given up by both sides when nothing comes any more", async () => {
    const { seen, next, asker, answerer, clock, answererBudget, askerBudget } = scene()
    for (let frames = 0; frames < 5; frames++) await next(800)
    expect(seen.code).toBeUndefined()
    expect(answererBudget.used).toBe(LARGE)
    await clock.runFor(2 * PATIENT.stallMs)
    expect(seen.code).toBe("STREAM_DEADLINE")
    expect(askerBudget.used + answererBudget.used).toBe(0)
    await next(0)
    expect(answerer.underWay).toBe(0)
    expect(asker.isClosed).toBe(false)
  })

  it("that comes ever so slowly has an end as well", async () => {
    const { seen, next, clock, askerBudget } = scene(20_000)
    while (clock.monotonicMs() < 20_000) await next(900)
    expect(seen.error?.message).toContain("within 20000 ms")
    expect(askerBudget.used).toBe(0)
  })
})

describe("an answerer facing a breach", () => {
  const endless: Handler = () => new Promise<Uint8Array>(() => {})

  it("takes as many requests as there are places, and no more", () => {
    const { answerer } = pair(endless)
    for (let id = 1; id <= REQUESTS_PER_STREAM_MAX; id++) answerer.receive(frame(id, empty()))
    const one = REQUESTS_PER_STREAM_MAX + 1
    expect(() => answerer.receive(frame(one, empty()))).toThrow("at most 32 requests under way")
  })

  it("does not free a place by a cancel while the handler runs", () => {
    const { answerer } = pair(endless)
    for (let id = 1; id <= REQUESTS_PER_STREAM_MAX; id++) {
      answerer.receive(frame(id, empty()))
      answerer.receive(encodeFrame({ type: "cancel", requestId: id }))
    }
    const one = REQUESTS_PER_STREAM_MAX + 1
    expect(() => answerer.receive(frame(one, empty()))).toThrow(NodeError)
  })

  it("ends a request that is not completed in time, and then takes the rest of it", async () => {
    const p = pair()
    p.answerer.receive(frame(1, new Uint8Array(FRAME_BYTES_MAX), false))
    expect(p.answererBudget.used).toBe(FRAME_BYTES_MAX)
    await p.clock.runFor(ECHO.timeoutMs)
    expect(p.back.take().map(({ type }) => type)).toEqual(["credit", "busy"])
    expect(p.answererBudget.used).toBe(0)
    p.answerer.receive(frame(1, new Uint8Array(5)))
    expect(p.answerer.underWay).toBe(0)
  })

  const breaches: readonly [string, (answerer: Answerer) => void][] = [
    ["a request id out of order", (a) => a.receive(frame(2, empty()))],
    ["a cancel of nothing", (a) => a.receive(encodeFrame({ type: "cancel", requestId: 1 }))],
    ["an answer", (a) => a.receive(encodeFrame({ type: "busy", requestId: 1 }))],
    ["credit never spent", (a) => a.receive(encodeFrame({ type: "credit", bytes: 1 }))],
    [
      "an empty frame at the end of a message",
      (a) => {
        a.receive(frame(1, new Uint8Array(FRAME_BYTES_MAX), false))
        a.receive(frame(1, empty()))
      },
    ],
    [
      "a request that goes on after its end",
      (a) => {
        a.receive(frame(1, empty()))
        a.receive(frame(1, empty()))
      },
    ],
    [
      "a request above the protocol's limit",
      (a) => {
        for (let sent = 0; sent < 80; sent++) {
          a.receive(frame(1, new Uint8Array(FRAME_BYTES_MAX), false))
        }
      },
    ],
  ]
  it.each(breaches)("refuses %s with the code", (_what, act) => {
    const { answerer } = pair(endless)
    let code = ""
    try {
      act(answerer)
    } catch (error) {
      if (error instanceof NodeError) code = error.code
    }
    expect(code).toBe("STREAM_PROTOCOL")
  })

  it("survives any frames in any order with bounded memory", async () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant("request" as const),
        requestId: fc.integer({ min: 1, max: 6 }),
        isLast: fc.boolean(),
        payload: fc.constant(new Uint8Array(FRAME_BYTES_MAX)),
      }),
      fc.record({ type: fc.constant("cancel" as const), requestId: fc.nat({ max: 6 }) }),
      fc.record({ type: fc.constant("credit" as const), bytes: fc.integer({ min: 1, max: 9 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const budget = new MessageBudget(500_000, 0)
        const p = pair(undefined, budget)
        let code = "STREAM_PROTOCOL"
        let usedMax = 0
        try {
          for (const one of steps) {
            if ("requestId" in one && one.requestId === 0) continue
            p.answerer.receive(encodeFrame(one))
            usedMax = Math.max(usedMax, budget.used)
            await p.clock.settle()
          }
        } catch (error) {
          code = error instanceof NodeError ? error.code : String(error)
        }
        expect(code).toBe("STREAM_PROTOCOL")
        expect(usedMax).toBeLessThanOrEqual(500_000)
        p.answerer.closed()
        await p.clock.settle()
        expect(budget.used).toBe(0)
        expect(p.clock.pending).toBe(0)
      }),
      { numRuns: 300 },
    )
  }, 60_000)
})

function empty(): Uint8Array {
  return new Uint8Array(0)
}

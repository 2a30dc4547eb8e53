import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeSignal,
  encodeSignal,
  raiseSignal,
  stepSignal,
  validateSignal,
  type SignalContent,
  type SignalEffect,
  type SignalEvent,
  type SignalProgress,
} from "../../protocol/hotline.ts"
import { SIGNAL_STATUSES } from "../../protocol/words.ts"
import { sampleSignal } from "../support/contents.ts"
import { refusal } from "../support/refusal.ts"

const DHAKA = 1
const LONDON = 2
const RAISED = 1_000_000
const EXPIRES = RAISED + 86_400_000

describe("the content of a signal", () => {
  it("comes back from its bytes as it went in", () => {
    const bytes = encodeSignal(sampleSignal())
    expect(decodeSignal(bytes)).toEqual(sampleSignal())
    expect(encodeSignal(decodeSignal(bytes))).toEqual(bytes)
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeSignal(sampleSignal())
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeSignal(decodeSignal(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|SIGNAL_INVALID)/)
      }),
      { seed: 6, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => decodeSignal(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 7, numRuns: 500 },
    )
    for (let length = 0; length < valid.length; length++) {
      expect(refusal(() => decodeSignal(valid.subarray(0, length)))).toMatch(/^CODEC_/)
    }
  })

  it("holds 3,000 bytes of text and place together and not one more", () => {
    const full: SignalContent = { ...sampleSignal(), text: "ক".repeat(900), place: "x".repeat(300) }
    expect(refusal(() => decodeSignal(encodeSignal(full)))).toBeUndefined()
    const over = { ...full, place: "x".repeat(301) }
    expect(refusal(() => validateSignal(over, "real"))).toBe("SIGNAL_INVALID")
    expect(refusal(() => decodeSignal(encodeSignal(over)))).toBe("SIGNAL_INVALID")
  })

  it("refuses a language that is no tag and an event id of another size", () => {
    for (const language of ["", "b", "bn_BD", "ব", "x".repeat(17)]) {
      const signal = { ...sampleSignal(), language }
      expect(
        refusal(() => validateSignal(signal, "real")),
        language,
      ).toBe("SIGNAL_INVALID")
    }
    const eventId = new Uint8Array(31)
    expect(refusal(() => validateSignal({ ...sampleSignal(), eventId }, "real"))).toBe(
      "SIGNAL_INVALID",
    )
    expect(refusal(() => validateSignal({ ...sampleSignal(), language: "en-GB" }, "real"))).toBe(
      undefined,
    )
  })

  it("cannot carry the words of the real thing in an exercise, a drill or a test", () => {
    const allowed = (["real", "exercise", "drill", "test"] as const).map((kind) =>
      SIGNAL_STATUSES.list.filter(
        (status) =>
          refusal(() => validateSignal({ ...sampleSignal(), status }, kind)) === undefined,
      ),
    )
    expect(allowed).toEqual([["actual", "system"], ["exercise"], ["exercise"], ["test"]])
  })
})

/** Runs events one after another; the last state and all effects after the first step's. */
function run(events: readonly SignalEvent[]): { state: SignalProgress; effects: SignalEffect[] } {
  let { state } = raiseSignal([DHAKA, LONDON], RAISED, EXPIRES)
  const effects: SignalEffect[] = []
  for (const event of events) {
    const step = stepSignal(state, event)
    state = step.state
    effects.push(...step.effects)
  }
  return { state, effects }
}

describe("a raised signal", () => {
  it("goes to all desks at once", () => {
    const { effects } = raiseSignal([DHAKA, LONDON], RAISED, EXPIRES)
    expect(effects).toEqual([
      { type: "transmit", desk: DHAKA },
      { type: "transmit", desk: LONDON },
    ])
  })

  it("is reported to the caller at each stage, once", () => {
    const { state, effects } = run([
      { type: "sent", desk: DHAKA, atMs: RAISED + 10 },
      { type: "displayed", desk: DHAKA, atMs: RAISED + 20 },
      { type: "displayed", desk: DHAKA, atMs: RAISED + 25 },
      { type: "acknowledged", desk: DHAKA, atMs: RAISED + 5_000 },
      { type: "acknowledged", desk: DHAKA, atMs: RAISED + 6_000 },
    ])
    expect(effects).toEqual([
      { type: "report", desk: DHAKA, stage: "sent", afterMs: 10, isLate: false },
      { type: "report", desk: DHAKA, stage: "displayed", afterMs: 20, isLate: false },
      { type: "report", desk: DHAKA, stage: "acknowledged", afterMs: 5_000, isLate: false },
    ])
    expect(state.desks[0]).toEqual({
      desk: DHAKA,
      stage: "acknowledged",
      sentMs: RAISED + 10,
      displayedMs: RAISED + 20,
      acknowledgedMs: RAISED + 5_000,
    })
    expect(state.desks[1]?.stage).toBe("raised")
  })

  it("keeps an acknowledgement that overtook the others, and notes their times without a report", () => {
    const { state, effects } = run([
      { type: "acknowledged", desk: LONDON, atMs: RAISED + 30 },
      { type: "displayed", desk: LONDON, atMs: RAISED + 20 },
      { type: "sent", desk: LONDON, atMs: RAISED + 10 },
    ])
    expect(effects).toHaveLength(1)
    expect(state.desks[1]).toMatchObject({
      stage: "acknowledged",
      sentMs: RAISED + 10,
      displayedMs: RAISED + 20,
    })
  })

  it("is sent again on contact until a screen shows it", () => {
    expect(run([{ type: "contact", desk: DHAKA }]).effects).toEqual([
      { type: "transmit", desk: DHAKA },
    ])
    const shown = run([
      { type: "displayed", desk: DHAKA, atMs: RAISED },
      { type: "contact", desk: DHAKA },
    ])
    expect(shown.effects.filter((one) => one.type === "transmit")).toEqual([])
  })

  it("expires once, names the desks that never showed it, and is not sent any more", () => {
    const { state, effects } = run([
      { type: "displayed", desk: DHAKA, atMs: RAISED + 20 },
      { type: "tick", nowMs: EXPIRES - 1 },
      { type: "tick", nowMs: EXPIRES },
      { type: "tick", nowMs: EXPIRES + 1 },
      { type: "contact", desk: LONDON },
    ])
    expect(effects.slice(1)).toEqual([{ type: "expired", notDisplayed: [LONDON] }])
    expect(state.isExpired).toBe(true)
  })

  it("still reports what comes after its time, as late", () => {
    const { effects } = run([
      { type: "tick", nowMs: EXPIRES },
      { type: "displayed", desk: LONDON, atMs: EXPIRES + 5 },
    ])
    expect(effects.at(-1)).toMatchObject({ type: "report", stage: "displayed", isLate: true })
  })

  it("rejects a desk that it was not raised to", () => {
    const { state, effects } = run([{ type: "displayed", desk: 77, atMs: RAISED }])
    expect(effects).toEqual([{ type: "reject", code: "SIGNAL_INVALID", desk: 77 }])
    expect(state.desks.map((one) => one.desk)).toEqual([DHAKA, LONDON])
  })

  it("ends in the same stages whatever the order, and never goes back", () => {
    const events: fc.Arbitrary<SignalEvent> = fc.oneof(
      fc.record({
        type: fc.constantFrom("sent", "displayed", "acknowledged"),
        desk: fc.constantFrom(DHAKA, LONDON),
        atMs: fc.integer({ min: RAISED - 1_000, max: EXPIRES + 1_000 }),
      }),
      fc.record({ type: fc.constant("contact"), desk: fc.constantFrom(DHAKA, LONDON, 3) }),
      fc.record({
        type: fc.constant("tick"),
        nowMs: fc.integer({ min: RAISED, max: EXPIRES + 1_000 }),
      }),
    )
    const order = ["raised", "sent", "displayed", "acknowledged"]
    fc.assert(
      fc.property(fc.array(events, { maxLength: 20 }), (list) => {
        let { state } = raiseSignal([DHAKA, LONDON], RAISED, EXPIRES)
        for (const event of list) {
          const next = stepSignal(state, event)
          for (const [index, desk] of next.state.desks.entries()) {
            const before = state.desks[index]?.stage ?? ""
            expect(order.indexOf(desk.stage)).toBeGreaterThanOrEqual(order.indexOf(before))
          }
          // The same event again changes nothing.
          expect(stepSignal(next.state, event).state).toBe(next.state)
          state = next.state
        }
        const stages = (result: SignalProgress): string[] => result.desks.map((one) => one.stage)
        expect(stages(run(list.toReversed()).state)).toEqual(stages(state))
      }),
      { seed: 8, numRuns: 300 },
    )
  })
})

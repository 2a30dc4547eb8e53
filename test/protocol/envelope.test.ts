import { describe, expect, it } from "vitest"
import { encodeCable } from "../../protocol/cable.ts"
import { encodeCopy } from "../../protocol/copy.ts"
import { copyFor, sealEnvelope } from "../../protocol/envelope.ts"
import { openCopy } from "../../protocol/open.ts"
import { sampleCable, sampleSignal } from "../support/contents.ts"
import { cableInput, copyOf, sealCable, sealSignal, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suites } from "../support/suites.ts"

describe.each(suites)("sealing on the $name suite", (suite) => {
  const world = new World(suite, "envelope")
  const { dhaka, lisbon, nairobi } = world

  it("gives every addressee a copy that opens to the same content", () => {
    const sealed = sealCable(world, { from: lisbon, to: [nairobi, dhaka] })
    for (const post of [dhaka, nairobi]) {
      const opened = openCopy(suite, copyOf(sealed, post), world.lookups(post))
      expect(opened.content).toEqual({ type: "cable", cable: sampleCable() })
      expect(opened.cableId).toEqual(sealed.cableId)
      expect(opened.salt).toEqual(sealed.salt)
      expect(opened.secret).toEqual(sealed.secret)
      expect(opened.inner.recipients.map((one) => one.rid)).toEqual([dhaka.rid, nairobi.rid])
    }
  })

  it("gives a signal to every desk in one size", () => {
    const short = sealSignal(world, lisbon, [dhaka, nairobi])
    const long = sealSignal(world, lisbon, [dhaka], {
      ...sampleSignal(),
      text: "ক".repeat(900),
      place: "x".repeat(300),
    })
    expect(long.body.length).toBe(short.body.length)
    const opened = openCopy(suite, copyOf(long, dhaka), world.lookups(dhaka))
    expect(opened.content).toMatchObject({ type: "signal", signal: { place: "x".repeat(300) } })
    expect(opened.release?.signatures).toHaveLength(1)
  })
})

describe("sealing", () => {
  const [suite] = suites
  if (suite === undefined) throw new TypeError("there is a suite")
  const world = new World(suite, "sealing")
  const { dhaka, lisbon, nairobi } = world

  it("says nothing of the number of recipients in header or path", () => {
    const sealed = [[dhaka], [dhaka, nairobi]].map((to) => sealCable(world, { from: lisbon, to }))
    const [one, two] = sealed
    expect(one?.header.length).toBe(two?.header.length)
    for (const { wraps } of sealed) {
      for (const wrap of wraps) expect(wrap.path).toHaveLength(224)
    }
  })

  it("makes two envelopes of one draft that share no secret byte string", () => {
    const input = cableInput(world, { from: lisbon, to: [dhaka] })
    const a = sealEnvelope(suite, input, world.random)
    const b = sealEnvelope(suite, input, world.random)
    expect(a.secret).not.toEqual(b.secret)
    expect(a.cableId).not.toEqual(b.cableId)
    expect(a.wraps[0]?.wrap).not.toEqual(b.wraps[0]?.wrap)
  })

  it("gives one cableId whatever bytes its signature has", () => {
    const sealed = sealCable(world, { from: lisbon, to: [dhaka] })
    const again = lisbon.sign("TB1/cable/real", sealed.cableId)
    expect(again).not.toEqual(sealed.signature)
    const copy = { ...copyOf(sealed, dhaka), signature: again }
    expect(openCopy(suite, copy, world.lookups(dhaka)).cableId).toEqual(sealed.cableId)
  })

  it("marks the highest precedence among the addressees", () => {
    const input = cableInput(world, { from: lisbon, to: [dhaka, nairobi] })
    const recipients = input.recipients.map((one) => ({
      ...one,
      precedence: one.rid === nairobi.rid ? ("flash" as const) : ("routine" as const),
    }))
    const sealed = sealEnvelope(suite, { ...input, recipients }, world.random)
    expect(sealed.core.highestPrecedence).toBe("flash")
  })

  it("seals for 81 missions and refuses 82, one twice, and one who is exempted", () => {
    const input = cableInput(world, { from: lisbon, to: [dhaka] })
    const [first] = input.recipients
    if (first === undefined) throw new TypeError("there is a recipient")
    const many = (count: number): typeof input =>
      ({
        ...input,
        recipients: Array.from({ length: count }, (_, index) => ({ ...first, rid: 100 + index })),
      }) as const
    const sealed = sealEnvelope(suite, many(81), world.random)
    expect(new Set(sealed.wraps.map((wrap) => wrap.index)).size).toBe(81)
    const twice = { ...input, recipients: [first, first] }
    const exempted = { ...input, exempted: [first.rid] }
    for (const wrong of [many(82), many(0), twice, exempted]) {
      expect(refusal(() => sealEnvelope(suite, wrong, world.random))).toBe("ENVELOPE_RECIPIENTS")
    }
  })

  it("refuses a signal that outgrows its size, and an envelope that expires before it is made", () => {
    const input = cableInput(world, { from: lisbon, to: [dhaka] })
    const content = new Uint8Array(8_000)
    const signal = { ...input, bodyType: "signal" as const, content }
    expect(refusal(() => sealEnvelope(suite, signal, world.random))).toBe("ENVELOPE_PADDING")
    const expired = { ...input, expiresMs: input.createdMs }
    expect(refusal(() => sealEnvelope(suite, expired, world.random))).toBe("ENVELOPE_HEADER")
  })

  it("fits the fullest signal, to 16 desks with 3,000 bytes of text, in the fixed size", () => {
    const desks = Array.from({ length: 16 }, (_, index) => ({ ...dhaka, rid: 60_000 + index }))
    const full = { ...sampleSignal(), text: "ক".repeat(1_000), place: "", language: "bn-Beng-BD" }
    const sealed = sealSignal(world, lisbon, desks, full)
    expect(sealed.core.paddedLen).toBe(8_192)
    expect(encodeCopy(copyFor(sealed, 60_015)).length).toBeLessThan(13_500)
  })

  it("carries a text of 1 MiB over many chunks and pieces", () => {
    const cable = { ...sampleCable(), text: "শান্তি ".repeat(58_000).slice(0, 349_000) }
    const sealed = sealCable(world, { from: lisbon, to: [dhaka], cable })
    expect(encodeCable(cable).length).toBeGreaterThan(900_000)
    const opened = openCopy(suite, copyOf(sealed, dhaka), world.lookups(dhaka))
    expect(opened.content).toEqual({ type: "cable", cable })
  })

  it("has no copy for a mission that it was not sealed to", () => {
    const sealed = sealCable(world, { from: lisbon, to: [dhaka] })
    expect(() => copyFor(sealed, nairobi.rid)).toThrow("mission 3 is a recipient")
  })
})

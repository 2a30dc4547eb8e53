import { describe, expect, it } from "vitest"
import { encode, type Encodable } from "../../protocol/codec.ts"
import { decodeCopy, encodeCopy, verifyCopy, type EnvelopeCopy } from "../../protocol/copy.ts"
import { coreFields, encodeCore } from "../../protocol/core.ts"
import { decodeHeader, encodeHeader, type Header } from "../../protocol/header.ts"
import { openCopy } from "../../protocol/open.ts"
import { PRECEDENCES } from "../../protocol/words.ts"
import { sampleCable } from "../support/contents.ts"
import { copyOf, sealCable, sealSignal, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const ENVELOPES = 22
const world = new World(suite, "mutants")
const { dhaka, lisbon, nairobi } = world
const lookups = world.lookups(dhaka)

function envelope(index: number): EnvelopeCopy {
  if (index % 5 === 4) return copyOf(sealSignal(world, lisbon, [dhaka]), dhaka)
  const to = index % 2 === 0 ? [dhaka] : [nairobi, dhaka]
  const precedence = PRECEDENCES.list[index % PRECEDENCES.list.length] ?? "routine"
  const cable = { ...sampleCable(), text: "আ".repeat(1 + 150 * index) }
  return copyOf(sealCable(world, { from: lisbon, to, precedence, cable }), dhaka)
}

function flip(bytes: Uint8Array, at: number, bit: number): Uint8Array {
  return bytes.with(at, (bytes[at] ?? 0) ^ (1 << bit))
}

/** Every `step`th byte of a field with one bit changed, first and last byte always among them. */
function* flips(bytes: Uint8Array, step: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield flip(bytes, at, at % 8)
  yield flip(bytes, bytes.length - 1, 7)
  yield bytes.subarray(0, bytes.length - 1)
  yield Uint8Array.of(...bytes.subarray(0, 8_000), 0)
}

function changed(value: Encodable): Encodable {
  if (typeof value === "number") return value + 1
  if (typeof value === "string") return `${value}x`
  return value instanceof Uint8Array ? flip(value, 5, 3) : []
}

/** Headers that are well formed but for one changed field; coreHash follows where core changed. */
function* headers(bytes: Uint8Array): Generator<Uint8Array> {
  const header = decodeHeader(suite, bytes)
  const core = coreFields(header.core) as readonly Encodable[]
  const { coreHash, bodyCommit, bodyRoot, bodyLen, wrapsRoot, saltHash, releaseCommit } = header
  const rest: readonly Encodable[] = [
    bodyCommit,
    bodyRoot,
    bodyLen,
    wrapsRoot,
    saltHash,
    releaseCommit,
  ]
  for (const [index, value] of core.entries()) {
    const other = core.with(index, changed(value))
    yield encode(["TB1/hdr", suite.sha256(encode(other)), other, ...rest])
    yield encode(["TB1/hdr", coreHash, other, ...rest])
  }
  for (const [index, value] of rest.entries()) {
    yield encode(["TB1/hdr", coreHash, core, ...rest.with(index, changed(value))])
  }
  yield encode(["TB1/hdr", flip(coreHash, 0, 0), core, ...rest])
  const kinds = ["exercise", "drill", "test"] as const
  for (const kind of kinds) {
    const other = { ...header.core, kind }
    const again: Header = { ...header, core: other, coreHash: suite.sha256(encodeCore(other)) }
    yield encodeHeader(again)
  }
}

function* mutants(copy: EnvelopeCopy): Generator<[string, Partial<EnvelopeCopy>]> {
  for (const header of flips(copy.header, 1)) yield ["header bytes", { header }]
  for (const header of headers(copy.header)) yield ["header field", { header }]
  for (const signature of flips(copy.signature, 131)) yield ["signature", { signature }]
  for (const ekHash of flips(copy.ekHash, 8)) yield ["ekHash", { ekHash }]
  for (const wrap of flips(copy.wrap, 71)) yield ["wrap", { wrap }]
  for (const path of flips(copy.path, 9)) yield ["path", { path }]
  for (const body of flips(copy.body, Math.ceil(copy.body.length / 24))) yield ["body", { body }]
  for (const rid of [0, copy.rid + 1, nairobi.rid, 0xffff]) yield ["rid", { rid }]
  for (const epoch of [0, copy.epoch + 1, 0xffff_ffff]) yield ["epoch", { epoch }]
  for (const precedence of PRECEDENCES.list) {
    if (precedence !== copy.precedence) yield ["precedence", { precedence }]
  }
  for (let index = 0; index < 128; index += 7) {
    if (index !== copy.index) yield ["index", { index }]
  }
}

describe("mutated envelopes", () => {
  const copies = Array.from({ length: ENVELOPES }, (_, index) => envelope(index))

  it("start from envelopes that relay and recipient accept", () => {
    for (const copy of copies) {
      verifyCopy(suite, copy, lookups)
      openCopy(suite, decodeCopy(encodeCopy(copy)), lookups)
    }
  })

  it(`are refused, all single-field changes of ${ENVELOPES} envelopes, by relay and recipient`, () => {
    let count = 0
    const accepted: string[] = []
    for (const [number, copy] of copies.entries()) {
      for (const [field, change] of mutants(copy)) {
        count += 1
        const mutant = { ...copy, ...change }
        const relay = refusal(() => verifyCopy(suite, mutant, lookups))
        const recipient = refusal(() => openCopy(suite, mutant, lookups))
        if (relay === undefined) accepted.push(`relay: envelope ${number}, ${field}`)
        if (recipient === undefined) accepted.push(`recipient: envelope ${number}, ${field}`)
      }
    }
    console.log(`envelope mutants: ${count} tried, ${accepted.length} accepted`)
    expect(accepted).toEqual([])
    expect(count).toBeGreaterThanOrEqual(10_000)
  })
})

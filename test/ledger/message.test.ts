import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodePacket,
  decodePacketAnswer,
  decodePacketHead,
  encodeMessage,
  encodePacket,
  encodePacketAnswer,
  type Message,
  type Packet,
} from "../../ledger/message.ts"
import { assembleCertificate } from "../../ledger/certificate.ts"
import { genesisHead } from "../../ledger/chain.ts"
import { FETCH_VIEWS_MAX, PACKET_MESSAGES_MAX } from "../../protocol/limits.ts"
import { decoding } from "../support/canonical.ts"
import {
  batch,
  CAPITAL,
  CHAIN_ID,
  finalBlockOn,
  flipped,
  named,
  validatorSet,
  voteOf,
} from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const four = validatorSet(4)
const hash = named("a block")
const vote = voteOf(1, "notarize", 5, hash)
const votes = [0, 1, 2].map((signer) => voteOf(signer, "nullify", 5, hash))
const certificate = assembleCertificate(votes, four)
const { block } = finalBlockOn(genesisHead(CHAIN_ID), [batch(CAPITAL, 1)])
if (certificate === undefined) throw new Error("nothing to send")

const MESSAGES: readonly Message[] = [
  { type: "vote", vote },
  { type: "certificate", certificate },
  { type: "proposal", vote, block },
  { type: "fetch", fromView: 3, toView: 3 + FETCH_VIEWS_MAX - 1 },
  { type: "fetchBlock", hash },
  { type: "block", block },
]

const run = named("run").slice(0, 16)
const HEAD = { epoch: 0, finalView: 0, run }

const encodeIt = ({ messages, ...head }: Packet): Uint8Array =>
  encodePacket(head, messages.map(encodeMessage))
const decodeIt = (bytes: Uint8Array): Packet => decodePacket(suite, bytes)

describe("a packet", () => {
  it("carries every kind of message, and none at all", () => {
    const packet = { epoch: 3, finalView: 77, run, messages: MESSAGES }
    expect(decodeIt(encodeIt(packet))).toEqual(packet)
    const { messages, ...head } = packet
    expect(messages.length).toBeGreaterThan(0)
    expect(decodePacketHead(encodeIt(packet))).toEqual(head)
    const heartbeat = { epoch: 0, finalView: 0, run, messages: [] }
    expect(encodeIt(heartbeat)).toHaveLength(29)
    expect(decodeIt(encodeIt(heartbeat))).toEqual(heartbeat)
    expect(encodeMessage({ type: "heartbeat" })).toHaveLength(0)
  })

  it("is refused with too many messages, an unknown one, or a range that is none", () => {
    const check = (bytes: Uint8Array): unknown => refusal(() => decodeIt(bytes))
    const message = encodeMessage({ type: "vote", vote })
    const many = Array.from({ length: PACKET_MESSAGES_MAX + 1 }, () => message)
    expect(check(encodePacket(HEAD, many.slice(1)))).toBeUndefined()
    expect(check(encodePacket(HEAD, many))).toBe("MESSAGE_INVALID")
    const unknown = message.slice()
    unknown[0] = 9
    expect(check(encodePacket(HEAD, [unknown]))).toBe("MESSAGE_INVALID")
    for (const [fromView, toView] of [
      [0, 1],
      [5, 4],
      [1, 1 + FETCH_VIEWS_MAX],
    ] as const) {
      const ask = encodeMessage({ type: "fetch", fromView, toView })
      expect(check(encodePacket(HEAD, [ask]))).toBe("MESSAGE_INVALID")
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const bytes = encodeIt({ epoch: 0, finalView: 5, run, messages: MESSAGES })
    const codes = /^(canonical$|CODEC_|VOTE_|CERTIFICATE_|MESSAGE_|BLOCK_|BATCH_|ENTRY_)/
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), fc.nat(bytes.length), (bit, end) => {
        expect(decoding(flipped(bytes, bit), decodeIt, encodeIt)).toMatch(codes)
        expect(decoding(bytes.subarray(0, end), decodeIt, encodeIt)).toMatch(codes)
      }),
      { numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (any) => {
        expect(decoding(any, decodeIt, encodeIt)).toMatch(codes)
      }),
    )
  })
})

describe("the answer to a packet", () => {
  it("carries what the other knows of our key, from any bytes canonically or not at all", () => {
    for (const notice of ["none", "copied", "superseded"] as const) {
      const answer = { finalView: 77, notice }
      expect(decodePacketAnswer(encodePacketAnswer(answer))).toEqual(answer)
    }
    const good = encodePacketAnswer({ finalView: 77, notice: "copied" })
    const anything = fc.oneof(
      fc.uint8Array({ minLength: good.length - 1, maxLength: good.length + 1 }),
      fc.nat(good.length * 8 - 1).map((bit) => flipped(good, bit)),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        const outcome = decoding(bytes, decodePacketAnswer, encodePacketAnswer)
        expect(outcome).toMatch(/^(canonical$|CODEC_|MESSAGE_)/)
      }),
    )
  })
})

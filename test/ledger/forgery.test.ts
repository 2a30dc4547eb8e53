import { describe, expect, it } from "vitest"
import type { Message } from "../../ledger/message.ts"
import { FORGERIES_PER_DELTA_MAX } from "../../protocol/limits.ts"
import { certify, DELTA_MS, Door } from "../support/door.ts"
import { CHAIN_ID, voteOf } from "../support/ledger.ts"

const LIAR = 0
const SELF = 1
const HONEST = 2

const real = (signer: number, view: number): Message => {
  return { type: "vote", vote: voteOf(signer, "nullify", view, CHAIN_ID) }
}
const forged = (signer: number, view: number): Message => {
  const vote = voteOf(signer, "nullify", view, CHAIN_ID)
  return { type: "vote", vote: { ...vote, signature: new Uint8Array(64).fill(7) } }
}

/** How often a peer's words were refused; the rest was not read. */
function hearForgeries(door: Door, count: number): number {
  const told = Array.from({ length: count }, () => door.hear(LIAR, forged(LIAR, 1)))
  return told.flat().filter((word) => word === "reject VOTE_SIGNATURE").length
}

describe("a validator that forges votes", () => {
  it("is verified a few times within Δ, and again when Δ is over", () => {
    const door = new Door(SELF)
    expect(hearForgeries(door, 100)).toBe(FORGERIES_PER_DELTA_MAX)
    door.at(DELTA_MS - 1)
    expect(hearForgeries(door, 100)).toBe(0)
    door.at(DELTA_MS)
    expect(hearForgeries(door, 100)).toBe(FORGERIES_PER_DELTA_MAX)
  })

  it("is not read within Δ at all, and then as before; the others are read all the time", () => {
    const door = new Door(SELF)
    hearForgeries(door, FORGERIES_PER_DELTA_MAX)
    door.hear(LIAR, real(LIAR, 1))
    door.hear(HONEST, real(HONEST, 1))
    const { nullify } = door.state.views.get(1)?.votes ?? {}
    expect(nullify?.map((vote) => vote !== undefined)).toEqual([false, false, true, false])
    door.at(DELTA_MS)
    door.hear(LIAR, real(LIAR, 1))
    expect(nullify?.[LIAR]).toBeDefined()
  })

  it("is known by forged certificates as well, and not by votes that come too early", () => {
    const door = new Door(SELF)
    const certificate = certify("nullify", 1, CHAIN_ID, [0, 2, 3])
    const signatures = certificate.signatures.map(() => new Uint8Array(64).fill(7))
    const lie: Message = { type: "certificate", certificate: { ...certificate, signatures } }
    const told = Array.from({ length: 100 }, () => door.hear(LIAR, lie)).flat()
    expect(told).toEqual(Array(FORGERIES_PER_DELTA_MAX).fill("reject CERTIFICATE_SIGNATURE"))
    const early = Array.from({ length: 100 }, () => door.hear(HONEST, real(HONEST, 1_000))).flat()
    expect(early).toEqual(Array(100).fill("reject VOTE_STALE"))
  })
})

describe("a validator that is proven to contradict itself in a view", () => {
  it("has its further votes for the same slot dropped unverified", () => {
    const door = new Door(SELF)
    const votes = [1, 2, 3].map((byte) => {
      return voteOf(LIAR, "notarize", 1, new Uint8Array(32).fill(byte))
    })
    const [first, second, third] = votes
    if (first === undefined || second === undefined || third === undefined) throw new Error("three")
    expect(door.hear(LIAR, { type: "vote", vote: first })).toEqual([])
    expect(door.hear(LIAR, { type: "vote", vote: second })).toEqual([`evidence ${LIAR}`])
    const unsigned = { ...third, signature: new Uint8Array(64) }
    expect(door.hear(LIAR, { type: "vote", vote: unsigned })).toEqual([])
  })
})

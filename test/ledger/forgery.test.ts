import { describe, expect, it, vi } from "vitest"
import type { Message } from "../../ledger/message.ts"
import { newestVote } from "../../ledger/tally.ts"
import { FORGERIES_PER_DELTA_MAX } from "../../protocol/limits.ts"
import { certify, DELTA_MS, Door } from "../support/door.ts"
import { CHAIN_ID, voteOf } from "../support/ledger.ts"
import { suite } from "../support/suites.ts"

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

describe("a vote that comes after a certificate that it agrees with", () => {
  const LATE = 3
  const hash = CHAIN_ID
  const finalize = voteOf(LATE, "finalize", 1, hash)
  const nullify: Message = { type: "vote", vote: voteOf(LATE, "nullify", 1, hash) }
  const late: Message = { type: "vote", vote: finalize }
  const unsigned: Message = {
    type: "vote",
    vote: { ...finalize, signature: new Uint8Array(64).fill(7) },
  }

  /** Three have finalized view 1, and the fourth has not said so yet. */
  function certified(): Door {
    const door = new Door(SELF)
    const certificate = certify("notarize", 1, hash, [LIAR, HONEST, LATE])
    door.hear(LIAR, { type: "certificate", certificate })
    for (const signer of [LIAR, HONEST]) {
      door.hear(signer, { type: "vote", vote: voteOf(signer, "finalize", 1, hash) })
    }
    expect(door.state.final.view).toBe(1)
    return door
  }

  it("is not verified, and fills no slot", () => {
    const door = certified()
    expect(door.hear(LATE, unsigned, 1)).toEqual([])
    expect(door.state.views.get(1)?.votes.finalize[LATE]).toBeUndefined()
  })

  it("is evidence with what its signer says against it, before or after", () => {
    const after = certified()
    expect(after.hear(LATE, late, 1)).toEqual([])
    expect(after.hear(LATE, nullify, 1)).toEqual([`evidence ${LATE}`])
    const before = certified()
    expect(before.hear(LATE, nullify, 1)).toEqual([])
    expect(before.hear(LATE, late, 1)).toEqual([`evidence ${LATE}`])
  })

  it("is no evidence when it is forged, and stands in the way of none", () => {
    const door = certified()
    door.hear(LATE, unsigned, 1)
    expect(door.hear(LATE, nullify, 1)).toEqual([])
    expect(door.hear(LATE, unsigned, 1)).toEqual(["reject VOTE_SIGNATURE"])
    expect(door.hear(LATE, late, 1)).toEqual([`evidence ${LATE}`])
  })

  it("is not lost behind a forged one, nor a forged one taken behind it", () => {
    const door = certified()
    door.hear(LATE, unsigned, 1)
    expect(door.hear(LATE, late, 1)).toEqual([])
    expect(door.hear(LATE, nullify, 1)).toEqual([`evidence ${LATE}`])
    const other = certified()
    other.hear(LATE, late, 1)
    expect(other.hear(LATE, late, 1)).toEqual([])
    expect(other.hear(LATE, unsigned, 1)).toEqual(["reject VOTE_SIGNATURE"])
  })

  it("is verified once when its signer asks, and when it is forged nothing is read for Δ", () => {
    const door = new Door(SELF)
    door.hasWork = true
    const views = 2 * FORGERIES_PER_DELTA_MAX
    for (let view = 1; view <= views; view++) {
      door.at(door.nowMs + 10 * DELTA_MS)
      for (const signer of [LIAR, HONEST]) door.hear(signer, real(signer, view))
    }
    expect(door.state.view).toBe(views + 1)
    const say = (): void => {
      for (let view = 1; view <= views; view++) door.hear(LATE, forged(LATE, view))
    }
    const verify = vi.spyOn(suite, "ed25519Verify")
    say()
    expect(newestVote(door.state, LATE, door.nowMs)).toBeUndefined()
    say()
    expect(newestVote(door.state, LATE, door.nowMs)).toBeUndefined()
    expect(verify).toHaveBeenCalledTimes(views)
    verify.mockRestore()
  })

  it("is the newest vote of its signer, unless it is forged", () => {
    const door = certified()
    door.hear(LATE, unsigned, 1)
    expect(newestVote(door.state, LATE, 0)?.kind).toBe("notarize")
    door.hear(LATE, late, 1)
    expect(newestVote(door.state, LATE, 0)).toEqual(finalize)
  })
})

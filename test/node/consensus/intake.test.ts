import { describe, expect, it } from "vitest"
import { genesisHead } from "../../../ledger/chain.ts"
import { Intake } from "../../../node/consensus/intake.ts"
import { encodeBatch, type Batch } from "../../../protocol/entry.ts"
import { SUBMIT_BATCHES_MAX, VAIN_BATCHES_PER_S_MAX } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { batch, CHAIN_ID, LISBON, NAIROBI, submitKeyOf } from "../../support/ledger.ts"
import { refusal } from "../../support/refusal.ts"
import { suite } from "../../support/suites.ts"

function intake(clock = createVirtualClock()): Intake {
  const finality = { head: genesisHead(CHAIN_ID), submitKeyOf }
  return new Intake({ suite, chainId: CHAIN_ID, clock, finality })
}

function bytes(...batches: readonly Batch[]): Uint8Array[] {
  return batches.map(encodeBatch)
}

/** A batch whose signature is another's. */
function forged(firstSeq: number): Batch {
  return { ...batch(LISBON, firstSeq), signature: batch(LISBON, firstSeq + 1).signature }
}

describe("a submission", () => {
  it("of several batches is taken in order, and answered by the serial after the last", () => {
    const some = bytes(batch(LISBON, 1), batch(LISBON, 2, 3), batch(LISBON, 5))
    const scene = intake()
    expect(scene.submit(some)).toEqual({ next: 6, isNew: true })
    expect(scene.submit(some)).toEqual({ next: 6, isNew: false })
    expect(scene.waiting(10_000, 0)).toEqual([some])
  })

  it("is taken up to a hole, and up to a batch of somebody else", () => {
    const holed = bytes(batch(LISBON, 1), batch(LISBON, 3), batch(LISBON, 2))
    expect(intake().submit(holed)).toEqual({ next: 2, isNew: true })
    const mixed = intake()
    expect(mixed.submit(bytes(batch(LISBON, 1), batch(NAIROBI, 1))).next).toBe(2)
  })

  it("is refused for its first batch alone; the next one begins where the answer says", () => {
    const scene = intake()
    expect(scene.submit(bytes(batch(LISBON, 1), forged(2), batch(LISBON, 2)))).toEqual({
      next: 2,
      isNew: true,
    })
    expect(refusal(() => scene.submit(bytes(forged(2), batch(LISBON, 2))))).toBe("BATCH_SIGNATURE")
    expect(scene.submit(bytes(batch(LISBON, 2))).next).toBe(3)
  })

  it("that is sent on is of one submitter, of as many batches as one may have", () => {
    const scene = intake()
    for (let seq = 1; seq <= SUBMIT_BATCHES_MAX + 1; seq++) {
      scene.submit(bytes(batch(LISBON, seq)))
    }
    scene.submit(bytes(batch(NAIROBI, 1)))
    const submissions = scene.waiting(1_000_000, 0)
    expect(submissions.map(({ length }) => length)).toEqual([SUBMIT_BATCHES_MAX, 1, 1])
    const other = intake()
    for (const batches of submissions) expect(other.submit(batches).isNew).toBe(true)
  })

  it("that waits already is known, and a forged one in its place is not", () => {
    const scene = intake()
    scene.submit(bytes(batch(LISBON, 1)))
    expect(scene.submit(bytes(batch(LISBON, 1)))).toEqual({ next: 2, isNew: false })
    expect(refusal(() => scene.submit(bytes(forged(1))))).toBe("BATCH_SIGNATURE")
  })
})

describe("a peer that has batches verified in vain", () => {
  const PEER = "aa"
  const lie = bytes(forged(1))

  it("is told to wait for the rest of the second; others, and this node itself, are not", async () => {
    const clock = createVirtualClock()
    const scene = intake(clock)
    const codes = Array.from({ length: VAIN_BATCHES_PER_S_MAX + 5 }, () =>
      refusal(() => scene.submit(lie, PEER)),
    )
    const isVain = codes.filter((code) => code === "BATCH_SIGNATURE")
    expect(isVain).toHaveLength(VAIN_BATCHES_PER_S_MAX)
    expect(codes.slice(isVain.length)).toEqual(Array(5).fill("NODE_BUSY"))
    const honest = bytes(batch(LISBON, 1))
    expect(refusal(() => scene.submit(honest, PEER))).toBe("NODE_BUSY")
    expect(scene.submit(honest, "bb").next).toBe(2)
    expect(scene.submit(bytes(batch(LISBON, 2))).next).toBe(3)
    await clock.runFor(1_000)
    expect(scene.submit(bytes(batch(LISBON, 3)), PEER).next).toBe(4)
  })

  it("may not hide forged ones behind one that is known", () => {
    const scene = intake()
    scene.submit(bytes(batch(LISBON, 1)))
    const hidden = bytes(batch(LISBON, 1), forged(2))
    for (let i = 0; i < VAIN_BATCHES_PER_S_MAX; i++) {
      expect(scene.submit(hidden, PEER)).toEqual({ next: 2, isNew: false })
    }
    expect(refusal(() => scene.submit(bytes(batch(LISBON, 2)), PEER))).toBe("NODE_BUSY")
  })

  it("has as many taken as it likes, if they are new", () => {
    const scene = intake()
    for (let seq = 1; seq <= 3 * VAIN_BATCHES_PER_S_MAX; seq++) {
      expect(scene.submit(bytes(batch(LISBON, seq)), PEER).next).toBe(seq + 1)
    }
  })
})

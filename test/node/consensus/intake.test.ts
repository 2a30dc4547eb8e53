import { describe, expect, it } from "vitest"
import { genesisHead } from "../../../ledger/chain.ts"
import { Intake } from "../../../node/consensus/intake.ts"
import { encodeBatch, type Batch } from "../../../protocol/entry.ts"
import { SUBMIT_BATCHES_MAX } from "../../../protocol/limits.ts"
import { batch, CHAIN_ID, LISBON, NAIROBI, submitKeyOf } from "../../support/ledger.ts"
import { refusal } from "../../support/refusal.ts"
import { suite } from "../../support/suites.ts"

function intake(): Intake {
  const finality = { head: genesisHead(CHAIN_ID), submitKeyOf }
  return new Intake({ suite, chainId: CHAIN_ID, finality })
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
    expect(scene.waiting(10_000)).toEqual([some])
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
    const submissions = scene.waiting(1_000_000)
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

import { describe, expect, it } from "vitest"
import { batchesBytes } from "../../ledger/block.ts"
import { Mempool } from "../../ledger/mempool.ts"
import { BLOCK_BYTES_MAX, MEMPOOL_SUBMITTER_BYTES_MAX } from "../../protocol/limits.ts"
import { batch, CAPITAL, governance, LISBON, message, NAIROBI, signed } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"

const NONE: ReadonlyMap<number, number> = new Map()

function filled(...batches: readonly ReturnType<typeof batch>[]): Mempool {
  const mempool = new Mempool()
  for (const one of batches) expect(mempool.add(one, NONE)).toBe("added")
  return mempool
}

describe("the mempool", () => {
  it("gives one batch of each submitter in turn, in order of serial", () => {
    const mempool = filled(
      batch(NAIROBI, 1),
      batch(LISBON, 1),
      batch(LISBON, 2, 3),
      batch(LISBON, 5),
      batch(NAIROBI, 2),
    )
    const taken = mempool.take(NONE, BLOCK_BYTES_MAX, 0).map((one) => [one.submitter, one.firstSeq])
    expect(taken).toEqual([
      [LISBON, 1],
      [NAIROBI, 1],
      [LISBON, 2],
      [NAIROBI, 2],
      [LISBON, 5],
    ])
    const later = mempool
      .take(new Map([[LISBON, 4]]), BLOCK_BYTES_MAX, 0)
      .map((one) => one.firstSeq)
    expect(later).toEqual([5, 1, 2])
  })

  it("knows what it has, and what the chain has", () => {
    const mempool = filled(batch(LISBON, 1, 3))
    expect(mempool.add(batch(LISBON, 1, 3), NONE)).toBe("known")
    expect(mempool.add(batch(LISBON, 2), NONE)).toBe("known")
    const final = new Map([[LISBON, 3]])
    expect(mempool.add(batch(LISBON, 1, 3), final)).toBe("known")
    expect(mempool.bytes).toBe(0)
    expect(mempool.nextSerial(LISBON, final)).toBe(4)
  })

  it("refuses a hole and says which serial it wants", () => {
    const mempool = filled(batch(LISBON, 1, 3))
    expect(() => mempool.add(batch(LISBON, 5), NONE)).toThrow("expected serial 4, got 5")
    expect(refusal(() => mempool.add(batch(NAIROBI, 2), NONE))).toBe("MEMPOOL_SERIAL")
    expect(mempool.add(batch(NAIROBI, 2), new Map([[NAIROBI, 1]]))).toBe("added")
  })

  it("takes the same entries cut anew in place of what waits, if they begin where a batch does", () => {
    const mempool = filled(batch(LISBON, 1, 2), batch(LISBON, 3), batch(LISBON, 4))
    expect(mempool.add(batch(LISBON, 3, 5), NONE)).toBe("added")
    expect(mempool.take(NONE, BLOCK_BYTES_MAX, 0).map((one) => one.firstSeq)).toEqual([1, 3])
    expect(mempool.nextSerial(LISBON, NONE)).toBe(8)
    expect(mempool.bytes).toBe(batchesBytes(mempool.take(NONE, BLOCK_BYTES_MAX, 0)))
    expect(refusal(() => mempool.add(batch(LISBON, 2, 9), NONE))).toBe("MEMPOOL_SERIAL")
  })

  it("refuses two different entries at one serial", () => {
    const mempool = filled(batch(LISBON, 1, 2))
    const other = signed([{ ...message(LISBON, 2), timeMs: 5 }, message(LISBON, 3)])
    expect(refusal(() => mempool.add(other, NONE))).toBe("MEMPOOL_CONFLICT")
    expect(mempool.take(NONE, BLOCK_BYTES_MAX, 0)).toEqual([batch(LISBON, 1, 2)])
  })

  it("forgets what became final and drops what no longer joins it", () => {
    const mempool = filled(batch(LISBON, 1, 2), batch(LISBON, 3, 2), batch(NAIROBI, 1))
    mempool.forget(new Map([[LISBON, 2]]))
    expect(
      mempool.take(new Map([[LISBON, 2]]), BLOCK_BYTES_MAX, 0).map((one) => one.firstSeq),
    ).toEqual([3, 1])
    mempool.forget(new Map([[LISBON, 3]]))
    expect(mempool.hasWork(new Map([[LISBON, 3]]))).toBe(true)
    mempool.forget(
      new Map([
        [LISBON, 3],
        [NAIROBI, 1],
      ]),
    )
    expect(mempool.bytes).toBe(0)
    expect(mempool.hasWork(NONE)).toBe(false)
  })

  it("gives what fits into a small block, and one batch in any case", () => {
    const large = signed([governance(LISBON, 1, new Uint8Array(60_000))])
    const mempool = filled(large, batch(NAIROBI, 1), batch(NAIROBI, 2))
    const two = batchesBytes([batch(NAIROBI, 1), batch(NAIROBI, 2)])
    expect(mempool.take(NONE, 1, 0)).toEqual([large])
    expect(mempool.take(NONE, batchesBytes([large]), 0)).toEqual([large])
    expect(mempool.take(NONE, two - 1, 1)).toEqual([batch(NAIROBI, 1)])
    expect(mempool.take(NONE, two, 1)).toEqual([batch(NAIROBI, 1), batch(NAIROBI, 2)])
  })

  it("lets another submitter be first in the next attempt, whatever waits of the others", () => {
    const heavy = (rid: number): ReturnType<typeof batch> =>
      signed([governance(rid, 1, new Uint8Array(60_000))])
    const mempool = filled(heavy(CAPITAL), heavy(LISBON), batch(NAIROBI, 1))
    const firsts = [7, 8, 9].map((begin) => mempool.take(NONE, 1_000, begin)[0]?.submitter)
    expect(new Set(firsts)).toEqual(new Set([CAPITAL, LISBON, NAIROBI]))
  })

  it("bounds what one submitter may have waiting, and what one block takes", () => {
    const mempool = new Mempool()
    const large = new Uint8Array(60_000)
    const heavy = (rid: number, serial: number): ReturnType<typeof batch> =>
      signed([governance(rid, serial, large)])
    for (const rid of [CAPITAL, LISBON, NAIROBI]) {
      let serial = 1
      while (refusal(() => mempool.add(heavy(rid, serial), NONE)) === undefined) serial++
      expect(refusal(() => mempool.add(heavy(rid, serial), NONE))).toBe("MEMPOOL_FULL")
    }
    expect(mempool.bytes).toBeLessThanOrEqual(3 * MEMPOOL_SUBMITTER_BYTES_MAX)
    expect(mempool.bytes).toBeGreaterThan(3 * MEMPOOL_SUBMITTER_BYTES_MAX - 3 * 61_000)
    const taken = mempool.take(NONE, BLOCK_BYTES_MAX, 0)
    expect(batchesBytes(taken)).toBeLessThanOrEqual(BLOCK_BYTES_MAX)
    expect(batchesBytes(taken)).toBeGreaterThan(BLOCK_BYTES_MAX - 61_000)
  })
})

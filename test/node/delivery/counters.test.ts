import { describe, expect, it } from "vitest"
import { Counters, type Turn } from "../../../node/delivery/counters.ts"
import { SimulatedDisk } from "../../support/database.ts"

const NOTHING = { operations: [], result: undefined }

async function loaded(disk: SimulatedDisk): Promise<Counters> {
  const counters = new Counters(disk.open())
  await counters.load()
  return counters
}

function pairsOf(turn: Turn, rids: readonly number[]): number[] {
  return rids.map((rid) => turn.pairSeq(rid))
}

describe("counters", () => {
  it("hand out serials from 1 on without a hole, to many at once", async () => {
    const counters = await loaded(new SimulatedDisk())
    const take = (): Promise<number> =>
      counters.exclusive((turn) => ({ operations: [], result: turn.seq }))
    const seqs = await Promise.all(Array.from({ length: 50 }, take))
    expect(seqs).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  it("count per addressee, once a turn", async () => {
    const counters = await loaded(new SimulatedDisk())
    const take = (rids: number[]): Promise<number[]> =>
      counters.exclusive((turn) => ({ operations: [], result: pairsOf(turn, rids) }))
    expect(await take([2, 3])).toEqual([1, 1])
    expect(await take([3])).toEqual([2])
    expect(await take([2, 3, 4])).toEqual([2, 3, 1])
    expect(await take([2, 2])).toEqual([3, 3])
  })

  it("chain each envelope to the one before; what is no envelope leaves the chain alone", async () => {
    const counters = await loaded(new SimulatedDisk())
    const take = (envelopeId?: string): Promise<string> =>
      counters.exclusive((turn) => ({
        operations: [],
        ...(envelopeId === undefined ? {} : { envelopeId }),
        result: turn.prevHash,
      }))
    expect(await take("aa")).toBe("0".repeat(64))
    expect(await take()).toBe("aa")
    expect(await take("bb")).toBe("aa")
    expect(await take()).toBe("bb")
  })

  it("go on where they were after a crash; a turn that was not written never was", async () => {
    const disk = new SimulatedDisk()
    const first = await loaded(disk)
    await first.exclusive((turn) => ({ ...NOTHING, result: pairsOf(turn, [2]), envelopeId: "aa" }))
    disk.onSync = () => disk.crash("lost")
    first
      .exclusive((turn) => ({ ...NOTHING, result: pairsOf(turn, [2]), envelopeId: "bb" }))
      .catch(() => undefined)
    await new Promise((resolve) => setImmediate(resolve))
    disk.onSync = undefined
    const second = await loaded(disk)
    await second.exclusive((turn) => {
      expect(turn).toMatchObject({ seq: 2, prevHash: "aa" })
      expect(turn.pairSeq(2)).toBe(2)
      return NOTHING
    })
  })

  it("take nothing for a turn that throws, or that the disk refuses", async () => {
    const disk = new SimulatedDisk()
    const counters = await loaded(disk)
    const failed = counters.exclusive((turn) => {
      turn.pairSeq(2)
      throw new Error("no")
    })
    await expect(failed).rejects.toThrow("no")
    disk.isFull = true
    await expect(counters.exclusive(() => NOTHING)).rejects.toMatchObject({ code: "STORE_FULL" })
    disk.isFull = false
    await counters.exclusive((turn) => {
      expect([turn.seq, turn.pairSeq(2)]).toEqual([1, 1])
      return NOTHING
    })
  })
})

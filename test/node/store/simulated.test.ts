import { describe, expect, it } from "vitest"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk } from "../../support/database.ts"

const put = (key: string, ...value: number[]) =>
  ({ type: "put", key, value: Uint8Array.from(value) }) as const

describe("the simulated disk", () => {
  it("loses what has not resolved when it crashes, and keeps the rest", async () => {
    const clock = createVirtualClock()
    const disk = new SimulatedDisk({ clock, syncMs: 5 })
    const database = disk.open()
    let answers = 0
    const count = () => {
      answers += 1
    }
    void database.write([put("a", 1)]).then(count)
    await clock.runFor(5)
    void database.write([put("b", 2)]).then(count)
    await clock.runFor(4)
    expect(answers).toBe(1)
    disk.crash()
    await clock.runFor(100)
    expect(answers).toBe(1)
    const again = disk.open()
    expect(await again.get("a")).toEqual(Uint8Array.of(1))
    expect(await again.get("b")).toBeUndefined()
  })

  it("may keep the batch that was being synced, without having said so", async () => {
    const clock = createVirtualClock()
    const disk = new SimulatedDisk({ clock, syncMs: 5 })
    const database = disk.open()
    void database.write([put("a", 1)])
    await clock.runFor(1)
    void database.write([put("b", 2)])
    await clock.runFor(1)
    disk.crash("kept")
    const again = disk.open()
    expect(await again.get("a")).toEqual(Uint8Array.of(1))
    expect(await again.get("b")).toBeUndefined()
  })

  it("ends with the first write that fails", async () => {
    const disk = new SimulatedDisk()
    const database = disk.open()
    await database.write([put("a", 1)])
    database.failNextWrite()
    const failed = { code: "STORE_FAILED" }
    await expect(database.write([put("b", 2)])).rejects.toMatchObject(failed)
    await expect(database.write([put("c", 3)])).rejects.toMatchObject(failed)
    await expect(database.get("a")).rejects.toMatchObject(failed)
    await database.close()
    expect(await disk.open().get("a")).toEqual(Uint8Array.of(1))
  })

  it("shares syncs, keeps order, refuses when full, and is opened once", async () => {
    const disk = new SimulatedDisk()
    const database = disk.open()
    await Promise.all([1, 2, 3].map((value) => database.write([put("a", value)])))
    expect(disk.syncs).toBe(1)
    expect(await database.get("a")).toEqual(Uint8Array.of(3))
    disk.isFull = true
    await expect(database.write([put("b", 1)])).rejects.toMatchObject({ code: "STORE_FULL" })
    await database.write([put("b", 1)], { urgent: true })
    await database.write([{ type: "delete", key: "b" }])
    expect(() => disk.open()).toThrow("in use")
    const found: string[] = []
    await database.write([put("c", 1)], { urgent: true })
    for await (const [key] of database.range({ prefix: "", reverse: true })) found.push(key)
    expect(found).toEqual(["c", "a"])
  })

  it("goes back to a snapshot", async () => {
    const disk = new SimulatedDisk()
    const database = disk.open()
    await database.write([put("a", 1)])
    const backup = disk.snapshot()
    await database.write([put("a", 2)])
    disk.crash()
    disk.restore(backup)
    expect(await disk.open().get("a")).toEqual(Uint8Array.of(1))
  })
})

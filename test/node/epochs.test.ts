import { describe, expect, it } from "vitest"
import { NodeWorld } from "../support/world.ts"

const DAY_MS = 86_400_000

async function newestEpoch(world: NodeWorld, at: string, of: string): Promise<number> {
  const missions = await world.node(at).service.missions()
  return missions.find(({ code }) => code === of)?.newestEpoch ?? -1
}

describe("epoch keys", () => {
  it("are published from day to day, two days ahead", async () => {
    const world = new NodeWorld(2, "daily")
    await world.start()
    const before = await newestEpoch(world, "DAC", "LON")
    await world.clock.runFor(3 * DAY_MS)
    expect(await newestEpoch(world, "DAC", "LON")).toBe(before + 3)
    const today = Math.floor(world.clock.now() / DAY_MS)
    expect(before + 3).toBe(today + 2)
  })

  it("open what was sent during ten days of absence, and fresh ones follow", async () => {
    const world = new NodeWorld(3, "absence")
    await world.start()
    world.crash("DEL")
    const ids: string[] = []
    const before = await newestEpoch(world, "LON", "DEL")
    for (let day = 0; day < 10; day++) {
      ids.push(await world.send("LON", { to: ["DEL"], subject: `day ${day}` }))
      await world.clock.runFor(DAY_MS)
    }
    expect(await newestEpoch(world, "LON", "DEL")).toBe(before)
    await world.boot("DEL")
    for (const id of ids) await world.untilDelivered("LON", id, 600_000)
    expect((await world.inbox("DEL")).toSorted()).toEqual(ids.toSorted())
    await world.until(async () => (await newestEpoch(world, "LON", "DEL")) === before + 10)
    const after = await world.send("LON", { to: ["DEL"], subject: "after" })
    await world.untilDelivered("LON", after)
  })

  it("that are lost make a cable end as refused, and the next one is for a fresh key", async () => {
    const world = new NodeWorld(3, "lost seeds")
    await world.start()
    world.crash("DEL")
    const lost = await world.send("LON", { to: ["DEL"] })
    const { disk } = world.at("DEL")
    const rows = [...disk.snapshot()].filter(([key]) => !key.startsWith("epoch/"))
    disk.restore(new Map(rows))
    await world.boot("DEL")
    await world.until(async () => {
      const [addressee] = (await world.node("LON").service.cableStatus(lost)).addressees
      return addressee?.state === "refused" && addressee.reason === "EPOCH_KEY_MISSING"
    })
    await world.clock.runFor(5_000)
    const next = await world.send("LON", { to: ["DEL"] })
    await world.untilDelivered("LON", next)
    expect(await world.inbox("DEL")).toEqual([next])
  })

  it("are on the disk before anybody can use them: no crash makes a key that cannot be opened", async () => {
    const world = new NodeWorld(2, "crash")
    await world.start()
    for (let boundary = 1; boundary <= 4; boundary++) {
      const { disk } = world.at("LON")
      let syncs = 0
      disk.onSync = () => {
        syncs += 1
        if (syncs === boundary) world.crash("LON", boundary % 2 === 0 ? "kept" : "lost")
      }
      await world.clock.runFor(DAY_MS)
      disk.onSync = undefined
      if (world.at("LON").node === undefined) await world.boot("LON")
      await world.clock.runFor(60_000)
      const id = await world.send("DAC", { to: ["LON"], subject: `${boundary}` })
      await world.untilDelivered("DAC", id)
    }
  })
})

describe("a clock that is years wrong", () => {
  it("gets its keys refused, is told, and comes back when the clock is right", async () => {
    const world = new NodeWorld(2, "years ahead")
    await world.start()
    const yearMs = 365 * 86_400_000
    world.crash("LON")
    world.at("LON").skewMs = 10 * yearMs
    await world.boot("LON")
    const warned = async (): Promise<boolean> => {
      const { warnings } = await world.node("LON").service.status()
      return warnings.some((line) => line.includes("refused this mission's keys"))
    }
    await world.until(warned)
    world.crash("LON")
    world.at("LON").skewMs = 0
    await world.clock.runFor(5 * 86_400_000)
    await world.boot("LON")
    const today = Math.floor(world.clock.now() / 86_400_000)
    await world.until(async () => {
      const missions = await world.node("DAC").service.missions()
      return missions.find(({ code }) => code === "LON")?.newestEpoch === today + 2
    })
    const id = await world.send("DAC", { to: ["LON"] })
    await world.untilDelivered("DAC", id)
    expect(await warned()).toBe(false)
  })
})

import { describe, expect, it } from "vitest"
import { NodeWorld } from "../../support/world.ts"

/** Puts a post's disk back to an earlier moment, as a restored backup would; another run of chance. */
async function restore(
  world: NodeWorld,
  code: string,
  backup: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  world.crash(code)
  world.at(code).disk.restore(backup)
  await world.clock.runFor(1_000)
  await world.boot(code)
}

describe("the inbox", () => {
  it("opens a copy once when sender and relay hand it over at the same time", async () => {
    const world = new NodeWorld(3, "both at once")
    await world.start()
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    await world.until(async () => {
      return (await world.node("LON").service.cableStatus(id)).addressees[0]?.state === "relayed"
    })
    await world.boot("DEL")
    const seen = world.watch("DEL")
    await world.untilDelivered("LON", id)
    await world.clock.runFor(120_000)
    expect(seen.filter((line) => line === `cable-received ${id}`)).toHaveLength(1)
    const deliveries = world.network.trace.filter((line) => {
      return line.includes("request /tarbarta/deliver/1") && line.includes(`>${peer(world, "DEL")}`)
    })
    expect(deliveries.length).toBeGreaterThan(1)
    expect(await world.inbox("DEL")).toEqual([id])
  })

  it("refuses another cable under a serial that is used up, and takes those that follow", async () => {
    const world = new NodeWorld(3, "same serial")
    await world.start()
    const backup = world.at("LON").disk.snapshot()
    const first = await world.send("LON", { to: ["DEL"], subject: "first" })
    await world.untilDelivered("LON", first)
    await restore(world, "LON", backup)
    const second = await world.send("LON", { to: ["DEL"], subject: "second" })
    const third = await world.send("LON", { to: ["DEL"], subject: "third" })
    await world.untilDelivered("LON", third)
    const [addressee] = (await world.node("LON").service.cableStatus(second)).addressees
    expect(addressee).toMatchObject({ state: "refused", reason: "CABLE_REFUSED" })
    expect(await world.inbox("DEL")).toEqual([first, third])
  })

  it("tells the sender that its disk is full, and takes the cable when there is room", async () => {
    const world = new NodeWorld(3, "full disk")
    await world.start()
    world.at("DEL").disk.isFull = true
    const id = await world.send("LON", { to: ["DEL"] })
    await world.until(async () => {
      return (
        (await world.node("LON").service.cableStatus(id)).addressees[0]?.reason === "STORE_FULL"
      )
    })
    expect(await world.inbox("DEL")).toEqual([])
    world.at("DEL").disk.isFull = false
    await world.untilDelivered("LON", id, 600_000)
    expect(await world.inbox("DEL")).toEqual([id])
  })

  it("takes no cable of a revoked mission, and still reads the older ones", async () => {
    const world = new NodeWorld(3, "revoked sender")
    await world.start()
    const before = await world.send("LON", { to: ["DEL"], text: "before" })
    await world.untilDelivered("LON", before)
    world.network.partition([[world.at("LON").post.peer]])
    const after = await world.send("LON", { to: ["DEL"], text: "after" })
    await world.revoke("LON")
    world.network.heal()
    await world.clock.runFor(600_000)
    expect(await world.inbox("DEL")).toEqual([before])
    const old = await world.node("DEL").service.cable(before, { mark: false })
    expect(old.text).toBe("before")
    await expect(world.node("DEL").service.cable(after, { mark: false })).rejects.toMatchObject({
      code: "CABLE_UNKNOWN",
    })
  })
})

function peer(world: NodeWorld, code: string): string {
  return world.at(code).post.peer.slice(0, 8)
}

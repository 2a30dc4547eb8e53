import { describe, expect, it } from "vitest"
import { NodeWorld } from "../../support/world.ts"

async function started(seed: string): Promise<NodeWorld> {
  const world = new NodeWorld(3, seed)
  await world.start()
  return world
}

describe("the outbox", () => {
  it("takes nothing while its own disk is full, and goes on when there is room", async () => {
    const world = await started("own disk")
    const { disk } = world.at("LON")
    disk.isFull = true
    await expect(world.send("LON", { to: ["DEL"] })).rejects.toMatchObject({ code: "STORE_FULL" })
    expect((await world.node("LON").service.status()).outbox).toBe(0)
    disk.isFull = false
    const id = await world.send("LON", { to: ["DEL"] })
    await world.untilDelivered("LON", id)
    expect(await world.inbox("DEL")).toEqual([id])
    expect((await world.node("LON").service.cableStatus(id)).seq).toBeGreaterThan(0)
  })

  it("takes nothing for itself, for nobody, or for one mission twice", async () => {
    const world = await started("addressees")
    for (const to of [["LON"], [], ["DEL", "DEL"]]) {
      await expect(world.send("LON", { to })).rejects.toMatchObject({
        code: expect.stringMatching(
          /^(MISSION_UNKNOWN|CABLE_INVALID|ENVELOPE_RECIPIENTS)$/,
        ) as string,
      })
    }
    await expect(world.send("LON", { to: ["DEL"], info: ["DEL"] })).rejects.toMatchObject({
      code: "ENVELOPE_RECIPIENTS",
    })
    // None of them has used a serial: the next one arrives without a gap.
    const id = await world.send("LON", { to: ["DEL"] })
    await world.untilDelivered("LON", id)
    await world.until(async () => (await world.node("LON").service.cableStatus(id)).registered)
  })

  it("gives an exempted mission no copy and no key", async () => {
    const world = new NodeWorld(4, "exempted")
    await world.start()
    const id = await world.send("LON", { to: ["DEL"], exempted: ["NYC"] })
    await world.untilDelivered("LON", id)
    await world.clock.runFor(10_000)
    expect(await world.inbox("NYC")).toEqual([])
    const cable = await world.node("DEL").service.cable(id, { mark: false })
    expect(cable.exempted).toEqual(["NYC"])
    const rows = [...(await world.rows("LON")).keys()]
    expect(rows.some((key) => key.startsWith(`sent-wrap/${id}`))).toBe(false)
  })

  it("takes text in any composition and says when it changed it", async () => {
    const world = await started("composition")
    const { service } = world.node("LON")
    const draft = { to: ["DEL"], subject: "s" }
    const plain = await service.sendCable({ ...draft, text: "caf\u00e9" })
    expect(plain.textChanged).toBe(false)
    const composed = await service.sendCable({ ...draft, text: "cafe\u0301" })
    expect(composed.textChanged).toBe(true)
    await world.untilDelivered("LON", composed.id)
    const cable = await world.node("DEL").service.cable(composed.id, { mark: false })
    expect(cable.text).toBe("caf\u00e9")
  })

  it("lets go of body and content secret once everybody has decrypted, and keeps what proves it", async () => {
    const world = await started("let go")
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DAC", "DEL"] })
    await world.clock.runFor(10_000)
    const has = async (prefix: string): Promise<boolean> =>
      [...(await world.rows("LON")).keys()].some((key) => key.startsWith(`${prefix}/${id}`))
    expect(await has("sent-body")).toBe(true)
    expect(await has("sent-wrap")).toBe(true)
    await world.boot("DEL")
    await world.untilDelivered("LON", id)
    expect(await has("sent-body")).toBe(false)
    expect(await has("sent-wrap")).toBe(false)
    expect(await has("rcpt-proof")).toBe(true)
    await world.until(async () => (await world.node("LON").service.cableStatus(id)).registered)
    const proof = await world.during(world.node("LON").service.proof(id))
    expect(proof.length).toBeGreaterThan(0)
  })
})

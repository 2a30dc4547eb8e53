import { describe, expect, it } from "vitest"
import type { Transport } from "../../../node/network/transport.ts"
import { decodeCopyStatus, encodeCopyRequest, PROTOCOLS } from "../../../protocol/wire.ts"
import { NodeWorld } from "../../support/world.ts"

const NO_ANSWER = Uint8Array.of(0xff)

/** The transport of a post whose own node is gone, in the hands of somebody else. */
function possess(world: NodeWorld, code: string): Transport {
  world.crash(code)
  const transport = world.network.transport(world.at(code).post.peer)
  const others = world.posts.filter(({ post }) => post.code !== code)
  transport.setMembers(others.map(({ post }) => ({ peer: post.peer, addresses: [], keep: true })))
  return transport
}

describe("a member that answers with bytes that are no answer", () => {
  it("ends neither the sender's node nor the relay's, and gets its cable when it is well", async () => {
    const world = new NodeWorld(3, "garbage")
    await world.start()
    const transport = possess(world, "DEL")
    transport.handle(PROTOCOLS.deliver, async () => NO_ANSWER)
    await transport.start()
    const id = await world.send("LON", { to: ["DEL"] })
    await world.clock.runFor(120_000)
    world.demandAlive()
    world.crash("DEL")
    await world.until(async () => (await world.node("DAC").service.status()).relayed === 1, 900_000)
    const again = possess(world, "DEL")
    again.handle(PROTOCOLS.deliver, async () => NO_ANSWER)
    await again.start()
    await world.clock.runFor(120_000)
    world.crash("DEL")
    await world.boot("DEL")
    await world.untilDelivered("LON", id, 900_000)
  })

  it("does not end the node that raises a signal to it", async () => {
    const world = new NodeWorld(2, "garbage desk")
    await world.start()
    const transport = possess(world, "DAC")
    transport.handle(PROTOCOLS.hotline, async () => NO_ANSWER)
    await transport.start()
    const { id } = await world.node("LON").service.raiseSignal({ event: "unrest", text: "crowd" })
    await world.clock.runFor(60_000)
    world.demandAlive()
    world.crash("DAC")
    await world.boot("DAC")
    await world.until(async () => {
      const signals = await world.node("DAC").service.signals({ open: false, limit: 10 })
      return signals.some((one) => one.id === id)
    })
  })
})

describe("a copy that comes to a relay while it hands over another", () => {
  it("is handed over as well, without waiting for the next contact", async () => {
    const world = new NodeWorld(3, "meanwhile")
    await world.start()
    const [lon, del, dac] = ["LON", "DEL", "DAC"].map((code) => world.at(code).post.peer)
    if (lon === undefined || del === undefined || dac === undefined) throw new Error("no posts")
    world.network.setLink(lon, del, { requestLoss: 1 })
    world.network.setLink(dac, del, { delayMs: 3_000 })
    const first = await world.send("LON", { to: ["DEL"], subject: "first" })
    const second = await world.send("LON", { to: ["DEL"], subject: "second" })
    await world.until(async () => (await world.inbox("DEL")).length === 2, 360_000)
    expect((await world.inbox("DEL")).toSorted()).toEqual([first, second].toSorted())
  })
})

describe("a received cable", () => {
  it("is unread until somebody reads it", async () => {
    const world = new NodeWorld(2, "unread")
    await world.start()
    const id = await world.send("LON", { to: ["DAC"] })
    await world.untilDelivered("LON", id)
    const { service } = world.node("DAC")
    const query = { box: "inbox", unread: true, limit: 10 } as const
    expect((await service.cables(query)).map((one) => one.id)).toEqual([id])
    expect((await service.status()).unread).toBe(1)
    await service.cable(id, { mark: true })
    expect(await service.cables(query)).toEqual([])
    expect((await service.status()).unread).toBe(0)
  })
})

describe("a spoilt copy that comes together with whole ones", () => {
  it("is refused alone, and the whole one is stored once", async () => {
    const world = new NodeWorld(4, "spoilt together")
    await world.start()
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    await world.until(async () => (await world.node("DAC").service.status()).relayed === 1)
    const rows = await world.rows("DAC")
    const [copy] = [...rows].flatMap(([key, value]) => (key.startsWith("relay/") ? [value] : []))
    if (copy === undefined) throw new RangeError("headquarters holds no copy")
    world.crash("LON")
    world.crash("DAC")
    await world.boot("DEL")
    const transport = possess(world, "NYC")
    await transport.start()
    const spoilt = copy.slice()
    spoilt[spoilt.length - 1] = (spoilt.at(-1) ?? 0) ^ 1
    const { peer } = world.at("DEL").post
    await world.until(async () => Promise.resolve(transport.connected().includes(peer)))
    const answers = [spoilt, copy, copy].map(async (bytes) => {
      try {
        const request = encodeCopyRequest(bytes)
        return decodeCopyStatus(await transport.request(peer, PROTOCOLS.deliver, request))
      } catch {
        return "refused"
      }
    })
    await world.clock.runFor(5_000)
    const told = await Promise.all(answers)
    expect(told.filter((answer) => answer === "refused")).toHaveLength(1)
    expect(told).toContain("stored")
    expect(await world.inbox("DEL")).toEqual([id])
  })
})

describe("a member that hands over the same copy again and again", () => {
  it("makes one receipt wait, and none to anchor", async () => {
    const world = new NodeWorld(3, "again and again")
    await world.start()
    const id = await world.send("LON", { to: ["DEL"] })
    await world.untilDelivered("LON", id)
    const copy = await world.node("DEL").service.cableEnvelope(id)
    world.crash("LON")
    const transport = possess(world, "DAC")
    await transport.start()
    const { peer } = world.at("DEL").post
    await world.until(async () => Promise.resolve(transport.connected().includes(peer)))
    const count = async (prefix: string): Promise<number> => {
      return [...(await world.rows("DEL")).keys()].filter((key) => key.startsWith(prefix)).length
    }
    const anchored = await count("rcpt-anchor/")
    for (let round = 0; round < 20; round++) {
      const answer = transport.request(peer, PROTOCOLS.deliver, encodeCopyRequest(copy))
      await world.clock.runFor(100)
      expect(decodeCopyStatus(await answer)).toBe("duplicate")
    }
    expect(await count("rcpt-out/")).toBe(1)
    expect(await count("rcpt-anchor/")).toBe(anchored)
  })
})

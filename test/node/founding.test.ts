import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ProcessNetwork, until } from "../support/processes.ts"

// Three missions found a network, one of them validates; a fourth joins later, as ever.
let network: ProcessNetwork

beforeAll(async () => {
  network = await ProcessNetwork.start(["DAC", "LON", "DEL", "NYC"], { founders: 3 })
})

afterAll(async () => network.remove())

describe("a network that several missions have founded", () => {
  it("has its founders from the first block on, and takes others in", async () => {
    for (const { client } of network.posts) {
      const missions = await client.missions()
      expect(missions.map(({ code }) => code)).toEqual(["DAC", "LON", "DEL", "NYC"])
      expect((await client.status()).admitted).toBe(true)
    }
  })

  it("carries a cable from founder to founder", async () => {
    const { client } = network.at("LON")
    const { id } = await client.sendCable({ to: ["DEL"], subject: "s", text: "founded together" })
    await until("the cable is delivered and registered", async () => {
      const { delivered, registered } = await client.cableStatus(id)
      return delivered && registered
    })
    const cable = await network.at("DEL").client.cable(id, { mark: false })
    expect(cable.text).toBe("founded together")
  })
})

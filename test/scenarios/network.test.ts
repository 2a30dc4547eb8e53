import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { PROTOCOLS } from "../../protocol/wire.ts"
import { hostOf, party } from "../support/hosts.ts"
import { ProcessNetwork, until, type ProcessPost } from "../support/processes.ts"

const SHIFTED_CLOCK = fileURLToPath(new URL("../support/shifted-clock.js", import.meta.url))
const DAY_MS = 86_400_000

let network: ProcessNetwork
let dac: ProcessPost
let lon: ProcessPost
let del: ProcessPost

beforeAll(async () => {
  network = await ProcessNetwork.start(["DAC", "LON", "DEL"])
  dac = network.at("DAC")
  lon = network.at("LON")
  del = network.at("DEL")
})

afterAll(async () => network.remove())

async function untilReceived(post: ProcessPost, id: string): Promise<void> {
  await until(`${post.code} has the cable`, async () => {
    return (await post.client.cables({ box: "inbox" })).some((cable) => cable.id === id)
  })
}

async function stateOf(post: ProcessPost, id: string): Promise<string | undefined> {
  return (await post.client.cableStatus(id)).addressees[0]?.state
}

describe("a ministry on real sockets", () => {
  it("hands a mission that was away its cables from the relay, while their sender is down", async () => {
    await del.kill()
    const text = "তারবার্তা ".repeat(2_000)
    const { id } = await lon.client.sendCable({ to: ["DEL"], subject: "while away", text })
    await until("relayed", async () => (await stateOf(lon, id)) === "relayed")
    await lon.kill()
    await del.start()
    await untilReceived(del, id)
    expect((await del.client.cable(id, { mark: false })).text).toBe(text)
    await until(
      "nothing is left at the relay",
      async () => (await dac.client.status()).relayed === 0,
    )
    await lon.start()
    await until("delivered", async () => (await lon.client.cableStatus(id)).delivered)
    const inbox = await del.client.cables({ box: "inbox" })
    expect(inbox.filter((cable) => cable.id === id)).toHaveLength(1)
  })

  for (const [side, shiftMs] of [
    ["ahead of", DAY_MS],
    ["behind", -DAY_MS],
  ] as const) {
    it(`carries cables both ways when a clock is a day ${side} the others, and warns`, async () => {
      await del.stop()
      const env = { CLOCK_SHIFT_MS: `${shiftMs}` }
      await del.start({ env, nodeOptions: ["--import", SHIFTED_CLOCK] })
      await until("connected", async () => (await del.client.status()).connected.includes("DAC"))
      const to = await lon.client.sendCable({ to: ["DEL"], subject: side, text: "to" })
      const from = await del.client.sendCable({ to: ["LON"], subject: side, text: "from" })
      await untilReceived(del, to.id)
      await untilReceived(lon, from.id)
      await until("delivered", async () => (await del.client.cableStatus(from.id)).delivered)
      await until("warned", async () => {
        const { warnings } = await del.client.status()
        return warnings.some((line) => line.includes(side))
      })
      const others = (await lon.client.status()).warnings
      expect(others.filter((line) => line.includes("clock"))).toEqual([])
      await del.stop()
      await del.start()
    })
  }

  it("gives a stranger nothing: a node of another network is never in contact", async () => {
    const other = await ProcessNetwork.create(["DAC", "PAR"])
    try {
      const stranger = other.headquarters
      await stranger.start()
      const facts = await stranger.client.status()
      expect(facts.network).not.toBe((await dac.client.status()).network)
      await expect(
        stranger.client.sendCable({ to: ["LON"], subject: "s", text: "t" }),
      ).rejects.toMatchObject({ code: "MISSION_UNKNOWN" })
      expect(facts.connected).toEqual([])
    } finally {
      await other.remove()
    }
  })

  it("gives a stranger nothing: a host that dials with keys of its own gets no answer", async () => {
    const stranger = hostOf(party(66))
    const [address = ""] = (await dac.client.status()).addresses
    const peer = (await dac.client.missions())[0]?.peer ?? ""
    try {
      await stranger.start()
      stranger.setMembers([{ peer, addresses: [address.replace(/\/p2p\/.*$/, "")], keep: true }])
      for (const protocol of [PROTOCOLS.blocks, PROTOCOLS.deliver, PROTOCOLS.relay]) {
        const asked = stranger.request(peer, protocol, Uint8Array.of(1), { timeoutMs: 3_000 })
        await expect(asked).rejects.toMatchObject({
          code: expect.stringMatching(/^(PEER_UNREACHABLE|PEER_DENIED|STREAM_DEADLINE)$/) as string,
        })
      }
      expect(stranger.connected()).toEqual([])
    } finally {
      await stranger.stop()
    }
  })

  it("refuses a request for admission to another network", async () => {
    const other = await ProcessNetwork.create(["DAC", "PAR"])
    try {
      const request = `${other.at("PAR").home}/PAR.request`
      const ended = await dac.run(["mission", "admit", request, "--yes"])
      expect(ended.exit).toBe(4)
      expect(ended.stdout).toBe("")
      expect((await dac.client.missions()).map(({ code }) => code)).not.toContain("PAR")
    } finally {
      await other.remove()
    }
  })

  it("cuts a revoked mission off at once, takes nothing more of it, and keeps what it sent", async () => {
    const before = await del.client.sendCable({ to: ["LON"], subject: "before", text: "kept" })
    await untilReceived(lon, before.id)
    await until("registered", async () => (await del.client.cableStatus(before.id)).registered)
    await until("in contact", async () => (await dac.client.status()).connected.includes("DEL"))
    await network.revoke("DEL")
    await until("cut off", async () => !(await dac.client.status()).connected.includes("DEL"))
    await until("known at LON", async () => {
      const missions = await lon.client.missions()
      return missions.some(
        ({ code, revokedHeight }) => code === "DEL" && revokedHeight !== undefined,
      )
    })
    const after = await del.client.sendCable({ to: ["LON"], subject: "after", text: "too late" })
    await expect(
      lon.client.sendCable({ to: ["DEL"], subject: "s", text: "t" }),
    ).rejects.toMatchObject({ code: "MISSION_REVOKED" })
    const { id } = await dac.client.sendCable({ to: ["LON"], subject: "others", text: "go on" })
    await untilReceived(lon, id)
    const inbox = await lon.client.cables({ box: "inbox" })
    expect(inbox.map((cable) => cable.id)).not.toContain(after.id)
    expect((await lon.client.cable(before.id, { mark: true })).text).toBe("kept")
    expect(await stateOf(del, after.id)).not.toBe("delivered")
  })
})

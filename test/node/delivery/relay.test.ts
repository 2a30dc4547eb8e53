import { describe, expect, it } from "vitest"
import { Relay, type RelayParts } from "../../../node/delivery/relay.ts"
import type { Database } from "../../../node/store/database.ts"
import { Directory } from "../../../protocol/directory.ts"
import { RELAY_BYTES_MAX } from "../../../protocol/limits.ts"
import { decodeCopyStatus, encodeCopyRequest } from "../../../protocol/wire.ts"
import { NodeWorld } from "../../support/world.ts"

const DAY_MS = 86_400_000
const CANARY = "the canary sings at noon"

/** DEL is away and headquarters holds its copy of a cable from LON. */
async function relayed(seed: string): Promise<{ world: NodeWorld; id: string }> {
  const world = new NodeWorld(3, seed)
  await world.start()
  world.crash("DEL")
  const id = await world.send("LON", { to: ["DEL"], subject: CANARY, text: CANARY })
  await world.until(async () => (await world.node("DAC").service.status()).relayed === 1)
  return { world, id }
}

async function held(world: NodeWorld): Promise<number> {
  return (await world.node("DAC").service.status()).relayed
}

/** Names of a post's rows, opened, in which the canary can be read. */
async function singing(world: NodeWorld, code: string): Promise<string[]> {
  const rows = await world.rows(code)
  const found = [...rows].filter(([key, value]) => {
    return `${key} ${Buffer.from(value).toString("utf8")}`.includes(CANARY)
  })
  return found.map(([key]) => key)
}

async function copyHeld(world: NodeWorld): Promise<Uint8Array> {
  const rows = [...(await world.rows("DAC"))].filter(([key]) => key.startsWith("relay/"))
  const [row] = rows
  if (row === undefined) throw new Error("headquarters holds no copy")
  return row[1]
}

describe("the relay", () => {
  it("holds nothing that it could read, however its own disk is opened", async () => {
    const { world, id } = await relayed("canary")
    expect(await singing(world, "DAC")).toEqual([])
    // The same search finds it where it belongs, or it would prove nothing.
    expect((await singing(world, "LON")).length).toBeGreaterThan(0)
    await world.boot("DEL")
    await world.untilDelivered("LON", id)
    expect((await singing(world, "DEL")).length).toBeGreaterThan(0)
    expect(await singing(world, "DAC")).toEqual([])
  })

  it("lets go of a copy once the addressee's disk has it, its own restarts notwithstanding", async () => {
    const { world, id } = await relayed("restart")
    world.crash("LON")
    world.crash("DAC")
    await world.boot("DAC")
    expect(await held(world)).toBe(1)
    await world.boot("DEL")
    await world.until(async () => (await world.inbox("DEL")).includes(id))
    await world.until(async () => (await held(world)) === 0)
    expect([...(await world.rows("DAC")).keys()].filter((key) => key.startsWith("relay/"))).toEqual(
      [],
    )
  })

  it("keeps a copy that its addressee has no room for, and offers it again by itself", async () => {
    const { world, id } = await relayed("no room")
    world.crash("LON")
    world.at("DEL").disk.isFull = true
    await world.boot("DEL")
    await world.clock.runFor(60_000)
    expect(await held(world)).toBe(1)
    world.at("DEL").disk.isFull = false
    await world.until(async () => (await world.inbox("DEL")).includes(id))
    await world.until(async () => (await held(world)) === 0)
  })

  it("drops a copy whose addressee was revoked", async () => {
    const { world } = await relayed("revoked")
    await world.revoke("DEL")
    await world.clock.runFor(DAY_MS)
    expect(await held(world)).toBe(0)
  })

  it("takes one copy once, and refuses those for itself and of strangers", async () => {
    const { world } = await relayed("copies")
    const { relay } = await alone(world)
    const request = encodeCopyRequest(await copyHeld(world))
    expect(decodeCopyStatus(await relay.receive(request))).toBe("stored")
    expect(decodeCopyStatus(await relay.receive(request))).toBe("duplicate")
    expect(relay.held).toBe(1)
    const other = new NodeWorld(3, "another ministry")
    const strangers = await alone(other)
    expect(decodeCopyStatus(await strangers.relay.receive(request))).toBe("later")
    const own = await alone(world, 3)
    await expect(own.relay.receive(request)).rejects.toMatchObject({ code: "CABLE_REFUSED" })
  })

  it("refuses a copy with one flipped bit in it", async () => {
    const { world } = await relayed("flip")
    const { relay, stored } = await alone(world)
    const request = encodeCopyRequest(await copyHeld(world))
    for (let at = 40; at < request.length; at += 97) {
      const flipped = request.slice()
      flipped[at] = (flipped[at] ?? 0) ^ 1
      await relay.receive(flipped).then(
        // An unknown signer, or an addressee whom nobody knows, may be known later.
        (status) => expect(decodeCopyStatus(status)).toBe("later"),
        (error: unknown) => expect(error).toMatchObject({ code: expect.any(String) as string }),
      )
    }
    expect(stored.size).toBe(0)
  })

  it("is bounded, and counts what earlier lives have left", async () => {
    const { world } = await relayed("bound")
    const request = encodeCopyRequest(await copyHeld(world))
    const piece = new Uint8Array(16 * 1_024 * 1_024)
    const pieces = Array.from({ length: RELAY_BYTES_MAX / piece.length }, () => piece)
    const full = await alone(world, 1, pieces)
    await expect(full.relay.receive(request)).rejects.toMatchObject({ code: "STORE_FULL" })
    const almost = await alone(world, 1, pieces.slice(1))
    expect(decodeCopyStatus(await almost.relay.receive(request))).toBe("stored")
  })
})

/** A relay of the world's ministry that stands alone, with rows from an earlier life. */
async function alone(
  world: NodeWorld,
  rid = 1,
  before: readonly Uint8Array[] = [],
): Promise<{ relay: Relay; stored: Map<string, Uint8Array> }> {
  const stored = new Map<string, Uint8Array>()
  const database: Database = {
    get: async (key) => stored.get(key),
    async *range() {
      for (const [index, value] of before.entries()) yield [`relay/00009/0/${index}`, value]
    },
    async write(operations) {
      for (const one of operations) if (one.type === "put") stored.set(one.key, one.value)
    },
    close: async () => undefined,
  }
  const parts: RelayParts = {
    database,
    suite: world.ministry.suite,
    clock: world.clock,
    directory: new Directory(world.ministry.suite, world.ministry.genesisBytes),
    transport: world.network.transport("nobody"),
    rid: () => rid,
    height: () => 1,
    peerOf: () => undefined,
    onFatal: (error) => {
      throw error
    },
  }
  const relay = new Relay(parts)
  await relay.load()
  return { relay, stored }
}

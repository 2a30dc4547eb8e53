import { describe, expect, it } from "vitest"
import { Dispatcher, isFinalRefusal } from "../../../node/delivery/dispatcher.ts"
import { KEYS, putRow } from "../../../node/delivery/rows.ts"
import { Sent, type SentParts } from "../../../node/delivery/sent.ts"
import { Directory } from "../../../protocol/directory.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { createMinistry } from "../../support/ministry.ts"
import { createSimulatedNetwork } from "../../support/network.ts"
import { seededRandom } from "../../support/rng.ts"
import { NodeWorld } from "../../support/world.ts"

const DAY_MS = 86_400_000
const MINISTRY = createMinistry(2, "lone dispatcher")

async function storedMs(world: NodeWorld, code: string): Promise<Map<string, number>> {
  const query = { box: "inbox", unread: false, limit: 1_000 } as const
  const cables = await world.node(code).service.cables(query)
  return new Map(cables.map((cable) => [cable.subject, cable.storedMs]))
}

/** LON has a cable for DEL while DEL and every relay are dark for a day; then DEL comes back. */
async function afterADay(precedence: "flash" | "routine"): Promise<number> {
  const world = new NodeWorld(3, `day ${precedence}`)
  await world.start()
  world.crash("DAC")
  world.crash("DEL")
  const id = await world.send("LON", { to: ["DEL"], precedence })
  await world.clock.runFor(DAY_MS)
  await world.boot("DEL")
  const fromMs = world.clock.monotonicMs()
  await world.untilDelivered("LON", id, 900_000)
  return world.clock.monotonicMs() - fromMs
}

describe("the dispatcher", () => {
  it("lets a flash overtake routine traffic on a slow link", async () => {
    const world = new NodeWorld(3, "overtake")
    await world.start()
    const { peer } = world.at("DEL").post
    world.network.setLink(world.at("LON").post.peer, peer, { delayMs: 500 }, true)
    for (let index = 0; index < 60; index++) {
      await world.send("LON", { to: ["DEL"], subject: `routine ${index}` })
    }
    await world.clock.runFor(600)
    const flash = await world.send("LON", { to: ["DEL"], subject: "flash", precedence: "flash" })
    await world.until(async () => (await storedMs(world, "DEL")).size === 61, 600_000)
    const times = await storedMs(world, "DEL")
    const flashMs = times.get("flash") ?? 0
    const overtaken = [...times.values()].filter((atMs) => atMs > flashMs).length
    expect(overtaken).toBeGreaterThan(20)
    await world.untilDelivered("LON", flash)
  })

  it("lets a flash overtake a backlog that is on its way already", async () => {
    const world = new NodeWorld(3, "backlog")
    await world.start()
    world.crash("DAC")
    world.crash("DEL")
    for (let index = 0; index < 100; index++) {
      await world.send("LON", { to: ["DEL"], subject: `routine ${index}` })
    }
    const { peer } = world.at("DEL").post
    world.network.setLink(world.at("LON").post.peer, peer, { delayMs: 500 }, true)
    await world.boot("DEL")
    await world.until(async () => (await storedMs(world, "DEL")).size > 0, 900_000)
    await world.send("LON", { to: ["DEL"], subject: "flash", precedence: "flash" })
    await world.until(async () => (await storedMs(world, "DEL")).has("flash"), 900_000)
    expect((await storedMs(world, "DEL")).size).toBeLessThan(60)
    await world.until(async () => (await storedMs(world, "DEL")).size === 101, 900_000)
  })

  it("sends what waited in order of precedence", async () => {
    const world = new NodeWorld(3, "order")
    await world.start()
    world.crash("DAC")
    world.crash("DEL")
    const levels = ["deferred", "routine", "priority", "immediate", "flash"] as const
    for (const precedence of levels) {
      await world.send("LON", { to: ["DEL"], subject: precedence, precedence })
    }
    await world.clock.runFor(60_000)
    await world.boot("DEL")
    const seen = world.watch("DEL")
    await world.until(async () => (await storedMs(world, "DEL")).size === 5, 900_000)
    const query = { box: "inbox", unread: false, limit: 10 } as const
    const cables = await world.node("DEL").service.cables(query)
    const subjects = seen.map((line) => cables.find(({ id }) => line.endsWith(id))?.subject)
    expect(subjects.filter((one) => one !== undefined)).toEqual(levels.toReversed())
  })

  it("tries a flash again within a minute however long it has waited, a routine in five", async () => {
    expect(await afterADay("flash")).toBeLessThan(75_000)
    expect(await afterADay("routine")).toBeLessThan(315_000)
  })

  it("ends at once for an addressee that was revoked meanwhile", async () => {
    const world = new NodeWorld(3, "revoked addressee")
    await world.start()
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    const other = await world.send("LON", { to: ["DAC"] })
    await world.clock.runFor(5_000)
    await world.revoke("DEL")
    await world.until(async () => {
      return (await world.node("LON").service.cableStatus(id)).addressees[0]?.state === "refused"
    }, 600_000)
    const [addressee] = (await world.node("LON").service.cableStatus(id)).addressees
    expect(addressee?.reason).toBe("revoked")
    await world.untilDelivered("LON", other)
    expect((await world.node("LON").service.status()).outbox).toBe(0)
    await expect(world.send("LON", { to: ["DEL"] })).rejects.toMatchObject({
      code: "MISSION_REVOKED",
    })
  })
})

describe("a cable that is queued while its worker ends", () => {
  it("is carried, in whatever turn of the promise queue it comes", async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { dispatcher, tried, queue } = await loneDispatcher()
      await queue(1, "aa")
      dispatcher.wake(2)
      while (!tried.includes("aa")) await Promise.resolve()
      // The first walk is over in one of the next turns; the second cable comes in each of them.
      const written = queue(2, "bb")
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      await written
      dispatcher.wake(2)
      await new Promise((resolve) => setImmediate(resolve))
      expect(tried, `after ${turns} turns`).toContain("bb")
      dispatcher.stop()
    }
  })
})

describe("the walk through a queue", () => {
  const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  it("goes on behind what is carried, and begins afresh on contact, even in mid-walk", async () => {
    const { dispatcher, tried, queue } = await loneDispatcher()
    await queue(1, "aa")
    dispatcher.wake(2)
    await settled()
    await queue(2, "bb")
    dispatcher.wake(2)
    await settled()
    expect(tried).toEqual(["aa", "bb"])
    await queue(3, "cc")
    dispatcher.wake(2)
    while (!tried.includes("cc")) await Promise.resolve()
    dispatcher.contact(2)
    await settled()
    expect(tried).toEqual(["aa", "bb", "cc", "aa", "bb", "cc"])
    dispatcher.stop()
  })
})

/** A dispatcher whose queue is real and whose cables are gone when it looks for them. */
async function loneDispatcher(): Promise<{
  dispatcher: Dispatcher
  tried: string[]
  queue: (seq: number, id: string) => Promise<void>
}> {
  const { suite, genesisBytes } = MINISTRY
  const clock = createVirtualClock()
  const database = new SimulatedDisk().open()
  const tried: string[] = []
  const sent = new GoneCables({ database, clock, emit: () => undefined }, tried)
  const network = createSimulatedNetwork({ clock, random: seededRandom("lone") })
  const dispatcher = new Dispatcher({
    database,
    clock,
    directory: new Directory(suite, genesisBytes),
    transport: network.transport("nobody"),
    sent,
    rid: () => 1,
    height: () => 1,
    peerOf: () => undefined,
    onFatal: (error) => {
      throw error
    },
  })
  const queue = async (seq: number, id: string): Promise<void> =>
    database.write([putRow(KEYS.queue(2, "routine", seq, id), { id })])
  return { dispatcher, tried, queue }
}

class GoneCables extends Sent {
  readonly #tried: string[]

  constructor(parts: SentParts, tried: string[]) {
    super(parts)
    this.#tried = tried
  }

  override async copyOf(id: string): Promise<undefined> {
    this.#tried.push(id)
  }
}

describe("a crash at any write of a journey", () => {
  for (const victim of ["LON", "DEL", "DAC"]) {
    for (const inFlight of ["lost", "kept"] as const) {
      it(`of ${victim}, the write ${inFlight}: what was acknowledged arrives once`, async () => {
        const world = new NodeWorld(3, `boundary ${victim} ${inFlight}`)
        await world.start()
        const acknowledged: string[] = []
        let boundaries = 0
        for (let boundary = 1; boundary <= 12; boundary++) {
          const { disk } = world.at(victim)
          let syncs = 0
          disk.onSync = () => {
            syncs += 1
            if (syncs !== boundary) return
            boundaries += 1
            world.crash(victim, inFlight)
          }
          // Never settles when the crash comes first, which is what the boundary is about.
          world.send("LON", { to: ["DEL"], subject: `${boundary}` }).then(
            (id) => acknowledged.push(id),
            (error: unknown) => (world.at("LON").fatal ??= error),
          )
          await world.clock.runFor(2_000)
          disk.onSync = undefined
          if (world.at(victim).node === undefined) await world.boot(victim)
          await world.clock.runFor(500)
        }
        for (const id of acknowledged) await world.untilDelivered("LON", id, 900_000)
        const inbox = await world.inbox("DEL")
        expect(new Set(inbox).size).toBe(inbox.length)
        expect(inbox).toEqual(expect.arrayContaining(acknowledged))
        expect(inbox.length).toBeLessThanOrEqual(12)
        expect(boundaries).toBeGreaterThan(victim === "DAC" ? 0 : 2)
        await world.until(async () => {
          for (const id of acknowledged) {
            if (!(await world.node("LON").service.cableStatus(id)).registered) return false
          }
          return true
        }, 900_000)
      })
    }
  }
})

describe("a refusal", () => {
  it("is final when the addressee has judged the copy itself", () => {
    for (const code of [
      "ENVELOPE_SIGNATURE",
      "CODEC_TRUNCATED",
      "RELEASE_INVALID",
      "CABLE_REFUSED",
    ]) {
      expect(isFinalRefusal(code), code).toBe(true)
    }
  })

  it("passes when it tells of the addressee's own state, a failing disk above all", () => {
    for (const code of [
      "STORE_FAILED",
      "STORE_FULL",
      "STORE_DAMAGED",
      "NODE_BUSY",
      "PEER_DENIED",
    ]) {
      expect(isFinalRefusal(code), code).toBe(false)
    }
  })
})

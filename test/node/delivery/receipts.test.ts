import { describe, expect, it } from "vitest"
import { Receipts } from "../../../node/delivery/receipts.ts"
import { Counters } from "../../../node/delivery/counters.ts"
import { Directory } from "../../../protocol/directory.ts"
import { NO_PRIOR_RECEIPT, type Receipt } from "../../../protocol/receipt.ts"
import { buildReceipts, splitFor } from "../../../protocol/receipt-batch.ts"
import { encodeBlob, PROTOCOLS } from "../../../protocol/wire.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { NodeWorld } from "../../support/world.ts"

function receiptRequests(world: NodeWorld, from: string, to: string): string[] {
  const way = `${world.at(from).post.peer.slice(0, 8)}>${world.at(to).post.peer.slice(0, 8)}`
  return world.network.trace.filter((line) =>
    line.includes(`request ${PROTOCOLS.receipt.id} ${way}`),
  )
}

/** Virtual time from handing a cable in until its sender has the signed receipt. */
async function receiptedAfterMs(precedence: "routine" | "flash"): Promise<number> {
  const world = new NodeWorld(2, `receipt ${precedence}`)
  await world.start()
  const seen = world.watch("LON")
  const id = await world.send("LON", { to: ["DAC"], precedence })
  const fromMs = world.clock.monotonicMs()
  return (await world.clock.runUntil(() => seen.includes(`cable-delivered ${id}`), 10_000)) - fromMs
}

describe("receipts", () => {
  it("go at once for a flash, and with others soon after for the rest", async () => {
    expect(await receiptedAfterMs("flash")).toBeLessThan(50)
    const routineMs = await receiptedAfterMs("routine")
    expect(routineMs).toBeGreaterThanOrEqual(100)
    expect(routineMs).toBeLessThan(5_000)
  })

  it("of many cables travel in one batch, also when the node restarts in between", async () => {
    const world = new NodeWorld(3, "batch")
    await world.start()
    const [lon, del] = [world.at("LON").post.peer, world.at("DEL").post.peer]
    // Everything reaches DEL, its receipts do not come back.
    world.network.setLink(del, lon, { requestLoss: 1 })
    const ids: string[] = []
    for (let index = 0; index < 20; index++) {
      ids.push(await world.send("LON", { to: ["DEL"], subject: `${index}` }))
    }
    await world.until(async () => (await world.inbox("DEL")).length === 20)
    world.crash("DEL")
    world.network.setLink(del, lon, { requestLoss: 0 })
    const before = receiptRequests(world, "DEL", "LON").length
    await world.boot("DEL")
    for (const id of ids) await world.untilDelivered("LON", id)
    expect(receiptRequests(world, "DEL", "LON").length - before).toBeLessThanOrEqual(2)
  })

  it("come again for a cable that its sender offers again", async () => {
    const world = new NodeWorld(3, "again")
    await world.start()
    const backup = world.at("LON").disk.snapshot()
    const id = await world.send("LON", { to: ["DEL"] })
    const queued = world.at("LON").disk.snapshot()
    await world.untilDelivered("LON", id)
    world.crash("LON")
    world.at("LON").disk.restore(queued)
    await world.boot("LON")
    expect((await world.node("LON").service.cableStatus(id)).delivered).toBe(false)
    await world.untilDelivered("LON", id)
    expect(backup.size).toBeLessThan(queued.size)
  })

  it("keep the rows of the last life when new ones are issued before they have gone", async () => {
    const world = new NodeWorld(2, "serials")
    const disk = new SimulatedDisk()
    const database = disk.open()
    const first = receiptsOf(world, database)
    await first.load()
    await database.write(first.issue(receiptFor(world, 1), 2))
    const keys = [...disk.snapshot().keys()]
    const second = receiptsOf(world, database)
    await second.load()
    const issued = second.issue(receiptFor(world, 2), 2).map(({ key }) => key)
    expect(issued).toHaveLength(2)
    for (const key of issued) expect(keys).not.toContain(key)
  })

  it("from a mission for cables that it was never sent change nothing", async () => {
    const world = new NodeWorld(3, "not addressed")
    await world.start()
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    await forge(world, "DAC", "LON", { cableId: Buffer.from(id, "hex") })
    const [addressee] = (await world.node("LON").service.cableStatus(id)).addressees
    expect(addressee?.mission).toBe("DEL")
    expect(["queued", "relayed"]).toContain(addressee?.state)
  })

  it("that another mission signed are refused", async () => {
    const world = new NodeWorld(3, "forged")
    await world.start()
    const id = await world.send("LON", { to: ["DAC"] })
    await world.untilDelivered("LON", id)
    const forged = forge(world, "DEL", "LON", { cableId: Buffer.from(id, "hex"), issuer: 1 })
    await expect(forged).rejects.toMatchObject({ refusal: "RECEIPT_INVALID" })
  })
})

function receiptsOf(world: NodeWorld, database: ReturnType<SimulatedDisk["open"]>): Receipts {
  const { suite, random, genesisBytes } = world.ministry
  return new Receipts({
    database,
    suite,
    random,
    clock: world.clock,
    counters: new Counters(database),
    directory: new Directory(suite, genesisBytes),
    transport: world.network.transport("nobody"),
    self: () => undefined,
    peerOf: () => undefined,
    entryOperation: () => ({ type: "delete", key: "none" }),
    onEntry: () => undefined,
    isOurs: async () => true,
    onReceipts: async () => undefined,
    onFatal: (error) => {
      throw error
    },
  })
}

function receiptFor(world: NodeWorld, byte: number): Receipt {
  return {
    net: world.ministry.net,
    cableId: new Uint8Array(32).fill(byte),
    issuer: 1,
    stage: "read",
    reason: "none",
    atMs: world.clock.now(),
    priorHash: NO_PRIOR_RECEIPT,
    officer: undefined,
  }
}

/** Sends one receipt as `from`, whose node is gone, signed with its key. */
async function forge(
  world: NodeWorld,
  from: string,
  to: string,
  facts: Partial<Receipt>,
): Promise<void> {
  const { post } = world.at(from)
  const target = world.at(to).post
  world.crash(from)
  const transport = world.network.transport(post.peer)
  transport.setMembers([{ peer: target.peer, addresses: [], keep: true }])
  await transport.start()
  const directory = new Directory(world.ministry.suite, world.ministry.genesisBytes)
  const signerKid = directory.mission(post.rid)?.signingKid
  if (signerKid === undefined) throw new Error(`${from} is no founder`)
  const receipt = { ...receiptFor(world, 0), issuer: post.rid, ...facts }
  const batch = buildReceipts(world.ministry.suite, {
    net: world.ministry.net,
    issuer: receipt.issuer,
    incarnation: 0,
    createdMs: world.clock.now(),
    receipts: [receipt],
    signerKid,
    sign: post.signing.sign,
  })
  let isDone = false
  const asked = transport
    .request(target.peer, PROTOCOLS.receipt, encodeBlob(splitFor(batch, [0])))
    .finally(() => (isDone = true))
  asked.catch(() => undefined)
  await world.until(async () => isDone)
  await asked
}

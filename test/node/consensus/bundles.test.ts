import { describe, expect, it } from "vitest"
import { decodeHolder, encodeHolder } from "../../../ledger/bundle.ts"
import { LedgerServer } from "../../../node/consensus/server.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { epochAt, signEpochKeys } from "../../../protocol/epoch.ts"
import { payloadEntry } from "../../../protocol/entry.ts"
import { BUNDLE_ENTRIES, JUMP_PAUSE_MS, SYNC_PATIENCE_MS } from "../../../protocol/limits.ts"
import {
  decodeBundleAnswer,
  decodeHoldersAnswer,
  encodeBundleAnswer,
  encodeHoldersAnswer,
  encodeNumber,
  PROTOCOLS,
} from "../../../protocol/wire.ts"
import { makeChain, ServingPeer } from "../../support/chains.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { refusal } from "../../support/refusal.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const BLOCKS = 2
const BUNDLES = 3
const OPENING = { salt: new Uint8Array(32), cableId: new Uint8Array(32) }
/** Admitted by the ledger, not by the genesis. */
const NEWCOMER = 4

/** A ledger of messages, admissions and epoch keys while two posts are away. */
async function history(name: string, rounds: number): Promise<LedgerWorld> {
  const world = new LedgerWorld(5, name, { founding: 4 })
  const { headquarters: hq, ministry } = world
  await world.during(hq.start())
  await world.during(world.node(1).start())
  for (let round = 0; round < rounds; round++) {
    const size = 10 + ((round * 37) % 120)
    const burst = Array.from({ length: size }, async () => world.node(round % 2).submit())
    await world.during(Promise.all(burst))
    await world.clock.runFor(50)
    if (round % 5 === 1) await publish(world, world.node(round % 2), round)
    if (round === 3) {
      const { stateHash } = hq.ledger.directory
      const payloads = ministry.admission(world.node(NEWCOMER).post, stateHash)
      for (const payload of payloads) await world.during(hq.submit(hq.governance(payload)))
    }
    // A refused one belongs to the ledger as well.
    if (round === 4) await world.during(hq.submit(hq.governance(Uint8Array.of(1, 2, 3))))
  }
  await world.untilQuiet()
  return world
}

async function publish(world: LedgerWorld, node: LedgerNode, day: number): Promise<void> {
  const { suite, net } = world.ministry
  const { post } = node
  const nowMs = world.clock.now()
  const keys = [{ epoch: epochAt(nowMs) + (day % 50), publicKey: world.random(1_216) }]
  const publication = { net, rid: post.rid, keys, createdMs: nowMs }
  const signed = signEpochKeys(suite, publication, post.signing.publicKey, post.signing.sign)
  await world.during(
    node.submit((seq) => payloadEntry(suite, "epochKeys", post.rid, seq, nowMs, signed)),
  )
}

async function follow(world: LedgerWorld, index: number, sync: LedgerNode["sync"]) {
  const node = world.node(index)
  node.sync = sync
  await world.during(node.start())
  const { height } = world.headquarters
  await world.clock.runUntil(() => node.height === height, 600_000)
  return node
}

/** Rows that a follower of blocks and one of bundles have in common, by name. */
function rowsOf(node: LedgerNode): Map<string, string> {
  const common = /^ledger\/([eltpqg]\/|head$)/
  const rows = [...node.disk.snapshot()].filter(([key]) => common.test(key))
  return new Map(rows.map(([key, value]) => [key, value.join()]))
}

type Change = (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>

interface Lies {
  readonly newest?: Change
  readonly holders?: Change
  readonly bundle?: Change
}

/** The second post, which answers from what the first one has, changed as `lies` say. */
async function mallory(world: LedgerWorld, lies: Lies): Promise<Record<string, number>> {
  const disk = new SimulatedDisk()
  disk.restore(world.node(1).disk.snapshot())
  const { suite, net } = world.ministry
  const store = await BlockStore.open(disk.open(), suite, net)
  const server = new LedgerServer(store, () => undefined)
  const transport = world.network.transport(world.node(BLOCKS).post.peer)
  const asked: Record<string, number> = { newest: 0, holders: 0, bundle: 0 }
  const same: Change = (bytes) => bytes
  transport.handle(PROTOCOLS.height, async () => Promise.resolve(encodeNumber(store.head.height)))
  for (const name of ["newest", "holders", "bundle"] as const) {
    transport.handle(PROTOCOLS[name], async (_, request) => {
      asked[name] = (asked[name] ?? 0) + 1
      return (lies[name] ?? same)(await server[name](request))
    })
  }
  const peer = world.node(BUNDLES).post.peer
  transport.setMembers([{ peer, addresses: [], keep: true }])
  await transport.start()
  return asked
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[at] = (flipped[at] ?? 0) ^ 1
  return flipped
}

describe("a peer of one who fetches entries without blocks", () => {
  const lies: [what: string, code: string, lies: Lies][] = [
    [
      "changes an entry",
      "TREE_INCLUSION",
      {
        bundle: (bytes) => {
          const { entries, path } = decodeBundleAnswer(bytes)
          return encodeBundleAnswer({ entries: flip(entries, 70), path })
        },
      },
    ],
    [
      "leaves an entry out",
      "CODEC_TRUNCATED",
      {
        bundle: (bytes) => {
          const { entries, path } = decodeBundleAnswer(bytes)
          return encodeBundleAnswer({ entries: entries.slice(0, -56), path })
        },
      },
    ],
    [
      "sends another path",
      "TREE_INCLUSION",
      {
        bundle: (bytes) => {
          const { entries, path } = decodeBundleAnswer(bytes)
          return encodeBundleAnswer({ entries, path: path.map((hash) => flip(hash, 3)) })
        },
      },
    ],
    [
      "changes the time of a block that holds an entry of the directory",
      "BLOCK_CERTIFICATE",
      {
        holders: (bytes) => {
          const holders = decodeHoldersAnswer(bytes).map((one) => {
            const holder = decodeHolder(one)
            const header = { ...holder.header, timeMs: holder.header.timeMs + 1 }
            return encodeHolder({ ...holder, header })
          })
          return encodeHoldersAnswer(holders)
        },
      },
    ],
    [
      "names another block for an entry of the directory",
      "SYNC_ANSWER",
      {
        holders: (bytes) => {
          const holders = decodeHoldersAnswer(bytes)
          return encodeHoldersAnswer(
            holders.map((_, at) => holders[(at + 1) % holders.length] ?? bytes),
          )
        },
      },
    ],
    [
      "shows fewer blocks of such entries than it was asked for, with room for more",
      "SYNC_ANSWER",
      { holders: (bytes) => encodeHoldersAnswer(decodeHoldersAnswer(bytes).slice(0, 1)) },
    ],
    [
      "leaves out the header below",
      "BLOCK_PARENT",
      {
        holders: (bytes) => {
          const holders = decodeHoldersAnswer(bytes).map((one) => {
            return encodeHolder({ ...decodeHolder(one), parent: undefined })
          })
          return encodeHoldersAnswer(holders)
        },
      },
    ],
    [
      "shows a header with a wrong certificate as its newest",
      "CERTIFICATE_SIGNATURE",
      { newest: (bytes) => flip(bytes, 80) },
    ],
  ]

  it.each(lies)("that %s is found out, and the others give what is right", async (_, code, lie) => {
    const world = await history(`lie ${code}`, 20)
    const asked = await world.during(mallory(world, lie))
    const node = world.node(BUNDLES)
    node.sync = "bundles"
    // Mallory is heard first, and alone for a while.
    const honest = [0, 1].map((index) => world.node(index).post.peer)
    world.network.partition([honest])
    await world.during(node.start())
    await world.clock.runUntil(() => node.warnings.includes(code), 60_000)
    expect(node.height).toBe(0)
    expect(Object.values(asked).some((count) => count > 0)).toBe(true)
    world.network.heal()
    await world.clock.runUntil(() => node.height === world.headquarters.height, 600_000)
    await world.during(node.ledger.verifyAll())
    expect(node.ledger.directory.stateHash).toEqual(world.headquarters.ledger.directory.stateHash)
    expect(node.warnings.filter((one) => one === code)).toHaveLength(1)
    expect(node.failures).toEqual([])
  })

  it("that never answers costs a moment, and its bundles come from others", async () => {
    const world = await history("silent", 30)
    const silent = async (): Promise<Uint8Array> => new Promise(() => undefined)
    const asked = await world.during(mallory(world, { bundle: silent }))
    const node = world.node(BUNDLES)
    node.sync = "bundles"
    await world.during(node.start())
    const { height } = world.headquarters
    const spentMs = await world.clock.runUntil(() => node.height === height, 600_000)
    expect(asked["bundle"]).toBeGreaterThan(0)
    expect(spentMs).toBeLessThan(4 * SYNC_PATIENCE_MS)
    await world.during(node.ledger.verifyAll())
  })
})

describe("entries without their blocks", () => {
  it("make the same ledger: entries, tree, serials, directory and head, byte by byte", async () => {
    const world = await history("equal", 30)
    const blocks = await follow(world, BLOCKS, "blocks")
    const bundles = await follow(world, BUNDLES, "bundles")
    expect(bundles.warnings).toEqual([])
    expect(bundles.ledger.head()).toEqual(blocks.ledger.head())
    expect(rowsOf(bundles)).toEqual(rowsOf(blocks))
    expect(rowsOf(bundles).size).toBeGreaterThan(20)
    const [one, two] = [blocks.ledger.directory, bundles.ledger.directory]
    expect(two.stateHash).toEqual(one.stateHash)
    expect(two.missions()).toEqual(one.missions())
    expect(two.missions()).toHaveLength(5)
    for (const rid of [1, 2]) expect(two.epochKeys(rid)).toEqual(one.epochKeys(rid))
    expect([...bundles.disk.snapshot().keys()].filter((key) => /ledger\/b/.test(key))).toEqual([])
    // And after a restart, from the disk alone.
    await world.during(bundles.stop())
    await world.during(bundles.start())
    expect(bundles.ledger.head()).toEqual(blocks.ledger.head())
    expect(bundles.ledger.directory.stateHash).toEqual(one.stateHash)
    expect(bundles.warnings).toEqual([])
  })

  it("are verified against the certified root, proven, and followed by more", async () => {
    const world = await history("verified", 12)
    const bundles = await follow(world, BUNDLES, "bundles")
    const { ledger } = bundles
    const verified = await world.during(ledger.verifyAll())
    expect(verified.entries).toBe(world.headquarters.ledger.head().frontier.size)
    expect(verified.directory.stateHash).toEqual(world.headquarters.ledger.directory.stateHash)
    const proof = await world.during(ledger.publisher.proof(2, 1, OPENING))
    expect(proof).toBeInstanceOf(Uint8Array)
    for (const seq of [1, 100, ledger.lastSeq(2)]) {
      const [here, there] = [ledger, world.headquarters.ledger].map(async (one) =>
        world.during(one.entryOf(2, seq)),
      )
      expect((await here)?.index).toBe((await there)?.index)
      expect((await here)?.commitment).toEqual((await there)?.commitment)
    }
    const before = bundles.height
    await world.during(world.node(1).submit())
    await world.clock.runFor(2 * JUMP_PAUSE_MS)
    expect(bundles.height).toBe(before + 1)
    await world.during(ledger.verifyAll())
    // Its own entries become final as anybody's.
    await world.during(bundles.submit())
    await world.clock.runUntil(() => ledger.pending().length === 0, 3 * JUMP_PAUSE_MS)
    expect(bundles.failures).toEqual([])
  })

  it("are no help to one who wants blocks: it is told, and goes to another peer", async () => {
    const world = await history("no blocks", 12)
    const bundles = await follow(world, BUNDLES, "bundles")
    const collect = async (): Promise<void> => {
      for await (const block of bundles.ledger.blocks()) expect(block).toBeInstanceOf(Uint8Array)
    }
    await expect(world.during(collect())).rejects.toMatchObject({ code: "STORE_GAP" })
    // Before the first byte of a copy.
    expect(refusal(() => bundles.ledger.blocks())).toBe("STORE_GAP")
    const others = [0, 1].map((index) => world.node(index).post.peer)
    world.network.partition([others])
    await world.clock.runFor(60_000)
    const late = world.node(BLOCKS)
    late.sync = "blocks"
    await world.during(late.start())
    await world.clock.runFor(60_000)
    expect(late.height).toBe(0)
    expect(late.warnings).toContain("REQUEST_REFUSED")
    world.network.heal()
    await world.clock.runUntil(() => late.height === bundles.height, 600_000)
    expect(await world.blocksOf(late)).toEqual(await world.blocksOf(world.headquarters))
  })

  it("are not verified where a row of the directory is missing or of another height", async () => {
    const world = await history("directory rows", 12)
    const node = await follow(world, BUNDLES, "bundles")
    const rows = [...node.disk.snapshot()].filter(([key]) => key.startsWith("ledger/g/"))
    const [key, value] = rows[1] ?? []
    if (key === undefined || value === undefined) throw new Error("no rows")
    const elsewhere = value.slice()
    elsewhere[2] = 1
    const changes = [
      { type: "delete", key },
      { type: "put", key, value: elsewhere },
    ] as const
    for (const change of changes) {
      await world.during(node.database.write([change]))
      await expect(world.during(node.ledger.verifyAll())).rejects.toMatchObject({
        code: "STORE_DAMAGED",
      })
    }
    await world.during(node.database.write([{ type: "put", key, value }]))
    await world.during(node.ledger.verifyAll())
  })

  it("that rot are fetched again and checked against the newest root", async () => {
    const world = await history("rot", 20)
    const node = await follow(world, BUNDLES, "bundles")
    const keys = [...node.disk.snapshot().keys()].sort()
    const find = (prefix: string, at = 0): string =>
      keys.filter((key) => key.startsWith(prefix))[at] ?? "nothing stored"
    for (const key of [find("ledger/e/"), find("ledger/t/0/", 1), find("ledger/s/0002/", 2)]) {
      node.rotten.add(key)
      await expect(world.during(node.ledger.verifyAll())).rejects.toMatchObject({
        code: "STORE_DAMAGED",
      })
      await world.during(node.ledger.repair())
      expect(node.rotten.size).toBe(0)
      await world.during(node.ledger.verifyAll())
    }
    // At the edge: the longest sound beginning is kept, the rest is fetched again.
    await world.during(node.stop())
    node.rotten.add(find("ledger/h/"))
    await world.during(node.start())
    await world.clock.runUntil(() => node.height === world.headquarters.height, 600_000)
    await world.during(node.ledger.verifyAll())
    expect(node.ledger.head()).toEqual(world.headquarters.ledger.head())
  })

  it("that are large go in shorter jumps, and those that are too large as blocks", async () => {
    const world = new LedgerWorld(4, "large")
    const { headquarters: hq } = world
    await world.during(hq.start())
    const fill = async (count: number, bytes: number): Promise<void> => {
      for (let done = 0; done < count; done += 16) {
        const make = hq.governance(new Uint8Array(bytes).fill(7))
        await world.during(Promise.all(Array.from({ length: 16 }, async () => hq.submit(make))))
        await world.clock.runFor(60)
      }
    }
    const node = world.node(BUNDLES)
    const rows = (prefix: string): number =>
      [...node.disk.snapshot().keys()].filter((key) => key.startsWith(prefix)).length
    await fill(1_600, 12_000)
    await world.untilQuiet()
    await follow(world, BUNDLES, "bundles")
    expect(node.warnings).toEqual([])
    expect(rows("ledger/h/")).toBeGreaterThan(1)
    expect(rows("ledger/b/")).toBe(0)
    await world.during(node.stop())
    await fill(512, 40_000)
    await fill(64, 100)
    await world.untilQuiet()
    await follow(world, BUNDLES, "bundles")
    expect(node.warnings).toContain("REQUEST_REFUSED")
    expect(rows("ledger/b/")).toBeGreaterThan(2)
    expect(node.ledger.head()).toEqual(hq.ledger.head())
    await world.during(node.ledger.verifyAll())
    expect(node.failures).toEqual([])
  })

  it("are fetched on a poor link while far behind, and blocks again after that", async () => {
    const world = new LedgerWorld(5, "poor")
    const chain = makeChain(world.ministry, 3_000, { entries: 2 })
    await new ServingPeer(world, 1, chain).start(world, BLOCKS)
    const near = world.node(BLOCKS)
    await world.during(near.start())
    await world.clock.runUntil(() => near.height === 3_000, 60_000)
    world.network.setDefaultLink({ delayMs: 6_000 })
    const node = world.node(BUNDLES)
    await world.during(node.start())
    const spentMs = await world.clock.runUntil(() => node.height === 3_000, 3_600_000)
    const keys = [...node.disk.snapshot().keys()]
    expect(keys.filter((key) => key.startsWith("ledger/h/"))).toHaveLength(1)
    const blocks = keys.filter((key) => key.startsWith("ledger/b/")).length
    expect(blocks).toBeLessThan(500)
    expect(node.ledger.head()).toEqual(chain.head)
    await world.during(node.ledger.verifyAll())
    // One who insists on blocks needs longer.
    const patient = world.node(NEWCOMER)
    patient.sync = "blocks"
    await world.during(patient.start())
    const longerMs = await world.clock.runUntil(() => patient.height === 3_000, 3_600_000)
    expect(longerMs).toBeGreaterThan(spentMs)
  })

  it("cost about 60 bytes each on the line, where blocks of one entry cost over 400", async () => {
    const world = new LedgerWorld(4, "bytes")
    const chain = makeChain(world.ministry, 2_000)
    await new ServingPeer(world, 1, chain).start(world, BLOCKS)
    const bytesOf = async (index: number, sync: LedgerNode["sync"]): Promise<number> => {
      const node = world.node(index)
      node.sync = sync
      const { bytes } = world.network.counts
      await world.during(node.start())
      await world.clock.runUntil(() => node.height === 2_000, 600_000)
      return (world.network.counts.bytes - bytes) / 2_000
    }
    expect(await bytesOf(BLOCKS, "blocks")).toBeGreaterThan(400)
    expect(await bytesOf(BUNDLES, "bundles")).toBeLessThan(62)
  })

  it("and blocks may take turns: every mode goes on from where the other ended", async () => {
    const world = await history("turns", 8)
    const node = await follow(world, BUNDLES, "blocks")
    for (const sync of ["bundles", "blocks", "bundles", "auto"] as const) {
      await world.during(node.stop())
      for (let round = 0; round < 4; round++) {
        const burst = Array.from({ length: 70 }, async () => world.node(1).submit())
        await world.during(Promise.all(burst))
        await world.clock.runFor(100)
      }
      await publish(world, world.node(1), 5)
      await world.untilQuiet()
      await follow(world, BUNDLES, sync)
      expect(node.ledger.head()).toEqual(world.headquarters.ledger.head())
      await world.during(node.ledger.verifyAll())
    }
    const { stateHash } = world.headquarters.ledger.directory
    expect(node.ledger.directory.stateHash).toEqual(stateHash)
    expect(node.ledger.head().frontier.size).toBeGreaterThan(4 * BUNDLE_ENTRIES)
    expect(node.failures).toEqual([])
  })
})

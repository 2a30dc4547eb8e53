import { describe, expect, it } from "vitest"
import { encodeFinalBlock, type FinalBlock } from "../../../ledger/block.ts"
import { buildBlock, genesisHead } from "../../../ledger/chain.ts"
import { repairLedger, type RepairParts } from "../../../node/consensus/repair.ts"
import { NodeError } from "../../../node/errors.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { SYNC_WINDOW_BLOCKS } from "../../../protocol/limits.ts"
import { SimulatedDisk } from "../../support/database.ts"
import {
  batch,
  CHAIN_ID,
  chainOf,
  finalize,
  governance,
  LISBON,
  NAIROBI,
  RULES,
  signed,
} from "../../support/ledger.ts"
import { LedgerWorld, RottenDatabase, type LedgerNode } from "../../support/ledgers.ts"
import { suite } from "../../support/suites.ts"

const BUNDLE = "ledger/e/00000000000000"
/** Blocks of one entry that are in the first bundle. */
const SPAN = 256

const chain = chainOf(Array.from({ length: 600 }, (_, at) => [batch(NAIROBI, at + 1)]))
const honest = chain.blocks.map(encodeFinalBlock)

/** What a peer answers: encoded blocks from a height on. */
type Serve = (from: number, count: number) => readonly Uint8Array[]

function serveHonestly(from: number, count: number): readonly Uint8Array[] {
  return honest.slice(from - 1, from - 1 + count)
}

/**
 * Repairs a store whose first bundle is rotten, and some more rows, from these peers; who was asked,
 * from where.
 */
async function repairFrom(peers: Readonly<Record<string, Serve>>, more: readonly string[] = []) {
  const rotten = new Set<string>()
  const database = new RottenDatabase(new SimulatedDisk().open(), rotten)
  const store = await BlockStore.open(database, suite, CHAIN_ID)
  await store.append(chain.blocks, chain.head)
  store.tiles.dropCache()
  for (const key of [BUNDLE, ...more]) rotten.add(key)
  const asked: [peer: string, from: number][] = []
  const warnings: string[] = []
  const parts: RepairParts = {
    suite,
    chainId: CHAIN_ID,
    store,
    validatorsOf: RULES.validatorsOf,
    log: { warn: (code, { peer }) => warnings.push(`${code} ${peer}`) },
    peers: () => Object.keys(peers),
    fetch: async (peer, from, count) => {
      asked.push([peer, from])
      const serve = peers[peer]
      if (serve === undefined || asked.length > SPAN) throw new NodeError("NODE_BUSY", "no peer")
      return Promise.resolve([...serve(from, count)])
    },
    fetchEntries: async () => Promise.reject(new NodeError("NODE_BUSY", "no entries here")),
  }
  const outcome = await repairLedger(parts).catch((error: unknown) => error)
  return { asked, warnings, outcome, rotten: [...rotten] }
}

/** A block of 4 MiB for height 1, with the certificate of the real one, or one by a stranger. */
function largeBlock(
  certify: (block: FinalBlock["block"]) => FinalBlock["certificate"],
): Uint8Array {
  const batches = Array.from({ length: 60 }, (_, at) =>
    signed([governance(LISBON, at + 1, new Uint8Array(65_000))]),
  )
  const block = buildBlock(suite, genesisHead(CHAIN_ID), 1, batches, 1)
  return encodeFinalBlock({ block, certificate: certify(block), links: [] })
}

const real = chain.blocks[0]
if (real === undefined) throw new Error("an empty chain")
const [firstBlock] = honest
if (firstBlock === undefined) throw new Error("an empty chain")
const borrowed = largeBlock(() => real.certificate)
const forged = largeBlock((block) => {
  const certificate = finalize(block)
  const signatures = certificate.signatures.map((one) => one.map((byte) => byte ^ 1))
  return { ...certificate, signatures }
})

describe("a repair", () => {
  it.each<[what: string, lie: Serve]>([
    ["large blocks under a certificate of another one", () => [borrowed]],
    ["large blocks under a forged certificate", () => [forged]],
    ["one block again and again", () => Array.from({ length: 64 }, () => firstBlock)],
    ["blocks of other heights", (from, count) => serveHonestly(from + 1, count)],
    ["sound blocks and then a wrong one", () => [...serveHonestly(1, 63), borrowed]],
    ["more blocks than asked for", (from, count) => serveHonestly(from, count + 1)],
  ])("leaves a peer at its first answer that sends %s, and keeps nothing of it", async (_, lie) => {
    const { asked, outcome, rotten } = await repairFrom({ Mallory: lie, Lisbon: serveHonestly })
    const windows = [1, 65, 129, 193].map((from) => ["Lisbon", from])
    expect(asked).toEqual([["Mallory", 1], ...windows])
    expect(outcome).toEqual({ blocks: SPAN, tiles: 0 })
    expect(rotten).toEqual([])
  })

  it("does not wait for a peer that brings one block an answer: another goes on from there", async () => {
    const one: Serve = (from) => serveHonestly(from, 1)
    const { asked, warnings, rotten } = await repairFrom({ Mallory: one, Lisbon: serveHonestly })
    const windows = [2, 66, 130, 194].map((from) => ["Lisbon", from])
    expect(asked).toEqual([["Mallory", 1], ...windows])
    expect(warnings[0]).toBe("SYNC_ANSWER Mallory")
    expect(rotten).toEqual([])
  })

  it("asks a peer that failed for one span last for the next one", async () => {
    const one: Serve = (from) => serveHonestly(from, 1)
    const peers = { Mallory: one, Liar: () => [borrowed], Lisbon: serveHonestly }
    const { asked, rotten } = await repairFrom(peers, ["ledger/b/00000000000226"])
    expect(asked.slice(0, 2)).toEqual([
      ["Mallory", 1],
      ["Liar", 2],
    ])
    expect(new Set(asked.slice(2).map(([peer]) => peer))).toEqual(new Set(["Lisbon"]))
    expect(rotten).toEqual([])
  })

  it("goes on with the next peer where one has no more or is gone", async () => {
    const behind: Serve = (from, count) => serveHonestly(from, Math.min(count, 101 - from))
    const gone: Serve = (from, count) => {
      if (from > 200) throw new NodeError("PEER_UNREACHABLE", "gone")
      return serveHonestly(from, count)
    }
    const peers = { Behind: behind, Gone: gone, Lisbon: serveHonestly }
    const { asked, rotten } = await repairFrom(peers)
    expect(asked).toEqual([
      ["Behind", 1],
      ["Behind", 1 + SYNC_WINDOW_BLOCKS],
      ["Gone", 101],
      ["Gone", 165],
      ["Gone", 229],
      ["Lisbon", 229],
    ])
    expect(rotten).toEqual([])
  })

  it("heals what it can where nobody has another part", async () => {
    const pruned: Serve = (from, count) => (from > SPAN ? serveHonestly(from, count) : [])
    const { outcome, rotten } = await repairFrom({ Lisbon: pruned }, ["ledger/b/00000000000226"])
    expect(outcome).toMatchObject({ code: "STORE_DAMAGED" })
    expect(rotten).toEqual([BUNDLE])
  })

  it("that nobody can help says so, and changes nothing", async () => {
    const { outcome, rotten } = await repairFrom({ Mallory: () => [borrowed], Empty: () => [] })
    expect(outcome).toMatchObject({ code: "STORE_DAMAGED" })
    expect(rotten).toEqual([BUNDLE])
  })
})

/** A mission that has blocks up to some height, and entries alone above it. */
async function withGap(seed: string): Promise<{ world: LedgerWorld; node: LedgerNode }> {
  const world = new LedgerWorld(3, seed)
  const node = world.node(1)
  await world.during(world.headquarters.start())
  for (const mode of ["blocks", "bundles"] as const) {
    for (let burst = 0; burst < 20; burst++) {
      const entries = Array.from({ length: 20 }, async () => world.headquarters.submit())
      await world.during(Promise.all(entries))
      await world.clock.runFor(200)
    }
    node.sync = mode
    await world.during(node.start())
    await world.clock.runUntil(() => node.height === world.headquarters.height, 600_000)
    if (mode === "blocks") await world.during(node.stop())
  }
  return { world, node }
}

describe("damage below a gap", () => {
  it.each<[what: string, bundles: number[]]>([
    ["the row of the block", []],
    ["that row and the bundle that the block shares with the gap", [1]],
    ["that row and every bundle", [0, 1, 2]],
  ])("is healed where it is %s", async (_, bundles) => {
    const { world, node } = await withGap("below a gap")
    const keys = [...node.disk.snapshot().keys()].sort()
    const below = keys.filter((key) => key.startsWith("ledger/b/")).at(-1)
    const stored = keys.filter((key) => key.startsWith("ledger/e/"))
    expect([node.ledger.head().frontier.size, stored.length]).toEqual([800, 3])
    for (const key of [below, ...bundles.map((at) => stored[at])]) node.rotten.add(key ?? "no row")
    await world.during(node.ledger.repair())
    expect(node.rotten.size).toBe(0)
    await world.during(node.ledger.verifyAll())
  })
})

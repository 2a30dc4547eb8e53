import { describe, expect, it } from "vitest"
import { encodeFinalBlock, decodeFinalBlock, type FinalBlock } from "../../../ledger/block.ts"
import type { Transport } from "../../../node/network/transport.ts"
import { SYNC_DISTRUST_MS } from "../../../protocol/limits.ts"
import {
  decodeBlocksRequest,
  encodeBlocksAnswer,
  encodeNumber,
  PROTOCOLS,
} from "../../../protocol/wire.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

/** A world whose third post is Mallory's, who answers as `lie` says; the second one is honest. */
interface Scene {
  readonly world: LedgerWorld
  readonly honest: readonly Uint8Array[]
}

/** Headquarters makes twelve blocks while the second post is away. */
async function prepare(seed: string): Promise<Scene> {
  const world = new LedgerWorld(3, seed)
  const { headquarters } = world
  await world.during(headquarters.start())
  for (let round = 0; round < 12; round++) {
    await world.during(headquarters.submit())
    await world.clock.runFor(100)
  }
  const honest = await world.blocksOf(headquarters)
  expect(honest).toHaveLength(12)
  return { world, honest }
}

/** Mallory claims `height` and answers requests for blocks with `lie`. */
async function mallory(
  { world }: Scene,
  height: number,
  lie: (fromHeight: number, count: number) => Uint8Array | Uint8Array[],
  index = 2,
): Promise<Transport> {
  const { post } = world.node(index)
  const transport = world.network.transport(post.peer)
  transport.handle(PROTOCOLS.height, async () => Promise.resolve(encodeNumber(height)))
  transport.handle(PROTOCOLS.blocks, async (_, request) => {
    const { fromHeight, count } = decodeBlocksRequest(request)
    const answer = lie(fromHeight, count)
    return Promise.resolve(answer instanceof Uint8Array ? answer : encodeBlocksAnswer(answer))
  })
  const peer = world.node(1).post.peer
  transport.setMembers([{ peer, addresses: [], keep: true }])
  await transport.start()
  return transport
}

function changed(world: LedgerWorld, bytes: Uint8Array, change: (final: FinalBlock) => FinalBlock) {
  return encodeFinalBlock(change(decodeFinalBlock(world.ministry.suite, bytes)))
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[at] = (flipped[at] ?? 0) ^ 1
  return flipped
}

describe("a follower among liars", () => {
  const lies: [
    name: string,
    code: string,
    lie: (scene: Scene) => (from: number, count: number) => Uint8Array | Uint8Array[],
  ][] = [
    ["a height without blocks", "SYNC_ANSWER", () => () => []],
    [
      "more blocks than were asked for",
      "SYNC_ANSWER",
      ({ honest }) =>
        (_, count) =>
          Array.from({ length: count + 1 }, () => honest[0] ?? new Uint8Array(1)),
    ],
    [
      "a block at another place",
      "BLOCK_PARENT",
      ({ honest }) =>
        (from) =>
          honest.slice(from, from + 1),
    ],
    [
      "a certificate with a wrong signature",
      "CERTIFICATE_SIGNATURE",
      ({ world, honest }) =>
        (from) =>
          honest.slice(from - 1, from).map((bytes) =>
            changed(world, bytes, ({ block, certificate, links }) => ({
              links,
              block,
              certificate: {
                ...certificate,
                signatures: certificate.signatures.map((signature) => flip(signature, 9)),
              },
            })),
          ),
    ],
    [
      "another header under a good certificate",
      "BLOCK_CERTIFICATE",
      ({ world, honest }) =>
        (from) =>
          honest.slice(from - 1, from).map((bytes) =>
            changed(world, bytes, ({ block, certificate, links }) => ({
              links,
              block: { ...block, header: { ...block.header, timeMs: block.header.timeMs + 1 } },
              certificate,
            })),
          ),
    ],
    [
      "a block with a flipped bit in an entry",
      "BLOCK_BATCHES",
      ({ honest }) =>
        (from) =>
          honest.slice(from - 1, from).map((bytes) => flip(bytes, bytes.length - 80)),
    ],
    [
      "an answer that is cut short",
      "CODEC_TRUNCATED",
      ({ honest }) =>
        (from) =>
          encodeBlocksAnswer(honest.slice(from - 1, from)).subarray(0, 100),
    ],
    [
      "three good blocks and a wrong one",
      "BLOCK_PARENT",
      ({ honest }) =>
        (from) => [...honest.slice(from - 1, from + 2), honest[0] ?? new Uint8Array(1)],
    ],
  ]

  it.each(lies)("believes nothing of %s, says so, and asks others", async (name, code, lie) => {
    const scene = await prepare(`liar ${name}`)
    const { world, honest } = scene
    await mallory(scene, 50, lie(scene))
    const follower = world.node(1)
    world.network.partition([[world.headquarters.post.peer]])
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.warnings.includes(code), 120_000)
    const { requests } = world.network.counts
    await world.clock.runFor(SYNC_DISTRUST_MS / 2)
    // Left alone; only heights are still exchanged, now and again, with whoever is there.
    expect(world.network.counts.requests - requests).toBeLessThan(30)
    expect(follower.warnings.filter((warning) => warning === code)).toHaveLength(1)
    expect(follower.height).toBe(name.startsWith("three") ? 3 : 0)
    world.network.heal()
    await world.clock.runUntil(() => follower.height === 12, 120_000)
    const blocks = await world.blocksOf(follower)
    expect(blocks).toEqual(honest)
    expect(follower.failures).toEqual([])
  })

  it("asks one that lied for its height when it is trusted again, with nobody else there", async () => {
    const scene = await prepare("trusted again")
    const { world, honest } = scene
    await world.during(world.headquarters.stop())
    // A validator, so that nobody is asked now and again; it says its height on contact alone.
    let isLying = true
    await mallory(
      scene,
      12,
      (from, count) => (isLying ? [] : honest.slice(from - 1, from - 1 + count)),
      0,
    )
    const follower = world.node(1)
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.warnings.includes("SYNC_ANSWER"), 60_000)
    isLying = false
    await world.clock.runFor(SYNC_DISTRUST_MS / 2)
    expect(follower.height).toBe(0)
    await world.clock.runUntil(() => follower.height === 12, SYNC_DISTRUST_MS)
    expect(follower.warnings.filter((one) => one === "SYNC_ANSWER")).toHaveLength(1)
  })

  it("keeps up although a liar claims more than the honest have", async () => {
    const scene = await prepare("claims more")
    const { world } = scene
    await mallory(scene, Number.MAX_SAFE_INTEGER, () => [])
    const follower = world.node(1)
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.height === 12, 120_000)
    await world.clock.runFor(10_000)
    expect(follower.warnings).toContain("STREAM_PROTOCOL")
    expect(follower.ledger.heightSeen()).toBe(12)
  })
})

describe("damage on the disk", () => {
  it("of a block or its entries is found, healed from a peer, and verified", async () => {
    const world = new LedgerWorld(3, "damage")
    await world.start()
    for (let round = 0; round < 40; round++) {
      const burst = Array.from({ length: 20 }, async () => world.node(round % 3).submit())
      await world.during(Promise.all(burst))
      await world.clock.runFor(50)
    }
    await world.untilQuiet()
    const node = world.node(1)
    expect(node.ledger.head().frontier.size).toBe(800)
    const keys = [...node.disk.snapshot().keys()].sort()
    const bundle = keys.filter((key) => key.startsWith("ledger/e/"))[1]
    const tile = keys.filter((key) => key.startsWith("ledger/t/0/"))[0]
    const place = keys.filter((key) => key.startsWith("ledger/s/"))[7]
    const blocks = keys.filter((key) => key.startsWith("ledger/b/"))
    const cases = [
      [bundle],
      [tile],
      [place],
      [blocks[5]],
      [blocks[5], blocks[6], blocks[20], bundle],
    ]
    for (const rotten of [...cases, [blocks[0]], [blocks.at(-2)]]) {
      for (const key of rotten) node.rotten.add(key ?? "nothing stored")
      await expect(world.during(node.ledger.verifyAll())).rejects.toMatchObject({
        code: "STORE_DAMAGED",
      })
      const healed = await world.during(node.ledger.repair())
      expect(healed.blocks + healed.tiles).toBeGreaterThan(0)
      expect(node.rotten.size).toBe(0)
      const verified = await world.during(node.ledger.verifyAll())
      expect(verified.entries).toBe(800)
    }
    expect(node.warnings).toContain("LEDGER_HEALED")
  })

  it("is healed when a peer asks for the block, and the peer goes elsewhere meanwhile", async () => {
    const world = new LedgerWorld(3, "damage served")
    await world.during(world.headquarters.start())
    await world.during(world.node(1).start())
    for (let round = 0; round < 5; round++) {
      await world.during(world.headquarters.submit())
      await world.clock.runFor(100)
    }
    await world.untilQuiet()
    const rotten = [...world.node(1).disk.snapshot().keys()].filter((key) =>
      key.startsWith("ledger/b/"),
    )
    const [first] = rotten.sort()
    if (first === undefined) throw new Error("no blocks")
    world.node(1).rotten.add(first)
    world.network.partition([[world.node(1).post.peer, world.node(2).post.peer]])
    await world.during(world.node(2).start())
    await world.clock.runFor(120_000)
    expect(world.node(2).height).toBe(0)
    world.network.heal()
    await world.untilQuiet()
    expect(world.node(2).height).toBe(5)
    await world.clock.runUntil(() => world.node(1).rotten.size === 0, 3_600_000)
  })

  it.each<[string, string, number | "first"]>([
    ["the head", "ledger/head", 0],
    ["a tail entry", "ledger/l/", 0],
    ["the newest block", "ledger/b/", 0],
    ["a newest serial", "ledger/q/", 0],
    ["a row of the directory", "ledger/g/", 0],
    ["the tree hashes at the edge", "ledger/p/1", 0],
    ["the head and an old block", "ledger/b/", 30],
    ["the head and the first block", "ledger/b/", "first"],
  ])("of %s is healed at the next start, and nothing is different", async (_, prefix, older) => {
    const world = new LedgerWorld(3, "edge", { founding: 2 })
    const hq = world.headquarters
    await world.during(hq.start())
    await world.during(world.node(1).start())
    const { stateHash } = hq.ledger.directory
    for (const payload of world.ministry.admission(world.node(2).post, stateHash)) {
      await world.during(hq.submit(hq.governance(payload)))
    }
    for (let round = 0; round < 40; round++) {
      const burst = Array.from({ length: 10 }, async () => world.node(1).submit())
      await world.during(Promise.all(burst))
      await world.clock.runFor(50)
    }
    await world.untilQuiet()
    const node = world.node(1)
    const [before, blocks] = [node.ledger.head(), await world.blocksOf(node)]
    const { stateHash: state } = node.ledger.directory
    const keys = [...node.disk.snapshot().keys()].filter((key) => key.startsWith(prefix)).sort()
    await world.during(node.stop())
    const key = older === "first" ? keys[0] : keys.at(-1 - older)
    if (key === undefined) throw new Error(`no row ${prefix}`)
    node.rotten.add(key)
    if (older !== 0) node.rotten.add("ledger/head")
    await world.during(node.start())
    expect(node.warnings).toContain("LEDGER_REBUILT")
    await world.clock.runUntil(() => node.height === before.height, 600_000)
    await world.clock.runFor(1_000)
    expect(node.ledger.head()).toEqual(before)
    expect(node.ledger.directory.stateHash).toEqual(state)
    expect(await world.blocksOf(node)).toEqual(blocks)
    expect(node.rotten.size).toBe(0)
    await world.during(node.ledger.verifyAll())
    await world.during(node.stop())
    await world.during(node.start())
    expect(node.ledger.head()).toEqual(before)
    await world.during(node.submit())
    await world.untilQuiet()
  })

  it("of its newest rows is healed on a validator from its log", async () => {
    const world = new LedgerWorld(1, "edge of the validator")
    const hq = world.headquarters
    await world.during(hq.start())
    await world.during(hq.submit())
    await world.untilQuiet()
    const { hash } = hq.ledger.head()
    await world.during(hq.stop())
    hq.rotten.add("ledger/head")
    await world.during(hq.start())
    await world.clock.runUntil(() => hq.height === 1, 60_000)
    expect(hq.ledger.head().hash).toEqual(hash)
    await world.during(hq.submit())
    await world.untilQuiet()
    expect(hq.height).toBe(2)
  })

  it("is not healed by blocks that are not the ones that stood there", async () => {
    const scene = await prepare("damage forged")
    const { world, honest } = scene
    const node = world.node(1)
    await world.during(node.start())
    await world.clock.runUntil(() => node.height === 12, 60_000)
    world.network.partition([[world.headquarters.post.peer]])
    await world.clock.runFor(60_000)
    const other = honest.map((bytes) =>
      changed(world, bytes, ({ block, certificate, links }) => ({
        links,
        block: { ...block, header: { ...block.header, view: block.header.view + 1 } },
        certificate,
      })),
    )
    await mallory(scene, 12, (from, count) => other.slice(from - 1, from - 1 + count))
    await world.clock.runFor(20_000)
    const key = [...node.disk.snapshot().keys()]
      .filter((one) => one.startsWith("ledger/b/"))
      .sort()[4]
    node.rotten.add(key ?? "")
    await expect(world.during(node.ledger.repair())).rejects.toMatchObject({
      code: "STORE_DAMAGED",
    })
    expect(node.rotten.size).toBe(1)
  })
})

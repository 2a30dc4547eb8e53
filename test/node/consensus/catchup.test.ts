import { describe, expect, it } from "vitest"
import type { FinalBlock } from "../../../ledger/block.ts"
import type { ChainHead } from "../../../ledger/chain.ts"
import { NodeError } from "../../../node/errors.ts"
import { payloadEntry, signBatch, type Batch } from "../../../protocol/entry.ts"
import {
  SYNC_PATIENCE_MS,
  SYNC_RANGES_MAX,
  SYNC_RANGES_PER_PEER_MAX,
} from "../../../protocol/limits.ts"
import {
  decodeBlocksRequest,
  encodeBlocksAnswer,
  encodeNumber,
  PROTOCOLS,
} from "../../../protocol/wire.ts"
import { makeChain, newestAnswer, ServingPeer, type Manners } from "../../support/chains.ts"
import type { ChainOptions, MadeChain } from "../../support/chains.ts"
import { LedgerWorld } from "../../support/ledgers.ts"
import type { Ministry } from "../../support/ministry.ts"

const FOLLOWER = 4

interface Scene {
  readonly world: LedgerWorld
  readonly chain: MadeChain
  readonly peers: readonly ServingPeer[]
}

/** The posts 1 … 3 serve a chain, each in its manner; the fifth post will follow. */
async function scene(
  name: string,
  count: number,
  manners: readonly ((chain: MadeChain) => Manners)[],
  options: ChainOptions = {},
): Promise<Scene> {
  const world = new LedgerWorld(5, name, { link: { delayMs: 50 } })
  const chain = makeChain(world.ministry, count, options)
  const peers: ServingPeer[] = []
  for (const [at, manner] of manners.entries()) {
    const peer = new ServingPeer(world, at + 1, chain, manner(chain))
    await peer.start(world, FOLLOWER)
    peers.push(peer)
  }
  return { world, chain, peers }
}

const honest = (): Manners => ({})

/** Milliseconds until the follower has all, which then is what the chain is. */
async function caughtUp({ world, chain }: Scene, withinMs = 600_000): Promise<number> {
  const follower = world.node(FOLLOWER)
  if (!follower.isUp) await world.during(follower.start())
  const spentMs = await world.clock.runUntil(() => follower.height === chain.head.height, withinMs)
  expect(await world.blocksOf(follower)).toEqual(chain.bytes)
  expect(follower.ledger.head()).toEqual(chain.head)
  expect(follower.failures).toEqual([])
  return spentMs
}

/** The facts of the one warning of a code. */
function warningOf({ world }: Scene, code: string): Readonly<Record<string, string | number>> {
  const { warnings, facts } = world.node(FOLLOWER)
  expect(warnings.filter((one) => one === code)).toHaveLength(1)
  return facts[warnings.indexOf(code)] ?? {}
}

describe("a node that is months behind", () => {
  it("fetches thousands of blocks from all peers at once, few ranges at a time", async () => {
    const three = await scene("months", 4_000, [honest, honest, honest])
    const spentMs = await caughtUp(three)
    const asked = three.peers.map((peer) => peer.asked.length)
    for (const count of asked) expect(count).toBeGreaterThan(10)
    // Every block was asked for once, and the height was shown once.
    const blocks = three.peers.flatMap((peer) => peer.asked.map(([, count]) => count))
    expect(blocks.reduce((sum, count) => sum + count, 0)).toBe(4_000)
    expect(three.peers.reduce((sum, peer) => sum + peer.newestAsked, 0)).toBe(1)
    for (const { busyMost } of three.peers) {
      expect(busyMost).toBeLessThanOrEqual(SYNC_RANGES_PER_PEER_MAX)
    }
    const busy = three.peers.reduce((sum, peer) => sum + peer.busyMost, 0)
    expect(busy).toBeLessThanOrEqual(SYNC_RANGES_MAX + 2)
    // One request after another would take 63 round trips of 100 ms.
    expect(spentMs).toBeLessThan(2_500)
  })

  it("takes blocks that are final through closing ones", async () => {
    const linked = await scene("linked", 300, [honest, honest], { linkedEvery: 5 })
    expect(linked.chain.blocks.filter(({ links }) => links.length > 0).length).toBe(59)
    await caughtUp(linked)
    const { ledger } = linked.world.node(FOLLOWER)
    const verified = await linked.world.during(ledger.verifyAll())
    expect(verified.entries).toBe(linked.chain.head.frontier.size)
    expect(linked.chain.blocks[4]?.links).toHaveLength(1)
  })

  it("goes on after a restart in the middle, and after everybody was away", async () => {
    const away = await scene("restart", 1_500, [honest, honest])
    const { world } = away
    const follower = world.node(FOLLOWER)
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.height > 200, 60_000)
    expect(follower.height).toBeLessThan(1_500)
    follower.crash()
    await world.during(follower.start())
    world.network.partition([[follower.post.peer]])
    await world.clock.runFor(90 * 24 * 3_600_000)
    world.network.heal()
    await caughtUp(away)
  })
})

describe("a peer of a node that catches up", () => {
  it("that claims an absurd height costs one request", async () => {
    const all = await scene("absurd", 500, [
      honest,
      (chain) => ({ claim: Number.MAX_SAFE_INTEGER, newest: () => badlySigned(chain) }),
      () => ({ claim: 10 ** 12, newest: () => Promise.reject(new NodeError("NODE_BUSY", "no")) }),
    ])
    heardLast(all)
    await caughtUp(all)
    await all.world.clock.runFor(10_000)
    expect(all.peers[1]?.newestAsked).toBe(1)
    expect(all.peers[1]?.asked).toEqual([])
    const { peer, asked } = warningOf(all, "CERTIFICATE_SIGNATURE")
    expect({ peer, asked }).toEqual({
      peer: all.world.node(2).post.peer,
      asked: "newest header",
    })
    // One that refuses is asked ever more rarely.
    expect(all.peers[2]?.newestAsked).toBeLessThanOrEqual(6)
  })

  it("that shows another header under a good certificate is believed nothing", async () => {
    const all = await scene("other header", 200, [
      honest,
      ({ blocks }) => ({
        claim: 10 ** 9,
        newest: () => {
          const final = last(blocks)
          return newestAnswer(final, { ...final.block.header, height: 10 ** 9 })
        },
      }),
    ])
    heardLast(all)
    await caughtUp(all)
    expect(warningOf(all, "BLOCK_CERTIFICATE")).toMatchObject({ asked: "newest header" })
  })

  it("that has shown a true height first and claims more gets one request beyond it", async () => {
    const all = await scene("beyond", 500, [honest, () => ({ claim: 10 ** 12 })])
    await caughtUp(all)
    await all.world.clock.runFor(10_000)
    const beyond = all.peers[1]?.asked.filter(([from]) => from > 500) ?? []
    expect(beyond.length + (all.peers[1]?.newestAsked ?? 0)).toBe(1)
    expect(all.world.node(FOLLOWER).ledger.heightSeen()).toBe(500)
  })

  it("that sends valid blocks of other heights costs its own range", async () => {
    const all = await scene("wrong ranges", 1_000, [
      honest,
      ({ bytes }) => ({ blocks: (from, count) => bytes.slice(from, from + count) }),
      honest,
    ])
    await caughtUp(all)
    const { peer, from, to } = warningOf(all, "BLOCK_PARENT")
    expect(peer).toBe(all.world.node(2).post.peer)
    expect(all.peers[1]?.asked).toEqual([[from, Number(to) - Number(from) + 1]])
  })

  it("that sends one wrong block among good ones is found out, and the good ones stay", async () => {
    const all = await scene("one wrong", 600, [
      honest,
      ({ bytes }) => ({
        blocks: (from, count) => {
          const answer = bytes.slice(from - 1, from - 1 + count)
          return answer.map((block, at) => (at === 40 ? flip(block, block.length - 80) : block))
        },
      }),
    ])
    await caughtUp(all)
    warningOf(all, "BLOCK_BATCHES")
    const { asked = [] } = all.peers[0] ?? {}
    const [liar] = all.peers[1]?.asked ?? []
    expect(asked.some(([from]) => from === (liar?.[0] ?? 0) + 40)).toBe(true)
  })

  it("that stops in the middle is asked for no more than it has", async () => {
    const all = await scene("stops", 1_200, [
      honest,
      ({ bytes }) => ({
        blocks: (from, count) => bytes.slice(0, 500).slice(from - 1, from - 1 + count),
      }),
    ])
    await caughtUp(all)
    const beyond = all.peers[1]?.asked.filter(([from]) => from > 500) ?? []
    expect(beyond.length).toBeLessThanOrEqual(SYNC_RANGES_PER_PEER_MAX)
  })

  it("that vanishes in the middle is replaced by the others", async () => {
    const all = await scene("vanishes", 2_000, [honest, honest, honest])
    const { world } = all
    const follower = world.node(FOLLOWER)
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.height > 300, 60_000)
    world.network.crash(world.node(2).post.peer)
    expect(await caughtUp(all)).toBeLessThan(10_000)
  })

  it("that takes requests and never answers holds nobody up for long", async () => {
    const all = await scene("silent", 2_000, [
      honest,
      () => ({ blocks: async () => new Promise(() => undefined) }),
      honest,
    ])
    expect(await caughtUp(all)).toBeLessThan(2 * SYNC_PATIENCE_MS)
    expect(warningOf(all, "STREAM_DEADLINE")["peer"]).toBe(all.world.node(2).post.peer)
  })

  it("that never shows its newest header holds nobody up: others are asked block by block", async () => {
    const all = await scene("silent about its height", 1_000, [
      honest,
      () => ({ claim: 10 ** 6, newest: async () => new Promise(() => undefined) }),
    ])
    expect(await caughtUp(all)).toBeLessThan(5_000)
  })

  it("that is very slow is passed by, and with nobody else is waited for", async () => {
    const all = await scene("slow", 1_000, [honest, honest])
    const slow = all.world.node(1).post.peer
    const { peer } = all.world.node(FOLLOWER).post
    all.world.network.setLink(slow, peer, { delayMs: 20_000 })
    expect(await caughtUp(all)).toBeLessThan(4 * SYNC_PATIENCE_MS)

    const alone = await scene("slow alone", 300, [honest])
    const { world } = alone
    world.network.setLink(world.node(1).post.peer, peerOf(world), { delayMs: 10_000 }, true)
    await caughtUp(alone)
  })

  it("is slow as all others are: whoever has the next blocks is waited for in the end", async () => {
    const all = await scene("all slow", 500, [honest, honest])
    const [one, two] = [all.world.node(1), all.world.node(2)]
    all.world.network.setLink(one.post.peer, peerOf(all.world), { delayMs: 14_000 })
    all.world.network.setLink(two.post.peer, peerOf(all.world), { delayMs: 25_000 })
    await caughtUp(all)
  })
})

describe("a peer that is slow and always the last to speak", () => {
  it("delays one block of a follower that has another to ask, and no more", async () => {
    const world = new LedgerWorld(3, "speaks last")
    const { headquarters: hq, clock, network } = world
    await world.during(hq.start())
    const follower = world.node(1)
    await world.during(follower.start())
    await clock.runFor(20_000)
    const slow = network.transport(world.node(2).post.peer)
    slow.handle(PROTOCOLS.height, async () => Promise.resolve(encodeNumber(hq.height)))
    slow.handle(PROTOCOLS.blocks, async (_, request) => {
      const { fromHeight } = decodeBlocksRequest(request)
      await new Promise<void>((resolve) => {
        clock.after(58_000, resolve)
      })
      for await (const block of hq.ledger.blocks(fromHeight)) return encodeBlocksAnswer([block])
      return encodeBlocksAnswer([])
    })
    const { peer } = follower.post
    slow.setMembers([{ peer, addresses: [], keep: true }])
    await slow.start()
    // It says what the next height will be before there is such a block, again and again.
    const tell = (): void => {
      const height = encodeNumber(hq.height + 1)
      void slow.request(peer, PROTOCOLS.height, height).catch(() => undefined)
      clock.after(50, tell)
    }
    tell()
    const delays: number[] = []
    for (let round = 0; round < 10; round++) {
      const fromMs = clock.monotonicMs()
      const target = hq.height + 1
      await world.during(hq.submit())
      await clock.runUntil(() => follower.height >= target, 600_000)
      delays.push(clock.monotonicMs() - fromMs)
    }
    const late = delays.filter((delayMs) => delayMs > 1_000)
    expect(late.length).toBeLessThanOrEqual(1)
    expect(Math.max(...delays)).toBeLessThan(2 * SYNC_PATIENCE_MS)
  })
})

describe("a block of the largest size on a thin line", () => {
  const HEIGHT = 40

  /** What a leader may make: 63 batches with an entry of the largest size each. */
  function largest({ suite, net, posts }: Ministry, head: ChainHead): readonly Batch[] | undefined {
    const [post] = posts
    if (post === undefined || head.height + 1 !== HEIGHT) return undefined
    const first = (head.serials.get(post.rid) ?? 0) + 1
    return Array.from({ length: 63 }, (_, at) => {
      const payload = new Uint8Array(65_000)
      const entry = payloadEntry(suite, "evidence", post.rid, first + at, 1, payload)
      return signBatch(suite, net, [entry], post.submit.sign)
    })
  }

  async function thin(bytesPerSecond: number, peers: number): Promise<Scene> {
    const world = new LedgerWorld(5, "thin", { link: { delayMs: 50, bytesPerSecond } })
    const chain = makeChain(world.ministry, 2 * HEIGHT, {
      batches: (head) => largest(world.ministry, head),
    })
    expect(chain.bytes[HEIGHT - 1]?.length).toBeGreaterThan(4_000_000)
    const served = Array.from({ length: peers }, (_, at) => new ServingPeer(world, at + 1, chain))
    for (const peer of served) await peer.start(world, FOLLOWER)
    return { world, chain, peers: served }
  }

  it.each([64, 16, 8])("arrives at %i KiB a second, once", async (rate) => {
    const alone = await thin(rate * 1_024, 1)
    const follower = alone.world.node(FOLLOWER)
    follower.sync = "blocks"
    const ideal = (alone.chain.bytes.reduce((sum, block) => sum + block.length, 0) / rate) * 1.024
    expect(await caughtUp(alone, 2 * 3_600_000)).toBeLessThan(ideal + 10_000)
    expect(follower.warnings).toEqual([])
  })

  it("does so at 8 KiB a second by default as well", async () => {
    await caughtUp(await thin(8 * 1_024, 1), 2 * 3_600_000)
  })

  it("arrives from one of several peers, all of which are slow", async () => {
    await caughtUp(await thin(16 * 1_024, 3), 2 * 3_600_000)
  })
})

/** The first peer, which is honest, is further away than the others. */
function heardLast({ world }: Scene): void {
  world.network.setLink(world.node(1).post.peer, peerOf(world), { delayMs: 400 }, true)
}

function peerOf(world: LedgerWorld): string {
  return world.node(FOLLOWER).post.peer
}

function badlySigned({ blocks }: MadeChain): Uint8Array {
  const { certificate, ...final } = last(blocks)
  const signatures = certificate.signatures.map((signature) => flip(signature, 9))
  return newestAnswer({ ...final, certificate: { ...certificate, signatures } })
}

function last(blocks: readonly FinalBlock[]): FinalBlock {
  const block = blocks.at(-1)
  if (block === undefined) throw new Error("an empty chain")
  return block
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[at] = (flipped[at] ?? 0) ^ 1
  return flipped
}

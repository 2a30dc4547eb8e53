import { describe, expect, it } from "vitest"
import { acceptBlock, type ChainHead } from "../../../ledger/chain.ts"
import type { Certificate } from "../../../ledger/certificate.ts"
import { Finality } from "../../../node/consensus/finality.ts"
import { Follower } from "../../../node/consensus/follower.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { DirectoryRows } from "../../../node/store/directory.ts"
import { Directory } from "../../../protocol/directory.ts"
import { SYNC_VALIDATOR_WAIT_MS } from "../../../protocol/limits.ts"
import { encodeNumber, PROTOCOLS } from "../../../protocol/wire.ts"
import { makeChain, ServingPeer, type MadeChain } from "../../support/chains.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

const VALIDATOR = 3

/** A validator that is behind, without its consensus, and the posts 1 and 2 that are not. */
async function behind(name: string, count: number) {
  const world = new LedgerWorld(4, name)
  const { ministry, network, clock } = world
  const { suite, net } = ministry
  const chain = makeChain(ministry, count)
  for (const index of [1, 2]) await new ServingPeer(world, index, chain).start(world, VALIDATOR)
  const { disk, post } = world.node(VALIDATOR)
  const store = await world.during(BlockStore.open(disk.open(), suite, net))
  const directory = new Directory(suite, ministry.genesisBytes)
  const stored: number[] = []
  const finality = new Finality({
    suite,
    store,
    directory,
    rows: new DirectoryRows(),
    ownOperations: () => [],
    onStored: ({ height }) => stored.push(height),
  })
  const transport = network.transport(post.peer)
  const judged: number[] = []
  const adopted: { head: ChainHead; certificate: Certificate | undefined }[] = []
  const failures: unknown[] = []
  const follower = new Follower({
    suite,
    transport,
    clock,
    log: { warn: (event) => failures.push(event) },
    store,
    finality,
    validators: () => [],
    validator: {
      onAdopted: (head, certificates) => {
        judged.push(...certificates.map(({ view }) => view))
        adopted.push({ head, certificate: certificates.at(-1) })
      },
    },
    onFork: (_, why) => failures.push(why),
    onFatal: (error) => failures.push(error),
  })
  transport.handle(PROTOCOLS.height, async (peer, request) => {
    return Promise.resolve(follower.receiveHeight(peer, request))
  })
  const members = [1, 2].map((index) => world.node(index).post.peer)
  transport.setMembers(members.map((peer) => ({ peer, addresses: [], keep: true })))
  follower.start()
  await transport.start()
  return { world, chain, store, finality, follower, stored, judged, adopted, failures }
}

type Behind = Awaited<ReturnType<typeof behind>>

/** Folds and stores a block as consensus would, in its turn. */
async function decide({ finality, world }: Behind, chain: MadeChain, height: number) {
  const final = chain.blocks[height - 1]
  if (final === undefined) throw new Error("no such block")
  await finality.exclusive(async () => {
    if (finality.head.height >= height) return
    const head = acceptBlock(world.ministry.suite, finality.head, final, finality)
    await finality.commit([finality.fold(final, head)])
  })
}

async function later(world: LedgerWorld): Promise<void> {
  await new Promise<void>((resolve) => {
    world.clock.after(20, resolve)
  })
}

describe("a validator that is behind", () => {
  it("adopts blocks that others made final, judges each, and tells where its head is", async () => {
    const scene = await behind("adopts", 300)
    const { world, chain, store, stored, judged, adopted, failures } = scene
    await world.clock.runUntil(() => store.head.height === 300, 60_000)
    expect(store.head).toEqual(chain.head)
    const heights = Array.from({ length: 300 }, (_, at) => at + 1)
    expect(stored).toEqual(heights)
    expect(judged).toEqual(heights)
    expect(adopted.at(-1)?.head).toEqual(chain.head)
    expect(adopted.at(-1)?.certificate).toEqual(chain.blocks.at(-1)?.certificate)
    const told = adopted.map(({ head }) => head.height)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect(failures).toEqual([])
  })

  it("waits for consensus first, which costs the others nothing", async () => {
    const scene = await behind("waits", 1)
    const { world, chain, store, adopted } = scene
    await world.clock.runFor(SYNC_VALIDATOR_WAIT_MS / 2)
    expect(store.head.height).toBe(0)
    const { requests } = world.network.counts
    await world.during(decide(scene, chain, 1))
    await world.clock.runFor(10 * SYNC_VALIDATOR_WAIT_MS)
    expect(store.head.height).toBe(1)
    expect(adopted).toEqual([])
    // Heights alone were exchanged.
    expect(world.network.counts.requests - requests).toBeLessThanOrEqual(4)
  })

  it("skips what consensus decides meanwhile, and consensus what was adopted", async () => {
    const scene = await behind("both", 200)
    const { world, chain, store, finality, stored, failures } = scene
    /** Every block but each tenth comes from consensus too, a little ahead of those fetched. */
    const deciding = (async () => {
      for (let height = 1; height <= 200; height++) {
        if (height % 10 !== 0) await decide(scene, chain, height)
        while (finality.head.height < height) await later(world)
      }
    })()
    await world.clock.runUntil(() => store.head.height === 200, 60_000)
    await world.during(deciding)
    expect(store.head).toEqual(chain.head)
    expect(stored).toEqual(Array.from({ length: 200 }, (_, at) => at + 1))
    expect(failures).toEqual([])
  })

  it("tells a peer its height after every block", async () => {
    const scene = await behind("tells", 3)
    const { world, store, follower } = scene
    await world.clock.runUntil(() => store.head.height === 3, 60_000)
    const { peer } = world.node(1).post
    expect(follower.receiveHeight(peer, encodeNumber(3))).toEqual(encodeNumber(3))
    const { requests } = world.network.counts
    follower.announce()
    await world.clock.runFor(100)
    expect(world.network.counts.requests - requests).toBe(2)
  })
})

describe("turns", () => {
  it("come one after another, each with its own answer or failure", async () => {
    const { finality } = await behind("turns", 1)
    const seen: string[] = []
    const pause = async (): Promise<void> => Promise.resolve()
    const work = (name: string, fails = false) => {
      return async (): Promise<string> => {
        seen.push(`${name} begins`)
        for (let i = 0; i < 20; i++) await pause()
        seen.push(`${name} ends`)
        if (fails) throw new Error(name)
        return name
      }
    }
    const turns = [work("first"), work("second", true), work("third")]
    const found = await Promise.allSettled(turns.map(async (turn) => finality.exclusive(turn)))
    expect(found.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect(seen).toEqual(
      ["first", "second", "third"].flatMap((name) => [`${name} begins`, `${name} ends`]),
    )
  })
})

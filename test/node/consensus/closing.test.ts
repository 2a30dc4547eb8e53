import { describe, expect, it } from "vitest"
import type { ChainHead } from "../../../ledger/chain.ts"
import { payloadEntry, signBatch, type Batch } from "../../../protocol/entry.ts"
import { UNFINAL_BLOCKS_MAX } from "../../../protocol/limits.ts"
import { makeChain, serveStored, type MadeChain } from "../../support/chains.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

const FOLLOWER = 1
const PEERS = [0, 2]

/** Entries for the directory: which block they are in must be shown. */
function publications(world: LedgerWorld, head: ChainHead, count: number): readonly Batch[] {
  const { ministry } = world
  const [post] = ministry.posts
  if (post === undefined) throw new Error("a ministry without posts")
  const first = (head.serials.get(post.rid) ?? 0) + 1
  const entries = Array.from({ length: count }, (_, at) => {
    const { suite } = ministry
    return payloadEntry(suite, "epochKeys", post.rid, first + at, 1, new Uint8Array(100))
  })
  return [signBatch(ministry.suite, ministry.net, entries, post.submit.sign)]
}

/** One block for the directory, final through so many others, and some usual ones around it. */
function chainWith(world: LedgerWorld, links: number, count: number): MadeChain {
  const linkedEvery = links + 1
  const batches = (head: ChainHead): readonly Batch[] | undefined =>
    head.height + 1 === linkedEvery ? publications(world, head, count) : undefined
  const chain = makeChain(world.ministry, 2 * links + 3, { linkedEvery, links, batches })
  expect(chain.blocks[links]?.links).toHaveLength(links)
  return chain
}

describe("a block that is final through many closing ones", () => {
  it.each([
    [30, 1],
    [UNFINAL_BLOCKS_MAX, 1],
    [UNFINAL_BLOCKS_MAX, 64],
  ])("through %i is shown to one who takes its entries alone, %i of them", async (links, count) => {
    const world = new LedgerWorld(3, `closing ${links}`)
    const chain = chainWith(world, links, count)
    for (const index of PEERS) await serveStored(world, index, chain, FOLLOWER)
    const follower = world.node(FOLLOWER)
    follower.sync = "bundles"
    await world.during(follower.start())
    await world.clock.runUntil(() => follower.height === chain.head.height, 60_000)
    expect(follower.ledger.head()).toEqual(chain.head)
    expect(follower.warnings).toEqual([])
    const keys = [...follower.disk.snapshot().keys()]
    expect(keys.filter((key) => key.startsWith("ledger/b/"))).toEqual([])
    await world.during(follower.ledger.verifyAll())
  })
})

/**
 * A new node that fetches a whole ledger, verifies and stores it. 100,000 entries in batches of 64,
 * one batch a block.
 *
 * From two others, against the same blocks verified from memory and not stored: requests go from
 * function to function in one process, the store is a sealed database on the disk. And from one over
 * a thin line, in virtual time, against the time that the blocks alone need on that line.
 */

import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { randomFillSync } from "node:crypto"
import { Ledger } from "../../node/consensus/ledger.ts"
import { verifyLedgerCopy } from "../../node/consensus/verify.ts"
import { systemClock } from "../../node/clock.ts"
import type { PeerKey, ProtocolSpec, RequestHandler } from "../../node/network/transport.ts"
import type { Transport } from "../../node/network/transport.ts"
import { openDatabase } from "../../node/store/level.ts"
import { sealDatabase } from "../../node/store/sealed.ts"
import { nativeSuite as suite } from "../../node/suite.ts"
import { makeChain, serveChain, ServingPeer, type MadeChain } from "../support/chains.ts"
import { LedgerWorld } from "../support/ledgers.ts"
import { createMinistry, type Ministry } from "../support/ministry.ts"
import { interleave, ratioOf, spreadOf, type Figure, type Progress } from "./figures.ts"

const ENTRIES = 100_000
const BATCH_ENTRIES = 64
const ROUNDS = 3
const SERVERS = ["one", "two"]
/** For a million entries. */
const GOAL_S = 10
const MEGABITS = 10
const THIN = { delayMs: 40, bytesPerSecond: (MEGABITS * 1_000_000) / 8 }
const THIN_WITHIN_MS = 3_600_000
const WIRE_GOAL = 1.15

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

export async function benchSync(progress: Progress): Promise<Figure[]> {
  const ministry = createMinistry(2, "bench sync")
  progress("making the ledger")
  const chain = makeChain(ministry, Math.ceil(ENTRIES / BATCH_ENTRIES), { entries: BATCH_ENTRIES })
  const entries = chain.head.frontier.size
  const found = await interleave(
    ROUNDS,
    {
      synced: async () => (await syncNode(ministry, chain)) / (entries / 1_000),
      verified: async () => {
        const startedMs = performance.now()
        const verified = await verifyLedgerCopy(suite, ministry.genesisBytes, each(chain.bytes))
        if (verified.entries !== entries) throw new Error("the ledger was not verified as a whole")
        return (performance.now() - startedMs) / (entries / 1_000)
      },
    },
    progress,
  )
  const perMillionS = spreadOf(found.synced).median
  return [
    {
      name: `a new node fetches ${entries} entries, each`,
      unit: "µs",
      measured: spreadOf(found.synced),
      against: { name: "the same blocks verified alone", value: spreadOf(found.verified) },
      ratio: ratioOf(found.synced, found.verified),
      goal: { text: `at most ${GOAL_S} s a million`, isMet: perMillionS <= GOAL_S },
    },
    await benchThinLine(progress),
  ]
}

/**
 * From the start of an empty node to its last block, over an uplink that carries so much. In
 * virtual time its computing takes none; on a real machine it goes on while the next blocks travel.
 */
async function benchThinLine(progress: Progress): Promise<Figure> {
  progress("a thin line")
  const world = new LedgerWorld(2, "bench thin line", { link: THIN })
  const blocks = Math.ceil(ENTRIES / BATCH_ENTRIES)
  const chain = makeChain(world.ministry, blocks, { entries: BATCH_ENTRIES })
  await new ServingPeer(world, 0, chain).start(world, 1)
  const node = world.node(1)
  const startedMs = world.clock.monotonicMs()
  await world.during(node.start())
  const doneMs = await world.clock.runUntil(() => node.height === blocks, THIN_WITHIN_MS)
  const tookS = (doneMs - startedMs) / 1_000
  const wireS = chain.bytes.reduce((sum, { length }) => sum + length, 0) / THIN.bytesPerSecond
  return {
    name: `the same over a line of ${MEGABITS} Mbit/s, 40 ms one way, in virtual time`,
    unit: "s",
    measured: spreadOf([tookS]),
    against: { name: "the blocks alone at that rate", value: spreadOf([wireS]) },
    ratio: tookS / wireS,
    goal: { text: `at most ${WIRE_GOAL} ×`, isMet: tookS <= WIRE_GOAL * wireS },
  }
}

async function* each(blocks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  for (const block of blocks) yield await Promise.resolve(block)
}

/** Milliseconds from the start of an empty node to the last block on its disk. */
async function syncNode(ministry: Ministry, chain: MadeChain): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-sync-"))
  try {
    const plain = await openDatabase({ path: join(folder, "main") })
    const database = sealDatabase(plain, { suite, key: random(32), random })
    const [, post] = ministry.posts
    if (post === undefined) throw new Error("no post")
    const done = Promise.withResolvers<void>()
    const ledger = new Ledger({
      suite,
      database,
      transport: new ProcessTransport(chain),
      clock: systemClock,
      genesisBytes: ministry.genesisBytes,
      self: { peer: post.peer, signBatch: post.submit.sign },
      checkpoints: ministry.checkpointKeys(post),
      log: { warn: (event) => done.reject(new Error(event)) },
      onFatal: done.reject,
    })
    ledger.onFinal(({ height }) => {
      if (height === chain.head.height) done.resolve()
    })
    const startedMs = performance.now()
    await ledger.start()
    await done.promise
    const tookMs = performance.now() - startedMs
    ledger.stop()
    await database.close()
    return tookMs
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Peers that serve a chain, a function call away. */
class ProcessTransport implements Transport {
  readonly #handlers = new Map<string, RequestHandler>()

  constructor(chain: MadeChain) {
    serveChain(chain, (protocol, handler) => this.#handlers.set(protocol.id, handler))
  }

  handle(): void {
    // Nobody asks the new node.
  }

  async request(peer: PeerKey, protocol: ProtocolSpec, message: Uint8Array): Promise<Uint8Array> {
    const handler = this.#handlers.get(protocol.id)
    if (handler === undefined) throw new Error(`nobody answers ${protocol.id}`)
    return handler(peer, message, { isClosed: false })
  }

  connected(): PeerKey[] {
    return SERVERS
  }

  onContact(): () => void {
    return () => undefined
  }

  setMembers(): void {
    // They are those that serve.
  }

  async start(): Promise<void> {
    await Promise.resolve()
  }

  async stop(): Promise<void> {
    await Promise.resolve()
  }
}

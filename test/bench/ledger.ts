/**
 * A stored ledger verified from the genesis on, whole and quick, against the bare work that nobody
 * can leave out: the tree's hashes, and the signatures of the same batches and certificates.
 *
 * 100,000 entries, in full a million, 64 in each batch and 100 in a block on average, certificates of
 * 3 of 4 validators, in a sealed database on the disk. A million has 46,000 signatures.
 */

import { createPublicKey, hash, verify, type KeyObject } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { encodeBatches, leavesOf, type FinalBlock } from "../../ledger/block.ts"
import { votesOf } from "../../ledger/certificate.ts"
import {
  appendLeaves,
  EMPTY_FRONTIER,
  frontierRoot,
  hashPackedLeaves,
} from "../../ledger/merkle.ts"
import { voteSignedBytes } from "../../ledger/vote.ts"
import { verifyStored } from "../../node/consensus/verify.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import type { Database } from "../../node/store/database.ts"
import { openDatabase } from "../../node/store/level.ts"
import { sealDatabase } from "../../node/store/sealed.ts"
import { nativeSuite as suite } from "../../node/suite.ts"
import { concatBytes } from "../../protocol/bytes.ts"
import { batchSignedBytes } from "../../protocol/entry.ts"
import { random } from "../support/disk-ledger.ts"
import { createMinistry, type Ministry, type MinistryPost } from "../support/ministry.ts"
import { ChainMaker } from "./chain.ts"
import {
  interleave,
  ratioOf,
  spreadOf,
  type Figure,
  type Goal,
  type Options,
  type Progress,
} from "./figures.ts"

const ENTRIES_MIN = 100_000
const BATCH_ENTRIES = 64
const VALIDATORS = 4
/** Of 16 blocks 9 have two batches and 7 have one: 25 batches of 64, 1,600 entries. */
const PATTERN = 16
const DOUBLE = 9
const ENTRY_BYTES = 54
const ROUNDS = 3
const MICROSECONDS = 1e6
const MILLION = 1e6
/** For a million entries on one core, with every signature and without any. */
const GOAL_S = 12
const QUICK_GOAL_S = 3

export async function benchLedger(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-ledger-"))
  try {
    const plain = await openDatabase({ path: join(folder, "main") })
    const database = sealDatabase(plain, { suite, key: random(32), random })
    try {
      return await benchStored(database, progress, isFull)
    } finally {
      await database.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function benchStored(
  database: Database,
  progress: Progress,
  isFull: boolean,
): Promise<Figure[]> {
  const ministry = createMinistry(VALIDATORS, "bench ledger", { validators: VALIDATORS })
  const store = await BlockStore.open(database, suite, ministry.net)
  const work = new BareWork(ministry)
  progress("making the ledger")
  const count = isFull ? MILLION : ENTRIES_MIN
  const maker = new ChainMaker(ministry)
  const postsOf = (block: number): MinistryPost[] => submittersOf(ministry, block)
  await maker.fill(store, count, BATCH_ENTRIES, postsOf, (final) => work.add(final))
  const entries = store.head.frontier.size
  const perEntry = (ms: number): number => (ms * (MICROSECONDS / 1_000)) / entries
  const quickBusy: number[] = []
  const found = await interleave(
    ROUNDS,
    {
      verified: async () => {
        const startedMs = performance.now()
        const verified = await verifyStored(suite, ministry.genesisBytes, store)
        if (verified.entries !== entries) throw new Error("the ledger was not verified as a whole")
        return perEntry(performance.now() - startedMs)
      },
      quick: async () => {
        const [startedMs, busy] = [performance.now(), process.cpuUsage()]
        await verifyStored(suite, ministry.genesisBytes, store, { isQuick: true })
        const { user, system } = process.cpuUsage(busy)
        quickBusy.push((user + system) / entries)
        return perEntry(performance.now() - startedMs)
      },
      hashes: () => perEntry(work.hash()),
      signatures: () => perEntry(work.verify()),
    },
    progress,
  )
  const floor = found.hashes.map((value, round) => value + (found.signatures[round] ?? 0))
  return [
    {
      name: `stored ledger of ${entries} entries, each`,
      unit: "µs",
      measured: spreadOf(found.verified),
      against: { name: "hashes and signatures alone", value: spreadOf(floor) },
      ratio: ratioOf(found.verified, floor),
      goal: goalOf(GOAL_S, found.verified),
    },
    {
      name: "the same, quick: without signatures, each",
      unit: "µs",
      measured: spreadOf(found.quick),
      against: { name: "hashes alone", value: spreadOf(found.hashes) },
      ratio: ratioOf(found.quick, found.hashes),
      goal: goalOf(QUICK_GOAL_S, found.quick),
    },
    {
      // What is left of it when other programs want the core as well.
      name: "the same, processor time of all threads",
      unit: "µs",
      measured: spreadOf(quickBusy.slice(1)),
    },
  ]
}

function goalOf(goalS: number, perEntryUs: readonly number[]): Goal {
  const perMillionS = (spreadOf(perEntryUs).median * MILLION) / MICROSECONDS
  return { text: `at most ${goalS} s a million`, isMet: perMillionS <= goalS }
}

/** One or two posts in turn, so that a block has 100 entries on average. */
function submittersOf({ posts }: Ministry, block: number): MinistryPost[] {
  const count = (block * DOUBLE) % PATTERN < DOUBLE ? 2 : 1
  return Array.from({ length: count }, (_, index) => {
    const post = posts[(block + index) % posts.length]
    if (post === undefined) throw new Error("a ministry has posts")
    return post
  })
}

/** What is left when everything is decoded, at hand and believed: hashes and signatures. */
class BareWork {
  readonly #net: Uint8Array
  readonly #submitKeys: readonly KeyObject[]
  readonly #consensusKeys: readonly KeyObject[]
  readonly #blocks: { readonly leaves: Uint8Array; readonly batches: Uint8Array }[] = []
  readonly #signed: {
    readonly key: KeyObject
    readonly bytes: Uint8Array
    readonly signature: Uint8Array
  }[] = []

  constructor(ministry: Ministry) {
    this.#net = ministry.net
    this.#submitKeys = ministry.posts.map(({ submit }) => importKey(submit.publicKey))
    this.#consensusKeys = ministry.validators.map(({ consensus }) => importKey(consensus.publicKey))
  }

  add({ block, certificate }: FinalBlock): void {
    const { batches } = block
    const leaves = concatBytes(...leavesOf(batches))
    this.#blocks.push({ leaves, batches: encodeBatches(batches) })
    for (const batch of batches) {
      const bytes = batchSignedBytes(suite, this.#net, batch)
      this.#sign(this.#submitKeys[batch.submitter - 1], bytes, batch.signature)
    }
    for (const vote of votesOf(certificate)) {
      const bytes = voteSignedBytes(this.#net, vote)
      this.#sign(this.#consensusKeys[vote.signer], bytes, vote.signature)
    }
  }

  #sign(key: KeyObject | undefined, bytes: Uint8Array, signature: Uint8Array): void {
    if (key === undefined) throw new Error("a signature of nobody")
    this.#signed.push({ key, bytes, signature })
  }

  /** Milliseconds for the tree with the root of each block, and for what each header commits to. */
  hash(): number {
    const startedMs = performance.now()
    let frontier = EMPTY_FRONTIER
    for (const { leaves, batches } of this.#blocks) {
      hash("sha256", batches, "buffer")
      frontier = appendLeaves(frontier, hashPackedLeaves(leaves, ENTRY_BYTES))
      frontierRoot(frontier)
    }
    return performance.now() - startedMs
  }

  /** Milliseconds for every signature of batches and certificates. */
  verify(): number {
    const startedMs = performance.now()
    for (const { key, bytes, signature } of this.#signed) {
      if (!verify(null, bytes, key, signature)) throw new Error("a signature does not verify")
    }
    return performance.now() - startedMs
  }
}

function importKey(bytes: Uint8Array): KeyObject {
  const key = Buffer.from(bytes)
  return createPublicKey({ key, format: "raw-public", asymmetricKeyType: "ed25519" })
}

/**
 * A stored ledger verified from the genesis on, entry by entry, against the bare work that nobody
 * can leave out: the tree's hashes, and the signatures of the same batches and certificates.
 *
 * 100,000 entries in blocks of two batches of 64, in a sealed database on the disk.
 */

import { createPublicKey, hash, randomFillSync, verify, type KeyObject } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { encodeBatches, leavesOf, type FinalBlock } from "../../ledger/block.ts"
import { assembleCertificate, votesOf } from "../../ledger/certificate.ts"
import { buildBlock, checkBlock, genesisHead, type ChainHead } from "../../ledger/chain.ts"
import { appendLeaves, EMPTY_FRONTIER, hashLeaves } from "../../ledger/merkle.ts"
import { createValidatorSet } from "../../ledger/validators.ts"
import { signVote, voteSignedBytes } from "../../ledger/vote.ts"
import { verifyStored } from "../../node/consensus/verify.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import type { Database } from "../../node/store/database.ts"
import { openDatabase } from "../../node/store/level.ts"
import { sealDatabase } from "../../node/store/sealed.ts"
import { nativeSuite as suite } from "../../node/suite.ts"
import { Directory } from "../../protocol/directory.ts"
import { batchSignedBytes, messageEntry, signBatch, type Batch } from "../../protocol/entry.ts"
import {
  createMinistry,
  type Ed25519Key,
  type Ministry,
  type MinistryPost,
} from "../support/ministry.ts"
import { interleave, ratioOf, spreadOf, type Figure, type Goal, type Progress } from "./figures.ts"

const ENTRIES_MIN = 100_000
const BATCH_ENTRIES = 64
const BATCHES_PER_BLOCK = 2
const BLOCKS_PER_WRITE = 64
const ROUNDS = 3
const MICROSECONDS = 1e6
const NOON_MS = Date.UTC(2026, 0, 1, 12)
const MILLION = 1e6
/** For a million entries on one core, with every signature and without any. */
const GOAL_S = 12
const UNSIGNED_GOAL_S = 3

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

export async function benchLedger(progress: Progress): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-ledger-"))
  try {
    const plain = await openDatabase({ path: join(folder, "main") })
    const database = sealDatabase(plain, { suite, key: random(32), random })
    try {
      return await benchStored(database, progress)
    } finally {
      await database.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function benchStored(database: Database, progress: Progress): Promise<Figure[]> {
  const ministry = createMinistry(BATCHES_PER_BLOCK, "bench ledger")
  const store = await BlockStore.open(database, suite, ministry.net)
  const work = new BareWork(ministry)
  progress("making the ledger")
  await fill(ministry, store, work)
  const entries = store.head.frontier.size
  const perEntry = (ms: number): number => (ms * (MICROSECONDS / 1_000)) / entries
  const found = await interleave(
    ROUNDS,
    {
      verified: async () => {
        const startedMs = performance.now()
        const verified = await verifyStored(suite, ministry.genesisBytes, store)
        if (verified.entries !== entries) throw new Error("the ledger was not verified as a whole")
        return perEntry(performance.now() - startedMs)
      },
      hashes: () => perEntry(work.hash()),
      signatures: () => perEntry(work.verify()),
    },
    progress,
  )
  const floor = found.hashes.map((value, round) => value + (found.signatures[round] ?? 0))
  const unsigned = found.verified.map((value, round) => value - (found.signatures[round] ?? 0))
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
      name: "the same less its signatures",
      unit: "µs",
      measured: spreadOf(unsigned),
      against: { name: "hashes alone", value: spreadOf(found.hashes) },
      ratio: ratioOf(unsigned, found.hashes),
      goal: goalOf(UNSIGNED_GOAL_S, unsigned),
    },
  ]
}

function goalOf(goalS: number, perEntryUs: readonly number[]): Goal {
  const perMillionS = (spreadOf(perEntryUs).median * MILLION) / MICROSECONDS
  return { text: `at most ${goalS} s a million`, isMet: perMillionS <= goalS }
}

/** Blocks of full batches, one of each post, made final by headquarters. */
async function fill(ministry: Ministry, store: BlockStore, work: BareWork): Promise<void> {
  const { net, posts } = ministry
  const consensus = consensusOf(ministry)
  const { genesis } = new Directory(suite, ministry.genesisBytes)
  const validators = createValidatorSet(suite, 0, genesis.validators)
  const submitKeyOf = (rid: number): Uint8Array | undefined => posts[rid - 1]?.submit.publicKey
  let head = genesisHead(net)
  let waiting: FinalBlock[] = []
  while (head.frontier.size < ENTRIES_MIN) {
    const batches = posts.map((post) => batchOf(net, post, head))
    const block = buildBlock(suite, head, head.view + 1, batches, NOON_MS + head.height)
    head = checkBlock(suite, head, block, submitKeyOf)
    const body = { kind: "finalize", epoch: 0, view: head.view, blockHash: head.hash } as const
    const vote = signVote(net, body, 0, consensus.sign)
    const certificate = assembleCertificate([vote], validators)
    if (certificate === undefined) throw new Error("one vote is no quorum of one")
    const final = { block, certificate, links: [] }
    work.add(final)
    waiting.push(final)
    if (waiting.length < BLOCKS_PER_WRITE && head.frontier.size < ENTRIES_MIN) continue
    await store.append(waiting, head)
    waiting = []
  }
}

/** The key of the only validator. */
function consensusOf({ validators: [headquarters] }: Ministry): Ed25519Key {
  if (headquarters === undefined) throw new Error("a ministry has a validator")
  return headquarters.consensus
}

function batchOf(net: Uint8Array, post: MinistryPost, head: ChainHead): Batch {
  const first = (head.serials.get(post.rid) ?? 0) + 1
  const entries = Array.from({ length: BATCH_ENTRIES }, (_, index) => {
    return messageEntry(post.rid, first + index, NOON_MS + head.height, random(32))
  })
  return signBatch(suite, net, entries, post.submit.sign)
}

/** What is left when everything is decoded, at hand and believed: hashes and signatures. */
class BareWork {
  readonly #net: Uint8Array
  readonly #submitKeys: readonly KeyObject[]
  readonly #consensusKey: KeyObject
  readonly #blocks: { readonly leaves: Uint8Array[]; readonly batches: Uint8Array }[] = []
  readonly #signed: {
    readonly key: KeyObject
    readonly bytes: Uint8Array
    signature: Uint8Array
  }[] = []

  constructor(ministry: Ministry) {
    this.#net = ministry.net
    this.#submitKeys = ministry.posts.map(({ submit }) => importKey(submit.publicKey))
    this.#consensusKey = importKey(consensusOf(ministry).publicKey)
  }

  add({ block, certificate }: FinalBlock): void {
    const { batches } = block
    this.#blocks.push({ leaves: leavesOf(batches), batches: encodeBatches(batches) })
    for (const batch of batches) {
      const key = this.#submitKeys[batch.submitter - 1] ?? this.#consensusKey
      const bytes = batchSignedBytes(suite, this.#net, batch)
      this.#signed.push({ key, bytes, signature: batch.signature })
    }
    for (const vote of votesOf(certificate)) {
      const bytes = voteSignedBytes(this.#net, vote)
      this.#signed.push({ key: this.#consensusKey, bytes, signature: vote.signature })
    }
  }

  /** Milliseconds for the tree, and for each block's batches once for the header and once for the key. */
  hash(): number {
    const startedMs = performance.now()
    let frontier = EMPTY_FRONTIER
    for (const { leaves, batches } of this.#blocks) {
      hash("sha256", batches, "buffer")
      hash("sha256", batches, "buffer")
      frontier = appendLeaves(frontier, hashLeaves(leaves))
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

/** Final blocks by the thousand, for benches that need a long ledger: real keys, real signatures. */

import type { FinalBlock } from "../../ledger/block.ts"
import { assembleCertificate, votesOf, type Certificate } from "../../ledger/certificate.ts"
import { buildBlock, checkBlock, genesisHead, type ChainHead } from "../../ledger/chain.ts"
import { encodeRecord, type EncodedRecord } from "../../ledger/record.ts"
import { createValidatorSet, type ValidatorSet } from "../../ledger/validators.ts"
import { signVote, type Vote } from "../../ledger/vote.ts"
import type { BlockStore } from "../../node/store/blocks.ts"
import { Directory } from "../../protocol/directory.ts"
import { messageEntry, signBatch, type Batch } from "../../protocol/entry.ts"
import { random } from "../support/disk-ledger.ts"
import type { Ministry, MinistryPost } from "../support/ministry.ts"

const NOON_MS = Date.UTC(2026, 0, 1, 12)
const BLOCKS_PER_WRITE = 64

export class ChainMaker {
  readonly #ministry: Ministry
  readonly #validators: ValidatorSet
  head: ChainHead

  constructor(ministry: Ministry) {
    this.#ministry = ministry
    const { genesis } = new Directory(ministry.suite, ministry.genesisBytes)
    this.#validators = createValidatorSet(ministry.suite, 0, genesis.validators)
    this.head = genesisHead(ministry.net)
  }

  /** The next block: a batch of so many entries from each post. */
  next(perBatch: number, posts: readonly MinistryPost[]): FinalBlock {
    const { suite } = this.#ministry
    const nowMs = NOON_MS + this.head.height
    const batches = posts.map((post) => this.#batch(post, perBatch, nowMs))
    const block = buildBlock(suite, this.head, this.head.view + 1, batches, nowMs)
    const keyOf = (rid: number): Uint8Array | undefined => {
      return this.#ministry.posts[rid - 1]?.submit.publicKey
    }
    // Just signed: nothing is learnt from checking that.
    this.head = checkBlock(suite, this.head, block, keyOf, { isVerified: () => true })
    return { block, certificate: this.#certify("finalize"), links: [] }
  }

  /** What a validator's log says of the newest block; nothing, if its votes were not needed. */
  lastRecords({ block, certificate: finality }: FinalBlock, validator: number): EncodedRecord[] {
    const certificate = this.#certify("notarize")
    const notarized = votesOf(certificate)[validator]
    const finalized = votesOf(finality)[validator]
    if (notarized === undefined || finalized === undefined) return []
    return [
      encodeRecord({ kind: "notarize", epoch: 0, vote: notarized, block }),
      encodeRecord({ kind: "finalize", epoch: 0, vote: finalized, certificate }),
    ]
  }

  #certify(kind: "notarize" | "finalize"): Certificate {
    const { net, validators } = this.#ministry
    const { view, hash } = this.head
    const body = { kind, epoch: 0, view, blockHash: hash } as const
    const votes = validators
      .slice(0, this.#validators.quorum)
      .map(({ consensus }, index): Vote => signVote(net, body, index, consensus.sign))
    const certificate = assembleCertificate(votes, this.#validators)
    if (certificate === undefined) throw new Error("a quorum makes a certificate")
    return certificate
  }

  #batch(post: MinistryPost, count: number, nowMs: number): Batch {
    const { suite, net } = this.#ministry
    const first = (this.head.serials.get(post.rid) ?? 0) + 1
    const entries = Array.from({ length: count }, (_, index) => {
      return messageEntry(post.rid, first + index, nowMs, random(32))
    })
    return signBatch(suite, net, entries, post.submit.sign)
  }

  /**
   * Appends blocks to a store until it holds so many entries; block by block, `postsOf` says whose
   * batches it has.
   */
  async fill(
    store: BlockStore,
    entries: number,
    perBatch: number,
    postsOf: (block: number) => readonly MinistryPost[],
    onBlock: (final: FinalBlock) => void = () => undefined,
  ): Promise<void> {
    let waiting: FinalBlock[] = []
    while (this.head.frontier.size < entries) {
      const final = this.next(perBatch, postsOf(this.head.height + 1))
      onBlock(final)
      waiting.push(final)
      if (waiting.length < BLOCKS_PER_WRITE && this.head.frontier.size < entries) continue
      await store.append(waiting, this.head)
      waiting = []
    }
  }
}

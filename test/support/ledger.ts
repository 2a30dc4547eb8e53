/**
 * A small ledger for tests: one validator (Capital), two posts that submit (Lisbon, Nairobi), and
 * final blocks made of what they submit. Everything comes from seeds.
 */

import { sha256 } from "@noble/hashes/sha2.js"
import { utf8ToBytes } from "@noble/hashes/utils.js"
import { messageEntry, payloadEntry, signBatch, type Batch } from "../../protocol/entry.ts"
import type { Entry } from "../../protocol/entry.ts"
import type { ValidatorFacts } from "../../protocol/identity.ts"
import { MLDSA44_KEY_BYTES } from "../../protocol/limits.ts"
import { blockHash, type Block, type FinalBlock } from "../../ledger/block.ts"
import { assembleCertificate, type Certificate } from "../../ledger/certificate.ts"
import {
  acceptBlock,
  buildBlock,
  checkBlock,
  genesisHead,
  type ChainHead,
} from "../../ledger/chain.ts"
import { createValidatorSet, type ValidatorSet } from "../../ledger/validators.ts"
import { signVote, type Vote, type VoteKind } from "../../ledger/vote.ts"
import { suite } from "./suites.ts"

/** 32 bytes that depend on the name alone. */
export function named(name: string): Uint8Array {
  return sha256(utf8ToBytes(`tarbarta test ledger ${name}`))
}

export const CHAIN_ID = named("chain")
export const NOON_MS = 1_750_000_000_000

export const CAPITAL = 1
export const LISBON = 2
export const NAIROBI = 3

const submitSeeds = new Map([CAPITAL, LISBON, NAIROBI].map((rid) => [rid, named(`submit ${rid}`)]))

export function submitKeyOf(rid: number): Uint8Array | undefined {
  const seed = submitSeeds.get(rid)
  return seed === undefined ? undefined : suite.ed25519PublicKey(seed)
}

export function consensusSeed(rid: number): Uint8Array {
  return named(`consensus ${rid}`)
}

export function validatorFacts(rid: number): ValidatorFacts {
  const pq = new Uint8Array(MLDSA44_KEY_BYTES)
  pq.set(named(`cosigner pq ${rid}`))
  return {
    rid,
    consensusKey: suite.ed25519PublicKey(consensusSeed(rid)),
    logKey: suite.ed25519PublicKey(named(`log ${rid}`)),
    cosignerKey: suite.ed25519PublicKey(named(`cosigner ${rid}`)),
    cosignerPqKey: pq,
  }
}

/** Validators with the rids 1 … n. */
export function validatorSet(count: number, epoch = 0): ValidatorSet {
  const facts = Array.from({ length: count }, (_, i) => validatorFacts(i + 1))
  return createValidatorSet(suite, epoch, facts)
}

export const ALONE: ValidatorSet = validatorSet(1)

export function signAs(rid: number): (message: Uint8Array) => Uint8Array {
  return (message) => suite.ed25519Sign(consensusSeed(rid), message)
}

/** A vote of validator `signer` of a set whose rids are 1 … n. */
export function voteOf(
  signer: number,
  kind: VoteKind,
  view: number,
  hash: Uint8Array,
  epoch = 0,
): Vote {
  const blockHash = kind === "nullify" ? new Uint8Array(32) : hash
  return signVote(CHAIN_ID, { kind, epoch, view, blockHash }, signer, signAs(signer + 1))
}

/** What makes a block final; signed by the first validators up to the quorum. */
export function finalize(block: Block, set = ALONE): Certificate {
  const hash = blockHash(suite, block.header)
  const signers = Array.from({ length: set.quorum }, (_, i) => i)
  const votes = signers.map((i) => voteOf(i, "finalize", block.header.view, hash, set.epoch))
  const certificate = assembleCertificate(votes, set)
  if (certificate === undefined) throw new Error("the test set has no quorum")
  return certificate
}

export function message(rid: number, seq: number): Entry {
  return messageEntry(rid, seq, NOON_MS + seq, named(`commitment ${rid} ${seq}`))
}

export function governance(rid: number, seq: number, payload: Uint8Array): Entry {
  return payloadEntry(suite, "governance", rid, seq, NOON_MS + seq, payload)
}

/** A signed batch of `count` messages. */
export function batch(rid: number, firstSeq: number, count = 1): Batch {
  return signed(Array.from({ length: count }, (_, i) => message(rid, firstSeq + i)))
}

/** A batch of any entries, signed by their submitter. */
export function signed(entries: readonly Entry[]): Batch {
  const seed = submitSeeds.get(entries[0]?.submitter ?? 0) ?? named("a stranger")
  return signBatch(suite, CHAIN_ID, entries, (bytes) => suite.ed25519Sign(seed, bytes))
}

export const RULES = {
  validatorsOf: (epoch: number): ValidatorSet | undefined => (epoch === 0 ? ALONE : undefined),
  submitKeyOf,
}

export function finalBlockOn(head: ChainHead, batches: readonly Batch[]): FinalBlock {
  const block = buildBlock(suite, head, head.view + 1, batches, NOON_MS + head.height)
  return { block, certificate: finalize(block), links: [] }
}

/**
 * One block for each list of batches, a closing block for an empty one; all of them are final by the
 * certificate of the last alone.
 */
export function linkedBlocksOn(
  start: ChainHead,
  lists: readonly (readonly Batch[])[],
  set = ALONE,
): FinalBlock[] {
  const blocks: Block[] = []
  let head = start
  for (const batches of lists) {
    const block = buildBlock(suite, head, head.view + 2, batches, NOON_MS + head.height)
    head = checkBlock(suite, head, block, submitKeyOf)
    blocks.push(block)
  }
  const last = blocks.at(-1)
  if (last === undefined) throw new Error("no blocks")
  const certificate = finalize(last, set)
  return blocks.map((block, at) => {
    return { block, certificate, links: blocks.slice(at + 1).map(({ header }) => header) }
  })
}

/** A chain with one block for each list of batches, and all its heads, the first one's before. */
export function chainOf(lists: readonly (readonly Batch[])[]): {
  readonly heads: readonly ChainHead[]
  readonly blocks: readonly FinalBlock[]
  readonly head: ChainHead
} {
  const heads: ChainHead[] = []
  const blocks: FinalBlock[] = []
  let head = genesisHead(CHAIN_ID)
  for (const batches of lists) {
    heads.push(head)
    const final = finalBlockOn(head, batches)
    head = acceptBlock(suite, head, final, RULES)
    blocks.push(final)
  }
  return { heads, blocks, head }
}

/** A copy with one bit changed. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const out = bytes.slice()
  out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return out
}

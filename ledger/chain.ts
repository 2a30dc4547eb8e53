/**
 * The chain of final blocks: what a block must be to stand on the head (LEDGER §5).
 *
 * One set of checks serves three callers: the leader that builds a block, the validator that judges
 * a proposal before it votes, and the follower that accepts a final block. Everything is recomputed
 * here; nothing is believed because a certificate stands under it.
 */

import { assert } from "../protocol/assert.ts"
import { concatBytes, equalBytes } from "../protocol/bytes.ts"
import { encodeBatch, entriesPart, verifyBatch, type Batch } from "../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import {
  BLOCK_AHEAD_MS,
  BLOCK_BATCHES_MAX,
  BLOCK_BYTES_MAX,
  HASH_BYTES,
  UNFINAL_BLOCKS_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { batchesBytes, blockHash, joinBatches } from "./block.ts"
import type { Block, FinalBlock, BlockFinality, Header } from "./block.ts"
import { verifyCertificate } from "./certificate.ts"
import { LedgerError, type LedgerCode } from "./errors.ts"
import {
  appendLeaves,
  decodeFrontier,
  EMPTY_FRONTIER,
  encodeFrontier,
  frontierRoot,
  hashEncodedLeaves,
  type Frontier,
  type NodeSink,
} from "./merkle.ts"
import type { ValidatorsOf } from "./validators.ts"

/** Everything that the next block is checked against; small enough to keep with every block. */
export interface ChainHead {
  readonly chainId: Uint8Array
  readonly epoch: number
  readonly view: number
  readonly height: number
  /** Hash of the block at `height`; of height 0, the chain id. */
  readonly hash: Uint8Array
  readonly timeMs: number
  readonly frontier: Frontier
  /** Last recorded serial by submitter. */
  readonly serials: ReadonlyMap<number, number>
}

/**
 * Submit key of a mission that may submit in the block at a height; undefined when it may not. The
 * directory must have every governance entry below that height: a block above one that is not final
 * is not judged before it is.
 */
export type SubmitKeyOf = (submitter: number, height: number) => Uint8Array | undefined

/** True for a batch whose very bytes the caller has verified under this key. */
export type IsVerified = (batch: Batch, submitKey: Uint8Array) => boolean

/** The head of a chain without blocks: epoch 0, view 0, height 0. */
export function genesisHead(chainId: Uint8Array): ChainHead {
  assert(chainId.length === HASH_BYTES, "a chain id is a hash")
  const start = { epoch: 0, view: 0, height: 0, hash: chainId, timeMs: 0 }
  return { chainId, ...start, frontier: EMPTY_FRONTIER, serials: new Map() }
}

/**
 * Accepts a final block onto the head, or refuses it and leaves the head as it was.
 *
 * Order: {@link verifyFinality}, then {@link checkBlock}. `sink` hears of the tree hashes that the
 * block completes; it may have heard of some when a refusal comes, so it must not act before
 * the answer.
 *
 * @throws {@link LedgerError} `EPOCH_UNKNOWN`, `BLOCK_CERTIFICATE`, and all of checkBlock's.
 */
export function acceptBlock(
  suite: Suite,
  head: ChainHead,
  final: FinalBlock,
  rules: { readonly validatorsOf: ValidatorsOf; readonly submitKeyOf: SubmitKeyOf },
  sink?: NodeSink,
): ChainHead {
  const { header } = final.block
  verifyFinality(suite, head.chainId, header, final, rules.validatorsOf)
  return checkBlock(suite, head, final.block, rules.submitKeyOf, { sink })
}

/**
 * Checks that a header is final: its links lead up from it one by one, and the certificate is of
 * the last one, by validators of the header's epoch.
 *
 * @throws {@link LedgerError} `EPOCH_UNKNOWN`, `BLOCK_CERTIFICATE`, `CERTIFICATE_*`.
 */
export function verifyFinality(
  suite: Suite,
  chainId: Uint8Array,
  header: Header,
  { certificate, links }: BlockFinality,
  validatorsOf: ValidatorsOf,
): void {
  const validators = validatorsOf(header.epoch)
  if (validators === undefined) {
    return refuse("EPOCH_UNKNOWN", header, `no validators known for epoch ${header.epoch}`)
  }
  if (links.length > UNFINAL_BLOCKS_MAX) {
    refuse("BLOCK_CERTIFICATE", header, `expected at most ${UNFINAL_BLOCKS_MAX} links`)
  }
  let last = header
  let hash = blockHash(suite, header)
  for (const [index, link] of links.entries()) {
    const follows =
      equalBytes(link.parent, hash) &&
      link.height === last.height + 1 &&
      link.epoch === header.epoch &&
      link.view > last.view
    if (!follows) {
      const why = `link ${index + 1} of ${links.length} does not stand on the header before it`
      refuse("BLOCK_CERTIFICATE", header, why)
    }
    last = link
    hash = blockHash(suite, link)
  }
  if (certificate.kind !== "finalize" || !equalBytes(certificate.blockHash, hash)) {
    refuse("BLOCK_CERTIFICATE", header, "the certificate does not make this block final")
  }
  if (certificate.epoch !== last.epoch || certificate.view !== last.view) {
    refuse("BLOCK_CERTIFICATE", header, "the certificate is of another epoch or view")
  }
  verifyCertificate(suite, chainId, certificate, validators)
}

/**
 * Checks everything about a block but its certificate, and gives the head after it. Signatures of
 * batches for which `isVerified` holds are not checked again.
 *
 * @throws {@link LedgerError} `BLOCK_PARENT`, `BLOCK_INVALID`, `BLOCK_TIME`, `BLOCK_BATCHES`,
 * `BLOCK_SERIAL`, `BLOCK_SUBMITTER`, `BLOCK_TREE`; ProtocolError `BATCH_SIGNATURE`.
 */
export function checkBlock(
  suite: Suite,
  head: ChainHead,
  block: Block,
  submitKeyOf: SubmitKeyOf,
  options: { readonly sink?: NodeSink | undefined; readonly isVerified?: IsVerified } = {},
): ChainHead {
  const { header, batches } = block
  checkPlace(head, header)
  if (header.closing !== (batches.length === 0)) {
    refuse("BLOCK_BATCHES", header, "a block is without batches exactly if it is a closing one")
  }
  if (batches.length > BLOCK_BATCHES_MAX || batchesBytes(batches) > BLOCK_BYTES_MAX) {
    refuse("BLOCK_BATCHES", header, "its batches are too many or too large")
  }
  const encoded = batches.map(encodeBatch)
  if (!equalBytes(suite.sha256(joinBatches(encoded)), header.batchesHash)) {
    refuse("BLOCK_BATCHES", header, "the batches are not those of the header")
  }
  const serials = new Map(head.serials)
  for (const [index, batch] of batches.entries()) {
    const expected = (serials.get(batch.submitter) ?? 0) + 1
    if (batch.firstSeq !== expected) {
      const why = `submitter ${batch.submitter}: expected serial ${expected}, got ${batch.firstSeq}`
      refuse("BLOCK_SERIAL", header, why)
    }
    serials.set(batch.submitter, batch.firstSeq + batch.entries.length - 1)
    const key = submitKeyOf(batch.submitter, header.height)
    if (key === undefined) {
      return refuse("BLOCK_SUBMITTER", header, `submitter ${batch.submitter} may not submit`)
    }
    if (options.isVerified?.(batch, key) === true) continue
    verifyBatch(suite, head.chainId, batch, key, encoded[index])
  }
  const frontier = appendLeaves(head.frontier, leavesIn(encoded), options.sink)
  if (frontier.size !== header.treeSize) {
    refuse("BLOCK_TREE", header, `expected tree size ${frontier.size}, got ${header.treeSize}`)
  }
  if (!equalBytes(frontierRoot(frontier), header.treeRoot)) {
    refuse("BLOCK_TREE", header, `its root is not that of its ${frontier.size} entries`)
  }
  return headAfter(suite, head, header, frontier, serials)
}

/**
 * What a validator checks before it votes: {@link checkBlock}, and that the block {@link isTimely}.
 *
 * @throws {@link LedgerError} as checkBlock, and `BLOCK_TIME`.
 */
export function checkProposal(
  suite: Suite,
  head: ChainHead,
  block: Block,
  submitKeyOf: SubmitKeyOf,
  nowMs: number,
  isVerified: IsVerified = () => false,
): ChainHead {
  if (!isTimely(head, block.header, nowMs)) {
    const ahead = block.header.timeMs - nowMs
    refuse("BLOCK_TIME", block.header, `dated ${ahead} ms ahead, at most ${BLOCK_AHEAD_MS} allowed`)
  }
  return checkBlock(suite, head, block, submitKeyOf, { isVerified })
}

/**
 * True unless a block is dated too far ahead of this clock; no matter of its content.
 *
 * A block may always have its parent's time, as it cannot have an earlier one: after a parent that
 * a quorum took, too far ahead by our clock, nobody's block would be good until it caught up.
 */
export function isTimely(parent: ChainHead, header: Header, nowMs: number): boolean {
  return header.timeMs <= Math.max(nowMs + BLOCK_AHEAD_MS, parent.timeMs)
}

/**
 * Builds the block of a view on the head. The batches must be what the mempool gave for this head:
 * verified, contiguous, within the block's limits. Without any it is a closing block.
 */
export function buildBlock(
  suite: Suite,
  head: ChainHead,
  view: number,
  batches: readonly Batch[],
  nowMs: number,
): Block {
  assert(view > head.view, "a block was built for a view that is past")
  const encoded = batches.map(encodeBatch)
  const frontier = appendLeaves(head.frontier, leavesIn(encoded))
  const header: Header = {
    epoch: head.epoch,
    view,
    height: head.height + 1,
    parent: head.hash,
    treeSize: frontier.size,
    treeRoot: frontierRoot(frontier),
    batchesHash: suite.sha256(joinBatches(encoded)),
    // A clock that was set back must not make time run backwards on the chain.
    timeMs: Math.max(nowMs, head.timeMs),
    seal: false,
    closing: batches.length === 0,
    nextEpochHash: new Uint8Array(HASH_BYTES),
  }
  return { header, batches }
}

/**
 * chain_id[32] ‖ epoch u32 ‖ view u64 ‖ height u64 ‖ hash[32] ‖ time_ms u64 ‖ count u16 ‖
 * (submitter u16 ‖ serial u64, by submitter) × count ‖ frontier: a head as a node keeps it.
 */
export function encodeHead(head: ChainHead): Uint8Array {
  const frontier = encodeFrontier(head.frontier)
  const serials = [...head.serials].sort(([a], [b]) => a - b)
  const writer = new FieldWriter(94 + serials.length * 10 + frontier.length)
    .bytes(head.chainId)
    .u32(head.epoch)
    .u64(head.view)
    .u64(head.height)
    .bytes(head.hash)
    .u64(head.timeMs)
    .u16(serials.length)
  for (const [submitter, serial] of serials) writer.u16(submitter).u64(serial)
  return writer.bytes(frontier).finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `TREE_FRONTIER`. */
export function decodeHead(bytes: Uint8Array): ChainHead {
  const reader = new FieldReader(bytes, "chain head")
  const chainId = reader.bytes("chain id", HASH_BYTES)
  const epoch = reader.u32("epoch")
  const view = reader.u64("view")
  const height = reader.u64("height")
  const hash = reader.bytes("hash", HASH_BYTES)
  const timeMs = reader.u64("time")
  const count = reader.u16("count")
  const serials = new Map<number, number>()
  let last = -1
  for (let i = 0; i < count; i++) {
    const submitter = reader.u16("submitter")
    if (submitter <= last)
      reader.fail("CODEC_ORDER", "submitter", "they are not in ascending order")
    last = submitter
    serials.set(submitter, reader.u64("serial"))
  }
  const frontier = decodeFrontier(reader.bytes("frontier", reader.left))
  return { chainId, epoch, view, height, hash, timeMs, frontier, serials }
}

function checkPlace(head: ChainHead, header: Header): void {
  if (header.height !== head.height + 1) {
    refuse("BLOCK_PARENT", header, `expected height ${head.height + 1}`)
  }
  if (!equalBytes(header.parent, head.hash)) {
    refuse("BLOCK_PARENT", header, "it does not stand on the block before it")
  }
  if (header.epoch !== head.epoch) {
    refuse("BLOCK_PARENT", header, `expected epoch ${head.epoch}, got ${header.epoch}`)
  }
  if (header.view <= head.view) {
    refuse("BLOCK_PARENT", header, `expected a view above ${head.view}, got ${header.view}`)
  }
  if (header.seal) {
    refuse("BLOCK_INVALID", header, "it seals its epoch, and no epoch follows epoch 0 yet")
  }
  if (header.timeMs < head.timeMs) {
    refuse("BLOCK_TIME", header, `dated ${head.timeMs - header.timeMs} ms before its parent`)
  }
}

/** Packed leaf hashes of all entries in encoded batches. */
function leavesIn(encoded: readonly Uint8Array[]): Uint8Array {
  return hashEncodedLeaves(concatBytes(...encoded.map(entriesPart)))
}

function headAfter(
  suite: Suite,
  head: ChainHead,
  header: Header,
  frontier: Frontier,
  serials: ReadonlyMap<number, number>,
): ChainHead {
  const { epoch, view, height, timeMs } = header
  const hash = blockHash(suite, header)
  return { chainId: head.chainId, epoch, view, height, hash, timeMs, frontier, serials }
}

function refuse(code: LedgerCode, header: Header, why: string): never {
  throw new LedgerError(code, `block at height ${header.height}, view ${header.view}: ${why}`)
}

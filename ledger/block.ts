/**
 * A block: a header of 166 bytes with the tree's head in it, and the batches that it adds
 * (LEDGER §5).
 *
 * BlockFinality of the header certifies the root of the tree over all entries up to this block.
 */

import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { batchBytes, decodeBatch, encodeBatch, entriesIn, type Batch } from "../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import {
  BATCH_BYTES_MAX,
  BLOCK_BATCHES_MAX,
  BLOCK_BYTES_MAX,
  BLOCK_HEADER_BYTES,
  HASH_BYTES,
  UNFINAL_BLOCKS_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { encodeCertificate, readCertificate, type Certificate } from "./certificate.ts"
import { CERTIFICATE_BYTES_MAX } from "./certificate.ts"
import { LedgerError } from "./errors.ts"

const HEADER_VERSION = 1

const FLAG_SEAL = 1
const FLAG_CLOSING = 2
/** In front of each batch. */
const LENGTH_BYTES = 4

export interface Header {
  readonly epoch: number
  /** View in which it was proposed, from 1. */
  readonly view: number
  /** From 1; the chain starts from height 0, which is no block. */
  readonly height: number
  /** Hash of the block before; of the first block, the chain id. */
  readonly parent: Uint8Array
  /** Entries in the tree once this block's are in it. */
  readonly treeSize: number
  readonly treeRoot: Uint8Array
  /** SHA-256 over the batches as they stand in the block. */
  readonly batchesHash: Uint8Array
  /** The proposer's clock, Unix ms, never before the parent's; advisory. */
  readonly timeMs: number
  /** Ends its epoch. */
  readonly seal: boolean
  /** Without batches: its finality makes the blocks below it final. */
  readonly closing: boolean
  /** Hash of the next epoch's validator set in a sealing block, else zero. */
  readonly nextEpochHash: Uint8Array
}

export interface Block {
  readonly header: Header
  readonly batches: readonly Batch[]
}

/**
 * What makes a block final: a finalize certificate, of the block itself or of a descendant whose
 * headers lead down to it. A block whose own view had no such certificate is final through the
 * first one above it that had.
 */
export interface BlockFinality {
  /** Of the last of `links`; of the block itself when there are none. */
  readonly certificate: Certificate
  /** Headers of the descendants, from the next height on. */
  readonly links: readonly Header[]
}

/** A block with what makes it final: what followers fetch and keep. */
export interface FinalBlock extends BlockFinality {
  readonly block: Block
}

/** Largest encoding of {@link BlockFinality}. */
const FINALITY_BYTES_MAX: number = CERTIFICATE_BYTES_MAX + UNFINAL_BLOCKS_MAX * BLOCK_HEADER_BYTES

/** The header that the certificate of a final block names: its tree has the block's entries. */
export function certifiedHeader(header: Header, { links }: BlockFinality): Header {
  return links.at(-1) ?? header
}

/** SHA-256(label ‖ header). */
export function blockHash(suite: Suite, header: Header): Uint8Array {
  const label = labelBytes(LABELS.block)
  const hashed = new FieldWriter(label.length + BLOCK_HEADER_BYTES).bytes(label)
  return suite.sha256(writeHeader(hashed, header).finish())
}

/**
 * ver u8 ‖ epoch u32 ‖ view u64 ‖ height u64 ‖ parent[32] ‖ tree_size u64 ‖ tree_root[32] ‖
 * batches_hash[32] ‖ time_ms u64 ‖ flags u8 ‖ next_epoch_hash[32].
 */
export function encodeHeader(header: Header): Uint8Array {
  return writeHeader(new FieldWriter(BLOCK_HEADER_BYTES), header).finish()
}

function writeHeader(writer: FieldWriter, header: Header): FieldWriter {
  return writer
    .u8(HEADER_VERSION)
    .u32(header.epoch)
    .u64(header.view)
    .u64(header.height)
    .bytes(header.parent)
    .u64(header.treeSize)
    .bytes(header.treeRoot)
    .bytes(header.batchesHash)
    .u64(header.timeMs)
    .u8((header.seal ? FLAG_SEAL : 0) | (header.closing ? FLAG_CLOSING : 0))
    .bytes(header.nextEpochHash)
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `BLOCK_INVALID`. */
export function decodeHeader(bytes: Uint8Array): Header {
  const reader = new FieldReader(bytes, "block header")
  reader.version(HEADER_VERSION)
  const body = {
    epoch: reader.u32("epoch"),
    view: reader.u64("view"),
    height: reader.u64("height"),
    parent: reader.bytes("parent", HASH_BYTES),
    treeSize: reader.u64("tree size"),
    treeRoot: reader.bytes("tree root", HASH_BYTES),
    batchesHash: reader.bytes("batches hash", HASH_BYTES),
    timeMs: reader.u64("time"),
  }
  const flags = reader.u8("flags", FLAG_SEAL | FLAG_CLOSING)
  const nextEpochHash = reader.bytes("next epoch hash", HASH_BYTES)
  reader.end()
  const { view, height } = body
  if (view === 0 || height === 0) {
    invalid(`expected view and height from 1, got ${view} and ${height}`)
  }
  const seal = (flags & FLAG_SEAL) !== 0
  if (seal !== nextEpochHash.some((byte) => byte !== 0)) {
    invalid(`height ${height}: the seal flag and the next epoch's hash go together`)
  }
  return { ...body, seal, closing: (flags & FLAG_CLOSING) !== 0, nextEpochHash }
}

/** (length u32 ‖ batch) for each batch; its SHA-256 is the header's batches_hash. */
export function encodeBatches(batches: readonly Batch[]): Uint8Array {
  return joinBatches(batches.map(encodeBatch))
}

/** {@link encodeBatches}' answer from batches that are encoded. */
export function joinBatches(encoded: readonly Uint8Array[]): Uint8Array {
  const length = encoded.reduce((sum, batch) => sum + LENGTH_BYTES + batch.length, 0)
  const writer = new FieldWriter(length)
  for (const batch of encoded) writer.u32(batch.length).bytes(batch)
  return writer.finish()
}

/** Size of {@link encodeBatches}' answer, without encoding. */
export function batchesBytes(batches: readonly Batch[]): number {
  let length = 0
  for (const batch of batches) length += LENGTH_BYTES + batchBytes(batch)
  return length
}

/** Every entry's bytes, the leaves, in the order of the tree. */
export function leavesOf(batches: readonly Batch[]): Uint8Array[] {
  return batches.flatMap((batch) => entriesIn(encodeBatch(batch)))
}

/** header[166] ‖ (length u32 ‖ batch) for each batch. */
export function encodeBlock(block: Block): Uint8Array {
  const batches = encodeBatches(block.batches)
  return new FieldWriter(BLOCK_HEADER_BYTES + batches.length)
    .bytes(encodeHeader(block.header))
    .bytes(batches)
    .finish()
}

/**
 * Decodes a block; its batches are checked against the header's hash before they are decoded.
 *
 * @throws ProtocolError `CODEC_*`, `ENTRY_INVALID`, `BATCH_INVALID`; {@link LedgerError}
 * `BLOCK_INVALID`, `BLOCK_BATCHES`.
 */
export function decodeBlock(suite: Suite, bytes: Uint8Array): Block {
  const reader = new FieldReader(bytes, "block")
  if (bytes.length > BLOCK_HEADER_BYTES + BLOCK_BYTES_MAX) {
    reader.fail("CODEC_LENGTH", "batches", `expected at most ${BLOCK_BYTES_MAX} bytes`)
  }
  const header = decodeHeader(reader.view("header", BLOCK_HEADER_BYTES))
  const hash = suite.sha256(bytes.subarray(BLOCK_HEADER_BYTES))
  if (!equalBytes(hash, header.batchesHash)) {
    const why = `height ${header.height}: the batches are not those of the header`
    throw new LedgerError("BLOCK_BATCHES", `block: ${why}`)
  }
  const batches: Batch[] = []
  while (reader.left > 0) {
    if (batches.length === BLOCK_BATCHES_MAX) invalid(`more than ${BLOCK_BATCHES_MAX} batches`)
    const length = reader.u32("batch length", BATCH_BYTES_MAX)
    batches.push(decodeBatch(suite, reader.view("batch", length)))
  }
  return { header, batches }
}

/** length u16 ‖ certificate ‖ header[166] of each link. */
export function encodeFinality({ certificate, links }: BlockFinality): Uint8Array {
  assert(links.length <= UNFINAL_BLOCKS_MAX, "a block became final through too many others")
  const encoded = encodeCertificate(certificate)
  const length = encoded.length + links.length * BLOCK_HEADER_BYTES
  const writer = new FieldWriter(2 + length).u16(length).bytes(encoded)
  for (const link of links) writer.bytes(encodeHeader(link))
  return writer.finish()
}

/** What {@link encodeFinality} wrote in front of something else; nothing of it is verified. */
export function readFinality(reader: FieldReader): BlockFinality {
  const length = reader.u16("finality length", FINALITY_BYTES_MAX)
  const inner = new FieldReader(reader.view("finality", length), "finality")
  const certificate = readCertificate(inner)
  const links: Header[] = []
  while (inner.left > 0) {
    if (links.length === UNFINAL_BLOCKS_MAX) {
      inner.fail("CODEC_LENGTH", "links", `expected at most ${UNFINAL_BLOCKS_MAX}`)
    }
    links.push(decodeHeader(inner.view("link", BLOCK_HEADER_BYTES)))
  }
  return { certificate, links }
}

/** finality ‖ block: a final block as it travels and is kept. */
export function encodeFinalBlock(final: FinalBlock): Uint8Array {
  const finality = encodeFinality(final)
  const block = encodeBlock(final.block)
  return new FieldWriter(finality.length + block.length).bytes(finality).bytes(block).finish()
}

/** Decodes a final block; nothing is verified but what {@link decodeBlock} checks. */
export function decodeFinalBlock(suite: Suite, bytes: Uint8Array): FinalBlock {
  const reader = new FieldReader(bytes, "final block")
  const { certificate, links } = readFinality(reader)
  const block = decodeBlock(suite, reader.view("block", reader.left))
  return { block, certificate, links }
}

function invalid(why: string): never {
  throw new LedgerError("BLOCK_INVALID", `block: ${why}`)
}

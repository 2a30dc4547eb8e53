/**
 * Entries without their blocks: what a node on a poor link fetches instead (LEDGER §11.2).
 *
 * A certified header holds the tree's size and root, so entries need nothing but their place in
 * that tree: 256 of them, a bundle, are checked with one path. Which block an entry of the
 * directory was in is shown by the headers on both sides of it. Nothing is believed before the
 * whole tree has the certified root.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { decodeEntry, type Entry } from "../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { BLOCK_HEADER_BYTES, BUNDLE_ENTRIES, HASH_BYTES } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import {
  blockHash,
  decodeHeader,
  encodeFinality,
  encodeHeader,
  readFinality,
  type BlockFinality,
  type Header,
} from "./block.ts"
import { verifyFinality, type ChainHead } from "./chain.ts"
import { LedgerError } from "./errors.ts"
import {
  appendLeaves,
  frontierRoot,
  hashLeaves,
  hashLevel,
  verifyInclusion,
  type NodeSink,
} from "./merkle.ts"
import type { ValidatorsOf } from "./validators.ts"

/** A header with what makes it final. */
export interface FinalHeader extends BlockFinality {
  readonly header: Header
}

/** The header of a block that holds an entry, and the one below it, which does not. */
export interface Holder extends FinalHeader {
  /** None below the first block. */
  readonly parent: Header | undefined
}

/** Entries of one submitter that follow each other in the tree and in serial. */
export interface Run {
  readonly submitter: number
  readonly firstSeq: number
  readonly count: number
}

/** finality ‖ header[166]. */
export function encodeFinalHeader(final: FinalHeader): Uint8Array {
  const finality = encodeFinality(final)
  return new FieldWriter(finality.length + BLOCK_HEADER_BYTES)
    .bytes(finality)
    .bytes(encodeHeader(final.header))
    .finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `BLOCK_INVALID`, `VOTE_INVALID`. */
export function decodeFinalHeader(bytes: Uint8Array): FinalHeader {
  const reader = new FieldReader(bytes, "final header")
  const finality = readFinality(reader)
  const header = decodeHeader(reader.view("header", reader.left))
  return { ...finality, header }
}

/** final header ‖ header[166] of the block below, if there is one. */
export function encodeHolder(holder: Holder): Uint8Array {
  const final = encodeFinalHeader(holder)
  const parent = holder.parent === undefined ? new Uint8Array(0) : encodeHeader(holder.parent)
  return new FieldWriter(final.length + parent.length).bytes(final).bytes(parent).finish()
}

/** @throws as {@link decodeFinalHeader}. */
export function decodeHolder(bytes: Uint8Array): Holder {
  const reader = new FieldReader(bytes, "holder")
  const finality = readFinality(reader)
  const header = decodeHeader(reader.view("header", BLOCK_HEADER_BYTES))
  const parent = reader.left === 0 ? undefined : decodeHeader(reader.view("parent", reader.left))
  return { ...finality, header, parent }
}

/**
 * Checks that the block of a holder is final and that the entry at `index` is in it.
 *
 * @throws {@link LedgerError} as verifyFinality; `BLOCK_PARENT`; `SYNC_ANSWER`.
 */
export function verifyHolder(
  suite: Suite,
  chainId: Uint8Array,
  index: number,
  holder: Holder,
  validatorsOf: ValidatorsOf,
): void {
  const { header, parent } = holder
  verifyFinality(suite, chainId, header, holder, validatorsOf)
  const hash = parent === undefined ? chainId : blockHash(suite, parent)
  const follows = header.height === (parent?.height ?? 0) + 1 && equalBytes(header.parent, hash)
  if (!follows) {
    const why = `height ${header.height}: it does not stand on the header that came with it`
    throw new LedgerError("BLOCK_PARENT", `holder: ${why}`)
  }
  if (index >= header.treeSize || index < (parent?.treeSize ?? 0)) {
    const why = `expected the block of entry ${index}, got height ${header.height}`
    throw new LedgerError("SYNC_ANSWER", `holder: ${why}`)
  }
}

/** (length u16 ‖ entry) for each. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const length = entries.reduce((sum, entry) => sum + 2 + entry.length, 0)
  const writer = new FieldWriter(length)
  for (const entry of entries) writer.u16(entry.length).bytes(entry)
  return writer.finish()
}

/** Exactly `count` entries. @throws ProtocolError `CODEC_*`. */
export function decodeBundle(bytes: Uint8Array, count: number): Uint8Array[] {
  const reader = new FieldReader(bytes, "bundle")
  const entries: Uint8Array[] = []
  while (entries.length < count) entries.push(reader.bytes("entry", reader.u16("length")))
  reader.end()
  return entries
}

/** The part of a path that leads from a whole bundle to the root, given that of its first leaf. */
export function bundlePath(pathOfFirst: readonly Uint8Array[]): readonly Uint8Array[] {
  return pathOfFirst.slice(Math.log2(BUNDLE_ENTRIES))
}

/**
 * Checks that the 256 entries of a whole bundle stand in a tree.
 *
 * @throws {@link LedgerError} `TREE_INCLUSION`.
 */
export function verifyBundle(
  entries: readonly Uint8Array[],
  number: number,
  path: readonly Uint8Array[],
  { treeSize, treeRoot }: Header,
): void {
  // The first leaf's path begins inside of the bundle.
  let hashes = hashLeaves(entries)
  const first = hashes.slice(0, HASH_BYTES)
  const inside: Uint8Array[] = []
  while (hashes.length > HASH_BYTES) {
    inside.push(hashes.slice(HASH_BYTES, 2 * HASH_BYTES))
    hashes = hashLevel(hashes)
  }
  verifyInclusion(first, number * BUNDLE_ENTRIES, treeSize, [...inside, ...path], treeRoot)
}

/**
 * Accepts all entries between a head and a certified header, or refuses them.
 *
 * Order: the certificate, the place of the header, the tree, the entries' serials. Signatures of
 * batches are not seen; the validators that certified the root have checked them.
 *
 * @throws {@link LedgerError} as verifyFinality; `BLOCK_PARENT`, `BLOCK_TREE`, `BLOCK_SERIAL`; the
 * decoder's errors for an entry.
 */
export function acceptEntries(
  suite: Suite,
  head: ChainHead,
  target: FinalHeader,
  leaves: readonly Uint8Array[],
  validatorsOf: ValidatorsOf,
  sink?: NodeSink,
): { readonly head: ChainHead; readonly entries: readonly Entry[] } {
  const { header } = target
  verifyFinality(suite, head.chainId, header, target, validatorsOf)
  if (header.height <= head.height || header.epoch !== head.epoch || header.view <= head.view) {
    refuse("BLOCK_PARENT", header, `it does not stand above height ${head.height}`)
  }
  const frontier = appendLeaves(head.frontier, hashLeaves(leaves), sink)
  const isTree = frontier.size === header.treeSize
  if (!isTree || !equalBytes(frontierRoot(frontier), header.treeRoot)) {
    refuse("BLOCK_TREE", header, `its root is not that of ${frontier.size} entries`)
  }
  const serials = new Map(head.serials)
  const entries = leaves.map((bytes) => decodeEntry(suite, bytes))
  for (const { submitter, submitterSeq } of entries) {
    const expected = (serials.get(submitter) ?? 0) + 1
    if (submitterSeq !== expected) {
      const why = `submitter ${submitter}: expected serial ${expected}, got ${submitterSeq}`
      refuse("BLOCK_SERIAL", header, why)
    }
    serials.set(submitter, submitterSeq)
  }
  const { epoch, view, height, timeMs } = header
  const hash = blockHash(suite, header)
  const next = { chainId: head.chainId, epoch, view, height, hash, timeMs, frontier, serials }
  return { head: next, entries }
}

/** Entries cut where submitter or serial do not go on. */
export function runsOf(entries: readonly Entry[]): Run[] {
  const runs: { submitter: number; firstSeq: number; count: number }[] = []
  for (const { submitter, submitterSeq } of entries) {
    const last = runs.at(-1)
    if (last?.submitter === submitter && last.firstSeq + last.count === submitterSeq) {
      last.count += 1
    } else {
      runs.push({ submitter, firstSeq: submitterSeq, count: 1 })
    }
  }
  return runs
}

function refuse(
  code: "BLOCK_PARENT" | "BLOCK_TREE" | "BLOCK_SERIAL",
  header: Header,
  why: string,
): never {
  throw new LedgerError(code, `entries up to height ${header.height}: ${why}`)
}

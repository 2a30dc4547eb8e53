/**
 * Healing stored blocks that can no longer be read (LEDGER §12): the disk lost them, peers have
 * them.
 *
 * What is damaged is found by reading everything. Refetched blocks are believed because their
 * hashes are chained to the sound block above them, up to the head, and their certificates verify.
 * Tree hashes are not fetched but computed again.
 */

import { blockHash, decodeFinalBlock, type FinalBlock } from "../../ledger/block.ts"
import type { FinalHeader } from "../../ledger/bundle.ts"
import { verifyFinality } from "../../ledger/chain.ts"
import { LedgerError } from "../../ledger/errors.ts"
import type { ValidatorsOf } from "../../ledger/validators.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { SYNC_WINDOW_BLOCKS, TILE_WIDTH } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { LedgerLog } from "./submitter.ts"

export interface RepairParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly store: BlockStore
  readonly validatorsOf: ValidatorsOf
  readonly log: LedgerLog
  /** Peers to ask, the best first. */
  readonly peers: () => readonly PeerKey[]
  readonly fetch: (peer: PeerKey, fromHeight: number, count: number) => Promise<Uint8Array[]>
  /** A whole bundle of entries, checked against a certified root. */
  readonly fetchEntries: (
    peer: PeerKey,
    first: number,
    count: number,
    final: FinalHeader,
  ) => Promise<readonly Uint8Array[]>
}

/** Heights from … to, both included. */
interface Span {
  readonly from: number
  readonly to: number
}

/** What a repair found and put right. */
export interface Repaired {
  readonly blocks: number
  readonly tiles: number
}

/**
 * Reads all stored blocks, fetches those that cannot be read, and writes tree hashes anew.
 *
 * @throws NodeError `STORE_DAMAGED` when no peer could give a damaged block.
 */
export async function repairLedger(parts: RepairParts): Promise<Repaired> {
  const bundles = await repairGaps(parts)
  const damaged = await findDamaged(parts.store)
  let blocks = bundles
  for (const span of await widen(parts.store, damaged)) {
    const finals = await fetchSpan(parts, span)
    await parts.store.restore(finals)
    blocks += finals.length
    parts.log.warn("LEDGER_HEALED", { from: span.from, to: span.to })
  }
  const tiles = await parts.store.restoreTiles()
  return { blocks, tiles }
}

/**
 * Entries without blocks cannot be had by block: their bundles are checked against the newest root,
 * their places made anew. Returns how many bundles and gaps were put right.
 */
async function repairGaps(parts: RepairParts): Promise<number> {
  const { store, log } = parts
  let repaired = 0
  for (const gap of store.gaps) {
    const start = gap.from === 1 ? 0 : (await store.finalHeader(gap.from - 1)).header.treeSize
    const end = Math.min(
      gap.final.header.treeSize,
      store.tiles.size - (store.tiles.size % TILE_WIDTH),
    )
    for (let first = start - (start % TILE_WIDTH); first < end; first += TILE_WIDTH) {
      store.tiles.dropCache()
      if (await isReadable(async () => store.tiles.entries(first, TILE_WIDTH))) continue
      await store.restoreEntries(first, await fetchBundle(parts, first))
      log.warn("LEDGER_HEALED", { fromEntry: first, toEntry: first + TILE_WIDTH - 1 })
      repaired += 1
    }
    const stored = await store.readGap(gap)
    if (await isReadable(async () => store.checkGap(stored))) continue
    await store.restorePlaces(gap, stored.entries)
    repaired += 1
  }
  return repaired
}

async function fetchBundle(parts: RepairParts, first: number): Promise<readonly Uint8Array[]> {
  const { store, log } = parts
  const final = await store.finalHeader(store.head.height)
  for (const peer of parts.peers()) {
    try {
      return await parts.fetchEntries(peer, first, TILE_WIDTH, final)
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      log.warn(error.code, { peer, fromEntry: first, message: error.message })
    }
  }
  const why = `entries ${first} … ${first + TILE_WIDTH - 1} are damaged and no peer has them`
  throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
}

/** Runs of heights whose block, or an entry of it, cannot be read. */
async function findDamaged(store: BlockStore): Promise<Span[]> {
  const spans: Span[] = []
  for (let height = 1; height <= store.head.height; height++) {
    if (store.gapAt(height) !== undefined) continue
    if (await isReadable(async () => readBlock(store, height))) continue
    const last = spans.at(-1)
    if (last?.to === height - 1) spans[spans.length - 1] = { from: last.from, to: height }
    else spans.push({ from: height, to: height })
  }
  return spans
}

/** Reads a block and where its batches stand. */
async function readBlock(store: BlockStore, height: number): Promise<void> {
  const { block } = await store.block(height)
  for (const { submitter, firstSeq } of block.batches) await store.find(submitter, firstSeq)
}

/** Spans that begin and end where bundles of entries do, so that a bundle is written as a whole. */
async function widen(store: BlockStore, spans: readonly Span[]): Promise<Span[]> {
  const wide: Span[] = []
  for (const span of spans) {
    const from = await stepDown(store, span.from)
    const to = await stepUp(store, span.to)
    const last = wide.at(-1)
    if (last !== undefined && from <= last.to + 1) wide[wide.length - 1] = { from: last.from, to }
    else wide.push({ from, to })
  }
  return wide
}

/** The highest block at or below `height` whose entries begin with a bundle, or before it. */
async function stepDown(store: BlockStore, height: number): Promise<number> {
  const start = (await sizeAt(store, height - 1)) ?? 0
  const bundleStart = start - (start % TILE_WIDTH)
  for (let from = height; ; from--) {
    const size = await sizeAt(store, from - 1)
    if (store.gapAt(from - 1) !== undefined) return from
    if (size !== undefined && size <= bundleStart) return from
  }
}

/** The lowest block at or above `height` whose entries fill the last bundle, or the head. */
async function stepUp(store: BlockStore, height: number): Promise<number> {
  const end = (await sizeAt(store, height)) ?? store.head.frontier.size
  const bundleEnd = Math.ceil(end / TILE_WIDTH) * TILE_WIDTH
  for (let to = height; ; to++) {
    const size = await sizeAt(store, to)
    if (store.gapAt(to + 1) !== undefined) return to
    if (to === store.head.height || (size !== undefined && size >= bundleEnd)) return to
  }
}

/**
 * Tree size after a block, as it or the block above it says; undefined when neither can be read.
 */
async function sizeAt(store: BlockStore, height: number): Promise<number | undefined> {
  if (height === 0) return 0
  if (height === store.head.height) return store.head.frontier.size
  let size: number | undefined
  await isReadable(async () => {
    size = (await store.finalHeader(height)).header.treeSize
  })
  if (size !== undefined) return size
  await isReadable(async () => {
    size = (await store.row(height + 1)).firstIndex
  })
  return size
}

async function isReadable(read: () => Promise<unknown>): Promise<boolean> {
  try {
    await read()
    return true
  } catch (error) {
    const isLost = error instanceof NodeError && error.code.startsWith("STORE_")
    if (isLost && (error.code === "STORE_DAMAGED" || error.code === "STORE_GAP")) return false
    throw error
  }
}

/** Blocks of a span from any peer, chained to what stands around them. */
async function fetchSpan(parts: RepairParts, span: Span): Promise<FinalBlock[]> {
  for (const peer of parts.peers()) {
    try {
      const finals = await fetchFrom(parts, peer, span)
      await verifySpan(parts, span, finals)
      return finals
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      parts.log.warn(error.code, { peer, message: error.message })
    }
  }
  const why = `blocks ${span.from} … ${span.to} are damaged and no peer has them`
  throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
}

async function fetchFrom(parts: RepairParts, peer: PeerKey, span: Span): Promise<FinalBlock[]> {
  const finals: FinalBlock[] = []
  while (finals.length <= span.to - span.from) {
    const from = span.from + finals.length
    const count = Math.min(span.to - from + 1, SYNC_WINDOW_BLOCKS)
    const answer = await parts.fetch(peer, from, count)
    if (answer.length === 0 || answer.length > count) {
      throw new LedgerError("SYNC_ANSWER", `answer: expected blocks from height ${from}`)
    }
    finals.push(...answer.map((bytes) => decodeFinalBlock(parts.suite, bytes)))
  }
  return finals
}

function lastHash({ suite }: RepairParts, finals: readonly FinalBlock[]): Uint8Array {
  const last = finals.at(-1)
  return last === undefined ? new Uint8Array(0) : blockHash(suite, last.block.header)
}

async function verifySpan(
  parts: RepairParts,
  span: Span,
  finals: readonly FinalBlock[],
): Promise<void> {
  const { suite, store, chainId, validatorsOf } = parts
  const { head } = store
  const above = span.to + 1
  const isGap = store.gapAt(above) !== undefined
  // Below a gap no header leads down to the block; its own certificate and the tree stand for it.
  let expected =
    span.to === head.height
      ? head.hash
      : isGap
        ? lastHash(parts, finals)
        : (await store.row(above)).header.parent
  for (const [at, final] of [...finals.entries()].reverse()) {
    const { header } = final.block
    if (header.height !== span.from + at || !equalBytes(blockHash(suite, header), expected)) {
      throw new LedgerError("BLOCK_PARENT", `block at height ${header.height}: not the one it was`)
    }
    verifyFinality(suite, chainId, header, final, validatorsOf)
    expected = header.parent
  }
}

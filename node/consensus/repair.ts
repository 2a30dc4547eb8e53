/**
 * Healing stored blocks that can no longer be read (LEDGER §12): the disk lost them, peers have
 * them.
 *
 * What is damaged is found by reading everything. Refetched blocks are believed because each stands
 * on the one below, its certificate verifies, and the sound block above stands on the last. Tree
 * hashes are not fetched but computed again.
 */

import { blockHash, decodeFinalBlock, type FinalBlock } from "../../ledger/block.ts"
import type { FinalHeader } from "../../ledger/bundle.ts"
import { verifyFinality } from "../../ledger/chain.ts"
import { LedgerError } from "../../ledger/errors.ts"
import type { ValidatorsOf } from "../../ledger/validators.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { SYNC_ANSWER_BYTES, SYNC_WINDOW_BLOCKS, TILE_WIDTH } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Gap } from "../store/gaps.ts"
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

/** One repair under way. */
interface Run extends RepairParts {
  /** Peers that did not bring what they were asked for: asked again when nobody else has it. */
  readonly last: Set<PeerKey>
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
 * What nobody can give keeps nothing else from being healed.
 *
 * @throws NodeError `STORE_DAMAGED` when no peer could give a damaged block or bundle.
 */
export async function repairLedger(repair: RepairParts): Promise<Repaired> {
  const parts: Run = { ...repair, last: new Set() }
  const { store } = parts
  const gaps = await healEach(store.gaps, async (gap) => repairGap(parts, gap))
  const spans = await widen(store, await findDamaged(store))
  const blocks = await healEach(spans, async (span) => repairSpan(parts, span))
  // Where a gap begins in the tree is known from the block below it, which may be there only now.
  const rest = await healEach(gaps.left, async (gap) => repairGap(parts, gap))
  const failure = rest.failure ?? blocks.failure
  if (failure !== undefined) throw failure
  const tiles = await store.restoreTiles()
  return { blocks: gaps.healed + blocks.healed + rest.healed, tiles }
}

/** Heals one after the other; gives those that are left, with what the last of them failed with. */
async function healEach<T>(
  damaged: readonly T[],
  heal: (one: T) => Promise<number>,
): Promise<{ readonly healed: number; readonly left: readonly T[]; readonly failure?: NodeError }> {
  let healed = 0
  const left: T[] = []
  let failure: NodeError | undefined
  for (const one of damaged) {
    try {
      healed += await heal(one)
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== "STORE_DAMAGED") throw error
      left.push(one)
      failure = error
    }
  }
  return { healed, left, ...(failure && { failure }) }
}

async function repairSpan(parts: Run, span: Span): Promise<number> {
  const finals = await fetchSpan(parts, span)
  await parts.store.restore(finals)
  parts.log.warn("LEDGER_HEALED", { from: span.from, to: span.to })
  return finals.length
}

/**
 * Entries without blocks cannot be had by block: their bundles are checked against the newest root,
 * their places made anew. Returns how many bundles and gaps were put right.
 *
 * @throws NodeError `STORE_DAMAGED` also while the block below the gap cannot be read.
 */
async function repairGap(parts: Run, gap: Gap): Promise<number> {
  const { store, log } = parts
  let repaired = 0
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
  if (await isReadable(async () => store.checkGap(stored))) return repaired
  await store.restorePlaces(gap, stored.entries)
  return repaired + 1
}

/** The best first, and those last that failed in this run, which has many spans to spoil. */
function inOrder({ peers, last }: Run): readonly PeerKey[] {
  const all = peers()
  return [...all.filter((peer) => !last.has(peer)), ...all.filter((peer) => last.has(peer))]
}

async function fetchBundle(parts: Run, first: number): Promise<readonly Uint8Array[]> {
  const { store, log } = parts
  const final = await store.finalHeader(store.head.height)
  for (const peer of inOrder(parts)) {
    try {
      return await parts.fetchEntries(peer, first, TILE_WIDTH, final)
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      parts.last.add(peer)
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

/**
 * Blocks of a span, chained to what stands around them. Whoever is asked next goes on where the
 * last one stopped, unless that one lied.
 */
async function fetchSpan(parts: Run, span: Span): Promise<FinalBlock[]> {
  const sound: FinalBlock[] = []
  for (const peer of inOrder(parts)) {
    const before = sound.length
    try {
      await fetchFrom(parts, peer, span, sound)
      const missing = span.from + sound.length
      if (missing > span.to) return sound
      parts.last.add(peer)
      parts.log.warn("SYNC_ANSWER", { peer, message: `it has no block at height ${missing}` })
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      parts.last.add(peer)
      // What is wrong is a lie, and nothing else of it is kept; what is missing is bad luck.
      if (!(error instanceof NodeError)) sound.length = before
      parts.log.warn(error.code, { peer, message: error.message })
    }
  }
  const why = `blocks ${span.from} … ${span.to} are damaged and no peer has them`
  throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
}

/**
 * Adds what a peer has of a span. Each block is verified before the next is decoded: without that a
 * peer could fill our memory with as many as a span has. A peer is asked again only after a whole
 * answer; one that stops early has no more, or wants to hold us up.
 */
async function fetchFrom(
  parts: Run,
  peer: PeerKey,
  span: Span,
  sound: FinalBlock[],
): Promise<void> {
  for (;;) {
    const from = span.from + sound.length
    const count = Math.min(span.to - from + 1, SYNC_WINDOW_BLOCKS)
    if (count === 0) return
    const answer = await parts.fetch(peer, from, count)
    if (answer.length > count) {
      throw new LedgerError("SYNC_ANSWER", `answer: expected at most ${count} blocks`)
    }
    let bytes = 0
    for (const encoded of answer) {
      const final = decodeFinalBlock(parts.suite, encoded)
      await verifyNext(parts, span, sound, final)
      sound.push(final)
      bytes += encoded.length
    }
    if (answer.length < count && bytes < SYNC_ANSWER_BYTES) return
  }
}

/** Checks that a block is the next one of a span: by height, neighbours and finality. */
async function verifyNext(
  parts: Run,
  span: Span,
  sound: readonly FinalBlock[],
  final: FinalBlock,
): Promise<void> {
  const { suite, chainId, validatorsOf } = parts
  const { header } = final.block
  const height = span.from + sound.length
  const last = sound.at(-1)?.block.header
  const parent = last === undefined ? await hashBelow(parts, height) : blockHash(suite, last)
  const expected = height === span.to ? await hashAbove(parts, height) : undefined
  const isNext =
    header.height === height &&
    equalBytes(header.parent, parent) &&
    (expected === undefined || equalBytes(blockHash(suite, header), expected))
  if (!isNext)
    throw new LedgerError("BLOCK_PARENT", `block at height ${height}: not the one it was`)
  verifyFinality(suite, chainId, header, final, validatorsOf)
}

async function hashBelow({ suite, store, chainId }: Run, height: number): Promise<Uint8Array> {
  if (height === 1) return chainId
  return blockHash(suite, (await store.finalHeader(height - 1)).header)
}

/** Undefined below a gap: no header leads down, and the certificate alone stands for the block. */
async function hashAbove({ store }: Run, height: number): Promise<Uint8Array | undefined> {
  if (height === store.head.height) return store.head.hash
  if (store.gapAt(height + 1) !== undefined) return undefined
  return (await store.row(height + 1)).header.parent
}

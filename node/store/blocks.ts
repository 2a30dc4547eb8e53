/**
 * Final blocks on the disk: what the ledger says, as this node has verified it (LEDGER §12).
 *
 * - `ledger/b/<height>` finality, header, and the batches without their entries
 * - `ledger/s/<rid>/<first serial>` where the entries of a batch stand
 * - `ledger/q/<rid>` newest serial of a submitter
 * - `ledger/head` height and hash of the newest block
 *
 * Entries and tree hashes are in tiles.ts, heights without blocks in gaps.ts. A block is one batch
 * with all of these, so the ledger on the disk always ends with a whole block.
 */

import {
  blockHash,
  encodeFinalBlock,
  leavesOf,
  type FinalBlock,
  type Header,
} from "../../ledger/block.ts"
import { genesisHead, type ChainHead } from "../../ledger/chain.ts"
import { frontierRoot } from "../../ledger/merkle.ts"
import { assert } from "../../protocol/assert.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import {
  decodeEntry,
  encodeEntry,
  joinBatch,
  type Batch,
  type Entry,
} from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import { HASH_BYTES } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { runsOf, type FinalHeader, type Holder } from "../../ledger/bundle.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "./database.ts"
import { blockKey, encodeRow, readRow, type BlockRow } from "./block-rows.ts"
import { directoryRows, type DirectoryRow } from "./directory.ts"
import { gapOperations, loadGaps, type Gap } from "./gaps.ts"
import { numberKey, Tiles } from "./tiles.ts"

/** Where an entry stands. */
export interface Place {
  /** Leaf in the tree, from 0. */
  readonly index: number
  /** Block that made it final. */
  readonly height: number
}

/** Where the entries of a batch stand: the first of them, and how many there are. */
export interface BatchPlace extends Place {
  readonly count: number
}

/** What is kept of a gap. */
export interface StoredGap {
  readonly gap: Gap
  readonly entries: readonly Entry[]
  readonly directory: readonly DirectoryRow[]
}

const HEAD_KEY = "ledger/head"
const SERIAL_PREFIX = "ledger/q/"
const PLACE_BYTES = 8 + 8 + 2

export class BlockStore {
  readonly #database: Database
  readonly #suite: Suite
  readonly tiles: Tiles
  readonly #gaps: Gap[]
  #head: ChainHead

  private constructor(
    database: Database,
    suite: Suite,
    head: ChainHead,
    tiles: Tiles,
    gaps: readonly Gap[],
  ) {
    this.#database = database
    this.#suite = suite
    this.#head = head
    this.tiles = tiles
    this.#gaps = [...gaps]
  }

  /**
   * Opens the stored ledger and compares its right edge with the certified root of its head.
   *
   * @throws NodeError `STORE_DAMAGED` naming the row, or the height whose root differs.
   */
  static async open(database: Database, suite: Suite, chainId: Uint8Array): Promise<BlockStore> {
    const gaps = await loadGaps(database)
    const { height, hash, header } = await readHead(database, suite, chainId, gaps.at(-1))
    const size = header?.treeSize ?? 0
    const tiles = await Tiles.open(database, size)
    if (header !== undefined && !equalBytes(frontierRoot(tiles.frontier), header.treeRoot)) {
      damaged(`right edge of ${size} entries does not have the root of block ${height}`)
    }
    const serials = new Map<number, number>()
    for await (const [key, value] of database.range({ prefix: SERIAL_PREFIX })) {
      const serial = new FieldReader(value, "serial row").u64("serial")
      serials.set(Number.parseInt(key.slice(SERIAL_PREFIX.length), 16), serial)
    }
    if (header === undefined) {
      return new BlockStore(database, suite, genesisHead(chainId), tiles, [])
    }
    const { epoch, view, timeMs } = header
    const { frontier } = tiles
    const head = { chainId, epoch, view, height, hash, timeMs, frontier, serials }
    return new BlockStore(database, suite, head, tiles, gaps)
  }

  /** Where the chain ends here. */
  get head(): ChainHead {
    return this.#head
  }

  /** Newest final serial of a submitter, 0 for none. */
  lastSeq(submitter: number): number {
    return this.#head.serials.get(submitter) ?? 0
  }

  /**
   * Appends verified blocks, in one batch with `extra`; `head` is the head after them. The write
   * passes the free-space floor of bulk: a block is small, and everything else waits for it.
   *
   * When it throws, nothing here has changed.
   */
  async append(
    finals: readonly FinalBlock[],
    head: ChainHead,
    extra: readonly Operation[] = [],
  ): Promise<void> {
    assert(head.height === this.#head.height + finals.length, "blocks are stored in order")
    const submitters = new Set<number>()
    for (const { block } of finals) {
      for (const { submitter } of block.batches) submitters.add(submitter)
    }
    const extension = this.tiles.extend(finals.flatMap((final) => leavesOf(final.block.batches)))
    assert(
      extension.edge.frontier.size === head.frontier.size,
      "the stored tree grows as the chain's",
    )
    const operations = [
      ...finals.flatMap(blockOperations),
      ...[...submitters].map((submitter) => serialOperation(submitter, head.serials)),
      ...extension.operations,
      headOperation(head.height, head.hash),
      ...extra,
    ]
    await this.#database.write(operations, { urgent: true })
    this.tiles.adopt(extension)
    this.#head = head
  }

  /**
   * Appends verified entries without their blocks, up to a certified header; `head` is the head
   * after them. When it throws, nothing here has changed.
   */
  async appendEntries(
    final: FinalHeader,
    entries: readonly Entry[],
    head: ChainHead,
    extra: readonly Operation[] = [],
  ): Promise<void> {
    const gap = { from: this.#head.height + 1, to: head.height, final }
    const firstIndex = this.tiles.size
    const extension = this.tiles.extend(entries.map(encodeEntry))
    assert(
      extension.edge.frontier.size === head.frontier.size,
      "the stored tree grows as the chain's",
    )
    const submitters = new Set(entries.map(({ submitter }) => submitter))
    const operations = [
      ...gapOperations(gap, this.#gaps.at(-1)),
      ...placeOperations(entries, firstIndex, head.height),
      ...[...submitters].map((submitter) => serialOperation(submitter, head.serials)),
      ...extension.operations,
      headOperation(head.height, head.hash),
      ...extra,
    ]
    await this.#database.write(operations, { urgent: true })
    this.tiles.adopt(extension)
    this.#gaps.push(gap)
    this.#head = head
  }

  /** Heights without blocks, ascending. */
  get gaps(): readonly Gap[] {
    return this.#gaps
  }

  /** @throws NodeError `STORE_DAMAGED` naming the bundle of entries. */
  async readGap(gap: Gap): Promise<StoredGap> {
    const start = gap.from === 1 ? 0 : (await this.finalHeader(gap.from - 1)).header.treeSize
    const end = gap.final.header.treeSize
    const entries = await this.tiles.entries(start, end - start)
    const decoded = entries.map((entry) =>
      this.#whole(gap.to, () => decodeEntry(this.#suite, entry)),
    )
    const directory = await directoryRows(this.#database, this.#suite, start, end)
    // Publications of keys may have been dropped since, governance never.
    const isGovernance = ({ type }: Entry): boolean => type === "governance"
    const kept = directory.filter(({ entry }) => isGovernance(entry)).length
    const isThere = ({ height }: DirectoryRow): boolean => height >= gap.from && height <= gap.to
    if (kept !== decoded.filter(isGovernance).length || !directory.every(isThere)) {
      damaged(`rows of the directory are not those of blocks ${gap.from} … ${gap.to}`)
    }
    return { gap, entries: decoded, directory }
  }

  /** The gap that a height is in. */
  gapAt(height: number): Gap | undefined {
    return this.#gaps.find(({ from, to }) => from <= height && height <= to)
  }

  /**
   * A certified header that is kept: of a block, or of the end of a gap.
   *
   * @throws NodeError `STORE_DAMAGED`, `STORE_GAP`.
   */
  async finalHeader(height: number): Promise<FinalHeader> {
    const gap = this.gapAt(height)
    return gap?.to === height ? gap.final : this.row(height)
  }

  /**
   * The header of the block that holds an entry, and of the one below.
   *
   * @throws NodeError `STORE_DAMAGED`, `STORE_GAP`.
   */
  async holderOf(index: number): Promise<Holder> {
    const { submitter, submitterSeq } = await this.entry(index)
    const place = await this.find(submitter, submitterSeq)
    assert(place !== undefined, "a stored entry has no place")
    const { header, certificate, links } = await this.row(place.height)
    const parent = place.height === 1 ? undefined : await this.finalHeader(place.height - 1)
    return { header, certificate, links, parent: parent?.header }
  }

  /** @throws NodeError `STORE_DAMAGED` naming the height, `STORE_GAP`. */
  async row(height: number): Promise<BlockRow> {
    assert(height >= 1 && height <= this.#head.height, "a block was asked for beyond the head")
    const gap = this.gapAt(height)
    if (gap !== undefined) refuseGap(gap)
    return readRow(this.#database, height)
  }

  /** @throws NodeError `STORE_DAMAGED` naming the height or the bundle of entries. */
  async block(height: number): Promise<FinalBlock> {
    const { certificate, links, header, batches: heads, firstIndex } = await this.row(height)
    let entries = await this.tiles.encodedEntries(firstIndex, header.treeSize - firstIndex)
    const batches = heads.map((head): Batch => {
      const { batch, taken } = this.#whole(height, () => joinBatch(this.#suite, head, entries))
      entries = entries.subarray(taken)
      return batch
    })
    return { block: { header, batches }, certificate, links }
  }

  /**
   * Encoded final blocks from a height on: at most `count`, stopping after `bytesMax` and before a
   * gap.
   *
   * @throws NodeError `STORE_GAP` for one that begins in a gap.
   */
  async blocks(fromHeight: number, count: number, bytesMax: number): Promise<Uint8Array[]> {
    const found: Uint8Array[] = []
    let length = 0
    const end = Math.min(fromHeight + count - 1, this.#head.height)
    for (let height = Math.max(1, fromHeight); height <= end && length < bytesMax; height++) {
      if (found.length > 0 && this.gapAt(height) !== undefined) break
      const bytes = encodeFinalBlock(await this.block(height))
      found.push(bytes)
      length += bytes.length
    }
    return found
  }

  /** Encoded final blocks from a height on, up to the head at the time of the call. */
  async *each(fromHeight: number): AsyncGenerator<Uint8Array, void, void> {
    const end = this.#head.height
    for (let height = Math.max(1, fromHeight); height <= end; height++) {
      yield encodeFinalBlock(await this.block(height))
    }
  }

  /** @throws NodeError `STORE_GAP` unless every block from a height on is kept. */
  demandBlocks(fromHeight: number): void {
    const gap = this.#gaps.find(({ to }) => to >= fromHeight)
    if (gap !== undefined) refuseGap(gap)
  }

  async entry(index: number): Promise<Entry> {
    const [bytes] = await this.tiles.entries(index, 1)
    assert(bytes !== undefined, "one entry was asked for")
    return decodeEntry(this.#suite, bytes)
  }

  /** Where the entry with this serial stands; undefined while it is not final here. */
  async find(submitter: number, seq: number): Promise<Place | undefined> {
    if (seq < 1 || seq > this.lastSeq(submitter)) return undefined
    const prefix = placePrefix(submitter)
    const range = { prefix, until: placeKey(submitter, seq + 1), limit: 1, reverse: true }
    for await (const [key, value] of this.#database.range(range)) {
      const firstSeq = Number.parseInt(key.slice(prefix.length), 16)
      const { height, index, count } = decodePlace(value)
      if (seq >= firstSeq + count) break
      return { height, index: index + seq - firstSeq }
    }
    return damaged(`place of serial ${seq} of submitter ${submitter}: its row is missing`)
  }

  /** @throws NodeError `STORE_DAMAGED` unless the row of a batch says this. */
  async checkPlace(submitter: number, firstSeq: number, expected: BatchPlace): Promise<void> {
    const value = await this.#database.get(placeKey(submitter, firstSeq))
    if (value !== undefined && equalBytes(value, encodePlace(expected))) return
    damaged(`place of serial ${firstSeq} of submitter ${submitter} is wrong`)
  }

  /** @throws NodeError `STORE_DAMAGED` unless the places of a gap's entries are in their rows. */
  async checkGap({ gap, entries }: StoredGap): Promise<void> {
    let index = gap.final.header.treeSize - entries.length
    for (const { submitter, firstSeq, count } of runsOf(entries)) {
      await this.checkPlace(submitter, firstSeq, { height: gap.to, index, count })
      index += count
    }
  }

  /**
   * Writes verified blocks over their damaged rows. Bundles of entries that the blocks cover only
   * in part stay as they are.
   */
  async restore(finals: readonly FinalBlock[]): Promise<void> {
    const first = finals[0]
    const last = finals.at(-1)
    if (first === undefined || last === undefined) return
    assert(last.block.header.height <= this.#head.height, "only stored blocks are restored")
    const entries = finals.flatMap((final) => leavesOf(final.block.batches))
    const operations = [
      ...finals.flatMap(blockOperations),
      ...this.tiles.restore(last.block.header.treeSize - entries.length, entries),
    ]
    await this.#database.write(operations, { urgent: true })
  }

  /** Writes verified entries of whole bundles over their damaged rows. */
  async restoreEntries(start: number, entries: readonly Uint8Array[]): Promise<void> {
    await this.#database.write(this.tiles.restore(start, entries), { urgent: true })
  }

  /** Writes the places of a gap's entries anew. */
  async restorePlaces(gap: Gap, entries: readonly Entry[]): Promise<void> {
    const firstIndex = gap.final.header.treeSize - entries.length
    await this.#database.write(placeOperations(entries, firstIndex, gap.to), { urgent: true })
  }

  /** Writes damaged tree hashes anew from the entries; returns how many tiles. */
  async restoreTiles(): Promise<number> {
    const operations = await this.tiles.repairTiles()
    if (operations.length > 0) await this.#database.write(operations, { urgent: true })
    return operations.length
  }

  /** What is decoded of a block's entries, whose rows could be read. */
  #whole<T>(height: number, decode: () => T): T {
    try {
      return decode()
    } catch (cause) {
      if (!(cause instanceof TarbartaError)) throw cause
      const why = `ledger store: block ${height}: a broken entry`
      throw new NodeError("STORE_DAMAGED", why, { cause })
    }
  }
}

/** The row of a block, and where its entries stand. */
function blockOperations(final: FinalBlock): Operation[] {
  const { header, batches } = final.block
  let index = header.treeSize - batches.reduce((sum, batch) => sum + batch.entries.length, 0)
  const operations = [put(blockKey(header.height), encodeRow(final))]
  for (const { submitter, firstSeq, entries } of batches) {
    const place = { height: header.height, index, count: entries.length }
    operations.push(put(placeKey(submitter, firstSeq), encodePlace(place)))
    index += entries.length
  }
  return operations
}

/** Where entries without blocks stand: in the tree of the header at this height. */
function placeOperations(
  entries: readonly Entry[],
  firstIndex: number,
  height: number,
): Operation[] {
  let index = firstIndex
  return runsOf(entries).map(({ submitter, firstSeq, count }) => {
    const place = encodePlace({ height, index, count })
    index += count
    return put(placeKey(submitter, firstSeq), place)
  })
}

/** height u64 ‖ index u64 ‖ count u16. */
function encodePlace({ height, index, count }: BatchPlace): Uint8Array {
  return new FieldWriter(PLACE_BYTES).u64(height).u64(index).u16(count).finish()
}

function decodePlace(bytes: Uint8Array): BatchPlace {
  const reader = new FieldReader(bytes, "place row")
  return { height: reader.u64("height"), index: reader.u64("index"), count: reader.u16("count") }
}

async function readHead(
  database: Database,
  suite: Suite,
  chainId: Uint8Array,
  gap: Gap | undefined,
): Promise<{ height: number; hash: Uint8Array; header: Header | undefined }> {
  const bytes = await database.get(HEAD_KEY)
  if (bytes === undefined) {
    const blocks = database.range({ prefix: "ledger/b/", limit: 1 })
    for await (const [key] of blocks) damaged(`${key} is there, but no head`)
    return { height: 0, hash: chainId, header: undefined }
  }
  const reader = new FieldReader(bytes, "head row")
  const height = reader.u64("height")
  const hash = reader.bytes("hash", HASH_BYTES)
  // A store that was rebuilt from nothing.
  if (height === 0) return { height, hash: chainId, header: undefined }
  const { header } = gap?.to === height ? gap.final : await readRow(database, height)
  if (equalBytes(blockHash(suite, header), hash)) return { height, hash, header }
  return damaged(`block ${height}: its hash is not that of the head`)
}

/** The newest serial of one submitter. */
export function serialOperation(
  submitter: number,
  serials: ReadonlyMap<number, number>,
): Operation {
  const serial = serials.get(submitter)
  if (serial === undefined) return { type: "delete", key: serialKey(submitter) }
  return put(serialKey(submitter), new FieldWriter(8).u64(serial).finish())
}

/** Points the stored ledger at its newest block. */
export function headOperation(height: number, hash: Uint8Array): Operation {
  return put(HEAD_KEY, new FieldWriter(8 + HASH_BYTES).u64(height).bytes(hash).finish())
}

function put(key: string, value: Uint8Array): Operation {
  return { type: "put", key, value }
}

function refuseGap({ from, to }: Gap): never {
  const why = `blocks ${from} … ${to} are not kept here, only their entries`
  throw new NodeError("STORE_GAP", `ledger store: ${why}`)
}

function damaged(why: string): never {
  throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
}

function serialKey(submitter: number): string {
  return `${SERIAL_PREFIX}${submitter.toString(16).padStart(4, "0")}`
}

function placePrefix(submitter: number): string {
  return `ledger/s/${submitter.toString(16).padStart(4, "0")}/`
}

function placeKey(submitter: number, firstSeq: number): string {
  return `${placePrefix(submitter)}${numberKey(firstSeq)}`
}

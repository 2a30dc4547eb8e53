/**
 * Entries and tree hashes on the disk (LEDGER §12): written once, in tiles and bundles of 256.
 *
 * - `ledger/e/<N>`   entries 256·N …, each as u16 length and bytes
 * - `ledger/l/<i>`   entry i, while its bundle is not full
 * - `ledger/t/<L>/<N>` 256 hashes of complete subtrees of 256^L leaves
 * - `ledger/p/<L>`   the same at the right edge, L ≥ 1, while its tile is not full
 *
 * The right edge is also held in memory, so that appending reads nothing. Nothing here knows of
 * blocks; blocks.ts puts these writes and its own into one batch.
 */

import { concatBytes } from "@noble/hashes/utils.js"
import {
  appendLeaves,
  frontierRoot,
  hashEncodedLeaves,
  hashLeaves,
  hashLevel,
  inclusionProof,
  treeRoot,
  type Frontier,
  type HashSource,
} from "../../ledger/merkle.ts"
import type { TileName } from "../../ledger/tile-path.ts"
import { assert } from "../../protocol/assert.ts"
import { FieldWriter } from "../../protocol/fields.ts"
import { HASH_BYTES, TILE_WIDTH } from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "./database.ts"

/** Levels of the tree that one level of tiles spans: log2 of {@link TILE_WIDTH}. */
export const TILE_LEVELS = 8
export const TILE_BYTES: number = TILE_WIDTH * HASH_BYTES
/** In front of each entry of a bundle. */
const LENGTH_BYTES = 2

/** The end of the log as it is held in memory. */
interface RightEdge {
  readonly frontier: Frontier
  /** Entries whose bundle is not full. */
  readonly tail: readonly Uint8Array[]
  /** By level of tiles: packed hashes whose tile is not full. */
  readonly partials: readonly Uint8Array[]
}

/** Consecutive entries as a row has them. */
interface Bundle {
  /** (length u16 ‖ entry) for each. */
  readonly bytes: Uint8Array
  /** Where each begins; behind the last, where it ends. */
  readonly starts: readonly number[]
}

/** Writes that extend the log, and what to hold once they are on the disk. */
export interface Extension {
  readonly operations: readonly Operation[]
  readonly edge: RightEdge
}

/** A key's number part: numbers below 2^53 in the order of their values. */
export function numberKey(value: number): string {
  return value.toString(16).padStart(14, "0")
}

export class Tiles {
  readonly #database: Database
  #edge: RightEdge
  #bundle: { readonly number: number; readonly bundle: Bundle } | undefined

  private constructor(database: Database, edge: RightEdge) {
    this.#database = database
    this.#edge = edge
  }

  /**
   * Reads the right edge of a log of `size` entries.
   *
   * @throws NodeError `STORE_DAMAGED` naming the row that is missing or has the wrong length. That
   * the edge has the certified root is for the caller to check.
   */
  static async open(database: Database, size: number): Promise<Tiles> {
    const tail: Uint8Array[] = []
    const tailStart = size - (size % TILE_WIDTH)
    for (let index = tailStart; index < size; index++) {
      const entry = await database.get(tailKey(index))
      tail.push(entry ?? damaged(`entry ${index}: its row is missing`))
    }
    const partials = [hashLeaves(tail)]
    for (let level = 1, full = tailStart / TILE_WIDTH; full > 0; level++) {
      const width = full % TILE_WIDTH
      const bytes = width === 0 ? new Uint8Array(0) : await database.get(partialKey(level))
      if (bytes?.length !== width * HASH_BYTES) {
        damaged(`tree hashes at level ${level}: expected ${width}, got ${bytes?.length ?? "none"}`)
      }
      partials.push(bytes)
      full = Math.floor(full / TILE_WIDTH)
    }
    return new Tiles(database, { frontier: frontierOf(size, partials), tail, partials })
  }

  get size(): number {
    return this.#edge.frontier.size
  }

  get frontier(): Frontier {
    return this.#edge.frontier
  }

  /** The writes that append encoded entries; nothing changes before {@link adopt}. */
  extend(entries: readonly Uint8Array[]): Extension {
    const operations = new Map<string, Operation>()
    const put = (key: string, value: Uint8Array): void => {
      operations.set(key, { type: "put", key, value })
    }
    const partials = [...this.#edge.partials]
    const frontier = appendLeaves(this.#edge.frontier, hashLeaves(entries), (level, _, hashes) => {
      if (level % TILE_LEVELS !== 0) return
      const tileLevel = level / TILE_LEVELS
      let row = concatBytes(partials[tileLevel] ?? new Uint8Array(0), hashes)
      let number = Math.floor(this.#edge.frontier.size / 2 ** level / TILE_WIDTH)
      for (; row.length >= TILE_BYTES; number++) {
        put(tileKey(tileLevel, number), row.slice(0, TILE_BYTES))
        row = row.slice(TILE_BYTES)
      }
      partials[tileLevel] = row
      if (tileLevel > 0) put(partialKey(tileLevel), row)
    })
    const tail = this.#extendTail(entries, operations, put)
    return { operations: [...operations.values()], edge: { frontier, tail, partials } }
  }

  #extendTail(
    entries: readonly Uint8Array[],
    operations: Map<string, Operation>,
    put: (key: string, value: Uint8Array) => void,
  ): Uint8Array[] {
    let start = this.size - this.#edge.tail.length
    let tail = [...this.#edge.tail, ...entries]
    const stored = this.size
    while (tail.length >= TILE_WIDTH) {
      put(bundleKey(start / TILE_WIDTH), encodeBundle(tail.slice(0, TILE_WIDTH)))
      for (let index = start; index < Math.min(stored, start + TILE_WIDTH); index++) {
        operations.set(tailKey(index), { type: "delete", key: tailKey(index) })
      }
      tail = tail.slice(TILE_WIDTH)
      start += TILE_WIDTH
    }
    tail.forEach((entry, offset) => {
      if (start + offset >= stored) put(tailKey(start + offset), entry)
    })
    return tail
  }

  /** Takes over an extension whose writes are on the disk. */
  adopt(extension: Extension): void {
    assert(extension.edge.frontier.size >= this.size, "the log does not shrink")
    this.#edge = extension.edge
  }

  /**
   * Encoded entries from `start` on, `count` of them.
   *
   * @throws NodeError `STORE_DAMAGED` naming the bundle.
   */
  async entries(start: number, count: number): Promise<Uint8Array[]> {
    assert(start >= 0 && start + count <= this.size, "entries were asked for beyond the log")
    const found: Uint8Array[] = []
    while (found.length < count) {
      const index = start + found.length
      const number = Math.floor(index / TILE_WIDTH)
      const from = index - number * TILE_WIDTH
      const until = Math.min(TILE_WIDTH, from + count - found.length)
      found.push(...entriesOf(await this.#readBundle(number), from, until))
    }
    return found
  }

  /**
   * The same entries as they stand in their bundles: (length u16 ‖ entry) for each.
   *
   * @throws NodeError `STORE_DAMAGED` naming the bundle.
   */
  async encodedEntries(start: number, count: number): Promise<Uint8Array> {
    assert(start >= 0 && start + count <= this.size, "entries were asked for beyond the log")
    const parts: Uint8Array[] = []
    for (let index = start; index < start + count;) {
      const number = Math.floor(index / TILE_WIDTH)
      const { bytes, starts } = await this.#readBundle(number)
      const first = number * TILE_WIDTH
      const end = Math.min(start + count, first + TILE_WIDTH)
      parts.push(bytes.subarray(starts[index - first], starts[end - first]))
      index = end
    }
    const [only] = parts
    return parts.length === 1 && only !== undefined ? only : concatBytes(...parts)
  }

  /** The next read of a bundle goes to the disk, for who wants to know what is there. */
  dropCache(): void {
    this.#bundle = undefined
  }

  async #readBundle(number: number): Promise<Bundle> {
    if (number === Math.floor(this.size / TILE_WIDTH)) return bundleOf(this.#edge.tail)
    if (this.#bundle?.number === number) return this.#bundle.bundle
    const bytes = await this.#database.get(bundleKey(number))
    const first = number * TILE_WIDTH
    const name = `entries ${first} … ${first + TILE_WIDTH - 1}`
    const bundle = decodeBundle(bytes ?? damaged(`${name}: their row is missing`), name)
    this.#bundle = { number, bundle }
    return bundle
  }

  /** Path of one leaf in the tree of `size` leaves; reads one row per level of tiles or fewer. */
  async inclusion(index: number, size: number): Promise<Uint8Array[]> {
    assert(size <= this.size, "a proof was asked for a larger tree")
    return this.withHashes((source) => inclusionProof(source, index, size))
  }

  /**
   * The first `width` hashes of a tile or entries of a bundle, as they are published.
   *
   * @throws NodeError `STORE_DAMAGED` naming the tile or bundle.
   */
  async published({ level, number, width }: TileName): Promise<Uint8Array> {
    if (level === "entries") {
      const { bytes, starts } = await this.#readBundle(number)
      return bytes.subarray(0, starts[width])
    }
    return (await this.#readTile(level, number)).subarray(0, width * HASH_BYTES)
  }

  /** Root of the first `size` entries. */
  async root(size: number): Promise<Uint8Array> {
    assert(size <= this.size, "a root was asked for of a larger tree")
    if (size === this.size) return frontierRoot(this.frontier)
    return this.withHashes((source) => treeRoot(source, size))
  }

  /** Runs `compute` over the stored hashes; it must ask for the same ones whenever it runs. */
  async withHashes<T>(compute: (source: HashSource) => T): Promise<T> {
    const tiles = new Map<string, Uint8Array>()
    const wanted: { level: number; number: number }[] = []
    const zero = new Uint8Array(HASH_BYTES)
    compute((level, index) => {
      wanted.push(tileOf(level, index))
      return zero
    })
    for (const { level, number } of wanted) {
      const key = tileKey(level, number)
      if (!tiles.has(key)) tiles.set(key, await this.#readTile(level, number))
    }
    return compute((level, index) => {
      const { level: tileLevel, number, offset, width } = tileOf(level, index)
      const tile = tiles.get(tileKey(tileLevel, number))
      assert(tile !== undefined, "a computation asked for other hashes the second time")
      return subtreeHash(tile.subarray(offset * HASH_BYTES, (offset + width) * HASH_BYTES))
    })
  }

  async #readTile(level: number, number: number): Promise<Uint8Array> {
    const spanned = TILE_WIDTH ** (level + 1)
    if (number === Math.floor(this.size / spanned)) {
      return this.#edge.partials[level] ?? new Uint8Array(0)
    }
    const tile = await this.#database.get(tileKey(level, number))
    if (tile?.length === TILE_BYTES) return tile
    return damaged(`tree tile ${level}/${number}: expected ${TILE_BYTES} bytes`)
  }

  /** The right edge as rows, for a store that lost it. */
  edgeOperations(): Operation[] {
    const { tail, partials } = this.#edge
    const start = this.size - tail.length
    const operations: Operation[] = []
    // Rows behind the end may be left over from a longer log.
    for (let offset = 0; offset < 2 * TILE_WIDTH; offset++) {
      const [key, value] = [tailKey(start + offset), tail[offset]]
      operations.push(value === undefined ? { type: "delete", key } : { type: "put", key, value })
    }
    partials.forEach((value, level) => {
      if (level > 0) operations.push({ type: "put", key: partialKey(level), value })
    })
    return operations
  }

  /**
   * Writes that put damaged full tiles right, computed from the entries and the tiles below.
   * Reads everything; the event loop turns meanwhile, because reads are asynchronous.
   */
  async repairTiles(): Promise<Operation[]> {
    const operations: Operation[] = []
    const repaired = new Map<string, Uint8Array>()
    for (let level = 0, count = Math.floor(this.size / TILE_WIDTH); count > 0; level++) {
      for (let number = 0; number < count; number++) {
        const expected = await this.#computeTile(level, number, repaired)
        const key = tileKey(level, number)
        if (await this.isTile(level, number, expected)) continue
        repaired.set(key, expected)
        operations.push({ type: "put", key, value: expected })
      }
      count = Math.floor(count / TILE_WIDTH)
    }
    return operations
  }

  async #computeTile(
    level: number,
    number: number,
    repaired: ReadonlyMap<string, Uint8Array>,
  ): Promise<Uint8Array> {
    if (level === 0) return hashEncodedLeaves((await this.#readBundle(number)).bytes)
    const hashes: Uint8Array[] = []
    for (let child = number * TILE_WIDTH; child < (number + 1) * TILE_WIDTH; child++) {
      const key = tileKey(level - 1, child)
      hashes.push(subtreeHash(repaired.get(key) ?? (await this.#readTile(level - 1, child))))
    }
    return concatBytes(...hashes)
  }

  /** True when a full tile can be read and holds these hashes. */
  async isTile(level: number, number: number, expected: Uint8Array): Promise<boolean> {
    try {
      const found = await this.#database.get(tileKey(level, number))
      return found !== undefined && Buffer.compare(found, expected) === 0
    } catch (error) {
      if (error instanceof NodeError && error.code === "STORE_DAMAGED") return false
      throw error
    }
  }

  /**
   * Writes that put bundles, and the tiles over them, right from entries that the caller has
   * verified; `start` is the place of the first. A bundle that they cover only in part stays as it
   * is.
   */
  restore(start: number, entries: readonly Uint8Array[]): Operation[] {
    this.#bundle = undefined
    const operations: Operation[] = []
    let number = Math.ceil(start / TILE_WIDTH)
    for (; (number + 1) * TILE_WIDTH <= start + entries.length; number++) {
      const from = number * TILE_WIDTH - start
      const bundle = entries.slice(from, from + TILE_WIDTH)
      operations.push({ type: "put", key: bundleKey(number), value: encodeBundle(bundle) })
      operations.push({ type: "put", key: tileKey(0, number), value: hashLeaves(bundle) })
    }
    // Rows of the tail are in memory as well, and were checked against the head's root.
    this.#edge.tail.forEach((value, offset) => {
      const key = tailKey(this.size - this.#edge.tail.length + offset)
      operations.push({ type: "put", key, value })
    })
    return operations
  }
}

/**
 * Entries as their rows have them, whatever the head says: from bundles, or from rows of the tail.
 *
 * @throws NodeError `STORE_DAMAGED` naming the first that cannot be read.
 */
export async function readEntries(
  database: Database,
  start: number,
  count: number,
): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  while (found.length < count) {
    const index = start + found.length
    const number = Math.floor(index / TILE_WIDTH)
    const from = index - number * TILE_WIDTH
    const bundle = await database.get(bundleKey(number))
    if (bundle !== undefined) {
      const decoded = decodeBundle(bundle, `entries from ${number * TILE_WIDTH} on`)
      const until = Math.min(TILE_WIDTH, from + count - found.length)
      found.push(...entriesOf(decoded, from, until))
      continue
    }
    const entry = await database.get(tailKey(index))
    found.push(entry ?? damaged(`entry ${index}: its row is missing`))
  }
  return found
}

/**
 * Where node (level, index) of the tree stands: in which tile, and which of its hashes it covers.
 */
function tileOf(
  level: number,
  index: number,
): { level: number; number: number; offset: number; width: number } {
  const tileLevel = Math.floor(level / TILE_LEVELS)
  const width = 2 ** (level % TILE_LEVELS)
  const first = index * width
  const number = Math.floor(first / TILE_WIDTH)
  return { level: tileLevel, number, offset: first - number * TILE_WIDTH, width }
}

/** Root of a complete subtree from its packed hashes, a power of two of them. */
function subtreeHash(hashes: Uint8Array): Uint8Array {
  let level = hashes
  while (level.length > HASH_BYTES) level = hashLevel(level)
  return level.slice()
}

/** The frontier of a tree whose partial tiles are these. */
function frontierOf(size: number, partials: readonly Uint8Array[]): Frontier {
  const hashes: Uint8Array[] = []
  for (const partial of [...partials].reverse()) {
    const count = partial.length / HASH_BYTES
    let offset = 0
    for (let width = TILE_WIDTH / 2; width >= 1; width /= 2) {
      if (Math.floor(count / width) % 2 === 0) continue
      hashes.push(subtreeHash(partial.subarray(offset, offset + width * HASH_BYTES)))
      offset += width * HASH_BYTES
    }
  }
  return { size, hashes }
}

function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const length = entries.reduce((sum, entry) => sum + 2 + entry.length, 0)
  const writer = new FieldWriter(length)
  for (const entry of entries) writer.u16(entry.length).bytes(entry)
  return writer.finish()
}

function bundleOf(entries: readonly Uint8Array[]): Bundle {
  const starts = [0]
  for (const entry of entries) starts.push((starts.at(-1) ?? 0) + LENGTH_BYTES + entry.length)
  return { bytes: encodeBundle(entries), starts }
}

function decodeBundle(bytes: Uint8Array, name: string): Bundle {
  const starts = [0]
  let at = 0
  while (at < bytes.length) {
    at += LENGTH_BYTES + (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0))
    starts.push(at)
  }
  if (at !== bytes.length) damaged(`${name}: broken bundle`)
  const count = starts.length - 1
  if (count === TILE_WIDTH) return { bytes, starts }
  return damaged(`${name}: expected ${TILE_WIDTH}, got ${count}`)
}

/** Entries `from` … `until` - 1 of a bundle: views. */
function entriesOf({ bytes, starts }: Bundle, from: number, until: number): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let index = from; index < until; index++) {
    found.push(bytes.subarray((starts[index] ?? 0) + LENGTH_BYTES, starts[index + 1]))
  }
  return found
}

function damaged(why: string): never {
  throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
}

function tailKey(index: number): string {
  return `ledger/l/${numberKey(index)}`
}

function bundleKey(number: number): string {
  return `ledger/e/${numberKey(number)}`
}

function tileKey(level: number, number: number): string {
  return `ledger/t/${level}/${numberKey(number)}`
}

function partialKey(level: number): string {
  return `ledger/p/${level}`
}

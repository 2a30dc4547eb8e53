/**
 * The ledger as static files that tools of others read (LEDGER §15.4), piece by piece: full tiles
 * and bundles in order, what is not full after them, the policies, and the checkpoints last.
 *
 * Full tiles never change, so who has the first of them already asks for the rest. At most one
 * piece is in memory.
 */

import { formatTilePath, parseTilePath, tilesOf, type TileName } from "../../ledger/tile-path.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import { NOTE_NAME_BYTES_MAX, PUBLISHED_FILE_BYTES_MAX, TILE_WIDTH } from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import type { Tiles } from "./tiles.ts"

/** One file, by its path below the place of publication. */
export interface PublishedFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/** What is published. */
export interface Publication {
  /** Its size is that of the published tree. */
  readonly checkpoint: { readonly size: number; readonly text: string }
  /** Cosigned by missions; its tree is the same or an earlier one. */
  readonly missions: { readonly size: number; readonly text: string } | undefined
  readonly policy: string
  readonly missionPolicy: string
}

/** Names of the files beside the tiles. */
const PUBLISHED_TEXTS = ["policy", "policy.missions", "checkpoint.missions", "checkpoint"]

/** The files of a publication without `haveBundles` full bundles and the tiles over them. */
export async function* publishedFiles(
  tiles: Pick<Tiles, "published">,
  publication: Publication,
  haveBundles: number,
): AsyncGenerator<PublishedFile, void, void> {
  const { checkpoint, missions } = publication
  for (const name of tileNames(checkpoint.size, missions?.size, haveBundles)) {
    yield { path: formatTilePath(name), bytes: await tiles.published(name) }
  }
  const encoder = new TextEncoder()
  yield { path: "policy", bytes: encoder.encode(publication.policy) }
  yield { path: "policy.missions", bytes: encoder.encode(publication.missionPolicy) }
  if (missions !== undefined) {
    yield { path: "checkpoint.missions", bytes: encoder.encode(missions.text) }
  }
  yield { path: "checkpoint", bytes: encoder.encode(checkpoint.text) }
}

function* tileNames(
  size: number,
  earlierSize: number | undefined,
  haveBundles: number,
): Generator<TileName, void, void> {
  const { full } = tilesOf("entries", size)
  for (let number = haveBundles; number < full; number++) {
    yield { level: "entries", number, width: TILE_WIDTH }
    yield { level: 0, number, width: TILE_WIDTH }
  }
  // Tiles above are few: one for 256 of those below.
  for (let level = 1; tilesOf(level, size).full > 0; level++) {
    const first = Math.floor(haveBundles / TILE_WIDTH ** level)
    for (let number = first; number < tilesOf(level, size).full; number++) {
      yield { level, number, width: TILE_WIDTH }
    }
  }
  const edge = [...partialNames(size)]
  yield* edge
  // A file that both need is given once: the reader writes several at the same time.
  const given = new Set(edge.map(formatTilePath))
  for (const name of partialNames(earlierSize ?? size)) {
    if (!given.has(formatTilePath(name))) yield name
  }
}

/** What is not full in a tree of this size: a checkpoint needs the right edge of its own tree. */
export function* partialNames(size: number): Generator<TileName, void, void> {
  const levels: TileName["level"][] = ["entries"]
  for (let level = 0; TILE_WIDTH ** level <= size; level++) levels.push(level)
  for (const level of levels) {
    const { full, partial } = tilesOf(level, size)
    if (partial > 0) yield { level, number: full, width: partial }
  }
}

// --- over the local socket ----------------------------------------------------------------------

const PATH_HEAD_BYTES = 2
const FILE_HEAD_BYTES = 4

/** (path length u16 ‖ path ‖ length u32 ‖ bytes) for each file, then a length of zero. */
export async function* publicationChunks(
  files: AsyncIterable<PublishedFile>,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const { path, bytes } of files) {
    const name = new TextEncoder().encode(path)
    const head = new FieldWriter(PATH_HEAD_BYTES + name.length + FILE_HEAD_BYTES)
    yield head.u16(name.length).bytes(name).u32(bytes.length).finish()
    yield bytes
  }
  yield new FieldWriter(PATH_HEAD_BYTES).u16(0).finish()
}

/**
 * The files of a stream; at most one is in memory.
 *
 * @throws NodeError `API_BODY_SIZE` for a stream that is cut short, or that names what is no file of
 * a publication.
 */
export async function* readPublication(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<PublishedFile, void, void> {
  const stream = new ByteStream(chunks)
  for (;;) {
    const name = await stream.number(PATH_HEAD_BYTES, NOTE_NAME_BYTES_MAX)
    if (name === 0) return
    const path = new TextDecoder().decode(await stream.take(name))
    if (!isPublishedPath(path)) throw broken("a file that belongs to no publication")
    const length = await stream.number(FILE_HEAD_BYTES, PUBLISHED_FILE_BYTES_MAX)
    yield { path, bytes: await stream.take(length) }
  }
}

/** True for the paths above: what a stream names is written to a disk. */
function isPublishedPath(path: string): boolean {
  if (PUBLISHED_TEXTS.includes(path)) return true
  try {
    parseTilePath(path)
    return true
  } catch (error) {
    if (error instanceof TarbartaError) return false
    throw error
  }
}

class ByteStream {
  readonly #chunks: AsyncIterator<Uint8Array>
  #pieces: Uint8Array[] = []
  #length = 0

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  async number(width: 2 | 4, max: number): Promise<number> {
    const reader = new FieldReader(await this.take(width), "publication")
    const value = width === 2 ? reader.u16("length") : reader.u32("length")
    return value <= max ? value : Promise.reject(broken("a length above its limit"))
  }

  /** Exactly so many bytes. */
  async take(length: number): Promise<Uint8Array> {
    while (this.#length < length) {
      const next = await this.#chunks.next()
      if (next.done === true) throw broken("cut short")
      this.#pieces.push(next.value)
      this.#length += next.value.length
    }
    const bytes = Buffer.concat(this.#pieces)
    this.#pieces = [bytes.subarray(length)]
    this.#length -= length
    return bytes.subarray(0, length)
  }
}

function broken(why: string): NodeError {
  return new NodeError("API_BODY_SIZE", `publication: ${why}`)
}

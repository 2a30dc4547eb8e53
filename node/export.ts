/**
 * Writes a publication into a folder (LEDGER §15.4), for `tarbarta ledger export`.
 *
 * A folder with a checkpoint holds a whole publication up to it: what is full there stays, the rest
 * is written anew, and the new checkpoint comes last. So an export that was interrupted at any
 * point leaves the former publication whole, and the next one repairs what lies beyond it.
 */

import { access, constants, mkdir, readdir, readFile, rm, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { bytesToHex } from "@noble/hashes/utils.js"
import { parseCheckpoint } from "../ledger/checkpoint.ts"
import { parseNote } from "../ledger/note.ts"
import { formatTilePath, parseTilePath, type TileName } from "../ledger/tile-path.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { HASH_BYTES, PUBLISHED_FILES_WRITING_MAX, TILE_WIDTH } from "../protocol/limits.ts"
import { NodeError } from "./errors.ts"
import { PUBLIC_FILE_MODE, replaceFile, systemCode, systemReason } from "./store/file.ts"
import { partialNames, readPublication, type PublishedFile } from "./store/publication.ts"

const MISSIONS_FILE = "checkpoint.missions"

const FOLDER_HINT = "name a folder that is new or empty, or that holds an earlier export"

/** What a folder holds already. */
export interface Published {
  /** Of the last whole publication there. */
  readonly size: number
  /** Hex. */
  readonly root: string
  /** Full bundles, with the tiles over them, from the first on without a hole. */
  readonly bundles: number
}

export interface Exported {
  readonly files: number
  readonly bytes: number
  /** Of the checkpoint. */
  readonly size: number
  readonly root: string
}

/**
 * Makes the folder of an export where there is none, but none above it: a path with a slip in it
 * should not become a tree of folders.
 *
 * @throws NodeError `FILE_UNWRITABLE` when it cannot be made, is a file, or takes no files.
 */
export async function prepareFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder)
    // With a slash behind it a file is refused, too.
    await access(join(folder, "/"), constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw unwritable(folder, cause)
  }
}

/**
 * Looks at a folder; undefined where nothing was published.
 *
 * @throws NodeError `FILE_UNREADABLE`; TarbartaError `CHECKPOINT_INVALID`, `NOTE_INVALID` for a file
 * named checkpoint that is none.
 */
export async function publishedIn(folder: string): Promise<Published | undefined> {
  const path = join(folder, "checkpoint")
  const text = await readText(path)
  if (text === undefined) return undefined
  const { size, root } = formerHead(path, text)
  const full = Math.floor(size / TILE_WIDTH)
  let bundles = 0
  while (bundles < full && (await isWhole(folder, bundles))) bundles += 1
  return { size, root, bundles }
}

/** Size of the missions' checkpoint in a folder; 0 for none, or one to be written anew. */
async function missionsIn(folder: string): Promise<number> {
  const text = await readText(join(folder, MISSIONS_FILE))
  try {
    return text === undefined ? 0 : headOf(text).size
  } catch (error) {
    if (error instanceof TarbartaError) return 0
    throw error
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8")
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined
    const message = `${path}: cannot be read: ${reasonOf(cause)}`
    throw new NodeError("FILE_UNREADABLE", message, { cause, hint: FOLDER_HINT })
  }
}

/**
 * Writes the files of a stream into a folder. A missions' checkpoint that is there stays, with the
 * right edge of its tree, until a larger one comes.
 *
 * @throws NodeError `FILE_UNWRITABLE` when the folder cannot be written; what the stream throws
 * passes through.
 */
export async function writePublication(
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  onBundle: (number: number) => void,
): Promise<Exported> {
  await prepareFolder(folder)
  const writer = new Writer(folder)
  const filled: TileName[] = []
  const parts = new Set<string>()
  // What this node has of the missions may be older than what another one has published here.
  let missionsSize = await missionsIn(folder)
  let [files, bytes] = [0, 0]
  let head: ReturnType<typeof headOf> | undefined
  try {
    for await (const file of readPublication(chunks)) {
      const isTile = file.path.startsWith("tile/")
      if (file.path === MISSIONS_FILE) {
        const { size } = headOf(textOf(file))
        if (size < missionsSize) continue
        missionsSize = size
      }
      // What refers to others is there only when they are.
      if (!isTile) await writer.settled()
      await writer.add(file)
      if (isTile) {
        const name = parseTilePath(file.path)
        if (name.level === "entries") onBundle(name.number)
        if (name.width === TILE_WIDTH) filled.push({ ...name, width: 1 })
        else parts.add(file.path)
      } else if (file.path === "checkpoint") {
        head = headOf(textOf(file))
      }
      files += 1
      bytes += file.bytes.length
    }
  } finally {
    // Nothing is written any more once the caller knows how it ended.
    await writer.settled()
  }
  if (head === undefined) {
    throw new NodeError("API_BODY_SIZE", "publication: it ended without a checkpoint")
  }
  for (const edge of partialNames(missionsSize)) parts.add(formatTilePath(edge))
  for (const name of filled) await removeParts(folder, name, parts)
  return { files, bytes, ...head }
}

/**
 * Parts of a tile that is full now are of no use to anybody, unless they belong to this
 * publication: an earlier checkpoint, that of the missions, has its own right edge.
 */
async function removeParts(
  folder: string,
  part: TileName,
  kept: ReadonlySet<string>,
): Promise<void> {
  const prefix = dirname(formatTilePath(part))
  let names: string[]
  try {
    names = await readdir(join(folder, prefix))
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return
    const path = join(folder, prefix)
    throw new NodeError("FILE_UNREADABLE", `${path}: cannot be read: ${reasonOf(cause)}`, { cause })
  }
  const gone = names.filter((name) => !kept.has(`${prefix}/${name}`))
  const paths = gone.length === names.length ? [prefix] : gone.map((name) => join(prefix, name))
  for (const path of paths) await rm(join(folder, path), { recursive: true, force: true })
}

/** Writes a few files at the same time; the first failure ends it. */
class Writer {
  readonly #folder: string
  /** Folders that are there. */
  readonly #made = new Set<string>()
  readonly #writing = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Resolves when the file is being written; @throws what an earlier one failed with. */
  async add(file: PublishedFile): Promise<void> {
    while (this.#writing.size >= PUBLISHED_FILES_WRITING_MAX) await Promise.race(this.#writing)
    this.#check()
    const work: Promise<void> = this.#write(file)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => this.#writing.delete(work))
    this.#writing.add(work)
  }

  /** Resolves when all files are on the disk. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing)
    this.#check()
  }

  async #write({ path, bytes }: PublishedFile): Promise<void> {
    const target = join(this.#folder, path)
    try {
      await this.#makeFolders(dirname(path))
      await replaceFile(target, bytes, PUBLIC_FILE_MODE)
    } catch (cause) {
      throw unwritable(target, cause)
    }
  }

  /**
   * From the named folder downwards, one at a time: where the system says that a folder which is
   * there is not, as in /proc, `mkdir` with `recursive` never returns.
   */
  async #makeFolders(inside: string): Promise<void> {
    let path = this.#folder
    for (const name of ["", ...inside.split("/")]) {
      path = join(path, name)
      if (this.#made.has(path)) continue
      await makeFolder(path)
      this.#made.add(path)
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

function textOf({ bytes }: PublishedFile): string {
  return new TextDecoder().decode(bytes)
}

function headOf(text: string): { size: number; root: string } {
  const { size, root } = parseCheckpoint(parseNote(text).body)
  return { size, root: bytesToHex(root) }
}

/** The head of what was exported before; a file of that name which is no checkpoint is foreign. */
function formerHead(path: string, text: string): ReturnType<typeof headOf> {
  try {
    return headOf(text)
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    const message = `${path}: no checkpoint of a ledger: ${cause.message}`
    throw new TarbartaError(cause.code, message, { cause, hint: FOLDER_HINT })
  }
}

/** One folder; it may be there. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (cause) {
    if (systemCode(cause) !== "EEXIST") throw cause
  }
}

async function isWhole(folder: string, number: number): Promise<boolean> {
  const bytesOf = async (level: TileName["level"]): Promise<number> => {
    const path = join(folder, formatTilePath({ level, number, width: TILE_WIDTH }))
    return stat(path).then(
      ({ size }) => size,
      () => 0,
    )
  }
  return (await bytesOf(0)) === TILE_WIDTH * HASH_BYTES && (await bytesOf("entries")) > 0
}

function unwritable(path: string, cause: unknown): NodeError {
  if (cause instanceof NodeError) return cause
  const isAbove = systemCode(cause) === "ENOENT"
  const hint = isAbove ? "make the folder above it first, or name another" : FOLDER_HINT
  const message = `${path}: cannot be written: ${reasonOf(cause)}`
  return new NodeError("FILE_UNWRITABLE", message, { cause, hint })
}

/** What the system said, in words where there are any. */
function reasonOf(cause: unknown): string {
  const reason = systemReason(cause)
  return REASONS[reason] ?? reason
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "not permitted",
  EPERM: "not permitted",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  ENOENT: "there is no folder above it",
  ENOTDIR: "expected a folder, got a file",
  EISDIR: "expected a file, got a folder",
}

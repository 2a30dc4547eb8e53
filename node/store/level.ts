/**
 * The database on LevelDB (`level`): what is acknowledged or signed is on the disk first.
 *
 * LevelDB's default loses acknowledged records on a power cut, so every batch is synced; writes
 * that arrive while one is being synced share the next. After a failed sync nothing is known about
 * the file, and trying again may "succeed" without the data: so the first failure ends the store,
 * and the node that owns it. Values carry a CRC-32C over key and value, because LevelDB can return
 * torn or rotten ones without a word (value.ts).
 *
 * The folder holds `level/` (the engine) and `ballast` (space.ts).
 */

import { mkdir, rename, rm, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Level } from "level"
import { assert } from "../../protocol/assert.ts"
import {
  STORE_BATCH_BYTES_MAX,
  STORE_KEY_BYTES_MAX,
  STORE_SLICE_BYTES,
  STORE_SLICE_ENTRIES,
} from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation, Range } from "./database.ts"
import { checkLevelLogs } from "./level-log.ts"
import { PRIVATE_FOLDER_MODE, syncFolder, systemCode, systemReason } from "./file.ts"
import { Space, type Reserve } from "./space.ts"
import { damaged, openValue, sealValue } from "./value.ts"

/** Version of the layout under the keys; another one is refused. */
const FORMAT = 2
/** Outside of the range of ordinary keys. */
const FORMAT_KEY = "\0format"
/** Sorts after every key with the same beginning, since keys end at 0x7e. */
const AFTER_KEYS = "\x7f"
const KEY_PATTERN = /^[\x20-\x7e]+$/

type Engine = Level<string, Uint8Array>

/**
 * Opens the database in the folder `path`, which is made if its parent exists.
 *
 * @throws NodeError `STORE_LOCKED` when another process has it, `STORE_VERSION` for a format of
 * another release, `STORE_DAMAGED` when the engine's files are damaged, `STORE_FAILED` for the rest
 * (not a folder, no permission, disk full even without the ballast).
 */
export async function openDatabase(options: {
  readonly path: string
  readonly reserve?: Reserve
}): Promise<Database> {
  const { path } = options
  const space = await makeFolder(path, options.reserve)
  const level = await openExisting(path, space)
  try {
    await checkFormat(level, path)
    await space.loadBallast()
  } catch (cause) {
    await level.close()
    if (cause instanceof NodeError) throw cause
    throw openFailure(cause, path)
  }
  return new LevelDatabase(level, space)
}

async function makeFolder(path: string, reserve: Reserve | undefined): Promise<Space> {
  try {
    await mkdir(path, { mode: PRIVATE_FOLDER_MODE })
    await syncFolder(dirname(path))
  } catch (cause) {
    const isThere = systemCode(cause) === "EEXIST" && (await stat(path)).isDirectory()
    if (!isThere) {
      const why = systemCode(cause) === "EEXIST" ? "expected a folder" : systemReason(cause)
      throw new NodeError("STORE_FAILED", `cannot make the store ${path}: ${why}`, { cause })
    }
  }
  const space = new Space(path, reserve)
  try {
    await createEngine(path)
  } catch (cause) {
    throw openFailure(cause, path)
  }
  return space
}

/**
 * Makes the engine's folder, complete with its format, before it gets its name. So a folder of that
 * name that is not a whole database is damage, never a first start: the engine alone would take a
 * folder that lost its CURRENT file for a new one, and begin with nothing.
 */
async function createEngine(path: string): Promise<void> {
  const place = join(path, "level")
  const isThere = await stat(place).then(
    () => true,
    (error: unknown) => {
      if (systemCode(error) === "ENOENT") return false
      throw error
    },
  )
  if (isThere) return
  const partial = join(path, "level.partial")
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial, { mode: PRIVATE_FOLDER_MODE })
  const level = engine(partial, true)
  await level.open()
  const value = sealValue(FORMAT_KEY, Uint8Array.of(FORMAT))
  await level.put(FORMAT_KEY, value, { sync: true })
  await level.close()
  await rename(partial, place)
  await syncFolder(path)
}

async function openExisting(path: string, space: Space): Promise<Engine> {
  const place = join(path, "level")
  await checkLevelLogs(place)
  const first = engine(place, false)
  try {
    await first.open()
    return first
  } catch (cause) {
    if (!isDiskFull(cause) || !(await space.throwBallast())) throw openFailure(cause, path)
  }
  const second = engine(place, false)
  try {
    await second.open()
    return second
  } catch (cause) {
    throw openFailure(cause, path)
  }
}

function engine(place: string, createIfMissing: boolean): Engine {
  return new Level<string, Uint8Array>(place, {
    keyEncoding: "utf8",
    valueEncoding: "view",
    createIfMissing,
    // What is large is sealed, and what is sealed does not compress.
    compression: false,
  })
}

async function checkFormat(level: Engine, path: string): Promise<void> {
  const stored = await level.get(FORMAT_KEY)
  if (stored === undefined) throw new NodeError("STORE_DAMAGED", `store ${path} has no format`)
  const found = openValue(FORMAT_KEY, stored)[0]
  if (found !== FORMAT) {
    const why = `expected format ${FORMAT}, got ${found ?? "nothing"}`
    throw new NodeError("STORE_VERSION", `store ${path}: ${why}`, {
      hint: "this store was written by another release of tarbarta",
    })
  }
}

function openFailure(cause: unknown, path: string): NodeError {
  const reason = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause
  const code = systemCode(reason)
  if (code === "LEVEL_LOCKED") {
    return new NodeError("STORE_LOCKED", `store ${path} is in use by another process`, {
      cause,
      hint: "one node at a time: stop the one that runs, then try again",
    })
  }
  const text = reason instanceof Error ? reason.message : String(reason)
  if (code === "LEVEL_CORRUPTION" || /create_if_missing is false|Corruption/.test(text)) {
    return damaged(`store ${path}: ${text}`, cause)
  }
  const hint = isDiskFull(reason) ? { hint: "the disk is full: free space, then try again" } : {}
  return new NodeError("STORE_FAILED", `cannot open the store ${path}: ${text}`, { cause, ...hint })
}

function isDiskFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (/ENOSPC|EDQUOT|No space left on device|quota exceeded/i.test(at.message)) return true
  }
  return false
}

interface Waiting {
  readonly operations: readonly Operation[]
  readonly bytes: number
  readonly isUrgent: boolean
  readonly resolve: () => void
  readonly reject: (error: NodeError) => void
}

class LevelDatabase implements Database {
  readonly #level: Engine
  readonly #space: Space
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  #ended: NodeError | undefined

  constructor(level: Engine, space: Space) {
    this.#level = level
    this.#space = space
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#check()
    checkKey(key)
    let stored: Uint8Array | undefined
    try {
      // Rows are small and mostly cached: a thread's round trip costs ten times the read itself.
      stored = this.#level.getSync(key)
    } catch (cause) {
      throw readFailure(cause, key)
    }
    return stored === undefined ? undefined : openValue(key, stored)
  }

  /** One snapshot for the whole iteration; writes that follow its start do not show in it. */
  async *range(range: Range): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    this.#check()
    const { prefix } = range
    const first = prefix === "" ? " " : prefix
    const last = prefix + AFTER_KEYS
    const iterator = this.#level.iterator({
      gte: range.from !== undefined && range.from > first ? range.from : first,
      lt: range.until !== undefined && range.until < last ? range.until : last,
      reverse: range.reverse === true,
      highWaterMarkBytes: STORE_SLICE_BYTES,
      ...(range.limit === undefined ? {} : { limit: range.limit }),
    })
    try {
      for (;;) {
        const slice = await iterator.nextv(STORE_SLICE_ENTRIES).catch((cause: unknown) => {
          throw this.#ended ?? readFailure(cause, prefix)
        })
        if (slice.length === 0) return
        for (const [key, stored] of slice) yield [key, openValue(key, stored)]
      }
    } finally {
      await iterator.close()
    }
  }

  write(operations: readonly Operation[], options?: { urgent?: boolean }): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    let bytes = 0
    const sealed: Operation[] = []
    for (const operation of operations) {
      const { key } = operation
      checkKey(key)
      if (operation.type === "delete") {
        sealed.push({ type: "delete", key })
      } else {
        // A copy: the caller may reuse its bytes while this waits.
        const value = sealValue(key, operation.value)
        bytes += key.length + value.length
        sealed.push({ type: "put", key, value })
      }
    }
    return new Promise((resolve, reject) => {
      const isUrgent = options?.urgent === true
      this.#waiting.push({ operations: sealed, bytes, isUrgent, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async close(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing
    this.#ended ??= new NodeError("STORE_FAILED", "the store is closed")
    await this.#level.close()
  }

  /**
   * Writes batch after batch until nothing waits. Never rejects: each caller has its own answer.
   */
  async #flush(): Promise<void> {
    // Everything that one turn of the event loop submits shares the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = await this.#takeGroup()
      const batch = group.flatMap((one) =>
        one.operations.map((operation) =>
          operation.type === "put" ? operation : ({ type: "del", key: operation.key } as const),
        ),
      )
      try {
        if (batch.length > 0) await this.#level.batch(batch, { sync: true })
        for (const one of group) one.resolve()
      } catch (cause) {
        await this.#end(cause, group)
      }
    }
    this.#flushing = undefined
  }

  /** The next writes in order, as many as fit; those for which there is no room are refused. */
  async #takeGroup(): Promise<Waiting[]> {
    const group: Waiting[] = []
    let bytes = 0
    let taken = 0
    for (const one of this.#waiting) {
      if (group.length > 0 && bytes + one.bytes > STORE_BATCH_BYTES_MAX) break
      taken += 1
      const refusal = await this.#admit(one)
      if (refusal !== undefined) {
        one.reject(refusal)
        continue
      }
      group.push(one)
      bytes += one.bytes
    }
    this.#waiting = this.#waiting.slice(taken)
    return group
  }

  async #admit(one: Waiting): Promise<NodeError | undefined> {
    try {
      return await this.#space.admit(one)
    } catch (cause) {
      if (one.isUrgent) return undefined
      const why = `cannot measure the free space: ${systemReason(cause)}`
      return new NodeError("STORE_FULL", why, { cause })
    }
  }

  /** The end of this store: all that wait and all that come get the same answer. */
  async #end(cause: unknown, group: readonly Waiting[]): Promise<void> {
    const isFull = isDiskFull(cause)
    const reason = isFull ? "the disk is full" : systemReason(cause)
    const hint = isFull ? "free space on the disk, then start the node again" : "restart the node"
    const error = new NodeError("STORE_FAILED", `a write failed: ${reason}`, { cause, hint })
    this.#ended = error
    const all = [...group, ...this.#waiting]
    this.#waiting = []
    for (const one of all) one.reject(error)
    if (isFull) {
      // Callers have their answer already; a ballast that cannot be removed leaves us no worse.
      await this.#space.throwBallast().catch(() => false)
    }
  }

  #check(): void {
    if (this.#ended !== undefined) throw this.#ended
  }
}

function checkKey(key: string): void {
  const isGood = key.length <= STORE_KEY_BYTES_MAX && KEY_PATTERN.test(key)
  assert(isGood, `a database key is 1 … ${STORE_KEY_BYTES_MAX} printable ASCII characters`)
}

function readFailure(cause: unknown, key: string): NodeError {
  if (systemCode(cause) === "LEVEL_CORRUPTION") return damaged(`value of ${key} is damaged`, cause)
  return new NodeError("STORE_FAILED", `cannot read ${key}: ${systemReason(cause)}`, { cause })
}

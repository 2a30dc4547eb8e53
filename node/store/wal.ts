/**
 * The consensus write-ahead log: what a validator is about to say, on the disk before it says it
 * (LEDGER §9.2). What the records say is ledger/record.ts's affair.
 *
 * A file of its own, append-only. Header: magic(8) ‖ walId(16) ‖ CRC-32C u32 of both. Then records:
 * length u32 of the payload, CRC-32C u32 over length ‖ the rest, epoch u32, kind u8, payload; all
 * big-endian. Kind 0 is the log's own *mark*, which opens every append: walId(16) ‖ its offset in
 * the file u64 ‖ boot counter u64 ‖ bytes of the append's records u64. One append is one mark with
 * its records, one write and one sync.
 *
 * Marks decide between a torn tail and damage. An append begins only after the former one was
 * synced. So a bad record with a mark somewhere behind it was on the disk once and may have been
 * acted upon: the log is refused, and with it signing. A bad record without one belongs to the last
 * append, of which nobody was told anything: that append is dropped as a whole. Opening and closing
 * write a mark too, so that all that a run has said stands before one.
 */

import { open, rename, rm, type FileHandle } from "node:fs/promises"
import { dirname } from "node:path"
import { assert } from "../../protocol/assert.ts"
import { concatBytes } from "../../protocol/bytes.ts"
import { WAL_BYTES_MAX, WAL_RECORD_BYTES_MAX } from "../../protocol/limits.ts"
import type { RandomSource } from "../../protocol/suite.ts"
import { NodeError } from "../errors.ts"
import {
  PRIVATE_FILE_MODE,
  readFileUpTo,
  replaceFile,
  syncFolder,
  systemCode,
  systemReason,
  writeAll,
} from "./file.ts"
import {
  damaged,
  encodeAppend,
  encodeHeader,
  readLog,
  WAL_ID_BYTES,
  WAL_MARK,
  type WalRecord,
} from "./wal-format.ts"

/** Which log this is, and how often it was opened: compared with the key's own file (boot.ts). */
export interface WalIdentity {
  /** 16 random bytes from the log's creation. */
  readonly walId: Uint8Array
  /** 1 for the first opening. */
  readonly bootCounter: number
}

/** What opening found. */
export interface OpenedWal {
  readonly wal: Wal
  /** All records, oldest first. */
  readonly records: readonly WalRecord[]
  /** Bytes of a torn last append that were cut off; 0 after an orderly end. */
  readonly tornBytes: number
}

/**
 * Opens the log at `path`, making an empty one when there is none; the folder must exist. Counts
 * this opening in the boot counter, durably.
 *
 * @throws NodeError `WAL_DAMAGED` when something before the tail is bad (nothing is changed then, and
 * the validator must not sign); `STORE_FAILED` when the disk fails.
 */
export async function openWal(path: string, random: RandomSource): Promise<OpenedWal> {
  try {
    await rm(`${path}.partial`, { force: true })
    const bytes = (await readExisting(path)) ?? (await createLog(path, random))
    const found = readLog(bytes, path)
    const file = await open(path, "r+")
    try {
      if (found.end < bytes.length) {
        await file.truncate(found.end)
        await file.sync()
      }
      const identity = { walId: found.walId, bootCounter: found.bootCounter + 1 }
      const wal = new Wal(path, file, found.end, identity)
      await wal.append([])
      return { wal, records: found.records, tornBytes: bytes.length - found.end }
    } catch (error) {
      await file.close()
      throw error
    }
  } catch (cause) {
    if (cause instanceof NodeError) throw cause
    throw failure(`cannot open the consensus log ${path}`, cause)
  }
}

async function readExisting(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFileUpTo(path, WAL_BYTES_MAX)
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined
    throw error
  }
}

async function createLog(path: string, random: RandomSource): Promise<Uint8Array> {
  const header = encodeHeader(random(WAL_ID_BYTES))
  await replaceFile(path, header)
  return header
}

interface Waiting {
  readonly records: readonly WalRecord[]
  readonly resolve: () => void
  readonly reject: (error: NodeError) => void
}

/** An open log. One process at a time: the caller holds the lock of the node's home. */
class Wal {
  readonly #path: string
  readonly #identity: WalIdentity
  #file: FileHandle
  #end: number
  #waiting: Waiting[] = []
  /** The work under way; each piece starts when the former one has ended. */
  #work: Promise<void> = Promise.resolve()
  #isScheduled = false
  #ended: NodeError | undefined

  /** For {@link openWal}. */
  constructor(path: string, file: FileHandle, end: number, identity: WalIdentity) {
    this.#path = path
    this.#file = file
    this.#end = end
    this.#identity = identity
  }

  get identity(): WalIdentity {
    return this.#identity
  }

  /** Size of the file, in bytes. */
  get size(): number {
    return this.#end
  }

  /**
   * Resolves when all records are on the disk: only then may what they say leave. Records of one
   * call are kept or lost together. Calls that arrive during a sync share the next one, in order.
   *
   * @throws NodeError `STORE_FULL` when the log has reached its limit, `STORE_FAILED` when the disk
   * fails: the log takes nothing more then, and the node must end.
   */
  append(records: readonly WalRecord[]): Promise<void> {
    for (const record of records) {
      const isKind = Number.isInteger(record.kind) && record.kind > WAL_MARK && record.kind <= 255
      assert(isKind, "a record's kind is 1 … 255")
      assert(record.payload.length <= WAL_RECORD_BYTES_MAX, "a record fits its limit")
    }
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject })
      if (this.#isScheduled) return
      this.#isScheduled = true
      this.#work = this.#work.then(() => this.#flush())
    })
  }

  /**
   * Keeps only the records for which `isKept` holds, in order: a new file takes the place of the
   * old one. A crash in between leaves the old log whole. Appends wait meanwhile.
   *
   * @throws NodeError as {@link append}; `WAL_DAMAGED` when the file is not what was written. The
   * log takes nothing more after either.
   */
  async trim(isKept: (record: WalRecord) => boolean): Promise<void> {
    const done = this.#work.then(() => this.#rewrite(isKept))
    this.#work = done.catch(() => undefined)
    await done
  }

  /** Ends the log in good order; appends that wait are written first. */
  async close(): Promise<void> {
    if (this.#ended === undefined) await this.append([])
    await this.#work
    this.#ended ??= new NodeError("STORE_FAILED", "the consensus log is closed")
    await this.#file.close()
  }

  async #flush(): Promise<void> {
    this.#isScheduled = false
    const group = this.#waiting
    this.#waiting = []
    if (this.#ended !== undefined) {
      for (const one of group) one.reject(this.#ended)
      return
    }
    const { walId, bootCounter } = this.#identity
    const records = group.flatMap((one) => one.records)
    const bytes = encodeAppend(walId, bootCounter, this.#end, records)
    if (this.#end + bytes.length > WAL_BYTES_MAX) {
      const error = new NodeError("STORE_FULL", `consensus log: at most ${WAL_BYTES_MAX} bytes`)
      for (const one of group) one.reject(error)
      return
    }
    try {
      await writeAll(this.#file, bytes, this.#end)
      await this.#file.datasync()
      this.#end += bytes.length
      for (const one of group) one.resolve()
    } catch (cause) {
      const error = this.#fail(cause)
      for (const one of group) one.reject(error)
    }
  }

  async #rewrite(isKept: (record: WalRecord) => boolean): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended
    const partial = `${this.#path}.partial`
    try {
      const { walId, bootCounter } = this.#identity
      const found = readLog(await readFileUpTo(this.#path, WAL_BYTES_MAX), this.#path)
      // All of it was synced: what looks like a torn end here has rotted since.
      if (found.end !== this.#end) throw damaged(this.#path, found.end)
      const header = encodeHeader(walId)
      const kept = found.records.filter(isKept)
      const bytes = concatBytes(header, encodeAppend(walId, bootCounter, header.length, kept))
      // One more mark behind them, so that rot in what was kept never passes for a torn tail.
      const whole = concatBytes(bytes, encodeAppend(walId, bootCounter, bytes.length, []))
      await rm(partial, { force: true })
      const file = await open(partial, "wx+", PRIVATE_FILE_MODE)
      const former = this.#file
      try {
        await writeAll(file, whole, 0)
        await file.sync()
        await rename(partial, this.#path)
        await syncFolder(dirname(this.#path))
      } catch (error) {
        await file.close()
        throw error
      }
      this.#file = file
      this.#end = whole.length
      await former.close()
    } catch (cause) {
      throw this.#fail(cause)
    }
  }

  #fail(cause: unknown): NodeError {
    const isDamage = cause instanceof NodeError && cause.code === "WAL_DAMAGED"
    this.#ended = isDamage ? cause : failure(`cannot write the consensus log ${this.#path}`, cause)
    return this.#ended
  }
}

function failure(what: string, cause: unknown): NodeError {
  const hint = "nothing was signed; check the disk, then start the node again"
  return new NodeError("STORE_FAILED", `${what}: ${systemReason(cause)}`, { cause, hint })
}

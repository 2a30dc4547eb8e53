/**
 * Room on the disk: the floors below which writes are refused, and the ballast.
 *
 * LevelDB does not recover from a full disk by itself: it can then neither write nor be opened
 * again, because opening compacts its log. So bulk ends at 10 % of free space and small writes end
 * at 5 % (hotline signals and receipts go on), and a file of ballast is thrown off when the disk is
 * full all the same, which leaves the room to open again (OPERATIONS, "disk full").
 */

import { randomFillSync } from "node:crypto"
import { rm, stat, statfs } from "node:fs/promises"
import { join } from "node:path"
import {
  STORE_BALLAST_BYTES,
  STORE_BULK_BYTES,
  STORE_BULK_FREE_PERCENT,
  STORE_FREE_PERCENT,
  STORE_SPACE_CHECK_MS,
} from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import { replaceFile, systemCode } from "./file.ts"

export interface FreeSpace {
  /** Bytes that this user may still write. */
  readonly freeBytes: number
  /** Size of the file system, in bytes. */
  readonly totalBytes: number
}

/** What is kept free. Each has a default in protocol/limits.ts; tests hand in their own disk. */
export interface Reserve {
  readonly ballastBytes?: number
  readonly bulkFreePercent?: number
  readonly freePercent?: number
  /** Shortest interval between two measurements, in milliseconds. */
  readonly checkMs?: number
  readonly measure?: () => Promise<FreeSpace>
  readonly monotonicMs?: () => number
}

/** A write as the floors see it. */
export interface Demand {
  readonly bytes: number
  readonly isUrgent: boolean
}

export class Space {
  readonly #ballastPath: string
  readonly #ballastBytes: number
  readonly #bulkShare: number
  readonly #share: number
  readonly #checkMs: number
  readonly #measure: () => Promise<FreeSpace>
  readonly #monotonicMs: () => number
  #space: FreeSpace | undefined
  #measuredMs = 0

  /** `folder` holds the ballast and lies on the disk that is measured; it exists. */
  constructor(folder: string, reserve: Reserve = {}) {
    this.#ballastPath = join(folder, "ballast")
    this.#ballastBytes = reserve.ballastBytes ?? STORE_BALLAST_BYTES
    this.#bulkShare = (reserve.bulkFreePercent ?? STORE_BULK_FREE_PERCENT) / 100
    this.#share = (reserve.freePercent ?? STORE_FREE_PERCENT) / 100
    this.#checkMs = reserve.checkMs ?? STORE_SPACE_CHECK_MS
    this.#measure = reserve.measure ?? (() => measureFolder(folder))
    this.#monotonicMs = reserve.monotonicMs ?? (() => performance.now())
  }

  /**
   * Takes a write into account, or says why there is no room for it. What was admitted since the
   * last measurement counts as written. A demand of 0 bytes (deletions) always passes.
   */
  async admit(demand: Demand): Promise<NodeError | undefined> {
    const space = await this.#current()
    const left = space.freeBytes - demand.bytes
    const isBulk = demand.bytes >= STORE_BULK_BYTES
    const floor = Math.ceil((isBulk ? this.#bulkShare : this.#share) * space.totalBytes)
    if (demand.bytes > 0 && !demand.isUrgent && left < floor) {
      const kind = isBulk ? "bulk" : "any but urgent writes"
      const why = `${space.freeBytes} bytes free, ${floor} must stay free for ${kind}`
      return new NodeError("STORE_FULL", `no room for ${demand.bytes} bytes: ${why}`, {
        hint: "free space on the node's disk; nothing was stored",
      })
    }
    this.#space = { ...space, freeBytes: left }
    return undefined
  }

  /** Writes the ballast if it is not there and the disk has more than enough room. */
  async loadBallast(): Promise<void> {
    if ((await this.#ballastSize()) === this.#ballastBytes || this.#ballastBytes === 0) return
    const space = await this.#current()
    const left = space.freeBytes - this.#ballastBytes
    // Twice: a ballast that is taken on where it just fits would be thrown off again at once.
    if (left - this.#ballastBytes < this.#bulkShare * space.totalBytes) return
    // Random bytes: a file system that compresses or leaves out zeros would reserve nothing.
    await replaceFile(this.#ballastPath, randomFillSync(new Uint8Array(this.#ballastBytes)))
    this.#space = { ...space, freeBytes: left }
  }

  /** Gives the ballast's room back to the disk; false when there was none. */
  async throwBallast(): Promise<boolean> {
    if ((await this.#ballastSize()) === 0) return false
    await rm(this.#ballastPath, { force: true })
    this.#space = undefined
    return true
  }

  async #ballastSize(): Promise<number> {
    try {
      return (await stat(this.#ballastPath)).size
    } catch (error) {
      if (systemCode(error) === "ENOENT") return 0
      throw error
    }
  }

  async #current(): Promise<FreeSpace> {
    const nowMs = this.#monotonicMs()
    if (this.#space === undefined || nowMs - this.#measuredMs >= this.#checkMs) {
      this.#space = await this.#measure()
      this.#measuredMs = nowMs
    }
    return this.#space
  }
}

async function measureFolder(folder: string): Promise<FreeSpace> {
  const status = await statfs(folder)
  return {
    freeBytes: status.bavail * status.bsize,
    totalBytes: status.blocks * status.bsize,
  }
}

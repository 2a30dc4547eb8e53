/**
 * Looks for damage in LevelDB's own logs before LevelDB opens them.
 *
 * LevelDB drops a damaged part of its log and everything that follows it in the same block, opens
 * without a word, and then deletes the log: one flipped bit loses dozens of acknowledged batches
 * (measured). So we read the log first. What may be bad without harm is the last batch, because the
 * power went before its sync returned and nobody was told. We write one batch at a time, so a later
 * batch that begins behind a bad one proves that the bad one was synced: that is damage.
 *
 * Format: blocks of 32 KiB; fragments of masked CRC-32C (u32), length (u16), type (u8), data, all
 * little-endian; no fragment crosses a block.
 */

import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { NodeError } from "../errors.ts"
import { crc32c } from "./crc32c.ts"
import { systemCode } from "./file.ts"

const BLOCK_BYTES = 32_768
const HEAD_BYTES = 7
const MASK_DELTA = 0xa282ead8
/** Types of fragment: a whole batch, or its first, middle and last part. */
const FULL = 1
const FIRST = 2
const LAST = 4

/**
 * Reads the logs in the engine's folder.
 *
 * @throws NodeError `STORE_DAMAGED` when a batch that was synced cannot be read any more. The files
 * are left as they are.
 */
export async function checkLevelLogs(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^\d+\.log$/.test(name)).sort()
  let bad: string | undefined
  for (const name of names) {
    const bytes = await readLog(join(folder, name))
    const found = examineLog(bytes)
    const lost = bad !== undefined && found.hasBatch ? bad : undefined
    const where = found.damagedAt === undefined ? lost : `${name} at byte ${found.damagedAt}`
    if (where !== undefined) {
      throw new NodeError("STORE_DAMAGED", `acknowledged data is damaged: ${where}`)
    }
    if (found.tornAt !== undefined) bad = `${name} at byte ${found.tornAt}`
  }
}

async function readLog(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    // The node that holds the lock may have deleted it; opening will say that the store is locked.
    if (systemCode(error) === "ENOENT") return new Uint8Array(0)
    throw error
  }
}

export interface LogFindings {
  /** Some batch begins in this log. */
  readonly hasBatch: boolean
  /** Byte of the first bad fragment, when a batch begins behind it. */
  readonly damagedAt: number | undefined
  /** Byte of the first bad fragment, when none begins behind it: a batch that was never synced. */
  readonly tornAt: number | undefined
}

/** Examines the bytes of one log, whatever they are. */
export function examineLog(bytes: Uint8Array): LogFindings {
  let bad: number | undefined
  let hasBatch = false
  let at = 0
  while (at < bytes.length) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (left < HEAD_BYTES) {
      at += left
      continue
    }
    const fragment = fragmentAt(bytes, at, left)
    if (fragment === undefined) {
      bad ??= at
      at += 1
      continue
    }
    if (fragment.type === FULL || fragment.type === FIRST) {
      hasBatch = true
      if (bad !== undefined) return { hasBatch, damagedAt: bad, tornAt: undefined }
    }
    at += HEAD_BYTES + fragment.length
  }
  return { hasBatch, damagedAt: undefined, tornAt: bad }
}

function fragmentAt(
  bytes: Uint8Array,
  at: number,
  left: number,
): { type: number; length: number } | undefined {
  if (at + HEAD_BYTES > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEAD_BYTES)
  const length = view.getUint16(4, true)
  const type = view.getUint8(6)
  const end = at + HEAD_BYTES + length
  if (type < FULL || type > LAST || HEAD_BYTES + length > left || end > bytes.length) {
    return undefined
  }
  const crc = crc32c(bytes.subarray(at + HEAD_BYTES - 1, end))
  const masked = (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
  return view.getUint32(0, true) === masked ? { type, length } : undefined
}

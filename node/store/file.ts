/**
 * Whole files, written so that a power cut leaves the old one or the new one, and read with a
 * limit.
 */

import { open, rename, rm, type FileHandle } from "node:fs/promises"
import { dirname } from "node:path"
import { NodeError } from "../errors.ts"

/** Files that only their owner may read. */
export const PRIVATE_FILE_MODE = 0o600
/** Folders that only their owner may enter. */
export const PRIVATE_FOLDER_MODE = 0o700

/** The system's own code, such as `ENOENT`; undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  const isCoded = error instanceof Error && "code" in error && typeof error.code === "string"
  return isCoded ? String(error.code) : undefined
}

/** What the system said, for a message: its code, or the text of anything else. */
export function systemReason(error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.message : String(error))
}

/** Files that everybody may read: what is published. */
export const PUBLIC_FILE_MODE = 0o644

/**
 * Puts `bytes` in the place of `path`: a file beside it is written and synced, renamed over it, and
 * the folder is synced. When this resolves the new file survives a power cut; when it fails the old
 * one stands.
 *
 * @throws the system's error.
 */
export async function replaceFile(
  path: string,
  bytes: Uint8Array,
  mode: number = PRIVATE_FILE_MODE,
): Promise<void> {
  const partial = `${path}.partial`
  await rm(partial, { force: true })
  const file = await open(partial, "wx", mode)
  try {
    await writeAll(file, bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(partial, path)
  await syncFolder(dirname(path))
}

/** Writes all of `bytes` at `position`; the system may take them in several pieces. */
export async function writeAll(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const left = bytes.length - written
    const result = await file.write(bytes, written, left, position + written)
    written += result.bytesWritten
  }
}

/** Makes new, renamed and removed names of a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Reads a file of at most `bytesMax`; nothing beyond that is read, whatever the file is.
 *
 * @throws NodeError `FILE_UNREADABLE` when it is a folder, too large, or cannot be read;
 * the system's error is the `cause`. A missing file is the system's `ENOENT`, for the caller.
 */
export async function readFileUpTo(path: string, bytesMax: number): Promise<Uint8Array> {
  let file: FileHandle
  try {
    file = await open(path, "r")
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") throw cause
    throw new NodeError("FILE_UNREADABLE", `cannot open ${path}: ${systemReason(cause)}`, { cause })
  }
  try {
    return await readUpTo(file, path, bytesMax)
  } finally {
    await file.close()
  }
}

async function readUpTo(file: FileHandle, path: string, bytesMax: number): Promise<Uint8Array> {
  const status = await file.stat()
  if (status.isDirectory()) {
    throw new NodeError("FILE_UNREADABLE", `${path}: expected a file, found a folder`)
  }
  if (status.size > bytesMax) {
    const why = `expected at most ${bytesMax} bytes, got ${status.size}`
    throw new NodeError("FILE_UNREADABLE", `${path}: ${why}`)
  }
  // A pipe has no size, so the limit counts what arrives; one byte more shows that it is exceeded.
  const room = status.isFile() ? status.size + 1 : bytesMax + 1
  const bytes = new Uint8Array(room)
  let length = 0
  while (length < room) {
    const { bytesRead } = await file.read(bytes, length, room - length, null)
    if (bytesRead === 0) return bytes.subarray(0, length)
    length += bytesRead
  }
  throw new NodeError("FILE_UNREADABLE", `${path}: grew beyond ${room - 1} bytes while it was read`)
}

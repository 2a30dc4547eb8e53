/**
 * A copy of the ledger in one file, for auditors (LEDGER §13).
 *
 * Label and line feed, then every final block from height 1 on as u32 length and bytes, then a
 * length of zero and the number of blocks as u64. What the blocks say is checked by verify.ts; this
 * file answers for the frame only, so that a copy cut short never passes for a whole one.
 */

import { open, rename, rm, type FileHandle } from "node:fs/promises"
import { concatBytes } from "@noble/hashes/utils.js"
import { equalBytes } from "../../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import { LABELS, labelBytes } from "../../protocol/labels.ts"
import { STORED_BLOCK_BYTES_MAX } from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"

const LENGTH_BYTES = 4
const COUNT_BYTES = 8

/** The bytes of a copy, piece by piece; an abort ends it with the signal's reason. */
export async function* ledgerCopyChunks(
  blocks: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  yield magic()
  let count = 0
  for await (const block of blocks) {
    signal?.throwIfAborted()
    yield new FieldWriter(LENGTH_BYTES).u32(block.length).finish()
    yield block
    count += 1
  }
  yield new FieldWriter(LENGTH_BYTES + COUNT_BYTES).u32(0).u64(count).finish()
}

/**
 * Writes a copy beside `path` and puts it in its place once it is whole and on the disk.
 *
 * @throws NodeError `FILE_UNREADABLE` when the file cannot be made; what `blocks` throws passes
 * through.
 */
export async function writeLedgerCopy(
  path: string,
  blocks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const partial = `${path}.partial`
  const file = await openFile(partial, "w")
  try {
    for await (const piece of ledgerCopyChunks(blocks)) await file.writeFile(piece)
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(partial, { force: true })
    throw error
  }
  await file.close()
  await rename(partial, path)
}

/**
 * The blocks of a copy, one after another; at most one of them is in memory.
 *
 * @throws NodeError `FILE_UNREADABLE`, or `LEDGER_COPY_INVALID` naming the block at which the frame
 * is broken, cut short or followed by more.
 */
export async function* readLedgerCopy(path: string): AsyncGenerator<Uint8Array, void, void> {
  const file = await openFile(path, "r")
  try {
    const expected = magic()
    if (!equalBytes(await take(file, expected.length, 0), expected)) {
      throw new NodeError("LEDGER_COPY_INVALID", `${path} is not a copy of a ledger`)
    }
    let height = 1
    for (;;) {
      const length = numbers(await take(file, LENGTH_BYTES, height)).u32("length")
      if (length === 0) break
      if (length > STORED_BLOCK_BYTES_MAX) {
        const why = `expected at most ${STORED_BLOCK_BYTES_MAX} bytes, got ${length}`
        throw new NodeError("LEDGER_COPY_INVALID", `ledger copy: block ${height}: ${why}`)
      }
      yield await take(file, length, height)
      height += 1
    }
    await readEnd(file, height)
  } finally {
    await file.close()
  }
}

async function readEnd(file: FileHandle, height: number): Promise<void> {
  const found = numbers(await take(file, COUNT_BYTES, height)).bytes("count", COUNT_BYTES)
  const expected = new FieldWriter(COUNT_BYTES).u64(height - 1).finish()
  if (!equalBytes(found, expected)) {
    const why = `the number of blocks at the end is not ${height - 1}`
    throw new NodeError("LEDGER_COPY_INVALID", `ledger copy: ${why}`)
  }
  const { bytesRead } = await file.read(new Uint8Array(1), 0, 1)
  if (bytesRead === 0) return
  throw new NodeError("LEDGER_COPY_INVALID", "ledger copy: more bytes follow its end")
}

/** Exactly `length` bytes from where the file stands. */
async function take(file: FileHandle, length: number, height: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled)
    if (bytesRead === 0) {
      const where = height === 0 ? "before its first block" : `in or before block ${height}`
      throw new NodeError("LEDGER_COPY_INVALID", `ledger copy: cut short ${where}`)
    }
    filled += bytesRead
  }
  return bytes
}

async function openFile(path: string, flags: "r" | "w"): Promise<FileHandle> {
  try {
    const file = await open(path, flags, 0o600)
    if ((await file.stat()).isFile()) return file
    await file.close()
  } catch (cause) {
    throw new NodeError("FILE_UNREADABLE", `cannot open ${path}`, { cause })
  }
  throw new NodeError("FILE_UNREADABLE", `${path} is not a file`)
}

function numbers(bytes: Uint8Array): FieldReader {
  return new FieldReader(bytes, "ledger copy")
}

function magic(): Uint8Array {
  return concatBytes(labelBytes(LABELS.ledgerCopy), Uint8Array.of(0x0a))
}

/**
 * A stored ledger whose newest rows cannot be trusted (LEDGER §12): keeps its longest sound
 * beginning, and makes everything that is derived from blocks and entries anew. What is lost is
 * fetched again from peers; it is the same, so rows that are left behind the new end are written
 * over.
 */

import { blockHash } from "../../ledger/block.ts"
import { frontierRoot } from "../../ledger/merkle.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { Directory } from "../../protocol/directory.ts"
import { decodeEntry } from "../../protocol/entry.ts"
import { MISSIONS_MAX, VERIFY_SLICE_MS } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { createSlices, type Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import { readRow, type BlockRow } from "./block-rows.ts"
import { headOperation, serialOperation } from "./blocks.ts"
import type { Database, Operation } from "./database.ts"
import { DirectoryRows } from "./directory.ts"
import { forgetGaps } from "./gaps.ts"
import { readEntries, Tiles } from "./tiles.ts"

/** Rows of the directory in one write. */
const ROWS_PER_WRITE = 64

/**
 * Reads blocks from the first one on until one is missing, damaged or does not follow; the store
 * then ends there. Certificates and batch signatures were verified when the blocks were stored;
 * hashes are computed again. The event loop turns between two blocks.
 *
 * @returns the height at which the store ends now.
 */
export async function rebuildStore(
  database: Database,
  suite: Suite,
  genesisBytes: Uint8Array,
  clock: Clock,
): Promise<number> {
  const giveWay = createSlices(clock, VERIFY_SLICE_MS)
  const directory = new Directory(suite, genesisBytes)
  const rows = new DirectoryRows()
  const tiles = await Tiles.open(database, 0)
  const serials = new Map<number, number>()
  let operations: Operation[] = []
  let height = 0
  let hash = directory.net
  for (;;) {
    const found = await readSound(database, tiles, height + 1, hash)
    if (found === undefined) break
    const { row, entries } = found
    height += 1
    hash = blockHash(suite, row.header)
    for (const { submitter, firstSeq, count } of row.batches) {
      serials.set(submitter, firstSeq + count - 1)
    }
    for (const [offset, bytes] of entries.entries()) {
      const entry = decodeEntry(suite, bytes)
      const outcome = directory.apply(entry, height, { blockTimeMs: row.header.timeMs })
      operations.push(...rows.operations(entry, row.firstIndex + offset, height, outcome))
    }
    if (operations.length >= ROWS_PER_WRITE) {
      await database.write(operations, { urgent: true })
      operations = []
    }
    await giveWay()
  }
  // Numbers are given in order, so this reaches the missions that only the lost end knew.
  const last = directory.missions().length + MISSIONS_MAX
  for (let rid = 1; rid <= last; rid++) operations.push(serialOperation(rid, serials))
  operations.push(...tiles.edgeOperations(), headOperation(height, hash))
  // Entries behind a gap are fetched again as well: what follows them stands on them.
  operations.push(forgetGaps())
  await database.write(operations, { urgent: true })
  return height
}

/** The block at a height, if it follows the one with `parent`; `tiles` then have its entries. */
async function readSound(
  database: Database,
  tiles: Tiles,
  height: number,
  parent: Uint8Array,
): Promise<{ row: BlockRow; entries: Uint8Array[] } | undefined> {
  try {
    const row = await readRow(database, height)
    const { header, firstIndex } = row
    const follows = header.height === height && equalBytes(header.parent, parent)
    if (!follows || firstIndex !== tiles.size) return undefined
    const entries = await readEntries(database, firstIndex, header.treeSize - firstIndex)
    const extension = tiles.extend(entries)
    if (!equalBytes(frontierRoot(extension.edge.frontier), header.treeRoot)) return undefined
    tiles.adopt(extension)
    return { row, entries }
  } catch (error) {
    if (error instanceof NodeError && error.code === "STORE_DAMAGED") return undefined
    throw error
  }
}

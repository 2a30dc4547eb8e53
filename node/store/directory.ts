/**
 * The entries that the directory is a fold of, kept apart so that a start need not read the whole
 * ledger (LEDGER §12): `ledger/g/<index>` → height u64 ‖ trusted u8 ‖ entry.
 *
 * What was accepted once is folded again without its signatures. A refused governance entry is kept
 * too, and judged anew, because a refusal may have closed a proposal; a refused publication of keys
 * changes nothing and is left out. Publications that newer ones have made useless are dropped.
 */

import { decodeEpochKeys } from "../../protocol/epoch.ts"
import type { Directory, Outcome } from "../../protocol/directory.ts"
import { decodeEntry, encodeEntry, type Entry } from "../../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import { EPOCHS_AHEAD_MAX } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Database, Operation } from "./database.ts"
import { numberKey } from "./tiles.ts"

const DIRECTORY_PREFIX = "ledger/g/"

/** A publication of epoch keys that is kept. */
interface Publication {
  readonly key: string
  /** Its last epoch. */
  readonly epoch: number
}

/** Reads all rows once. @throws NodeError `STORE_DAMAGED` for one that cannot be read. */
export async function checkDirectoryRows(database: Database): Promise<void> {
  const rows = database.range({ prefix: DIRECTORY_PREFIX })[Symbol.asyncIterator]()
  while ((await rows.next()).done !== true) continue
}

/** An entry of the directory as its row has it. */
export interface DirectoryRow {
  readonly entry: Entry
  readonly height: number
  /** It was accepted once, so its signatures need no second look. */
  readonly trusted: boolean
}

/** The rows of entries from one place in the tree to another. */
export async function directoryRows(
  database: Database,
  suite: Suite,
  from: number,
  until: number,
): Promise<DirectoryRow[]> {
  const rows: DirectoryRow[] = []
  const range = { prefix: DIRECTORY_PREFIX, from: rowKey(from), until: rowKey(until) }
  for await (const [, value] of database.range(range)) rows.push(decodeRow(suite, value))
  return rows
}

function decodeRow(suite: Suite, value: Uint8Array): DirectoryRow {
  const reader = new FieldReader(value, "directory row")
  const height = reader.u64("height")
  const trusted = reader.u8("trusted", 1) === 1
  return { height, trusted, entry: decodeEntry(suite, reader.view("entry", reader.left)) }
}

export class DirectoryRows {
  readonly #publications = new Map<number, Publication[]>()

  /** Folds the stored rows of the first `size` entries into a fresh directory. */
  async load(database: Database, suite: Suite, directory: Directory, size: number): Promise<void> {
    const range = { prefix: DIRECTORY_PREFIX, until: rowKey(size) }
    for await (const [key, value] of database.range(range)) {
      const { entry, height, trusted } = decodeRow(suite, value)
      directory.apply(entry, height, { trusted })
      if (entry.type === "epochKeys") this.#remember(key, entry)
    }
  }

  /** The rows that an entry of a final block adds and drops, given what it did to the directory. */
  operations(entry: Entry, index: number, height: number, outcome: Outcome): Operation[] {
    const isRefused = outcome.type === "refused"
    const isKept = entry.type === "governance" || (entry.type === "epochKeys" && !isRefused)
    if (!isKept) return []
    const key = rowKey(index)
    const bytes = encodeEntry(entry)
    const value = new FieldWriter(9 + bytes.length)
      .u64(height)
      .u8(isRefused ? 0 : 1)
      .bytes(bytes)
    const operations: Operation[] = [{ type: "put", key, value: value.finish() }]
    if (entry.type === "epochKeys") {
      for (const dropped of this.#remember(key, entry)) {
        operations.push({ type: "delete", key: dropped })
      }
    }
    return operations
  }

  /** Keys of the rows that the directory would drop all epochs of. */
  #remember(key: string, entry: Entry): string[] {
    const { rid, keys } = decodeEpochKeys(entry.payload)
    const epoch = keys.at(-1)?.epoch ?? 0
    const rows = [...(this.#publications.get(rid) ?? []), { key, epoch }]
    const newest = Math.max(...rows.map((row) => row.epoch))
    const isUseful = (row: Publication): boolean => row.epoch >= newest - EPOCHS_AHEAD_MAX
    this.#publications.set(rid, rows.filter(isUseful))
    return rows.filter((row) => !isUseful(row)).map((row) => row.key)
  }
}

function rowKey(index: number): string {
  return `${DIRECTORY_PREFIX}${numberKey(index)}`
}

/**
 * What the ledger takes on the disk: sealed values with their checksums, tree, lookups and all, after
 * compaction; and what a network of four validators writes while nothing happens.
 */

import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Level } from "level"
import { BlockStore } from "../../node/store/blocks.ts"
import { openStore } from "../support/disk-ledger.ts"
import { LedgerWorld } from "../support/ledgers.ts"
import { createMinistry } from "../support/ministry.ts"
import { ChainMaker } from "./chain.ts"
import { spreadOf, type Figure, type Options, type Progress } from "./figures.ts"

const VALIDATORS = 4
/** Two batches of 50: what a busy block of two missions looks like. */
const PER_BATCH = 50
const ENTRIES = 50_000
const ENTRIES_FULL = 1_000_000
const SINGLES = 4_000
const GOAL_BYTES = 125
const SINGLE_GOAL_BYTES = 700
/** An entry of a message, which nobody can leave out. */
const ENTRY_BYTES = 54
const HOUR_MS = 3_600_000

export async function benchDisk(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  progress("a hundred entries a block")
  const many = await measure(isFull ? ENTRIES_FULL : ENTRIES, PER_BATCH, 2)
  progress("one entry a block")
  const single = await measure(SINGLES, 1, 1)
  progress("an idle hour")
  const idle = await idleWrites()
  return [
    bytesFigure("an entry, 100 a block, files", many.files, GOAL_BYTES),
    bytesFigure("an entry, 100 a block, keys and stored values", many.rows),
    bytesFigure("an entry, 1 a block, files", single.files, SINGLE_GOAL_BYTES),
    bytesFigure("an entry, 1 a block, keys and stored values", single.rows),
    {
      name: "synced writes of five posts in an idle hour, disks and logs",
      unit: "",
      measured: spreadOf([idle]),
      goal: { text: "none", isMet: idle === 0 },
    },
  ]
}

function bytesFigure(name: string, bytes: number, goalBytes?: number): Figure {
  return {
    name,
    unit: "B",
    measured: spreadOf([bytes]),
    against: { name: "the entry alone", value: spreadOf([ENTRY_BYTES]) },
    ratio: bytes / ENTRY_BYTES,
    ...(goalBytes !== undefined && {
      goal: { text: `at most ${goalBytes} B`, isMet: bytes <= goalBytes },
    }),
  }
}

/** Bytes for each entry: of all files, and of all rows. */
async function measure(
  entries: number,
  perBatch: number,
  submitters: number,
): Promise<{ files: number; rows: number }> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-disk-"))
  try {
    const ministry = createMinistry(VALIDATORS, "bench disk", { validators: VALIDATORS })
    const database = await openStore(ministry, folder)
    const store = await BlockStore.open(database, ministry.suite, ministry.net)
    const posts = ministry.posts.slice(0, submitters)
    await new ChainMaker(ministry).fill(store, entries, perBatch, () => posts)
    await database.close()
    const place = join(folder, "main", "level")
    const rows = await compact(place)
    return { files: (await folderBytes(place)) / entries, rows: rows / entries }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Compacts the whole engine; returns the bytes of its keys and values. */
async function compact(place: string): Promise<number> {
  const level = new Level<string, Uint8Array>(place, {
    valueEncoding: "view",
    compression: false,
  })
  await level.open()
  // The engine below has it; its common interface, for browsers too, has not.
  const engine = level as unknown as { compactRange(from: string, to: string): Promise<void> }
  await engine.compactRange("\0", "\x7f")
  let bytes = 0
  for await (const [key, value] of level.iterator()) bytes += key.length + value.length
  await level.close()
  return bytes
}

async function folderBytes(place: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(place)) bytes += (await stat(join(place, name))).size
  return bytes
}

/** Virtual time; heartbeats go on and are no writes. */
async function idleWrites(): Promise<number> {
  const world = new LedgerWorld(VALIDATORS + 1, "idle", { validators: VALIDATORS })
  await world.start()
  await world.during(world.node(VALIDATORS).submit())
  await world.untilQuiet()
  // Once, when the hour ends in which something was final, the missions witness it.
  await world.clock.runFor(2 * HOUR_MS)
  const count = (): number =>
    world.nodes.reduce((sum, { disk, wal }) => sum + disk.syncs + wal.syncs, 0)
  const before = count()
  await world.clock.runFor(HOUR_MS)
  return count() - before
}

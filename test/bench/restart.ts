/**
 * From unlocked keys to the first vote after `kill -9`: opening store and log, checking their ends,
 * and taking up where the log stops.
 *
 * The validator is alone, so that no other's answer is waited for. What it finds is a copy of its
 * folder from the middle of its work: nothing was closed.
 */

import { cp, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock } from "../../node/clock.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import { openWal } from "../../node/store/wal.ts"
import { DiskLedger, openStore, random } from "../support/disk-ledger.ts"
import { createMinistry, type Ministry } from "../support/ministry.ts"
import { createSimulatedNetwork } from "../support/network.ts"
import { ChainMaker } from "./chain.ts"
import {
  interleave,
  ratioOf,
  spreadOf,
  type Figure,
  type Options,
  type Progress,
} from "./figures.ts"

const ENTRIES = 100_000
const ENTRIES_FULL = 1_000_000
const PER_BATCH = 64
/** Made by the validator itself, so that its log is as long as it becomes between two trims. */
const LAST_BLOCKS = 200
const ROUNDS = 5
const GOAL_MS = 1_000

export async function benchRestart(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-restart-"))
  // Timers of a node do not keep a process alive.
  const alive = setInterval(() => undefined, 60_000)
  try {
    const entries = isFull ? ENTRIES_FULL : ENTRIES
    progress(`making a ledger of ${entries} entries`)
    const ministry = createMinistry(2, "bench restart")
    const crashed = await crash(ministry, folder, entries)
    const found = await interleave(
      ROUNDS,
      {
        restart: async () => restart(ministry, folder, crashed),
        read: async () => readAll(join(crashed, "wal")),
      },
      progress,
    )
    const { median } = spreadOf(found.restart)
    return [
      {
        name: `validator of ${entries} entries, kill −9 → votes`,
        unit: "ms",
        measured: spreadOf(found.restart),
        against: { name: "reading its log", value: spreadOf(found.read) },
        ratio: ratioOf(found.restart, found.read),
        goal: { text: "at most 1 s", isMet: median <= GOAL_MS },
      },
    ]
  } finally {
    clearInterval(alive)
    await rm(folder, { recursive: true, force: true })
  }
}

/** A folder as the machine left it when its power went. */
async function crash(ministry: Ministry, folder: string, entries: number): Promise<string> {
  const [place, copy] = [join(folder, "living"), join(folder, "crashed")]
  const database = await openStore(ministry, place)
  const store = await BlockStore.open(database, ministry.suite, ministry.net)
  const maker = new ChainMaker(ministry)
  await maker.fill(store, entries, PER_BATCH, () => ministry.posts)
  const { wal } = await openWal(join(place, "wal"), random)
  await wal.append(maker.lastRecords(await store.block(store.head.height)))
  await wal.close()
  await database.close()
  const node = await open(ministry, place)
  for (let index = 0; index < LAST_BLOCKS; index++) {
    const done = new Promise<void>((resolve) => {
      const leave = node.onFinal(() => {
        leave()
        resolve()
      })
    })
    await node.submit(PER_BATCH)
    await done
  }
  await cp(place, copy, { recursive: true })
  await node.stop()
  return copy
}

async function open(ministry: Ministry, folder: string): Promise<DiskLedger> {
  const network = createSimulatedNetwork({ clock: systemClock, random })
  const [post] = ministry.posts
  if (post === undefined) throw new Error("a ministry has headquarters")
  const transport = network.transport(post.peer)
  const node = await DiskLedger.open({ ministry, post, folder, transport, clock: systemClock })
  await transport.start()
  return node
}

/** Milliseconds until it votes. Every life finds the crashed folder anew. */
async function restart(ministry: Ministry, folder: string, crashed: string): Promise<number> {
  const place = join(folder, "next")
  await cp(crashed, place, { recursive: true })
  const startedMs = performance.now()
  const node = await open(ministry, place)
  while (node.ledger.validatorStatus()?.state !== "voting") {
    await new Promise((resolve) => setImmediate(resolve))
  }
  const tookMs = performance.now() - startedMs
  await node.stop()
  await rm(place, { recursive: true })
  return tookMs
}

async function readAll(path: string): Promise<number> {
  const startedMs = performance.now()
  await readFile(path)
  return performance.now() - startedMs
}

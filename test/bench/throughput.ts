/**
 * Entries a second that four validators make final, all on this machine: processes with their own
 * disks and logs, every write synced, over libp2p on loopback, and a mission that signs and submits.
 *
 * The floor: every validator must check the signature of every batch, and all four share the cores.
 */

import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import {
  interleave,
  ratioOf,
  spreadOf,
  type Figure,
  type Options,
  type Progress,
} from "./figures.ts"
import { LoadStage, type LoadResult } from "./load.ts"

const VALIDATORS = 4
const ROUNDS = 3
const SECONDS = 3
const SECONDS_FULL = 12
const BATCH = 64
const SINGLE_GOAL = 1_200
const BATCH_GOAL = 15_000
const VERIFICATIONS = 6_000

export async function benchThroughput(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-throughput-"))
  progress("starting four validators")
  const stage = await LoadStage.open(folder)
  try {
    const seconds = isFull ? SECONDS_FULL : SECONDS
    const results: Record<"single" | "batched", LoadResult[]> = { single: [], batched: [] }
    const load = async (kind: "single" | "batched"): Promise<number> => {
      const result = await stage.load(kind === "single" ? 1 : BATCH, seconds)
      results[kind].push(result)
      return result.perSecond
    }
    const found = await interleave(
      ROUNDS,
      {
        single: async () => load("single"),
        batched: async () => load("batched"),
        verifications: async () => (await verificationsPerSecond()) / VALIDATORS,
      },
      progress,
    )
    const floorName = "Ed25519 verifications ÷ 4 on all cores"
    const batchedFloor = found.verifications.map((rate) => rate * BATCH)
    return [
      {
        name: "entries final at all four, one signature each",
        unit: "/s",
        measured: spreadOf(found.single),
        against: { name: floorName, value: spreadOf(found.verifications) },
        ratio: ratioOf(found.single, found.verifications),
        goal: goalOf(found.single, SINGLE_GOAL),
      },
      ...cpuFigures(results.single),
      {
        name: `entries final at all four, ${BATCH} a signature`,
        unit: "/s",
        measured: spreadOf(found.batched),
        against: { name: `${floorName}, × ${BATCH}`, value: spreadOf(batchedFloor) },
        ratio: ratioOf(found.batched, batchedFloor),
        goal: goalOf(found.batched, BATCH_GOAL),
      },
      ...cpuFigures(results.batched),
      {
        name: "entries in a block, one signature each",
        unit: "",
        measured: spreadOf(results.single.map(({ perBlock }) => perBlock)),
      },
    ]
  } finally {
    await stage.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function goalOf(rates: readonly number[], perSecond: number): { text: string; isMet: boolean } {
  return { text: `at least ${perSecond}/s`, isMet: spreadOf(rates).median >= perSecond }
}

/** Processor time, and how many of these it lets all cores carry when nothing else runs on them. */
function cpuFigures(results: readonly LoadResult[]): Figure[] {
  const counted = results.slice(1)
  const both = counted.map(({ cpuUs, submitterCpuUs }) => cpuUs + submitterCpuUs)
  return [
    {
      name: "CPU of the validators for one of these",
      unit: "µs",
      measured: spreadOf(counted.map(({ cpuUs }) => cpuUs)),
    },
    {
      name: "what all cores carry by CPU of validators and mission",
      unit: "/s",
      measured: spreadOf(both.map((us) => (1_000_000 * availableParallelism()) / us)),
    },
  ]
}

const verifyInPool = promisify(verify)

/** All cores at work on signatures of the size of a batch's, and on nothing else. */
async function verificationsPerSecond(): Promise<number> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const key = createPublicKey(publicKey.export({ type: "spki", format: "pem" }))
  const message = Buffer.alloc(96, 5)
  const signature = sign(null, message, privateKey)
  const startedMs = performance.now()
  let left = VERIFICATIONS
  const work = async (): Promise<void> => {
    while (left-- > 0) await verifyInPool(null, message, key, signature)
  }
  await Promise.all(Array.from({ length: 4 * availableParallelism() }, work))
  return VERIFICATIONS / ((performance.now() - startedMs) / 1_000)
}

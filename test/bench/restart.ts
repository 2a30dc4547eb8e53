/**
 * A validator that is killed in the middle of its work, until it votes again on its own folder.
 *
 * Four validators as processes, each with a long ledger on its own disk, and a mission that keeps them
 * at work over libp2p on loopback, every write synced. One after another is ended by `kill -9` and
 * started again at once: it opens store and log, checks their ends, takes up where the log stops, and
 * asks the others which run of its key they know (LEDGER §9.4).
 */

import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock } from "../../node/clock.ts"
import { createHost, type Host } from "../../node/network/host.ts"
import type { Member } from "../../node/network/transport.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import { openWal } from "../../node/store/wal.ts"
import { DiskLedger, openStore, random } from "../support/disk-ledger.ts"
import type { Ministry } from "../support/ministry.ts"
import { ChainMaker } from "./chain.ts"
import { ratioOf, spreadOf, type Figure, type Options, type Progress } from "./figures.ts"
import * as processes from "./validator.ts"
import { VALIDATORS, ValidatorProcess } from "./validator.ts"

const ENTRIES = 100_000
const ENTRIES_FULL = 1_000_000
const PER_BATCH = 64
const KILLS = 5
const KILLS_FULL = 20
/** What the mission submits, and how often: each makes a block or two, so nobody is ever idle. */
const AT_ONCE = 16
const EVERY_MS = 100
/** Between a validator that has caught up and the next kill, which then comes at any moment. */
const WORK_MS = 300
const POLL_MS = 20
const WITHIN_MS = 60_000
const GOAL_MS = 1_000

export async function benchRestart(progress: Progress, { isFull }: Options): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-restart-"))
  try {
    const entries = isFull ? ENTRIES_FULL : ENTRIES
    const kills = isFull ? KILLS_FULL : KILLS
    progress(`making a ledger of ${entries} entries`)
    const ministry = processes.validatorsMinistry()
    await fillFolders(ministry, folder, entries)
    progress("starting four validators")
    const stage = await WorkingStage.open(ministry, folder)
    try {
      const restarts: Restart[] = []
      for (let kill = 0; kill < kills; kill++) {
        progress(`kill ${kill + 1} of ${kills}`)
        restarts.push(await stage.restart(kill % VALIDATORS))
      }
      return figuresOf(entries, restarts)
    } finally {
      await stage.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The same ledger for all four and the mission; a log has what its own validator signed last. */
async function fillFolders(ministry: Ministry, folder: string, entries: number): Promise<void> {
  const place = join(folder, "chain")
  const database = await openStore(ministry, place)
  const store = await BlockStore.open(database, ministry.suite, ministry.net)
  const maker = new ChainMaker(ministry)
  await maker.fill(store, entries, PER_BATCH, () => ministry.posts)
  const last = await store.block(store.head.height)
  await database.close()
  for (let index = 0; index < VALIDATORS; index++) {
    const own = join(folder, String(index))
    await cp(place, own, { recursive: true })
    const { wal } = await openWal(join(own, "wal"), random)
    const records = maker.lastRecords(last, index)
    if (records.length > 0) await wal.append(records)
    await wal.close()
  }
  await cp(place, join(folder, "mission"), { recursive: true })
}

interface Restart extends processes.Start {
  readonly spawnedMs: number
}

function figuresOf(entries: number, restarts: readonly Restart[]): Figure[] {
  const fromKeys = restarts.map(({ keysMs, votingMs }) => votingMs - keysMs)
  const opening = restarts.map(({ keysMs, openMs }) => openMs - keysMs)
  const fromSpawn = restarts.map(({ spawnedMs, votingMs }) => votingMs - spawnedMs)
  const worst = Math.max(...fromKeys)
  const goal = (ms: number): NonNullable<Figure["goal"]> => {
    return { text: "at most 1 s", isMet: ms <= GOAL_MS }
  }
  return [
    {
      name: `a validator of ${entries} entries, kill −9: keys open → votes`,
      unit: "ms",
      measured: spreadOf(fromKeys),
      against: { name: "until store and log are open", value: spreadOf(opening) },
      ratio: ratioOf(fromKeys, opening),
      goal: goal(spreadOf(fromKeys).median),
    },
    {
      name: `the same, worst of ${restarts.length} kills`,
      unit: "ms",
      measured: { ...spreadOf(fromKeys), median: worst },
      goal: goal(worst),
    },
    {
      name: "the same, from the start of the process",
      unit: "ms",
      measured: spreadOf(fromSpawn),
    },
    {
      name: `from the start of the process, worst of ${restarts.length}`,
      unit: "ms",
      measured: { ...spreadOf(fromSpawn), median: Math.max(...fromSpawn) },
    },
  ]
}

/** Four validators that vote on what a mission submits without end. */
class WorkingStage {
  readonly #folder: string
  readonly #validators: ValidatorProcess[]
  readonly #mission: DiskLedger
  readonly #load: NodeJS.Timeout
  #failure: Error | undefined

  private constructor(folder: string, validators: ValidatorProcess[], mission: DiskLedger) {
    this.#folder = folder
    this.#validators = validators
    this.#mission = mission
    this.#load = setInterval(() => {
      mission.submit(AT_ONCE).catch((cause: unknown) => {
        this.#failure = new Error("the mission cannot submit", { cause })
      })
    }, EVERY_MS)
  }

  static async open(ministry: Ministry, folder: string): Promise<WorkingStage> {
    const { validators, members } = await processes.startValidators(ministry, folder)
    const mission = await startMission(ministry, folder, members)
    await Promise.all(validators.map(async ({ voting }) => voting))
    const stage = new WorkingStage(folder, validators, mission)
    await stage.#untilFinalAt(mission.ledger.head().height + 1)
    return stage
  }

  /** Ends a validator at work and starts it again; resolves when it votes and has caught up. */
  async restart(index: number): Promise<Restart> {
    await pause(WORK_MS + Math.random() * EVERY_MS)
    await this.#validators[index]?.kill()
    const { height } = this.#mission.ledger.head()
    const validator = new ValidatorProcess(this.#folder, index)
    this.#validators[index] = validator
    const start = await validator.voting
    await this.#untilFinalAt(Math.max(height, this.#mission.ledger.head().height) + 1)
    return { ...start, spawnedMs: validator.spawnedMs }
  }

  /** All four have a block of this height. */
  async #untilFinalAt(height: number): Promise<void> {
    const untilMs = performance.now() + WITHIN_MS
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      const heads = await Promise.all(this.#validators.map(async (one) => one.head()))
      if (heads.every((head) => head.isVoting && head.height >= height)) return
      if (performance.now() > untilMs) throw new Error("the validators do not go on")
      await pause(POLL_MS)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#load)
    await this.#mission.stop()
    for (const validator of this.#validators) await validator.stop()
  }
}

/** As any mission: it follows the ledger and submits to all four. */
async function startMission(
  ministry: Ministry,
  folder: string,
  members: readonly Member[],
): Promise<DiskLedger> {
  const post = processes.missionOf(ministry)
  const quiet = (): void => undefined
  const transport: Host = createHost({
    transportSeed: post.transport.seed,
    listen: [],
    encryption: "noise",
    clock: systemClock,
    log: { info: quiet, warn: quiet, error: quiet },
  })
  const place = join(folder, "mission")
  const parts = { ministry, post, folder: place, transport, clock: systemClock }
  const mission = await DiskLedger.open(parts)
  transport.setMembers(processes.seenByMission(members))
  await transport.start()
  return mission
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

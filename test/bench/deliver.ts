/**
 * Cables per second between two nodes, durable on both sides: from the first submission to the
 * signed receipt of the last, against the slowest single step that each cable must take.
 */

import { randomFillSync } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { NodeClient } from "../../node/api/client.ts"
import { openDatabase } from "../../node/store/level.ts"
import type { Database } from "../../node/store/database.ts"
import { nativeSuite } from "../../node/suite.ts"
import { compositePublicKey, compositeSign, verifyComposite } from "../../protocol/composite.ts"
import { kemPublicKey, openBase, sealBase } from "../../protocol/hpke.ts"
import { API_CLIENT_REQUESTS_MAX } from "../../protocol/limits.ts"
import type { ProcessNetwork, ProcessPost } from "../support/processes.ts"
import {
  interleave,
  millisecondsEach,
  ratioOf,
  spreadOf,
  type Figure,
  type Progress,
} from "./figures.ts"
import { cpuMs, type Stage } from "./stage.ts"

const ROUNDS = 3
const CABLES = 300
/** Clients of the local API at work; each keeps as many requests under way as it may. */
const CLIENTS = 3
const TEXT = "Talks ended. Report follows. ".repeat(70)
const PUTS = 300
const SIGNATURES = 200
const OPENINGS = 300
const SHARE_MIN = 0.5
const CONTEXT = "TB1/cable/real"
const SETTLE_MS = 60_000

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

export async function benchDeliver(progress: Progress, stage: Stage): Promise<Figure[]> {
  progress("starting two nodes")
  const network = await stage.network()
  const folder = join(network.folder, `floor-${Date.now()}`)
  await mkdir(folder)
  const database = await openDatabase({ path: join(folder, "main") })
  const traffic = await Traffic.open(network)
  try {
    const primitives = new Primitives()
    const cpu: number[] = []
    const found = await interleave(
      ROUNDS,
      {
        cables: async () => {
          const before = await cpuOf(network)
          const rate = await traffic.carry(CABLES)
          cpu.push(((await cpuOf(network)) - before) / CABLES)
          return rate
        },
        puts: async () => putsPerSecond(database),
        sign: () => 1_000 / millisecondsEach(SIGNATURES, () => primitives.sign()),
        open: () => 1_000 / millisecondsEach(OPENINGS, () => primitives.verifyAndOpen()),
        least: () => millisecondsEach(SIGNATURES / 2, () => primitives.wholeCable()),
      },
      progress,
    )
    return figuresOf({ ...found, cpu: cpu.slice(1) })
  } finally {
    traffic.close()
    await database.close()
  }
}

interface Found {
  readonly cables: readonly number[]
  readonly puts: readonly number[]
  readonly sign: readonly number[]
  readonly open: readonly number[]
  readonly least: readonly number[]
  readonly cpu: readonly number[]
}

function figuresOf(found: Found): Figure[] {
  const floors = [
    { name: "composite sign", rates: found.sign },
    { name: "synced put", rates: found.puts },
    { name: "composite verify + HPKE open", rates: found.open },
  ].toSorted((a, b) => spreadOf(a.rates).median - spreadOf(b.rates).median)
  const [slowest, ...others] = floors
  if (slowest === undefined) throw new Error("there is a floor")
  const ratio = ratioOf(found.cables, slowest.rates)
  const figures: Figure[] = [
    {
      name: "2 KB cables, submission to signed receipt",
      unit: "/s",
      measured: spreadOf(found.cables),
      against: { name: slowest.name, value: spreadOf(slowest.rates) },
      ratio,
      goal: { text: `at least ${SHARE_MIN} ×`, isMet: ratio >= SHARE_MIN },
    },
    ...others.map(({ name, rates }): Figure => ({
      name: `for comparison: ${name}`,
      unit: "/s",
      measured: spreadOf(rates),
    })),
  ]
  if (found.cpu.every((value) => Number.isFinite(value))) {
    figures.push({
      name: "CPU of both nodes for one cable",
      unit: "ms",
      measured: spreadOf(found.cpu),
      against: { name: "its signatures and HPKE alone", value: spreadOf(found.least) },
      ratio: ratioOf(found.cpu, found.least),
    })
  }
  return figures
}

/** Cables from one post to the other, followed to their end by the sender's own events. */
class Traffic {
  readonly #sender: ProcessPost
  readonly #to: string
  readonly #clients: readonly NodeClient[]
  readonly #stop = new AbortController()
  readonly #delivered = new Set<string>()
  #wake: () => void = () => undefined

  private constructor(sender: ProcessPost, to: string) {
    this.#sender = sender
    this.#to = to
    this.#clients = Array.from({ length: CLIENTS }, () => new NodeClient(sender.home))
  }

  static async open(network: ProcessNetwork): Promise<Traffic> {
    const traffic = new Traffic(network.at("LON"), "DAC")
    await traffic.#listen()
    return traffic
  }

  close(): void {
    this.#stop.abort()
  }

  /** Sends so many and waits for all; cables per second. */
  async carry(count: number): Promise<number> {
    const startedMs = performance.now()
    const ids: string[] = []
    let started = 0
    const submit = async (client: NodeClient): Promise<void> => {
      while (started < count) {
        started += 1
        const draft = { to: [this.#to], subject: `Bench ${started}`, text: TEXT }
        ids.push((await client.sendCable(draft)).id)
      }
    }
    const lanes = this.#clients.flatMap((client) =>
      Array.from({ length: API_CLIENT_REQUESTS_MAX }, async () => submit(client)),
    )
    await Promise.all(lanes)
    await this.#until(ids)
    return (count * 1_000) / (performance.now() - startedMs)
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stop
    const events = await this.#sender.client.events({ signal })
    const follow = async (): Promise<void> => {
      for await (const event of events) {
        if (event.type !== "cable-delivered") continue
        this.#delivered.add(event.id)
        this.#wake()
      }
    }
    follow().catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }

  async #until(ids: readonly string[]): Promise<void> {
    const late = AbortSignal.timeout(SETTLE_MS)
    while (!ids.every((id) => this.#delivered.has(id))) {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        late.onabort = () => reject(new Error(`not all cables delivered within ${SETTLE_MS} ms`))
      })
    }
  }
}

/** What one cable must take on either side, on keys that are imported already. */
class Primitives {
  readonly #seed = random(64)
  readonly #message = random(32)
  readonly #info = random(80)
  readonly #secret = random(32)
  readonly #kemSeed = random(32)
  readonly #publicKey = compositePublicKey(nativeSuite, this.#seed)
  readonly #kemKey = kemPublicKey(nativeSuite, this.#kemSeed)
  readonly #signature = this.sign()
  readonly #wrap = this.#seal()

  sign(): Uint8Array {
    return compositeSign(nativeSuite, this.#seed, CONTEXT, this.#message, random)
  }

  verifyAndOpen(): void {
    this.#verify()
    openBase(nativeSuite, this.#kemSeed, this.#info, new Uint8Array(0), this.#wrap)
  }

  /** Officer and mission sign and are verified; the secret is wrapped and unwrapped. */
  wholeCable(): void {
    this.sign()
    this.sign()
    this.#seal()
    this.#verify()
    this.verifyAndOpen()
  }

  #seal(): Uint8Array {
    return sealBase(nativeSuite, this.#kemKey, this.#info, new Uint8Array(0), this.#secret, random)
  }

  #verify(): void {
    verifyComposite(nativeSuite, this.#publicKey, CONTEXT, this.#message, this.#signature)
  }
}

async function putsPerSecond(database: Database): Promise<number> {
  const value = random(256)
  const startedMs = performance.now()
  for (let index = 0; index < PUTS; index++) {
    await database.write([{ type: "put", key: `floor/${index}`, value }], { urgent: true })
  }
  return (PUTS * 1_000) / (performance.now() - startedMs)
}

async function cpuOf(network: ProcessNetwork): Promise<number> {
  let sum = 0
  for (const post of network.posts) sum += (await cpuMs(post)) ?? Number.NaN
  return sum
}

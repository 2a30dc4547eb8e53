/**
 * A ministry in virtual time: every post runs the real node over a simulated network, disk and
 * clock (D18 of the decisions: transport, store, clock and randomness are parameters).
 */

import type { Clock } from "../../node/clock.ts"
import { TarbartaNode } from "../../node/node.ts"
import { createLog } from "../../node/log.ts"
import { sealDatabase } from "../../node/store/sealed.ts"
import { nativeSuite } from "../../node/suite.ts"
import type { CableDraft } from "../../node/api/shapes.ts"
import { createVirtualClock, type VirtualClock } from "./clock.ts"
import { SimulatedDisk } from "./database.ts"
import { SimulatedLogFile } from "./ledgers.ts"
import {
  createMinistry,
  type Ministry,
  type MinistryOptions,
  type MinistryPost,
} from "./ministry.ts"
import { createSimulatedNetwork, type SimulatedNetwork } from "./network.ts"
import { seededRandom } from "./rng.ts"

export interface WorldPost {
  readonly post: MinistryPost
  readonly disk: SimulatedDisk
  readonly wal: SimulatedLogFile
  node: TarbartaNode | undefined
  /** What this post's wall clock shows beyond the right time, from its next start on. */
  skewMs: number
  /** Crashes so far. */
  life: number
  /** What ended the node by itself, if anything did. */
  fatal: unknown
}

const SECOND_MS = 1_000

export class NodeWorld {
  readonly ministry: Ministry
  readonly clock: VirtualClock
  readonly network: SimulatedNetwork
  readonly posts: readonly WorldPost[]
  readonly #seed: string | number

  constructor(count: number, seed: string | number, options: MinistryOptions = {}) {
    this.#seed = seed
    this.ministry = createMinistry(count, seed, options)
    this.clock = createVirtualClock()
    const random = seededRandom(`network ${seed}`)
    this.network = createSimulatedNetwork({ clock: this.clock, random })
    this.posts = this.ministry.posts.map((post) => ({
      post,
      disk: new SimulatedDisk(),
      wal: new SimulatedLogFile(this.clock, post.code),
      node: undefined,
      skewMs: 0,
      life: 0,
      fatal: undefined,
    }))
  }

  at(code: string): WorldPost {
    const found = this.posts.find(({ post }) => post.code === code)
    if (found === undefined) throw new Error(`no post ${code} in this world`)
    return found
  }

  node(code: string): TarbartaNode {
    const { node } = this.at(code)
    if (node === undefined) throw new Error(`the node of ${code} is down`)
    return node
  }

  /** Starts all nodes and runs until every post's keys stand on the ledger everywhere. */
  async start(): Promise<void> {
    for (const { post } of this.posts) await this.boot(post.code)
    await this.until(async () => {
      for (const { node } of this.posts) {
        const missions = (await node?.service.missions()) ?? []
        if (missions.length < this.posts.length) return false
        if (missions.some((one) => one.newestEpoch === undefined)) return false
      }
      return true
    })
  }

  async boot(code: string): Promise<TarbartaNode> {
    const here = this.at(code)
    const { post } = here
    const random = seededRandom(`node ${this.#seed} ${code} ${this.clock.monotonicMs()}`)
    const plain = here.disk.open()
    const database = sealDatabase(plain, {
      suite: nativeSuite,
      key: seededRandom(`store ${code}`)(32),
      random,
    })
    const validator = this.ministry.validators.find(({ rid }) => rid === post.rid)
    const { life, skewMs } = here
    const clock: Clock = {
      now: () => this.clock.now() + skewMs,
      monotonicMs: () => this.clock.monotonicMs(),
      after: (delayMs, run) => this.clock.after(delayMs, run),
    }
    const node = await TarbartaNode.open({
      code,
      genesis: this.ministry.genesisBytes,
      keys: {
        signing: post.signing.sign,
        signingKey: post.signing.publicKey,
        transportKey: post.transport.publicKey,
        officers: post.officers.map(({ key }) => ({ publicKey: key.publicKey, sign: key.sign })),
        signBatch: post.submit.sign,
        checkpoints: this.ministry.checkpointKeys(post),
        ...(validator !== undefined && {
          validator: {
            consensusKey: validator.consensus.publicKey,
            sign: validator.consensus.sign,
            wal: here.wal,
            records: [...here.wal.records],
            run: here.wal.open(),
            // Nobody forks the ledger here.
            halt: async ({ message }) => Promise.reject(new Error(message)),
          },
        }),
      },
      suite: nativeSuite,
      random,
      clock,
      database,
      transport: this.network.transport(post.peer),
      addresses: () => [],
      relays: validator !== undefined,
      log: createLog("error", this.clock, () => undefined),
      warnings: [],
      pid: 0,
      onFatal: (error) => {
        // A life that has crashed has nothing more to say.
        if (here.life === life) here.fatal ??= error
      },
      onStop: () => undefined,
    })
    here.node = node
    await node.start()
    return node
  }

  /** Power off: what was not synced is gone, nobody is told. */
  crash(code: string, inFlight: "lost" | "kept" = "lost"): void {
    const here = this.at(code)
    this.network.crash(here.post.peer)
    here.disk.crash(inFlight)
    here.wal.crash(inFlight)
    here.node = undefined
    here.life += 1
  }

  async send(code: string, draft: Partial<CableDraft> & { to: string[] }): Promise<string> {
    const { id } = await this.node(code).service.sendCable({ subject: "s", text: "t", ...draft })
    return id
  }

  /** Ids in the inbox of a post, the oldest first. */
  async inbox(code: string): Promise<string[]> {
    const query = { box: "inbox", unread: false, limit: 100_000 } as const
    const cables = await this.node(code).service.cables(query)
    return cables.map(({ id }) => id).toReversed()
  }

  /** Runs virtual time until `isDone`; an error when `withinMs` pass first. */
  async until(isDone: () => Promise<boolean>, withinMs = 120 * SECOND_MS): Promise<void> {
    const endMs = this.clock.monotonicMs() + withinMs
    while (!(await isDone())) {
      this.demandAlive()
      if (this.clock.monotonicMs() >= endMs) {
        throw new Error(`not done after ${withinMs} ms of virtual time`)
      }
      await this.clock.runFor(50)
    }
  }

  /** Runs virtual time until a promise of a node has settled: it may wait for the network. */
  async during<T>(promise: Promise<T>, withinMs = 120 * SECOND_MS): Promise<T> {
    let isSettled = false
    const settled = promise.finally(() => (isSettled = true))
    settled.catch(() => undefined)
    await this.until(() => Promise.resolve(isSettled), withinMs)
    return settled
  }

  async untilDelivered(code: string, id: string, withinMs?: number): Promise<void> {
    await this.until(
      async () => (await this.node(code).service.cableStatus(id)).delivered,
      withinMs,
    )
  }

  /** What lies on a post's disk, opened with its store key; the node may be running. */
  async rows(code: string): Promise<Map<string, Uint8Array>> {
    const disk = new SimulatedDisk()
    disk.restore(this.at(code).disk.snapshot())
    const database = sealDatabase(disk.open(), {
      suite: nativeSuite,
      key: seededRandom(`store ${code}`)(32),
      random: seededRandom("never used"),
    })
    const rows = new Map<string, Uint8Array>()
    for await (const [key, value] of database.range({ prefix: "" })) rows.set(key, value)
    return rows
  }

  /** Types and ids of what a node tells its screens about cables and signals, from now on. */
  watch(code: string): string[] {
    const seen: string[] = []
    const events = this.node(code).service.events.read(undefined, new AbortController().signal)
    const follow = async (): Promise<void> => {
      for await (const event of events) {
        if ("cable" in event) seen.push(`${event.type} ${event.cable.id}`)
        else if ("signal" in event) seen.push(`${event.type} ${event.signal.id}`)
        else if ("id" in event) seen.push(`${event.type} ${event.id}`)
      }
    }
    follow().catch((error: unknown) => {
      this.at(code).fatal ??= error
    })
    return seen
  }

  /** Brings a revocation to the ledger, as headquarters' governance. */
  async revoke(code: string): Promise<void> {
    const { service } = this.node("DAC")
    const { governanceState } = await service.ledgerStatus()
    const base = Uint8Array.from(Buffer.from(governanceState, "hex"))
    const done = service.submitGovernance(this.ministry.revocation(this.at(code).post.rid, base))
    let isDone = false
    done.then(
      () => (isDone = true),
      (error: unknown) => (this.at("DAC").fatal ??= error),
    )
    await this.until(async () => isDone)
  }

  demandAlive(): void {
    const dead = this.posts.find(({ fatal }) => fatal !== undefined)
    if (dead !== undefined) throw new Error(`${dead.post.code} ended`, { cause: dead.fatal })
  }
}

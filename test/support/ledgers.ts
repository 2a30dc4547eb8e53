/**
 * A whole network of ledgers in one process and virtual time: headquarters validates, the other posts
 * follow and submit. Disks, logs and links are simulated; everything else is the node's own code.
 */

import type { CheckpointKeys } from "../../node/consensus/checkpoints.ts"
import { Ledger } from "../../node/consensus/ledger.ts"
import type { SyncMode } from "../../node/consensus/follower.ts"
import type { Final } from "../../node/consensus/finality.ts"
import type { EncodedRecord } from "../../ledger/record.ts"
import type { Refusal } from "../../node/consensus/voting.ts"
import type { ConsensusLog } from "../../node/consensus/journal.ts"
import { NodeError } from "../../node/errors.ts"
import type { Transport } from "../../node/network/transport.ts"
import type { Database } from "../../node/store/database.ts"
import { messageEntry, payloadEntry, type Entry } from "../../protocol/entry.ts"
import { createVirtualClock, type VirtualClock } from "./clock.ts"
import { SimulatedDisk, type SimulatedDatabase } from "./database.ts"
import {
  createMinistry,
  type Ministry,
  type MinistryOptions,
  type MinistryPost,
} from "./ministry.ts"
import { createSimulatedNetwork, type SimulatedNetwork } from "./network.ts"
import { seededRandom } from "./rng.ts"
import type { Link } from "./simulated-transport.ts"

/** Turns of the event loop for computing, before virtual time moves on. */
const SETTLE_TURNS = 100

/** All of a consensus log, as a backup has it. */
interface LogImage {
  readonly id: Uint8Array
  readonly records: readonly EncodedRecord[]
  readonly openings: number
}

/** The consensus log's file: what is synced survives a crash, what is on its way may or may not. */
export class SimulatedLogFile implements ConsensusLog {
  readonly #clock: VirtualClock
  records: EncodedRecord[] = []
  #inFlight: { records: EncodedRecord[]; life: number } | undefined
  #life = 0
  readonly #random: (length: number) => Uint8Array
  #id: Uint8Array
  #openings = 0
  /** Appends synced so far. */
  syncs = 0
  /** Called when an append starts; a test may crash the machine here. */
  onAppend: (() => void) | undefined
  /** Syncs that the disk does not answer, while it hangs. */
  #unanswered: (() => void)[] | undefined

  constructor(clock: VirtualClock, name: string) {
    this.#clock = clock
    this.#random = seededRandom(`log ${name}`)
    this.#id = this.#random(16)
  }

  append(records: readonly EncodedRecord[]): Promise<void> {
    const life = this.#life
    const copies = records.map((record) => ({ ...record, payload: record.payload.slice() }))
    this.#inFlight = { records: copies, life }
    return new Promise((resolve) => {
      const sync = (): void => {
        if (this.#life !== life) return
        if (this.#unanswered !== undefined) {
          this.#unanswered.push(sync)
          return
        }
        this.records.push(...copies)
        this.#inFlight = undefined
        this.syncs += 1
        resolve()
      }
      this.#clock.after(1, sync)
      this.onAppend?.()
    })
  }

  /** From now on the disk does not answer. */
  hang(): void {
    this.#unanswered ??= []
  }

  /** The disk answers again, to all that waits as well. */
  answer(): void {
    const waiting = this.#unanswered ?? []
    this.#unanswered = undefined
    for (const sync of waiting) sync()
  }

  /** Counts an opening, as the real file does. */
  open(): { logId: Uint8Array; counter: number; nonce: Uint8Array } {
    this.#openings += 1
    return { logId: this.#id, counter: this.#openings, nonce: this.#random(16) }
  }

  trim(isKept: (record: EncodedRecord) => boolean): Promise<void> {
    this.records = this.records.filter(isKept)
    return Promise.resolve()
  }

  /** All of the file, as a backup has it. */
  copy(): LogImage {
    return { id: this.#id, records: [...this.records], openings: this.#openings }
  }

  /** A backup is put back, or another machine starts from it. */
  restore({ id, records, openings }: LogImage): void {
    this.#id = id
    this.records = [...records]
    this.#openings = openings
  }

  /** Power off. */
  crash(inFlight: "lost" | "kept"): void {
    if (inFlight === "kept" && this.#inFlight !== undefined) {
      this.records.push(...this.#inFlight.records)
    }
    this.#inFlight = undefined
    this.#life += 1
  }
}

/** A database that cannot read some keys, until they are written again. */
export class RottenDatabase implements Database {
  readonly #inner: Database
  readonly #rotten: Set<string>

  constructor(inner: Database, rotten: Set<string>) {
    this.#inner = inner
    this.#rotten = rotten
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#check(key)
    return this.#inner.get(key)
  }

  async *range(range: Parameters<Database["range"]>[0]): ReturnType<Database["range"]> {
    for await (const row of this.#inner.range(range)) {
      this.#check(row[0])
      yield row
    }
  }

  async write(...args: Parameters<Database["write"]>): Promise<void> {
    await this.#inner.write(...args)
    for (const { key } of args[0]) this.#rotten.delete(key)
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  #check(key: string): void {
    if (this.#rotten.has(key)) throw new NodeError("STORE_DAMAGED", `${key}: wrong checksum`)
  }
}

interface Life {
  readonly ledger: Ledger
  readonly database: Database
  readonly simulated: SimulatedDatabase
  readonly transport: Transport
}

/** One post's machine, over all of its lives. */
export class LedgerNode {
  readonly post: MinistryPost
  readonly disk: SimulatedDisk
  readonly wal: SimulatedLogFile
  /** Keys whose values have rotted. */
  readonly rotten = new Set<string>()
  readonly finals: Final[] = []
  /** How its next lives catch up. */
  sync: SyncMode = "auto"
  /** How far its clock is ahead of the world's. */
  skewMs = 0
  readonly warnings: string[] = []
  /** What the warnings say beside their codes. */
  readonly facts: Readonly<Record<string, string | number>>[] = []
  readonly failures: unknown[] = []
  /** Why its key does not vote until its operator has looked. */
  halted: Refusal | undefined
  /** What its consensus key has signed, in all lives of this machine. */
  signatures = 0
  /** Sizes that its validator's Ed25519 cosigner has signed, in all lives of this machine. */
  readonly cosigned: number[] = []
  readonly #machine: string
  readonly #world: LedgerWorld
  #life: Life | undefined
  #nextSeq: number | undefined

  /** `machine` names a second one with the same post's keys. */
  constructor(world: LedgerWorld, post: MinistryPost, machine = "") {
    this.#world = world
    this.#machine = machine
    this.post = post
    this.disk = new SimulatedDisk({ clock: world.clock, syncMs: world.syncMs })
    this.wal = new SimulatedLogFile(world.clock, post.code + machine)
  }

  /** Another machine with a copy of this one's disk as it is now, running or not. */
  clone(machine: string): LedgerNode {
    const clone = new LedgerNode(this.#world, this.post, machine)
    clone.disk.restore(this.disk.snapshot())
    clone.wal.restore(this.wal.copy())
    return clone
  }

  get isUp(): boolean {
    return this.#life !== undefined
  }

  get ledger(): Ledger {
    if (this.#life === undefined) throw new Error(`${this.post.code} is down`)
    return this.#life.ledger
  }

  get transport(): Transport {
    if (this.#life === undefined) throw new Error(`${this.post.code} is down`)
    return this.#life.transport
  }

  get database(): Database {
    if (this.#life === undefined) throw new Error(`${this.post.code} is down`)
    return this.#life.database
  }

  get height(): number {
    return this.#life === undefined ? -1 : this.ledger.head().height
  }

  /** Why this post's validator key does not vote, if it has one. */
  get refusal(): Refusal | undefined {
    return this.ledger.validatorStatus()?.refusal
  }

  /** The next sync of the database fails, as a dying disk would. */
  failNextWrite(): void {
    this.#life?.simulated.failNextWrite()
  }

  /** A new life on the same disk; resolves when the ledger runs. */
  async start(): Promise<void> {
    const { ministry, network, clock } = this.#world
    const transport = network.transport(this.post.peer, this.#machine)
    const simulated = this.disk.open()
    const database = new RottenDatabase(simulated, this.rotten)
    const validator = ministry.validators.find(({ rid }) => rid === this.post.rid)
    const started = Promise.withResolvers<void>()
    const ledger = new Ledger({
      suite: ministry.suite,
      database,
      transport,
      clock: { ...clock, now: () => clock.now() + this.skewMs },
      genesisBytes: ministry.genesisBytes,
      self: { peer: this.post.peer, signBatch: this.post.submit.sign },
      checkpoints: this.#checkpointKeys(),
      sync: this.sync,
      ...(this.halted !== undefined && { refusal: this.halted }),
      ...(validator !== undefined &&
        this.halted === undefined && {
          validator: {
            consensusKey: validator.consensus.publicKey,
            sign: (bytes) => {
              this.signatures += 1
              return validator.consensus.sign(bytes)
            },
            wal: this.wal,
            records: [...this.wal.records],
            run: this.wal.open(),
            halt: async (why) => Promise.resolve(void (this.halted = why)),
          },
        }),
      recordEvidence: async (payload) => {
        await started.promise
        await this.submit((seq) => this.#entry("evidence", seq, payload))
      },
      log: {
        warn: (event, facts) => {
          this.warnings.push(event)
          this.facts.push(facts)
        },
      },
      onFatal: (error) => this.failures.push(error),
    })
    ledger.onFinal((final) => this.finals.push(final))
    this.#nextSeq = undefined
    await ledger.start()
    this.#life = { ledger, database, simulated, transport }
    started.resolve()
    this.meet()
    await transport.start()
  }

  #checkpointKeys(): CheckpointKeys {
    const keys = this.#world.ministry.checkpointKeys(this.post)
    const { validator } = keys
    if (validator === undefined) return keys
    const cosigner = (message: Uint8Array): Uint8Array => {
      // The time, the origin and then the size follow the label (LEDGER §15.3).
      this.cosigned.push(Number(new TextDecoder().decode(message).split("\n")[3]))
      return validator.cosigner(message)
    }
    return { ...keys, validator: { ...validator, cosigner } }
  }

  /** Tells the transport who belongs now. */
  meet(): void {
    if (this.#life === undefined) return
    const { ledger, transport } = this.#life
    const missions = ledger.directory
      .missions()
      .filter((mission) => !ledger.directory.isRevoked(mission, ledger.head().height))
    const peers = new Set(
      missions.map(({ facts }) => Array.from(facts.transportKey, hexByte).join("")),
    )
    // A mission that is not admitted here yet knows headquarters from the genesis.
    const validators = new Set(
      ledger.directory.genesis.validators.map(({ rid }) => {
        const facts = ledger.directory.mission(rid)?.facts
        return facts === undefined ? "" : Array.from(facts.transportKey, hexByte).join("")
      }),
    )
    const isValidator = validators.has(this.post.peer)
    transport.setMembers(
      [...peers].map((peer) => {
        return { peer, addresses: [], keep: true, eager: isValidator && validators.has(peer) }
      }),
    )
  }

  async stop(): Promise<void> {
    this.#life?.ledger.stop()
    await this.#life?.transport.stop()
    await this.#life?.database.close()
    this.#life = undefined
  }

  /**
   * The process is gone: nothing is said any more, and what was on its way to the disk may be there
   * or not. In a power cut the others are not told by its machine either.
   */
  crash(inFlight: "lost" | "kept" = "lost", isPowerCut = false): void {
    this.#world.network.crash(this.post.peer, { machine: this.#machine, isPowerCut })
    this.#life?.ledger.stop()
    this.disk.crash(inFlight)
    this.wal.crash(inFlight)
    this.#life = undefined
  }

  /** Writes an entry's row as the outbox would, then pokes; resolves with the serial. */
  async submit(make: (seq: number) => Entry = (seq) => this.message(seq)): Promise<number> {
    const { ledger, database } = this
    this.#nextSeq ??= Math.max(
      ledger.lastSeq(this.post.rid),
      ...ledger.pending().map((entry) => entry.submitterSeq),
    )
    this.#nextSeq += 1
    const seq = this.#nextSeq
    await database.write([ledger.entryOperation(make(seq))])
    await ledger.poke()
    return seq
  }

  message(seq: number): Entry {
    const { clock, random } = this.#world
    return messageEntry(this.post.rid, seq, clock.now(), random(32))
  }

  governance(payload: Uint8Array): (seq: number) => Entry {
    return (seq) => this.#entry("governance", seq, payload)
  }

  #entry(type: "governance" | "evidence", seq: number, payload: Uint8Array): Entry {
    const { clock, ministry } = this.#world
    return payloadEntry(ministry.suite, type, this.post.rid, seq, clock.now(), payload)
  }
}

export class LedgerWorld {
  readonly clock: VirtualClock
  readonly network: SimulatedNetwork
  readonly ministry: Ministry
  readonly random: (length: number) => Uint8Array
  readonly nodes: readonly LedgerNode[]
  /** How long a disk takes to make a write of the database durable. */
  readonly syncMs: number

  constructor(
    count: number,
    seed: string | number,
    options: MinistryOptions & { link?: Partial<Link>; syncMs?: number } = {},
  ) {
    this.syncMs = options.syncMs ?? 1
    this.clock = createVirtualClock()
    this.random = seededRandom(`ledgers ${seed}`)
    this.network = createSimulatedNetwork({
      clock: this.clock,
      random: this.random,
      ...(options.link && { link: options.link }),
    })
    this.ministry = createMinistry(count, seed, options)
    this.nodes = this.ministry.posts.map((post) => new LedgerNode(this, post))
  }

  node(index: number): LedgerNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`no post ${index}`)
    return node
  }

  get headquarters(): LedgerNode {
    return this.node(0)
  }

  /** Starts all posts that are down, and gives them time to meet. */
  async start(): Promise<void> {
    for (const node of this.nodes) if (!node.isUp) await this.during(node.start())
  }

  /** Runs virtual time until a promise of the node's own has settled. Computing takes none. */
  async during<T>(promise: Promise<T>, withinMs = 24 * 3_600_000): Promise<T> {
    const state = { isSettled: false }
    const settled = promise.finally(() => {
      state.isSettled = true
    })
    settled.catch(() => undefined)
    for (let turn = 0; turn < SETTLE_TURNS && !state.isSettled; turn++) await this.clock.settle()
    await this.clock.runUntil(() => state.isSettled, withinMs)
    return settled
  }

  /** The encoded blocks that a node has. */
  async blocksOf(node: LedgerNode): Promise<Uint8Array[]> {
    const blocks: Uint8Array[] = []
    const collect = async (): Promise<void> => {
      for await (const block of node.ledger.blocks()) blocks.push(block)
    }
    await this.during(collect())
    return blocks
  }

  /** True when all posts that are up have the same head and nothing waits. */
  isQuiet(): boolean {
    const up = this.nodes.filter((node) => node.isUp)
    const heads = new Set(up.map((node) => String(node.ledger.head().hash)))
    return heads.size === 1 && up.every((node) => node.ledger.pending().length === 0)
  }

  async untilQuiet(withinMs = 600_000): Promise<number> {
    return this.clock.runUntil(() => this.isQuiet(), withinMs)
  }
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0")
}

/**
 * A disk and a database in memory, for whole networks in virtual time.
 *
 * It behaves as node/store/level.ts does where the rest of the node can tell: a write resolves once
 * it is durable, writes that arrive during a sync share the next one in order, and the first failure
 * ends the store. A crash loses what has not resolved, or keeps what was on its way: both happen to
 * real disks. Nothing is random; whoever wants chance hands it in.
 */

import type { Clock } from "../../node/clock.ts"
import { NodeError } from "../../node/errors.ts"
import type { Database, Operation, Range } from "../../node/store/database.ts"

interface Waiting {
  readonly operations: readonly Operation[]
  readonly isUrgent: boolean
  readonly resolve: () => void
  readonly reject: (error: NodeError) => void
}

export interface DiskOptions {
  /** With a clock, each sync takes `syncMs` of its time; without, a turn of the promise queue. */
  readonly clock?: Clock
  readonly syncMs?: number
}

/** What survives a crash. At most one database is open on it. */
export class SimulatedDisk {
  readonly #options: DiskOptions
  #durable = new Map<string, Uint8Array>()
  #open: SimulatedDatabase | undefined
  /** Batches synced so far, all databases on this disk together. */
  syncs = 0
  /** Called when a sync starts; a test may crash the machine here. */
  onSync: (() => void) | undefined
  /** Non-urgent writes are refused with `STORE_FULL` while this is true. */
  isFull = false
  /** How long a sync takes, where there is a clock; a test may slow the disk down. */
  syncMs: number
  /** How long a read of one value takes, where there is a clock; 0 for a turn of the queue. */
  readMs = 0

  constructor(options: DiskOptions = {}) {
    this.#options = options
    this.syncMs = options.syncMs ?? 1
  }

  /** @throws NodeError `STORE_LOCKED` while a database is open here. */
  open(): SimulatedDatabase {
    if (this.#open !== undefined) throw new NodeError("STORE_LOCKED", "the disk is in use")
    this.#open = new SimulatedDatabase(this, this.#options)
    return this.#open
  }

  /**
   * Power off: the open database ends, its callers hear nothing any more. `inFlight` says whether
   * the batch that was being synced reached the disk.
   */
  crash(inFlight: "lost" | "kept" = "lost"): void {
    this.#open?.stop(inFlight)
    this.#open = undefined
  }

  /** A copy of the durable content: a backup, or the other half of a cloned machine. */
  snapshot(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.#durable)
  }

  /** Puts a snapshot in the place of the content; nothing may be open. */
  restore(snapshot: ReadonlyMap<string, Uint8Array>): void {
    if (this.#open !== undefined) throw new NodeError("STORE_LOCKED", "the disk is in use")
    this.#durable = new Map(snapshot)
  }

  /** For {@link SimulatedDatabase}: the durable content, in no order. */
  get content(): Map<string, Uint8Array> {
    return this.#durable
  }

  /** For {@link SimulatedDatabase}. */
  release(): void {
    this.#open = undefined
  }
}

export class SimulatedDatabase implements Database {
  readonly #disk: SimulatedDisk
  readonly #options: DiskOptions
  #waiting: Waiting[] = []
  #inFlight: Waiting[] = []
  #flushing: Promise<void> | undefined
  #ended: NodeError | undefined
  #isStopped = false
  #failsNext = false

  /** For {@link SimulatedDisk.open}. */
  constructor(disk: SimulatedDisk, options: DiskOptions) {
    this.#disk = disk
    this.#options = options
  }

  /** The next sync fails, as a dying disk would: nothing of its batch is durable. */
  failNextWrite(): void {
    this.#failsNext = true
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#check()
    const value = this.#disk.content.get(key)?.slice()
    if (this.#disk.readMs > 0) await this.#wait(this.#disk.readMs)
    return value
  }

  async *range(range: Range): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    this.#check()
    const found = [...this.#disk.content]
      .filter(([key]) => key.startsWith(range.prefix))
      .filter(([key]) => range.from === undefined || key >= range.from)
      .filter(([key]) => range.until === undefined || key < range.until)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
    if (range.reverse === true) found.reverse()
    for (const [key, value] of found.slice(0, range.limit ?? found.length)) {
      this.#check()
      yield [key, value.slice()]
    }
  }

  write(operations: readonly Operation[], options?: { urgent?: boolean }): Promise<void> {
    if (this.#isStopped) return new Promise(() => undefined)
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const copies = operations.map((operation) =>
      operation.type === "put" ? { ...operation, value: operation.value.slice() } : operation,
    )
    return new Promise((resolve, reject) => {
      const isUrgent = options?.urgent === true
      this.#waiting.push({ operations: copies, isUrgent, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async close(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing
    if (this.#isStopped) return
    this.#ended ??= new NodeError("STORE_FAILED", "the store is closed")
    this.#disk.release()
  }

  /** For {@link SimulatedDisk.crash}. */
  stop(inFlight: "lost" | "kept"): void {
    if (inFlight === "kept") this.#apply(this.#inFlight)
    this.#isStopped = true
    this.#ended = new NodeError("STORE_FAILED", "the machine has crashed")
    this.#waiting = []
    this.#inFlight = []
  }

  async #flush(): Promise<void> {
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#waiting.filter((one) => !this.#refuse(one))
      this.#waiting = []
      this.#inFlight = group
      this.#disk.onSync?.()
      await this.#wait(this.#disk.syncMs)
      if (this.#isStopped) break
      this.#inFlight = []
      if (this.#failsNext) {
        this.#end(group)
        break
      }
      this.#apply(group)
      this.#disk.syncs += 1
      for (const one of group) one.resolve()
    }
    this.#flushing = undefined
  }

  #refuse(one: Waiting): boolean {
    const isDeleting = one.operations.every((operation) => operation.type === "delete")
    if (!this.#disk.isFull || one.isUrgent || isDeleting) return false
    one.reject(new NodeError("STORE_FULL", "the disk is below its floor"))
    return true
  }

  #end(group: readonly Waiting[]): void {
    this.#ended = new NodeError("STORE_FAILED", "a write failed: EIO")
    const all = [...group, ...this.#waiting]
    this.#waiting = []
    for (const one of all) one.reject(this.#ended)
  }

  #apply(group: readonly Waiting[]): void {
    for (const operation of group.flatMap((one) => one.operations)) {
      if (operation.type === "put") this.#disk.content.set(operation.key, operation.value)
      else this.#disk.content.delete(operation.key)
    }
  }

  #wait(durationMs: number): Promise<void> {
    const { clock } = this.#options
    if (clock === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      clock.after(durationMs, resolve)
    })
  }

  #check(): void {
    if (this.#ended !== undefined) throw this.#ended
  }
}

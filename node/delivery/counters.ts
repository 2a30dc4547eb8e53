/**
 * The sender's counters: serial on the ledger, serial per addressee, and the hash chain over our
 * own envelopes (PROTOCOL §5.1).
 *
 * One writer at a time: {@link Counters.exclusive} hands out the next values, and they count only
 * when the batch that used them is on the disk. Nothing else in the node assigns a serial.
 */

import type { Database, Operation } from "../store/database.ts"
import { KEYS, parseRow, putRow, type CountersRow } from "./rows.ts"

const FIRST_SEQ = 1
const ZERO_HASH = "0".repeat(64)

export interface Turn {
  readonly seq: number
  readonly incarnation: number
  /** Hex. */
  readonly prevHash: string
  /** Serial of the next envelope to this addressee; counted once a turn. */
  pairSeq(rid: number): number
}

export interface Written<T> {
  readonly operations: readonly Operation[]
  /** Id of the envelope that used the turn; absent for entries that are no envelope. */
  readonly envelopeId?: string
  readonly urgent?: boolean
  readonly result: T
}

export class Counters {
  readonly #database: Database
  readonly #pairs = new Map<number, number>()
  #row: CountersRow = { nextSeq: FIRST_SEQ, incarnation: 0, prevHash: ZERO_HASH }
  #tail: Promise<unknown> = Promise.resolve()

  constructor(database: Database) {
    this.#database = database
  }

  async load(): Promise<void> {
    const value = await this.#database.get(KEYS.counters)
    if (value !== undefined) this.#row = parseRow<CountersRow>(KEYS.counters, value)
    for await (const [key, bytes] of this.#database.range({ prefix: KEYS.pairPrefix })) {
      const { rid, next } = parseRow<{ rid: number; next: number }>(key, bytes)
      this.#pairs.set(rid, next)
    }
  }

  get incarnation(): number {
    return this.#row.incarnation
  }

  get nextSeq(): number {
    return this.#row.nextSeq
  }

  /**
   * Runs `make` alone with the next serial, writes what it returns in one synced batch together
   * with the counters, and returns its result. When `make` throws or the write is refused, the
   * serial was never used.
   */
  async exclusive<T>(make: (turn: Turn) => Written<T> | Promise<Written<T>>): Promise<T> {
    const run = this.#tail.then(() => this.#take(make))
    // A turn that failed is reported to its own caller; the next one starts afresh.
    this.#tail = run.catch(() => undefined)
    return run
  }

  async #take<T>(make: (turn: Turn) => Written<T> | Promise<Written<T>>): Promise<T> {
    const row = this.#row
    const pairs = new Map<number, number>()
    const written = await make({
      seq: row.nextSeq,
      incarnation: row.incarnation,
      prevHash: row.prevHash,
      pairSeq: (rid) => {
        const serial = this.#pairs.get(rid) ?? FIRST_SEQ
        pairs.set(rid, serial + 1)
        return serial
      },
    })
    const next: CountersRow = {
      nextSeq: row.nextSeq + 1,
      incarnation: row.incarnation,
      prevHash: written.envelopeId ?? row.prevHash,
    }
    const counters = [...pairs].map(([rid, value]) => putRow(KEYS.pair(rid), { rid, next: value }))
    const operations = [...written.operations, ...counters, putRow(KEYS.counters, next)]
    await this.#database.write(operations, { urgent: written.urgent === true })
    this.#row = next
    for (const [rid, value] of pairs) this.#pairs.set(rid, value)
    return written.result
  }
}

/**
 * The consensus log as a validator uses it: records of one turn share a sync, messages wait for
 * what they need on the disk, and old records go now and then (LEDGER §9.1).
 */

import { mustKeep, viewOfRecord, type EncodedRecord } from "../../ledger/record.ts"
import { LOG_TRIM_BYTES, LOG_TRIM_VIEWS } from "../../protocol/limits.ts"
import type { LogWatch } from "./log-watch.ts"

/** The write-ahead log, as far as it is needed here; the real one is store/wal.ts. */
export interface ConsensusLog {
  /** Resolves when all records are on the disk. */
  append(records: readonly EncodedRecord[]): Promise<void>
  /** Keeps only some records; a crash in between leaves all of them. */
  trim(isKept: (record: EncodedRecord) => boolean): Promise<void>
}

/** What may go out once a record is on the disk. */
interface Waiting {
  /** Number of that record. */
  readonly after: number
}

/** A sync that is done. */
interface Synced<Held> {
  /** Number of the last record on the disk. */
  readonly seq: number
  /** What waited for it, in its order. */
  readonly due: readonly Held[]
}

export class Journal<Held extends Waiting> {
  readonly #log: ConsensusLog
  readonly #watch: LogWatch
  /** Records of the turn under way, and the number of the last one. */
  #records: EncodedRecord[] = []
  #lastSeq = 0
  #syncedSeq = 0
  #held: Held[] = []
  /** Oldest view of the log, as far as is known. */
  #oldestView: number
  /** Bytes of records that the log has grown by since it was rewritten. */
  #loggedBytes = 0

  /** `records`: what the log holds, oldest first. */
  constructor(log: ConsensusLog, records: readonly EncodedRecord[], watch: LogWatch) {
    this.#log = log
    this.#watch = watch
    this.#oldestView = Math.min(...records.slice(0, 1).map(viewOfRecord))
    for (const { payload } of records) this.#loggedBytes += payload.length
  }

  add(record: EncodedRecord, seq: number): void {
    this.#records.push(record)
    this.#oldestView = Math.min(this.#oldestView, viewOfRecord(record))
    this.#lastSeq = seq
  }

  /** Keeps a message until its record is on the disk; false when it is there already. */
  hold(message: Held): boolean {
    if (message.after <= this.#syncedSeq) return false
    this.#held.push(message)
    return true
  }

  /** The end: nothing that waits goes out any more. */
  drop(): void {
    this.#held = []
  }

  /**
   * Writes what was added, in one sync; resolves with what that allows, or undefined when there was
   * nothing. Calls resolve in order.
   */
  async sync(): Promise<Synced<Held> | undefined> {
    if (this.#records.length === 0) return undefined
    const records = this.#records
    const seq = this.#lastSeq
    this.#records = []
    for (const { payload } of records) this.#loggedBytes += payload.length
    await this.#watch.watch(this.#log.append(records))
    this.#syncedSeq = seq
    const due = this.#held.filter(({ after }) => after <= seq)
    this.#held = this.#held.filter(({ after }) => after > seq)
    return { seq, due }
  }

  /** The log stays far below its limit, however large blocks are. */
  async trim(finalView: number): Promise<void> {
    const isDue = finalView >= this.#oldestView + LOG_TRIM_VIEWS
    if (!isDue && this.#loggedBytes < LOG_TRIM_BYTES) return
    this.#oldestView = finalView
    this.#loggedBytes = 0
    await this.#log.trim((record) => mustKeep(record, finalView))
  }
}

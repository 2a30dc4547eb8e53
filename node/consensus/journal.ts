/**
 * The consensus log as a validator uses it: records of one turn share a sync, and old ones go now
 * and then (LEDGER §9.1).
 */

import { mustKeep, viewOfRecord, type EncodedRecord } from "../../ledger/record.ts"
import { LOG_TRIM_BYTES, LOG_TRIM_VIEWS } from "../../protocol/limits.ts"

/** The write-ahead log, as far as it is needed here; the real one is store/wal.ts. */
export interface ConsensusLog {
  /** Resolves when all records are on the disk. */
  append(records: readonly EncodedRecord[]): Promise<void>
  /** Keeps only some records; a crash in between leaves all of them. */
  trim(isKept: (record: EncodedRecord) => boolean): Promise<void>
}

export class Journal {
  readonly #log: ConsensusLog
  /** Records of the turn under way, and the number of the last one. */
  #records: EncodedRecord[] = []
  #lastSeq = 0
  #syncedSeq = 0
  /** Oldest view of the log, as far as is known. */
  #oldestView: number
  /** Bytes of records that the log has grown by since it was rewritten. */
  #loggedBytes = 0

  /** `records`: what the log holds, oldest first. */
  constructor(log: ConsensusLog, records: readonly EncodedRecord[]) {
    this.#log = log
    this.#oldestView = Math.min(...records.slice(0, 1).map(viewOfRecord))
    for (const { payload } of records) this.#loggedBytes += payload.length
  }

  /** Number up to which records are on the disk. */
  get syncedSeq(): number {
    return this.#syncedSeq
  }

  add(record: EncodedRecord, seq: number): void {
    this.#records.push(record)
    this.#oldestView = Math.min(this.#oldestView, viewOfRecord(record))
    this.#lastSeq = seq
  }

  /**
   * Writes what was added, in one sync; resolves with the number of the last record, or undefined
   * when there was none. Calls resolve in order.
   */
  async sync(): Promise<number | undefined> {
    if (this.#records.length === 0) return undefined
    const records = this.#records
    const seq = this.#lastSeq
    this.#records = []
    for (const { payload } of records) this.#loggedBytes += payload.length
    await this.#log.append(records)
    this.#syncedSeq = seq
    return seq
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

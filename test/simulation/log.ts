/**
 * The consensus log of a simulated validator: the bytes of LEDGER §9.2, written and read by the
 * product's own code. A power cut tears the append under way at any byte, and may flip a bit in what
 * is left of it; what was synced is kept, and rots only when it is told to.
 *
 * Nobody reads a log before it is opened again, so its bytes are made only then: a run without a
 * crash pays nothing for them.
 */

import { NodeError } from "../../node/errors.ts"
import {
  encodeAppend,
  encodeHeader,
  readLog,
  WAL_ID_BYTES,
  type WalRecord,
} from "../../node/store/wal-format.ts"
import { concatBytes, equalBytes } from "../../protocol/bytes.ts"
import { decodeRecord, encodeRecord, type ConsensusRecord } from "../../ledger/record.ts"
import { VOTE_KINDS, type Vote } from "../../ledger/vote.ts"
import { Red } from "./invariants.ts"
import { cheapSuite } from "./keys.ts"
import type { Random } from "./random.ts"

/** Probability that an append is whole when the power goes before its sync has answered. */
const WHOLE = 0.4
/** … that its end came to the disk as zeros, and that a bit of what is there is wrong. */
const ZEROS = 0.2
const FLIPPED = 0.2

export class Log {
  /** What is synced: each of these must be read again, in this order. */
  records: ConsensusRecord[] = []
  readonly #id = new Uint8Array(WAL_ID_BYTES).fill(5)
  #bytes = encodeHeader(this.#id)
  /** Where the last synced append begins, as far as bytes are made. */
  #lastAt = 0
  #boots = 0
  /** Appends that are synced and not made into bytes yet. */
  #unmade: (readonly ConsensusRecord[])[] = []
  #waiting: ConsensusRecord[] = []
  #writing: readonly ConsensusRecord[] | undefined
  #isRotten = false
  /** Every vote that was ever on the disk, by view and kind: hash. */
  readonly #votes: Map<number, Uint8Array>

  constructor(votes = new Map<number, Uint8Array>()) {
    this.#votes = votes
  }

  /** A record for the next append. */
  add(record: ConsensusRecord): void {
    this.#waiting.push(record)
  }

  /** Begins to write what waits; false when nothing does, or an append is under way. */
  begin(): boolean {
    if (this.#writing !== undefined || this.#waiting.length === 0) return false
    this.#writing = this.#waiting
    this.#waiting = []
    return true
  }

  /** The append under way is safe. */
  sync(): void {
    const written = this.#writing ?? []
    this.#writing = undefined
    this.#unmade.push(written)
    for (const record of written) this.#keep(record)
  }

  #keep(record: ConsensusRecord): void {
    this.records.push(record)
    if (record.kind === "certificate") return
    this.#votes.set(slotOf(record.vote), record.vote.blockHash)
  }

  /** True for a vote that was safe at some time. */
  hasVote(vote: Vote): boolean {
    const hash = this.#votes.get(slotOf(vote))
    return hash !== undefined && equalBytes(hash, vote.blockHash)
  }

  /** Keeps the records of some views; the new file is what the product's own rewriting makes. */
  trim(oldestView: number): void {
    if (this.#writing !== undefined) return
    this.records = this.records.filter((record) => viewOfRecord(record) >= oldestView)
    this.#bytes = encodeHeader(this.#id)
    this.#unmade = [this.records.slice(), []]
  }

  /** The power goes: what waited is lost, and of the append under way something may be there. */
  cut(random: Random): void {
    const written = this.#writing
    this.#waiting = []
    this.#writing = undefined
    this.#make()
    if (written === undefined) return
    const append = this.#append(this.#bytes.length, written)
    const length = random.chance(WHOLE) ? append.length : random.int(append.length)
    const left = random.chance(ZEROS) ? append.fill(0, length) : append.subarray(0, length)
    if (length > 0 && random.chance(FLIPPED)) flip(left, random.int(8 * length))
    this.#bytes = concatBytes(this.#bytes, left)
  }

  /** A bit that was on the disk before the last append is not what it was. */
  rot(random: Random): void {
    if (this.#isRotten || this.#lastAt === 0) return
    this.#isRotten = true
    flip(this.#bytes, random.int(8 * this.#lastAt))
  }

  /**
   * Reads the log as a node does and begins to write the mark of this opening; {@link sync} follows.
   * Undefined when it is damaged: then its validator must not sign.
   */
  open(): readonly ConsensusRecord[] | undefined {
    const found = this.#read()
    if (found === undefined) return undefined
    const read = found.records.map((record) => decodeRecord(cheapSuite, record))
    for (const [i, record] of this.records.entries()) {
      if (!isSame(record, read[i]))
        throw new Red(`record ${i + 1} was synced, and is not read again`)
    }
    // An append that was whole when the power went is there, and from now on its records are safe.
    for (const record of read.slice(this.records.length)) this.#keep(record)
    this.#bytes = this.#bytes.slice(0, found.end)
    this.#boots += 1
    this.#writing = []
    return read
  }

  #read(): { records: readonly WalRecord[]; end: number } | undefined {
    try {
      const { records, end, bootCounter } = readLog(this.#bytes, "log")
      if (this.#isRotten) throw new Red("a bit that flipped before the tail is not noticed")
      // The mark of an opening may be torn; all before it are there.
      if (bootCounter !== this.#boots && bootCounter !== this.#boots - 1) {
        throw new Red(`the log was opened ${this.#boots} times and tells of ${bootCounter}`)
      }
      this.#boots = bootCounter
      return { records, end }
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== "WAL_DAMAGED") throw error
      if (!this.#isRotten) throw new Red(`nothing rotted: ${error.message}`)
      return undefined
    }
  }

  /** The log as it is now. What was ever on this key's disk stays known through both. */
  copy(): Log {
    const copy = new Log(this.#votes)
    this.#make()
    copy.records = [...this.records]
    copy.#bytes = this.#bytes.slice()
    copy.#boots = this.#boots
    return copy
  }

  #make(): void {
    const parts = [this.#bytes]
    let { length } = this.#bytes
    for (const records of this.#unmade) {
      const append = this.#append(length, records)
      this.#lastAt = length
      length += append.length
      parts.push(append)
    }
    this.#bytes = concatBytes(...parts)
    this.#unmade = []
  }

  #append(offset: number, records: readonly ConsensusRecord[]): Uint8Array {
    return encodeAppend(this.#id, this.#boots, offset, records.map(encodeRecord))
  }
}

function flip(bytes: Uint8Array, bit: number): void {
  const at = bit >>> 3
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7))
}

function isSame(record: ConsensusRecord, read: ConsensusRecord | undefined): boolean {
  if (record.kind !== read?.kind) return false
  const of = (one: ConsensusRecord): Uint8Array =>
    one.kind === "certificate" ? one.certificate.blockHash : one.vote.signature
  return viewOfRecord(record) === viewOfRecord(read) && equalBytes(of(record), of(read))
}

function viewOfRecord(record: ConsensusRecord): number {
  return record.kind === "certificate" ? record.certificate.view : record.vote.view
}

function slotOf(vote: Vote): number {
  return vote.view * 4 + VOTE_KINDS[vote.kind]
}

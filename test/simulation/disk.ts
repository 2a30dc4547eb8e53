/**
 * A simulated validator's disk: what is synced survives a crash, what was only appended may. The log
 * is that of consensus, the store holds final blocks; they know nothing of each other.
 */

import { equalBytes } from "../../protocol/bytes.ts"
import { VOTE_VIEWS_BEHIND } from "../../protocol/limits.ts"
import type { FinalBlock } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import type { ConsensusRecord } from "../../ledger/record.ts"
import { VOTE_KINDS, type Vote } from "../../ledger/vote.ts"
import type { Content } from "./content.ts"
import type { Random } from "./random.ts"

/** A final block with what is in it. */
export interface Stored {
  readonly final: FinalBlock
  readonly content: Content
}

const TRIM_RECORDS = 256

export class Disk {
  log: ConsensusRecord[] = []
  readonly store: Stored[] = []
  readonly kept: Certificate[] = []
  #appended: { readonly seq: number; readonly record: ConsensusRecord }[] = []
  /** Every vote that was ever synced, by view and kind: hash. */
  readonly #votes = new Map<number, Uint8Array>()

  append(seq: number, record: ConsensusRecord): void {
    this.#appended.push({ seq, record })
  }

  /** All records up to this number are safe. */
  sync(seq: number): void {
    const appended = this.#appended
    let count = 0
    while (count < appended.length && (appended[count]?.seq ?? 0) <= seq) count += 1
    for (const { record } of appended.splice(0, count)) this.#keep(record)
  }

  #keep(record: ConsensusRecord): void {
    this.log.push(record)
    if (record.kind === "certificate") return
    this.#votes.set(slotOf(record.vote), record.vote.blockHash)
  }

  /** The power goes: of what was appended and not synced, a beginning may be there. */
  crash(random: Random): void {
    const survivors = random.int(this.#appended.length + 1)
    for (const { record } of this.#appended.slice(0, survivors)) this.#keep(record)
    this.#appended = []
  }

  /** True for a vote that was safe at some time. */
  hasVote(vote: Vote): boolean {
    const hash = this.#votes.get(slotOf(vote))
    return hash !== undefined && equalBytes(hash, vote.blockHash)
  }

  /** Final blocks are in the store; records far below are not needed any more. */
  put(blocks: readonly Stored[], kept: readonly Certificate[]): void {
    for (const stored of blocks) {
      if (stored.content.height === this.store.length + 1) this.store.push(stored)
    }
    this.kept.push(...kept)
    if (this.log.length < TRIM_RECORDS) return
    const oldest = (this.store.at(-1)?.content.view ?? 0) - VOTE_VIEWS_BEHIND
    this.log = this.log.filter((record) => viewOfRecord(record) >= oldest)
  }
}

function viewOfRecord(record: ConsensusRecord): number {
  return record.kind === "certificate" ? record.certificate.view : record.vote.view
}

function slotOf(vote: Vote): number {
  return vote.view * 4 + VOTE_KINDS[vote.kind]
}

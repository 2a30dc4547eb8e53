/**
 * A simulated validator's disk: what is synced survives a crash, what was only written may. The log
 * is that of consensus, the store holds final blocks; they know nothing of each other.
 */

import { VOTE_VIEWS_BEHIND } from "../../protocol/limits.ts"
import type { FinalBlock } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import type { Content } from "./content.ts"
import { Log } from "./log.ts"
import type { Random } from "./random.ts"

/** A final block with what is in it. */
export interface Stored {
  readonly final: FinalBlock
  readonly content: Content
}

const TRIM_RECORDS = 96

export class Disk {
  readonly log: Log
  readonly store: Stored[]
  readonly kept: Certificate[] = []
  /** Row of the cosigner: the head that it signed last. */
  cosigned: Uint8Array | undefined

  constructor(log: Log = new Log(), store: readonly Stored[] = []) {
    this.log = log
    this.store = [...store]
  }

  /** Final blocks are in the store; records far below are not needed any more. */
  put(blocks: readonly Stored[], kept: readonly Certificate[]): void {
    for (const stored of blocks) {
      if (stored.content.height === this.store.length + 1) this.store.push(stored)
    }
    this.kept.push(...kept)
    if (this.log.records.length < TRIM_RECORDS) return
    this.log.trim((this.store.at(-1)?.content.view ?? 0) - VOTE_VIEWS_BEHIND)
  }

  /** A copy of all of it, to be put back. */
  copy(): Disk {
    const copy = new Disk(this.log.copy(), this.store)
    copy.cosigned = this.cosigned
    return copy
  }

  /** The newest blocks cannot be read any more: a sound beginning is kept (LEDGER §12). */
  lose(random: Random): void {
    this.store.length = random.int(this.store.length + 1)
  }
}

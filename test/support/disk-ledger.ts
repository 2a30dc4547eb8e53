/**
 * One post's ledger as a node runs it, without the rest of a node: sealed database and consensus log
 * in a folder of the real disk, real keys, every write synced. The transport is the caller's.
 *
 * For benches, which count what goes to the disk.
 */

import { randomFillSync } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import type { EncodedRecord } from "../../ledger/record.ts"
import type { Final } from "../../node/consensus/finality.ts"
import { Ledger } from "../../node/consensus/ledger.ts"
import type { ConsensusLog } from "../../node/consensus/journal.ts"
import type { ValidatorKeys } from "../../node/consensus/own-run.ts"
import { writeHalt } from "../../node/halt.ts"
import type { Clock } from "../../node/clock.ts"
import type { Transport } from "../../node/network/transport.ts"
import type { Database, Operation, Range } from "../../node/store/database.ts"
import { openDatabase } from "../../node/store/level.ts"
import { sealDatabase } from "../../node/store/sealed.ts"
import { openWal } from "../../node/store/wal.ts"
import { messageEntry } from "../../protocol/entry.ts"
import type { Ministry, MinistryPost } from "./ministry.ts"

const NONCE_BYTES = 16
/** The same for all: whoever measures may open a folder again, or under the same key elsewhere. */
const STORE_KEY = new Uint8Array(32).fill(7)

export const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

export interface DiskLedgerParts {
  readonly ministry: Ministry
  readonly post: MinistryPost
  /** Made if it is not there. */
  readonly folder: string
  readonly transport: Transport
  readonly clock: Clock
}

/** What went to the disk. */
export interface DiskCounts {
  databaseOperations: number
  /** Keys and values as they were handed to the database, before seals and checksums. */
  databaseBytes: number
  logRecords: number
  logBytes: number
}

/** The store of a post in `folder`, as a node opens it. */
export async function openStore(ministry: Ministry, folder: string): Promise<Database> {
  await mkdir(folder, { recursive: true })
  const plain = await openDatabase({ path: join(folder, "main") })
  return sealDatabase(plain, { suite: ministry.suite, key: STORE_KEY, random })
}

export class DiskLedger {
  readonly ledger: Ledger
  readonly post: MinistryPost
  readonly counts: DiskCounts
  readonly #database: Database
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #close: () => Promise<void>
  #lastSeq = 0

  private constructor(
    parts: DiskLedgerParts,
    ledger: Ledger,
    database: CountedDatabase,
    close: () => Promise<void>,
  ) {
    this.ledger = ledger
    this.post = parts.post
    this.#database = database
    this.counts = database.counts
    this.#transport = parts.transport
    this.#clock = parts.clock
    this.#close = close
  }

  /** Opens what the folder holds and starts the ledger; the transport has not started then. */
  static async open(parts: DiskLedgerParts): Promise<DiskLedger> {
    const { ministry, post, folder, transport, clock } = parts
    const counts = { databaseOperations: 0, databaseBytes: 0, logRecords: 0, logBytes: 0 }
    const database = new CountedDatabase(await openStore(ministry, folder), counts)
    const validator = await openValidator(ministry, post, folder, counts)
    const ledger = new Ledger({
      suite: ministry.suite,
      database,
      transport,
      clock,
      genesisBytes: ministry.genesisBytes,
      self: { peer: post.peer, signBatch: post.submit.sign },
      checkpoints: ministry.checkpointKeys(post),
      ...(validator && { validator: validator.keys }),
      log: { warn: () => undefined },
      onFatal: (error) => {
        throw error
      },
    })
    await ledger.start()
    return new DiskLedger(parts, ledger, database, async () => validator?.close())
  }

  onFinal(listener: (final: Final) => void): () => void {
    return this.ledger.onFinal(listener)
  }

  /** Writes the rows of new entries in one batch, as the outbox does, and pokes. */
  async submit(count = 1): Promise<void> {
    this.#lastSeq = Math.max(this.#lastSeq, this.ledger.lastSeq(this.post.rid))
    const rows: Operation[] = []
    for (let index = 0; index < count; index++) {
      this.#lastSeq += 1
      const now = this.#clock.now()
      rows.push(
        this.ledger.entryOperation(messageEntry(this.post.rid, this.#lastSeq, now, random(32))),
      )
    }
    await this.#database.write(rows)
    await this.ledger.poke()
  }

  async stop(): Promise<void> {
    this.ledger.stop()
    await this.#transport.stop()
    await this.#database.close()
    await this.#close()
  }
}

async function openValidator(
  ministry: Ministry,
  post: MinistryPost,
  folder: string,
  counts: DiskCounts,
): Promise<{ keys: ValidatorKeys; close: () => Promise<void> } | undefined> {
  const keys = ministry.validators.find(({ rid }) => rid === post.rid)
  if (keys === undefined) return undefined
  const { wal, records } = await openWal(join(folder, "wal"), random)
  const { walId: logId, bootCounter: counter } = wal.identity
  return {
    keys: {
      consensusKey: keys.consensus.publicKey,
      sign: keys.consensus.sign,
      wal: new CountedLog(wal, counts),
      records,
      run: { logId, counter, nonce: random(NONCE_BYTES) },
      halt: async (why) => writeHalt(join(folder, "halted"), why),
    },
    close: async () => wal.close(),
  }
}

class CountedLog implements ConsensusLog {
  readonly #log: ConsensusLog
  readonly #counts: DiskCounts

  constructor(log: ConsensusLog, counts: DiskCounts) {
    this.#log = log
    this.#counts = counts
  }

  async append(records: readonly EncodedRecord[]): Promise<void> {
    this.#counts.logRecords += records.length
    for (const { payload } of records) this.#counts.logBytes += payload.length
    await this.#log.append(records)
  }

  async trim(isKept: (record: EncodedRecord) => boolean): Promise<void> {
    await this.#log.trim(isKept)
  }
}

class CountedDatabase implements Database {
  readonly counts: DiskCounts
  readonly #inner: Database

  constructor(inner: Database, counts: DiskCounts) {
    this.#inner = inner
    this.counts = counts
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#inner.get(key)
  }

  range(range: Range): AsyncIterable<readonly [key: string, value: Uint8Array]> {
    return this.#inner.range(range)
  }

  async write(operations: readonly Operation[], options?: { urgent?: boolean }): Promise<void> {
    this.counts.databaseOperations += operations.length
    for (const operation of operations) {
      this.counts.databaseBytes += operation.key.length
      if (operation.type === "put") this.counts.databaseBytes += operation.value.length
    }
    await this.#inner.write(operations, options)
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }
}

/**
 * This mission's epoch keys: fresh ones every day, published on the ledger, seeds sealed on disk.
 *
 * The seed is on the disk in the same batch as the entry that publishes its key, so a key that
 * others may use can always be opened here, crash or not.
 */

import type { Directory } from "../protocol/directory.ts"
import { payloadEntry, type Entry } from "../protocol/entry.ts"
import { epochAt, signEpochKeys } from "../protocol/epoch.ts"
import { kemPublicKey } from "../protocol/hpke.ts"
import { epochKeyHash } from "../protocol/keys.ts"
import * as limits from "../protocol/limits.ts"
import type { RandomSource, Suite } from "../protocol/suite.ts"
import type { Clock, Timer } from "./clock.ts"
import type { Counters } from "./delivery/counters.ts"
import type { Self } from "./delivery/outbox.ts"
import { KEYS, putBytes, toHex } from "./delivery/rows.ts"
import type { Database, Operation } from "./store/database.ts"

export interface EpochsParts {
  readonly database: Database
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  readonly counters: Counters
  readonly directory: Directory
  readonly self: () => Self | undefined
  /** The public signing key of this mission. */
  readonly signingKey: Uint8Array
  readonly entryOperation: (entry: Entry) => Operation
  readonly onEntry: () => void
  readonly onFatal: (error: unknown) => void
}

export class Epochs {
  readonly #parts: EpochsParts
  readonly #seeds = new Map<string, Uint8Array>()
  /** Newest epoch published by this process; the ledger knows what came before. */
  #newestEpoch = -1
  #isRefused = false
  #timer: Timer | undefined
  #isStopped = false
  #tail: Promise<void> = Promise.resolve()

  constructor(parts: EpochsParts) {
    this.#parts = parts
  }

  async load(): Promise<void> {
    const range = { prefix: KEYS.epochSecretPrefix }
    for await (const [key, seed] of this.#parts.database.range(range)) {
      const [, epoch, hash] = key.split("/")
      this.#seeds.set(`${Number(epoch)}/${hash ?? ""}`, seed)
    }
  }

  /** Publishes what is due, now and from day to day; again after admission. */
  start(): void {
    if (this.#isStopped) return
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(limits.EPOCH_CHECK_MS, () => this.start())
    this.#tail = this.#tail.then(async () => this.#publishDue())
    this.#tail.catch(this.#parts.onFatal)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  /**
   * A publication of ours is final. One that was refused, as for a clock that is days wrong, is
   * made again at the next look.
   */
  judged(isAccepted: boolean): void {
    this.#isRefused = !isAccepted
    if (!isAccepted) this.#newestEpoch = -1
  }

  /** A line for the operator while the ledger holds no keys of ours that others may use. */
  warnings(): string[] {
    return this.#isRefused ? ["the ledger refused this mission's keys: set the clock right"] : []
  }

  /** Seed of our key with this number and hash, while we have it. */
  seedOf(epoch: number, ekHash: Uint8Array): Uint8Array | undefined {
    return this.#seeds.get(`${epoch}/${toHex(ekHash)}`)
  }

  async #publishDue(): Promise<void> {
    const { clock, suite, random, counters, directory } = this.#parts
    const self = this.#parts.self()
    if (self === undefined || this.#isStopped) return
    const current = epochAt(clock.now())
    const wanted = current + limits.EPOCHS_AHEAD
    // A key on the ledger whose seed is lost here is no use: others must get a fresh one.
    const usable = directory.epochKeys(self.rid).filter(({ epoch, hash }) => {
      return this.seedOf(epoch, hash) !== undefined
    })
    const held = new Set(usable.map(({ epoch }) => epoch))
    const span = Array.from({ length: wanted - current + 1 }, (_, index) => current + index)
    const due = span.filter((epoch) => epoch > this.#newestEpoch && !held.has(epoch))
    if (due.length === 0) return
    const fresh = due.map((epoch) => {
      const seed = random(limits.KEM_SEED_BYTES)
      const publicKey = kemPublicKey(suite, seed)
      return { epoch, seed, publicKey, hash: epochKeyHash(suite, publicKey) }
    })
    await counters.exclusive((turn) => {
      const createdMs = clock.now()
      const keys = fresh.map(({ epoch, publicKey }) => ({ epoch, publicKey }))
      const publication = { net: directory.net, rid: self.rid, keys, createdMs }
      const payload = signEpochKeys(suite, publication, this.#parts.signingKey, self.sign)
      const entry = payloadEntry(suite, "epochKeys", self.rid, turn.seq, createdMs, payload)
      const seeds = fresh.map(({ epoch, hash, seed }) =>
        putBytes(KEYS.epochSecret(epoch, toHex(hash)), seed),
      )
      const operations = [...seeds, this.#parts.entryOperation(entry)]
      return { operations, urgent: true, result: undefined }
    })
    for (const { epoch, hash, seed } of fresh) this.#seeds.set(`${epoch}/${toHex(hash)}`, seed)
    this.#newestEpoch = wanted
    this.#parts.onEntry()
  }
}

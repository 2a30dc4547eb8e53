/**
 * A validator: performs what ledger/consensus.ts decides (LEDGER §8–9).
 *
 * Batches come in, are verified and wait in the mempool; `step` asks for a block, a vote goes to
 * the log before it counts, and a final block goes to the store before anybody hears of it. Effects
 * are performed one at a time, in their order. A disk that fails ends the node: nothing is tried
 * twice.
 */

import { acceptBlock, buildBlock, checkProposal, type ChainHead } from "../../ledger/chain.ts"
import type { Block } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import { step } from "../../ledger/consensus.ts"
import { LedgerError } from "../../ledger/errors.ts"
import { Mempool } from "../../ledger/mempool.ts"
import {
  decodeRecord,
  encodeRecord,
  mustKeep,
  viewOf,
  type EncodedRecord,
} from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import { validatorIndex } from "../../ledger/validators.ts"
import type { ConsensusEffect, ConsensusEvent, ConsensusState, Place } from "../../ledger/view.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { decodeBatch, verifyBatch, type Batch, type Signer } from "../../protocol/entry.ts"
import { BLOCK_LINGER_MS, LOG_TRIM_BYTES, LOG_TRIM_VIEWS } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Finality } from "./finality.ts"
import type { LedgerLog } from "./submitter.ts"

/** The write-ahead log, as far as it is needed here; the real one is store/wal.ts. */
export interface ConsensusLog {
  /** Resolves when all records are on the disk. */
  append(records: readonly EncodedRecord[]): Promise<void>
  /** Keeps only some records; a crash in between leaves all of them. */
  trim(isKept: (record: EncodedRecord) => boolean): Promise<void>
}

export interface ValidatorKeys {
  /** Ed25519; must be a validator's of the genesis. */
  readonly consensusKey: Uint8Array
  readonly sign: Signer
  readonly wal: ConsensusLog
  /** What the log held when it was opened, oldest first. */
  readonly records: readonly EncodedRecord[]
}

export interface ValidatorParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly clock: Clock
  readonly log: LedgerLog
  readonly store: BlockStore
  readonly finality: Finality
  readonly keys: ValidatorKeys
  /** The validator cannot go on: disk, log or key. */
  readonly onFatal: (error: unknown) => void
}

export class Validator {
  readonly #parts: ValidatorParts
  readonly #mempool = new Mempool()
  /** Keys under which batches of the mempool were verified; a batch never changes. */
  readonly #verified = new WeakMap<Batch, Uint8Array>()
  readonly #events: ConsensusEvent[] = []
  #state: ConsensusState | undefined
  #isWorking = false
  #isRunning = false
  #wanted: { readonly view: number; readonly parent: Place } | undefined
  #built: { readonly hash: Uint8Array; readonly head: ChainHead } | undefined
  #lingerTimer: Timer | undefined
  #lastBlockMs = -BLOCK_LINGER_MS
  /** Oldest view of the log, as far as is known. */
  #oldestView = 0
  /** Bytes of records that the log has grown by since it was rewritten. */
  #loggedBytes = 0

  constructor(parts: ValidatorParts) {
    this.#parts = parts
  }

  /**
   * Takes up where the log ends: what it made final is stored again if the store lacks it.
   *
   * @throws LedgerError `CONSENSUS_KEY` when the genesis does not have our key, `CONSENSUS_KEY_DEAD`
   * and `RECORD_*` when the log is not the one that our votes went to; NodeError from the disk.
   */
  async start(): Promise<void> {
    const { suite, chainId, store, finality, keys } = this.#parts
    const { epoch, view, height, hash } = store.head
    const validators = finality.validatorsOf(epoch)
    const self = validators && validatorIndex(validators, keys.consensusKey)
    if (validators === undefined || self === undefined) {
      throw new LedgerError("CONSENSUS_KEY", `consensus: our key is not a validator's in ${epoch}`)
    }
    const certificate = height === 0 ? undefined : (await store.row(height)).certificate
    const records = keys.records.map((record) => decodeRecord(suite, record))
    const config = { suite, chainId, validators, self, sign: keys.sign }
    const restored = restoreConsensus(config, { view, height, hash }, certificate, records)
    this.#state = restored.state
    this.#oldestView = Math.min(view, ...keys.records.slice(0, 1).map(viewOf))
    for (const { payload } of keys.records) this.#loggedBytes += payload.length
    this.#isRunning = true
    // What is submitted meanwhile waits: these effects come first, and one at a time.
    this.#isWorking = true
    try {
      for (const effect of restored.effects) await this.#perform(effect)
    } finally {
      this.#isWorking = false
    }
    await this.#work()
  }

  stop(): void {
    this.#isRunning = false
    this.#lingerTimer?.cancel()
  }

  /**
   * Takes a batch from its submitter or anybody who carries it.
   *
   * @returns the serial that is expected next of its submitter.
   * @throws ProtocolError `CODEC_*`, `BATCH_*`; LedgerError `BLOCK_SUBMITTER` for one who may not
   * submit, `MEMPOOL_FULL`, `MEMPOOL_CONFLICT`; NodeError `NODE_BUSY` while not running.
   */
  submit(bytes: Uint8Array): number {
    if (!this.#isRunning) throw new NodeError("NODE_BUSY", "the validator is not running")
    const { suite, chainId, finality } = this.#parts
    const batch = decodeBatch(suite, bytes)
    const { serials, height } = finality.head
    const key = finality.submitKeyOf(batch.submitter, height + 1)
    if (key === undefined) {
      throw new LedgerError("BLOCK_SUBMITTER", `submitter ${batch.submitter} may not submit`)
    }
    // What leaves a hole needs no check of its signature: the answer is the same.
    const next = this.#mempool.nextSerial(batch.submitter, serials)
    if (batch.firstSeq > next) return next
    verifyBatch(suite, chainId, batch, key, bytes)
    this.#verified.set(batch, key)
    if (this.#admit(batch)) this.#feed({ type: "submitted" })
    return this.#mempool.nextSerial(batch.submitter, serials)
  }

  /** A peer has a certificate for a block above our head; with our signature it is our end. */
  judge(peer: string, certificate: Certificate): void {
    this.#feed({ type: "message", peer, message: { type: "certificate", certificate } })
  }

  #admit(batch: Batch): boolean {
    try {
      return this.#mempool.add(batch, this.#parts.finality.head.serials) === "added"
    } catch (error) {
      // Cut in a way that does not join: the answer says where to begin.
      if (error instanceof LedgerError && error.code === "MEMPOOL_SERIAL") return false
      throw error
    }
  }

  #feed(event: ConsensusEvent): void {
    this.#events.push(event)
    if (this.#isWorking || !this.#isRunning) return
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    try {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        if (!this.#isRunning || this.#state === undefined) return
        const { state, effects } = step(this.#state, event)
        this.#state = state
        for (const effect of effects) await this.#perform(effect)
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isWorking = false
    }
  }

  /** The end. After an orderly stop, log and store are closed and refuse what was under way. */
  #fail(error: unknown): void {
    const wasRunning = this.#isRunning
    this.stop()
    if (wasRunning) this.#parts.onFatal(error)
  }

  async #perform(effect: ConsensusEffect): Promise<void> {
    switch (effect.type) {
      case "persist":
        await this.#persist(encodeRecord(effect.record), effect.seq)
        return
      case "send":
        // The other validators of a set of one: nobody.
        return
      case "buildBlock":
        this.#wanted = { view: effect.view, parent: effect.parent }
        this.#build()
        return
      case "deliver":
        await this.#deliver(effect.block, effect.certificate)
        return
      case "reject":
        this.#parts.log.warn(effect.code, { peer: effect.peer, message: effect.why })
        return
      case "stop":
        throw new LedgerError(effect.code, effect.why)
    }
  }

  async #persist(record: EncodedRecord, seq: number): Promise<void> {
    await this.#parts.keys.wal.append([record])
    this.#loggedBytes += record.payload.length
    this.#events.push({ type: "persisted", seq })
  }

  /** Builds at once after a quiet spell; right after a block it collects for a while. */
  #build(): void {
    const { clock, finality, suite } = this.#parts
    const wanted = this.#wanted
    if (wanted === undefined || this.#lingerTimer !== undefined || !this.#isRunning) return
    // The block below is certified and not final yet; its delivery comes back here.
    if (!equalBytes(wanted.parent.hash, finality.head.hash)) return
    const waitMs = this.#lastBlockMs + BLOCK_LINGER_MS - clock.monotonicMs()
    if (waitMs > 0) {
      this.#lingerTimer = clock.after(waitMs, () => {
        this.#lingerTimer = undefined
        try {
          this.#build()
        } catch (error) {
          this.#fail(error)
        }
      })
      return
    }
    this.#wanted = undefined
    const { head, submitKeyOf } = finality
    const { view } = wanted
    const batches = this.#mempool
      .take(head.serials)
      // Its mission may have been revoked since.
      .filter((batch) => submitKeyOf(batch.submitter, head.height + 1) !== undefined)
    if (batches.length === 0) {
      this.#feed({ type: "blockBuilt", view, block: undefined, more: false })
      return
    }
    const nowMs = clock.now()
    const block = buildBlock(suite, head, view, batches, nowMs)
    const { timeMs } = block.header
    const after = checkProposal(suite, head, block, submitKeyOf, timeMs, this.#isVerified)
    this.#built = { hash: after.hash, head: after }
    const more = this.#mempool.hasWork(after.serials)
    this.#feed({ type: "blockBuilt", view, block, more })
  }

  readonly #isVerified = (batch: Batch, submitKey: Uint8Array): boolean => {
    const key = this.#verified.get(batch)
    return key !== undefined && equalBytes(key, submitKey)
  }

  async #deliver(block: Block, certificate: Certificate): Promise<void> {
    const { suite, finality, clock } = this.#parts
    if (block.header.height <= finality.head.height) return
    const final = { block, certificate, links: [] }
    const built = this.#built
    const head =
      built !== undefined && equalBytes(built.hash, certificate.blockHash)
        ? built.head
        : acceptBlock(suite, finality.head, final, finality)
    this.#built = undefined
    await finality.commit([finality.fold(final, head)])
    this.#lastBlockMs = clock.monotonicMs()
    this.#mempool.forget(head.serials)
    await this.#trim(head.view)
    this.#build()
  }

  /** Old records go now and then; the log stays far below its limit, however large blocks are. */
  async #trim(finalView: number): Promise<void> {
    const isDue = finalView >= this.#oldestView + LOG_TRIM_VIEWS
    if (!isDue && this.#loggedBytes < LOG_TRIM_BYTES) return
    this.#oldestView = finalView
    this.#loggedBytes = 0
    await this.#parts.keys.wal.trim((record) => mustKeep(record, finalView))
  }
}

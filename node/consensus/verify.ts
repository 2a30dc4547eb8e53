/**
 * A whole ledger, verified from the genesis on: stored here or in a copy (LEDGER §5, §13).
 *
 * Every block is checked as if a stranger had brought it: certificate, parent, batches and their
 * signatures, tree root, on the directory that the blocks before it made. One block is in memory
 * at a time, and the event loop turns between two of them.
 */

import { concatBytes } from "@noble/hashes/utils.js"
import {
  decodeFinalBlock,
  encodeFinalBlock,
  type Block,
  type FinalBlock,
} from "../../ledger/block.ts"
import { acceptBlock, genesisHead, type ChainHead } from "../../ledger/chain.ts"
import type { NodeSink } from "../../ledger/merkle.ts"
import { createValidatorSet, type ValidatorsOf } from "../../ledger/validators.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { Directory } from "../../protocol/directory.ts"
import { decodeBatch, verifyBatch, type Batch } from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader } from "../../protocol/fields.ts"
import { BATCH_BYTES_MAX, BLOCK_HEADER_BYTES, VERIFY_SLICE_MS } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { createSlices, systemClock, type Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { BlockStore } from "../store/blocks.ts"
import { TILE_BYTES, TILE_LEVELS } from "../store/tiles.ts"

/** What a verified ledger holds. */
export interface VerifiedLedger {
  /** Where its chain ends. */
  readonly head: ChainHead
  readonly entries: number
  /** The directory that its entries make. */
  readonly directory: Directory
}

export interface VerifyOptions {
  /** Called after every block, with the numbers so far. */
  readonly onProgress?: (blocks: number, entries: number) => void
  readonly signal?: AbortSignal
  /** Says when other work gets its turn; the machine's when absent. */
  readonly clock?: Clock
}

/**
 * Verifies encoded final blocks from height 1 on, such as a copy holds.
 *
 * @throws ProtocolError for a broken genesis; NodeError `LEDGER_INVALID` naming the height, the check
 * that failed (in `cause`) and, where it can be told, the submitter and serials of the batch.
 */
export async function verifyLedgerCopy(
  suite: Suite,
  genesisBytes: Uint8Array,
  blocks: AsyncIterable<Uint8Array>,
  options: VerifyOptions = {},
): Promise<VerifiedLedger> {
  const verifier = new LedgerVerifier(suite, genesisBytes)
  const giveWay = createSlices(options.clock ?? systemClock, VERIFY_SLICE_MS)
  for await (const bytes of blocks) {
    options.signal?.throwIfAborted()
    verifier.take(bytes)
    options.onProgress?.(verifier.head.height, verifier.head.frontier.size)
    await giveWay()
  }
  return verifier.result()
}

/**
 * Verifies the stored ledger up to its present head: its blocks, and that tree hashes and lookups
 * on the disk are those that the blocks make.
 *
 * @throws NodeError `LEDGER_INVALID`, or `STORE_DAMAGED` for what cannot be read, naming what and where.
 */
export async function verifyStored(
  suite: Suite,
  genesisBytes: Uint8Array,
  store: BlockStore,
  options: VerifyOptions = {},
): Promise<VerifiedLedger> {
  const { head } = store
  const verifier = new LedgerVerifier(suite, genesisBytes)
  const giveWay = createSlices(options.clock ?? systemClock, VERIFY_SLICE_MS)
  const tiles = new TileCollector()
  for (let height = 1; height <= head.height; height++) {
    options.signal?.throwIfAborted()
    const bytes = encodeFinalBlock(await store.block(height))
    const { block } = verifier.take(bytes, tiles.sink)
    await checkLookups(store, block)
    for (const { level, number, hashes } of tiles.take()) {
      if (await store.tiles.isTile(level, number, hashes)) continue
      throw new NodeError("STORE_DAMAGED", `ledger store: tree tile ${level}/${number} is wrong`)
    }
    options.onProgress?.(height, verifier.head.frontier.size)
    await giveWay()
  }
  if (!equalBytes(verifier.head.hash, head.hash)) {
    throw new NodeError("LEDGER_INVALID", `ledger: block ${head.height} is not the stored head`)
  }
  return verifier.result()
}

async function checkLookups(store: BlockStore, { header, batches }: Block): Promise<void> {
  let index = header.treeSize - batches.reduce((sum, batch) => sum + batch.entries.length, 0)
  for (const { submitter, firstSeq, entries } of batches) {
    const place = await store.find(submitter, firstSeq)
    if (place?.index !== index || place.height !== header.height) {
      const why = `place of serial ${firstSeq} of submitter ${submitter} is wrong`
      throw new NodeError("STORE_DAMAGED", `ledger store: ${why}`)
    }
    index += entries.length
  }
}

/** Puts the tree hashes that blocks complete together to full tiles. */
class TileCollector {
  readonly #partials = new Map<number, { number: number; hashes: Uint8Array }>()
  #full: { level: number; number: number; hashes: Uint8Array }[] = []

  readonly sink: NodeSink = (treeLevel, _, hashes) => {
    if (treeLevel % TILE_LEVELS !== 0) return
    const level = treeLevel / TILE_LEVELS
    const partial = this.#partials.get(level) ?? { number: 0, hashes: new Uint8Array(0) }
    let row = concatBytes(partial.hashes, hashes)
    let { number } = partial
    for (; row.length >= TILE_BYTES; number++) {
      this.#full.push({ level, number, hashes: row.slice(0, TILE_BYTES) })
      row = row.slice(TILE_BYTES)
    }
    this.#partials.set(level, { number, hashes: row })
  }

  /** The tiles that have become full since the last call. */
  take(): readonly { level: number; number: number; hashes: Uint8Array }[] {
    const full = this.#full
    this.#full = []
    return full
  }
}

/** The fold over blocks, one at a time; any refusal ends it. */
export class LedgerVerifier {
  readonly #suite: Suite
  readonly #directory: Directory
  readonly #validatorsOf: ValidatorsOf
  #head: ChainHead

  constructor(suite: Suite, genesisBytes: Uint8Array) {
    this.#suite = suite
    this.#directory = new Directory(suite, genesisBytes)
    this.#head = genesisHead(this.#directory.net)
    const founding = createValidatorSet(suite, 0, this.#directory.genesis.validators)
    this.#validatorsOf = (epoch) => (epoch === founding.epoch ? founding : undefined)
  }

  get head(): ChainHead {
    return this.#head
  }

  /** @throws NodeError `LEDGER_INVALID`. */
  take(bytes: Uint8Array, sink?: NodeSink): FinalBlock {
    try {
      return this.#take(bytes, sink)
    } catch (cause) {
      if (!(cause instanceof TarbartaError)) throw cause
      const where = `block ${this.#head.height + 1}${this.#batchAt(bytes)}`
      throw new NodeError("LEDGER_INVALID", `ledger: ${where}: ${cause.code}: ${cause.message}`, {
        cause,
      })
    }
  }

  result(): VerifiedLedger {
    return { head: this.#head, entries: this.#head.frontier.size, directory: this.#directory }
  }

  #take(bytes: Uint8Array, sink: NodeSink | undefined): FinalBlock {
    const final = decodeFinalBlock(this.#suite, bytes)
    const rules = {
      validatorsOf: this.#validatorsOf,
      submitKeyOf: (submitter: number) => this.#submitKeyOf(submitter),
    }
    this.#head = acceptBlock(this.#suite, this.#head, final, rules, sink)
    for (const batch of final.block.batches) {
      for (const entry of batch.entries) this.#directory.apply(entry, this.#head.height)
    }
    return final
  }

  #submitKeyOf(submitter: number): Uint8Array | undefined {
    const mission = this.#directory.mission(submitter)
    if (mission === undefined) return undefined
    const isRevoked = this.#directory.isRevoked(mission, this.#head.height + 1)
    return isRevoked ? undefined : mission.facts.submitKey
  }

  /** In a refused block: the first batch that does not verify by itself, for the message only. */
  #batchAt(bytes: Uint8Array): string {
    const reader = new FieldReader(bytes, "final block")
    try {
      reader.view("certificate", reader.u16("certificate length"))
      reader.view("header", BLOCK_HEADER_BYTES)
    } catch (error) {
      if (error instanceof TarbartaError) return ""
      throw error
    }
    for (let number = 1; reader.left > 0; number++) {
      try {
        const length = reader.u32("batch length", BATCH_BYTES_MAX)
        const batch = decodeBatch(this.#suite, reader.view("batch", length))
        const key = this.#submitKeyOf(batch.submitter)
        const last = batch.firstSeq + batch.entries.length - 1
        const name = `, batch ${number} (submitter ${batch.submitter}, serials ${batch.firstSeq} … ${last})`
        if (key === undefined || !this.#isSigned(batch, key)) return name
      } catch (error) {
        if (error instanceof TarbartaError) return `, batch ${number}`
        throw error
      }
    }
    return ""
  }

  #isSigned(batch: Batch, key: Uint8Array): boolean {
    try {
      verifyBatch(this.#suite, this.#directory.net, batch, key)
      return true
    } catch (error) {
      if (error instanceof TarbartaError) return false
      throw error
    }
  }
}

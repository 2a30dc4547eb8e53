/**
 * A whole ledger, verified from the genesis on: stored here or in a copy (LEDGER §5, §13).
 *
 * Every block is checked as if a stranger had brought it: certificate, parent, batches and their
 * signatures, tree root, on the directory that the blocks before it made. One block is in memory
 * at a time, and the event loop turns between two of them.
 */

import { decodeFinalBlock, type Block, type FinalBlock } from "../../ledger/block.ts"
import { checkBlock, genesisHead, verifyFinality, type ChainHead } from "../../ledger/chain.ts"
import { acceptEntries } from "../../ledger/bundle.ts"
import type { NodeSink } from "../../ledger/merkle.ts"
import { createValidatorSet, type ValidatorsOf } from "../../ledger/validators.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { Directory } from "../../protocol/directory.ts"
import { decodeBatch, encodeEntry, verifyBatch, type Batch } from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader } from "../../protocol/fields.ts"
import { BATCH_BYTES_MAX, BLOCK_HEADER_BYTES, VERIFY_SLICE_MS } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { createSlices, systemClock, type Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { BlockStore, StoredGap } from "../store/blocks.ts"
import { TILE_BYTES, TILE_LEVELS } from "../store/tiles.ts"

/** What a verified ledger holds. */
export interface VerifiedLedger {
  /** Where its chain ends. */
  readonly head: ChainHead
  readonly entries: number
  /** Certificates that were verified: without a quick run, one a block. */
  readonly certificates: number
  /** The directory that its entries make. */
  readonly directory: Directory
}

export interface VerifyOptions {
  /**
   * Hashes, the chain of headers and the newest certificate alone, which certifies all of them:
   * what stands here is what the validators decided. Not checked: signatures of batches, older
   * certificates. For {@link verifyStored} only.
   */
  readonly isQuick?: boolean
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
  store.tiles.dropCache()
  for await (const next of readAhead(store, head.height)) {
    options.signal?.throwIfAborted()
    if ("block" in next) {
      const { height } = next.block.header
      const isQuick = options.isQuick === true
      const checks = { signatures: !isQuick, certificate: !isQuick || height === head.height }
      verifier.takeDecoded(next, tiles.sink, checks)
      await checkLookups(store, next.block)
    } else {
      verifier.takeGap(next, tiles.sink)
      await store.checkGap(next)
    }
    const { height } = verifier.head
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

/** Blocks and gaps up to a height in order; the disk reads the next one while one is verified. */
async function* readAhead(
  store: BlockStore,
  height: number,
): AsyncGenerator<FinalBlock | StoredGap, void, void> {
  const read = (at: number): Promise<FinalBlock | StoredGap> => {
    const gap = store.gapAt(at)
    const found = gap === undefined ? store.block(at) : store.readGap(gap)
    // Nobody waits for it if the one before does not verify.
    found.catch(() => undefined)
    return found
  }
  if (height === 0) return
  let next = read(1)
  for (let at = 1; at <= height;) {
    const found = await next
    at = "block" in found ? at + 1 : found.gap.to + 1
    if (at <= height) next = read(at)
    yield found
  }
}

async function checkLookups(store: BlockStore, { header, batches }: Block): Promise<void> {
  let index = header.treeSize - batches.reduce((sum, batch) => sum + batch.entries.length, 0)
  const checks: Promise<void>[] = []
  for (const { submitter, firstSeq, entries } of batches) {
    const expected = { height: header.height, index, count: entries.length }
    checks.push(store.checkPlace(submitter, firstSeq, expected))
    index += entries.length
  }
  await Promise.all(checks)
}

/** Puts the tree hashes that blocks complete together to full tiles. */
class TileCollector {
  readonly #partials = new Map<number, { number: number; hashes: Uint8Array; bytes: number }>()
  #full: { level: number; number: number; hashes: Uint8Array }[] = []

  readonly sink: NodeSink = (treeLevel, _, hashes) => {
    if (treeLevel % TILE_LEVELS !== 0) return
    const level = treeLevel / TILE_LEVELS
    let partial = this.#partials.get(level) ?? emptyTile(0)
    for (let at = 0; at < hashes.length;) {
      const taken = hashes.subarray(at, at + TILE_BYTES - partial.bytes)
      partial.hashes.set(taken, partial.bytes)
      partial.bytes += taken.length
      at += taken.length
      if (partial.bytes < TILE_BYTES) break
      this.#full.push({ level, number: partial.number, hashes: partial.hashes })
      partial = emptyTile(partial.number + 1)
    }
    this.#partials.set(level, partial)
  }

  /** The tiles that have become full since the last call. */
  take(): readonly { level: number; number: number; hashes: Uint8Array }[] {
    const full = this.#full
    this.#full = []
    return full
  }
}

function emptyTile(number: number): { number: number; hashes: Uint8Array; bytes: number } {
  return { number, hashes: new Uint8Array(TILE_BYTES), bytes: 0 }
}

/** What is checked of a block besides its hashes and its place. */
interface Checks {
  /** Of its batches. */
  readonly signatures: boolean
  readonly certificate: boolean
}

const ALL: Checks = { signatures: true, certificate: true }

/** The fold over blocks, one at a time; any refusal ends it. */
class LedgerVerifier {
  readonly #suite: Suite
  readonly #directory: Directory
  readonly #validatorsOf: ValidatorsOf
  #head: ChainHead
  #certificates = 0

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
  take(bytes: Uint8Array): void {
    this.#try(
      () => this.#accept(decodeFinalBlock(this.#suite, bytes)),
      () => this.#batchAt(bytes),
    )
  }

  /**
   * As {@link take}, for a block whose parts were decoded one by one. `sink` hears of the tree
   * hashes that it completes.
   */
  takeDecoded(final: FinalBlock, sink: NodeSink, checks: Checks): void {
    this.#try(
      () => this.#accept(final, sink, checks),
      () => this.#batchIn(final.block.batches),
    )
  }

  /**
   * As {@link takeDecoded}, for the entries of a gap: they are judged by the certified root at its
   * end. The directory takes them as it did when they came, at the heights that its rows hold.
   */
  takeGap({ gap, entries, directory }: StoredGap, sink?: NodeSink): void {
    this.#try(
      () => {
        const leaves = entries.map(encodeEntry)
        const { final } = gap
        const accepted = acceptEntries(
          this.#suite,
          this.#head,
          final,
          leaves,
          this.#validatorsOf,
          sink,
        )
        this.#head = accepted.head
        this.#certificates += 1
        for (const { entry, height, trusted } of directory) {
          this.#directory.apply(entry, height, { trusted })
        }
      },
      () => ` … ${gap.to}`,
    )
  }

  #try(accept: () => void, batchAt: () => string): void {
    try {
      accept()
    } catch (cause) {
      if (!(cause instanceof TarbartaError)) throw cause
      const where = `block ${this.#head.height + 1}${batchAt()}`
      throw new NodeError("LEDGER_INVALID", `ledger: ${where}: ${cause.code}: ${cause.message}`, {
        cause,
      })
    }
  }

  result(): VerifiedLedger {
    const head = this.#head
    const certificates = this.#certificates
    return { head, entries: head.frontier.size, certificates, directory: this.#directory }
  }

  /** As acceptBlock, less what is not to be checked. */
  #accept(final: FinalBlock, sink?: NodeSink, checks: Checks = ALL): void {
    const suite = this.#suite
    const { block } = final
    if (checks.certificate) {
      verifyFinality(suite, this.#head.chainId, block.header, final, this.#validatorsOf)
      this.#certificates += 1
    }
    const keyOf = (rid: number, height: number): Uint8Array | undefined =>
      this.#submitKeyOf(rid, height)
    const isVerified = (): boolean => !checks.signatures
    this.#head = checkBlock(suite, this.#head, block, keyOf, { sink, isVerified })
    for (const batch of block.batches) {
      for (const entry of batch.entries) {
        if (entry.type === "message") continue
        this.#directory.apply(entry, this.#head.height, { blockTimeMs: this.#head.timeMs })
      }
    }
  }

  #submitKeyOf(submitter: number, height: number): Uint8Array | undefined {
    const mission = this.#directory.mission(submitter)
    if (mission === undefined || this.#directory.isRevoked(mission, height)) return undefined
    return mission.facts.submitKey
  }

  /** In a refused block: the first batch that does not verify by itself, for the message only. */
  #batchAt(bytes: Uint8Array): string {
    const reader = new FieldReader(bytes, "final block")
    try {
      reader.view("finality", reader.u16("finality length"))
      reader.view("header", BLOCK_HEADER_BYTES)
    } catch (error) {
      if (error instanceof TarbartaError) return ""
      throw error
    }
    for (let number = 1; reader.left > 0; number++) {
      try {
        const length = reader.u32("batch length", BATCH_BYTES_MAX)
        const batch = decodeBatch(this.#suite, reader.view("batch", length))
        if (!this.#isSigned(batch)) return nameOf(batch, number)
      } catch (error) {
        if (error instanceof TarbartaError) return `, batch ${number}`
        throw error
      }
    }
    return ""
  }

  #batchIn(batches: readonly Batch[]): string {
    const index = batches.findIndex((batch) => !this.#isSigned(batch))
    const batch = batches[index]
    return batch === undefined ? "" : nameOf(batch, index + 1)
  }

  #isSigned(batch: Batch): boolean {
    const key = this.#submitKeyOf(batch.submitter, this.#head.height + 1)
    if (key === undefined) return false
    try {
      verifyBatch(this.#suite, this.#directory.net, batch, key)
      return true
    } catch (error) {
      if (error instanceof TarbartaError) return false
      throw error
    }
  }
}

function nameOf({ submitter, firstSeq, entries }: Batch, number: number): string {
  const last = firstSeq + entries.length - 1
  return `, batch ${number} (submitter ${submitter}, serials ${firstSeq} … ${last})`
}

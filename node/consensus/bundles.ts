/**
 * Entries without their blocks, for a node on a poor link (LEDGER §11.2): one jump from the head to
 * a certified header, with all entries between, fetched from several peers at once.
 *
 * Each whole bundle is checked on its own when it comes, so a peer that sends wrong ones costs
 * those. Nothing is folded or stored before the whole tree has the certified root.
 */

import {
  acceptEntries,
  decodeBundle,
  decodeHolder,
  verifyBundle,
  verifyHolder,
  type FinalHeader,
  type Holder,
} from "../../ledger/bundle.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import { LedgerError } from "../../ledger/errors.ts"
import type { Entry } from "../../protocol/entry.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import * as wire from "../../protocol/wire.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import { isForDirectory, type EntryBlock, type Finality } from "./finality.ts"

export interface BundleParts {
  readonly suite: Suite
  readonly transport: Transport
  readonly clock: Clock
  readonly store: BlockStore
  readonly finality: Finality
  /** Those who can be asked now, the best first. */
  readonly peers: () => readonly PeerKey[]
  /** A peer failed or sent what is wrong; it is no longer among the peers. */
  readonly onFailed: (peer: PeerKey, error: TarbartaError, what: string) => void
  /** A peer gave entries that are right as far as can be told. */
  readonly onServed: (peer: PeerKey) => void
}

/** What came of a jump: the head moved, or nobody could give what it takes. */
export type JumpResult = "jumped" | "failed"

/** A bundle that is being fetched, or has come. */
interface Piece {
  readonly first: number
  readonly count: number
  entries: readonly Uint8Array[] | undefined
  /** Who brought it. */
  peer: PeerKey | undefined
  /** Those who were asked for it and have not failed. */
  readonly asked: Set<PeerKey>
}

export class BundleFetcher {
  readonly #parts: BundleParts
  /** Fewer after entries that were large together. */
  #entriesMax = limits.JUMP_ENTRIES_MAX

  constructor(parts: BundleParts) {
    this.#parts = parts
  }

  /** One jump towards a verified header, at most over as many entries as memory allows. */
  async jump(newest: FinalHeader, signal: AbortSignal): Promise<JumpResult> {
    const { finality, suite } = this.#parts
    const base = finality.head
    const target = await this.#targetOf(base, newest, signal)
    if (target === undefined) return "failed"
    const pieces = await this.#fetchPieces(base, target, signal)
    if (pieces === undefined) return "failed"
    if (!pieces.every(isHere)) {
      // They were more than may be held: the next jump is over half of those that came.
      const whole = Math.floor(pieces.filter(isHere).length / 2)
      this.#entriesMax = Math.max(1, whole) * limits.BUNDLE_ENTRIES
      return "jumped"
    }
    const leaves = pieces.flatMap((piece) => piece.entries ?? [])
    let taken: { readonly head: ChainHead; readonly entries: readonly Entry[] }
    try {
      taken = acceptEntries(suite, base, target, leaves, finality.validatorsOf)
    } catch (error) {
      // Whole bundles were checked one by one, so the last one is to blame, which is none.
      const peer = pieces.at(-1)?.peer
      if (!(error instanceof TarbartaError) || peer === undefined) throw error
      this.#parts.onFailed(peer, error, "bundle")
      return "failed"
    }
    const blocks = await this.#blocksOf(base, target, taken.entries, signal)
    if (blocks === undefined) return "failed"
    const done = await finality.exclusive(async () => this.#take(base, target, taken, blocks))
    if (done) this.#entriesMax = Math.min(limits.JUMP_ENTRIES_MAX, 2 * this.#entriesMax)
    return "jumped"
  }

  async #take(
    base: ChainHead,
    target: FinalHeader,
    { head, entries }: { readonly head: ChainHead; readonly entries: readonly Entry[] },
    blocks: ReadonlyMap<number, EntryBlock>,
  ): Promise<boolean> {
    const { finality } = this.#parts
    // Blocks were taken meanwhile; the next jump begins above them.
    if (finality.head.height !== base.height) return false
    const none = { height: target.header.height, timeMs: target.header.timeMs }
    const blockOf = (index: number): EntryBlock => blocks.get(index) ?? none
    await finality.commitEntries(finality.foldEntries(target, entries, head, blockOf))
    return true
  }

  /** Where to jump: the newest header, or one on the way to it. */
  async #targetOf(
    base: ChainHead,
    newest: FinalHeader,
    signal: AbortSignal,
  ): Promise<FinalHeader | undefined> {
    const start = base.frontier.size
    if (newest.header.treeSize <= start + this.#entriesMax) return newest
    const index = start + this.#entriesMax - 1
    const found = await this.#holders([index], signal)
    return found?.get(index)
  }

  /** The blocks of all entries that the directory may take. */
  async #blocksOf(
    base: ChainHead,
    target: FinalHeader,
    entries: readonly Entry[],
    signal: AbortSignal,
  ): Promise<Map<number, EntryBlock> | undefined> {
    const start = base.frontier.size
    const blocks = new Map<number, EntryBlock>()
    let open = entries.flatMap((entry, at) => (isForDirectory(entry) ? [start + at] : []))
    while (open.length > 0) {
      const found = await this.#holders(open.slice(0, limits.HOLDERS_PER_REQUEST_MAX), signal)
      if (found === undefined) return undefined
      for (const { header, parent } of found.values()) {
        const { height, timeMs, treeSize } = header
        const isBetween = height > base.height && height <= target.header.height
        // Final headers are on one chain, so this would take a broken quorum.
        if (!isBetween) throw new LedgerError("BLOCK_PARENT", `holder: height ${height}`)
        const first = parent?.treeSize ?? 0
        for (const index of open) {
          if (index >= first && index < treeSize) blocks.set(index, { height, timeMs })
        }
      }
      open = open.filter((index) => !blocks.has(index))
    }
    return blocks
  }

  /** Verified holders of entries, or of the first of them, from whoever has them. */
  async #holders(
    indexes: readonly number[],
    signal: AbortSignal,
  ): Promise<Map<number, Holder> | undefined> {
    const { suite, transport, finality } = this.#parts
    return this.#fromAny("holders", async (peer) => {
      const request = wire.encodeHoldersRequest(indexes)
      const answer = await transport.request(peer, wire.PROTOCOLS.holders, request, { signal })
      const holders = wire.decodeHoldersAnswer(answer)
      const length = holders.reduce((sum, holder) => sum + holder.length, 0)
      // One that stopped before there was a reason could make us ask for them one by one.
      const isShort = holders.length < indexes.length && length < limits.HOLDERS_ANSWER_BYTES
      if (isShort || holders.length > indexes.length) {
        const why = `expected ${indexes.length} holders, got ${holders.length}`
        throw new LedgerError("SYNC_ANSWER", `answer: ${why}`)
      }
      const found = new Map<number, Holder>()
      for (const [at, bytes] of holders.entries()) {
        const index = indexes[at] ?? 0
        const holder = decodeHolder(bytes)
        verifyHolder(suite, finality.head.chainId, index, holder, finality.validatorsOf)
        found.set(index, holder)
      }
      return found
    })
  }

  async #fromAny<T>(what: string, ask: (peer: PeerKey) => Promise<T>): Promise<T | undefined> {
    for (const peer of this.#parts.peers()) {
      try {
        return await ask(peer)
      } catch (error) {
        if (!(error instanceof TarbartaError)) throw error
        this.#parts.onFailed(peer, error, what)
      }
    }
    return undefined
  }

  // --- bundles ---------------------------------------------------------------------------------

  /**
   * All entries between a head and a header, or only some when they are more than may be held;
   * undefined when nobody has them.
   */
  async #fetchPieces(
    base: ChainHead,
    target: FinalHeader,
    signal: AbortSignal,
  ): Promise<readonly Piece[] | undefined> {
    const pieces = piecesOf(base.frontier.size, target.header.treeSize)
    const end = new AbortController()
    const both = AbortSignal.any([signal, end.signal])
    const isDone = (): boolean => pieces.every(isHere)
    let isLarge = false
    const work = async (peer: PeerKey): Promise<void> => {
      while (!isLarge && this.#parts.peers().includes(peer)) {
        if (!pieces.some(isFree)) await this.#patience(both)
        const piece = nextPiece(pieces, peer)
        if (piece === undefined || both.aborted) return
        piece.asked.add(peer)
        const entries = await this.#fetchPiece(peer, piece, target, both)
        if (entries === undefined) {
          piece.asked.delete(peer)
          return
        }
        this.#parts.onServed(peer)
        piece.entries ??= entries
        piece.peer ??= peer
        isLarge = heldBytes(pieces) > limits.SYNC_HELD_BYTES_MAX
        if (isDone() || isLarge) end.abort()
      }
    }
    // Each peer gets some hands; whoever is through takes over from those who are not.
    for (;;) {
      const peers = this.#parts.peers()
      if (isDone() || peers.length === 0 || signal.aborted) break
      const hands = Array.from({ length: limits.SYNC_RANGES_PER_PEER_MAX }, () => peers).flat()
      await Promise.all(hands.slice(0, limits.SYNC_RANGES_MAX).map(async (peer) => work(peer)))
      if (isLarge) return pieces
    }
    return isDone() ? pieces : undefined
  }

  /** Everything is being fetched: waits until it is here, or so long that others are asked too. */
  async #patience(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.after(limits.SYNC_PATIENCE_MS, resolve)
      const onAbort = (): void => {
        timer.cancel()
        resolve()
      }
      if (signal.aborted) onAbort()
      else signal.addEventListener("abort", onAbort, { once: true })
    })
  }

  /** The entries of a piece, checked as far as they can be; undefined when the peer failed. */
  async #fetchPiece(
    peer: PeerKey,
    piece: Piece,
    target: FinalHeader,
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[] | undefined> {
    try {
      return await this.fetch(peer, piece.first, piece.count, target, signal)
    } catch (error) {
      if (signal.aborted) return undefined
      if (!(error instanceof TarbartaError)) throw error
      this.#parts.onFailed(peer, error, `entries from ${piece.first}`)
      return undefined
    }
  }

  /**
   * Entries of one bundle; a whole one is checked against the header's root, together with what
   * is stored of it.
   *
   * @throws NodeError of the transport; ProtocolError and LedgerError for what is wrong.
   */
  async fetch(
    peer: PeerKey,
    first: number,
    count: number,
    { header }: FinalHeader,
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const { transport, store } = this.#parts
    const { treeSize } = header
    const request = wire.encodeBundleRequest({ first, count, treeSize })
    const answer = wire.decodeBundleAnswer(
      await transport.request(peer, wire.PROTOCOLS.bundle, request, { signal }),
    )
    const entries = decodeBundle(answer.entries, count)
    const number = Math.floor(first / limits.BUNDLE_ENTRIES)
    const start = number * limits.BUNDLE_ENTRIES
    if (start + limits.BUNDLE_ENTRIES <= treeSize) {
      const before = first === start ? [] : await store.tiles.entries(start, first - start)
      verifyBundle([...before, ...entries], number, answer.path, header)
    }
    return entries
  }
}

/** The bundles between two sizes of the tree; the first one without what is there. */
function piecesOf(from: number, to: number): Piece[] {
  const pieces: Piece[] = []
  for (let first = from; first < to;) {
    const next = (Math.floor(first / limits.BUNDLE_ENTRIES) + 1) * limits.BUNDLE_ENTRIES
    const count = Math.min(next, to) - first
    pieces.push({ first, count, entries: undefined, peer: undefined, asked: new Set() })
    first += count
  }
  return pieces
}

function isHere({ entries }: Piece): boolean {
  return entries !== undefined
}

function isFree({ entries, asked }: Piece): boolean {
  return entries === undefined && asked.size === 0
}

/** The lowest that nobody is asked for; else one that others keep us waiting for. */
function nextPiece(pieces: readonly Piece[], peer: PeerKey): Piece | undefined {
  const open = pieces.filter(({ entries, asked }) => entries === undefined && !asked.has(peer))
  return open.find(isFree) ?? open.find(({ asked }) => asked.size === 1)
}

function heldBytes(pieces: readonly Piece[]): number {
  let bytes = 0
  for (const { entries } of pieces) for (const entry of entries ?? []) bytes += entry.length
  return bytes
}

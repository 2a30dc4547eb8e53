/**
 * Blocks, or entries without them: what a node that is behind asks for (LEDGER §11.2).
 *
 * Its mode says so, or the link does, or what the others have left: whoever has taken entries alone
 * has no blocks of that stretch to give.
 */

import * as limits from "../../protocol/limits.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey } from "../network/transport.ts"

export interface CourseParts {
  readonly clock: Clock
  /**
   * Blocks alone, entries without them, or whichever the link is good for; `blocks` on a validator.
   */
  readonly mode: "auto" | "blocks" | "bundles"
  readonly ownHeight: () => number
}

export class Course {
  readonly #parts: CourseParts
  /** Up to here blocks are fetched, because entries alone could not be. */
  #blocksUntil = 0
  #isPoor = false
  #meter = { sinceMs: 0, bytes: 0 }
  /** Those who have no blocks above this height, but their entries. */
  #gap: { readonly height: number; readonly peers: Set<PeerKey> } | undefined
  /** Jumps from a height that came to nothing, and until when no other one is tried from it. */
  #failed = { height: 0, count: 0, untilMs: 0 }

  constructor(parts: CourseParts) {
    this.#parts = parts
  }

  /** Entries are what to ask for now. */
  get isByEntries(): boolean {
    const { mode, ownHeight } = this.#parts
    if (mode === "blocks") return false
    return mode === "bundles" ? ownHeight() >= this.#blocksUntil : this.#isPoor
  }

  // --- blocks ----------------------------------------------------------------------------------

  /** Blocks are asked for after a rest. */
  restart(): void {
    this.#meter = { sinceMs: this.#parts.clock.monotonicMs(), bytes: 0 }
  }

  /**
   * Counts the bytes of blocks; a link is poor that brings too few while many are missing. True
   * when it turns to entries with these.
   */
  measure(bytes: number, certified: number): boolean {
    const { clock, mode, ownHeight } = this.#parts
    const nowMs = clock.monotonicMs()
    this.#meter.bytes += bytes
    const spentMs = nowMs - this.#meter.sinceMs
    if (spentMs < limits.SYNC_METER_MS) return false
    const perSecond = (this.#meter.bytes * 1_000) / spentMs
    this.#meter = { sinceMs: nowMs, bytes: 0 }
    const isFar = certified > ownHeight() + limits.SYNC_FAR_BLOCKS
    if (mode !== "auto" || !isFar || perSecond >= limits.SYNC_POOR_BYTES_PER_S) return false
    this.#isPoor = true
    return true
  }

  /** A peer refused blocks: it has the entries above our head alone. */
  gapShown(peer: PeerKey): void {
    const height = this.#parts.ownHeight()
    if (this.#gap?.height !== height) this.#gap = { height, peers: new Set() }
    this.#gap.peers.add(peer)
  }

  /**
   * Of those who could give blocks none has them: then only their entries lead on. True when it
   * turns to entries with this.
   */
  review(peers: readonly PeerKey[]): boolean {
    const { clock, mode, ownHeight } = this.#parts
    const height = ownHeight()
    const gap = this.#gap
    if (mode === "blocks" || this.isByEntries || gap?.height !== height) return false
    const isPaused = this.#failed.height === height && clock.monotonicMs() < this.#failed.untilMs
    if (isPaused || !peers.every((peer) => gap.peers.has(peer))) return false
    this.#blocksUntil = 0
    this.#isPoor = true
    return true
  }

  // --- entries ---------------------------------------------------------------------------------

  /** Nobody can give what a jump takes: blocks for a while. */
  jumpFailed(): void {
    const height = this.#parts.ownHeight()
    this.#blocksUntil = height + limits.SYNC_WINDOW_BLOCKS
    // Somebody may have them by now.
    this.#gap = undefined
    // What failed was paid for on a line that may be thin: not again and again.
    const count = this.#failed.height === height ? this.#failed.count + 1 : 1
    const pauseMs = Math.min(limits.RETRY_MIN_MS * 2 ** count, limits.RETRY_MAX_MS)
    this.#failed = { height, count, untilMs: this.#parts.clock.monotonicMs() + pauseMs }
  }

  /** Nobody claims more, or blocks are to be fetched: the link is judged anew. */
  jumpsEnded(): void {
    this.#isPoor = false
  }
}

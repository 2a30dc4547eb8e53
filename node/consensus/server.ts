/**
 * What a node gives of its ledger to those who catch up (LEDGER §11): blocks, its newest header,
 * and entries without their blocks.
 *
 * Everything is read as it is stored; who asks verifies it. A row that cannot be read is told, so
 * that it is healed, and the asker goes elsewhere.
 */

import { bundlePath, encodeBundle, encodeFinalHeader, encodeHolder } from "../../ledger/bundle.ts"
import * as limits from "../../protocol/limits.ts"
import * as wire from "../../protocol/wire.ts"
import { NodeError } from "../errors.ts"
import type { BlockStore } from "../store/blocks.ts"

export class LedgerServer {
  readonly #store: BlockStore
  readonly #onDamage: () => void

  constructor(store: BlockStore, onDamage: () => void) {
    this.#store = store
    this.#onDamage = onDamage
  }

  /**
   * Final blocks from a height on.
   *
   * @throws ProtocolError `CODEC_*`; NodeError `STORE_DAMAGED` when our own copy is broken,
   * `STORE_GAP` when it has entries alone.
   */
  async blocks(request: Uint8Array): Promise<Uint8Array> {
    const { fromHeight, count } = wire.decodeBlocksRequest(request)
    const blocks = this.#store.blocks(fromHeight, count, limits.SYNC_ANSWER_BYTES)
    return wire.encodeBlocksAnswer(await this.#read(blocks))
  }

  /**
   * Our newest header with what makes it final.
   *
   * @throws as {@link blocks}; NodeError `NODE_BUSY` before the first block.
   */
  async newest(request: Uint8Array): Promise<Uint8Array> {
    wire.decodeNumber(request, "newest request")
    const { height } = this.#store.head
    if (height === 0) throw new NodeError("NODE_BUSY", "the ledger has no blocks yet")
    return wire.encodeBlob(encodeFinalHeader(await this.#read(this.#store.finalHeader(height))))
  }

  /**
   * Headers of the blocks that hold entries: of all that were asked for, or of the first ones when
   * they are large.
   *
   * @throws as {@link blocks}, {@link bundle}.
   */
  async holders(request: Uint8Array): Promise<Uint8Array> {
    const holders: Uint8Array[] = []
    let length = 0
    for (const index of wire.decodeHoldersRequest(request)) {
      if (length >= limits.HOLDERS_ANSWER_BYTES) break
      this.#demand(index + 1)
      const holder = encodeHolder(await this.#read(this.#store.holderOf(index)))
      holders.push(holder)
      length += holder.length
    }
    return wire.encodeHoldersAnswer(holders)
  }

  /**
   * Entries of one bundle with its path.
   *
   * @throws as {@link blocks}; NodeError `NODE_BUSY` when our tree is smaller, `STREAM_LIMIT` for a
   * bundle that is too large to travel.
   */
  async bundle(request: Uint8Array): Promise<Uint8Array> {
    const { first, count, treeSize } = wire.decodeBundleRequest(request)
    this.#demand(treeSize)
    const { tiles } = this.#store
    const entries = encodeBundle(await this.#read(tiles.entries(first, count)))
    if (entries.length > limits.BUNDLE_BYTES_MAX) {
      throw new NodeError("STREAM_LIMIT", `entries from ${first} on are too large together`)
    }
    const start = first - (first % limits.BUNDLE_ENTRIES)
    const isWhole = start + limits.BUNDLE_ENTRIES <= treeSize
    const path = isWhole ? bundlePath(await this.#read(tiles.inclusion(start, treeSize))) : []
    return wire.encodeBundleAnswer({ entries, path })
  }

  #demand(treeSize: number): void {
    const { size } = this.#store.tiles
    if (treeSize <= size) return
    throw new NodeError("NODE_BUSY", `the ledger has ${size} entries here, not ${treeSize}`)
  }

  async #read<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      if (error instanceof NodeError && error.code === "STORE_DAMAGED") this.#onDamage()
      throw error
    }
  }
}

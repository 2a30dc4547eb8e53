/**
 * What blocks hold in a simulation: numbers of transactions, kept beside the block by its hash. It
 * answers what chain.ts and mempool.ts answer in a node: is there work, what goes into a block, is a
 * block valid.
 */

import { blockHash, type Block, type Header } from "../../ledger/block.ts"
import type { Place, Verdict } from "../../ledger/state.ts"
import { CHAIN_ID, cheapHash, cheapSuite, keyOf } from "./keys.ts"

const HOUR_MS = 3_600_000
const TRANSACTIONS_PER_BLOCK = 8
const ZERO = new Uint8Array(32)

/** A block's content, as a validator learns it with the block. */
export interface Content {
  readonly key: number
  readonly hash: Uint8Array
  readonly height: number
  readonly view: number
  readonly treeSize: number
  readonly transactions: readonly number[]
  readonly parent: Content | undefined
  /** Set by adversaries: every honest validator refuses it. */
  readonly isInvalid: boolean
}

/** All contents of one run; who may look at which is the machine's affair. */
export class Contents {
  readonly #contents = new Map<number, Content>()
  readonly start: Content

  constructor() {
    const key = keyOf(CHAIN_ID)
    const fixed = { height: 0, view: 0, treeSize: 0, transactions: [], parent: undefined }
    this.start = { key, hash: CHAIN_ID, ...fixed, isInvalid: false }
    this.#contents.set(key, this.start)
  }

  of(hash: Uint8Array): Content | undefined {
    return this.#contents.get(keyOf(hash))
  }

  /** Makes a block of transactions on a parent, and remembers what is in it. */
  make(
    view: number,
    parent: Content,
    transactions: readonly number[],
    timeMs: number,
    changes: Partial<Header> & { readonly isInvalid?: boolean } = {},
  ): Block {
    const { isInvalid = false, ...others } = changes
    const header: Header = {
      epoch: 0,
      view,
      height: parent.height + 1,
      parent: parent.hash,
      treeSize: parent.treeSize + transactions.length,
      treeRoot: ZERO,
      batchesHash: hashOf(transactions),
      timeMs: Math.max(0, Math.floor(timeMs)),
      seal: false,
      closing: transactions.length === 0,
      nextEpochHash: ZERO,
      ...others,
    }
    const hash = blockHash(cheapSuite, header)
    const { height, treeSize } = header
    const key = keyOf(hash)
    const content = { key, hash, height, view, treeSize, transactions, parent, isInvalid }
    this.#contents.set(key, content)
    return { header, batches: [] }
  }

  /** A validator's check of a block whose parent it has judged. */
  judge(
    block: Block,
    hash: Uint8Array,
    wallMs: number,
    delivered: { readonly height: number; readonly transactions: ReadonlySet<number> },
  ): Verdict {
    const { header } = block
    const content = this.of(hash)
    const parent = content?.parent
    if (content === undefined || parent === undefined || content.isInvalid) return "invalid"
    if (header.seal || header.epoch !== 0 || header.view <= parent.view) return "invalid"
    if (header.height !== parent.height + 1) return "invalid"
    if (header.treeSize !== parent.treeSize + content.transactions.length) return "invalid"
    if (header.closing !== (content.transactions.length === 0)) return "invalid"
    for (const one of content.transactions) {
      if (delivered.transactions.has(one)) return "invalid"
      if (isIncluded(one, parent, delivered.height)) return "invalid"
    }
    return header.timeMs > wallMs + HOUR_MS ? "untimely" : "valid"
  }
}

/** Up to so many of what waits and is in no block from `parent` down to the delivered one. */
export function chooseWork(waiting: Iterable<number>, parent: Content, down: number): number[] {
  const chosen: number[] = []
  for (const one of waiting) {
    if (chosen.length === TRANSACTIONS_PER_BLOCK) break
    if (!isIncluded(one, parent, down)) chosen.push(one)
  }
  return chosen
}

/** True for a transaction in this block or one below it, down to a height. */
export function isIncluded(transaction: number, block: Content, down: number): boolean {
  let at: Content | undefined = block
  while (at !== undefined && at.height > down) {
    if (at.transactions.includes(transaction)) return true
    at = at.parent
  }
  return false
}

export function placeAt(content: Content): Place {
  return { view: content.view, height: content.height, hash: content.hash }
}

function hashOf(transactions: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * transactions.length + 1)
  for (const [i, one] of transactions.entries()) {
    bytes[4 * i] = one >>> 24
    bytes[4 * i + 1] = one >>> 16
    bytes[4 * i + 2] = one >>> 8
    bytes[4 * i + 3] = one
  }
  return cheapHash(bytes)
}

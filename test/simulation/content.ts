/**
 * What blocks hold in a simulation: numbers of transactions, kept beside the block by its hash. Each
 * is a leaf of the tree whose root stands in the header, so that blocks need no batches. It answers what chain.ts and mempool.ts answer in a node: is there work, what goes into a block, is a
 * block valid.
 */

import { blockHash, type Block, type Header } from "../../ledger/block.ts"
import type { Place, Verdict } from "../../ledger/state.ts"
import {
  appendLeaves,
  EMPTY_FRONTIER,
  frontierRoot,
  hashPackedLeaves,
  type Frontier,
} from "../../ledger/merkle.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { CHAIN_ID, cheapHash, cheapSuite, keyOf } from "./keys.ts"

const HOUR_MS = 3_600_000
const TRANSACTIONS_PER_BLOCK = 8
const LEAF_BYTES = 4
const ZERO = new Uint8Array(32)
const NO_BATCHES = cheapHash(new Uint8Array(0))

/** A block's content, as a validator learns it with the block. */
export interface Content {
  readonly key: number
  readonly hash: Uint8Array
  readonly height: number
  readonly view: number
  /** As the header has them. */
  readonly treeSize: number
  readonly treeRoot: Uint8Array
  /** The tree after its transactions and its root, whatever the header says. */
  readonly frontier: Frontier
  readonly root: Uint8Array
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
    const root = frontierRoot(EMPTY_FRONTIER)
    const tree = { treeSize: 0, treeRoot: root, frontier: EMPTY_FRONTIER, root }
    const fixed = { height: 0, view: 0, ...tree, transactions: [], parent: undefined }
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
    const isClosing = transactions.length === 0
    const frontier = isClosing
      ? parent.frontier
      : appendLeaves(parent.frontier, leavesOf(transactions))
    const root = isClosing ? parent.root : frontierRoot(frontier)
    const header: Header = {
      epoch: 0,
      view,
      height: parent.height + 1,
      parent: parent.hash,
      treeSize: frontier.size,
      treeRoot: root,
      batchesHash: NO_BATCHES,
      timeMs: Math.max(0, Math.floor(timeMs)),
      seal: false,
      closing: isClosing,
      nextEpochHash: ZERO,
      ...others,
    }
    const hash = blockHash(cheapSuite, header)
    const { height, treeSize, treeRoot } = header
    const key = keyOf(hash)
    const tree = { treeSize, treeRoot, frontier, root }
    this.#contents.set(key, { key, hash, height, view, ...tree, transactions, parent, isInvalid })
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
    if (header.treeSize !== content.frontier.size) return "invalid"
    if (!equalBytes(header.treeRoot, content.root)) return "invalid"
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

/** Packed leaf hashes of transactions. */
export function leavesOf(transactions: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(LEAF_BYTES * transactions.length)
  const view = new DataView(bytes.buffer)
  for (const [i, one] of transactions.entries()) view.setUint32(LEAF_BYTES * i, one)
  return hashPackedLeaves(bytes, LEAF_BYTES)
}

/**
 * The tree over all entries: RFC 6962 §2.1 (LEDGER §4).
 *
 * leaf = SHA-256(0x00 ‖ entry), node = SHA-256(0x01 ‖ left ‖ right), the empty tree is SHA-256(""),
 * and a tree of n > 1 leaves splits at the largest power of two below n. Who appends needs only the
 * {@link Frontier}, the right edge; who proves needs the hashes of complete subtrees.
 */

import { assert } from "../protocol/assert.ts"
import { concatBytes, equalBytes } from "../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { HASH_BYTES } from "../protocol/limits.ts"
import { LedgerError } from "./errors.ts"
import { hashPacked, hashPair } from "./sha256.ts"

const LEAF_PREFIX = 0x00
const NODE_PREFIX = 0x01
/** In front of each encoded entry. */
const LENGTH_BYTES = 2

/** SHA-256 of nothing: the root of the empty tree. */
export const EMPTY_ROOT: Uint8Array = Uint8Array.from([
  0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
  0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
])

/**
 * Hash of the complete subtree `index` at `level`: leaves are level 0, and node (l, i) covers the
 * leaves i·2^l … (i+1)·2^l - 1.
 */
export type HashSource = (level: number, index: number) => Uint8Array

/**
 * Hears of every hash that an append completes: packed nodes of one level, first one at `index`.
 */
export type NodeSink = (level: number, index: number, hashes: Uint8Array) => void

/** The right edge of a tree: its complete subtrees, largest first, one per bit of `size`. */
export interface Frontier {
  readonly size: number
  readonly hashes: readonly Uint8Array[]
}

export const EMPTY_FRONTIER: Frontier = { size: 0, hashes: [] }

/** Hash of one leaf; an entry has at least one byte. */
export function leafHash(entry: Uint8Array): Uint8Array {
  return hashPacked(LEAF_PREFIX, entry, entry.length)
}

/** Hash of an inner node. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return hashPair(NODE_PREFIX, left, right)
}

/** Packed leaf hashes of entries of any lengths; runs of equal length are hashed together. */
export function hashLeaves(entries: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(entries.length * HASH_BYTES)
  let start = 0
  while (start < entries.length) {
    const length = entries[start]?.length ?? 0
    let end = start
    while (entries[end]?.length === length) end++
    const packed = new Uint8Array((end - start) * length)
    for (let i = start; i < end; i++) packed.set(entries[i] ?? packed, (i - start) * length)
    out.set(hashPacked(LEAF_PREFIX, packed, length), start * HASH_BYTES)
    start = end
  }
  return out
}

/** {@link hashLeaves} of (length u16 ‖ entry) for each entry, as batches and bundles have them. */
export function hashEncodedLeaves(encoded: Uint8Array): Uint8Array {
  const runs: Uint8Array[] = []
  let start = 0
  while (start < encoded.length) {
    const length = lengthAt(encoded, start)
    const stride = LENGTH_BYTES + length
    let end = start
    while (end < encoded.length && lengthAt(encoded, end) === length) end += stride
    runs.push(hashPacked(LEAF_PREFIX, encoded.subarray(start, end), length, stride))
    start = end
  }
  const [only] = runs
  return runs.length === 1 && only !== undefined ? only : concatBytes(...runs)
}

function lengthAt(encoded: Uint8Array, at: number): number {
  return ((encoded[at] ?? 0) << 8) | (encoded[at + 1] ?? 0)
}

/** Packed leaf hashes of packed entries of `length` bytes each. */
export function hashPackedLeaves(entries: Uint8Array, length: number): Uint8Array {
  return hashPacked(LEAF_PREFIX, entries, length)
}

/** Packed parents of packed nodes; an odd last node has no parent yet. */
export function hashLevel(nodes: Uint8Array): Uint8Array {
  const pairs = Math.floor(nodes.length / (2 * HASH_BYTES))
  return hashPacked(NODE_PREFIX, nodes.subarray(0, pairs * 2 * HASH_BYTES), 2 * HASH_BYTES)
}

/** Appends packed leaf hashes, level by level; `sink` hears of all new complete subtrees. */
export function appendLeaves(frontier: Frontier, leaves: Uint8Array, sink?: NodeSink): Frontier {
  assert(leaves.length % HASH_BYTES === 0, "packed hashes do not fill their buffer")
  const size = frontier.size + leaves.length / HASH_BYTES
  assert(Number.isSafeInteger(size), "a tree outgrew its numbers")
  const edge = [...frontier.hashes]
  const hashes: Uint8Array[] = []
  let nodes = leaves
  for (let level = 0, span = 1; nodes.length > 0; level++, span *= 2) {
    const first = Math.floor(frontier.size / span)
    sink?.(level, first, nodes)
    // An odd old count means that the edge holds a left sibling for the first new node.
    const left = first % 2 === 1 ? edge.pop() : undefined
    const row = left === undefined ? nodes : concatBytes(left, nodes)
    const last = Math.floor(size / span)
    if (last % 2 === 1) hashes.unshift(row.slice(row.length - HASH_BYTES))
    nodes = hashLevel(row)
  }
  // Above a level without a new node the edge is what it was.
  return { size, hashes: [...edge, ...hashes] }
}

/** Root hash of the tree that a frontier stands for. */
export function frontierRoot(frontier: Frontier): Uint8Array {
  let root = frontier.hashes.at(-1)
  if (root === undefined) return EMPTY_ROOT.slice()
  for (const left of frontier.hashes.slice(0, -1).reverse()) root = nodeHash(left, root)
  return root
}

/** size u64 ‖ 32 bytes per complete subtree, largest first. */
export function encodeFrontier(frontier: Frontier): Uint8Array {
  const writer = new FieldWriter(8 + frontier.hashes.length * HASH_BYTES).u64(frontier.size)
  for (const hash of frontier.hashes) writer.bytes(hash)
  return writer.finish()
}

/**
 * @throws ProtocolError `CODEC_*`; {@link LedgerError} `TREE_FRONTIER` for a wrong number of hashes.
 */
export function decodeFrontier(bytes: Uint8Array): Frontier {
  const reader = new FieldReader(bytes, "frontier")
  const size = reader.u64("size")
  let expected = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) expected += rest % 2
  if (reader.left !== expected * HASH_BYTES) {
    const why = `size ${size} needs ${expected} hashes, got ${reader.left} bytes`
    throw new LedgerError("TREE_FRONTIER", `frontier: ${why}`)
  }
  const hashes = Array.from({ length: expected }, () => reader.bytes("hash", HASH_BYTES))
  return { size, hashes }
}

/** Root of the first `size` leaves of a stored tree. */
export function treeRoot(source: HashSource, size: number): Uint8Array {
  return size === 0 ? EMPTY_ROOT.slice() : rangeHash(source, 0, size)
}

/** Path of leaf `index` in the tree of `size` leaves, from the leaf to the root. */
export function inclusionProof(source: HashSource, index: number, size: number): Uint8Array[] {
  assert(index >= 0 && index < size, "an inclusion proof was asked for a leaf outside the tree")
  const path: Uint8Array[] = []
  let [start, count] = [0, size]
  while (count > 1) {
    const split = largestPowerBelow(count)
    if (index - start < split) {
      path.push(rangeHash(source, start + split, count - split))
      count = split
    } else {
      path.push(rangeHash(source, start, split))
      start += split
      count -= split
    }
  }
  return path.reverse()
}

/** Proof that the tree of `newSize` leaves extends the tree of `oldSize` (RFC 6962 §2.1.2). */
export function consistencyProof(
  source: HashSource,
  oldSize: number,
  newSize: number,
): Uint8Array[] {
  assert(oldSize >= 0 && oldSize <= newSize, "a consistency proof was asked for a shrinking tree")
  if (oldSize === 0 || oldSize === newSize) return []
  const proof: Uint8Array[] = []
  let [start, count, old] = [0, newSize, oldSize]
  while (old !== count) {
    const split = largestPowerBelow(count)
    if (old <= split) {
      proof.push(rangeHash(source, start + split, count - split))
      count = split
    } else {
      proof.push(rangeHash(source, start, split))
      start += split
      count -= split
      old -= split
    }
  }
  // Where the old tree is a whole left edge of the new one, the verifier has its root already.
  if (start !== 0) proof.push(rangeHash(source, start, count))
  return proof.reverse()
}

/** @throws {@link LedgerError} `TREE_INCLUSION` unless `leaf` stands at `index` under `root`. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
  root: Uint8Array,
): void {
  const fail = (why: string): never => {
    throw new LedgerError("TREE_INCLUSION", `inclusion of leaf ${index} in ${size}: ${why}`)
  }
  if (!isIndex(index) || !isIndex(size) || index >= size) fail("the leaf is outside the tree")
  if (![leaf, root, ...path].every(isHash)) fail(`expected hashes of ${HASH_BYTES} bytes`)
  const sides: ("left" | "right")[] = []
  let [position, count] = [index, size]
  while (count > 1) {
    const split = largestPowerBelow(count)
    sides.push(position < split ? "right" : "left")
    if (position < split) {
      count = split
    } else {
      position -= split
      count -= split
    }
  }
  if (path.length !== sides.length) fail(`expected ${sides.length} hashes, got ${path.length}`)
  let hash = leaf
  for (const [i, sibling] of path.entries()) {
    hash = sides.at(-1 - i) === "right" ? nodeHash(hash, sibling) : nodeHash(sibling, hash)
  }
  if (!equalBytes(hash, root)) fail("the path leads to another root")
}

/** @throws {@link LedgerError} `TREE_CONSISTENCY` unless the new tree extends the old one. */
export function verifyConsistency(
  oldSize: number,
  oldRoot: Uint8Array,
  newSize: number,
  newRoot: Uint8Array,
  proof: readonly Uint8Array[],
): void {
  const fail = (why: string): never => {
    throw new LedgerError("TREE_CONSISTENCY", `consistency ${oldSize} → ${newSize}: ${why}`)
  }
  if (!isIndex(oldSize) || !isIndex(newSize) || oldSize > newSize) fail("the sizes are wrong")
  if (![oldRoot, newRoot, ...proof].every(isHash)) fail(`expected hashes of ${HASH_BYTES} bytes`)
  if (oldSize === 0 && !equalBytes(oldRoot, EMPTY_ROOT)) fail("an empty tree has another root")
  if (oldSize === 0 || oldSize === newSize) {
    if (proof.length !== 0) fail(`expected no hashes, got ${proof.length}`)
    if (oldSize === newSize && !equalBytes(oldRoot, newRoot)) fail("one size has two roots")
    return
  }
  const rest = [...proof]
  const take = (): Uint8Array => rest.shift() ?? fail("the proof is too short")
  // Rebuilds [old, new] of one subtree; `edge` is true while it is a left edge of both trees.
  const rebuild = (old: number, count: number, edge: boolean): [Uint8Array, Uint8Array] => {
    if (old === count) {
      const hash = edge ? oldRoot : take()
      return [hash, hash]
    }
    const split = largestPowerBelow(count)
    if (old <= split) {
      const [before, left] = rebuild(old, split, edge)
      return [before, nodeHash(left, take())]
    }
    const [before, right] = rebuild(old - split, count - split, false)
    const left = take()
    return [nodeHash(left, before), nodeHash(left, right)]
  }
  const [before, after] = rebuild(oldSize, newSize, true)
  if (rest.length !== 0) fail(`${rest.length} hashes left over`)
  if (!equalBytes(before, oldRoot)) fail("the proof leads to another old root")
  if (!equalBytes(after, newRoot)) fail("the proof leads to another new root")
}

/**
 * Hash over `count` leaves from `start`, which is a multiple of the power of two at or above it.
 */
function rangeHash(source: HashSource, start: number, count: number): Uint8Array {
  const split = largestPowerBelow(count)
  if (count === 1 || split * 2 === count) {
    const level = Math.log2(count)
    return source(level, start / count)
  }
  return nodeHash(rangeHash(source, start, split), rangeHash(source, start + split, count - split))
}

function largestPowerBelow(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES
}

function isIndex(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

/**
 * The hash trees inside TB1 objects: wraps, pieces of a body, receipts (PROTOCOL §2.6).
 *
 * Shaped and hashed like RFC 6962 §2.1: a leaf is SHA-256(0x00 ‖ data), a node SHA-256(0x01 ‖ left
 * ‖ right), and a tree of n leaves splits at the largest power of two below n. These trees are
 * small and made at once; the ledger's growing tree is in ledger/merkle.ts.
 */

import { assert } from "./assert.ts"
import { concatBytes, equalBytes } from "./bytes.ts"
import { HASH_BYTES } from "./limits.ts"
import type { Suite } from "./suite.ts"

const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = Uint8Array.of(1)

/** SHA-256(0x00 ‖ data). */
export function hashLeaf(suite: Suite, ...data: readonly Uint8Array[]): Uint8Array {
  return suite.sha256(concatBytes(LEAF_PREFIX, ...data))
}

/** A whole tree. */
export interface Tree {
  readonly root: Uint8Array
  /** The path of one leaf, from its sibling upwards, as one byte string of 32-byte hashes. */
  readonly pathOf: (index: number) => Uint8Array
}

/** The tree over leaf hashes; at least one. */
export function buildTree(suite: Suite, leaves: readonly Uint8Array[]): Tree {
  assert(leaves.length > 0, "a tree has at least one leaf")
  const levels: (readonly Uint8Array[])[] = [leaves]
  let level = leaves
  while (level.length > 1) {
    level = parentsOf(suite, level)
    levels.push(level)
  }
  const [root] = level
  assert(root !== undefined, "the last level holds the root")
  return {
    root,
    pathOf(index) {
      assert(index >= 0 && index < leaves.length, "the leaf stands in the tree")
      const path: Uint8Array[] = []
      let position = index
      for (const hashes of levels) {
        const sibling = hashes[position % 2 === 1 ? position - 1 : position + 1]
        if (sibling !== undefined) path.push(sibling)
        position = Math.floor(position / 2)
      }
      return concatBytes(...path)
    },
  }
}

/** The next level up; a last hash without a sibling is carried up as it is. */
function parentsOf(suite: Suite, level: readonly Uint8Array[]): Uint8Array[] {
  const parents: Uint8Array[] = []
  for (let i = 0; i < level.length; i += 2) {
    const left = level[i]
    const right = level[i + 1]
    assert(left !== undefined, "the level has no holes")
    parents.push(right === undefined ? left : hashNode(suite, left, right))
  }
  return parents
}

/**
 * True when `leaf` stands at `index` in the tree of `count` leaves with this root.
 *
 * `path` is as {@link Tree.pathOf} makes it; a path of any other length is false.
 */
export function isInTree(
  suite: Suite,
  leaf: Uint8Array,
  index: number,
  count: number,
  path: Uint8Array,
  root: Uint8Array,
): boolean {
  if (index < 0 || index >= count || path.length !== pathHashes(index, count) * HASH_BYTES) {
    return false
  }
  let hash = leaf
  let position = index
  let last = count - 1
  let offset = 0
  while (last > 0) {
    const isRight = position % 2 === 1
    if (isRight || position !== last) {
      const sibling = path.subarray(offset, offset + HASH_BYTES)
      hash = isRight ? hashNode(suite, sibling, hash) : hashNode(suite, hash, sibling)
      offset += HASH_BYTES
    }
    position = Math.floor(position / 2)
    last = Math.floor(last / 2)
  }
  return equalBytes(hash, root)
}

/** Hashes in the path of one leaf. */
function pathHashes(index: number, count: number): number {
  let hashes = 0
  let position = index
  let last = count - 1
  while (last > 0) {
    if (position % 2 === 1 || position !== last) hashes += 1
    position = Math.floor(position / 2)
    last = Math.floor(last / 2)
  }
  return hashes
}

function hashNode(suite: Suite, left: Uint8Array, right: Uint8Array): Uint8Array {
  return suite.sha256(concatBytes(NODE_PREFIX, left, right))
}

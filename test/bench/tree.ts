/** 2^20 leaves of 54 bytes hashed into their tree, against bare SHA-256 of as much. */

import { hash } from "node:crypto"
import {
  appendLeaves,
  EMPTY_FRONTIER,
  frontierRoot,
  hashPackedLeaves,
} from "../../ledger/merkle.ts"
import { interleave, ratioOf, spreadOf, type Figure, type Progress } from "./figures.ts"

const LEAVES = 2 ** 20
const LEAF_BYTES = 54
const BLOCK_BYTES = 64
/** Prefix and leaf fill one block of SHA-256, prefix and two hashes take two. */
const COMPRESSIONS = LEAVES + 2 * (LEAVES - 1)
const ROUNDS = 3
/** So slow that a part of it has to do; every call takes as long as any other. */
const SINGLE_SHARE = 1 / 8
const GOAL_S = 1.6

export async function benchTree(progress: Progress): Promise<Figure[]> {
  const leaves = new Uint8Array(LEAVES * LEAF_BYTES)
  const view = new DataView(leaves.buffer)
  for (let index = 0; index < LEAVES; index++) view.setUint32(index * LEAF_BYTES, index)
  const bulk = new Uint8Array(COMPRESSIONS * BLOCK_BYTES)
  const found = await interleave(
    ROUNDS,
    {
      ours: () => seconds(() => frontierRoot(treeOf(leaves))),
      bulk: () => seconds(() => hash("sha256", bulk, "buffer")),
      single: () => seconds(() => singleHashes(leaves)) / SINGLE_SHARE,
    },
    progress,
  )
  const measured = spreadOf(found.ours)
  const isMet = measured.median <= GOAL_S
  return [
    {
      name: "2^20 leaves of 54 B to the root",
      unit: "s",
      measured,
      against: {
        name: "one crypto.hash a node (an eighth of them, times 8)",
        value: spreadOf(found.single),
      },
      ratio: ratioOf(found.ours, found.single),
      goal: { text: `at most ${GOAL_S} s`, isMet },
    },
    {
      name: "the same",
      unit: "s",
      measured,
      against: { name: "as many compressions in bulk", value: spreadOf(found.bulk) },
      ratio: ratioOf(found.ours, found.bulk),
    },
  ]
}

function treeOf(leaves: Uint8Array): ReturnType<typeof appendLeaves> {
  return appendLeaves(EMPTY_FRONTIER, hashPackedLeaves(leaves, LEAF_BYTES))
}

/** Hashes of the same lengths, one call each: {@link SINGLE_SHARE} of as many. */
function singleHashes(leaves: Uint8Array): void {
  const leaf = new Uint8Array(1 + LEAF_BYTES)
  const node = new Uint8Array(1 + 64)
  for (let index = 0; index < LEAVES * SINGLE_SHARE; index++) {
    leaf.set(leaves.subarray(index * LEAF_BYTES, (index + 1) * LEAF_BYTES), 1)
    const digest = hash("sha256", leaf, "buffer")
    if (index === 0) continue
    node.set(digest, 1)
    hash("sha256", node, "buffer")
  }
}

function seconds(run: () => unknown): number {
  const startedMs = performance.now()
  run()
  return (performance.now() - startedMs) / 1_000
}

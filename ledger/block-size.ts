/**
 * How much a leader takes into a block (LEDGER §8.1, R1): as much as its line carries in time.
 *
 * What does not reach a quorum before the view ends was in vain, and the next leader would fail
 * with as much again. So a leader takes a quarter after a view of its own that became void, and
 * twice as much once a block that used its room was final at once; and all take less with every
 * round of leaders of whom none had a block final, which also holds for one that just started.
 */

import { TAKE_BYTES_MIN, TAKE_BYTES_MAX } from "../protocol/limits.ts"
import { batchesBytes } from "./block.ts"
import type { Certificate } from "./certificate.ts"
import { heldBlock, roundsSinceFinal, viewOf, type ConsensusState } from "./state.ts"
import { leaderOf } from "./validators.ts"

/** A quarter after each failure, and after each round. */
const SHRINK = 4
const GROWTH = 2

/** Bytes of batches that we take now. */
export function bytesToTake(state: ConsensusState): number {
  const ofAll = TAKE_BYTES_MAX / SHRINK ** roundsSinceFinal(state)
  return Math.max(TAKE_BYTES_MIN, Math.min(state.takeBytes, ofAll))
}

/** A view is void or final: if we led it with a block, that tells what our line carries. */
export function learnSize(state: ConsensusState, { kind, view, blockHash }: Certificate): void {
  const { notarize } = viewOf(state, view).own
  if (notarize === undefined || leaderOf(state.config.validators, view) !== state.config.self) {
    return
  }
  if (kind === "nullify") {
    state.takeBytes = Math.max(TAKE_BYTES_MIN, state.takeBytes / SHRINK)
    return
  }
  const held = heldBlock(state, blockHash)
  if (held === undefined || batchesBytes(held.block.batches) <= state.takeBytes / GROWTH) return
  state.takeBytes = Math.min(TAKE_BYTES_MAX, state.takeBytes * GROWTH)
}

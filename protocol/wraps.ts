/**
 * The wraps of an envelope: one sealed content secret per addressee, under one root that hides how
 * many there are and where each stands (PROTOCOL §5.3).
 *
 * The tree always has 128 leaves. Positions and the leaves that stand for nobody come from the
 * content secret, so whoever opened the envelope can rebuild all of it from the list inside, and
 * nobody else can tell a dummy from an addressee.
 */

import { assert } from "./assert.ts"
import { concatBytes, u16, u32, u8 } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import { openBase, sealBase } from "./hpke.ts"
import { LABELS, labelBytes } from "./labels.ts"
import { HASH_BYTES, WRAPS_LEAVES } from "./limits.ts"
import type { RandomSource, Suite } from "./suite.ts"
import { buildTree, hashLeaf, isInTree } from "./tree.ts"
import { PRECEDENCES, type Precedence } from "./words.ts"

const NOTHING = new Uint8Array(0)

/** Which key of which mission a wrap is sealed to. */
export interface WrapTarget {
  /** Receiving mission, u16. */
  readonly rid: number
  /** Number of the key's epoch, u32. */
  readonly epoch: number
  /** Hash of the public key, 32 bytes (keys.ts `epochKeyHash`). */
  readonly ekHash: Uint8Array
}

/** One wrap with everything that its leaf covers. */
export interface Wrap extends WrapTarget {
  readonly precedence: Precedence
  /** HPKE encapsulation and sealed secret, 1,168 bytes. */
  readonly wrap: Uint8Array
}

/** Seals the content secret to one epoch key; 1,168 bytes. */
export function sealWrap(
  suite: Suite,
  publicKey: Uint8Array,
  target: WrapTarget,
  coreHash: Uint8Array,
  secret: Uint8Array,
  random: RandomSource,
): Uint8Array {
  return sealBase(suite, publicKey, wrapInfo(target, coreHash), NOTHING, secret, random)
}

/**
 * Opens one wrap with the 32-byte seed of its epoch key.
 *
 * @throws {@link ProtocolError} `ENVELOPE_WRAP` when it was not sealed to this key under this core.
 */
export function openWrap(
  suite: Suite,
  seed: Uint8Array,
  target: WrapTarget & { readonly wrap: Uint8Array },
  coreHash: Uint8Array,
): Uint8Array {
  let secret: Uint8Array
  try {
    secret = openBase(suite, seed, wrapInfo(target, coreHash), NOTHING, target.wrap)
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause
    const name = `wrap for mission ${target.rid}, epoch ${target.epoch}`
    throw new ProtocolError("ENVELOPE_WRAP", `${name}: does not open`, { cause })
  }
  if (secret.length !== HASH_BYTES) {
    const why = `wrap: expected a secret of ${HASH_BYTES} bytes, got ${secret.length}`
    throw new ProtocolError("ENVELOPE_WRAP", why)
  }
  return secret
}

function wrapInfo(target: WrapTarget, coreHash: Uint8Array): Uint8Array {
  return concatBytes(
    labelBytes(LABELS.wrap),
    coreHash,
    u16(target.rid),
    u32(target.epoch),
    target.ekHash,
  )
}

/** The leaf of one wrap. */
export function wrapLeaf(suite: Suite, wrap: Wrap): Uint8Array {
  return hashLeaf(
    suite,
    u16(wrap.rid),
    u32(wrap.epoch),
    wrap.ekHash,
    u8(PRECEDENCES.code(wrap.precedence)),
    wrap.wrap,
  )
}

/**
 * Where each addressee stands: a permutation of 0 … 127 of which the first n values belong to the n
 * addressees in the order of their numbers.
 */
export function wrapPositions(suite: Suite, secret: Uint8Array, coreHash: Uint8Array): number[] {
  const info = concatBytes(labelBytes(LABELS.wrapPositions), coreHash)
  const stream = suite.hkdfExpand(secret, info, 4 * (WRAPS_LEAVES - 1))
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength)
  const positions = Array.from({ length: WRAPS_LEAVES }, (_, index) => index)
  for (let i = WRAPS_LEAVES - 1, offset = 0; i > 0; i--, offset += 4) {
    const j = view.getUint32(offset) % (i + 1)
    const a = positions[i]
    const b = positions[j]
    assert(a !== undefined && b !== undefined, "both places stand in the permutation")
    positions[i] = b
    positions[j] = a
  }
  return positions
}

/** A whole wraps tree. */
export interface WrapsTree {
  readonly root: Uint8Array
  /** Place of the addressee that is `rank`th by number, 0 … 127. */
  readonly indexOf: (rank: number) => number
  /** Path of that addressee's leaf: 7 hashes, 224 bytes. */
  readonly pathOf: (rank: number) => Uint8Array
}

/** The tree over the addressees' leaves, given in the order of their numbers, at most 128. */
export function buildWrapsTree(
  suite: Suite,
  secret: Uint8Array,
  coreHash: Uint8Array,
  addressed: readonly Uint8Array[],
): WrapsTree {
  assert(addressed.length <= WRAPS_LEAVES, "there are at most 128 addressees")
  const positions = wrapPositions(suite, secret, coreHash)
  const dummies = dummyLeaves(suite, secret, coreHash, positions.slice(addressed.length))
  const leaves = Array.from<Uint8Array>({ length: WRAPS_LEAVES })
  for (const [rank, leaf] of [...addressed, ...dummies].entries()) {
    const position = positions[rank]
    assert(position !== undefined, "there is a place for every leaf")
    leaves[position] = leaf
  }
  const indexOf = (rank: number): number => {
    const position = positions[rank]
    assert(position !== undefined && rank < addressed.length, "the rank belongs to an addressee")
    return position
  }
  const tree = buildTree(suite, leaves)
  return { root: tree.root, indexOf, pathOf: (rank) => tree.pathOf(indexOf(rank)) }
}

/** The leaves that stand for nobody, one a position. */
function dummyLeaves(
  suite: Suite,
  secret: Uint8Array,
  coreHash: Uint8Array,
  positions: readonly number[],
): Uint8Array[] {
  const prefix = concatBytes(labelBytes(LABELS.wrapDummy), coreHash)
  const infos = positions.map((position) => concatBytes(prefix, u8(position)))
  return suite.hkdfExpandEach(secret, infos)
}

/**
 * Checks that a wrap stands at `index` under `root`.
 *
 * @throws {@link ProtocolError} `ENVELOPE_PATH`.
 */
export function verifyWrapPath(
  suite: Suite,
  wrap: Wrap,
  index: number,
  path: Uint8Array,
  root: Uint8Array,
): void {
  if (!isInTree(suite, wrapLeaf(suite, wrap), index, WRAPS_LEAVES, path, root)) {
    const name = `wrap for mission ${wrap.rid} at ${index}`
    throw new ProtocolError("ENVELOPE_PATH", `${name}: its path does not lead to wrapsRoot`)
  }
}

/**
 * A dishonest sender: seals like an honest one, but lies at a chosen step and signs the result with
 * the right key. Every lie must be caught by the recipient, for no relay can see inside.
 */

import type { Suite } from "../../protocol/suite.ts"
import { concatBytes } from "../../protocol/bytes.ts"
import { chunkedCommitment, sealChunked } from "../../protocol/chunked.ts"
import type { EnvelopeCopy } from "../../protocol/copy.ts"
import type { Core } from "../../protocol/core.ts"
import type { SealInput } from "../../protocol/envelope.ts"
import {
  anchorSalt,
  bodyRoot,
  cableIdOf,
  encodeHeader,
  hashCore,
  saltHash,
  signatureContext,
  type Header,
} from "../../protocol/header.ts"
import { encodeInner, paddedInnerLength, type Inner } from "../../protocol/inner.ts"
import { epochKeyHash } from "../../protocol/keys.ts"
import { LABELS, labelBytes } from "../../protocol/labels.ts"
import { pad } from "../../protocol/padding.ts"
import { releaseCommitment, releaseKey } from "../../protocol/release.ts"
import { hashLeaf, buildTree } from "../../protocol/tree.ts"
import { highestPrecedence } from "../../protocol/words.ts"
import { sealWrap, wrapLeaf, wrapPositions, type Wrap } from "../../protocol/wraps.ts"
import type { World } from "./posts.ts"

export interface Lies {
  readonly core?: (core: Core) => Core
  /** What is sealed in a wrap, instead of the secret. */
  readonly wrapped?: (secret: Uint8Array) => Uint8Array
  /** All 128 leaves before they are hashed into the root. */
  readonly leaves?: (leaves: Uint8Array[], positions: readonly number[]) => Uint8Array[]
  readonly inner?: (inner: Inner) => Inner
  readonly padded?: (padded: Uint8Array) => Uint8Array
  readonly header?: (header: Header) => Header
  readonly context?: string
}

/** A copy for the input's recipient number `rank`, with lies. */
export function forgeCopy(world: World, input: SealInput, lies: Lies, rank = 0): EnvelopeCopy {
  const { suite, random } = world
  const same = <T>(value: T): T => value
  const addressees = input.recipients.toSorted((a, b) => a.rid - b.rid)
  const listed = addressees.map(({ rid, role, precedence, pairSeq }) => ({
    rid,
    role,
    precedence,
    pairSeq,
    leaf: new Uint8Array(32),
  }))
  const blank: Inner = {
    coreHash: new Uint8Array(32),
    recipients: listed,
    exempted: input.exempted,
    content: input.content,
    release: input.release,
  }
  const plainLength = encodeInner((lies.inner ?? same)(blank)).length
  const core = (lies.core ?? same)({
    ...input,
    highestPrecedence: highestPrecedence(addressees.map((one) => one.precedence)),
    paddedLen: paddedInnerLength(input.bodyType, plainLength),
  })
  const coreHash = hashCore(suite, core)
  const secret = random(32)
  const wraps = addressees.map((one): Wrap => {
    const { rid, epoch, precedence, epochKey } = one
    const target = { rid, epoch, ekHash: epochKeyHash(suite, epochKey) }
    const sealed = (lies.wrapped ?? same)(secret)
    return {
      ...target,
      precedence,
      wrap: sealWrap(suite, epochKey, target, coreHash, sealed, random),
    }
  })
  const positions = wrapPositions(suite, secret, coreHash)
  const honest = honestLeaves(suite, wraps, positions, secret, coreHash)
  const tree = buildTree(suite, (lies.leaves ?? same)(honest, positions))
  const recipients = listed.map((one, index) => {
    const wrap = wraps[index]
    return wrap === undefined ? one : { ...one, leaf: wrapLeaf(suite, wrap) }
  })
  const inner = (lies.inner ?? same)({ ...blank, coreHash, recipients })
  const context = concatBytes(labelBytes(LABELS.body), coreHash)
  const key = suite.hkdfExpand(secret, context, 32)
  const padded = (lies.padded ?? same)(pad(encodeInner(inner), core.paddedLen))
  const body = sealChunked(suite, key, context, padded, random)
  const header = encodeHeader(
    (lies.header ?? same)({
      coreHash,
      core,
      bodyCommit: chunkedCommitment(body),
      bodyRoot: bodyRoot(suite, body),
      bodyLen: body.length,
      wrapsRoot: tree.root,
      saltHash: saltHash(suite, anchorSalt(suite, secret, coreHash)),
      releaseCommit: releaseCommitment(suite, releaseKey(suite, secret, coreHash), inner.release),
    }),
  )
  const wrap = wraps[rank]
  const index = positions[rank]
  if (wrap === undefined || index === undefined) throw new RangeError(`no recipient ${rank}`)
  const signature = input.sign(lies.context ?? signatureContext(core), cableIdOf(suite, header))
  return { ...wrap, header, signature, body, index, path: tree.pathOf(index) }
}

/** A leaf of nobody. */
export function strangeLeaf(world: World): Uint8Array {
  return hashLeaf(world.suite, world.random(64))
}

/** All 128 leaves as an honest sender makes them. */
function honestLeaves(
  suite: Suite,
  wraps: readonly Wrap[],
  positions: readonly number[],
  secret: Uint8Array,
  coreHash: Uint8Array,
): Uint8Array[] {
  return Array.from({ length: 128 }, (_, place) => {
    const wrap = wraps[positions.indexOf(place)]
    if (wrap !== undefined) return wrapLeaf(suite, wrap)
    const info = concatBytes(labelBytes(LABELS.wrapDummy), coreHash, Uint8Array.of(place))
    return suite.hkdfExpand(secret, info, 32)
  })
}

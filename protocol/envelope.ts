/**
 * Sealing: how a sender makes an envelope, in the one order that works (PROTOCOL §5).
 *
 * core → secret → wraps → leaves → plaintext → body → header → cableId → signature. Each step binds
 * the ones before it: wraps and body name the core by its hash, the plaintext lists the wraps'
 * leaves, the header commits to all of it, and the signature covers the header. Opening is in
 * open.ts, what travels to one recipient in copy.ts.
 */

import { assert } from "./assert.ts"
import { concatBytes } from "./bytes.ts"
import { chunkedCommitment, sealChunked } from "./chunked.ts"
import type { EnvelopeCopy, PlacedWrap } from "./copy.ts"
import { checkCore, type Core, type EnvelopeFlags } from "./core.ts"
import {
  anchorSalt,
  bodyRoot,
  cableIdOf,
  encodeHeader,
  hashCore,
  saltHash,
  signatureContext,
} from "./header.ts"
import {
  checkAddresses,
  encodeInner,
  paddedInnerLength,
  type Inner,
  type Recipient,
} from "./inner.ts"
import { epochKeyHash, type CompositeSigner } from "./keys.ts"
import { LABELS, labelBytes } from "./labels.ts"
import { HASH_BYTES } from "./limits.ts"
import { pad } from "./padding.ts"
import { releaseCommitment, releaseKey } from "./release.ts"
import type { RandomSource, Suite } from "./suite.ts"
import { highestPrecedence, type BodyType, type Kind } from "./words.ts"
import { buildWrapsTree, sealWrap, wrapLeaf, type Wrap } from "./wraps.ts"

/** One addressee and the epoch key to seal to. */
export interface Addressee extends Recipient {
  /** Serial of this envelope among all from this sender to this addressee. */
  readonly pairSeq: number
  readonly epoch: number
  /** X-Wing public key of that epoch, 1,216 bytes. */
  readonly epochKey: Uint8Array
}

export interface SealInput {
  readonly net: Uint8Array
  readonly bodyType: BodyType
  readonly kind: Kind
  readonly sender: number
  readonly signerKid: Uint8Array
  readonly incarnation: number
  readonly seq: number
  readonly prevHash: Uint8Array
  readonly flags: EnvelopeFlags
  readonly createdMs: number
  readonly expiresMs: number
  /** In any order; each mission once. */
  readonly recipients: readonly Addressee[]
  readonly exempted: readonly number[]
  /** The encoded content, validated. */
  readonly content: Uint8Array
  /** The encoded release record; empty for receipts and service messages. */
  readonly release: Uint8Array
  /** Signs with the key that `signerKid` names. */
  readonly sign: CompositeSigner
}

export interface SealedEnvelope {
  readonly core: Core
  /** The header's bytes. */
  readonly header: Uint8Array
  readonly cableId: Uint8Array
  /** Composite, 3,373 bytes. */
  readonly signature: Uint8Array
  readonly body: Uint8Array
  /** The content's only secret, 32 bytes; kept for an addressee until its `decrypted` receipt. */
  readonly secret: Uint8Array
  /** Opens the ledger's commitment, 32 bytes. */
  readonly salt: Uint8Array
  /** One a recipient, sorted by rid. */
  readonly wraps: readonly PlacedWrap[]
}

/**
 * Seals and signs an envelope for all its addressees.
 *
 * Content and release must be valid already: `validateCable` or `validateSignal`, `verifyRelease`.
 *
 * @throws {@link ProtocolError} `ENVELOPE_RECIPIENTS`, `ENVELOPE_HEADER`, `ENVELOPE_PADDING` when a
 * signal is too large for its fixed size, `SUITE_KEY` for a malformed epoch key.
 */
export function sealEnvelope(suite: Suite, input: SealInput, random: RandomSource): SealedEnvelope {
  checkAddresses(input.bodyType, input.recipients, input.exempted)
  const addressees = input.recipients.toSorted((a, b) => a.rid - b.rid)
  const core = coreOf(input, addressees)
  const coreHash = hashCore(suite, core)
  const secret = random(HASH_BYTES)

  const wraps = addressees.map((one) => wrapFor(suite, one, coreHash, secret, random))
  const leaves = wraps.map((wrap) => wrapLeaf(suite, wrap))
  const tree = buildWrapsTree(suite, secret, coreHash, leaves)

  const inner = encodeInner(innerOf(input, addressees, coreHash, leaves))
  const context = concatBytes(labelBytes(LABELS.body), coreHash)
  const bodyKey = suite.hkdfExpand(secret, context, HASH_BYTES)
  const body = sealChunked(suite, bodyKey, context, pad(inner, core.paddedLen), random)

  const salt = anchorSalt(suite, secret, coreHash)
  const header = encodeHeader({
    coreHash,
    core,
    bodyCommit: chunkedCommitment(body),
    bodyRoot: bodyRoot(suite, body),
    bodyLen: body.length,
    wrapsRoot: tree.root,
    saltHash: saltHash(suite, salt),
    releaseCommit: releaseCommitment(suite, releaseKey(suite, secret, coreHash), input.release),
  })
  const cableId = cableIdOf(suite, header)
  return {
    core,
    header,
    cableId,
    signature: input.sign(signatureContext(core), cableId),
    body,
    secret,
    salt,
    wraps: wraps.map((wrap, rank) => ({
      ...wrap,
      index: tree.indexOf(rank),
      path: tree.pathOf(rank),
    })),
  }
}

/** The copy for one recipient; `rid` must be on the envelope's list. */
export function copyFor(sealed: SealedEnvelope, rid: number): EnvelopeCopy {
  const wrap = sealed.wraps.find((one) => one.rid === rid)
  assert(wrap !== undefined, `mission ${rid} is a recipient of this envelope`)
  const { header, signature, body } = sealed
  return { ...wrap, header, signature, body }
}

function coreOf(input: SealInput, addressees: readonly Addressee[]): Core {
  // Hashes have one length, so the plaintext's length is known before any of them is.
  const blank = new Uint8Array(HASH_BYTES)
  const leaves = addressees.map(() => blank)
  const innerLength = encodeInner(innerOf(input, addressees, blank, leaves)).length
  const core: Core = {
    net: input.net,
    bodyType: input.bodyType,
    kind: input.kind,
    sender: input.sender,
    signerKid: input.signerKid,
    incarnation: input.incarnation,
    seq: input.seq,
    prevHash: input.prevHash,
    highestPrecedence: highestPrecedence(addressees.map((one) => one.precedence)),
    flags: input.flags,
    createdMs: input.createdMs,
    expiresMs: input.expiresMs,
    paddedLen: paddedInnerLength(input.bodyType, innerLength),
  }
  checkCore(core)
  return core
}

function innerOf(
  input: SealInput,
  addressees: readonly Addressee[],
  coreHash: Uint8Array,
  leaves: readonly Uint8Array[],
): Inner {
  return {
    coreHash,
    recipients: addressees.map(({ rid, role, precedence, pairSeq }, rank) => {
      const leaf = leaves[rank]
      assert(leaf !== undefined, "there is one leaf an addressee")
      return { rid, role, precedence, pairSeq, leaf }
    }),
    exempted: input.exempted.toSorted((a, b) => a - b),
    content: input.content,
    release: input.release,
  }
}

function wrapFor(
  suite: Suite,
  addressee: Addressee,
  coreHash: Uint8Array,
  secret: Uint8Array,
  random: RandomSource,
): Wrap {
  const { rid, epoch, precedence, epochKey } = addressee
  const target = { rid, epoch, ekHash: epochKeyHash(suite, epochKey) }
  const wrap = sealWrap(suite, epochKey, target, coreHash, secret, random)
  return { ...target, precedence, wrap }
}

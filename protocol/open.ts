/**
 * Opening: what a recipient does with a copy, in the normative order, in one function
 * (PROTOCOL §5.9).
 *
 * signature → own leaf and path → wrap → body commitment → body → wrapsRoot rebuilt from the list
 * inside → itself on that list exactly once → release record and content. Only what passed all of
 * it comes back; the caller stores it and acknowledges afterwards. Dates are not judged here: a
 * mission that was away for weeks still reads what was sent to it.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { concatBytes, equalBytes } from "./bytes.ts"
import { decodeCable, validateCable, type CableContent } from "./cable.ts"
import { chunkedCommitment, openChunked } from "./chunked.ts"
import { verifyBody, verifyHeader, type CopyChecks, type EnvelopeCopy } from "./copy.ts"
import { ProtocolError } from "./errors.ts"
import { anchorSalt, saltHash, type Header } from "./header.ts"
import { decodeSignal, validateSignal, type SignalContent } from "./hotline.ts"
import { decodeInner, paddedInnerLength, type Inner } from "./inner.ts"
import { LABELS, labelBytes } from "./labels.ts"
import { BODY_HEADER_BYTES, HASH_BYTES } from "./limits.ts"
import { unpad } from "./padding.ts"
import {
  decodeRelease,
  releaseCommitment,
  releaseKey,
  verifyRelease,
  type OfficerKey,
  type ReleasePolicy,
  type ReleaseRecord,
} from "./release.ts"
import type { Suite } from "./suite.ts"
import { highestPrecedence } from "./words.ts"
import { buildWrapsTree, openWrap, verifyWrapPath } from "./wraps.ts"

/** What a recipient knows when it opens a copy. */
export interface OpenLookups extends CopyChecks {
  /** The mission that opens. */
  readonly rid: number
  /** Seed of our epoch key with this number and hash, 32 bytes, while we still have it. */
  readonly epochSeedOf: (epoch: number, ekHash: Uint8Array) => Uint8Array | undefined
  /** The officer with this key id, at the height that the caller judges by. */
  readonly officerKeyOf: (kid: Uint8Array) => OfficerKey | undefined
  /** The network's rule for two officers. */
  readonly policy: ReleasePolicy
}

/** The content, decoded and valid for its envelope. */
export type OpenedContent =
  | { readonly type: "cable"; readonly cable: CableContent }
  | { readonly type: "signal"; readonly signal: SignalContent }
  | { readonly type: "receipts" | "service"; readonly bytes: Uint8Array }

export interface OpenedEnvelope {
  readonly header: Header
  readonly cableId: Uint8Array
  /** Who got it, who must not, and the bytes of content and release. */
  readonly inner: Inner
  readonly content: OpenedContent
  /** Absent for receipts and service messages. Its draftId counts once per sender: check it. */
  readonly release: ReleaseRecord | undefined
  /** The content secret; kept only as long as the content itself may be read. */
  readonly secret: Uint8Array
  /** Opens the ledger's commitment, 32 bytes. */
  readonly salt: Uint8Array
}

/**
 * Opens a copy.
 *
 * @throws {@link ProtocolError} as `verifyCopy`, and `ENVELOPE_RECIPIENTS` (not for us, or not on the
 * list), `EPOCH_KEY_MISSING` (ask the sender to wrap again), `ENVELOPE_WRAP`,
 * `ENVELOPE_COMMITMENT`, `ENVELOPE_BODY`, `ENVELOPE_PADDING`, `ENVELOPE_WRAPS_ROOT`,
 * `ENVELOPE_HEADER`, `RELEASE_INVALID`, `CABLE_INVALID`, `CABLE_TOO_LARGE`, `SIGNAL_INVALID`.
 */
export function openCopy(suite: Suite, copy: EnvelopeCopy, lookups: OpenLookups): OpenedEnvelope {
  const { header, cableId } = verifyHeader(suite, copy.header, copy.signature, lookups)
  if (copy.rid !== lookups.rid) {
    const why = `made for mission ${copy.rid}, opened by mission ${lookups.rid}`
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `envelope copy: ${why}`)
  }
  verifyWrapPath(suite, copy, copy.index, copy.path, header.wrapsRoot)

  const seed = lookups.epochSeedOf(copy.epoch, copy.ekHash)
  if (seed === undefined) {
    const name = `epoch ${copy.epoch}, key ${bytesToHex(copy.ekHash.subarray(0, 4))}`
    throw new ProtocolError("EPOCH_KEY_MISSING", `envelope copy: no seed for ${name}`)
  }
  const secret = openWrap(suite, seed, copy, header.coreHash)

  const { body } = copy
  // A body that is too short to hold a commitment holds a wrong one.
  const isCommitted = body.length >= BODY_HEADER_BYTES
  if (!isCommitted || !equalBytes(chunkedCommitment(body), header.bodyCommit)) {
    throw new ProtocolError("ENVELOPE_COMMITMENT", "envelope body: not the one that is signed for")
  }
  verifyBody(suite, body, header)
  const inner = openBody(suite, body, header, secret)

  checkWraps(suite, copy, header, inner, secret)
  const salt = checkDerived(suite, header, inner, secret)
  const content = readContent(header, inner)
  const release = checkRelease(suite, header, inner, content, lookups)
  return { header, cableId, inner, content, release, secret, salt }
}

/** Opens the body and checks that it is the plaintext of this core, padded in the one way. */
function openBody(suite: Suite, body: Uint8Array, header: Header, secret: Uint8Array): Inner {
  const { core, coreHash } = header
  const context = concatBytes(labelBytes(LABELS.body), coreHash)
  const key = suite.hkdfExpand(secret, context, HASH_BYTES)
  let padded: Uint8Array
  try {
    padded = openChunked(suite, key, context, body)
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause
    throw new ProtocolError("ENVELOPE_BODY", "envelope body: does not open", { cause })
  }
  if (padded.length !== core.paddedLen) {
    const why = `expected ${core.paddedLen} bytes, got ${padded.length}`
    throw new ProtocolError("ENVELOPE_PADDING", `envelope plaintext: ${why}`)
  }
  const bytes = unpad(padded)
  const expected = paddedInnerLength(core.bodyType, bytes.length)
  if (padded.length !== expected) {
    const why = `${bytes.length} bytes are padded to ${expected}, got ${padded.length}`
    throw new ProtocolError("ENVELOPE_PADDING", `envelope plaintext: ${why}`)
  }
  const inner = decodeInner(bytes, core.bodyType)
  if (!equalBytes(inner.coreHash, coreHash)) {
    throw new ProtocolError("ENVELOPE_HEADER", "envelope plaintext: belongs to another core")
  }
  return inner
}

/** Rebuilds wrapsRoot from the list inside, and finds our own wrap on it exactly once. */
function checkWraps(
  suite: Suite,
  copy: EnvelopeCopy,
  header: Header,
  inner: Inner,
  secret: Uint8Array,
): void {
  const leaves = inner.recipients.map((one) => one.leaf)
  const tree = buildWrapsTree(suite, secret, header.coreHash, leaves)
  if (!equalBytes(tree.root, header.wrapsRoot)) {
    const why = "the list of recipients inside does not lead to wrapsRoot"
    throw new ProtocolError("ENVELOPE_WRAPS_ROOT", `envelope: ${why}`)
  }
  // The list is strictly sorted, so a mission is on it at most once.
  const rank = inner.recipients.findIndex((one) => one.rid === copy.rid)
  const own = inner.recipients[rank]
  if (own === undefined) {
    const why = `mission ${copy.rid} is not on the list of recipients inside`
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `envelope: ${why}`)
  }
  // The path was checked before: at our index stands our wrap, so this compares the leaf as well.
  if (tree.indexOf(rank) !== copy.index || own.precedence !== copy.precedence) {
    const why = `the wrap of mission ${copy.rid} is not the one on the list inside`
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `envelope: ${why}`)
  }
}

/** What the header says that only the content secret can confirm; returns the anchor's salt. */
function checkDerived(suite: Suite, header: Header, inner: Inner, secret: Uint8Array): Uint8Array {
  const { core, coreHash } = header
  const highest = highestPrecedence(inner.recipients.map((one) => one.precedence))
  if (highest !== core.highestPrecedence) {
    const why = `expected ${highest} as the highest precedence, got ${core.highestPrecedence}`
    throw new ProtocolError("ENVELOPE_HEADER", `envelope core: ${why}`)
  }
  const salt = anchorSalt(suite, secret, coreHash)
  if (!equalBytes(saltHash(suite, salt), header.saltHash)) {
    throw new ProtocolError("ENVELOPE_HEADER", "envelope header: saltHash is not of this secret")
  }
  const commitment = releaseCommitment(suite, releaseKey(suite, secret, coreHash), inner.release)
  if (!equalBytes(commitment, header.releaseCommit)) {
    const why = "releaseCommit does not match the record inside"
    throw new ProtocolError("RELEASE_INVALID", `envelope header: ${why}`)
  }
  return salt
}

function readContent(header: Header, inner: Inner): OpenedContent {
  const { bodyType, kind, highestPrecedence } = header.core
  if (bodyType === "cable") {
    const cable = decodeCable(inner.content)
    validateCable(cable, highestPrecedence)
    return { type: "cable", cable }
  }
  if (bodyType === "signal") {
    const signal = decodeSignal(inner.content)
    validateSignal(signal, kind)
    return { type: "signal", signal }
  }
  return { type: bodyType, bytes: inner.content }
}

/** Checks that officers released exactly this content to exactly these recipients. */
function checkRelease(
  suite: Suite,
  header: Header,
  inner: Inner,
  content: OpenedContent,
  lookups: OpenLookups,
): ReleaseRecord | undefined {
  const { net, bodyType, kind, sender, flags } = header.core
  if (bodyType === "receipts" || bodyType === "service") {
    if (inner.release.length !== 0) {
      throw new ProtocolError("RELEASE_INVALID", `${bodyType}: carries a release record`)
    }
    return undefined
  }
  const record = decodeRelease(inner.release)
  if (content.type === "cable" && content.cable.classification !== record.classification) {
    const why = `released as ${record.classification}, marked ${content.cable.classification}`
    throw new ProtocolError("RELEASE_INVALID", `cable: ${why}`)
  }
  const facts = {
    net,
    bodyType,
    kind,
    sender,
    recipients: inner.recipients,
    content: inner.content,
    breakGlass: flags.breakGlass,
  }
  verifyRelease(suite, record, facts, lookups.officerKeyOf, lookups.policy)
  return record
}

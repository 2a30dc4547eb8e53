/**
 * One recipient's copy of an envelope: what travels, and what anybody on the way can check
 * (PROTOCOL §5.7, §5.8).
 *
 * A copy holds the header, the signature, one wrap with its path, and the body: about 5.2 KB beside
 * the content, however many recipients there are.
 */

import { equalBytes } from "./bytes.ts"
import { decode, encode } from "./codec.ts"
import { isCompositeValid } from "./composite.ts"
import { U16_MAX, U32_MAX } from "./core.ts"
import { ProtocolError } from "./errors.ts"
import { bodyRoot, cableIdOf, decodeHeader, signatureContext, type Header } from "./header.ts"
import {
  COMPOSITE_SIGNATURE_BYTES,
  ENVELOPE_BYTES_MAX,
  HASH_BYTES,
  HEADER_BYTES_MAX,
  WRAP_BYTES,
  WRAPS_LEAVES,
  WRAPS_PATH_HASHES,
} from "./limits.ts"
import type { Suite } from "./suite.ts"
import { PRECEDENCES } from "./words.ts"
import { verifyWrapPath, type Wrap } from "./wraps.ts"

/** A wrap and its place under wrapsRoot. */
export interface PlacedWrap extends Wrap {
  /** 0 … 127. */
  readonly index: number
  /** 7 hashes, 224 bytes. */
  readonly path: Uint8Array
}

export interface EnvelopeCopy extends PlacedWrap {
  /** The header's bytes, exactly as they were signed. */
  readonly header: Uint8Array
  /** Composite, 3,373 bytes. */
  readonly signature: Uint8Array
  readonly body: Uint8Array
}

/** At most {@link ENVELOPE_BYTES_MAX}; the first seven fields are 5.2 KB together. */
export function encodeCopy(copy: EnvelopeCopy): Uint8Array {
  return encode([
    copy.header,
    copy.signature,
    copy.rid,
    copy.epoch,
    copy.ekHash,
    PRECEDENCES.code(copy.precedence),
    copy.wrap,
    copy.index,
    copy.path,
    copy.body,
  ])
}

/**
 * Reads a copy; its header and signature are not looked into.
 *
 * @throws {@link ProtocolError} `CODEC_*`.
 */
export function decodeCopy(bytes: Uint8Array): EnvelopeCopy {
  return decode(bytes, "envelope copy", ENVELOPE_BYTES_MAX, (reader) => {
    reader.array("copy", 10)
    return {
      header: reader.bytesUpTo("header", HEADER_BYTES_MAX),
      signature: reader.bytes("signature", COMPOSITE_SIGNATURE_BYTES),
      rid: reader.uint("rid", U16_MAX),
      epoch: reader.uint("epoch", U32_MAX),
      ekHash: reader.bytes("ekHash", HASH_BYTES),
      precedence: PRECEDENCES.read(reader, "precedence"),
      wrap: reader.bytes("wrap", WRAP_BYTES),
      index: reader.uint("index", WRAPS_LEAVES - 1),
      path: reader.bytes("path", WRAPS_PATH_HASHES * HASH_BYTES),
      body: reader.bytesUpTo("body", ENVELOPE_BYTES_MAX),
    }
  })
}

/** A mission's duty key as the directory certifies it. */
export interface SenderKey {
  /** Composite, 1,984 bytes. */
  readonly publicKey: Uint8Array
  /** The mission that holds it. */
  readonly rid: number
}

/** What a check of a copy needs to know of the world. */
export interface CopyChecks {
  /** Chain id of this network. */
  readonly net: Uint8Array
  /** The duty key with this id, at the height that the caller judges by. */
  readonly senderKeyOf: (kid: Uint8Array) => SenderKey | undefined
}

/** A header that its sender signed. */
export interface VerifiedHeader {
  readonly header: Header
  readonly cableId: Uint8Array
}

/**
 * Checks a copy as a relay does: header, signature, path and body, without any secret.
 *
 * @throws {@link ProtocolError} `CODEC_*`, `ENVELOPE_SUITE`, `ENVELOPE_HEADER`, `ENVELOPE_NETWORK`,
 * `DIRECTORY_UNKNOWN`, `ENVELOPE_SIGNATURE`, `ENVELOPE_PATH`, `ENVELOPE_BODY`.
 */
export function verifyCopy(suite: Suite, copy: EnvelopeCopy, checks: CopyChecks): VerifiedHeader {
  const verified = verifyHeader(suite, copy.header, copy.signature, checks)
  const { header } = verified
  verifyWrapPath(suite, copy, copy.index, copy.path, header.wrapsRoot)
  verifyBody(suite, copy.body, header)
  return verified
}

/**
 * Checks a header and its signature; an auditor needs no more than these two.
 *
 * @throws {@link ProtocolError} as {@link verifyCopy}, but for path and body.
 */
export function verifyHeader(
  suite: Suite,
  bytes: Uint8Array,
  signature: Uint8Array,
  checks: CopyChecks,
): VerifiedHeader {
  const header = decodeHeader(suite, bytes)
  const { core } = header
  if (!equalBytes(core.net, checks.net)) {
    throw new ProtocolError("ENVELOPE_NETWORK", "envelope: made for another network")
  }
  const key = checks.senderKeyOf(core.signerKid)
  if (key === undefined) {
    throw new ProtocolError("DIRECTORY_UNKNOWN", `envelope: no such key of mission ${core.sender}`)
  }
  if (key.rid !== core.sender) {
    const why = `expected a key of mission ${core.sender}, got one of mission ${key.rid}`
    throw new ProtocolError("ENVELOPE_SIGNATURE", `envelope: ${why}`)
  }
  const cableId = cableIdOf(suite, bytes)
  if (!isCompositeValid(suite, key.publicKey, signatureContext(core), cableId, signature)) {
    const why = `the signature of mission ${core.sender} does not match`
    throw new ProtocolError("ENVELOPE_SIGNATURE", `envelope: ${why}`)
  }
  return { header, cableId }
}

/**
 * Checks the body's length and pieces against a verified header.
 *
 * @throws {@link ProtocolError} `ENVELOPE_BODY`.
 */
export function verifyBody(suite: Suite, body: Uint8Array, header: Header): void {
  if (body.length !== header.bodyLen) {
    const why = `expected ${header.bodyLen} bytes, got ${body.length}`
    throw new ProtocolError("ENVELOPE_BODY", `envelope body: ${why}`)
  }
  if (!equalBytes(bodyRoot(suite, body), header.bodyRoot)) {
    throw new ProtocolError("ENVELOPE_BODY", "envelope body: its pieces do not match bodyRoot")
  }
}

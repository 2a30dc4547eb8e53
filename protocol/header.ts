/**
 * The header of an envelope: the core and the commitments to everything sealed under it
 * (PROTOCOL §5.5).
 *
 * SHA-256 of the header's bytes is the cableId, which the sender's duty key signs. Sender and
 * recipients keep header and signature for ever; an auditor gets them without the content.
 */

import { concatBytes, equalBytes } from "./bytes.ts"
import { chunkedLength } from "./chunked.ts"
import { decode, encode } from "./codec.ts"
import { coreFields, decodeCore, encodeCore, type Core } from "./core.ts"
import { ProtocolError } from "./errors.ts"
import { LABELS, labelBytes, type Label } from "./labels.ts"
import { BODY_PIECE_BYTES, ENVELOPE_BYTES_MAX, HASH_BYTES, HEADER_BYTES_MAX } from "./limits.ts"
import type { Suite } from "./suite.ts"
import { buildTree, hashLeaf } from "./tree.ts"
import type { BodyType, Kind } from "./words.ts"

export interface Header {
  /** SHA-256 of the encoded core. */
  readonly coreHash: Uint8Array
  readonly core: Core
  /** The commitment inside the body, 32 bytes: it opens under exactly one key. */
  readonly bodyCommit: Uint8Array
  /** {@link bodyRoot} of the body. */
  readonly bodyRoot: Uint8Array
  /** Length of the body, in bytes. */
  readonly bodyLen: number
  readonly wrapsRoot: Uint8Array
  /** {@link saltHash} of the salt that opens the ledger's commitment. */
  readonly saltHash: Uint8Array
  readonly releaseCommit: Uint8Array
}

/** About 360 bytes. */
export function encodeHeader(header: Header): Uint8Array {
  return encode([
    LABELS.header,
    header.coreHash,
    coreFields(header.core),
    header.bodyCommit,
    header.bodyRoot,
    header.bodyLen,
    header.wrapsRoot,
    header.saltHash,
    header.releaseCommit,
  ])
}

/**
 * Reads a header, its core included, and checks that coreHash and bodyLen fit the core.
 *
 * @throws {@link ProtocolError} `CODEC_*`, `ENVELOPE_SUITE`, `ENVELOPE_HEADER`.
 */
export function decodeHeader(suite: Suite, bytes: Uint8Array): Header {
  return decode(bytes, "envelope header", HEADER_BYTES_MAX, (reader) => {
    reader.array("header", 9)
    reader.label(LABELS.header)
    const coreHash = reader.bytes("coreHash", HASH_BYTES)
    const coreBytes = reader.raw("core")
    const header: Header = {
      coreHash,
      core: decodeCore(coreBytes),
      bodyCommit: reader.bytes("bodyCommit", HASH_BYTES),
      bodyRoot: reader.bytes("bodyRoot", HASH_BYTES),
      bodyLen: reader.uint("bodyLen", ENVELOPE_BYTES_MAX),
      wrapsRoot: reader.bytes("wrapsRoot", HASH_BYTES),
      saltHash: reader.bytes("saltHash", HASH_BYTES),
      releaseCommit: reader.bytes("releaseCommit", HASH_BYTES),
    }
    const bodyLen = chunkedLength(header.core.paddedLen)
    if (header.bodyLen !== bodyLen) {
      const why = `expected a bodyLen of ${bodyLen}, got ${header.bodyLen}`
      throw new ProtocolError("ENVELOPE_HEADER", `envelope header: ${why}`)
    }
    if (!equalBytes(suite.sha256(coreBytes), coreHash)) {
      throw new ProtocolError(
        "ENVELOPE_HEADER",
        "envelope header: coreHash does not match its core",
      )
    }
    return header
  })
}

/** SHA-256 of the encoded core. */
export function hashCore(suite: Suite, core: Core): Uint8Array {
  return suite.sha256(encodeCore(core))
}

/** The id of an envelope: SHA-256 of its header's bytes, without any signature. */
export function cableIdOf(suite: Suite, header: Uint8Array): Uint8Array {
  return suite.sha256(header)
}

const CONTEXTS: Record<BodyType, Record<Kind, Label>> = {
  cable: {
    real: LABELS.cableReal,
    exercise: LABELS.cableExercise,
    drill: LABELS.cableDrill,
    test: LABELS.cableTest,
  },
  signal: {
    real: LABELS.signalReal,
    exercise: LABELS.signalExercise,
    drill: LABELS.signalDrill,
    test: LABELS.signalTest,
  },
  receipts: {
    real: LABELS.receiptsReal,
    exercise: LABELS.receiptsExercise,
    drill: LABELS.receiptsDrill,
    test: LABELS.receiptsTest,
  },
  service: {
    real: LABELS.serviceReal,
    exercise: LABELS.serviceExercise,
    drill: LABELS.serviceDrill,
    test: LABELS.serviceTest,
  },
}

/** The context under which an envelope's cableId is signed: `TB1/<bodyType>/<kind>`. */
export function signatureContext(core: Pick<Core, "bodyType" | "kind">): Label {
  return CONTEXTS[core.bodyType][core.kind]
}

/**
 * Root of the tree over the body's pieces of 64 KiB, so that a copy can be checked piece by piece.
 */
export function bodyRoot(suite: Suite, body: Uint8Array): Uint8Array {
  const leaves: Uint8Array[] = []
  for (let start = 0; start === 0 || start < body.length; start += BODY_PIECE_BYTES) {
    leaves.push(hashLeaf(suite, body.subarray(start, start + BODY_PIECE_BYTES)))
  }
  return buildTree(suite, leaves).root
}

/** The 32-byte salt of an envelope's ledger commitment, from its content secret. */
export function anchorSalt(suite: Suite, secret: Uint8Array, coreHash: Uint8Array): Uint8Array {
  return suite.hkdfExpand(secret, concatBytes(labelBytes(LABELS.anchor), coreHash), HASH_BYTES)
}

/** SHA-256("TB1/salt" ‖ salt): the header names the salt without showing it. */
export function saltHash(suite: Suite, salt: Uint8Array): Uint8Array {
  return suite.sha256(concatBytes(labelBytes(LABELS.salt), salt))
}

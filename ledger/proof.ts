/**
 * A self-contained proof that an entry is final (LEDGER §10).
 *
 * It holds the entry, its path to the tree root in a header, and the certificate that makes the
 * header final. Who has the validators' keys from the genesis file checks it offline. An opening,
 * where there is one, shows which message the entry stands for, without showing the message.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { decode, encode } from "../protocol/codec.ts"
import { decodeEntry, entryCommitment, type Entry } from "../protocol/entry.ts"
import { LABELS } from "../protocol/labels.ts"
import {
  BLOCK_HEADER_BYTES,
  COMPOSITE_SIGNATURE_BYTES,
  ENTRY_BYTES_MAX,
  ENTRY_HEAD_BYTES,
  HASH_BYTES,
  HEADER_BYTES_MAX,
  PROOF_BYTES_MAX,
  PROOF_PATH_HASHES_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { blockHash, decodeHeader, type Header } from "./block.ts"
import { CERTIFICATE_BYTES_MAX, decodeCertificate, verifyCertificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { leafHash, verifyInclusion } from "./merkle.ts"
import type { ValidatorsOf } from "./validators.ts"

export interface Proof {
  /** Chain id. */
  readonly net: Uint8Array
  /** 166 bytes of a block header, at or above the block of the entry. */
  readonly header: Uint8Array
  /** Finalize certificate of that block. */
  readonly certificate: Uint8Array
  /** The entry's place in the tree. */
  readonly leafIndex: number
  readonly entry: Uint8Array
  /** From the leaf to the root. */
  readonly path: readonly Uint8Array[]
  readonly opening: Opening | undefined
}

/** What sender and recipients keep of a message for ever, and an auditor gets. */
export interface Opening {
  /** The envelope's header as it was signed. */
  readonly header: Uint8Array
  /** Composite signature over it. */
  readonly signature: Uint8Array
  /** 32 bytes. */
  readonly salt: Uint8Array
}

/** What a proof that verifies has shown. */
export interface ProvenEntry {
  readonly entry: Entry
  readonly leafIndex: number
  /** Block whose certificate the proof rests on; its time is the proposer's, and advisory. */
  readonly header: Header
  /**
   * Of the opened message; the caller checks its signature and that its seq is the entry's serial.
   */
  readonly cableId: Uint8Array | undefined
}

/**
 * [label, net, header, certificate, leaf index, entry, [hash …], [] or [header, signature, salt]].
 */
export function encodeProof(proof: Proof): Uint8Array {
  const { net, header, certificate, leafIndex, entry, path, opening } = proof
  const opened = opening === undefined ? [] : [opening.header, opening.signature, opening.salt]
  return encode([LABELS.proof, net, header, certificate, leafIndex, entry, path, opened])
}

/** @throws ProtocolError `CODEC_*`. */
export function decodeProof(bytes: Uint8Array): Proof {
  return decode(bytes, "proof", PROOF_BYTES_MAX, (reader) => {
    reader.array("proof", 8)
    reader.label(LABELS.proof)
    const net = reader.bytes("net", HASH_BYTES)
    const header = reader.bytes("header", BLOCK_HEADER_BYTES)
    const certificate = reader.bytesUpTo("certificate", CERTIFICATE_BYTES_MAX)
    const leafIndex = reader.uint("leaf index")
    const entry = reader.bytesUpTo("entry", ENTRY_BYTES_MAX, ENTRY_HEAD_BYTES)
    const path = reader.list("path", PROOF_PATH_HASHES_MAX, () => reader.bytes("hash", HASH_BYTES))
    const count = reader.arrayUpTo("opening", 3)
    if (count !== 0 && count !== 3) {
      reader.fail("CODEC_LENGTH", "opening", `expected 0 or 3 items, got ${count}`)
    }
    const opening =
      count === 0
        ? undefined
        : {
            header: reader.bytesUpTo("message header", HEADER_BYTES_MAX, 1),
            signature: reader.bytes("message signature", COMPOSITE_SIGNATURE_BYTES),
            salt: reader.bytes("salt", HASH_BYTES),
          }
    return { net, header, certificate, leafIndex, entry, path, opening }
  })
}

/**
 * Verifies a proof offline: the certificate against the validators of its epoch, then the header
 * that it names, the path under that header's root, and the opening.
 *
 * @param net the chain that the caller trusts; a proof of another one is refused.
 * @throws {@link LedgerError} `PROOF_INVALID`, `EPOCH_UNKNOWN`, `CERTIFICATE_*`, `TREE_INCLUSION`,
 * `PROOF_OPENING`; the errors of the decoders for its parts.
 */
export function verifyProof(
  suite: Suite,
  net: Uint8Array,
  proof: Proof,
  validatorsOf: ValidatorsOf,
): ProvenEntry {
  if (!equalBytes(proof.net, net)) {
    throw new LedgerError("PROOF_INVALID", "proof: it is of another network")
  }
  const header = decodeHeader(proof.header)
  const certificate = decodeCertificate(proof.certificate)
  const validators = validatorsOf(header.epoch)
  if (validators === undefined) {
    throw new LedgerError("EPOCH_UNKNOWN", `proof: no validators known for epoch ${header.epoch}`)
  }
  const isOfHeader =
    certificate.kind === "finalize" &&
    certificate.epoch === header.epoch &&
    certificate.view === header.view &&
    equalBytes(certificate.blockHash, blockHash(suite, header))
  if (!isOfHeader) {
    throw new LedgerError("PROOF_INVALID", "proof: the certificate does not make the header final")
  }
  verifyCertificate(suite, net, certificate, validators)
  const { leafIndex, path } = proof
  verifyInclusion(leafHash(proof.entry), leafIndex, header.treeSize, path, header.treeRoot)
  const entry = decodeEntry(suite, proof.entry)
  const cableId = proof.opening === undefined ? undefined : openEntry(suite, entry, proof.opening)
  return { entry, leafIndex, header, cableId }
}

/**
 * The id of the message that an entry stands for.
 *
 * @throws {@link LedgerError} `PROOF_OPENING` when header and salt do not give its commitment.
 */
function openEntry(
  suite: Suite,
  entry: Entry,
  opening: Pick<Opening, "header" | "salt">,
): Uint8Array {
  const cableId = suite.sha256(opening.header)
  const commitment = entryCommitment(suite, opening.salt, cableId)
  if (entry.type !== "message" || !equalBytes(commitment, entry.commitment)) {
    const which = `submitter ${entry.submitter}, serial ${entry.submitterSeq}`
    throw new LedgerError("PROOF_OPENING", `proof: header and salt do not open the entry, ${which}`)
  }
  return cableId
}

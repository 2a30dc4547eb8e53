/**
 * A self-contained proof that an entry is on the ledger (tlog-proof; LEDGER §10): its place, its
 * path to the root of a checkpoint, and that checkpoint with its signatures.
 *
 * The extra line holds the entry, and the salt and id that open it. Nothing vouches for it by
 * itself: the path vouches for the entry, and the entry's commitment for salt and id.
 */

import { decodeBase64, encodeBase64 } from "../protocol/base64.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { decodeEntry, entryCommitment, type Entry } from "../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import {
  ENTRY_HEAD_BYTES,
  HASH_BYTES,
  PROOF_BYTES_MAX,
  PROOF_PATH_HASHES_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { parseDecimal } from "./checkpoint.ts"
import type { VerifiedCheckpoint } from "./cosignature.ts"
import { LedgerError } from "./errors.ts"
import { leafHash, verifyInclusion } from "./merkle.ts"
import { decodeNoteText } from "./note.ts"
import { verifyAgainst, type Policy } from "./policy.ts"

export interface Proof {
  readonly opened: OpenedEntry
  /** The entry's place in the tree, from 0. */
  readonly index: number
  /** From the leaf to the root. */
  readonly path: readonly Uint8Array[]
  /** The signed checkpoint, as it was given out. */
  readonly checkpoint: string
}

/** A message's entry, and what shows which message it stands for. */
interface OpenedEntry {
  /** 54 bytes. */
  readonly entry: Uint8Array
  /** 32 bytes; sender and recipients have it. */
  readonly salt: Uint8Array
  /** SHA-256 of the envelope's header. */
  readonly cableId: Uint8Array
}

/** What sender and recipients keep of a message for ever, and an auditor gets. */
export type Opening = Pick<OpenedEntry, "salt" | "cableId">

/** What a proof that verifies has shown. */
export interface ProvenEntry extends VerifiedCheckpoint {
  readonly entry: Entry
  readonly index: number
  readonly cableId: Uint8Array
}

const PROOF_LINE = "c2sp.org/tlog-proof@v1"
const EXTRA_BYTES = ENTRY_HEAD_BYTES + 2 * HASH_BYTES

/** How every proof file begins. */
export const PROOF_START = `${PROOF_LINE}\n`

/** The text of a proof file, UTF-8. */
export function encodeProof({ opened, index, path, checkpoint }: Proof): Uint8Array {
  const { entry, salt, cableId } = opened
  const extra = new FieldWriter(EXTRA_BYTES).bytes(entry).bytes(salt).bytes(cableId).finish()
  const lines = [
    PROOF_LINE,
    `extra ${encodeBase64(extra)}`,
    `index ${index}`,
    ...path.map(encodeBase64),
    "",
    checkpoint,
  ]
  return new TextEncoder().encode(lines.join("\n"))
}

/**
 * Takes a proof file apart; nothing is verified yet.
 *
 * @throws {@link LedgerError} `PROOF_INVALID`, `NOTE_INVALID`; ProtocolError `CODEC_*`.
 */
export function decodeProof(bytes: Uint8Array): Proof {
  if (bytes.length > PROOF_BYTES_MAX) invalid(`expected at most ${PROOF_BYTES_MAX} bytes`)
  const text = decodeNoteText(bytes, "proof")
  const end = text.indexOf("\n\n")
  if (end < 0) invalid("no blank line before its checkpoint")
  const [first, extraLine = "", indexLine = "", ...hashes] = text.slice(0, end).split("\n")
  if (first !== PROOF_LINE) invalid(`its first line is not ${PROOF_LINE}`)
  if (!extraLine.startsWith("extra ")) invalid("its second line is not the entry's")
  const extra = decodeBase64(extraLine.slice("extra ".length), "proof, extra line")
  const reader = new FieldReader(extra, "proof, extra line")
  const entry = reader.bytes("entry", ENTRY_HEAD_BYTES)
  const salt = reader.bytes("salt", HASH_BYTES)
  const cableId = reader.bytes("id", HASH_BYTES)
  reader.end()
  const indexText = indexLine.startsWith("index ") ? indexLine.slice("index ".length) : ""
  const index = parseDecimal(indexText) ?? invalid("its third line is no index")
  if (hashes.length > PROOF_PATH_HASHES_MAX) {
    invalid(`expected at most ${PROOF_PATH_HASHES_MAX} hashes, got ${hashes.length}`)
  }
  const path = hashes.map((line) => {
    const hash = decodeBase64(line, "proof, hash")
    return hash.length === HASH_BYTES ? hash : invalid(`expected hashes of ${HASH_BYTES} bytes`)
  })
  return { opened: { entry, salt, cableId }, index, path, checkpoint: text.slice(end + 2) }
}

/**
 * Verifies a proof offline: the checkpoint against the policy, the path from the entry to its root,
 * then what the entry says, and that salt and id open it.
 *
 * @throws {@link LedgerError} `NOTE_*`, `CHECKPOINT_INVALID`, `POLICY_UNMET`, `TREE_INCLUSION`,
 * `PROOF_OPENING`; ProtocolError `CODEC_*`, `ENTRY_INVALID` for an entry that is none.
 */
export function verifyProof(suite: Suite, policy: Policy, proof: Proof): ProvenEntry {
  const { opened, index, path } = proof
  const verified = verifyAgainst(suite, policy, proof.checkpoint)
  const { size, root } = verified.checkpoint
  verifyInclusion(leafHash(opened.entry), index, size, path, root)
  const entry = decodeEntry(suite, opened.entry)
  const commitment = entryCommitment(suite, opened.salt, opened.cableId)
  if (entry.type !== "message" || !equalBytes(commitment, entry.commitment)) {
    const which = `submitter ${entry.submitter}, serial ${entry.submitterSeq}`
    throw new LedgerError("PROOF_OPENING", `proof: salt and id do not open the entry, ${which}`)
  }
  return { ...verified, entry, index, cableId: opened.cableId }
}

function invalid(why: string): never {
  throw new LedgerError("PROOF_INVALID", `proof: ${why}`)
}

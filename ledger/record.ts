/**
 * Records of the consensus log: what a validator promised, on disk before the promise takes effect
 * (LEDGER §9.1).
 *
 * A record is an epoch, a kind and a payload. One step of consensus writes one record. Kinds 2 and
 * 4 are reserved for nullify votes and for certificates that came from others. How records stand in
 * a file, and what tells a torn end from damage, is the file's own affair (node/store/wal.ts).
 */

import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { decodeBlock, encodeBlock, type Block } from "./block.ts"
import { decodeCertificate, encodeCertificate, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { decodeVote, encodeVote, VOTE_BYTES, type Vote } from "./vote.ts"

export type ConsensusRecord = NotarizeRecord | FinalizeRecord

/** Our notarize vote, with all of its block: no vote leaves before the block is on our own disk. */
export interface NotarizeRecord {
  readonly kind: "notarize"
  readonly epoch: number
  readonly vote: Vote
  readonly block: Block
}

/** Our finalize vote, with the notarize certificate that allowed it. */
export interface FinalizeRecord {
  readonly kind: "finalize"
  readonly epoch: number
  readonly vote: Vote
  readonly certificate: Certificate
}

/** A record as the log's file takes it, and gives it back. */
export interface EncodedRecord {
  readonly epoch: number
  readonly kind: number
  readonly payload: Uint8Array
}

const KIND_NOTARIZE = 1
const KIND_FINALIZE = 3

/** The payload is vote[111] ‖ block, or vote[111] ‖ certificate. */
export function encodeRecord(record: ConsensusRecord): EncodedRecord {
  const isNotarize = record.kind === "notarize"
  const rest = isNotarize ? encodeBlock(record.block) : encodeCertificate(record.certificate)
  const payload = new FieldWriter(VOTE_BYTES + rest.length)
    .bytes(encodeVote(record.vote))
    .bytes(rest)
    .finish()
  return { epoch: record.epoch, kind: isNotarize ? KIND_NOTARIZE : KIND_FINALIZE, payload }
}

/**
 * @throws {@link LedgerError} `RECORD_INVALID` for an unknown kind, or a vote of another kind or
 * epoch than the record's; the decoders' errors for a payload that is none.
 */
export function decodeRecord(suite: Suite, record: EncodedRecord): ConsensusRecord {
  const { epoch, kind } = record
  if (kind !== KIND_NOTARIZE && kind !== KIND_FINALIZE) {
    throw new LedgerError("RECORD_INVALID", `consensus record: unknown kind ${kind}`)
  }
  const reader = new FieldReader(record.payload, "consensus record")
  const vote = decodeVote(reader.view("vote", VOTE_BYTES))
  const rest = reader.view("payload", reader.left)
  const expected = kind === KIND_NOTARIZE ? "notarize" : "finalize"
  if (vote.kind !== expected || vote.epoch !== epoch) {
    const why = `expected a ${expected} vote of epoch ${epoch}, got ${vote.kind} of ${vote.epoch}`
    throw new LedgerError("RECORD_INVALID", `consensus record: ${why}`)
  }
  return kind === KIND_NOTARIZE
    ? { kind: "notarize", epoch, vote, block: decodeBlock(suite, rest) }
    : { kind: "finalize", epoch, vote, certificate: decodeCertificate(rest) }
}

/** View of a record that {@link decodeRecord} has accepted once; its block is not looked at. */
export function viewOf(record: EncodedRecord): number {
  return decodeVote(record.payload.subarray(0, VOTE_BYTES)).view
}

/** True while a record must stay in the log, once the block of `finalView` is in the store. */
export function mustKeep(record: EncodedRecord, finalView: number): boolean {
  return viewOf(record) >= finalView - VOTE_VIEWS_BEHIND
}

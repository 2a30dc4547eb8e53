/**
 * Records of the consensus log: what a validator promised, on disk before the promise takes effect
 * (LEDGER §9.1).
 *
 * A record is an epoch, a kind and a payload. How records stand in a file, and what tells a torn
 * end from damage, is the file's own affair (node/store/wal.ts).
 */

import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { decodeBlock, encodeBlock, type Block } from "./block.ts"
import { decodeCertificate, encodeCertificate, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { decodeVote, encodeVote, VOTE_BYTES, type Vote, type VoteKind } from "./vote.ts"

export type ConsensusRecord = NotarizeRecord | NullifyRecord | FinalizeRecord | CertificateRecord

/** Our notarize vote, with all of its block: no vote leaves before the block is on our own disk. */
export interface NotarizeRecord {
  readonly kind: "notarize"
  readonly epoch: number
  readonly vote: Vote
  readonly block: Block
}

/** Our nullify vote. */
export interface NullifyRecord {
  readonly kind: "nullify"
  readonly epoch: number
  readonly vote: Vote
}

/** Our finalize vote, with the notarize certificate that allowed it. */
export interface FinalizeRecord {
  readonly kind: "finalize"
  readonly epoch: number
  readonly vote: Vote
  readonly certificate: Certificate
}

/** A certificate that let us into a view. */
export interface CertificateRecord {
  readonly kind: "certificate"
  readonly epoch: number
  readonly certificate: Certificate
}

/** A record as the log's file takes it, and gives it back. */
export interface EncodedRecord {
  readonly epoch: number
  readonly kind: number
  readonly payload: Uint8Array
}

const KINDS = { notarize: 1, nullify: 2, finalize: 3, certificate: 4 } as const

/** The payload: vote[111] ‖ block; vote[111]; vote[111] ‖ certificate; certificate. */
export function encodeRecord(record: ConsensusRecord): EncodedRecord {
  const parts: Uint8Array[] = record.kind === "certificate" ? [] : [encodeVote(record.vote)]
  if (record.kind === "notarize") parts.push(encodeBlock(record.block))
  if (record.kind === "finalize" || record.kind === "certificate") {
    parts.push(encodeCertificate(record.certificate))
  }
  const writer = new FieldWriter(parts.reduce((sum, part) => sum + part.length, 0))
  for (const part of parts) writer.bytes(part)
  return { epoch: record.epoch, kind: KINDS[record.kind], payload: writer.finish() }
}

/**
 * @throws {@link LedgerError} `RECORD_INVALID` for an unknown kind, or a vote or certificate of
 * another kind or epoch than the record's; the decoders' errors for a payload that is none.
 */
export function decodeRecord(suite: Suite, record: EncodedRecord): ConsensusRecord {
  const { epoch, kind } = record
  const reader = new FieldReader(record.payload, "consensus record")
  if (kind === KINDS.certificate) {
    const certificate = decodeCertificate(reader.view("certificate", reader.left))
    if (certificate.epoch !== epoch) invalid(`its certificate is of epoch ${certificate.epoch}`)
    return { kind: "certificate", epoch, certificate }
  }
  const vote = decodeVote(reader.view("vote", VOTE_BYTES))
  const rest = reader.view("payload", reader.left)
  switch (kind) {
    case KINDS.notarize:
      demandVote(vote, "notarize", epoch)
      return { kind: "notarize", epoch, vote, block: decodeBlock(suite, rest) }
    case KINDS.nullify:
      demandVote(vote, "nullify", epoch)
      if (rest.length > 0) invalid(`${rest.length} bytes left over`)
      return { kind: "nullify", epoch, vote }
    case KINDS.finalize:
      demandVote(vote, "finalize", epoch)
      return { kind: "finalize", epoch, vote, certificate: decodeCertificate(rest) }
    default:
      return invalid(`unknown kind ${kind}`)
  }
}

function demandVote(vote: Vote, kind: VoteKind, epoch: number): void {
  if (vote.kind === kind && vote.epoch === epoch) return
  invalid(`expected a ${kind} vote of epoch ${epoch}, got ${vote.kind} of ${vote.epoch}`)
}

/** View of a record that was decoded once; votes and certificates begin alike. */
export function viewOfRecord(record: EncodedRecord): number {
  const reader = new FieldReader(record.payload, "consensus record")
  reader.u8("kind")
  reader.u32("epoch")
  return reader.u64("view")
}

/** True while a record must stay in the log, once the block of `finalView` is in the store. */
export function mustKeep(record: EncodedRecord, finalView: number): boolean {
  return viewOfRecord(record) >= finalView - VOTE_VIEWS_BEHIND
}

function invalid(why: string): never {
  throw new LedgerError("RECORD_INVALID", `consensus record: ${why}`)
}

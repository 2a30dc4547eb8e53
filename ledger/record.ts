/**
 * Records of the consensus log: what a validator promised, on disk before the promise takes effect
 * (LEDGER §9).
 *
 * length u32 ‖ CRC-32C u32 ‖ epoch u32 ‖ kind u8 ‖ payload. The length counts from the epoch on;
 * the checksum covers the length and everything after itself. One step of consensus writes one
 * record. Kinds 2 and 4 are reserved for nullify votes and for certificates that came from others.
 */

import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { RECORD_BYTES_MAX, VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { decodeBlock, encodeBlock, type Block } from "./block.ts"
import { decodeCertificate, encodeCertificate, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { decodeVote, encodeVote, VOTE_BYTES, type Vote } from "./vote.ts"

export type ConsensusRecord = NotarizeRecord | FinalizeRecord | OpenRecord

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

/**
 * Begins every run of a validator: which log this is, and how often it was opened. The key file
 * holds the same two, so that a log that was lost, copied or put back is noticed.
 */
export interface OpenRecord {
  readonly kind: "open"
  readonly epoch: number
  /** 16 random bytes, drawn when the log was made. */
  readonly logId: Uint8Array
  readonly boot: number
}

const KIND_NOTARIZE = 1
const KIND_FINALIZE = 3
const KIND_OPEN = 5

export const LOG_ID_BYTES = 16

/** Length and checksum. */
const FRAME_BYTES = 8
const BODY_HEAD_BYTES = 5

const CRC_TABLE = crcTable()

/** The record's bytes, ready to be appended to the log. */
export function encodeRecord(record: ConsensusRecord): Uint8Array {
  const [kind, payload] = encodePayload(record)
  const length = BODY_HEAD_BYTES + payload.length
  const framed = new FieldWriter(FRAME_BYTES + length)
    .u32(length)
    .u32(0)
    .u32(record.epoch)
    .u8(kind)
    .bytes(payload)
    .finish()
  new DataView(framed.buffer).setUint32(4, frameChecksum(framed, length))
  return framed
}

/**
 * Reads a whole log. Bytes behind the last good record that hold no other record are a torn tail:
 * it was never synced, so nothing was promised on it, and the caller cuts the log to `length`
 * bytes.
 *
 * @throws {@link LedgerError} `RECORD_CORRUPT` when good records stand behind a bad one: the log is
 * damaged and its owner must not sign. `RECORD_INVALID` and the decoders' errors when a record's
 * checksum is right and its content is not.
 */
export function decodeLog(
  suite: Suite,
  log: Uint8Array,
): { readonly records: readonly ConsensusRecord[]; readonly length: number } {
  const records: ConsensusRecord[] = []
  let at = 0
  while (at < log.length) {
    const length = goodLength(log, at)
    if (length === undefined) {
      checkTail(log, at)
      break
    }
    const body = log.subarray(at + FRAME_BYTES, at + FRAME_BYTES + length)
    records.push(decodeBody(suite, body))
    at += FRAME_BYTES + length
  }
  return { records, length: at }
}

/** True while a record must stay in the log: it is of a recent view, or names the log. */
export function mustKeep(record: ConsensusRecord, finalView: number): boolean {
  return record.kind === "open" || record.vote.view >= finalView - VOTE_VIEWS_BEHIND
}

function encodePayload(record: ConsensusRecord): [kind: number, payload: Uint8Array] {
  if (record.kind === "open") {
    const payload = new FieldWriter(LOG_ID_BYTES + 8).bytes(record.logId).u64(record.boot)
    return [KIND_OPEN, payload.finish()]
  }
  const isNotarize = record.kind === "notarize"
  const rest = isNotarize ? encodeBlock(record.block) : encodeCertificate(record.certificate)
  const payload = new FieldWriter(VOTE_BYTES + rest.length).bytes(encodeVote(record.vote))
  return [isNotarize ? KIND_NOTARIZE : KIND_FINALIZE, payload.bytes(rest).finish()]
}

function decodeBody(suite: Suite, body: Uint8Array): ConsensusRecord {
  const reader = new FieldReader(body, "consensus record")
  const epoch = reader.u32("epoch")
  const kind = reader.u8("kind")
  if (kind === KIND_OPEN) {
    const logId = reader.bytes("log id", LOG_ID_BYTES)
    const boot = reader.u64("boot")
    reader.end()
    return { kind: "open", epoch, logId, boot }
  }
  if (kind !== KIND_NOTARIZE && kind !== KIND_FINALIZE) {
    throw new LedgerError("RECORD_INVALID", `consensus record: unknown kind ${kind}`)
  }
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

/** Length of the body of the good record at `at`; undefined when there is none. */
function goodLength(log: Uint8Array, at: number): number | undefined {
  if (log.length - at < FRAME_BYTES + BODY_HEAD_BYTES) return undefined
  const view = new DataView(log.buffer, log.byteOffset + at)
  const length = view.getUint32(0)
  if (length < BODY_HEAD_BYTES || length > RECORD_BYTES_MAX) return undefined
  if (log.length - at < FRAME_BYTES + length) return undefined
  const checksum = frameChecksum(log.subarray(at, at + FRAME_BYTES + length), length)
  return checksum === view.getUint32(4) ? length : undefined
}

/** A flipped bit in a length must not pass for a torn tail, so every place behind it is tried. */
function checkTail(log: Uint8Array, bad: number): void {
  for (let at = bad + 1; at < log.length; at++) {
    if (goodLength(log, at) === undefined) continue
    const why = `bad record at byte ${bad}, good ones from byte ${at} of ${log.length} on`
    throw new LedgerError("RECORD_CORRUPT", `consensus log: ${why}`)
  }
}

function frameChecksum(frame: Uint8Array, length: number): number {
  const state = crcUpdate(0xffff_ffff, frame.subarray(0, 4))
  const end = FRAME_BYTES + length
  return (crcUpdate(state, frame.subarray(FRAME_BYTES, end)) ^ 0xffff_ffff) >>> 0
}

/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78). */
export function crc32c(bytes: Uint8Array): number {
  return (crcUpdate(0xffff_ffff, bytes) ^ 0xffff_ffff) >>> 0
}

function crcUpdate(state: number, bytes: Uint8Array): number {
  let crc = state
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0)
  return crc
}

function crcTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0)
    return crc
  })
}

/**
 * Bytes of the consensus log, written and read: records, or the exact reason why not (wal.ts has
 * the format and the reasoning).
 */

import { concatBytes, equalBytes, u32 } from "../../protocol/bytes.ts"
import { WAL_RECORD_BYTES_MAX } from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import { crc32c } from "./crc32c.ts"

/** "TB1/wal" and the format's version. */
const MAGIC: Uint8Array = Uint8Array.of(0x54, 0x42, 0x31, 0x2f, 0x77, 0x61, 0x6c, 1)
export const WAL_ID_BYTES = 16
/** Kind of the log's own marks. */
export const WAL_MARK = 0

const RECORD_HEAD_BYTES = 13
const MARK_PAYLOAD_BYTES = WAL_ID_BYTES + 24
const MARK_BYTES = RECORD_HEAD_BYTES + MARK_PAYLOAD_BYTES
const ID_END = MAGIC.length + WAL_ID_BYTES
const HEADER_BYTES = ID_END + 4

/** One thing that a validator is about to say or has learnt. `kind` is 1 … 255. */
export interface WalRecord {
  readonly epoch: number
  readonly kind: number
  readonly payload: Uint8Array
}

export interface WalContents {
  readonly walId: Uint8Array
  /** Of the newest mark; 0 when there is none. */
  readonly bootCounter: number
  readonly records: readonly WalRecord[]
  /** Where the last whole append ends; what follows is torn. */
  readonly end: number
}

/**
 * Reads a whole log. Payloads are views into `bytes`.
 *
 * @throws NodeError `WAL_DAMAGED`, naming the byte, for anything bad before the last append.
 */
export function readLog(bytes: Uint8Array, path: string): WalContents {
  const walId = bytes.slice(MAGIC.length, ID_END)
  if (!equalBytes(bytes.subarray(0, HEADER_BYTES), encodeHeader(walId))) throw damaged(path, 0)
  const records: WalRecord[] = []
  let bootCounter = 0
  let end = HEADER_BYTES
  while (end < bytes.length) {
    const append = appendAt(bytes, walId, end)
    if (append === undefined) {
      if (hasMarkAfter(bytes, walId, end + 1)) throw damaged(path, end)
      return { walId, bootCounter, records, end }
    }
    if (append.bootCounter < bootCounter) throw damaged(path, end)
    bootCounter = append.bootCounter
    end = append.end
    for (const record of append.records) records.push(record)
  }
  return { walId, bootCounter, records, end }
}

/** The whole append at `at`: its mark and all its records, or undefined when anything is wrong. */
function appendAt(
  bytes: Uint8Array,
  walId: Uint8Array,
  at: number,
): { bootCounter: number; records: WalRecord[]; end: number } | undefined {
  const mark = markAt(bytes, walId, at)
  if (mark === undefined) return undefined
  const records: WalRecord[] = []
  let next = at + MARK_BYTES
  const end = next + mark.bodyBytes
  while (next < end) {
    const record = recordAt(bytes, next)
    if (record === undefined || record.kind === WAL_MARK) return undefined
    records.push(record)
    next += RECORD_HEAD_BYTES + record.payload.length
  }
  return next === end ? { bootCounter: mark.bootCounter, records, end } : undefined
}

/** The beginning of a log's file. */
export function encodeHeader(walId: Uint8Array): Uint8Array {
  const head = concatBytes(MAGIC, walId)
  return concatBytes(head, u32(crc32c(head)))
}

/** One append as it stands in the file from `offset` on: its mark, then its records. */
export function encodeAppend(
  walId: Uint8Array,
  bootCounter: number,
  offset: number,
  records: readonly WalRecord[],
): Uint8Array {
  const payload = new Uint8Array(MARK_PAYLOAD_BYTES)
  payload.set(walId)
  const view = new DataView(payload.buffer, WAL_ID_BYTES)
  view.setBigUint64(0, BigInt(offset))
  view.setBigUint64(8, BigInt(bootCounter))
  const body = concatBytes(...records.map(encodeRecord))
  view.setBigUint64(16, BigInt(body.length))
  return concatBytes(encodeRecord({ epoch: 0, kind: WAL_MARK, payload }), body)
}

function encodeRecord(record: WalRecord): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEAD_BYTES + record.payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, record.payload.length)
  view.setUint32(8, record.epoch)
  view.setUint8(12, record.kind)
  bytes.set(record.payload, RECORD_HEAD_BYTES)
  view.setUint32(4, crc32c(bytes.subarray(8), crc32c(bytes.subarray(0, 4))))
  return bytes
}

/** The record at `at`, or undefined when these bytes are none. */
function recordAt(bytes: Uint8Array, at: number): WalRecord | undefined {
  if (at + RECORD_HEAD_BYTES > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_HEAD_BYTES)
  const length = view.getUint32(0)
  const end = at + RECORD_HEAD_BYTES + length
  if (length > WAL_RECORD_BYTES_MAX || end > bytes.length) return undefined
  const lengthCrc = crc32c(bytes.subarray(at, at + 4))
  if (view.getUint32(4) !== crc32c(bytes.subarray(at + 8, end), lengthCrc)) return undefined
  return {
    epoch: view.getUint32(8),
    kind: view.getUint8(12),
    payload: bytes.subarray(at + RECORD_HEAD_BYTES, end),
  }
}

/** The mark at `at`. A mark is one only in its own log and at its own place. */
function markAt(
  bytes: Uint8Array,
  walId: Uint8Array,
  at: number,
): { bootCounter: number; bodyBytes: number } | undefined {
  const record = recordAt(bytes, at)
  if (record?.kind !== WAL_MARK || record.payload.length !== MARK_PAYLOAD_BYTES) return undefined
  const { payload } = record
  if (!equalBytes(payload.subarray(0, WAL_ID_BYTES), walId)) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset + WAL_ID_BYTES)
  const offset = Number(view.getBigUint64(0))
  const bootCounter = Number(view.getBigUint64(8))
  const bodyBytes = Number(view.getBigUint64(16))
  return offset === at ? { bootCounter, bodyBytes } : undefined
}

/** True when a whole mark of this log stands at or after `from`. */
function hasMarkAfter(bytes: Uint8Array, walId: Uint8Array, from: number): boolean {
  const haystack = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let found = haystack.indexOf(walId, from)
  while (found !== -1) {
    const at = found - RECORD_HEAD_BYTES
    if (at >= from && markAt(bytes, walId, at) !== undefined) return true
    found = haystack.indexOf(walId, found + 1)
  }
  return false
}

/** The log is not what was written; `at` is the first bad byte. */
export function damaged(path: string, at: number): NodeError {
  const message = `consensus log ${path} is damaged before its end, at byte ${at}`
  return new NodeError("WAL_DAMAGED", message, {
    hint: "this validator must not sign: keep the file, and enrol a new key by governance",
  })
}

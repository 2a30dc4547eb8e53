/**
 * What the ledger records: entries, and the signed batches in which missions submit them
 * (LEDGER §2–3).
 *
 * An entry of type 1 is 54 bytes that hide everything but its submitter, its serial and its time.
 * The other types carry a payload in clear behind the same 54 bytes; their commitment is the
 * payload's hash. Payloads are opaque here.
 */

import { concatBytes, equalBytes } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import { FieldReader, FieldWriter } from "./fields.ts"
import { LABELS, labelBytes } from "./labels.ts"
import {
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  ED25519_SIGNATURE_BYTES,
  ENTRY_BYTES_MAX,
  ENTRY_HEAD_BYTES,
  HASH_BYTES,
} from "./limits.ts"
import type { Suite } from "./suite.ts"

/** Version byte of every entry. */
const ENTRY_VERSION = 1

/** 1 message, 3 governance, 4 evidence, 5 epoch keys; 2 is never used. */
const ENTRY_TYPES = { message: 1, governance: 3, evidence: 4, epochKeys: 5 } as const

export type EntryType = keyof typeof ENTRY_TYPES

export interface Entry {
  readonly type: EntryType
  /** Registry id of the mission that submits. */
  readonly submitter: number
  /** The submitter's serial: 1, 2, 3 … without a hole. */
  readonly submitterSeq: number
  /** The submitter's clock, Unix ms; advisory. */
  readonly timeMs: number
  /** 32 bytes: {@link entryCommitment} for a message, SHA-256 of the payload for the others. */
  readonly commitment: Uint8Array
  /** Empty for a message, at least one byte for every other type. */
  readonly payload: Uint8Array
}

/** Consecutive entries of one submitter under one signature. */
export interface Batch {
  readonly submitter: number
  readonly firstSeq: number
  readonly entries: readonly Entry[]
  /** Ed25519, by the submitter's submit key, over {@link batchSignedBytes}. */
  readonly signature: Uint8Array
}

/** Signs with a private key that stays where it is. */
export type Signer = (message: Uint8Array) => Uint8Array

/** Submitter, first serial and count. */
const BATCH_HEAD_BYTES = 2 + 8 + 4
/** Bytes of a batch besides its entries. */
const BATCH_FRAME_BYTES = BATCH_HEAD_BYTES + ED25519_SIGNATURE_BYTES
/** The last field of an entry's head. */
const COMMITMENT_AT: number = ENTRY_HEAD_BYTES - HASH_BYTES
/** What the upper four bytes of a number count. */
const WORD = 0x1_0000_0000
const NO_PAYLOAD = new Uint8Array(0)

/** The commitment of a message entry: SHA-256(label ‖ salt ‖ cableId). */
export function entryCommitment(suite: Suite, salt: Uint8Array, cableId: Uint8Array): Uint8Array {
  assertLength("salt", salt, HASH_BYTES)
  assertLength("cable id", cableId, HASH_BYTES)
  return suite.sha256(concatBytes(labelBytes(LABELS.commit), salt, cableId))
}

/** A message entry (type 1). */
export function messageEntry(
  submitter: number,
  submitterSeq: number,
  timeMs: number,
  commitment: Uint8Array,
): Entry {
  return { type: "message", submitter, submitterSeq, timeMs, commitment, payload: NO_PAYLOAD }
}

/** An entry that carries its payload in clear (types 3, 4, 5). */
export function payloadEntry(
  suite: Suite,
  type: Exclude<EntryType, "message">,
  submitter: number,
  submitterSeq: number,
  timeMs: number,
  payload: Uint8Array,
): Entry {
  return { type, submitter, submitterSeq, timeMs, commitment: suite.sha256(payload), payload }
}

/**
 * 54 bytes for a message; head and payload for the other types. These bytes are the leaf.
 *
 * @throws {@link ProtocolError} `ENTRY_INVALID` for a wrong commitment length, a payload where none
 * belongs or none where one belongs, an entry above `ENTRY_BYTES_MAX`, a number out of its field.
 */
export function encodeEntry(entry: Entry): Uint8Array {
  const writer = new FieldWriter(entryLength(entry))
  writeEntry(writer, entry)
  return writer.finish()
}

function entryLength({ payload }: Entry): number {
  const length = ENTRY_HEAD_BYTES + payload.length
  if (length > ENTRY_BYTES_MAX) {
    invalid(`expected at most ${ENTRY_BYTES_MAX} bytes, got ${length}`)
  }
  return length
}

function writeEntry(writer: FieldWriter, entry: Entry): void {
  assertLength("commitment", entry.commitment, HASH_BYTES)
  if ((entry.type === "message") !== (entry.payload.length === 0)) {
    invalid(`type ${entry.type} with a payload of ${entry.payload.length} bytes`)
  }
  assertRange("submitter", entry.submitter, 0, 0xffff)
  assertRange("serial", entry.submitterSeq, 1, Number.MAX_SAFE_INTEGER)
  assertRange("time", entry.timeMs, 0, Number.MAX_SAFE_INTEGER)
  writer
    .u8(ENTRY_VERSION)
    .u8(ENTRY_TYPES[entry.type])
    .u16(entry.submitter)
    .u64(entry.submitterSeq)
    .u64(entry.timeMs)
    .u16(0)
    .bytes(entry.commitment)
    .bytes(entry.payload)
}

/**
 * Decodes an entry; a payload is checked against the commitment.
 *
 * @throws {@link ProtocolError} `CODEC_*` for the layout, `ENTRY_INVALID` for a broken rule.
 */
export function decodeEntry(suite: Suite, bytes: Uint8Array): Entry {
  if (bytes.length !== ENTRY_HEAD_BYTES) return decodeAnyEntry(suite, bytes)
  // A copy: the caller's bytes may be part of something large.
  return readMessage(bytes.slice(), 0, bytes.length) ?? decodeAnyEntry(suite, bytes)
}

/**
 * The message of `length` bytes at `at`, without the steps of a reader, because nearly every entry
 * is one; undefined for all that {@link decodeAnyEntry} is to judge. Its commitment is a view.
 */
function readMessage(bytes: Uint8Array, at: number, length: number): Entry | undefined {
  const isMessage =
    length === ENTRY_HEAD_BYTES &&
    bytes[at] === ENTRY_VERSION &&
    bytes[at + 1] === ENTRY_TYPES.message &&
    bytes[at + 20] === 0 &&
    bytes[at + 21] === 0
  if (!isMessage) return undefined
  const submitterSeq = wordAt(bytes, at + 4) * WORD + wordAt(bytes, at + 8)
  const timeMs = wordAt(bytes, at + 12) * WORD + wordAt(bytes, at + 16)
  if (submitterSeq === 0) return undefined
  if (submitterSeq > Number.MAX_SAFE_INTEGER || timeMs > Number.MAX_SAFE_INTEGER) return undefined
  const submitter = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
  const commitment = bytes.subarray(at + COMMITMENT_AT, at + ENTRY_HEAD_BYTES)
  return { type: "message", submitter, submitterSeq, timeMs, commitment, payload: NO_PAYLOAD }
}

/** Four bytes, big-endian. */
function wordAt(bytes: Uint8Array, at: number): number {
  const low = ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
  return (bytes[at] ?? 0) * 0x100_0000 + low
}

function decodeAnyEntry(suite: Suite, bytes: Uint8Array): Entry {
  if (bytes.length > ENTRY_BYTES_MAX) {
    const why = `entry: expected at most ${ENTRY_BYTES_MAX} bytes, got ${bytes.length}`
    throw new ProtocolError("CODEC_LENGTH", why)
  }
  const reader = new FieldReader(bytes, "entry")
  reader.version(ENTRY_VERSION)
  const type = entryTypeOf(reader.u8("type"))
  const submitter = reader.u16("submitter")
  const submitterSeq = reader.u64("serial")
  if (submitterSeq === 0) reader.fail("ENTRY_INVALID", "serial", "expected at least 1, got 0")
  const timeMs = reader.u64("time")
  if (reader.u16("reserved") !== 0) reader.fail("ENTRY_INVALID", "reserved", "expected 0")
  const commitment = reader.bytes("commitment", HASH_BYTES)
  const payload = reader.left === 0 ? NO_PAYLOAD : reader.bytes("payload", reader.left)
  if (type === "message") {
    if (payload.length !== 0) {
      reader.fail(
        "ENTRY_INVALID",
        "payload",
        `expected none in a message, got ${payload.length} bytes`,
      )
    }
  } else if (payload.length === 0) {
    reader.fail("ENTRY_INVALID", "payload", `expected one in type ${type}`)
  } else if (!equalBytes(suite.sha256(payload), commitment)) {
    reader.fail("ENTRY_INVALID", "commitment", "it is not the hash of the payload")
  }
  return { type, submitter, submitterSeq, timeMs, commitment, payload }
}

/**
 * What the submit key signs:
 * label ‖ chain_id ‖ submitter u16 ‖ first_seq u64 ‖ count u32 ‖ SHA-256(length-prefixed entries).
 *
 * `encodedEntries` spares the encoding where the caller has it.
 */
export function batchSignedBytes(
  suite: Suite,
  chainId: Uint8Array,
  batch: Omit<Batch, "signature">,
  encodedEntries: Uint8Array = encodeEntries(batch.entries),
): Uint8Array {
  assertLength("chain id", chainId, HASH_BYTES)
  const label = labelBytes(LABELS.batch)
  const entriesHash = suite.sha256(encodedEntries)
  return new FieldWriter(label.length + HASH_BYTES + 2 + 8 + 4 + HASH_BYTES)
    .bytes(label)
    .bytes(chainId)
    .u16(batch.submitter)
    .u64(batch.firstSeq)
    .u32(batch.entries.length)
    .bytes(entriesHash)
    .finish()
}

/**
 * Signs entries of one submitter with consecutive serials.
 *
 * @throws {@link ProtocolError} `BATCH_INVALID` when they are not, are none or too many, or too large.
 */
export function signBatch(
  suite: Suite,
  chainId: Uint8Array,
  entries: readonly Entry[],
  sign: Signer,
): Batch {
  const first = entries[0]
  if (first === undefined) {
    throw new ProtocolError("BATCH_INVALID", "batch: expected at least one entry, got 0")
  }
  const unsigned = { submitter: first.submitter, firstSeq: first.submitterSeq, entries }
  checkBatch(unsigned)
  return { ...unsigned, signature: sign(batchSignedBytes(suite, chainId, unsigned)) }
}

/**
 * Checks the signature of a batch against its submitter's submit key at that height. `encoded` is
 * {@link encodeBatch}'s answer for this batch, where the caller has it.
 *
 * @throws {@link ProtocolError} `BATCH_SIGNATURE`.
 */
export function verifyBatch(
  suite: Suite,
  chainId: Uint8Array,
  batch: Batch,
  submitKey: Uint8Array,
  encoded?: Uint8Array,
): void {
  const signed = batchSignedBytes(suite, chainId, batch, encoded && entriesPart(encoded))
  if (!suite.ed25519Verify(submitKey, signed, batch.signature)) {
    const which = `submitter ${batch.submitter}, first serial ${batch.firstSeq}`
    throw new ProtocolError("BATCH_SIGNATURE", `batch: signature does not verify, ${which}`)
  }
}

/**
 * Bytes of batches that were decoded or encoded here: a batch on its way into the chain is hashed,
 * logged, sent and stored, and never changes. They live as long as their batch.
 */
const encodings = new WeakMap<Batch, Uint8Array>()

/**
 * submitter u16 ‖ first_seq u64 ‖ count u32 ‖ (length u16 ‖ entry) × count ‖ signature[64]. The
 * same array each time; it must not be changed.
 */
export function encodeBatch(batch: Batch): Uint8Array {
  const known = encodings.get(batch)
  if (known !== undefined) return known
  checkBatch(batch)
  const writer = new FieldWriter(batchBytes(batch))
    .u16(batch.submitter)
    .u64(batch.firstSeq)
    .u32(batch.entries.length)
  writeEntries(writer, batch.entries)
  const encoded = writer.bytes(batch.signature).finish()
  encodings.set(batch, encoded)
  return encoded
}

/** The encoded entries in {@link encodeBatch}'s answer: views, valid as long as it is. */
export function entriesIn(encoded: Uint8Array): Uint8Array[] {
  const reader = new FieldReader(entriesPart(encoded), "batch")
  const entries: Uint8Array[] = []
  while (reader.left > 0) entries.push(reader.view("entry", reader.u16("entry length")))
  return entries
}

/** (length u16 ‖ entry) × count of an encoded batch. */
export function entriesPart(encoded: Uint8Array): Uint8Array {
  return encoded.subarray(BATCH_HEAD_BYTES, encoded.length - ED25519_SIGNATURE_BYTES)
}

/**
 * Decodes a batch and its entries; the signature is for {@link verifyBatch} to check.
 *
 * @throws {@link ProtocolError} `CODEC_*`, `ENTRY_INVALID` or `BATCH_INVALID`.
 */
export function decodeBatch(suite: Suite, bytes: Uint8Array): Batch {
  if (bytes.length > BATCH_BYTES_MAX) {
    const why = `batch: expected at most ${BATCH_BYTES_MAX} bytes, got ${bytes.length}`
    throw new ProtocolError("CODEC_LENGTH", why)
  }
  // A copy: the caller's bytes may be part of something large.
  return decodeOwnBatch(suite, bytes.slice())
}

/** As {@link decodeBatch}, of bytes that are the batch's alone: entries are views of them. */
function decodeOwnBatch(suite: Suite, bytes: Uint8Array): Batch {
  const reader = new FieldReader(bytes, "batch")
  const submitter = reader.u16("submitter")
  const firstSeq = reader.u64("first serial")
  const count = reader.u32("count", BATCH_ENTRIES_MAX)
  const entries: Entry[] = []
  for (let index = 0; index < count; index++) {
    const length = reader.u16("entry length")
    const at = reader.pass("entry", length)
    const message = readMessage(bytes, at, length)
    entries.push(message ?? decodeAnyEntry(suite, bytes.subarray(at, at + length)))
  }
  const signature = reader.bytes("signature", ED25519_SIGNATURE_BYTES)
  reader.end()
  const batch = { submitter, firstSeq, entries, signature }
  checkBatch(batch)
  // One value has one encoding.
  encodings.set(batch, bytes)
  return batch
}

/**
 * The batch of which head, entries and signature are kept apart. `encodedEntries` begins with its
 * own (length u16 ‖ entry) × count; how many bytes of them it took is in `taken`.
 *
 * @throws {@link ProtocolError} as {@link decodeBatch}.
 */
export function joinBatch(
  suite: Suite,
  head: Omit<Batch, "entries"> & { readonly count: number },
  encodedEntries: Uint8Array,
): { readonly batch: Batch; readonly taken: number } {
  const { submitter, firstSeq, count, signature } = head
  const reader = new FieldReader(encodedEntries, "entries")
  for (let index = 0; index < count; index++) reader.pass("entry", reader.u16("entry length"))
  const taken = encodedEntries.length - reader.left
  const encoded = new FieldWriter(BATCH_FRAME_BYTES + taken)
    .u16(submitter)
    .u64(firstSeq)
    .u32(count)
    .bytes(encodedEntries.subarray(0, taken))
    .bytes(signature)
    .finish()
  return { batch: decodeOwnBatch(suite, encoded), taken }
}

/** Size of {@link encodeBatch}'s answer, without encoding. */
export function batchBytes(batch: Omit<Batch, "signature">): number {
  let length = BATCH_FRAME_BYTES
  for (const entry of batch.entries) length += 2 + ENTRY_HEAD_BYTES + entry.payload.length
  return length
}

function encodeEntries(entries: readonly Entry[]): Uint8Array {
  let length = 0
  for (const entry of entries) length += 2 + ENTRY_HEAD_BYTES + entry.payload.length
  const writer = new FieldWriter(length)
  writeEntries(writer, entries)
  return writer.finish()
}

function writeEntries(writer: FieldWriter, entries: readonly Entry[]): void {
  for (const entry of entries) writeEntry(writer.u16(entryLength(entry)), entry)
}

function checkBatch(batch: Omit<Batch, "signature">): void {
  const { submitter, firstSeq, entries } = batch
  if (entries.length === 0 || entries.length > BATCH_ENTRIES_MAX) {
    const why = `batch: expected 1 … ${BATCH_ENTRIES_MAX} entries, got ${entries.length}`
    throw new ProtocolError("BATCH_INVALID", why)
  }
  for (const [index, entry] of entries.entries()) {
    if (entry.submitter !== submitter) {
      const why = `batch: entry ${index}: expected submitter ${submitter}, got ${entry.submitter}`
      throw new ProtocolError("BATCH_INVALID", why)
    }
    if (entry.submitterSeq !== firstSeq + index) {
      const why = `expected serial ${firstSeq + index}, got ${entry.submitterSeq}`
      throw new ProtocolError("BATCH_INVALID", `batch: entry ${index}: ${why}`)
    }
  }
  const length = batchBytes(batch)
  if (length > BATCH_BYTES_MAX) {
    const why = `batch: expected at most ${BATCH_BYTES_MAX} bytes, got ${length}`
    throw new ProtocolError("BATCH_INVALID", why)
  }
}

function entryTypeOf(value: number): EntryType {
  switch (value) {
    case 1:
      return "message"
    case 3:
      return "governance"
    case 4:
      return "evidence"
    case 5:
      return "epochKeys"
    default:
      return invalid(`expected type 1, 3, 4 or 5, got ${value}`)
  }
}

function assertLength(what: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) invalid(`${what}: expected ${expected} bytes, got ${bytes.length}`)
}

function assertRange(what: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    invalid(`${what}: expected an integer in ${min} … ${max}, got ${value}`)
  }
}

function invalid(why: string): never {
  throw new ProtocolError("ENTRY_INVALID", `entry: ${why}`)
}

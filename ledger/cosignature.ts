/**
 * What is signed over a checkpoint, to the byte, and whose signatures stand under one (C2SP
 * tlog-checkpoint and tlog-cosignature; LEDGER §15.3).
 *
 * - log (0x01): the three lines.
 * - cosigner (0x04): two lines with the time, then the three lines. It says nothing of the signer's
 *   name, so a key serves one name and one type only.
 * - cosigner (0x06), ML-DSA-44: a fixed layout with the signer's name.
 *
 * When a cosigner may sign is cosigning.ts's affair.
 */

import { assert } from "../protocol/assert.ts"
import { concatBytes } from "../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import * as limits from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { formatCheckpoint, parseCheckpoint, type Checkpoint } from "./checkpoint.ts"
import { LedgerError } from "./errors.ts"
import { noteKeyId, parseNote, type NoteKey, type NoteSignature } from "./note.ts"

/** A signature under a checkpoint that was verified. */
export interface Cosigned {
  readonly key: NoteKey
  readonly signature: NoteSignature
  /** Unix time in seconds; undefined for a log's signature, which has none. */
  readonly timeS: number | undefined
}

/** A checkpoint with what was verified under it. */
export interface VerifiedCheckpoint {
  readonly checkpoint: Checkpoint
  readonly signed: readonly Cosigned[]
}

/** Signs with the private half of a {@link NoteKey}; ML-DSA-44 with an empty context. */
export type NoteSigner = (message: Uint8Array) => Uint8Array

/** Verifies one line, as {@link isCosigned}, or knows that it was verified before. */
export type LineCheck = (key: NoteKey, checkpoint: Checkpoint, signature: NoteSignature) => boolean

const TIME_BYTES = 8
const SUBTREE_LABEL = "subtree/v1\n\0"
const encoder = new TextEncoder()

/** Signs a checkpoint. `timeS` is Unix time in seconds; a log's signature does not hold it. */
export function signCheckpoint(
  suite: Suite,
  key: NoteKey,
  checkpoint: Checkpoint,
  timeS: number,
  sign: NoteSigner,
): NoteSignature {
  const signature = sign(messageOf(key, checkpoint, timeS))
  const time = new FieldWriter(TIME_BYTES).u64(timeS).finish()
  const blob = key.type === "log" ? signature : concatBytes(time, signature)
  return { name: key.name, keyId: noteKeyId(suite, key), blob }
}

/**
 * Verifies one line; false for anything but a signature of this key over this checkpoint.
 */
export function isCosigned(
  suite: Suite,
  key: NoteKey,
  checkpoint: Checkpoint,
  signature: NoteSignature,
): boolean {
  const { blob } = signature
  if (signature.name !== key.name || blob.length !== blobBytesOf(key)) return false
  const timeS = timeOf(key, blob)
  if (key.type !== "log" && timeS === undefined) return false
  const signed = key.type === "log" ? blob : blob.subarray(TIME_BYTES)
  const message = messageOf(key, checkpoint, timeS ?? 0)
  return key.type === "cosignerPq"
    ? suite.mldsaVerify(44, key.publicKey, message, new Uint8Array(0), signed)
    : suite.ed25519Verify(key.publicKey, message, signed)
}

/**
 * Reads a signed checkpoint and verifies the lines of all `keys`; lines of other keys are passed
 * over. A key that signed twice counts once.
 *
 * @throws {@link LedgerError} `NOTE_INVALID`, `CHECKPOINT_INVALID`, `NOTE_SIGNATURE` when a line
 * claims to be of one of these keys and is not; ProtocolError `CODEC_RANGE`.
 */
export function verifyCheckpoint(
  suite: Suite,
  keys: readonly NoteKey[],
  text: string,
  check: LineCheck = (...line) => isCosigned(suite, ...line),
): VerifiedCheckpoint {
  const note = parseNote(text)
  const checkpoint = parseCheckpoint(note.body)
  const known = new Map(keys.map((key) => [markOf(key.name, noteKeyId(suite, key)), key]))
  const signed = new Map<NoteKey, Cosigned>()
  for (const signature of note.signatures) {
    const key = known.get(markOf(signature.name, signature.keyId))
    if (key === undefined || signed.has(key)) continue
    if (!check(key, checkpoint, signature)) {
      const why = `the signature of ${key.name} is wrong`
      throw new LedgerError("NOTE_SIGNATURE", `checkpoint of ${checkpoint.size} entries: ${why}`)
    }
    signed.set(key, { key, signature, timeS: timeOf(key, signature.blob) })
  }
  return { checkpoint, signed: [...signed.values()] }
}

/** The time that most honest signers agree on: the middle one, of an even number the earlier. */
export function medianTime(signed: readonly Cosigned[]): number | undefined {
  const times = signed.flatMap(({ timeS }) => (timeS === undefined ? [] : [timeS]))
  times.sort((a, b) => a - b)
  return times[Math.floor((times.length - 1) / 2)]
}

/** The bytes that a key signs. */
function messageOf(key: NoteKey, checkpoint: Checkpoint, timeS: number): Uint8Array {
  const body = formatCheckpoint(checkpoint)
  if (key.type === "log") return encoder.encode(body)
  if (key.type === "cosigner") return encoder.encode(`cosignature/v1\ntime ${timeS}\n${body}`)
  return subtreeMessage(key.name, checkpoint, timeS)
}

/** label[12] ‖ u8 name ‖ time u64 ‖ u8 origin ‖ start u64, 0 ‖ end u64 ‖ root[32]. */
function subtreeMessage(name: string, checkpoint: Checkpoint, timeS: number): Uint8Array {
  const label = encoder.encode(SUBTREE_LABEL)
  const nameBytes = encoder.encode(name)
  const origin = encoder.encode(checkpoint.origin)
  assert(origin.length <= limits.NOTE_NAME_BYTES_MAX, "an origin is longer than a name may be")
  const length = label.length + 1 + nameBytes.length + 1 + origin.length + 3 * 8 + limits.HASH_BYTES
  return new FieldWriter(length)
    .bytes(label)
    .u8(nameBytes.length)
    .bytes(nameBytes)
    .u64(timeS)
    .u8(origin.length)
    .bytes(origin)
    .u64(0)
    .u64(checkpoint.size)
    .bytes(checkpoint.root)
    .finish()
}

function blobBytesOf(key: NoteKey): number {
  if (key.type === "log") return limits.ED25519_SIGNATURE_BYTES
  const isPq = key.type === "cosignerPq"
  return TIME_BYTES + (isPq ? limits.MLDSA44_SIGNATURE_BYTES : limits.ED25519_SIGNATURE_BYTES)
}

/** Undefined for a log, and for a time from 2^53 on. */
function timeOf(key: NoteKey, blob: Uint8Array): number | undefined {
  if (key.type === "log" || (blob[0] ?? 0) !== 0 || (blob[1] ?? 0) > 0x1f) return undefined
  return new FieldReader(blob, "time of a cosignature").u64("time")
}

function markOf(name: string, keyId: number): string {
  return `${keyId} ${name}`
}

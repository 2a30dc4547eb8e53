/**
 * Signed notes, as tools of others read them (C2SP signed-note; LEDGER §15.2): a text, a blank
 * line, and signature lines of which everybody checks those whose keys he knows.
 *
 * Three kinds of keys sign here: a log's (0x01), and cosigners' (0x04 Ed25519, 0x06 ML-DSA-44).
 * What each of them signs stands in cosignature.ts.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { assert } from "../protocol/assert.ts"
import { decodeBase64, encodeBase64 } from "../protocol/base64.ts"
import { concatBytes } from "../protocol/bytes.ts"
import { FieldReader } from "../protocol/fields.ts"
import * as limits from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { LedgerError } from "./errors.ts"

/** What a key signs, and its number in key ids and verifier keys. */
const NOTE_KEY_TYPES = { log: 0x01, cosigner: 0x04, cosignerPq: 0x06 } as const
export type NoteKeyType = keyof typeof NOTE_KEY_TYPES

const KEY_BYTES: Readonly<Record<NoteKeyType, number>> = {
  log: limits.ED25519_KEY_BYTES,
  cosigner: limits.ED25519_KEY_BYTES,
  cosignerPq: limits.MLDSA44_KEY_BYTES,
}

/** A public key under the name that its signature lines carry. */
export interface NoteKey {
  readonly name: string
  readonly type: NoteKeyType
  readonly publicKey: Uint8Array
}

/** One signature line; whose it is shows by name and key id together. */
export interface NoteSignature {
  readonly name: string
  /** 32 bits. */
  readonly keyId: number
  /** What follows the key id. */
  readonly blob: Uint8Array
}

export interface Note {
  /** The signed text, its last line feed included. */
  readonly body: string
  readonly signatures: readonly NoteSignature[]
}

const KEY_ID_BYTES = 4
const KEY_ID_DIGITS = 8
const LINE_START = "\u2014 "
// Unicode's white space; U+FEFF, which JavaScript counts too, is in no name that we would miss.
const NAME_BREAK = /[\s\u0085+]/u

/** True for what may stand as a name in lines and verifier keys. */
export function isNoteName(text: string): boolean {
  const length = new TextEncoder().encode(text).length
  return length >= 1 && length <= limits.NOTE_NAME_BYTES_MAX && !NAME_BREAK.test(text)
}

/** The first 4 bytes of SHA-256(name ‖ line feed ‖ type ‖ public key), as a number. */
export function noteKeyId(suite: Suite, key: NoteKey): number {
  const name = new TextEncoder().encode(`${key.name}\n`)
  const type = Uint8Array.of(NOTE_KEY_TYPES[key.type])
  return keyIdOf(suite.sha256(concatBytes(name, type, key.publicKey)))
}

/** name "+" key id in hex "+" base64(type ‖ public key). */
export function formatVkey(suite: Suite, key: NoteKey): string {
  const material = concatBytes(Uint8Array.of(NOTE_KEY_TYPES[key.type]), key.publicKey)
  return `${key.name}+${hexOf(noteKeyId(suite, key))}+${encodeBase64(material)}`
}

/** @throws {@link LedgerError} `NOTE_INVALID`; ProtocolError `CODEC_RANGE`. */
export function parseVkey(suite: Suite, text: string): NoteKey {
  const [name = "", id = "", material = "", ...rest] = splitVkey(text)
  if (rest.length > 0 || !isNoteName(name)) invalid("verifier key", "its name is none")
  const bytes = decodeBase64(material, "verifier key")
  const type = typeOf(bytes[0])
  if (type === undefined) return invalid("verifier key", "expected the type 01, 04 or 06")
  const key = { name, type, publicKey: bytes.slice(1) }
  if (key.publicKey.length !== KEY_BYTES[type]) {
    invalid("verifier key", `expected ${KEY_BYTES[type]} bytes, got ${key.publicKey.length}`)
  }
  if (id !== hexOf(noteKeyId(suite, key))) invalid("verifier key", "its key id is not its key's")
  return key
}

/**
 * The text of a note. Callers hold to the number of lines that a reader takes.
 */
export function formatNote(note: Note): string {
  assert(note.signatures.length <= limits.NOTE_LINES_MAX, "a note has more lines than are read")
  const lines = note.signatures.map(({ name, keyId, blob }) => {
    return `${LINE_START}${name} ${encodeBase64(concatBytes(bytesOf(keyId), blob))}\n`
  })
  return `${note.body}\n${lines.join("")}`
}

/**
 * Takes a note apart; nothing is verified yet.
 *
 * @throws {@link LedgerError} `NOTE_INVALID`; ProtocolError `CODEC_RANGE`.
 */
export function parseNote(text: string): Note {
  if (text.length > limits.NOTE_BYTES_MAX) {
    invalid("note", `expected at most ${limits.NOTE_BYTES_MAX} bytes`)
  }
  for (const letter of text) {
    if (letter < " " && letter !== "\n") invalid("note", "a control character")
  }
  const split = text.lastIndexOf("\n\n")
  if (split < 0) invalid("note", "no blank line before signatures")
  const body = text.slice(0, split + 1)
  const rest = text.slice(split + 2)
  if (rest === "") return { body, signatures: [] }
  if (!rest.endsWith("\n")) invalid("note", "its last line has no end")
  const lines = rest.slice(0, -1).split("\n")
  if (lines.length > limits.NOTE_LINES_MAX) {
    invalid("note", `expected at most ${limits.NOTE_LINES_MAX} signatures, got ${lines.length}`)
  }
  return { body, signatures: lines.map(parseLine) }
}

function parseLine(line: string): NoteSignature {
  if (!line.startsWith(LINE_START)) invalid("note", "a signature line does not begin as one")
  const [name = "", encoded = "", ...rest] = line.slice(LINE_START.length).split(" ")
  if (rest.length > 0 || !isNoteName(name)) invalid("note", "the name of a signature is none")
  const bytes = decodeBase64(encoded, "signature line")
  if (bytes.length <= KEY_ID_BYTES) invalid("note", `the signature of ${name} is too short`)
  return { name, keyId: keyIdOf(bytes), blob: bytes.slice(KEY_ID_BYTES) }
}

/** UTF-8 or nothing; a mark of byte order is a character like others. */
export function decodeNoteText(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new LedgerError("NOTE_INVALID", `${what}: not UTF-8`, { cause })
  }
}

/** A plus sign ends name and key id; base64 may hold more of them. */
function splitVkey(text: string): string[] {
  const first = text.indexOf("+")
  const second = text.indexOf("+", first + 1)
  if (first < 0 || second < 0) return []
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)]
}

function typeOf(code: number | undefined): NoteKeyType | undefined {
  const types: readonly NoteKeyType[] = ["log", "cosigner", "cosignerPq"]
  return types.find((type) => NOTE_KEY_TYPES[type] === code)
}

function keyIdOf(bytes: Uint8Array): number {
  return new FieldReader(bytes, "key id").u32("key id")
}

function bytesOf(keyId: number): Uint8Array {
  return Uint8Array.of(keyId >>> 24, keyId >>> 16, keyId >>> 8, keyId)
}

function hexOf(keyId: number): string {
  return bytesToHex(bytesOf(keyId)).padStart(KEY_ID_DIGITS, "0")
}

function invalid(what: string, why: string): never {
  throw new LedgerError("NOTE_INVALID", `${what}: ${why}`)
}

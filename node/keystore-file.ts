/**
 * The bytes of a key file, and of the list of secrets inside it (PROTOCOL §12.1).
 *
 * File: ["TB1/keystore", version, kdf, memoryKiB, passes, lanes, salt(16), nonce(12), sealed,
 * checksum(32)]. Everything before `sealed` is the associated data of the seal. The checksum is a
 * plain SHA-256 of what precedes it: it tells a rotten file from a wrong passphrase, which a seal
 * alone cannot, and says nothing about the content.
 * Content: a list of [name, kind, bytes] in the order of their names.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { decode, encode, type Reader } from "../protocol/codec.ts"
import { LABELS } from "../protocol/labels.ts"
import {
  KEYSTORE_BYTES_MAX,
  KEYSTORE_NAME_BYTES_MAX,
  KEYSTORE_SECRETS_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { KDF_SALT_BYTES, type KdfParameters } from "./kdf.ts"

/**
 * What a secret is for. Seeds that sign stay inside the keystore; a `secret` (KEM seed, transport
 * seed, store key) is handed out, because the one who uses it needs the bytes.
 */
export type SecretKind = "composite" | "ed25519" | "mldsa44" | "secret"

export interface NamedSecret {
  /** Lower-case words, digits and dashes, with dots or slashes between them. */
  readonly name: string
  readonly kind: SecretKind
  /** 64 bytes for `composite`, 32 for the others: seeds only. */
  readonly bytes: Uint8Array
}

export interface KeyFile {
  readonly version: number
  readonly kdf: number
  readonly parameters: KdfParameters
  readonly salt: Uint8Array
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

export const KEY_FILE_VERSION = 1
/** Argon2id, version 0x13, 32-byte key for AES-256-GCM. */
export const KDF_ARGON2ID = 1
export const KEY_FILE_NONCE_BYTES = 12

const CHECKSUM_BYTES = 32
const UINT32_MAX = 0xffff_ffff
const NAME_PATTERN = /^[a-z0-9]+([-./][a-z0-9]+)*$/
const KINDS: readonly { readonly kind: SecretKind; readonly bytes: number }[] = [
  { kind: "composite", bytes: 64 },
  { kind: "ed25519", bytes: 32 },
  { kind: "mldsa44", bytes: 32 },
  { kind: "secret", bytes: 32 },
]

type Hash = Pick<Suite, "sha256">
type Head = Omit<KeyFile, "sealed">

/** The bytes that the seal binds. */
export function encodeHead(head: Head): Uint8Array {
  return encode(headItems(head))
}

function headItems(head: Head): (string | number | Uint8Array)[] {
  const { memoryKiB, passes, lanes } = head.parameters
  const { version, kdf, salt, nonce } = head
  return [LABELS.keystore, version, kdf, memoryKiB, passes, lanes, salt, nonce]
}

export function encodeKeyFile(suite: Hash, file: KeyFile): Uint8Array {
  const items = [...headItems(file), file.sealed]
  return encode([...items, suite.sha256(encode(items))])
}

/**
 * Reads a key file's frame. Bounds of the parameters are the caller's to check, before it uses
 * them.
 *
 * @throws ProtocolError `CODEC_*`.
 */
export function decodeKeyFile(suite: Hash, bytes: Uint8Array): KeyFile {
  return decode(bytes, "key file", KEYSTORE_BYTES_MAX, (reader) => {
    reader.array("file", 10)
    reader.label(LABELS.keystore)
    const version = reader.uint("version", UINT32_MAX)
    const kdf = reader.uint("kdf", UINT32_MAX)
    const memoryKiB = reader.uint("memoryKiB", UINT32_MAX)
    const passes = reader.uint("passes", UINT32_MAX)
    const lanes = reader.uint("lanes", UINT32_MAX)
    const salt = reader.bytes("salt", KDF_SALT_BYTES)
    const nonce = reader.bytes("nonce", KEY_FILE_NONCE_BYTES)
    const sealed = reader.bytesUpTo("sealed", KEYSTORE_BYTES_MAX)
    const checksum = reader.bytes("checksum", CHECKSUM_BYTES)
    const file = { version, kdf, parameters: { memoryKiB, passes, lanes }, salt, nonce, sealed }
    const expected = suite.sha256(encode([...headItems(file), sealed]))
    if (!equalBytes(checksum, expected)) reader.fail("CODEC_RANGE", "checksum", "does not match")
    return file
  })
}

/**
 * Encodes the content; sorts it by name.
 *
 * @throws ProtocolError `CODEC_*` for what {@link decodeSecrets} would refuse.
 */
export function encodeSecrets(secrets: readonly NamedSecret[]): Uint8Array {
  const sorted = secrets.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const items = sorted.map(({ name, kind, bytes }) => {
    return [name, KINDS.findIndex((one) => one.kind === kind), bytes] as const
  })
  const bytes = encode(items)
  for (const secret of decodeSecrets(bytes)) secret.bytes.fill(0)
  return bytes
}

/** @throws ProtocolError `CODEC_*` for names out of order, unknown kinds and wrong lengths. */
export function decodeSecrets(bytes: Uint8Array): NamedSecret[] {
  return decode(bytes, "key file content", KEYSTORE_BYTES_MAX, (reader) => {
    let former = ""
    return reader.list("secrets", KEYSTORE_SECRETS_MAX, () => {
      const secret = readSecret(reader)
      if (secret.name <= former) reader.fail("CODEC_ORDER", "name", "names must ascend")
      former = secret.name
      return secret
    })
  })
}

function readSecret(reader: Reader): NamedSecret {
  reader.array("secret", 3)
  const name = reader.text("name", KEYSTORE_NAME_BYTES_MAX, 1)
  if (!NAME_PATTERN.test(name)) reader.fail("CODEC_TEXT", "name", "not a name of a secret")
  const kind = KINDS[reader.uint("kind", KINDS.length - 1)]
  if (kind === undefined) return reader.fail("CODEC_RANGE", "kind", "unknown")
  return { name, kind: kind.kind, bytes: reader.bytes("bytes", kind.bytes) }
}

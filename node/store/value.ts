/**
 * Stored values: value ‖ CRC-32C of key ‖ value, big-endian. The key is in the checksum, so that a
 * value cannot change places.
 */

import { NodeError } from "../errors.ts"
import { crc32c } from "./crc32c.ts"

const CRC_BYTES = 4
const encoder = new TextEncoder()

/** The value as it is stored; a copy. */
export function sealValue(key: string, value: Uint8Array): Uint8Array {
  const stored = new Uint8Array(value.length + CRC_BYTES)
  stored.set(value)
  new DataView(stored.buffer).setUint32(value.length, checksum(key, value))
  return stored
}

/**
 * The value in stored bytes; a view.
 *
 * @throws NodeError `STORE_DAMAGED`, naming the key, when the checksum does not match.
 */
export function openValue(key: string, stored: Uint8Array): Uint8Array {
  const length = stored.length - CRC_BYTES
  if (length < 0) throw mismatch(key, `${stored.length} bytes are no stored value`)
  const value = new Uint8Array(stored.buffer, stored.byteOffset, length)
  const found = new DataView(stored.buffer, stored.byteOffset + length, CRC_BYTES).getUint32(0)
  if (found !== checksum(key, value)) throw mismatch(key, "it does not match its checksum")
  return value
}

function mismatch(key: string, why: string): NodeError {
  // The database's own keys begin with NUL, which tells a reader nothing.
  return damaged(`value of ${JSON.stringify(key.replace(/^\0/, ""))}: ${why}`)
}

function checksum(key: string, value: Uint8Array): number {
  return crc32c(value, crc32c(encoder.encode(key)))
}

/** The store holds something that it was not given; `message` names it. */
export function damaged(message: string, cause?: unknown): NodeError {
  return new NodeError("STORE_DAMAGED", message, { cause })
}

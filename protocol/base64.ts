/**
 * Base64 with padding (RFC 4648 §4), as notes and proofs for tools of others carry bytes
 * (LEDGER §15). One value has one text: what a decoder accepts encodes back to itself.
 */

import { ProtocolError } from "./errors.ts"

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
const VALUES = new Map(ALPHABET.split("").map((letter, value) => [letter.charCodeAt(0), value]))
const PADDING = "="

export function encodeBase64(bytes: Uint8Array): string {
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += 3) {
    const count = Math.min(3, bytes.length - at)
    const group = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    for (let digit = 0; digit < 4; digit++) {
      const value = (group >> (18 - 6 * digit)) & 63
      pieces.push(digit <= count ? (ALPHABET[value] ?? "") : PADDING)
    }
  }
  return pieces.join("")
}

/** @throws ProtocolError `CODEC_RANGE` for anything that {@link encodeBase64} does not write. */
export function decodeBase64(text: string, what: string): Uint8Array {
  const fail = (): never => {
    throw new ProtocolError("CODEC_RANGE", `${what}: expected padded base64`)
  }
  if (text.length % 4 !== 0) fail()
  const padding = text.endsWith("==") ? 2 : text.endsWith(PADDING) ? 1 : 0
  const length = (text.length / 4) * 3 - padding
  const bytes = new Uint8Array(length)
  let group = 0
  for (let at = 0; at < text.length; at++) {
    const isPadding = at >= text.length - padding
    const value = isPadding ? 0 : (VALUES.get(text.charCodeAt(at)) ?? fail())
    group = (group << 6) | value
    if (at % 4 !== 3) continue
    const start = (at >> 2) * 3
    for (let i = 0; i < 3; i++) {
      const byte = (group >> (16 - 8 * i)) & 0xff
      // Bits behind the end are zero, or another text would give the same bytes.
      if (start + i >= length && byte !== 0) fail()
      if (start + i < length) bytes[start + i] = byte
    }
    group = 0
  }
  return bytes
}

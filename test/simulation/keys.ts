/**
 * Hashes and signatures that cost almost nothing: a simulation is about who says what and when, and
 * makes a million of them a second. They hold against what the simulated adversaries do, who
 * forge nothing but bytes; 64 bits mixed are enough for the few thousand values of one run.
 */

import type { Signer } from "../../protocol/entry.ts"
import { MLDSA44_KEY_BYTES } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"
import { createValidatorSet, type ValidatorSet } from "../../ledger/validators.ts"

const NUMBERS_MAX = 16

let high = 0
let low = 0

/** Mixes all bytes into `high` and `low`, two words of 32 bits. */
function mix(bytes: Uint8Array): void {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    a = Math.imul(a ^ byte, 2654435761)
    b = Math.imul(b ^ byte, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  high = a
  low = b
}

/** `length` bytes, a multiple of 8, of the mixed words. */
function spread(length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let at = 0; at < length; at += 8) {
    out[at] = high >>> 24
    out[at + 1] = high >>> 16
    out[at + 2] = high >>> 8
    out[at + 3] = high
    out[at + 4] = low >>> 24
    out[at + 5] = low >>> 16
    out[at + 6] = low >>> 8
    out[at + 7] = low
  }
  return out
}

/** 32 bytes that depend on all of the given ones. */
export function cheapHash(bytes: Uint8Array): Uint8Array {
  mix(bytes)
  return spread(32)
}

/** A number for a hash that serves as a key of maps. */
export function keyOf(hash: Uint8Array): number {
  const head = ((hash[0] ?? 0) << 16) | ((hash[1] ?? 0) << 8) | (hash[2] ?? 0)
  const tail = ((hash[4] ?? 0) << 16) | ((hash[5] ?? 0) << 8) | (hash[6] ?? 0)
  return head * 0x100_0000 + tail
}

/** The public key of validator `number` says its number; its secret is nobody else's to use. */
function publicKey(number: number): Uint8Array {
  const key = new Uint8Array(32).fill(7)
  key[0] = number
  return key
}

/** The message that was mixed last: everybody verifies it, and it never changes. */
let last: Uint8Array | undefined
let lastHigh = 0
let lastLow = 0

/** What validator `number` signs a message with, in `high` and `low`. */
function mixFor(number: number, message: Uint8Array): void {
  if (message !== last) {
    mix(message)
    last = message
    lastHigh = high
    lastLow = low
  }
  const salt = Math.imul(number + 1, 0x85ebca6b)
  high = Math.imul(lastHigh ^ salt, 0xcc9e2d51) ^ (lastLow >>> 15)
  low = Math.imul(lastLow ^ salt, 0x1b873593) ^ (lastHigh >>> 13)
}

/** What validator `number` signs with. */
export function signerOf(number: number): Signer {
  return (message) => {
    mixFor(number, message)
    return spread(64)
  }
}

function verify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  mixFor(key[0] ?? 0, message)
  for (let at = 0; at < 64; at += 8) {
    const first = ((signature[at] ?? 0) << 24) | ((signature[at + 1] ?? 0) << 16)
    if ((first | ((signature[at + 2] ?? 0) << 8) | (signature[at + 3] ?? 0)) !== high) return false
    const second = ((signature[at + 4] ?? 0) << 24) | ((signature[at + 5] ?? 0) << 16)
    if ((second | ((signature[at + 6] ?? 0) << 8) | (signature[at + 7] ?? 0)) !== low) return false
  }
  return signature.length === 64
}

export const cheapSuite: Suite = {
  ...portableSuite,
  sha256: cheapHash,
  ed25519Verify: verify,
}

export const CHAIN_ID: Uint8Array = new Uint8Array(32).fill(9)

const sets = new Map<number, ValidatorSet>()

/** The set of n validators; `turn` is who leads the first view. */
export function setOf(count: number, turn = 1): ValidatorSet {
  const known = sets.get(count) ?? makeSet(count)
  sets.set(count, known)
  return { ...known, rotation: (turn + count - 1) % count }
}

function makeSet(count: number): ValidatorSet {
  const facts = Array.from({ length: count }, (_, number) => {
    const other = (use: number): Uint8Array => {
      const key = publicKey(number)
      key[1] = use
      return key
    }
    const cosignerPqKey = new Uint8Array(MLDSA44_KEY_BYTES)
    cosignerPqKey[0] = number
    const keys = { consensusKey: publicKey(number), logKey: other(1), cosignerKey: other(2) }
    return { rid: number + NUMBERS_MAX, ...keys, cosignerPqKey }
  })
  return createValidatorSet(cheapSuite, 0, facts)
}

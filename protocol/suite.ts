/**
 * The primitives of suite 1, as an interface (PROTOCOL §3).
 *
 * Two implementations exist: the portable one (portable.ts, on @noble) for browsers and as the
 * second opinion in tests, and the native one (node/suite.ts), which nodes use. Both pass the same
 * published vectors and agree on random input. All functions are synchronous and pure but for the
 * randomness handed to them.
 */

import { assert } from "./assert.ts"
import { ProtocolError } from "./errors.ts"
import {
  MLDSA44_KEY_BYTES,
  MLDSA44_SIGNATURE_BYTES,
  MLDSA65_KEY_BYTES,
  MLDSA65_SIGNATURE_BYTES,
} from "./limits.ts"

/** Number of the only suite. Suite 2 is reserved (ML-KEM-1024, ML-DSA-87). */
export const SUITE_ID = 1

/** Returns `length` fresh random bytes. */
export type RandomSource = (length: number) => Uint8Array

/** ML-DSA parameter sets in use: 44 for checkpoints' cosignatures, 65 for everything else. */
export type MldsaLevel = 44 | 65

/** Sizes of one ML-DSA parameter set, in bytes. */
export const MLDSA_SIZES = {
  44: { publicKey: MLDSA44_KEY_BYTES, signature: MLDSA44_SIGNATURE_BYTES },
  65: { publicKey: MLDSA65_KEY_BYTES, signature: MLDSA65_SIGNATURE_BYTES },
} as const satisfies Record<MldsaLevel, { publicKey: number; signature: number }>

export interface Suite {
  readonly name: "portable" | "native"

  /** 32 bytes. */
  sha256(data: Uint8Array): Uint8Array
  /** 64 bytes. */
  sha512(data: Uint8Array): Uint8Array
  /** 32 bytes (FIPS 202). */
  sha3x256(data: Uint8Array): Uint8Array
  /** `length` bytes (FIPS 202). */
  shake256(data: Uint8Array, length: number): Uint8Array
  /** RFC 5869 §2.2 with SHA-256: 32 bytes. */
  hkdfExtract(salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array
  /** RFC 5869 §2.3 with SHA-256: at most 8,160 bytes. */
  hkdfExpand(pseudoRandomKey: Uint8Array, info: Uint8Array, length: number): Uint8Array
  /** {@link hkdfExpand} to 32 bytes under each of many infos: the key is set up once. */
  hkdfExpandEach(pseudoRandomKey: Uint8Array, infos: readonly Uint8Array[]): Uint8Array[]
  /** RFC 5869 §2.3 with SHA-512: at most 16,320 bytes. Chunked encryption is defined with it. */
  hkdfExpandSha512(pseudoRandomKey: Uint8Array, info: Uint8Array, length: number): Uint8Array

  /** RFC 8032; seed 32 bytes, public key 32 bytes. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array
  /** 64 bytes, deterministic. */
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array
  /**
   * Without the cofactor; points of small order and unreduced coordinates are refused (ed25519.ts).
   * False for anything invalid, wrong lengths included; never throws.
   */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean

  /** RFC 7748; 32 bytes each. */
  x25519PublicKey(secret: Uint8Array): Uint8Array
  /** @throws ProtocolError `SUITE_KEY` for a low-order or malformed public key. */
  x25519SharedSecret(secret: Uint8Array, publicKey: Uint8Array): Uint8Array
  /**
   * Agrees with `publicKey` under a fresh key of its own, whose public half comes back with the
   * secret.
   *
   * @throws ProtocolError `SUITE_KEY` as {@link Suite.x25519SharedSecret}.
   */
  x25519Encapsulate(
    publicKey: Uint8Array,
    random: RandomSource,
  ): { ephemeralKey: Uint8Array; sharedSecret: Uint8Array }

  /** FIPS 203; seed d‖z 64 bytes, public key 1,184 bytes. */
  mlkem768PublicKey(seed: Uint8Array): Uint8Array
  /**
   * Ciphertext 1,088 bytes, shared secret 32. `random` is used by the portable suite; the native
   * one draws from the operating system.
   *
   * @throws ProtocolError `SUITE_KEY` when the public key fails the modulus check.
   */
  mlkem768Encapsulate(
    publicKey: Uint8Array,
    random: RandomSource,
  ): { ciphertext: Uint8Array; sharedSecret: Uint8Array }
  /** Implicit rejection: a wrong ciphertext gives another secret. Wrong length: `SUITE_KEY`. */
  mlkem768Decapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array

  /** FIPS 204; seed 32 bytes; public key 1,312 (44) or 1,952 bytes (65). */
  mldsaPublicKey(level: MldsaLevel, seed: Uint8Array): Uint8Array
  /** Hedged signature of 2,420 (44) or 3,309 bytes (65); context at most 255 bytes. */
  mldsaSign(
    level: MldsaLevel,
    seed: Uint8Array,
    message: Uint8Array,
    context: Uint8Array,
    random: RandomSource,
  ): Uint8Array
  /** False for anything invalid; never throws. */
  mldsaVerify(
    level: MldsaLevel,
    publicKey: Uint8Array,
    message: Uint8Array,
    context: Uint8Array,
    signature: Uint8Array,
  ): boolean

  /** Key 32, nonce 12 bytes; returns ciphertext ‖ 16-byte tag. */
  aes256GcmSeal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array
  /** @throws ProtocolError `SUITE_OPEN` when the tag does not match or the input is too short. */
  aes256GcmOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array
  /** RFC 8439; key 32, nonce 12 bytes; returns ciphertext ‖ 16-byte tag. */
  chacha20Poly1305Seal(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array
  /** @throws ProtocolError `SUITE_OPEN` when the tag does not match or the input is too short. */
  chacha20Poly1305Open(
    key: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array
}

/** Asserts the size of a key, seed or nonce of ours; what came from a peer is refused instead. */
export function assertSize(bytes: Uint8Array, expected: number, name: string): void {
  assert(bytes.length === expected, `${name}: expected ${expected} bytes, got ${bytes.length}`)
}

/**
 * Refuses a public key or KEM ciphertext of the wrong size.
 *
 * @throws {@link ProtocolError} `SUITE_KEY`.
 */
export function requireSize(bytes: Uint8Array, expected: number, name: string): void {
  if (bytes.length === expected) return
  throw new ProtocolError("SUITE_KEY", `${name}: expected ${expected} bytes, got ${bytes.length}`)
}

/**
 * The portable suite: every primitive on @noble, for browsers and as the second opinion in tests
 * (PROTOCOL §3).
 *
 * Both suites give the same bytes and the same verdicts; errors differ in wording only.
 */

import { gcm } from "@noble/ciphers/aes.js"
import { chacha20poly1305 } from "@noble/ciphers/chacha.js"
import { ed25519, x25519 } from "@noble/curves/ed25519.js"
import { expand, extract } from "@noble/hashes/hkdf.js"
import { hmac } from "@noble/hashes/hmac.js"
import { sha256, sha512 } from "@noble/hashes/sha2.js"
import { sha3_256 as sha3x256, shake256 } from "@noble/hashes/sha3.js"
import { ml_dsa44 as mldsa44, ml_dsa65 as mldsa65 } from "@noble/post-quantum/ml-dsa.js"
import { ml_kem768 as mlkem768 } from "@noble/post-quantum/ml-kem.js"
import { assert } from "./assert.ts"
import { concatBytes, equalBytes, u8 } from "./bytes.ts"
import { isSoundPoint } from "./ed25519.ts"
import { ProtocolError } from "./errors.ts"
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  ED25519_KEY_BYTES,
  ED25519_SIGNATURE_BYTES,
  HKDF_OUTPUT_BYTES_MAX,
  HKDF_SHA512_OUTPUT_BYTES_MAX,
  MLKEM768_CIPHERTEXT_BYTES,
  MLKEM768_KEY_BYTES,
  MLKEM768_SEED_BYTES,
  SEED_BYTES,
  SIGNATURE_CONTEXT_BYTES_MAX,
  X25519_KEY_BYTES,
} from "./limits.ts"
import {
  assertSize,
  MLDSA_SIZES,
  requireSize,
  type MldsaLevel,
  type RandomSource,
  type Suite,
} from "./suite.ts"

const MLDSA = { 44: mldsa44, 65: mldsa65 } as const
const MLKEM_MESSAGE_BYTES = 32
/** Number of the first output block of HKDF-Expand. */
const FIRST_BLOCK = Uint8Array.of(1)
const MLDSA_RANDOM_BYTES = 32

/** The suite on @noble. All of its randomness comes from the sources handed to it. */
export const portableSuite: Suite = {
  name: "portable",

  sha256: (data) => sha256(data),
  sha512: (data) => sha512(data),
  sha3x256: (data) => sha3x256(data),
  shake256: (data, length) => shake256(data, { dkLen: length }),
  hkdfExtract: (salt, keyMaterial) => extract(sha256, keyMaterial, salt),
  hkdfExpand(key, info, length) {
    assert(length <= HKDF_OUTPUT_BYTES_MAX, `HKDF: ${length} bytes asked for`)
    return expand(sha256, key, info, length)
  },
  hkdfExpandEach(key, infos) {
    // One output of 32 bytes is the first block alone: HMAC(key, info ‖ 1).
    const keyed = hmac.create(sha256, key)
    return infos.map((info) => keyed.clone().update(info).update(FIRST_BLOCK).digest())
  },
  hkdfExpandSha512: expandSha512,

  ed25519PublicKey(seed) {
    assertSize(seed, SEED_BYTES, "Ed25519 seed")
    return ed25519.getPublicKey(seed)
  },
  ed25519Sign(seed, message) {
    assertSize(seed, SEED_BYTES, "Ed25519 seed")
    return ed25519.sign(message, seed)
  },
  ed25519Verify: verifyEd25519,

  x25519PublicKey(secret) {
    assertSize(secret, X25519_KEY_BYTES, "X25519 secret")
    return x25519.getPublicKey(secret)
  },
  x25519SharedSecret: agreeX25519,
  x25519Encapsulate(publicKey, random) {
    const secret = random(X25519_KEY_BYTES)
    const ephemeralKey = x25519.getPublicKey(secret)
    return { ephemeralKey, sharedSecret: agreeX25519(secret, publicKey) }
  },

  mlkem768PublicKey(seed) {
    assertSize(seed, MLKEM768_SEED_BYTES, "ML-KEM-768 seed")
    return mlkem768.keygen(seed).publicKey
  },
  mlkem768Encapsulate: encapsulate,
  mlkem768Decapsulate(seed, ciphertext) {
    assertSize(seed, MLKEM768_SEED_BYTES, "ML-KEM-768 seed")
    requireSize(ciphertext, MLKEM768_CIPHERTEXT_BYTES, "ML-KEM-768 ciphertext")
    const { secretKey } = mlkem768.keygen(seed)
    const sharedSecret = mlkem768.decapsulate(ciphertext, secretKey)
    secretKey.fill(0)
    return sharedSecret
  },

  mldsaPublicKey(level, seed) {
    assertSize(seed, SEED_BYTES, "ML-DSA seed")
    return MLDSA[level].keygen(seed).publicKey
  },
  mldsaSign: signMldsa,
  mldsaVerify: verifyMldsa,

  aes256GcmSeal: (key, nonce, associatedData, plaintext) =>
    aead(gcm, key, nonce, associatedData).encrypt(plaintext),
  aes256GcmOpen: (key, nonce, associatedData, ciphertext) =>
    open(aead(gcm, key, nonce, associatedData), ciphertext),
  chacha20Poly1305Seal: (key, nonce, associatedData, plaintext) =>
    aead(chacha20poly1305, key, nonce, associatedData).encrypt(plaintext),
  chacha20Poly1305Open: (key, nonce, associatedData, ciphertext) =>
    open(aead(chacha20poly1305, key, nonce, associatedData), ciphertext),
}

/**
 * RFC 5869 §2.3: T(i) = HMAC(key, T(i-1) ‖ info ‖ i). The library's own function refuses keys below
 * 64 bytes, but chunked encryption is defined with 32.
 */
function expandSha512(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assert(length <= HKDF_SHA512_OUTPUT_BYTES_MAX, `HKDF: ${length} bytes asked for`)
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let offset = 0, index = 1; offset < length; offset += block.length, index++) {
    block = hmac(sha512, key, concatBytes(block, info, u8(index)))
    out.set(block.subarray(0, length - offset), offset)
  }
  return out
}

/**
 * RFC 8032 §5.1.7 without the cofactor: R must equal [S]B - [k]A to the byte, as native code
 * checks it. The library's own verification multiplies by the cofactor, so it accepts signatures
 * that nodes refuse.
 */
function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== ED25519_KEY_BYTES) return false
  if (signature.length !== ED25519_SIGNATURE_BYTES) return false
  const { Point } = ed25519
  const commitment = signature.subarray(0, ED25519_KEY_BYTES)
  if (!isSoundPoint(publicKey) || !isSoundPoint(commitment)) return false
  const scalar = littleEndian(signature.subarray(ED25519_KEY_BYTES))
  if (scalar >= Point.Fn.ORDER) return false
  const key = decodePoint(publicKey)
  if (key === undefined) return false
  const digest = sha512(concatBytes(commitment, publicKey, message))
  const challenge = littleEndian(digest) % Point.Fn.ORDER
  const expected = Point.BASE.multiplyUnsafe(scalar).subtract(key.multiplyUnsafe(challenge))
  return equalBytes(expected.toBytes(), commitment)
}

function decodePoint(bytes: Uint8Array): InstanceType<typeof ed25519.Point> | undefined {
  try {
    return ed25519.Point.fromBytes(bytes, false)
  } catch {
    // Not on the curve, or not in its only encoding: to the caller both mean "invalid".
    return undefined
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n
  for (let index = bytes.length - 1; index >= 0; index--) {
    value = (value << 8n) | BigInt(bytes[index] ?? 0)
  }
  return value
}

function agreeX25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  assertSize(secret, X25519_KEY_BYTES, "X25519 secret")
  requireSize(publicKey, X25519_KEY_BYTES, "X25519 public key")
  try {
    return x25519.getSharedSecret(secret, publicKey)
  } catch (cause) {
    throw new ProtocolError("SUITE_KEY", "X25519 public key: of low order", { cause })
  }
}

function encapsulate(
  publicKey: Uint8Array,
  random: RandomSource,
): { ciphertext: Uint8Array; sharedSecret: Uint8Array } {
  requireSize(publicKey, MLKEM768_KEY_BYTES, "ML-KEM-768 public key")
  const message = random(MLKEM_MESSAGE_BYTES)
  assertSize(message, MLKEM_MESSAGE_BYTES, "ML-KEM-768 randomness")
  try {
    const { cipherText, sharedSecret } = mlkem768.encapsulate(publicKey, message)
    return { ciphertext: cipherText, sharedSecret }
  } catch (cause) {
    const why = "a coefficient is not below the modulus"
    throw new ProtocolError("SUITE_KEY", `ML-KEM-768 public key: ${why}`, { cause })
  }
}

function signMldsa(
  level: MldsaLevel,
  seed: Uint8Array,
  message: Uint8Array,
  context: Uint8Array,
  random: RandomSource,
): Uint8Array {
  assertSize(seed, SEED_BYTES, "ML-DSA seed")
  assert(context.length <= SIGNATURE_CONTEXT_BYTES_MAX, "ML-DSA context: over 255 bytes")
  const extraEntropy = random(MLDSA_RANDOM_BYTES)
  assertSize(extraEntropy, MLDSA_RANDOM_BYTES, "ML-DSA randomness")
  const { secretKey } = MLDSA[level].keygen(seed)
  const signature = MLDSA[level].sign(message, secretKey, { context, extraEntropy })
  secretKey.fill(0)
  return signature
}

function verifyMldsa(
  level: MldsaLevel,
  publicKey: Uint8Array,
  message: Uint8Array,
  context: Uint8Array,
  signature: Uint8Array,
): boolean {
  const sizes = MLDSA_SIZES[level]
  if (publicKey.length !== sizes.publicKey || signature.length !== sizes.signature) return false
  if (context.length > SIGNATURE_CONTEXT_BYTES_MAX) return false
  return MLDSA[level].verify(signature, message, publicKey, { context })
}

/** A cipher that is ready for one message. */
interface OneMessage {
  encrypt(plaintext: Uint8Array): Uint8Array
  decrypt(ciphertext: Uint8Array): Uint8Array
}

function aead(
  cipher: (key: Uint8Array, nonce: Uint8Array, associatedData: Uint8Array) => OneMessage,
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
): OneMessage {
  assertSize(key, AEAD_KEY_BYTES, "AEAD key")
  assertSize(nonce, AEAD_NONCE_BYTES, "AEAD nonce")
  return cipher(key, nonce, associatedData)
}

function open(cipher: OneMessage, ciphertext: Uint8Array): Uint8Array {
  try {
    return cipher.decrypt(ciphertext)
  } catch (cause) {
    throw new ProtocolError("SUITE_OPEN", "AEAD ciphertext: does not open", { cause })
  }
}

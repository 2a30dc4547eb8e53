/**
 * The native suite: the primitives on node:crypto, 10 to 20 times faster than the portable ones
 * (PROTOCOL §3).
 *
 * Importing a key costs as much as using it, so public keys are kept by their bytes and private
 * ones by the array that holds their seed: such an array must not be changed while it is in use.
 * HKDF with SHA-256 and short ChaCha20-Poly1305 messages stay portable, because there the call into
 * native code costs more than the work.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hash,
  sign,
  verify,
  type CipherGCMTypes,
  type KeyObject,
} from "node:crypto"
import { assert } from "../protocol/assert.ts"
import { concatBytes, u8 } from "../protocol/bytes.ts"
import { isSoundPoint } from "../protocol/ed25519.ts"
import { ProtocolError } from "../protocol/errors.ts"
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  ED25519_KEY_BYTES,
  ED25519_SIGNATURE_BYTES,
  HKDF_SHA512_OUTPUT_BYTES_MAX,
  KEY_CACHE_ENTRIES_MAX,
  MLKEM768_CIPHERTEXT_BYTES,
  MLKEM768_KEY_BYTES,
  MLKEM768_SEED_BYTES,
  SEED_BYTES,
  SIGNATURE_CONTEXT_BYTES_MAX,
  SMALL_AEAD_BYTES_MAX,
  X25519_KEY_BYTES,
} from "../protocol/limits.ts"
import { portableSuite } from "../protocol/portable.ts"
import { assertSize, MLDSA_SIZES, requireSize, type Suite } from "../protocol/suite.ts"

type KeyKind = "ed25519" | "x25519" | "ml-kem-768" | "ml-dsa-44" | "ml-dsa-65"

const SEED_BYTES_OF: Readonly<Record<KeyKind, number>> = {
  ed25519: SEED_BYTES,
  x25519: X25519_KEY_BYTES,
  "ml-kem-768": MLKEM768_SEED_BYTES,
  "ml-dsa-44": SEED_BYTES,
  "ml-dsa-65": SEED_BYTES,
}

const MLDSA = { 44: "ml-dsa-44", 65: "ml-dsa-65" } as const
/** Number of the first output block of HKDF-Expand. */
const FIRST_BLOCK = Uint8Array.of(1)

/** The suite on node:crypto. KEMs and ML-DSA draw from the operating system, not `random`. */
export const nativeSuite: Suite = {
  name: "native",

  sha256: (data) => plain(hash("sha256", data, "buffer")),
  sha512: (data) => plain(hash("sha512", data, "buffer")),
  sha3x256: (data) => plain(hash("sha3-256", data, "buffer")),
  shake256: (data, outputLength) =>
    plain(hash("shake256", data, { outputEncoding: "buffer", outputLength })),
  hkdfExtract: (salt, keyMaterial) => portableSuite.hkdfExtract(salt, keyMaterial),
  hkdfExpand: (key, info, length) => portableSuite.hkdfExpand(key, info, length),
  hkdfExpandEach(key, infos) {
    const secret = secretKey(key)
    return infos.map((info) =>
      plain(createHmac("sha256", secret).update(info).update(FIRST_BLOCK).digest()),
    )
  },
  hkdfExpandSha512: expandSha512,

  ed25519PublicKey: (seed) => derivePublicKey("ed25519", seed),
  ed25519Sign: (seed, message) => plain(sign(null, message, privateKey("ed25519", seed))),
  ed25519Verify(publicKey, message, signature) {
    if (publicKey.length !== ED25519_KEY_BYTES) return false
    if (signature.length !== ED25519_SIGNATURE_BYTES) return false
    if (!isSoundPoint(publicKey)) return false
    if (!isSoundPoint(signature.subarray(0, ED25519_KEY_BYTES))) return false
    const key = publicKeyObject("ed25519", publicKey)
    return key !== undefined && verify(null, message, key, signature)
  },

  x25519PublicKey: (secret) => derivePublicKey("x25519", secret),
  x25519SharedSecret: (secret, publicKey) => agreeX25519(privateKey("x25519", secret), publicKey),
  x25519Encapsulate(publicKey) {
    // Three quarters of the time that the import of a random secret takes.
    const ephemeral = generateKeyPairSync("x25519")
    const sharedSecret = agreeX25519(ephemeral.privateKey, publicKey)
    return {
      ephemeralKey: plain(ephemeral.publicKey.export({ format: "raw-public" })),
      sharedSecret,
    }
  },

  mlkem768PublicKey: (seed) => derivePublicKey("ml-kem-768", seed),
  mlkem768Encapsulate(publicKey) {
    requireSize(publicKey, MLKEM768_KEY_BYTES, "ML-KEM-768 public key")
    const key = publicKeyObject("ml-kem-768", publicKey)
    if (key === undefined) {
      const why = "a coefficient is not below the modulus"
      throw new ProtocolError("SUITE_KEY", `ML-KEM-768 public key: ${why}`)
    }
    const { ciphertext, sharedKey } = encapsulate(key)
    return { ciphertext: plain(ciphertext), sharedSecret: plain(sharedKey) }
  },
  mlkem768Decapsulate(seed, ciphertext) {
    requireSize(ciphertext, MLKEM768_CIPHERTEXT_BYTES, "ML-KEM-768 ciphertext")
    return plain(decapsulate(privateKey("ml-kem-768", seed), ciphertext))
  },

  mldsaPublicKey: (level, seed) => derivePublicKey(MLDSA[level], seed),
  mldsaSign(level, seed, message, context) {
    assert(context.length <= SIGNATURE_CONTEXT_BYTES_MAX, "ML-DSA context: over 255 bytes")
    return plain(sign(null, message, { key: privateKey(MLDSA[level], seed), context }))
  },
  mldsaVerify(level, publicKey, message, context, signature) {
    const sizes = MLDSA_SIZES[level]
    if (publicKey.length !== sizes.publicKey || signature.length !== sizes.signature) return false
    if (context.length > SIGNATURE_CONTEXT_BYTES_MAX) return false
    const key = publicKeyObject(MLDSA[level], publicKey)
    return key !== undefined && verify(null, message, { key, context }, signature)
  },

  aes256GcmSeal: (key, nonce, associatedData, plaintext) =>
    seal("aes-256-gcm", key, nonce, associatedData, plaintext),
  aes256GcmOpen: (key, nonce, associatedData, ciphertext) =>
    open("aes-256-gcm", key, nonce, associatedData, ciphertext),
  chacha20Poly1305Seal: (key, nonce, associatedData, plaintext) =>
    plaintext.length <= SMALL_AEAD_BYTES_MAX
      ? portableSuite.chacha20Poly1305Seal(key, nonce, associatedData, plaintext)
      : seal("chacha20-poly1305", key, nonce, associatedData, plaintext),
  chacha20Poly1305Open: (key, nonce, associatedData, ciphertext) =>
    ciphertext.length <= SMALL_AEAD_BYTES_MAX + AEAD_TAG_BYTES
      ? portableSuite.chacha20Poly1305Open(key, nonce, associatedData, ciphertext)
      : open("chacha20-poly1305", key, nonce, associatedData, ciphertext),
}

const privateKeys = new WeakMap<Uint8Array, Map<KeyKind, KeyObject>>()

/** The key of a seed, imported once for as long as the seed's array lives. */
function privateKey(kind: KeyKind, seed: Uint8Array): KeyObject {
  const known = privateKeys.get(seed)?.get(kind)
  if (known !== undefined) return known
  assertSize(seed, SEED_BYTES_OF[kind], `${kind} seed`)
  const format = kind === "ed25519" || kind === "x25519" ? "raw-private" : "raw-seed"
  const key = createPrivateKey({ key: view(seed), format, asymmetricKeyType: kind })
  const keys = privateKeys.get(seed) ?? new Map<KeyKind, KeyObject>()
  keys.set(kind, key)
  privateKeys.set(seed, keys)
  return key
}

function derivePublicKey(kind: KeyKind, seed: Uint8Array): Uint8Array {
  return plain(createPublicKey(privateKey(kind, seed)).export({ format: "raw-public" }))
}

/** The least recently used entry goes first: a `Map` keeps the order of insertion. */
class PublicKeyCache {
  readonly #keys = new Map<string, KeyObject>()

  /** Undefined when the bytes are not a key; those are not kept. */
  get(kind: KeyKind, bytes: Uint8Array): KeyObject | undefined {
    const id = view(bytes).toString("latin1")
    const known = this.#keys.get(id)
    if (known !== undefined) {
      this.#keys.delete(id)
      this.#keys.set(id, known)
      return known
    }
    const key = importPublicKey(kind, bytes)
    if (key === undefined) return undefined
    this.#keys.set(id, key)
    if (this.#keys.size > KEY_CACHE_ENTRIES_MAX) {
      const { value: oldest } = this.#keys.keys().next()
      if (oldest !== undefined) this.#keys.delete(oldest)
    }
    return key
  }
}

// Ephemeral X25519 keys of wraps are seen once; they have a cache of their own, so that they push
// out nothing that is used again.
const publicKeys: Readonly<Record<KeyKind, PublicKeyCache>> = {
  ed25519: new PublicKeyCache(),
  x25519: new PublicKeyCache(),
  "ml-kem-768": new PublicKeyCache(),
  "ml-dsa-44": new PublicKeyCache(),
  "ml-dsa-65": new PublicKeyCache(),
}

function publicKeyObject(kind: KeyKind, bytes: Uint8Array): KeyObject | undefined {
  return publicKeys[kind].get(kind, bytes)
}

function importPublicKey(kind: KeyKind, bytes: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: view(bytes), format: "raw-public", asymmetricKeyType: kind })
  } catch (cause) {
    if (errorCode(cause) === "ERR_INVALID_ARG_VALUE") return undefined
    throw cause
  }
}

function agreeX25519(ours: KeyObject, publicKey: Uint8Array): Uint8Array {
  requireSize(publicKey, X25519_KEY_BYTES, "X25519 public key")
  const theirs = publicKeyObject("x25519", publicKey)
  if (theirs === undefined) throw new ProtocolError("SUITE_KEY", "X25519 public key: not a key")
  try {
    return plain(diffieHellman({ privateKey: ours, publicKey: theirs }))
  } catch (cause) {
    if (errorCode(cause) !== "ERR_OSSL_FAILED_DURING_DERIVATION") throw cause
    throw new ProtocolError("SUITE_KEY", "X25519 public key: of low order", { cause })
  }
}

/** RFC 5869 §2.3: T(i) = HMAC(key, T(i-1) ‖ info ‖ i). */
function expandSha512(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assert(length <= HKDF_SHA512_OUTPUT_BYTES_MAX, `HKDF: ${length} bytes asked for`)
  const secret = secretKey(key)
  const out = new Uint8Array(length)
  let block: Uint8Array = new Uint8Array(0)
  for (let offset = 0, index = 1; offset < length; offset += block.length, index++) {
    block = createHmac("sha512", secret)
      .update(concatBytes(block, info, u8(index)))
      .digest()
    out.set(block.subarray(0, length - offset), offset)
  }
  return out
}

/** Both ciphers have the same form; the types know it by GCM's name. */
type CipherName = "aes-256-gcm" | "chacha20-poly1305"

function seal(
  name: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  assertSize(key, AEAD_KEY_BYTES, "AEAD key")
  assertSize(nonce, AEAD_NONCE_BYTES, "AEAD nonce")
  const cipher = createCipheriv(name as CipherGCMTypes, secretKey(key), nonce, {
    authTagLength: AEAD_TAG_BYTES,
  })
  cipher.setAAD(associatedData)
  const out = new Uint8Array(plaintext.length + AEAD_TAG_BYTES)
  out.set(cipher.update(plaintext))
  cipher.final()
  out.set(cipher.getAuthTag(), plaintext.length)
  return out
}

function open(
  name: CipherName,
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  assertSize(key, AEAD_KEY_BYTES, "AEAD key")
  assertSize(nonce, AEAD_NONCE_BYTES, "AEAD nonce")
  const length = ciphertext.length - AEAD_TAG_BYTES
  if (length < 0) {
    const why = `expected at least ${AEAD_TAG_BYTES} bytes, got ${ciphertext.length}`
    throw new ProtocolError("SUITE_OPEN", `AEAD ciphertext: ${why}`)
  }
  const decipher = createDecipheriv(name as CipherGCMTypes, secretKey(key), nonce, {
    authTagLength: AEAD_TAG_BYTES,
  })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(ciphertext.subarray(length))
  const plaintext = decipher.update(ciphertext.subarray(0, length))
  try {
    decipher.final()
  } catch (cause) {
    plaintext.fill(0)
    throw new ProtocolError("SUITE_OPEN", "AEAD ciphertext: does not open", { cause })
  }
  return plain(plaintext)
}

/** Given bytes, Node first asks by an exception whether they are an object: thrice the time. */
function secretKey(bytes: Uint8Array): KeyObject {
  return createSecretKey(view(bytes))
}

/** The same bytes as a `Buffer`, which the types of node:crypto ask for. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The same bytes without `Buffer`'s own methods: its `slice`, for one, does not copy. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined
}

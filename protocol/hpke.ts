/**
 * HPKE in base mode (RFC 9180) with the KEM MLKEM768-X25519, better known as X-Wing, HKDF-SHA256
 * and ChaCha20-Poly1305 (PROTOCOL §3.3).
 *
 * The KEM is draft-connolly-cfrg-xwing-kem, which is 0x647A of draft-ietf-hpke-pq: its 32-byte
 * shared secret enters the key schedule as it is. One context seals one message, so the sequence
 * number is always 0 and nothing here counts.
 */

import { concatBytes, u16, u8 } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  KEM_CIPHERTEXT_BYTES,
  KEM_KEY_BYTES,
  KEM_SEED_BYTES,
  MLKEM768_CIPHERTEXT_BYTES,
  MLKEM768_KEY_BYTES,
  MLKEM768_SEED_BYTES,
  X25519_KEY_BYTES,
} from "./limits.ts"
import { assertSize, requireSize, type RandomSource, type Suite } from "./suite.ts"

/** Which algorithms a key schedule is for. The KDF is always HKDF-SHA256. */
export interface HpkeAlgorithms {
  readonly kemId: number
  readonly aeadId: number
  readonly keyBytes: number
}

/** Those of suite 1. Others exist for published vectors only. */
export const HPKE_SUITE_1: HpkeAlgorithms = {
  kemId: 0x647a,
  aeadId: 0x0003,
  keyBytes: AEAD_KEY_BYTES,
}

const KDF_ID = 0x0001
const MODE_BASE = 0x00
const NOTHING = new Uint8Array(0)

const encoder = new TextEncoder()
const VERSION_LABEL = encoder.encode("HPKE-v1")
/** The six bytes `\.//^\` of X-Wing's combiner. */
const X_WING_LABEL = encoder.encode("\\.//^\\")

/**
 * Seals `plaintext` to a 1,216-byte public key: encapsulation (1,120 bytes) ‖ ciphertext.
 *
 * @throws {@link ProtocolError} `SUITE_KEY` when the public key is not one.
 */
export function sealBase(
  suite: Suite,
  publicKey: Uint8Array,
  info: Uint8Array,
  associatedData: Uint8Array,
  plaintext: Uint8Array,
  random: RandomSource,
): Uint8Array {
  const { ciphertext, sharedSecret } = kemEncapsulate(suite, publicKey, random)
  const { key, baseNonce } = keySchedule(suite, HPKE_SUITE_1, sharedSecret, info)
  const sealed = suite.chacha20Poly1305Seal(key, baseNonce, associatedData, plaintext)
  return concatBytes(ciphertext, sealed)
}

/**
 * Opens what {@link sealBase} made for the key of this 32-byte seed.
 *
 * @throws {@link ProtocolError} `HPKE_OPEN` for a wrong key, info, associated data or any damage.
 */
export function openBase(
  suite: Suite,
  seed: Uint8Array,
  info: Uint8Array,
  associatedData: Uint8Array,
  sealed: Uint8Array,
): Uint8Array {
  const bytesMin = KEM_CIPHERTEXT_BYTES + AEAD_TAG_BYTES
  if (sealed.length < bytesMin) {
    const why = `expected at least ${bytesMin} bytes, got ${sealed.length}`
    throw new ProtocolError("HPKE_OPEN", `sealed message: ${why}`)
  }
  try {
    const encapsulated = sealed.subarray(0, KEM_CIPHERTEXT_BYTES)
    const sharedSecret = kemDecapsulate(suite, seed, encapsulated)
    const { key, baseNonce } = keySchedule(suite, HPKE_SUITE_1, sharedSecret, info)
    const ciphertext = sealed.subarray(KEM_CIPHERTEXT_BYTES)
    return suite.chacha20Poly1305Open(key, baseNonce, associatedData, ciphertext)
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause
    throw new ProtocolError("HPKE_OPEN", "sealed message: does not open", { cause })
  }
}

/** The 1,216-byte public key of a 32-byte seed: ML-KEM-768 ‖ X25519. */
export function kemPublicKey(suite: Suite, seed: Uint8Array): Uint8Array {
  const secrets = expandSeed(suite, seed)
  return concatBytes(
    suite.mlkem768PublicKey(secrets.mlkemSeed),
    suite.x25519PublicKey(secrets.x25519Secret),
  )
}

/**
 * X-Wing's Encapsulate: ciphertext of 1,120 bytes, shared secret of 32.
 *
 * @throws {@link ProtocolError} `SUITE_KEY` for a wrong length, a coefficient that is not below the
 * modulus, or an X25519 half of low order.
 */
export function kemEncapsulate(
  suite: Suite,
  publicKey: Uint8Array,
  random: RandomSource,
): { ciphertext: Uint8Array; sharedSecret: Uint8Array } {
  requireSize(publicKey, KEM_KEY_BYTES, "KEM public key")
  const mlkemKey = publicKey.subarray(0, MLKEM768_KEY_BYTES)
  const x25519Key = publicKey.subarray(MLKEM768_KEY_BYTES)
  const mlkem = suite.mlkem768Encapsulate(mlkemKey, random)
  const { ephemeralKey, sharedSecret } = suite.x25519Encapsulate(x25519Key, random)
  return {
    ciphertext: concatBytes(mlkem.ciphertext, ephemeralKey),
    sharedSecret: combine(suite, mlkem.sharedSecret, sharedSecret, ephemeralKey, x25519Key),
  }
}

/**
 * X-Wing's Decapsulate: 32 bytes. A damaged ciphertext gives an unrelated secret.
 *
 * @throws {@link ProtocolError} `SUITE_KEY` for a wrong length or an X25519 half of low order.
 */
export function kemDecapsulate(suite: Suite, seed: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  requireSize(ciphertext, KEM_CIPHERTEXT_BYTES, "KEM ciphertext")
  const secrets = expandSeed(suite, seed)
  const mlkemPart = ciphertext.subarray(0, MLKEM768_CIPHERTEXT_BYTES)
  const ephemeralKey = ciphertext.subarray(MLKEM768_CIPHERTEXT_BYTES)
  const decapsulated = suite.mlkem768Decapsulate(secrets.mlkemSeed, mlkemPart)
  const agreed = suite.x25519SharedSecret(secrets.x25519Secret, ephemeralKey)
  const x25519Key = suite.x25519PublicKey(secrets.x25519Secret)
  return combine(suite, decapsulated, agreed, ephemeralKey, x25519Key)
}

/**
 * Not kept between calls: an epoch key that is deleted must leave nothing behind that opens its
 * wraps.
 */
function expandSeed(
  suite: Suite,
  seed: Uint8Array,
): { mlkemSeed: Uint8Array; x25519Secret: Uint8Array } {
  assertSize(seed, KEM_SEED_BYTES, "KEM seed")
  const expanded = suite.shake256(seed, MLKEM768_SEED_BYTES + X25519_KEY_BYTES)
  return {
    mlkemSeed: expanded.subarray(0, MLKEM768_SEED_BYTES),
    x25519Secret: expanded.subarray(MLKEM768_SEED_BYTES),
  }
}

function combine(
  suite: Suite,
  mlkemSecret: Uint8Array,
  x25519Secret: Uint8Array,
  ephemeralKey: Uint8Array,
  x25519Key: Uint8Array,
): Uint8Array {
  return suite.sha3x256(
    concatBytes(mlkemSecret, x25519Secret, ephemeralKey, x25519Key, X_WING_LABEL),
  )
}

/** What RFC 9180 §5.1 derives from a shared secret and `info`, by its names. */
export interface KeySchedule {
  readonly key: Uint8Array
  readonly baseNonce: Uint8Array
  readonly secret: Uint8Array
  readonly context: Uint8Array
}

/** RFC 9180 §5.1 for base mode: no pre-shared key, so its id and value are empty. */
export function keySchedule(
  suite: Suite,
  algorithms: HpkeAlgorithms,
  sharedSecret: Uint8Array,
  info: Uint8Array,
): KeySchedule {
  const id = hpkeSuiteId(algorithms)
  const context = concatBytes(
    u8(MODE_BASE),
    labeledExtract(suite, id, NOTHING, "psk_id_hash", NOTHING),
    labeledExtract(suite, id, NOTHING, "info_hash", info),
  )
  const secret = labeledExtract(suite, id, sharedSecret, "secret", NOTHING)
  const key = labeledExpand(suite, id, secret, "key", context, algorithms.keyBytes)
  const baseNonce = labeledExpand(suite, id, secret, "base_nonce", context, AEAD_NONCE_BYTES)
  return { key, baseNonce, secret, context }
}

/** `suite_id` of RFC 9180 §5.1. */
export function hpkeSuiteId(algorithms: HpkeAlgorithms): Uint8Array {
  return concatBytes(
    encoder.encode("HPKE"),
    u16(algorithms.kemId),
    u16(KDF_ID),
    u16(algorithms.aeadId),
  )
}

/** LabeledExtract of RFC 9180 §4. */
export function labeledExtract(
  suite: Suite,
  suiteId: Uint8Array,
  salt: Uint8Array,
  label: string,
  keyMaterial: Uint8Array,
): Uint8Array {
  const labeled = concatBytes(VERSION_LABEL, suiteId, encoder.encode(label), keyMaterial)
  return suite.hkdfExtract(salt, labeled)
}

/** LabeledExpand of RFC 9180 §4. */
export function labeledExpand(
  suite: Suite,
  suiteId: Uint8Array,
  key: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const labeled = concatBytes(u16(length), VERSION_LABEL, suiteId, encoder.encode(label), info)
  return suite.hkdfExpand(key, labeled, length)
}

/**
 * The primitives that sealing cannot do without, called as directly as it goes: keys are imported,
 * nothing is checked, nothing is kept. The floor under the benches of envelopes.
 */

import { chacha20poly1305 } from "@noble/ciphers/chacha.js"
import { expand, extract } from "@noble/hashes/hkdf.js"
import { sha256 } from "@noble/hashes/sha2.js"
import {
  createCipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hash,
  sign,
  type KeyObject,
} from "node:crypto"

const NOTHING = new Uint8Array(0)
const X_WING_LABEL = Buffer.from("5c2e2f2f5e5c", "hex")
const HPKE_LABEL = Buffer.from("HPKE-v1")
/** X-Wing, HKDF-SHA256, ChaCha20-Poly1305. */
const HPKE_SUITE = Buffer.concat([Buffer.from("HPKE"), Buffer.from("647a00010003", "hex")])
const COMPOSITE_PREFIX = Buffer.from("CompositeAlgorithmSignatures2025")
const COMPOSITE_LABEL = Buffer.from("COMPSIG-MLDSA65-Ed25519-SHA512")
const MLKEM_KEY_BYTES = 1_184

/** A recipient's key, ready for use. */
export interface BareRecipient {
  readonly mlkem: KeyObject
  readonly x25519: KeyObject
  readonly x25519Bytes: Uint8Array
}

export function bareRecipient(publicKey: Uint8Array): BareRecipient {
  const x25519Bytes = publicKey.subarray(MLKEM_KEY_BYTES)
  return {
    mlkem: importPublic("ml-kem-768", publicKey.subarray(0, MLKEM_KEY_BYTES)),
    x25519: importPublic("x25519", x25519Bytes),
    x25519Bytes,
  }
}

/** HPKE base mode to one recipient: encapsulation ‖ ciphertext. */
export function bareHpkeSeal(
  recipient: BareRecipient,
  info: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const { ciphertext, sharedKey } = encapsulate(recipient.mlkem)
  const { privateKey, publicKey } = generateKeyPairSync("x25519")
  const ephemeral = publicKey.export({ format: "raw-public" })
  const agreed = diffieHellman({ privateKey, publicKey: recipient.x25519 })
  const parts = [sharedKey, agreed, ephemeral, recipient.x25519Bytes, X_WING_LABEL]
  const shared = hash("sha3-256", Buffer.concat(parts), "buffer")
  const context = Buffer.concat([NO_PSK_HASH, labeledExtract(NOTHING, "info_hash", info)])
  const secret = labeledExtract(shared, "secret", NOTHING)
  const key = labeledExpand(secret, "key", context, 32)
  const nonce = labeledExpand(secret, "base_nonce", context, 12)
  const sealed = chacha20poly1305(key, nonce, NOTHING).encrypt(plaintext)
  return Buffer.concat([ciphertext, ephemeral, sealed])
}

/** Both halves of a composite key, ready for use. */
export interface BareSigner {
  readonly mldsa: KeyObject
  readonly ed25519: KeyObject
}

export function bareSigner(seed: Uint8Array): BareSigner {
  return {
    mldsa: importPrivate("ml-dsa-65", "raw-seed", seed.subarray(0, 32)),
    ed25519: importPrivate("ed25519", "raw-private", seed.subarray(32)),
  }
}

/** ML-DSA-65 ‖ Ed25519 over the representative of the LAMPS draft. */
export function bareCompositeSign(
  signer: BareSigner,
  context: string,
  message: Uint8Array,
): Uint8Array {
  const name = Buffer.from(context)
  const digest = hash("sha512", message, "buffer")
  const length = Uint8Array.of(name.length)
  const signed = Buffer.concat([COMPOSITE_PREFIX, COMPOSITE_LABEL, length, name, digest])
  return Buffer.concat([
    sign(null, signed, { key: signer.mldsa, context: COMPOSITE_LABEL }),
    sign(null, signed, signer.ed25519),
  ])
}

/** One body of at most one chunk: keys and commitment by HKDF-SHA512, then AES-256-GCM. */
export function bareChunkSeal(key: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const first = createHmac("sha512", key).update(HPKE_LABEL).digest()
  const second = createHmac("sha512", key).update(first).digest()
  const cipher = createCipheriv("aes-256-gcm", first.subarray(0, 32), second.subarray(0, 12))
  const body = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([body, cipher.getAuthTag()])
}

function labeledExtract(salt: Uint8Array, label: string, material: Uint8Array): Uint8Array {
  const labeled = Buffer.concat([HPKE_LABEL, HPKE_SUITE, Buffer.from(label), material])
  return extract(sha256, labeled, salt)
}

function labeledExpand(
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const size = Uint8Array.of(0, length)
  const labeled = Buffer.concat([size, HPKE_LABEL, HPKE_SUITE, Buffer.from(label), context])
  return expand(sha256, secret, labeled, length)
}

/** Base mode, and the hash of no pre-shared key: the same for every message. */
const NO_PSK_HASH = Buffer.concat([
  Uint8Array.of(0),
  labeledExtract(NOTHING, "psk_id_hash", NOTHING),
])

function importPublic(kind: "ml-kem-768" | "x25519", bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(bytes), format: "raw-public", asymmetricKeyType: kind })
}

function importPrivate(
  kind: "ml-dsa-65" | "ed25519",
  format: "raw-seed" | "raw-private",
  bytes: Uint8Array,
): KeyObject {
  return createPrivateKey({ key: Buffer.from(bytes), format, asymmetricKeyType: kind })
}

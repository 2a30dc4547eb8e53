/**
 * The composite signature id-MLDSA65-Ed25519-SHA512 of the LAMPS working group (PROTOCOL §3.2):
 * ML-DSA-65 and Ed25519 over the same bytes, both of which must verify.
 *
 * M' = prefix ‖ label ‖ length of context ‖ context ‖ SHA-512(message). ML-DSA signs M' under the
 * label as its own context, Ed25519 signs M'. Keys and signatures are ML-DSA ‖ Ed25519.
 */

import { assert } from "./assert.ts"
import { concatBytes, u8 } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import {
  COMPOSITE_KEY_BYTES,
  COMPOSITE_SEED_BYTES,
  COMPOSITE_SIGNATURE_BYTES,
  MLDSA65_KEY_BYTES,
  MLDSA65_SIGNATURE_BYTES,
  SEED_BYTES,
  SIGNATURE_CONTEXT_BYTES_MAX,
} from "./limits.ts"
import { assertSize, type RandomSource, type Suite } from "./suite.ts"

const encoder = new TextEncoder()
const PREFIX = encoder.encode("CompositeAlgorithmSignatures2025")
const LABEL = encoder.encode("COMPSIG-MLDSA65-Ed25519-SHA512")

/**
 * The two halves of each seed, split once: the native suite keeps an imported key for as long as
 * the array that holds its seed lives.
 */
const halves = new WeakMap<Uint8Array, SeedHalves>()

interface SeedHalves {
  readonly mldsa: Uint8Array
  readonly ed25519: Uint8Array
}

/** The 1,984-byte public key of a 64-byte seed (ML-DSA seed ‖ Ed25519 seed). */
export function compositePublicKey(suite: Suite, seed: Uint8Array): Uint8Array {
  const { mldsa, ed25519 } = splitSeed(seed)
  return concatBytes(suite.mldsaPublicKey(65, mldsa), suite.ed25519PublicKey(ed25519))
}

/**
 * Signs a message: 3,373 bytes. `context` names the use and is at most 255 bytes of UTF-8.
 *
 * The seed must not be changed in place afterwards, other than wiped at the end of its use.
 */
export function compositeSign(
  suite: Suite,
  seed: Uint8Array,
  context: string,
  message: Uint8Array,
  random: RandomSource,
): Uint8Array {
  const { mldsa, ed25519 } = splitSeed(seed)
  const representative = messageRepresentative(suite, encoder.encode(context), message)
  return concatBytes(
    suite.mldsaSign(65, mldsa, representative, LABEL, random),
    suite.ed25519Sign(ed25519, representative),
  )
}

/**
 * Checks a composite signature.
 *
 * @throws {@link ProtocolError} `SIGNATURE_INVALID` unless both halves verify; a key or signature
 * of the wrong length does not.
 */
export function verifyComposite(
  suite: Suite,
  publicKey: Uint8Array,
  context: string,
  message: Uint8Array,
  signature: Uint8Array,
): void {
  if (isCompositeValid(suite, publicKey, context, message, signature)) return
  throw new ProtocolError("SIGNATURE_INVALID", `signature under ${context}: does not match`)
}

/** As {@link verifyComposite}, as an answer. Never throws for what a peer may send. */
export function isCompositeValid(
  suite: Suite,
  publicKey: Uint8Array,
  context: string,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== COMPOSITE_KEY_BYTES) return false
  if (signature.length !== COMPOSITE_SIGNATURE_BYTES) return false
  const representative = messageRepresentative(suite, encoder.encode(context), message)
  // The cheaper half first: a forgery costs the verifier less than an honest signature.
  return (
    suite.ed25519Verify(
      publicKey.subarray(MLDSA65_KEY_BYTES),
      representative,
      signature.subarray(MLDSA65_SIGNATURE_BYTES),
    ) &&
    suite.mldsaVerify(
      65,
      publicKey.subarray(0, MLDSA65_KEY_BYTES),
      representative,
      LABEL,
      signature.subarray(0, MLDSA65_SIGNATURE_BYTES),
    )
  )
}

/** M' of the draft. Contexts are labels of ours, so their length is a promise of ours. */
function messageRepresentative(suite: Suite, context: Uint8Array, message: Uint8Array): Uint8Array {
  assert(context.length <= SIGNATURE_CONTEXT_BYTES_MAX, "composite context: over 255 bytes")
  return concatBytes(PREFIX, LABEL, u8(context.length), context, suite.sha512(message))
}

function splitSeed(seed: Uint8Array): SeedHalves {
  const known = halves.get(seed)
  if (known !== undefined) return known
  assertSize(seed, COMPOSITE_SEED_BYTES, "composite seed")
  const split = { mldsa: seed.subarray(0, SEED_BYTES), ed25519: seed.subarray(SEED_BYTES) }
  halves.set(seed, split)
  return split
}

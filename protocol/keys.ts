/**
 * Names of keys: a key id is a hash of the public key, so it commits to the key (PROTOCOL §4.1).
 */

import { concatBytes } from "./bytes.ts"
import { LABELS, labelBytes } from "./labels.ts"
import type { Suite } from "./suite.ts"

/** Signs `message` under a context; made by the keystore, so that private keys stay there. */
export type CompositeSigner = (context: string, message: Uint8Array) => Uint8Array

/** Id of any public key: SHA-256(label ‖ key), 32 bytes. */
export function keyId(suite: Suite, publicKey: Uint8Array): Uint8Array {
  return suite.sha256(concatBytes(labelBytes(LABELS.keyId), publicKey))
}

/** Hash that binds a wrap to one epoch key, 32 bytes. */
export function epochKeyHash(suite: Suite, publicKey: Uint8Array): Uint8Array {
  return suite.sha256(concatBytes(labelBytes(LABELS.epochKeyHash), publicKey))
}

/**
 * Words and numbers that people read to each other: the first 10 bytes of a hash in five groups.
 */
export function fingerprint(hash: Uint8Array): string {
  const groups: string[] = []
  for (let start = 0; start < 10; start += 2) {
    const value = ((hash[start] ?? 0) << 8) | (hash[start + 1] ?? 0)
    groups.push(value.toString().padStart(5, "0"))
  }
  return groups.join(" ")
}

/**
 * Epoch keys: the daily KEM keys to which content secrets are wrapped (PROTOCOL §4.8).
 */

import { decode, encode } from "./codec.ts"
import { isCompositeValid } from "./composite.ts"
import { ProtocolError } from "./errors.ts"
import { keyId, type CompositeSigner } from "./keys.ts"
import { LABELS } from "./labels.ts"
import * as limits from "./limits.ts"
import type { Suite } from "./suite.ts"

export interface EpochKey {
  /** Days since 1970-01-01. */
  readonly epoch: number
  /** X-Wing, 1,216 bytes. */
  readonly publicKey: Uint8Array
}

/** One publication: the payload of an entry of type 5. */
export interface EpochKeys {
  readonly net: Uint8Array
  readonly rid: number
  /** Strictly rising epochs. */
  readonly keys: readonly EpochKey[]
  readonly createdMs: number
}

/** Epoch that contains the instant `nowMs`. */
export function epochAt(nowMs: number): number {
  return Math.floor(nowMs / limits.EPOCH_MS)
}

/** Encodes and signs a publication with the mission's signing key. */
export function signEpochKeys(
  suite: Suite,
  publication: EpochKeys,
  signingKey: Uint8Array,
  sign: CompositeSigner,
): Uint8Array {
  const statement = encode([
    LABELS.epochKeys,
    publication.net,
    publication.rid,
    publication.keys.map((key) => [key.epoch, key.publicKey]),
    publication.createdMs,
  ])
  return encode([statement, keyId(suite, signingKey), sign(LABELS.epochKeys, statement)])
}

export interface SignedEpochKeys extends EpochKeys {
  readonly statement: Uint8Array
  readonly signerKid: Uint8Array
  readonly signature: Uint8Array
}

export function decodeEpochKeys(bytes: Uint8Array): SignedEpochKeys {
  const signed = decode(bytes, "epoch keys payload", limits.ENTRY_BYTES_MAX, (reader) => {
    reader.array("payload", 3)
    return {
      statement: reader.bytesUpTo("statement", limits.ENTRY_BYTES_MAX),
      signerKid: reader.bytes("signer", limits.HASH_BYTES),
      signature: reader.bytes("signature", limits.COMPOSITE_SIGNATURE_BYTES),
    }
  })
  const publication = decode(
    signed.statement,
    "epoch keys",
    limits.ENTRY_BYTES_MAX,
    (reader): EpochKeys => {
      reader.array("epoch keys", 5)
      reader.label(LABELS.epochKeys)
      const net = reader.bytes("net", limits.HASH_BYTES)
      const rid = reader.uint("rid", 0xffff)
      let previous = -1
      const keys = reader.list(
        "keys",
        limits.EPOCH_KEYS_PER_ENTRY_MAX,
        () => {
          reader.array("key", 2)
          const epoch = reader.uint("epoch", 0xffff_ffff)
          if (epoch <= previous) reader.fail("CODEC_ORDER", "epoch", `${epoch} after ${previous}`)
          previous = epoch
          return { epoch, publicKey: reader.bytes("epoch key", limits.KEM_KEY_BYTES) }
        },
        1,
      )
      return { net, rid, keys, createdMs: reader.uint("createdMs") }
    },
  )
  return { ...publication, ...signed }
}

/** @throws ProtocolError `EPOCH_KEYS_INVALID` when `signingKey` did not sign the publication. */
export function verifyEpochKeys(
  suite: Suite,
  publication: SignedEpochKeys,
  signingKey: Uint8Array,
): void {
  const { statement, signature } = publication
  if (isCompositeValid(suite, signingKey, LABELS.epochKeys, statement, signature)) return
  throw new ProtocolError("EPOCH_KEYS_INVALID", `mission ${publication.rid}: wrong signature`)
}

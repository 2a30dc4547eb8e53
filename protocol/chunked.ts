/**
 * Chunked encryption of bodies: c2sp.org/chunked-encryption with AES-256-GCM and SHA-512, the
 * instantiation also called Cobblestone-256 (PROTOCOL §3.4).
 *
 * salt 24 ‖ commitment 32 ‖ chunks. Each chunk holds 16 KiB, the last one less, possibly nothing;
 * chunk i is sealed under base nonce XOR i. The commitment is to key, salt and context: a body
 * opens under one key and context only.
 */

import { assert } from "./assert.ts"
import { concatBytes, equalBytes } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  BODY_CHUNK_BYTES,
  BODY_HEADER_BYTES,
  BODY_SALT_BYTES,
  HASH_BYTES,
} from "./limits.ts"
import { assertSize, type RandomSource, type Suite } from "./suite.ts"

const SEALED_CHUNK_BYTES = BODY_CHUNK_BYTES + AEAD_TAG_BYTES
/** 2^32 chunks are 64 TiB: the counter never reaches past the last four bytes of the nonce. */
const CHUNKS_MAX = 2 ** 32
const NOTHING = new Uint8Array(0)
const INFO_PREFIX = new TextEncoder().encode("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0")

/** Seals a whole plaintext under a uniformly random 32-byte key; {@link chunkedLength} bytes. */
export function sealChunked(
  suite: Suite,
  key: Uint8Array,
  context: Uint8Array,
  plaintext: Uint8Array,
  random: RandomSource,
): Uint8Array {
  const salt = random(BODY_SALT_BYTES)
  const keys = deriveChunkKeys(suite, key, salt, context)
  const out = new Uint8Array(chunkedLength(plaintext.length))
  out.set(salt, 0)
  out.set(keys.commitment, BODY_SALT_BYTES)
  const count = chunkCount(plaintext.length)
  for (let index = 0; index < count; index++) {
    const start = index * BODY_CHUNK_BYTES
    const chunk = plaintext.subarray(start, start + BODY_CHUNK_BYTES)
    out.set(sealChunk(suite, keys, index, chunk), BODY_HEADER_BYTES + index * SEALED_CHUNK_BYTES)
  }
  return out
}

/**
 * Opens a whole body.
 *
 * @throws {@link ProtocolError} `CHUNKED_COMMITMENT` when key, salt and context are not the ones
 * committed to; `CHUNKED_OPEN` when the body is cut short, or a chunk is damaged or out of place.
 */
export function openChunked(
  suite: Suite,
  key: Uint8Array,
  context: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const commitment = chunkedCommitment(body)
  const keys = deriveChunkKeys(suite, key, body.subarray(0, BODY_SALT_BYTES), context)
  if (!equalBytes(keys.commitment, commitment)) {
    const why = "commits to another key, salt or context"
    throw new ProtocolError("CHUNKED_COMMITMENT", `chunked body: ${why}`)
  }
  const out = new Uint8Array(plaintextLength(body.length))
  const count = chunkCount(out.length)
  for (let index = 0; index < count; index++) {
    const start = BODY_HEADER_BYTES + index * SEALED_CHUNK_BYTES
    const sealed = body.subarray(start, start + SEALED_CHUNK_BYTES)
    out.set(openChunk(suite, keys, index, sealed), index * BODY_CHUNK_BYTES)
  }
  return out
}

/**
 * The 32-byte commitment in a body.
 *
 * @throws {@link ProtocolError} `CHUNKED_OPEN` when the body is too short to hold one.
 */
export function chunkedCommitment(body: Uint8Array): Uint8Array {
  if (body.length < BODY_HEADER_BYTES) {
    const why = `expected at least ${BODY_HEADER_BYTES} bytes, got ${body.length}`
    throw new ProtocolError("CHUNKED_OPEN", `chunked body: ${why}`)
  }
  return new Uint8Array(body.subarray(BODY_SALT_BYTES, BODY_HEADER_BYTES))
}

/** Length of the body that a plaintext of this length gives, in bytes. */
export function chunkedLength(plaintext: number): number {
  return BODY_HEADER_BYTES + plaintext + chunkCount(plaintext) * AEAD_TAG_BYTES
}

/** What one body is sealed under. */
export interface ChunkKeys {
  readonly key: Uint8Array
  readonly baseNonce: Uint8Array
  readonly commitment: Uint8Array
}

/** Derives the keys of one body; the 24-byte salt never repeats for an input key. */
export function deriveChunkKeys(
  suite: Suite,
  inputKey: Uint8Array,
  salt: Uint8Array,
  context: Uint8Array,
): ChunkKeys {
  assertSize(inputKey, AEAD_KEY_BYTES, "chunked encryption key")
  assertSize(salt, BODY_SALT_BYTES, "chunked encryption salt")
  const length = AEAD_KEY_BYTES + AEAD_NONCE_BYTES + HASH_BYTES
  const derived = suite.hkdfExpandSha512(inputKey, concatBytes(INFO_PREFIX, salt, context), length)
  return {
    key: derived.subarray(0, AEAD_KEY_BYTES),
    baseNonce: derived.subarray(AEAD_KEY_BYTES, AEAD_KEY_BYTES + AEAD_NONCE_BYTES),
    commitment: derived.subarray(AEAD_KEY_BYTES + AEAD_NONCE_BYTES),
  }
}

/** Seals one chunk. All but the last hold exactly `BODY_CHUNK_BYTES`, the last one less. */
function sealChunk(suite: Suite, keys: ChunkKeys, index: number, chunk: Uint8Array): Uint8Array {
  assert(chunk.length <= BODY_CHUNK_BYTES, `chunk ${index}: too long, ${chunk.length} bytes`)
  return suite.aes256GcmSeal(keys.key, chunkNonce(keys, index), NOTHING, chunk)
}

/**
 * Opens one chunk. That the body ends with a short one is the caller's to check.
 *
 * @throws {@link ProtocolError} `CHUNKED_OPEN` when it is damaged or stands in another place.
 */
function openChunk(suite: Suite, keys: ChunkKeys, index: number, sealed: Uint8Array): Uint8Array {
  try {
    return suite.aes256GcmOpen(keys.key, chunkNonce(keys, index), NOTHING, sealed)
  } catch (cause) {
    if (!(cause instanceof ProtocolError)) throw cause
    throw new ProtocolError("CHUNKED_OPEN", `chunk ${index}: does not open`, { cause })
  }
}

function chunkNonce(keys: ChunkKeys, index: number): Uint8Array {
  assert(index < CHUNKS_MAX, `chunk ${index}: over the count of chunks`)
  const nonce = new Uint8Array(keys.baseNonce)
  const view = new DataView(nonce.buffer)
  const offset = AEAD_NONCE_BYTES - 4
  view.setUint32(offset, view.getUint32(offset) ^ index)
  return nonce
}

/** The last chunk is always short, so a whole multiple of the chunk size takes one more. */
function chunkCount(plaintext: number): number {
  return Math.floor(plaintext / BODY_CHUNK_BYTES) + 1
}

/** The length inside, known before anything is opened: a cut body is refused without work. */
function plaintextLength(body: number): number {
  const chunks = body - BODY_HEADER_BYTES
  const last = chunks % SEALED_CHUNK_BYTES
  if (last < AEAD_TAG_BYTES) {
    const why = `cut short, its last chunk has ${last} bytes`
    throw new ProtocolError("CHUNKED_OPEN", `chunked body: ${why}`)
  }
  return Math.floor(chunks / SEALED_CHUNK_BYTES) * BODY_CHUNK_BYTES + last - AEAD_TAG_BYTES
}

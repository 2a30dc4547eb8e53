/**
 * What nodes say to each other: protocol ids, and the requests and answers on them (PROTOCOL §11).
 *
 * Every message is one request with one answer on a framed stream. An unknown version or a longer
 * message than its limit is refused before anything of it is kept.
 */

import { decode, encode, type Reader } from "./codec.ts"
import { ProtocolError } from "./errors.ts"
import * as limits from "./limits.ts"

/** Ids and limits of the protocols; `lane` says which connection carries them. */
export const PROTOCOLS = {
  /** A copy of a cable to its addressee. */
  deliver: {
    id: "/tarbarta/deliver/1",
    lane: "bulk",
    requestBytesMax: limits.ENVELOPE_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: 10 * limits.REQUEST_TIMEOUT_MS,
  },
  /** A copy of a cable to a member that keeps it for its addressee. */
  relay: {
    id: "/tarbarta/relay/1",
    lane: "bulk",
    requestBytesMax: limits.ENVELOPE_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: 10 * limits.REQUEST_TIMEOUT_MS,
  },
  /** A copy of a signal to a desk. */
  hotline: {
    id: "/tarbarta/hotline/1",
    lane: "urgent",
    requestBytesMax: limits.SIGNAL_MESSAGE_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** A batch of signed receipts to the sender of what they are for. */
  receipt: {
    id: "/tarbarta/receipt/1",
    lane: "urgent",
    requestBytesMax: limits.RECEIPTS_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** Batches of ledger entries to a validator. */
  submit: {
    id: "/tarbarta/submit/1",
    lane: "urgent",
    requestBytesMax:
      limits.SUBMIT_BYTES + limits.SUBMIT_BATCHES_MAX * limits.MESSAGE_HEAD_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** "My ledger has this height": sent after every final block and on contact. */
  height: {
    id: "/tarbarta/height/1",
    lane: "urgent",
    requestBytesMax: limits.NUMBERS_BYTES_MAX,
    answerBytesMax: limits.NUMBERS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** Votes, certificates and small blocks between validators. */
  consensus: {
    id: "/tarbarta/consensus/1",
    lane: "urgent",
    requestBytesMax: limits.FRAME_BYTES_MAX,
    answerBytesMax: limits.NUMBERS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** The same for blocks that would hold up the urgent lane. */
  proposal: {
    id: "/tarbarta/proposal/1",
    lane: "bulk",
    requestBytesMax: limits.STORED_BLOCK_BYTES_MAX,
    answerBytesMax: limits.NUMBERS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** Which run of a validator this is: asked before its first vote. */
  boot: {
    id: "/tarbarta/boot/1",
    lane: "urgent",
    requestBytesMax: limits.STATUS_BYTES_MAX,
    answerBytesMax: limits.STATUS_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** The newest header with what makes it final: shows that a claimed height is true. */
  newest: {
    id: "/tarbarta/newest/1",
    lane: "bulk",
    requestBytesMax: limits.NUMBERS_BYTES_MAX,
    answerBytesMax: limits.FINAL_HEADER_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** Headers of the blocks that hold entries, with what makes them final. */
  holders: {
    id: "/tarbarta/holders/1",
    lane: "bulk",
    requestBytesMax: 16 * limits.HOLDERS_PER_REQUEST_MAX,
    answerBytesMax: 2 * limits.HOLDERS_ANSWER_BYTES,
    timeoutMs: limits.SYNC_ANSWER_TIMEOUT_MS,
    stallMs: 2 * limits.REQUEST_TIMEOUT_MS,
  },
  /** Entries of one bundle without their blocks, with the path to a root. */
  bundle: {
    id: "/tarbarta/bundle/1",
    lane: "bulk",
    requestBytesMax: limits.NUMBERS_BYTES_MAX,
    answerBytesMax: 2 * limits.BUNDLE_BYTES_MAX,
    timeoutMs: limits.SYNC_ANSWER_TIMEOUT_MS,
    stallMs: 2 * limits.REQUEST_TIMEOUT_MS,
  },
  /** Blocks from a height on, for catching up. */
  blocks: {
    id: "/tarbarta/blocks/1",
    lane: "bulk",
    requestBytesMax: limits.NUMBERS_BYTES_MAX,
    answerBytesMax: limits.BLOCKS_MESSAGE_BYTES_MAX,
    timeoutMs: limits.SYNC_ANSWER_TIMEOUT_MS,
    stallMs: 2 * limits.REQUEST_TIMEOUT_MS,
  },
  /** Our cosignatures of a checkpoint to a validator, which answers with those it has of it. */
  cosign: {
    id: "/tarbarta/cosign/1",
    lane: "bulk",
    requestBytesMax: limits.CHECKPOINT_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    answerBytesMax: limits.CHECKPOINT_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
  /** The newest signed checkpoint, the one for this hour's witnesses, or the one with theirs. */
  checkpoint: {
    id: "/tarbarta/checkpoint/1",
    lane: "bulk",
    requestBytesMax: limits.NUMBERS_BYTES_MAX,
    answerBytesMax: limits.NOTE_BYTES_MAX + limits.MESSAGE_HEAD_BYTES_MAX,
    timeoutMs: limits.REQUEST_TIMEOUT_MS,
  },
} as const

const VERSION = 1

// --- deliver, relay, hotline: [version, copy] → [version, status] ------------------------------

/**
 * What became of a copy: `stored` (on the disk here), `duplicate` (was here already, also on the
 * disk), `later` (cannot be judged yet, such as a signer that the ledger here does not know yet).
 * A copy that is wrong is refused with a code by the transport instead.
 */
export type CopyStatus = "stored" | "duplicate" | "later"

const COPY_STATUSES: readonly CopyStatus[] = ["stored", "duplicate", "later"]

export function encodeCopyRequest(copy: Uint8Array): Uint8Array {
  return encode([VERSION, copy])
}

export function decodeCopyRequest(bytes: Uint8Array): Uint8Array {
  return decodeBlob(bytes, "copy request", limits.ENVELOPE_BYTES_MAX)
}

export function encodeCopyStatus(status: CopyStatus): Uint8Array {
  return encode([VERSION, COPY_STATUSES.indexOf(status) + 1])
}

export function decodeCopyStatus(bytes: Uint8Array): CopyStatus {
  return decode(bytes, "copy answer", limits.STATUS_BYTES_MAX, (reader) => {
    reader.array("answer", 2)
    readVersion(reader)
    const status = COPY_STATUSES[reader.uint("status") - 1]
    return status ?? reader.fail("WIRE_INVALID", "status", "unknown status")
  })
}

// --- submit: [version, [batch …]] → [version, number] -----------------------------------------

/** Batches of one submitter, opaque here, in the order of their serials. */
export function encodeSubmitRequest(batches: readonly Uint8Array[]): Uint8Array {
  return encode([VERSION, batches])
}

export function decodeSubmitRequest(bytes: Uint8Array): Uint8Array[] {
  return decode(bytes, "submit request", PROTOCOLS.submit.requestBytesMax, (reader) => {
    reader.array("request", 2)
    readVersion(reader)
    const batches = reader.list("batches", limits.SUBMIT_BATCHES_MAX, () =>
      reader.bytesUpTo("batch", limits.BATCH_BYTES_MAX, 1),
    )
    return batches.length > 0 ? batches : reader.fail("WIRE_INVALID", "batches", "expected one")
  })
}

// --- receipt: [version, bytes] → [version, number] ---------------------------------------------

export function encodeBlob(blob: Uint8Array): Uint8Array {
  return encode([VERSION, blob])
}

/** A request that carries one byte string of at most `bytesMax`. */
export function decodeBlob(bytes: Uint8Array, name: string, bytesMax: number): Uint8Array {
  return decode(bytes, name, bytesMax + limits.MESSAGE_HEAD_BYTES_MAX, (reader) => {
    reader.array("request", 2)
    readVersion(reader)
    return reader.bytesUpTo("bytes", bytesMax, 1)
  })
}

/** A height, a count or the next serial that the other side expects. */
export function encodeNumber(value: number): Uint8Array {
  return encode([VERSION, value])
}

export function decodeNumber(bytes: Uint8Array, name: string): number {
  return decode(bytes, name, limits.NUMBERS_BYTES_MAX, (reader) => {
    reader.array("number", 2)
    readVersion(reader)
    return reader.uint("number")
  })
}

// --- blocks: [version, from, count] → [version, [block …]] ------------------------------------

export interface BlocksRequest {
  readonly fromHeight: number
  readonly count: number
}

export function encodeBlocksRequest(request: BlocksRequest): Uint8Array {
  return encode([VERSION, request.fromHeight, request.count])
}

export function decodeBlocksRequest(bytes: Uint8Array): BlocksRequest {
  return decode(bytes, "blocks request", limits.NUMBERS_BYTES_MAX, (reader) => {
    reader.array("request", 3)
    readVersion(reader)
    const fromHeight = reader.uint("fromHeight")
    return { fromHeight, count: reader.uint("count", limits.BLOCKS_PER_ANSWER_MAX) }
  })
}

/** Final blocks with their certificates, as opaque bytes that ledger/ decodes and verifies. */
export function encodeBlocksAnswer(blocks: readonly Uint8Array[]): Uint8Array {
  return encode([VERSION, blocks])
}

export function decodeBlocksAnswer(bytes: Uint8Array): Uint8Array[] {
  return decode(bytes, "blocks answer", PROTOCOLS.blocks.answerBytesMax, (reader) => {
    reader.array("answer", 2)
    readVersion(reader)
    return reader.list("blocks", limits.BLOCKS_PER_ANSWER_MAX, () =>
      reader.bytesUpTo("block", limits.STORED_BLOCK_BYTES_MAX, 1),
    )
  })
}

// --- cosign: [version, note] → [version, note]; checkpoint: [version, which] → [version, note] --

/** Which checkpoint is asked for. */
export type CheckpointKind = "newest" | "hourly" | "missions"

const CHECKPOINT_KINDS: readonly CheckpointKind[] = ["newest", "hourly", "missions"]

export function encodeCheckpointRequest(kind: CheckpointKind): Uint8Array {
  return encodeNumber(CHECKPOINT_KINDS.indexOf(kind) + 1)
}

/** @throws ProtocolError `CODEC_*`, `WIRE_INVALID` for a kind that is none. */
export function decodeCheckpointRequest(bytes: Uint8Array): CheckpointKind {
  const kind = CHECKPOINT_KINDS[decodeNumber(bytes, "checkpoint request") - 1]
  if (kind !== undefined) return kind
  throw new ProtocolError("WIRE_INVALID", "checkpoint request: unknown kind")
}

/** The text of a note; empty where there is none. */
export function encodeNoteMessage(text: string): Uint8Array {
  return encode([VERSION, new TextEncoder().encode(text)])
}

/** The bytes of a note's text, of which nothing is known but their length. */
export function decodeNoteMessage(bytes: Uint8Array, noteBytesMax: number): Uint8Array {
  return decode(bytes, "note message", noteBytesMax + limits.MESSAGE_HEAD_BYTES_MAX, (reader) => {
    reader.array("message", 2)
    readVersion(reader)
    return reader.bytesUpTo("note", noteBytesMax)
  })
}

// --- holders: [version, [index …]] → [version, [holder …]] -------------------------------------

/** Places of entries in the tree. */
export function encodeHoldersRequest(indexes: readonly number[]): Uint8Array {
  return encode([VERSION, indexes])
}

export function decodeHoldersRequest(bytes: Uint8Array): number[] {
  return decode(bytes, "holders request", PROTOCOLS.holders.requestBytesMax, (reader) => {
    reader.array("request", 2)
    readVersion(reader)
    return reader.list("indexes", limits.HOLDERS_PER_REQUEST_MAX, () => reader.uint("index"))
  })
}

/** Opaque here, as blocks are. */
export function encodeHoldersAnswer(holders: readonly Uint8Array[]): Uint8Array {
  return encode([VERSION, holders])
}

export function decodeHoldersAnswer(bytes: Uint8Array): Uint8Array[] {
  return decode(bytes, "holders answer", PROTOCOLS.holders.answerBytesMax, (reader) => {
    reader.array("answer", 2)
    readVersion(reader)
    return reader.list("holders", limits.HOLDERS_PER_REQUEST_MAX, () =>
      reader.bytesUpTo("holder", limits.FINAL_HEADER_BYTES_MAX, 1),
    )
  })
}

// --- bundle: [version, first, count, size] → [version, entries, [hash …]] ----------------------

/** Entries of one bundle, and the size of the tree whose root they will be checked against. */
export interface BundleRequest {
  readonly first: number
  readonly count: number
  readonly treeSize: number
}

export interface BundleAnswer {
  /** (length u16 ‖ entry) for each. */
  readonly entries: Uint8Array
  /** From the whole bundle to the root; empty for one that the tree does not have as a whole. */
  readonly path: readonly Uint8Array[]
}

export function encodeBundleRequest({ first, count, treeSize }: BundleRequest): Uint8Array {
  return encode([VERSION, first, count, treeSize])
}

/** The entries that are asked for are in one bundle and in the tree. */
export function decodeBundleRequest(bytes: Uint8Array): BundleRequest {
  return decode(bytes, "bundle request", limits.NUMBERS_BYTES_MAX, (reader) => {
    reader.array("request", 4)
    readVersion(reader)
    const first = reader.uint("first")
    const left = limits.BUNDLE_ENTRIES - (first % limits.BUNDLE_ENTRIES)
    const count = reader.uint("count", left)
    const treeSize = reader.uint("treeSize")
    if (count === 0 || first + count > treeSize) {
      reader.fail("WIRE_INVALID", "count", `expected entries of a tree of ${treeSize}`)
    }
    return { first, count, treeSize }
  })
}

export function encodeBundleAnswer({ entries, path }: BundleAnswer): Uint8Array {
  return encode([VERSION, entries, path])
}

export function decodeBundleAnswer(bytes: Uint8Array): BundleAnswer {
  return decode(bytes, "bundle answer", PROTOCOLS.bundle.answerBytesMax, (reader) => {
    reader.array("answer", 3)
    readVersion(reader)
    const entries = reader.bytesUpTo("entries", limits.BUNDLE_BYTES_MAX, 1)
    const path = reader.list("path", limits.PROOF_PATH_HASHES_MAX, () =>
      reader.bytes("hash", limits.HASH_BYTES),
    )
    return { entries, path }
  })
}

function readVersion(reader: Reader): void {
  const found = reader.uint("version")
  if (found !== VERSION) reader.fail("CODEC_VERSION", "version", `expected 1, got ${found}`)
}

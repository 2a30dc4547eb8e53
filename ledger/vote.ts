/**
 * One validator's vote in one view: notarize, nullify or finalize (LEDGER §7).
 *
 * 111 bytes: kind u8 ‖ epoch u32 ‖ view u64 ‖ block_hash[32] ‖ signer u16 ‖ signature[64].
 */

import { equalBytes } from "../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import type { Signer } from "../protocol/entry.ts"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import { ED25519_SIGNATURE_BYTES, HASH_BYTES, VALIDATORS_MAX } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { LedgerError } from "./errors.ts"
import type { ValidatorSet } from "./validators.ts"

/** N, X and F of the specification. */
export const VOTE_KINDS = { notarize: 1, nullify: 2, finalize: 3 } as const

export type VoteKind = keyof typeof VOTE_KINDS

export const VOTE_BYTES = 1 + 4 + 8 + HASH_BYTES + 2 + ED25519_SIGNATURE_BYTES

/** What is voted on. */
export interface VoteBody {
  readonly kind: VoteKind
  readonly epoch: number
  /** From 1; view 0 stands for what the epoch starts from. */
  readonly view: number
  /** Zero in a nullify vote. */
  readonly blockHash: Uint8Array
}

export interface Vote extends VoteBody {
  /** The validator's number in its epoch's set. */
  readonly signer: number
  readonly signature: Uint8Array
}

/** What the votes of the last ballot of each kind sign. */
const ballots = new Map<VoteKind, Ballot>()

interface Ballot {
  readonly bytes: Uint8Array
  readonly epoch: number
  readonly view: number
  /** Views of the bytes: what a caller does with his own arrays later changes nothing here. */
  readonly chainId: Uint8Array
  readonly blockHash: Uint8Array
}

/**
 * label ‖ kind u8 ‖ chain_id[32] ‖ epoch u32 ‖ view u64 ‖ block_hash[32]: what a vote signs. Not to
 * be changed: all votes of a ballot come one after another, and share it.
 */
export function voteSignedBytes(chainId: Uint8Array, body: VoteBody): Uint8Array {
  const { kind, epoch, view, blockHash } = body
  const last = ballots.get(kind)
  if (
    last?.view === view &&
    last.epoch === epoch &&
    equalBytes(last.blockHash, blockHash) &&
    equalBytes(last.chainId, chainId)
  ) {
    return last.bytes
  }
  const label = labelBytes(LABELS.vote)
  const bytes = new FieldWriter(label.length + 1 + HASH_BYTES + 4 + 8 + HASH_BYTES)
    .bytes(label)
    .u8(VOTE_KINDS[kind])
    .bytes(chainId)
    .u32(epoch)
    .u64(view)
    .bytes(blockHash)
    .finish()
  const at = label.length + 1
  ballots.set(kind, {
    bytes,
    epoch,
    view,
    chainId: bytes.subarray(at, at + HASH_BYTES),
    blockHash: bytes.subarray(-HASH_BYTES),
  })
  return bytes
}

/** Ed25519 is deterministic: the same body signed twice gives the same vote. */
export function signVote(chainId: Uint8Array, body: VoteBody, signer: number, sign: Signer): Vote {
  return { ...body, signer, signature: sign(voteSignedBytes(chainId, body)) }
}

/**
 * Checks one vote against the validators of its epoch.
 *
 * @throws {@link LedgerError} `VOTE_INVALID` for another epoch or an unknown signer,
 * `VOTE_SIGNATURE`.
 */
export function verifyVote(
  suite: Suite,
  chainId: Uint8Array,
  vote: Vote,
  validators: ValidatorSet,
): void {
  const refuse = (code: "VOTE_INVALID" | "VOTE_SIGNATURE", why: string): never => {
    throw new LedgerError(code, `${vote.kind} vote for view ${vote.view}: ${why}`)
  }
  if (vote.epoch !== validators.epoch) {
    refuse("VOTE_INVALID", `expected epoch ${validators.epoch}, got ${vote.epoch}`)
  }
  const validator = validators.validators[vote.signer]
  if (validator === undefined) {
    return refuse("VOTE_INVALID", `no validator has number ${vote.signer}`)
  }
  const signed = voteSignedBytes(chainId, vote)
  if (!suite.ed25519Verify(validator.consensusKey, signed, vote.signature)) {
    refuse("VOTE_SIGNATURE", `signature of validator ${vote.signer} does not verify`)
  }
}

export function encodeVote(vote: Vote): Uint8Array {
  return new FieldWriter(VOTE_BYTES)
    .u8(VOTE_KINDS[vote.kind])
    .u32(vote.epoch)
    .u64(vote.view)
    .bytes(vote.blockHash)
    .u16(vote.signer)
    .bytes(vote.signature)
    .finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `VOTE_INVALID`. */
export function decodeVote(bytes: Uint8Array): Vote {
  const reader = new FieldReader(bytes, "vote")
  const body = readVoteBody(reader)
  const signer = reader.u16("signer", VALIDATORS_MAX - 1)
  const signature = reader.bytes("signature", ED25519_SIGNATURE_BYTES)
  reader.end()
  return { ...body, signer, signature }
}

/** The 45 bytes with which votes and certificates begin. */
export function readVoteBody(reader: FieldReader): VoteBody {
  const kind = voteKindOf(reader.u8("kind"))
  const epoch = reader.u32("epoch")
  const view = reader.u64("view")
  const blockHash = reader.bytes("block hash", HASH_BYTES)
  if (view === 0) throw new LedgerError("VOTE_INVALID", `${kind}: nobody votes in view 0`)
  if (kind === "nullify" && blockHash.some((byte) => byte !== 0)) {
    throw new LedgerError("VOTE_INVALID", `nullify in view ${view}: expected a block hash of zero`)
  }
  return { kind, epoch, view, blockHash }
}

function voteKindOf(value: number): VoteKind {
  switch (value) {
    case 1:
      return "notarize"
    case 2:
      return "nullify"
    case 3:
      return "finalize"
    default:
      throw new LedgerError("VOTE_INVALID", `vote: expected kind 1 … 3, got ${value}`)
  }
}

/**
 * Which run of a validator this is: the statement by which its peers tell a restored or cloned disk
 * from the one that voted last (LEDGER §9.4).
 *
 * A validator makes one at each start and shows it before its first vote. A peer keeps the newest
 * that it let vote and answers with it, and with the newest vote that it has by that key; being
 * signed, neither can be made up by the peer. It also says whether another run of the key is alive.
 */

import { equalBytes } from "../protocol/bytes.ts"
import type { Signer } from "../protocol/entry.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import {
  BOOT_NONCE_BYTES,
  ED25519_SIGNATURE_BYTES,
  HASH_BYTES,
  VALIDATORS_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { LedgerError } from "./errors.ts"
import type { ValidatorSet } from "./validators.ts"
import { decodeVote, encodeVote, VOTE_BYTES, type Vote } from "./vote.ts"

const LOG_ID_BYTES = 16
const BODY_BYTES = 4 + 2 + LOG_ID_BYTES + 8 + BOOT_NONCE_BYTES
const RUN_BYTES = BODY_BYTES + ED25519_SIGNATURE_BYTES
const ANSWER_VERSION = 1

export interface RunBody {
  readonly epoch: number
  /** The validator's number in its epoch's set. */
  readonly signer: number
  /** Id of its consensus log, 16 bytes. */
  readonly logId: Uint8Array
  /** How often that log was opened. */
  readonly counter: number
  /** 16 random bytes of this run alone. */
  readonly nonce: Uint8Array
}

export interface Run extends RunBody {
  readonly signature: Uint8Array
}

/** label ‖ chain_id[32] ‖ epoch u32 ‖ signer u16 ‖ log id[16] ‖ counter u64 ‖ nonce[16]. */
function signedBytes(chainId: Uint8Array, body: RunBody): Uint8Array {
  const label = labelBytes(LABELS.run)
  return new FieldWriter(label.length + HASH_BYTES + BODY_BYTES)
    .bytes(label)
    .bytes(chainId)
    .bytes(encodeBody(body))
    .finish()
}

function encodeBody(body: RunBody): Uint8Array {
  return new FieldWriter(BODY_BYTES)
    .u32(body.epoch)
    .u16(body.signer)
    .bytes(body.logId)
    .u64(body.counter)
    .bytes(body.nonce)
    .finish()
}

export function signRun(chainId: Uint8Array, body: RunBody, sign: Signer): Run {
  return { ...body, signature: sign(signedBytes(chainId, body)) }
}

/** epoch u32 ‖ signer u16 ‖ log id[16] ‖ counter u64 ‖ nonce[16] ‖ signature[64]. */
export function encodeRun(run: Run): Uint8Array {
  return new FieldWriter(RUN_BYTES).bytes(encodeBody(run)).bytes(run.signature).finish()
}

/** @throws ProtocolError `CODEC_*`. */
export function decodeRun(bytes: Uint8Array): Run {
  const reader = new FieldReader(bytes, "run")
  const run = {
    epoch: reader.u32("epoch"),
    signer: reader.u16("signer", VALIDATORS_MAX - 1),
    logId: reader.bytes("log id", LOG_ID_BYTES),
    counter: reader.u64("counter"),
    nonce: reader.bytes("nonce", BOOT_NONCE_BYTES),
    signature: reader.bytes("signature", ED25519_SIGNATURE_BYTES),
  }
  reader.end()
  return run
}

/**
 * What a peer says to the run that asks. `clear`: it heard of no other run of the key for a while,
 * or of one that has ended. `live`: it heard another one a moment ago. `twin`: it still heard the
 * other one when no word of a dead process could have been under way any more.
 */
export type RunState = "clear" | "live" | "twin"

const STATES: readonly RunState[] = ["clear", "live", "twin"]

export interface RunAnswer {
  readonly state: RunState
  /** The newest run that the peer let vote. */
  readonly kept: Run | undefined
  /** The newest vote by the asker's key that the peer has. */
  readonly vote: Vote | undefined
}

/** version u8 ‖ state u8 ‖ 0 or 1 u8 ‖ run[110], if 1 ‖ 0 or 1 u8 ‖ vote[111], if 1. */
export function encodeRunAnswer({ state, kept, vote }: RunAnswer): Uint8Array {
  const length = 4 + (kept === undefined ? 0 : RUN_BYTES) + (vote === undefined ? 0 : VOTE_BYTES)
  const writer = new FieldWriter(length).u8(ANSWER_VERSION).u8(STATES.indexOf(state) + 1)
  writer.u8(kept === undefined ? 0 : 1)
  if (kept !== undefined) writer.bytes(encodeRun(kept))
  writer.u8(vote === undefined ? 0 : 1)
  if (vote !== undefined) writer.bytes(encodeVote(vote))
  return writer.finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `RUN_INVALID`, `VOTE_INVALID`. */
export function decodeRunAnswer(bytes: Uint8Array): RunAnswer {
  const reader = new FieldReader(bytes, "run answer")
  reader.version(ANSWER_VERSION)
  const state = STATES[reader.u8("state", STATES.length) - 1]
  if (state === undefined) throw new LedgerError("RUN_INVALID", "run answer: unknown state")
  const hasRun = reader.u8("run", 1) === 1
  const kept = hasRun ? decodeRun(reader.view("run", RUN_BYTES)) : undefined
  const hasVote = reader.u8("vote", 1) === 1
  const vote = hasVote ? decodeVote(reader.view("vote", VOTE_BYTES)) : undefined
  reader.end()
  return { state, kept, vote }
}

/** @throws {@link LedgerError} `RUN_INVALID` unless the validator that it names signed it. */
export function verifyRun(
  suite: Suite,
  chainId: Uint8Array,
  run: Run,
  validators: ValidatorSet,
): void {
  const key = validators.validators[run.signer]?.consensusKey
  const isSigned =
    key !== undefined &&
    run.epoch === validators.epoch &&
    suite.ed25519Verify(key, signedBytes(chainId, run), run.signature)
  if (!isSigned) {
    const why = `run ${run.counter} of validator ${run.signer} is not signed by it`
    throw new LedgerError("RUN_INVALID", `statement: ${why}`)
  }
}

/** The statement that a peer keeps when it is shown another one of the same validator. */
export function newerRun(kept: Run | undefined, shown: Run): Run {
  if (kept === undefined) return shown
  return equalBytes(kept.logId, shown.logId) && shown.counter > kept.counter ? shown : kept
}

/**
 * Why a validator must not vote, seeing what a peer has kept of it; undefined when it may.
 *
 * One counter with two nonces is two runs of one disk; a lower counter than ours is our past.
 */
export function contradiction(own: RunBody, kept: RunBody): string | undefined {
  if (!equalBytes(own.logId, kept.logId)) return "this key has voted with another log"
  if (kept.counter > own.counter) {
    return `this key has been started ${kept.counter} times, this disk knows of ${own.counter}`
  }
  if (kept.counter === own.counter && !equalBytes(kept.nonce, own.nonce)) {
    return `another machine was started with this key and a copy of this disk`
  }
  return undefined
}

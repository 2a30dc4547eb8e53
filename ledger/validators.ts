/**
 * The validators of one epoch: who may vote, how many votes decide, who leads a view (LEDGER §6).
 */

import { assert } from "../protocol/assert.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import type { ValidatorFacts } from "../protocol/identity.ts"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import { ED25519_KEY_BYTES, MLDSA44_KEY_BYTES, VALIDATORS_MAX } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { LedgerError } from "./errors.ts"

export interface ValidatorSet {
  readonly epoch: number
  /** In ascending order of rid; a validator's place here is its number in votes and bitmaps. */
  readonly validators: readonly ValidatorFacts[]
  /** Votes that decide: ⌈(n+f+1)/2⌉. */
  readonly quorum: number
  /** H(epoch): turns the order of leaders from epoch to epoch. */
  readonly rotation: number
  /** Identifies set and epoch; a sealing block names the next one by it. */
  readonly hash: Uint8Array
}

/** Looks up the validators of an epoch; undefined when it is not known here. */
export type ValidatorsOf = (epoch: number) => ValidatorSet | undefined

/** Validators out of n that may lie: ⌊(n-1)/3⌋. */
export function faultsOf(count: number): number {
  return Math.floor((count - 1) / 3)
}

/** Votes that decide among n: any two such sets share at least f+1 validators (§6.1). */
export function quorumOf(count: number): number {
  return Math.ceil((count + faultsOf(count) + 1) / 2)
}

/**
 * The set of an epoch, put in order of rid.
 *
 * @throws {@link LedgerError} `VALIDATORS_INVALID` for none or more than 16, for a rid or a key that
 * occurs twice, for a key of the wrong length.
 */
export function createValidatorSet(
  suite: Suite,
  epoch: number,
  validators: readonly ValidatorFacts[],
): ValidatorSet {
  const count = validators.length
  if (count < 1 || count > VALIDATORS_MAX) {
    invalid(epoch, `expected 1 … ${VALIDATORS_MAX} validators, got ${count}`)
  }
  const ordered = [...validators].sort((a, b) => a.rid - b.rid)
  checkDistinct(epoch, ordered)
  const label = labelBytes(LABELS.leader)
  const turned = new FieldWriter(label.length + 4).bytes(label).u32(epoch).finish()
  const rotation = new FieldReader(suite.sha256(turned), "leader hash").u32("rotation")
  const hash = suite.sha256(encodeSet(epoch, ordered))
  return { epoch, validators: ordered, quorum: quorumOf(count), rotation, hash }
}

/** Number of the validator that proposes in a view: (H(epoch) + view) mod n. */
export function leaderOf(set: ValidatorSet, view: number): number {
  assert(Number.isSafeInteger(view) && view >= 0, "a view is not a number of ours")
  const count = set.validators.length
  return ((set.rotation % count) + (view % count)) % count
}

/** Number of the validator with this consensus key; undefined for everybody else. */
export function validatorIndex(set: ValidatorSet, consensusKey: Uint8Array): number | undefined {
  const key = consensusKey.join()
  const index = set.validators.findIndex((validator) => validator.consensusKey.join() === key)
  return index === -1 ? undefined : index
}

/**
 * label ‖ epoch u32 ‖ n u8 ‖ (rid u16 ‖ consensus 32 ‖ log 32 ‖ cosigner 32 ‖ ML-DSA-44 1,312) × n
 */
function encodeSet(epoch: number, validators: readonly ValidatorFacts[]): Uint8Array {
  const label = labelBytes(LABELS.validatorSet)
  const each = 2 + 3 * ED25519_KEY_BYTES + MLDSA44_KEY_BYTES
  const writer = new FieldWriter(label.length + 4 + 1 + validators.length * each)
  writer.bytes(label).u32(epoch).u8(validators.length)
  for (const { rid, consensusKey, logKey, cosignerKey, cosignerPqKey } of validators) {
    writer.u16(rid).bytes(consensusKey).bytes(logKey).bytes(cosignerKey).bytes(cosignerPqKey)
  }
  return writer.finish()
}

function checkDistinct(epoch: number, validators: readonly ValidatorFacts[]): void {
  const seen = new Set<string>()
  for (const { rid, consensusKey, logKey, cosignerKey, cosignerPqKey } of validators) {
    for (const key of [consensusKey, logKey, cosignerKey]) {
      if (key.length !== ED25519_KEY_BYTES) {
        invalid(epoch, `validator ${rid}: expected a key of 32 bytes, got ${key.length}`)
      }
    }
    if (cosignerPqKey.length !== MLDSA44_KEY_BYTES) {
      const why = `expected an ML-DSA-44 key of ${MLDSA44_KEY_BYTES} bytes`
      invalid(epoch, `validator ${rid}: ${why}, got ${cosignerPqKey.length}`)
    }
    // A key that serves twice would let one signature pass for another (§6.1).
    const marks = [consensusKey, logKey, cosignerKey, cosignerPqKey].map((key) => key.join())
    for (const mark of [`rid ${rid}`, ...marks]) {
      if (seen.has(mark)) invalid(epoch, `validator ${rid}: its rid or a key occurs twice`)
      seen.add(mark)
    }
  }
}

function invalid(epoch: number, why: string): never {
  throw new LedgerError("VALIDATORS_INVALID", `validators of epoch ${epoch}: ${why}`)
}

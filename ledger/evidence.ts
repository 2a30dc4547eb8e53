/**
 * Proof that a validator broke its promises: two signed votes that no honest one makes both
 * (LEDGER §8.6).
 *
 * N/N' and F/F' are votes of one kind in one view for different blocks; X/F says of one view both
 * that it is void and that its block is final. Anybody who has the validators' keys checks it.
 * Legal, and no evidence: N(c) with X, and N(c) with F(c') in one view.
 */

import { compareBytes, equalBytes } from "../protocol/bytes.ts"
import { decode, encode } from "../protocol/codec.ts"
import { LABELS } from "../protocol/labels.ts"
import { EVIDENCE_BYTES_MAX, HASH_BYTES } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { votesOf, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import type { ValidatorSet } from "./validators.ts"
import { decodeVote, encodeVote, VOTE_BYTES, VOTE_KINDS, verifyVote, type Vote } from "./vote.ts"

/** In ascending order of kind, then of block hash. */
export interface Evidence {
  readonly first: Vote
  readonly second: Vote
}

/** True for two votes of one signer that no honest validator makes both. */
export function isConflict(a: Vote, b: Vote): boolean {
  if (a.signer !== b.signer || a.view !== b.view || a.epoch !== b.epoch) return false
  if (a.kind === b.kind) return a.kind !== "nullify" && !equalBytes(a.blockHash, b.blockHash)
  return a.kind !== "notarize" && b.kind !== "notarize"
}

/** Evidence of two conflicting votes, in the one order that it has. */
export function evidenceOf(a: Vote, b: Vote): Evidence {
  const order = VOTE_KINDS[a.kind] - VOTE_KINDS[b.kind] || compareBytes(a.blockHash, b.blockHash)
  return order < 0 ? { first: a, second: b } : { first: b, second: a }
}

/** [label, net, vote, vote]. */
export function encodeEvidence(net: Uint8Array, evidence: Evidence): Uint8Array {
  return encode([LABELS.evidence, net, encodeVote(evidence.first), encodeVote(evidence.second)])
}

/**
 * @throws ProtocolError `CODEC_*`; {@link LedgerError} `VOTE_INVALID`, `EVIDENCE_INVALID` for
 * another network, or votes that do not conflict or stand in the wrong order.
 */
export function decodeEvidence(bytes: Uint8Array, net: Uint8Array): Evidence {
  return decode(bytes, "evidence", EVIDENCE_BYTES_MAX, (reader) => {
    reader.array("evidence", 4)
    reader.label(LABELS.evidence)
    if (!equalBytes(reader.bytes("net", HASH_BYTES), net)) invalid("it is of another network")
    const first = decodeVote(reader.bytes("first vote", VOTE_BYTES))
    const second = decodeVote(reader.bytes("second vote", VOTE_BYTES))
    if (!isConflict(first, second)) invalid("its votes do not conflict")
    if (evidenceOf(first, second).first !== first) invalid("its votes stand in the wrong order")
    return { first, second }
  })
}

/** @throws {@link LedgerError} `VOTE_INVALID`, `VOTE_SIGNATURE`, `EVIDENCE_INVALID`. */
export function verifyEvidence(
  suite: Suite,
  chainId: Uint8Array,
  evidence: Evidence,
  validators: ValidatorSet,
): void {
  const { first, second } = evidence
  if (!isConflict(first, second)) invalid("its votes do not conflict")
  verifyVote(suite, chainId, first, validators)
  verifyVote(suite, chainId, second, validators)
}

/**
 * Evidence against everybody who signed two certificates that no honest validator signs both, one
 * for each culprit. Two conflicting final blocks give at least f+1 of them, from what the
 * validators on either side keep.
 */
export function culpritsOf(certificates: readonly Certificate[]): Evidence[] {
  const found = new Map<number, Evidence>()
  const seen = new Map<string, Vote[]>()
  for (const certificate of certificates) {
    for (const vote of votesOf(certificate)) {
      const slot = `${vote.epoch}/${vote.view}/${vote.signer}`
      const others = seen.get(slot) ?? []
      const other = others.find((one) => isConflict(one, vote))
      if (other !== undefined && !found.has(vote.signer)) {
        found.set(vote.signer, evidenceOf(other, vote))
      }
      seen.set(slot, [...others, vote])
    }
  }
  return [...found.values()].sort((a, b) => a.first.signer - b.first.signer)
}

function invalid(why: string): never {
  throw new LedgerError("EVIDENCE_INVALID", `evidence: ${why}`)
}

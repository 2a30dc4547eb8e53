/**
 * A quorum of equal votes: what makes a block notarized or final (LEDGER §7).
 *
 * kind u8 ‖ epoch u32 ‖ view u64 ‖ block_hash[32] ‖ bitmap u16 ‖ 64 bytes per signer, in ascending
 * order. Bit i of the bitmap (value 2^i) is validator i. It holds exactly the quorum, no more, and
 * certifies itself: who holds the validators of its epoch can check it, whoever brought it.
 */

import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import { ED25519_SIGNATURE_BYTES, HASH_BYTES, VALIDATORS_MAX } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { LedgerError } from "./errors.ts"
import type { ValidatorSet } from "./validators.ts"
import { readVoteBody, VOTE_KINDS, verifyVote, type VoteBody, type Vote } from "./vote.ts"

export interface Certificate extends VoteBody {
  /** Numbers of the validators that signed, ascending. */
  readonly signers: readonly number[]
  /** In the order of `signers`. */
  readonly signatures: readonly Uint8Array[]
}

const HEAD_BYTES = 1 + 4 + 8 + HASH_BYTES + 2

export const CERTIFICATE_BYTES_MAX: number = HEAD_BYTES + VALIDATORS_MAX * ED25519_SIGNATURE_BYTES

/**
 * Makes a certificate of verified votes for the same block and view; undefined while they are too
 * few.
 *
 * Takes the votes of the lowest numbers, so that the same votes give the same certificate.
 */
export function assembleCertificate(
  votes: readonly Vote[],
  validators: ValidatorSet,
): Certificate | undefined {
  const first = votes[0]
  if (first === undefined || votes.length < validators.quorum) return undefined
  const chosen = [...votes].sort((a, b) => a.signer - b.signer).slice(0, validators.quorum)
  for (const [i, vote] of chosen.entries()) {
    assert(vote.kind === first.kind && vote.view === first.view, "votes of different ballots")
    assert(equalBytes(vote.blockHash, first.blockHash), "votes for different blocks")
    assert(i === 0 || vote.signer !== chosen[i - 1]?.signer, "one validator's vote counted twice")
  }
  return {
    kind: first.kind,
    epoch: first.epoch,
    view: first.view,
    blockHash: first.blockHash,
    signers: chosen.map((vote) => vote.signer),
    signatures: chosen.map((vote) => vote.signature),
  }
}

/**
 * Checks a certificate against the validators of its epoch.
 *
 * Signatures are checked before signers are counted, so a forged vote never counts. Votes for which
 * `isKnown` holds were verified before, to the byte.
 *
 * @throws {@link LedgerError} `CERTIFICATE_INVALID` for another epoch, an unknown signer, or more
 * signers than the quorum; `CERTIFICATE_SIGNATURE`; `CERTIFICATE_BELOW_QUORUM`.
 */
export function verifyCertificate(
  suite: Suite,
  chainId: Uint8Array,
  certificate: Certificate,
  validators: ValidatorSet,
  isKnown: (vote: Vote) => boolean = () => false,
): void {
  const name = `${certificate.kind} certificate of view ${certificate.view}`
  if (certificate.epoch !== validators.epoch) {
    const why = `expected epoch ${validators.epoch}, got ${certificate.epoch}`
    throw new LedgerError("CERTIFICATE_INVALID", `${name}: ${why}`)
  }
  for (const vote of votesOf(certificate)) {
    if (validators.validators[vote.signer] === undefined) {
      const why = `no validator has number ${vote.signer}`
      throw new LedgerError("CERTIFICATE_INVALID", `${name}: ${why}`)
    }
    if (isKnown(vote)) continue
    try {
      verifyVote(suite, chainId, vote, validators)
    } catch (cause) {
      if (!(cause instanceof LedgerError)) throw cause
      const why = `signature of validator ${vote.signer} does not verify`
      throw new LedgerError("CERTIFICATE_SIGNATURE", `${name}: ${why}`, { cause })
    }
  }
  const count = certificate.signers.length
  const why = `expected ${validators.quorum} signers of ${validators.validators.length}, got ${count}`
  if (count < validators.quorum) {
    throw new LedgerError("CERTIFICATE_BELOW_QUORUM", `${name}: ${why}`)
  }
  if (count > validators.quorum) throw new LedgerError("CERTIFICATE_INVALID", `${name}: ${why}`)
}

/** One validator's vote in a certificate; undefined when it has none there. */
export function voteIn(certificate: Certificate, signer: number): Vote | undefined {
  const { kind, epoch, view, blockHash, signers, signatures } = certificate
  const signature = signatures[signers.indexOf(signer)]
  return signature && { kind, epoch, view, blockHash, signer, signature }
}

/** The votes that a certificate is made of. */
export function votesOf(certificate: Certificate): Vote[] {
  const { kind, epoch, view, blockHash, signers, signatures } = certificate
  assert(signers.length === signatures.length, "a certificate lost a signature")
  return signatures.map((signature, i) => {
    return { kind, epoch, view, blockHash, signer: signers[i] ?? VALIDATORS_MAX, signature }
  })
}

export function encodeCertificate(certificate: Certificate): Uint8Array {
  let bitmap = 0
  for (const signer of certificate.signers) bitmap |= 1 << signer
  const length = HEAD_BYTES + certificate.signatures.length * ED25519_SIGNATURE_BYTES
  const writer = new FieldWriter(length)
    .u8(VOTE_KINDS[certificate.kind])
    .u32(certificate.epoch)
    .u64(certificate.view)
    .bytes(certificate.blockHash)
    .u16(bitmap)
  for (const signature of certificate.signatures) writer.bytes(signature)
  return writer.finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `VOTE_INVALID`. */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  const reader = new FieldReader(bytes, "certificate")
  const certificate = readCertificate(reader)
  reader.end()
  return certificate
}

/** A certificate in front of something else; its bitmap says where it ends. */
export function readCertificate(reader: FieldReader): Certificate {
  const body = readVoteBody(reader)
  const bitmap = reader.u16("bitmap")
  const signers: number[] = []
  for (let i = 0; i < VALIDATORS_MAX; i++) if (((bitmap >> i) & 1) === 1) signers.push(i)
  const signatures = signers.map(() => reader.bytes("signature", ED25519_SIGNATURE_BYTES))
  return { ...body, signers, signatures }
}

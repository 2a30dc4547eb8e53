/**
 * One receipt: what an addressee says about an envelope (PROTOCOL §9.1).
 *
 * A receipt stands for its mission once it is under the root that the mission's duty key signed
 * (receipt-batch.ts). Where an officer read, acted or acknowledged, it may also hold that officer's
 * own signature, over the receipt with the signature field empty.
 *
 * A receipt proves that bytes were there and were opened, never that a mind took them in.
 */

import { decode, encode, type Reader } from "./codec.ts"
import { verifyComposite } from "./composite.ts"
import { U16_MAX } from "./core.ts"
import { ProtocolError } from "./errors.ts"
import type { CompositeSigner } from "./keys.ts"
import { LABELS } from "./labels.ts"
import { COMPOSITE_SIGNATURE_BYTES, HASH_BYTES, RECEIPT_BYTES_MAX } from "./limits.ts"
import type { OfficerKey } from "./release.ts"
import type { Suite } from "./suite.ts"
import { RECEIPT_REASONS, RECEIPT_STAGES, type ReceiptReason, type ReceiptStage } from "./words.ts"

const NOTHING = new Uint8Array(0)

/** Stages that a person reaches; a machine reaches the others. */
const OFFICER_STAGES: readonly ReceiptStage[] = ["read", "acted", "acknowledged"]

/** Who read, acted or acknowledged, with the signature that shows it. */
export interface ReceiptOfficer {
  /** Key id, 32 bytes. */
  readonly kid: Uint8Array
  /** Composite over {@link receiptStatement}, 3,373 bytes. */
  readonly signature: Uint8Array
}

export interface Receipt {
  readonly net: Uint8Array
  /** The envelope that it is about. */
  readonly cableId: Uint8Array
  /** The mission that issues it, u16. */
  readonly issuer: number
  readonly stage: ReceiptStage
  /** Why, for a `nack`; `none` for every other stage. */
  readonly reason: ReceiptReason
  /** When it happened, by the issuer's clock, Unix ms. */
  readonly atMs: number
  /**
   * {@link hashReceipt} of the issuer's receipt before this one about the envelope; zero for none.
   */
  readonly priorHash: Uint8Array
  readonly officer: ReceiptOfficer | undefined
}

/** The priorHash of a first receipt. */
export const NO_PRIOR_RECEIPT: Uint8Array = new Uint8Array(HASH_BYTES)

/** About 160 bytes, or 3.6 KB with an officer's signature. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const { officer } = receipt
  return encodeFields(receipt, officer?.kid ?? NOTHING, officer?.signature ?? NOTHING)
}

/** What the officer signs under the context "TB1/rcpt/one": the receipt, its last field empty. */
export function receiptStatement(
  receipt: Omit<Receipt, "officer">,
  officerKid: Uint8Array,
): Uint8Array {
  return encodeFields(receipt, officerKid, NOTHING)
}

function encodeFields(
  receipt: Omit<Receipt, "officer">,
  officerKid: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return encode([
    LABELS.receipt,
    receipt.net,
    receipt.cableId,
    receipt.issuer,
    RECEIPT_STAGES.code(receipt.stage),
    RECEIPT_REASONS.code(receipt.reason),
    receipt.atMs,
    receipt.priorHash,
    officerKid,
    signature,
  ])
}

/** A receipt with an officer's signature on it. */
export function signReceipt(
  receipt: Omit<Receipt, "officer">,
  officerKid: Uint8Array,
  sign: CompositeSigner,
): Receipt {
  const signature = sign(LABELS.receipt, receiptStatement(receipt, officerKid))
  return { ...receipt, officer: { kid: officerKid, signature } }
}

/**
 * Reads a receipt; an officer's signature is not checked yet.
 *
 * @throws {@link ProtocolError} `CODEC_*`; `RECEIPT_INVALID` for a nack without a reason, a reason
 * without a nack, half an officer, or an officer where a machine speaks.
 */
export function decodeReceipt(bytes: Uint8Array): Receipt {
  return decode(bytes, "receipt", RECEIPT_BYTES_MAX, (reader) => {
    reader.array("receipt", 10)
    reader.label(LABELS.receipt)
    const receipt: Receipt = {
      net: reader.bytes("net", HASH_BYTES),
      cableId: reader.bytes("cableId", HASH_BYTES),
      issuer: reader.uint("issuer", U16_MAX),
      stage: RECEIPT_STAGES.read(reader, "stage"),
      reason: RECEIPT_REASONS.read(reader, "reason"),
      atMs: reader.uint("atMs"),
      priorHash: reader.bytes("priorHash", HASH_BYTES),
      officer: readOfficer(reader),
    }
    checkReceipt(receipt)
    return receipt
  })
}

function readOfficer(reader: Reader): ReceiptOfficer | undefined {
  const kid = reader.bytesUpTo("officerKid", HASH_BYTES)
  const signature = reader.bytesUpTo("officer signature", COMPOSITE_SIGNATURE_BYTES)
  if (kid.length === 0 && signature.length === 0) return undefined
  if (kid.length !== HASH_BYTES || signature.length !== COMPOSITE_SIGNATURE_BYTES) {
    const sizes = `${kid.length} and ${signature.length} bytes`
    reader.fail("RECEIPT_INVALID", "officer", `expected a key id and a signature, got ${sizes}`)
  }
  return { kid, signature }
}

/** The rules of a receipt that hold whoever made it; see {@link decodeReceipt} for the error. */
export function checkReceipt(receipt: Receipt): void {
  if ((receipt.stage === "nack") !== (receipt.reason !== "none")) {
    refuse(`stage ${receipt.stage} with reason ${receipt.reason}`)
  }
  if (receipt.officer !== undefined && !OFFICER_STAGES.includes(receipt.stage)) {
    refuse(`an officer signed stage ${receipt.stage}, which a machine reaches`)
  }
}

/** The name by which the next receipt about the same envelope refers to this one. */
export function hashReceipt(suite: Suite, receipt: Uint8Array): Uint8Array {
  return suite.sha256(receipt)
}

/**
 * Checks the officer's signature on a receipt, if it has one.
 *
 * @throws {@link ProtocolError} `DIRECTORY_UNKNOWN`, `RECEIPT_INVALID` for an officer of another
 * mission, `SIGNATURE_INVALID`.
 */
export function verifyReceiptOfficer(
  suite: Suite,
  receipt: Receipt,
  officerKeyOf: (kid: Uint8Array) => OfficerKey | undefined,
): void {
  if (receipt.officer === undefined) return
  const { kid, signature } = receipt.officer
  const officer = officerKeyOf(kid)
  if (officer === undefined) {
    const why = `no such officer of mission ${receipt.issuer}`
    throw new ProtocolError("DIRECTORY_UNKNOWN", `receipt: ${why}`)
  }
  if (officer.rid !== receipt.issuer) {
    refuse(`issued by mission ${receipt.issuer}, signed by an officer of mission ${officer.rid}`)
  }
  const statement = receiptStatement(receipt, kid)
  verifyComposite(suite, officer.publicKey, LABELS.receipt, statement, signature)
}

function refuse(why: string): never {
  throw new ProtocolError("RECEIPT_INVALID", `receipt: ${why}`)
}

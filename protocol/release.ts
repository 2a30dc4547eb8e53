/**
 * The release of a cable by its officers: what they sign, the record that travels inside the
 * envelope, and the rules by which a recipient accepts it (PROTOCOL §6).
 *
 * Officers sign hashes of the recipients and of the content under salts of their own, so the record
 * can be opened to an auditor and proves two distinct officers without showing either. A drafter
 * can sign before the envelope exists. A recipient accepts a draftId once per sender; the caller
 * keeps that list.
 */

import { compareBytes, concatBytes } from "./bytes.ts"
import { decode, encode, type Reader } from "./codec.ts"
import { isCompositeValid } from "./composite.ts"
import { ProtocolError } from "./errors.ts"
import type { OfficerRole } from "./identity.ts"
import type { Recipient } from "./inner.ts"
import type { CompositeSigner } from "./keys.ts"
import { LABELS, labelBytes } from "./labels.ts"
import {
  COMPOSITE_SIGNATURE_BYTES,
  HASH_BYTES,
  RELEASE_BYTES_MAX,
  RELEASE_SIGNATURES_MAX,
} from "./limits.ts"
import type { RandomSource, Suite } from "./suite.ts"
import {
  CLASSIFICATIONS,
  classificationRank,
  highestPrecedence,
  KINDS,
  PRECEDENCES,
  precedenceRank,
  RECIPIENT_ROLES,
  RELEASE_ROLES,
  type BodyType,
  type Classification,
  type Kind,
  type Precedence,
  type ReleaseRole,
} from "./words.ts"

/** What is fixed when a draft is made; every officer signs it. */
export interface ReleaseDraft {
  /** Random, 32 bytes. */
  readonly draftId: Uint8Array
  /** Random, 32 bytes; hides the recipients from whoever sees only the record. */
  readonly recipientsSalt: Uint8Array
  /** Random, 32 bytes; hides the content likewise. */
  readonly contentSalt: Uint8Array
  readonly classification: Classification
}

export interface ReleaseSignature {
  readonly role: ReleaseRole
  /** Key id of the officer, 32 bytes. */
  readonly officerKid: Uint8Array
  /** Composite, 3,373 bytes. */
  readonly signature: Uint8Array
}

/** The draft and 1 … 4 signatures, sorted by role, then by key id. */
export interface ReleaseRecord extends ReleaseDraft {
  readonly signatures: readonly ReleaseSignature[]
}

/** What is released; the record only commits to it. */
export interface ReleaseFacts {
  readonly net: Uint8Array
  readonly bodyType: BodyType
  readonly kind: Kind
  readonly sender: number
  /** In any order. */
  readonly recipients: readonly Recipient[]
  /** The encoded content. */
  readonly content: Uint8Array
}

/** An officer as the directory certifies it. */
export interface OfficerKey {
  readonly publicKey: Uint8Array
  /** The officer's mission. */
  readonly rid: number
  readonly roles: readonly OfficerRole[]
}

/** From where on a cable needs a drafter and a releaser; `never` switches a threshold off. */
export interface ReleasePolicy {
  readonly twoPersonFromPrecedence: Precedence | "never"
  readonly twoPersonFromClassification: Classification | "never"
}

/** A new draft with fresh salts. */
export function draftRelease(classification: Classification, random: RandomSource): ReleaseDraft {
  return {
    draftId: random(HASH_BYTES),
    recipientsSalt: random(HASH_BYTES),
    contentSalt: random(HASH_BYTES),
    classification,
  }
}

/** Signs a draft in one role. */
export function signRelease(
  suite: Suite,
  draft: ReleaseDraft,
  facts: ReleaseFacts,
  role: ReleaseRole,
  officerKid: Uint8Array,
  sign: CompositeSigner,
): ReleaseSignature {
  const statement = releaseStatement(suite, draft, facts, role)
  return { role, officerKid, signature: sign(LABELS.release, statement) }
}

/** Puts draft and signatures together, in the order of the wire. */
export function releaseRecord(
  draft: ReleaseDraft,
  signatures: readonly ReleaseSignature[],
): ReleaseRecord {
  return { ...draft, signatures: signatures.toSorted(compareSignatures) }
}

/** What an officer signs under the context "TB1/release". */
export function releaseStatement(
  suite: Suite,
  draft: ReleaseDraft,
  facts: ReleaseFacts,
  role: ReleaseRole,
): Uint8Array {
  const sorted = facts.recipients.toSorted((a, b) => a.rid - b.rid)
  const recipients = encode(
    sorted.map((one) => [
      one.rid,
      RECIPIENT_ROLES.code(one.role),
      PRECEDENCES.code(one.precedence),
    ]),
  )
  return encode([
    LABELS.release,
    RELEASE_ROLES.code(role),
    facts.net,
    KINDS.code(facts.kind),
    facts.sender,
    draft.draftId,
    suite.sha256(concatBytes(draft.recipientsSalt, recipients)),
    suite.sha256(concatBytes(draft.contentSalt, suite.sha256(facts.content))),
    CLASSIFICATIONS.code(draft.classification),
  ])
}

/** 3.6 KB for one signature, 7 KB for two. */
export function encodeRelease(record: ReleaseRecord): Uint8Array {
  return encode([
    record.draftId,
    record.recipientsSalt,
    record.contentSalt,
    CLASSIFICATIONS.code(record.classification),
    record.signatures.map((one) => [RELEASE_ROLES.code(one.role), one.officerKid, one.signature]),
  ])
}

/**
 * Reads a release record.
 *
 * @throws {@link ProtocolError} `CODEC_*`; `CODEC_ORDER` when the signatures are not strictly sorted.
 */
export function decodeRelease(bytes: Uint8Array): ReleaseRecord {
  return decode(bytes, "release record", RELEASE_BYTES_MAX, (reader) => {
    reader.array("record", 5)
    let previous: ReleaseSignature | undefined
    const readSignature = (): ReleaseSignature => {
      const signature = readOne(reader)
      if (previous !== undefined && compareSignatures(previous, signature) >= 0) {
        reader.fail("CODEC_ORDER", "signatures", "not strictly sorted by role and officer")
      }
      previous = signature
      return signature
    }
    return {
      draftId: reader.bytes("draftId", HASH_BYTES),
      recipientsSalt: reader.bytes("recipientsSalt", HASH_BYTES),
      contentSalt: reader.bytes("contentSalt", HASH_BYTES),
      classification: CLASSIFICATIONS.read(reader, "classification"),
      signatures: reader.list("signatures", RELEASE_SIGNATURES_MAX, readSignature, 1),
    }
  })
}

function readOne(reader: Reader): ReleaseSignature {
  reader.array("signature", 3)
  return {
    role: RELEASE_ROLES.read(reader, "role"),
    officerKid: reader.bytes("officerKid", HASH_BYTES),
    signature: reader.bytes("signature", COMPOSITE_SIGNATURE_BYTES),
  }
}

function compareSignatures(a: ReleaseSignature, b: ReleaseSignature): number {
  const roles = RELEASE_ROLES.code(a.role) - RELEASE_ROLES.code(b.role)
  return roles === 0 ? compareBytes(a.officerKid, b.officerKid) : roles
}

/** The key that blinds a record in the header; handed to an auditor with the record. */
export function releaseKey(suite: Suite, secret: Uint8Array, coreHash: Uint8Array): Uint8Array {
  return suite.hkdfExpand(secret, concatBytes(labelBytes(LABELS.release), coreHash), HASH_BYTES)
}

/** What the header holds of a release: SHA-256({@link releaseKey} ‖ record bytes). */
export function releaseCommitment(suite: Suite, key: Uint8Array, record: Uint8Array): Uint8Array {
  return suite.sha256(concatBytes(key, record))
}

/** True when policy asks for a drafter and a releaser. */
export function needsTwoOfficers(
  policy: ReleasePolicy,
  precedence: Precedence,
  classification: Classification,
): boolean {
  const { twoPersonFromPrecedence, twoPersonFromClassification } = policy
  return (
    (twoPersonFromPrecedence !== "never" &&
      precedenceRank(precedence) >= precedenceRank(twoPersonFromPrecedence)) ||
    (twoPersonFromClassification !== "never" &&
      classificationRank(classification) >= classificationRank(twoPersonFromClassification))
  )
}

/**
 * Checks a release as every recipient must, and as the sender does before it seals.
 *
 * All signatures in the record must be good, from distinct officers of the sending mission whose
 * roles fit. Where policy asks for two, one must be a drafter's and one a releaser's, unless the
 * envelope's break-glass flag is set. A signal needs one officer. `officerKeyOf` answers for the
 * directory at the height that the caller judges by.
 *
 * @throws {@link ProtocolError} `RELEASE_INVALID`.
 */
export function verifyRelease(
  suite: Suite,
  record: ReleaseRecord,
  facts: ReleaseFacts & { readonly breakGlass: boolean },
  officerKeyOf: (kid: Uint8Array) => OfficerKey | undefined,
  policy: ReleasePolicy,
): void {
  // The cheap rules stand before the signatures.
  const signed = record.signatures.map((signature) => ({
    signature,
    officer: officerOf(signature, facts, officerKeyOf),
  }))
  const kids = record.signatures.map((one) => one.officerKid).toSorted(compareBytes)
  for (const [index, kid] of kids.entries()) {
    const next = kids[index + 1]
    if (next !== undefined && compareBytes(kid, next) === 0) refuse("one officer signed twice")
  }
  const precedence = highestPrecedence(facts.recipients.map((one) => one.precedence))
  const roles = new Set(record.signatures.map((one) => one.role))
  const mustBeTwo =
    facts.bodyType !== "signal" &&
    !facts.breakGlass &&
    needsTwoOfficers(policy, precedence, record.classification)
  if (mustBeTwo && roles.size < 2) {
    refuse(`${precedence}, ${record.classification}: expected a drafter and a releaser, got one`)
  }
  for (const { signature, officer } of signed) {
    const statement = releaseStatement(suite, record, facts, signature.role)
    const { publicKey } = officer
    if (!isCompositeValid(suite, publicKey, LABELS.release, statement, signature.signature)) {
      const what = "this content and these recipients"
      refuse(`the ${signature.role}'s signature does not match ${what}`)
    }
  }
}

function officerOf(
  signature: ReleaseSignature,
  facts: ReleaseFacts,
  officerKeyOf: (kid: Uint8Array) => OfficerKey | undefined,
): OfficerKey {
  const officer = officerKeyOf(signature.officerKid)
  if (officer === undefined) return refuse(`the ${signature.role} is not in the directory`)
  if (officer.rid !== facts.sender) {
    refuse(`the ${signature.role} belongs to mission ${officer.rid}, not to ${facts.sender}`)
  }
  const fitting: readonly OfficerRole[] =
    facts.bodyType === "signal" ? ["duty", "drafter", "releaser"] : [signature.role]
  if (!officer.roles.some((role) => fitting.includes(role))) {
    refuse(`an officer without the role signed as ${signature.role}`)
  }
  return officer
}

function refuse(why: string): never {
  throw new ProtocolError("RELEASE_INVALID", `release record: ${why}`)
}

/**
 * Certificates of missions, officers and validators: what they hold, and the proofs that their
 * makers possess the keys (PROTOCOL §4).
 *
 * A mission makes its keys on its own machine and puts the public halves into a request. Admission
 * by governance makes the request the mission's certificate; its officers are certified with it,
 * by the signature of the mission's identity key over the list.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { concatBytes, equalBytes } from "./bytes.ts"
import { decode, encode, type Reader } from "./codec.ts"
import { isCompositeValid } from "./composite.ts"
import { ProtocolError } from "./errors.ts"
import type { CompositeSigner } from "./keys.ts"
import { LABELS, labelBytes } from "./labels.ts"
import * as limits from "./limits.ts"
import type { Suite } from "./suite.ts"
import { CLASSIFICATIONS } from "./words.ts"

/** What an officer may do; a certificate holds any set of them. */
export const OFFICER_ROLES = [
  "drafter",
  "releaser",
  "cipher",
  "duty",
  "auditor",
  "administrator",
] as const
export type OfficerRole = (typeof OFFICER_ROLES)[number]

export interface Officer {
  readonly name: string
  readonly roles: readonly OfficerRole[]
  /** Highest classification this officer may handle, 0 (unclassified) … 4 (top secret). */
  readonly clearance: number
  /** Composite, 1,984 bytes. */
  readonly publicKey: Uint8Array
}

/** A certified officer as it stands in a request: the officer and its proof of possession. */
export interface OfficerCertificate extends Officer {
  readonly possession: Uint8Array
}

/** The public facts of a mission: its certificate once it is admitted. */
export interface MissionFacts {
  /** Chain id of the network, or the genesis nonce for the founding missions. */
  readonly net: Uint8Array
  /** Upper-case letters and digits, 2 … 8 of them. */
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  /** IK, composite: certifies officers and replacements. */
  readonly identityKey: Uint8Array
  /** SK, composite: signs envelopes, receipts and epoch keys. */
  readonly signingKey: Uint8Array
  /** TK, Ed25519: the libp2p identity; the handshake is its proof of possession. */
  readonly transportKey: Uint8Array
  /** Ed25519: signs ledger batches. */
  readonly submitKey: Uint8Array
  /** Ed25519, cosignature 0x04. */
  readonly witnessKey: Uint8Array
  /** ML-DSA-44, cosignature 0x06. */
  readonly witnessPqKey: Uint8Array
  /** Multiaddrs where the node can be dialled; may be empty. */
  readonly addresses: readonly string[]
  readonly officers: readonly OfficerCertificate[]
  readonly createdMs: number
}

/** Private halves that sign a request. */
export interface MissionSigners {
  readonly identity: CompositeSigner
  readonly signing: CompositeSigner
  readonly submit: (message: Uint8Array) => Uint8Array
  readonly witness: (message: Uint8Array) => Uint8Array
  readonly witnessPq: (message: Uint8Array) => Uint8Array
}

const VERSION = 1
const CODE_PATTERN = /^[A-Z][A-Z0-9]{1,7}$/

/** True for a well-formed mission code: a capital letter, then 1 … 7 capitals or digits. */
export function isMissionCode(text: string): boolean {
  return CODE_PATTERN.test(text)
}

/** Message by which an officer proves possession and binds name, roles and mission to the key. */
export function officerStatement(net: Uint8Array, code: string, officer: Officer): Uint8Array {
  const roles = encodeRoles(officer.roles)
  return encode([
    LABELS.officer,
    net,
    code,
    officer.name,
    roles,
    officer.clearance,
    officer.publicKey,
  ])
}

/** Encodes and signs a request: [facts, IK, SK, submit, witness, witness-PQ signatures]. */
export function signMissionRequest(
  suite: Suite,
  facts: MissionFacts,
  signers: MissionSigners,
): Uint8Array {
  const body = encodeFacts(facts)
  const digest = suite.sha256(body)
  const prove = (role: string): Uint8Array => possessionMessage(role, digest)
  return encode([
    body,
    signers.identity(LABELS.missionRequest, digest),
    signers.signing(LABELS.possession, prove("signing")),
    signers.submit(prove("submit")),
    signers.witness(prove("witness")),
    signers.witnessPq(prove("witness-pq")),
  ])
}

/**
 * Decodes a request and checks every signature in it.
 *
 * @throws ProtocolError `CODEC_*` for malformed bytes, `CERTIFICATE_INVALID` naming the key whose
 * proof fails, for a repeated officer or key, or when the request is for another network than
 * `net`.
 */
export function verifyMissionRequest(
  suite: Suite,
  bytes: Uint8Array,
  net: Uint8Array,
): MissionFacts {
  const request = decodeRequest(bytes)
  const facts = decodeFacts(request.body)
  if (!equalBytes(facts.net, net)) {
    throw new ProtocolError("CERTIFICATE_INVALID", "mission request is for another network")
  }
  const digest = suite.sha256(request.body)
  const demand = (valid: boolean, key: string): void => {
    if (valid) return
    throw new ProtocolError("CERTIFICATE_INVALID", `mission ${facts.code}: ${key} proof is wrong`)
  }
  const prove = (role: string): Uint8Array => possessionMessage(role, digest)
  demand(
    isCompositeValid(
      suite,
      facts.identityKey,
      LABELS.missionRequest,
      digest,
      request.identitySignature,
    ),
    "identity key",
  )
  demand(
    isCompositeValid(
      suite,
      facts.signingKey,
      LABELS.possession,
      prove("signing"),
      request.signingSignature,
    ),
    "signing key",
  )
  demand(
    suite.ed25519Verify(facts.submitKey, prove("submit"), request.submitSignature),
    "submit key",
  )
  demand(
    suite.ed25519Verify(facts.witnessKey, prove("witness"), request.witnessSignature),
    "witness key",
  )
  const pq = request.witnessPqSignature
  demand(
    suite.mldsaVerify(44, facts.witnessPqKey, prove("witness-pq"), new Uint8Array(0), pq),
    "post-quantum witness key",
  )
  for (const officer of facts.officers) {
    const statement = officerStatement(facts.net, facts.code, officer)
    const valid = isCompositeValid(
      suite,
      officer.publicKey,
      LABELS.officer,
      statement,
      officer.possession,
    )
    demand(valid, `officer ${officer.name}`)
  }
  return facts
}

/** True when one key stands in both certificates, in whatever role. */
export function hasSharedKey(a: MissionFacts, b: MissionFacts): boolean {
  const marks = new Set(missionKeyMarks(a))
  return missionKeyMarks(b).some((mark) => marks.has(mark))
}

/** The last 32 bytes tell keys apart; of a composite key they are its whole Ed25519 half. */
export function keyMark(key: Uint8Array): string {
  return bytesToHex(key.subarray(-32))
}

/** Marks of all of a mission's keys, its officers' included. */
export function missionKeyMarks(facts: MissionFacts): string[] {
  const officers = facts.officers.map((officer) => officer.publicKey)
  const { identityKey, signingKey, transportKey, submitKey, witnessKey, witnessPqKey } = facts
  const keys = [identityKey, signingKey, transportKey, submitKey, witnessKey, witnessPqKey]
  return [...keys, ...officers].map(keyMark)
}

function hasRepeat(names: readonly string[]): boolean {
  return new Set(names).size !== names.length
}

/** What a key signs to prove possession: label ‖ its role ‖ NUL ‖ digest of what names it. */
export function possessionMessage(role: string, digest: Uint8Array): Uint8Array {
  return concatBytes(labelBytes(LABELS.possession), new TextEncoder().encode(`/${role}\0`), digest)
}

// --- validators -----------------------------------------------------------------------------

/** The four keys of a validator (LEDGER §6.2). */
export interface ValidatorFacts {
  readonly rid: number
  readonly consensusKey: Uint8Array
  /** Ed25519, checkpoint signature 0x01; its key name is the log's origin. */
  readonly logKey: Uint8Array
  /** Ed25519, cosignature 0x04. */
  readonly cosignerKey: Uint8Array
  /** ML-DSA-44, cosignature 0x06. */
  readonly cosignerPqKey: Uint8Array
}

/** Marks of the four keys, as {@link keyMark}. */
export function validatorKeyMarks(facts: ValidatorFacts): string[] {
  return [facts.consensusKey, facts.logKey, facts.cosignerKey, facts.cosignerPqKey].map(keyMark)
}

export interface ValidatorSigners {
  readonly consensus: (message: Uint8Array) => Uint8Array
  readonly log: (message: Uint8Array) => Uint8Array
  readonly cosigner: (message: Uint8Array) => Uint8Array
  readonly cosignerPq: (message: Uint8Array) => Uint8Array
}

/** Encodes a validator with proofs of possession bound to `net` (the nonce, in a genesis). */
export function signValidator(
  suite: Suite,
  net: Uint8Array,
  facts: ValidatorFacts,
  signers: ValidatorSigners,
): Uint8Array {
  const body = encodeValidator(net, facts)
  const digest = suite.sha256(body)
  return encode([
    body,
    signers.consensus(possessionMessage("consensus", digest)),
    signers.log(possessionMessage("log", digest)),
    signers.cosigner(possessionMessage("cosigner", digest)),
    signers.cosignerPq(possessionMessage("cosigner-pq", digest)),
  ])
}

/** @throws ProtocolError `CERTIFICATE_INVALID` for a wrong proof, a repeated key or another net. */
export function verifyValidator(suite: Suite, bytes: Uint8Array, net: Uint8Array): ValidatorFacts {
  const record = decode(bytes, "validator", limits.REQUEST_BYTES_MAX, (reader) => {
    reader.array("validator", 5)
    return {
      body: reader.bytesUpTo("body", limits.VALIDATOR_BYTES_MAX),
      consensus: reader.bytes("consensus proof", limits.ED25519_SIGNATURE_BYTES),
      log: reader.bytes("log proof", limits.ED25519_SIGNATURE_BYTES),
      cosigner: reader.bytes("cosigner proof", limits.ED25519_SIGNATURE_BYTES),
      cosignerPq: reader.bytes("cosigner-pq proof", limits.MLDSA44_SIGNATURE_BYTES),
    }
  })
  const facts = decodeValidator(record.body, net)
  const digest = suite.sha256(record.body)
  const ed25519 = (role: string, key: Uint8Array, proof: Uint8Array): boolean =>
    suite.ed25519Verify(key, possessionMessage(role, digest), proof)
  const pqMessage = possessionMessage("cosigner-pq", digest)
  const valid =
    ed25519("consensus", facts.consensusKey, record.consensus) &&
    ed25519("log", facts.logKey, record.log) &&
    ed25519("cosigner", facts.cosignerKey, record.cosigner) &&
    suite.mldsaVerify(44, facts.cosignerPqKey, pqMessage, new Uint8Array(0), record.cosignerPq)
  if (!valid) {
    throw new ProtocolError("CERTIFICATE_INVALID", `validator ${facts.rid}: a proof is wrong`)
  }
  return facts
}

// --- encodings ------------------------------------------------------------------------------

function encodeFacts(facts: MissionFacts): Uint8Array {
  return encode([
    LABELS.missionRequest,
    VERSION,
    facts.net,
    facts.code,
    facts.nameEn,
    facts.nameBn,
    facts.identityKey,
    facts.signingKey,
    facts.transportKey,
    facts.submitKey,
    facts.witnessKey,
    facts.witnessPqKey,
    facts.addresses,
    facts.officers.map((officer) => [
      officer.name,
      encodeRoles(officer.roles),
      officer.clearance,
      officer.publicKey,
      officer.possession,
    ]),
    facts.createdMs,
  ])
}

function decodeFacts(bytes: Uint8Array): MissionFacts {
  return decode(bytes, "mission facts", limits.REQUEST_BYTES_MAX, (reader) => {
    reader.array("facts", 15)
    reader.label(LABELS.missionRequest)
    readVersion(reader, VERSION)
    const net = reader.bytes("net", limits.HASH_BYTES)
    const code = reader.text("code", limits.MISSION_CODE_BYTES_MAX)
    if (!isMissionCode(code)) reader.fail("CERTIFICATE_INVALID", "code", "not a mission code")
    const facts = {
      net,
      code,
      nameEn: reader.text("nameEn", limits.MISSION_NAME_BYTES_MAX, 1),
      nameBn: reader.text("nameBn", limits.MISSION_NAME_BYTES_MAX),
      identityKey: reader.bytes("identityKey", limits.COMPOSITE_KEY_BYTES),
      signingKey: reader.bytes("signingKey", limits.COMPOSITE_KEY_BYTES),
      transportKey: reader.bytes("transportKey", limits.ED25519_KEY_BYTES),
      submitKey: reader.bytes("submitKey", limits.ED25519_KEY_BYTES),
      witnessKey: reader.bytes("witnessKey", limits.ED25519_KEY_BYTES),
      witnessPqKey: reader.bytes("witnessPqKey", limits.MLDSA44_KEY_BYTES),
      addresses: reader.list("addresses", limits.MISSION_ADDRESSES_MAX, () =>
        reader.text("address", limits.MISSION_ADDRESS_BYTES_MAX, 1),
      ),
      officers: reader.list("officers", limits.OFFICERS_PER_REQUEST_MAX, () => readOfficer(reader)),
      createdMs: reader.uint("createdMs"),
    }
    if (hasRepeat(facts.officers.map((officer) => officer.name))) {
      reader.fail("CERTIFICATE_INVALID", "officers", "a name stands twice")
    }
    if (hasRepeat(missionKeyMarks(facts))) {
      reader.fail("CERTIFICATE_INVALID", "keys", "one key stands twice")
    }
    return facts
  })
}

function readOfficer(reader: Reader): OfficerCertificate {
  reader.array("officer", 5)
  const name = reader.text("officer name", limits.OFFICER_NAME_BYTES_MAX, 1)
  const bits = reader.uint("roles", 2 ** OFFICER_ROLES.length - 1)
  return {
    name,
    roles: OFFICER_ROLES.filter((_, index) => (bits & (1 << index)) !== 0),
    clearance: reader.uint("clearance", CLASSIFICATIONS.list.length - 1),
    publicKey: reader.bytes("officer key", limits.COMPOSITE_KEY_BYTES),
    possession: reader.bytes("officer proof", limits.COMPOSITE_SIGNATURE_BYTES),
  }
}

function encodeRoles(roles: readonly OfficerRole[]): number {
  return roles.reduce((bits, role) => bits | (1 << OFFICER_ROLES.indexOf(role)), 0)
}

interface SignedRequest {
  readonly body: Uint8Array
  readonly identitySignature: Uint8Array
  readonly signingSignature: Uint8Array
  readonly submitSignature: Uint8Array
  readonly witnessSignature: Uint8Array
  readonly witnessPqSignature: Uint8Array
}

function decodeRequest(bytes: Uint8Array): SignedRequest {
  return decode(bytes, "mission request", limits.REQUEST_BYTES_MAX, (reader) => {
    reader.array("request", 6)
    return {
      body: reader.bytesUpTo("facts", limits.REQUEST_BYTES_MAX),
      identitySignature: reader.bytes("identity signature", limits.COMPOSITE_SIGNATURE_BYTES),
      signingSignature: reader.bytes("signing proof", limits.COMPOSITE_SIGNATURE_BYTES),
      submitSignature: reader.bytes("submit proof", limits.ED25519_SIGNATURE_BYTES),
      witnessSignature: reader.bytes("witness proof", limits.ED25519_SIGNATURE_BYTES),
      witnessPqSignature: reader.bytes("witness-pq proof", limits.MLDSA44_SIGNATURE_BYTES),
    }
  })
}

function encodeValidator(net: Uint8Array, facts: ValidatorFacts): Uint8Array {
  return encode([
    LABELS.validator,
    net,
    facts.rid,
    facts.consensusKey,
    facts.logKey,
    facts.cosignerKey,
    facts.cosignerPqKey,
  ])
}

function decodeValidator(bytes: Uint8Array, net: Uint8Array): ValidatorFacts {
  return decode(bytes, "validator facts", limits.VALIDATOR_BYTES_MAX, (reader) => {
    reader.array("validator facts", 7)
    reader.label(LABELS.validator)
    const foundNet = reader.bytes("net", limits.HASH_BYTES)
    if (!equalBytes(foundNet, net)) {
      reader.fail("CERTIFICATE_INVALID", "net", "validator of another network")
    }
    const facts = {
      rid: reader.uint("rid", 0xffff),
      consensusKey: reader.bytes("consensusKey", limits.ED25519_KEY_BYTES),
      logKey: reader.bytes("logKey", limits.ED25519_KEY_BYTES),
      cosignerKey: reader.bytes("cosignerKey", limits.ED25519_KEY_BYTES),
      cosignerPqKey: reader.bytes("cosignerPqKey", limits.MLDSA44_KEY_BYTES),
    }
    if (hasRepeat(validatorKeyMarks(facts))) {
      reader.fail("CERTIFICATE_INVALID", "keys", "one key stands twice")
    }
    return facts
  })
}

/** Reads a format version; `CODEC_VERSION` for any other than `known`. */
export function readVersion(reader: Reader, known: number): void {
  const found = reader.uint("version")
  if (found !== known) {
    reader.fail("CODEC_VERSION", "version", `expected version ${known}, got ${found}`)
  }
}

/**
 * The genesis of a network, and the proposals and ballots that change it (PROTOCOL §4.5, §4.6).
 *
 * The chain id, called `net`, is the hash of the genesis bytes. A proposal takes effect in the
 * block in which the ballots for it reach the threshold of its class of action.
 */

import { equalBytes } from "./bytes.ts"
import { decode, encode, type Encodable, type Reader } from "./codec.ts"
import { isCompositeValid } from "./composite.ts"
import { ProtocolError } from "./errors.ts"
import {
  keyMark,
  missionKeyMarks,
  readVersion,
  validatorKeyMarks,
  verifyMissionRequest,
  verifyValidator,
  type MissionFacts,
  type ValidatorFacts,
} from "./identity.ts"
import { keyId, type CompositeSigner } from "./keys.ts"
import { LABELS } from "./labels.ts"
import * as limits from "./limits.ts"
import type { Suite } from "./suite.ts"
import { CLASSIFICATIONS, PRECEDENCES } from "./words.ts"

/** How the links between nodes are encrypted; one for the whole network. */
export type TransportEncryption = "noise" | "tls-pq"

/** Rules that hold for the whole network. */
export interface Policy {
  readonly transportEncryption: TransportEncryption
  /** Largest text of a FLASH cable, in bytes. */
  readonly flashTextBytesMax: number
  /** From this precedence on (0 … 5) a cable needs drafter and releaser; 6 means never. */
  readonly twoPersonFromPrecedence: number
  /** From this classification on (0 … 4) a cable needs drafter and releaser; 5 means never. */
  readonly twoPersonFromClassification: number
  /** Contact time after the end of its epoch for which a key is kept, in hours. */
  readonly epochKeyKeepHours: number
  /** Missions whose desks ring when a signal names no addressee. */
  readonly desks: readonly number[]
  /** Δ of consensus: within it a message goes from validator to validator, in ms (LEDGER §8). */
  readonly consensusDeltaMs: number
}

export interface GovernanceMember {
  readonly name: string
  /** Composite, 1,984 bytes. */
  readonly publicKey: Uint8Array
}

/** Ballots needed, by class of action (PROTOCOL §4.5). */
export interface Thresholds {
  readonly revoke: number
  readonly admit: number
  readonly policy: number
  readonly upgrade: number
  readonly recover: number
}

export interface Genesis {
  readonly name: string
  /** Origin line of the log ({@link isOrigin}), such as `ledger.mofa.gov.bd/tarbarta`. */
  readonly origin: string
  readonly createdMs: number
  /** Stands for `net` wherever the genesis itself is signed for. */
  readonly nonce: Uint8Array
  readonly policy: Policy
  readonly thresholds: Thresholds
  readonly members: readonly GovernanceMember[]
  /** Founding missions; headquarters first. Mission i has rid i + 1. */
  readonly missions: readonly MissionFacts[]
  readonly validators: readonly ValidatorFacts[]
}

/** A genesis as it is made: signed parts are bytes. */
export interface GenesisParts extends Omit<Genesis, "missions" | "validators" | "members"> {
  readonly members: readonly (GovernanceMember & { readonly possession: Uint8Array })[]
  readonly missions: readonly Uint8Array[]
  readonly validators: readonly Uint8Array[]
}

const VERSION = 1
const ENCRYPTIONS: readonly TransportEncryption[] = ["noise", "tls-pq"]

// Printable ASCII without the space and the plus sign, which end a name in C2SP's notes and keys.
const ORIGIN_PATTERN = /^[!-*,-~]+$/

/** True for text that can be the first line of a checkpoint and the name in a verifier key. */
export function isOrigin(text: string): boolean {
  return text.length <= limits.ORIGIN_BYTES_MAX && ORIGIN_PATTERN.test(text)
}

/** What a governance member signs to prove possession of its key. */
export function memberStatement(nonce: Uint8Array, member: GovernanceMember): Uint8Array {
  return encode([LABELS.genesis, nonce, member.name, member.publicKey])
}

export function encodeGenesis(parts: GenesisParts): Uint8Array {
  const { policy, thresholds } = parts
  return encode([
    LABELS.genesis,
    VERSION,
    parts.name,
    parts.origin,
    parts.createdMs,
    parts.nonce,
    policyItems(policy),
    thresholdItems(thresholds),
    parts.members.map((member) => [member.name, member.publicKey, member.possession]),
    parts.missions,
    parts.validators,
  ])
}

/** A policy as the items of its array. */
export function policyItems(policy: Policy): Encodable[] {
  return [
    ENCRYPTIONS.indexOf(policy.transportEncryption) + 1,
    policy.flashTextBytesMax,
    policy.twoPersonFromPrecedence,
    policy.twoPersonFromClassification,
    policy.epochKeyKeepHours,
    policy.desks,
    policy.consensusDeltaMs,
  ]
}

/** Thresholds as the items of their array. */
export function thresholdItems(thresholds: Thresholds): Encodable[] {
  const { revoke, admit, policy, upgrade, recover } = thresholds
  return [revoke, admit, policy, upgrade, recover]
}

/** Chain id of a network, 32 bytes. */
export function networkId(suite: Suite, genesisBytes: Uint8Array): Uint8Array {
  return suite.sha256(genesisBytes)
}

/**
 * Decodes a genesis and checks every proof of possession in it.
 *
 * @throws ProtocolError `CODEC_*`, `CERTIFICATE_INVALID`, or `GENESIS_INVALID` for a threshold that
 * no ballot count can reach, a repeated member, code, desk or key, a validator that is no founding
 * mission, or an origin that no checkpoint can carry.
 */
export function verifyGenesis(suite: Suite, bytes: Uint8Array): Genesis {
  const parts = decodeGenesis(bytes)
  if (!isOrigin(parts.origin)) {
    const why = "expected printable ASCII without spaces and plus signs"
    throw new ProtocolError("GENESIS_INVALID", `origin of the log: ${why}`)
  }
  for (const member of parts.members) {
    const statement = memberStatement(parts.nonce, member)
    const valid = isCompositeValid(
      suite,
      member.publicKey,
      LABELS.genesis,
      statement,
      member.possession,
    )
    if (!valid) {
      throw new ProtocolError("GENESIS_INVALID", `governance member ${member.name}: wrong proof`)
    }
  }
  const missions = parts.missions.map((item) => verifyMissionRequest(suite, item, parts.nonce))
  const validators = parts.validators.map((item) => verifyValidator(suite, item, parts.nonce))
  demandUnique(parts, missions, validators)
  for (const rid of [...validators.map((item) => item.rid), ...parts.policy.desks]) {
    if (rid < 1 || rid > missions.length) {
      throw new ProtocolError("GENESIS_INVALID", `mission ${rid} is not a founding mission`)
    }
  }
  for (const [action, threshold] of Object.entries(parts.thresholds)) {
    if (threshold < 1 || threshold > parts.members.length) {
      const why = `threshold to ${action}: ${threshold} of ${parts.members.length} members`
      throw new ProtocolError("GENESIS_INVALID", why)
    }
  }
  return { ...parts, missions, validators }
}

/** Decodes a genesis; checks nothing but its form. @throws ProtocolError `CODEC_*`. */
export function decodeGenesis(bytes: Uint8Array): GenesisParts {
  return decode(bytes, "genesis", limits.GENESIS_BYTES_MAX, readGenesis)
}

function readGenesis(reader: Reader): GenesisParts {
  reader.array("genesis", 11)
  reader.label(LABELS.genesis)
  readVersion(reader, VERSION)
  return {
    name: reader.text("name", limits.MISSION_NAME_BYTES_MAX, 1),
    origin: reader.text("origin", limits.MISSION_NAME_BYTES_MAX, 1),
    createdMs: reader.uint("createdMs"),
    nonce: reader.bytes("nonce", limits.HASH_BYTES),
    policy: readPolicy(reader),
    thresholds: readThresholds(reader),
    members: reader.list(
      "members",
      limits.GOVERNANCE_MEMBERS_MAX,
      () => {
        reader.array("member", 3)
        return {
          name: reader.text("member name", limits.OFFICER_NAME_BYTES_MAX, 1),
          publicKey: reader.bytes("member key", limits.COMPOSITE_KEY_BYTES),
          possession: reader.bytes("member proof", limits.COMPOSITE_SIGNATURE_BYTES),
        }
      },
      1,
    ),
    missions: reader.list(
      "missions",
      limits.MISSIONS_MAX,
      () => reader.bytesUpTo("mission", limits.REQUEST_BYTES_MAX),
      1,
    ),
    validators: reader.list(
      "validators",
      limits.VALIDATORS_MAX,
      () => reader.bytesUpTo("validator", limits.REQUEST_BYTES_MAX),
      1,
    ),
  }
}

/** Reads what {@link policyItems} gives. */
export function readPolicy(reader: Reader): Policy {
  reader.array("policy", 7)
  const encryption = ENCRYPTIONS[reader.uint("transport encryption") - 1]
  if (encryption === undefined) {
    return reader.fail("CODEC_RANGE", "transport encryption", "unknown value")
  }
  return {
    transportEncryption: encryption,
    flashTextBytesMax: reader.uint("flashTextBytesMax", limits.CABLE_TEXT_BYTES_MAX_IMMEDIATE),
    twoPersonFromPrecedence: reader.uint("twoPersonFromPrecedence", PRECEDENCES.list.length),
    twoPersonFromClassification: reader.uint(
      "twoPersonFromClassification",
      CLASSIFICATIONS.list.length,
    ),
    epochKeyKeepHours: reader.uint("epochKeyKeepHours", limits.EPOCH_KEY_KEEP_HOURS_MAX),
    desks: reader.list("desks", limits.SIGNAL_RECIPIENTS_MAX, () => reader.uint("desk", 0xffff), 1),
    consensusDeltaMs: readDelta(reader),
  }
}

function readDelta(reader: Reader): number {
  const deltaMs = reader.uint("consensusDeltaMs", limits.CONSENSUS_DELTA_MS_MAX)
  if (deltaMs >= limits.CONSENSUS_DELTA_MS_MIN) return deltaMs
  const least = `expected at least ${limits.CONSENSUS_DELTA_MS_MIN}, got ${deltaMs}`
  return reader.fail("CODEC_RANGE", "consensusDeltaMs", least)
}

/** Reads what {@link thresholdItems} gives. */
export function readThresholds(reader: Reader): Thresholds {
  reader.array("thresholds", 5)
  return {
    revoke: reader.uint("revoke", limits.GOVERNANCE_MEMBERS_MAX),
    admit: reader.uint("admit", limits.GOVERNANCE_MEMBERS_MAX),
    policy: reader.uint("policy", limits.GOVERNANCE_MEMBERS_MAX),
    upgrade: reader.uint("upgrade", limits.GOVERNANCE_MEMBERS_MAX),
    recover: reader.uint("recover", limits.GOVERNANCE_MEMBERS_MAX),
  }
}

/**
 * One key under two names would be one holder that counts, or is addressed, as two; one key in two
 * offices would let a signature made in one pass for the other's.
 */
function demandUnique(
  parts: GenesisParts,
  missions: readonly MissionFacts[],
  validators: readonly ValidatorFacts[],
): void {
  const seen = new Set<string>()
  const claim = (holder: string, marks: readonly string[]): void => {
    for (const mark of marks) {
      if (seen.has(mark)) {
        const why = "its name, its number or a key of it stands twice"
        throw new ProtocolError("GENESIS_INVALID", `${holder}: ${why}`)
      }
      seen.add(mark)
    }
  }
  for (const { name, publicKey } of parts.members) {
    claim(`governance member ${name}`, [`member ${name}`, keyMark(publicKey)])
  }
  for (const mission of missions) {
    claim(`mission ${mission.code}`, [`code ${mission.code}`, ...missionKeyMarks(mission)])
  }
  for (const validator of validators) {
    const { rid } = validator
    claim(`validator ${rid}`, [`validator ${rid}`, ...validatorKeyMarks(validator)])
  }
  for (const desk of parts.policy.desks) claim(`desk ${desk}`, [`desk ${desk}`])
}

// --- proposals and ballots ------------------------------------------------------------------

/** What a proposal would do. Numbers of actions that are not built yet are refused. */
export type Action =
  | { readonly type: "admit"; readonly request: Uint8Array }
  | { readonly type: "revoke"; readonly rid: number; readonly reason: string }

export interface Proposal {
  readonly net: Uint8Array
  readonly action: Action
  /** Hash of the governance state that the proposal builds on (directory.ts). */
  readonly baseStateHash: Uint8Array
  /** Last height at which it may take effect. */
  readonly expiresHeight: number
  readonly createdMs: number
}

export interface Ballot {
  readonly net: Uint8Array
  readonly proposalId: Uint8Array
  readonly approve: boolean
}

/** A governance payload as it stands in an entry of type 3. */
export type GovernancePayload =
  | {
      readonly type: "proposal"
      readonly id: Uint8Array
      readonly proposal: Proposal
      readonly memberId: Uint8Array
      readonly statement: Uint8Array
      readonly signature: Uint8Array
    }
  | {
      readonly type: "ballot"
      readonly ballot: Ballot
      readonly memberId: Uint8Array
      readonly statement: Uint8Array
      readonly signature: Uint8Array
    }

const PAYLOAD_PROPOSAL = 1
const PAYLOAD_BALLOT = 2
const ACTION_ADMIT = 1
const ACTION_REVOKE = 2

/** Encodes and signs a proposal; returns its id and the payload for the ledger. */
export function signProposal(
  suite: Suite,
  proposal: Proposal,
  memberKey: Uint8Array,
  sign: CompositeSigner,
): { id: Uint8Array; payload: Uint8Array } {
  const statement = encodeProposal(proposal)
  const signature = sign(LABELS.proposal, statement)
  const payload = encode([PAYLOAD_PROPOSAL, statement, keyId(suite, memberKey), signature])
  return { id: suite.sha256(statement), payload }
}

export function signBallot(
  suite: Suite,
  ballot: Ballot,
  memberKey: Uint8Array,
  sign: CompositeSigner,
): Uint8Array {
  const approve = ballot.approve ? 1 : 0
  const statement = encode([LABELS.ballot, ballot.net, ballot.proposalId, approve])
  const signature = sign(LABELS.ballot, statement)
  return encode([PAYLOAD_BALLOT, statement, keyId(suite, memberKey), signature])
}

/** Decodes a payload; the signature is checked by the directory, which knows the members. */
export function decodeGovernance(suite: Suite, bytes: Uint8Array): GovernancePayload {
  return decode(bytes, "governance payload", limits.ENTRY_BYTES_MAX, (reader) => {
    reader.array("payload", 4)
    const kind = reader.uint("kind")
    const statement = reader.bytesUpTo("statement", limits.ENTRY_BYTES_MAX)
    const signed = {
      statement,
      memberId: reader.bytes("member id", limits.HASH_BYTES),
      signature: reader.bytes("signature", limits.COMPOSITE_SIGNATURE_BYTES),
    }
    if (kind === PAYLOAD_PROPOSAL) {
      const id = suite.sha256(statement)
      return { type: "proposal", id, proposal: decodeProposal(statement), ...signed }
    }
    if (kind === PAYLOAD_BALLOT) {
      return { type: "ballot", ballot: decodeBallot(statement), ...signed }
    }
    return reader.fail("CODEC_VERSION", "kind", `unknown governance payload ${kind}`)
  })
}

function encodeProposal(proposal: Proposal): Uint8Array {
  const { action } = proposal
  const body =
    action.type === "admit"
      ? [ACTION_ADMIT, action.request]
      : [ACTION_REVOKE, action.rid, action.reason]
  return encode([
    LABELS.proposal,
    VERSION,
    proposal.net,
    body,
    proposal.baseStateHash,
    proposal.expiresHeight,
    proposal.createdMs,
  ])
}

function decodeProposal(bytes: Uint8Array): Proposal {
  return decode(bytes, "proposal", limits.ENTRY_BYTES_MAX, (reader) => {
    reader.array("proposal", 7)
    reader.label(LABELS.proposal)
    readVersion(reader, VERSION)
    const net = reader.bytes("net", limits.HASH_BYTES)
    const action = readAction(reader)
    return {
      net,
      action,
      baseStateHash: reader.bytes("baseStateHash", limits.HASH_BYTES),
      expiresHeight: reader.uint("expiresHeight"),
      createdMs: reader.uint("createdMs"),
    }
  })
}

function readAction(reader: Reader): Action {
  const count = reader.arrayUpTo("action", 3, 2)
  const kind = reader.uint("action kind")
  if (kind === ACTION_ADMIT && count === 2) {
    return { type: "admit", request: reader.bytesUpTo("request", limits.REQUEST_BYTES_MAX) }
  }
  if (kind === ACTION_REVOKE && count === 3) {
    const rid = reader.uint("rid", 0xffff)
    return { type: "revoke", rid, reason: reader.text("reason", limits.CABLE_SUBJECT_BYTES_MAX) }
  }
  return reader.fail("GOVERNANCE_INVALID", "action", `unknown action ${kind}`)
}

function decodeBallot(bytes: Uint8Array): Ballot {
  return decode(bytes, "ballot", limits.BALLOT_BYTES_MAX, (reader) => {
    reader.array("ballot", 4)
    reader.label(LABELS.ballot)
    const net = reader.bytes("net", limits.HASH_BYTES)
    const proposalId = reader.bytes("proposal id", limits.HASH_BYTES)
    return { net, proposalId, approve: reader.uint("approve", 1) === 1 }
  })
}

/** True when `payload` is signed by `member`. */
export function isGovernanceSigned(
  suite: Suite,
  payload: GovernancePayload,
  member: GovernanceMember,
): boolean {
  if (!equalBytes(keyId(suite, member.publicKey), payload.memberId)) return false
  const context = payload.type === "proposal" ? LABELS.proposal : LABELS.ballot
  return isCompositeValid(suite, member.publicKey, context, payload.statement, payload.signature)
}

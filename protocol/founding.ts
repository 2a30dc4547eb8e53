/**
 * The ceremony that founds a network of several missions (PROTOCOL §4.9).
 *
 * Headquarters' invitation fixes everything that is not a mission's own: name, rules, who governs,
 * who is invited, in which order, and who validates. Its hash is the nonce of the genesis, which
 * every founder's keys sign for, so a founding record serves this invitation and no other. The
 * genesis is put together from the records; a founder takes it over only as it was agreed.
 */

import { equalBytes } from "./bytes.ts"
import { decode, encode, type Encodable, type Reader } from "./codec.ts"
import { ProtocolError } from "./errors.ts"
import {
  decodeGenesis,
  encodeGenesis,
  policyItems,
  readPolicy,
  readThresholds,
  thresholdItems,
  verifyGenesis,
  type Genesis,
  type GovernanceMember,
  type Policy,
  type Thresholds,
} from "./governance.ts"
import {
  isMissionCode,
  readVersion,
  verifyMissionRequest,
  verifyValidator,
  type MissionFacts,
} from "./identity.ts"
import { LABELS } from "./labels.ts"
import * as limits from "./limits.ts"
import type { Suite } from "./suite.ts"

/** An invited mission. Its place in the list gives its number: the first has rid 1. */
export interface Seat {
  readonly code: string
  readonly validates: boolean
}

export interface Invitation {
  readonly name: string
  readonly origin: string
  /** Random, 32 bytes: two networks of one name and one list differ by it. */
  readonly salt: Uint8Array
  readonly policy: Policy
  readonly thresholds: Thresholds
  readonly members: readonly GovernanceMember[]
  /** Founding missions, headquarters first; headquarters validates. */
  readonly seats: readonly Seat[]
}

/** What one mission brings: its request, and what proves its validator's keys if it is one. */
export interface FoundingRecord {
  /** Hash of the invitation that it answers, 32 bytes. */
  readonly nonce: Uint8Array
  readonly request: Uint8Array
  /** Absent for a mission that does not validate. */
  readonly validator?: Uint8Array
}

/** A record that was checked against its invitation. */
export interface Founder extends FoundingRecord, Seat {
  readonly rid: number
  readonly facts: MissionFacts
}

const VERSION = 1

export function encodeInvitation(invitation: Invitation): Uint8Array {
  return encode([
    LABELS.invitation,
    VERSION,
    ...termsOf(invitation).map(({ item }) => item),
    invitation.salt,
    invitation.seats.map(({ code, validates }) => [code, validates ? 1 : 0]),
  ])
}

/** Nonce of the genesis that an invitation leads to, 32 bytes. */
export function invitationNonce(suite: Suite, invitationBytes: Uint8Array): Uint8Array {
  return suite.sha256(invitationBytes)
}

/**
 * Decodes an invitation. What a genesis may not hold besides is refused with the genesis.
 *
 * @throws ProtocolError `CODEC_*`, or `INVITATION_INVALID` for a code that is none or stands twice,
 * for headquarters that does not validate, and for more than 16 validators.
 */
export function decodeInvitation(bytes: Uint8Array): Invitation {
  const invitation = decode(bytes, "invitation", limits.INVITATION_BYTES_MAX, readInvitation)
  const { seats } = invitation
  for (const [index, { code }] of seats.entries()) {
    if (!isMissionCode(code)) refuseInvitation(`seat ${index + 1} has no mission's code`)
    if (seats.findIndex((one) => one.code === code) < index)
      refuseInvitation(`${code} stands twice`)
  }
  if (seats[0]?.validates !== true) refuseInvitation("headquarters does not validate")
  const count = seats.filter(({ validates }) => validates).length
  if (count > limits.VALIDATORS_MAX) {
    refuseInvitation(`expected at most ${limits.VALIDATORS_MAX} validators, got ${count}`)
  }
  return invitation
}

export function encodeFounding(record: FoundingRecord): Uint8Array {
  const { nonce, request, validator } = record
  const validators = validator === undefined ? [] : [validator]
  return encode([LABELS.founding, VERSION, nonce, request, validators])
}

/** Decodes a founding record; checks nothing but its form. @throws ProtocolError `CODEC_*`. */
export function decodeFounding(bytes: Uint8Array): FoundingRecord {
  return decode(bytes, "founding record", limits.FOUNDING_BYTES_MAX, (reader) => {
    reader.array("founding record", 5)
    reader.label(LABELS.founding)
    readVersion(reader, VERSION)
    const nonce = reader.bytes("nonce", limits.HASH_BYTES)
    const request = reader.bytesUpTo("request", limits.REQUEST_BYTES_MAX)
    const [validator] = reader.list("validator", 1, () =>
      reader.bytesUpTo("validator", limits.REQUEST_BYTES_MAX),
    )
    return { nonce, request, ...(validator !== undefined && { validator }) }
  })
}

/**
 * Checks a founding record, every proof in it included, against the invitation that it answers.
 *
 * @throws ProtocolError `CODEC_*`, `CERTIFICATE_INVALID`, `INVITATION_INVALID`, or
 * `FOUNDING_INVALID` for a record that answers another invitation, of a mission that is not invited,
 * with validator's keys where none are asked for, without them, or with those of another seat.
 */
export function verifyFounding(
  suite: Suite,
  bytes: Uint8Array,
  invitationBytes: Uint8Array,
): Founder {
  const { seats } = decodeInvitation(invitationBytes)
  const record = decodeFounding(bytes)
  if (!equalBytes(record.nonce, invitationNonce(suite, invitationBytes))) {
    refuse("it answers another invitation")
  }
  const facts = verifyMissionRequest(suite, record.request, record.nonce)
  const { code } = facts
  const index = seats.findIndex((seat) => seat.code === code)
  const seat = seats[index]
  if (seat === undefined) return refuse(`mission ${code} is not invited`)
  const rid = index + 1
  const { validator } = record
  if (seat.validates && validator === undefined) refuse(`${code} brings no validator's keys`)
  if (validator !== undefined) {
    if (!seat.validates) refuse(`${code} brings validator's keys and is not invited as one`)
    const found = verifyValidator(suite, validator, record.nonce).rid
    if (found !== rid) refuse(`validator of ${code}: expected mission ${rid}, got ${found}`)
  }
  return { ...record, ...seat, rid, facts }
}

/**
 * Founders in the order of the invitation.
 *
 * @throws ProtocolError `FOUNDING_INVALID` for two records of one mission, or one that is missing.
 */
export function orderFounders(invitation: Invitation, founders: readonly Founder[]): Founder[] {
  for (const [index, { code }] of founders.entries()) {
    if (founders.findIndex((one) => one.code === code) < index) refuse(`two records of ${code}`)
  }
  const ordered = founders.toSorted((a, b) => a.rid - b.rid)
  const missing = invitation.seats.filter(({ code }) => !founders.some((one) => one.code === code))
  if (missing.length > 0) refuse(`no record of ${missing.map(({ code }) => code).join(", ")}`)
  return ordered
}

/**
 * Puts the genesis together. `possessions` are the governance members' proofs, in their order.
 *
 * @throws as {@link verifyFounding}, {@link orderFounders} and `verifyGenesis`.
 */
export function foundGenesis(
  suite: Suite,
  parts: {
    readonly invitation: Uint8Array
    readonly records: readonly Uint8Array[]
    readonly possessions: readonly Uint8Array[]
    readonly createdMs: number
  },
): Uint8Array {
  const invitation = decodeInvitation(parts.invitation)
  const { name, origin, policy, thresholds, members } = invitation
  const founders = parts.records.map((record) => verifyFounding(suite, record, parts.invitation))
  const ordered = orderFounders(invitation, founders)
  const bytes = encodeGenesis({
    name,
    origin,
    createdMs: parts.createdMs,
    nonce: invitationNonce(suite, parts.invitation),
    policy,
    thresholds,
    members: members.map((member, index) => {
      return { ...member, possession: parts.possessions[index] ?? new Uint8Array(0) }
    }),
    missions: ordered.map(({ request }) => request),
    validators: ordered.flatMap(({ validator }) => (validator === undefined ? [] : [validator])),
  })
  verifyGenesis(suite, bytes)
  return bytes
}

/**
 * Checks, at a founding mission, that a genesis is what was agreed: made for the invitation, with
 * its terms and its missions, and with this mission's own record untouched.
 *
 * @throws ProtocolError as `verifyGenesis` and {@link verifyFounding}, or `FOUNDING_INVALID` naming
 * what is not as it was agreed.
 */
export function verifyFounded(
  suite: Suite,
  genesisBytes: Uint8Array,
  invitationBytes: Uint8Array,
  recordBytes: Uint8Array,
): Genesis {
  const genesis = verifyGenesis(suite, genesisBytes)
  const invitation = decodeInvitation(invitationBytes)
  const own = verifyFounding(suite, recordBytes, invitationBytes)
  if (!equalBytes(genesis.nonce, own.nonce)) refuse("the genesis is for another invitation")
  const found = termsOf(genesis)
  for (const [index, { term, item }] of termsOf(invitation).entries()) {
    const other = found[index]
    if (other === undefined || !equalBytes(encode(item), encode(other.item))) {
      refuse(`${term} of the genesis is not as the invitation says`)
    }
  }
  const { missions, validators } = genesis
  const seats = missions.map(({ code }, index): Seat => {
    return { code, validates: validators.some(({ rid }) => rid === index + 1) }
  })
  if (textOf(seats) !== textOf(invitation.seats)) {
    refuse(`expected missions ${textOf(invitation.seats)}, got ${textOf(seats)}`)
  }
  const parts = decodeGenesis(genesisBytes)
  const request = parts.missions[own.rid - 1]
  if (request === undefined || !equalBytes(request, own.request)) {
    refuse(`the keys of ${own.code} in the genesis are not its own`)
  }
  const { validator } = own
  if (validator !== undefined && !parts.validators.some((one) => equalBytes(one, validator))) {
    refuse(`the validator's keys of ${own.code} in the genesis are not its own`)
  }
  return genesis
}

// --- parts ----------------------------------------------------------------------------------

type Terms = Omit<Invitation, "salt" | "seats">

/** What an invitation and its genesis must agree on, each with its name for a message. */
function termsOf(parts: Terms): { readonly term: string; readonly item: Encodable }[] {
  return [
    { term: "the name", item: parts.name },
    { term: "the ledger's origin", item: parts.origin },
    { term: "the policy", item: policyItems(parts.policy) },
    { term: "the thresholds", item: thresholdItems(parts.thresholds) },
    {
      term: "the list of governance members",
      item: parts.members.map(({ name, publicKey }) => [name, publicKey]),
    },
  ]
}

function readInvitation(reader: Reader): Invitation {
  reader.array("invitation", 9)
  reader.label(LABELS.invitation)
  readVersion(reader, VERSION)
  const name = reader.text("name", limits.MISSION_NAME_BYTES_MAX, 1)
  const origin = reader.text("origin", limits.MISSION_NAME_BYTES_MAX, 1)
  const policy = readPolicy(reader)
  const thresholds = readThresholds(reader)
  const members = reader.list(
    "members",
    limits.GOVERNANCE_MEMBERS_MAX,
    (): GovernanceMember => {
      reader.array("member", 2)
      return {
        name: reader.text("member name", limits.OFFICER_NAME_BYTES_MAX, 1),
        publicKey: reader.bytes("member key", limits.COMPOSITE_KEY_BYTES),
      }
    },
    1,
  )
  const salt = reader.bytes("salt", limits.HASH_BYTES)
  const readSeat = (): Seat => {
    reader.array("seat", 2)
    const code = reader.text("code", limits.MISSION_CODE_BYTES_MAX)
    return { code, validates: reader.uint("validates", 1) === 1 }
  }
  const seats = reader.list("seats", limits.MISSIONS_MAX, readSeat, 1)
  return { name, origin, salt, policy, thresholds, members, seats }
}

function textOf(seats: readonly Seat[]): string {
  return seats.map(({ code, validates }) => (validates ? `${code} (validator)` : code)).join(", ")
}

function refuseInvitation(why: string): never {
  throw new ProtocolError("INVITATION_INVALID", `invitation: ${why}`)
}

function refuse(why: string): never {
  throw new ProtocolError("FOUNDING_INVALID", `founding: ${why}`)
}

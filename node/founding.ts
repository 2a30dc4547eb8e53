/**
 * How a network begins (PROTOCOL §4.9; OPERATIONS, "Key ceremony"): headquarters prepares an
 * invitation, every founding mission answers with a record, headquarters assembles the genesis from
 * them, and each founder takes it over after it has found its own record in it.
 *
 * A network of headquarters alone goes the same way in one step. Keys are made on the machine that
 * will use them; what travels is public, and people compare fingerprints by another channel.
 */

import { join } from "node:path"
import { equalBytes } from "../protocol/bytes.ts"
import {
  decodeInvitation,
  encodeFounding,
  encodeInvitation,
  foundGenesis,
  invitationNonce,
  orderFounders,
  verifyFounded,
  verifyFounding,
  type Founder,
  type Invitation,
  type Seat,
} from "../protocol/founding.ts"
import { isOrigin, memberStatement, networkId, type Policy } from "../protocol/governance.ts"
import { fingerprint } from "../protocol/keys.ts"
import { LABELS } from "../protocol/labels.ts"
import * as limits from "../protocol/limits.ts"
import { CLASSIFICATIONS, PRECEDENCES } from "../protocol/words.ts"
import { writeConfig } from "./config.ts"
import { NodeError } from "./errors.ts"
import { openHome, type Home } from "./home.ts"
import {
  KEY_NAMES,
  makeGovernanceKey,
  makeMissionKeys,
  makeRequest,
  makeValidator,
  openGovernanceKey,
  random,
} from "./keys.ts"
import type { Keystore } from "./keystore.ts"
import {
  checkOptions,
  configOf,
  demandCode,
  genesisPath,
  governancePath,
  makeHome,
  readIfThere,
  type HomeOptions,
} from "./new-home.ts"
import { replaceFile } from "./store/file.ts"
import { nativeSuite as suite } from "./suite.ts"

export interface NetworkOptions extends HomeOptions {
  readonly name: string
  readonly origin: string
  readonly transport: "noise" | "tls-pq"
  /** Two officers from IMMEDIATE or CONFIDENTIAL on. */
  readonly twoPerson: boolean
  /** Δ of consensus in ms, 250 … 2,000; 500 when absent. */
  readonly consensusDeltaMs?: number
}

export interface PrepareOptions extends NetworkOptions {
  /** Codes of the other founding missions, in the order of their numbers. */
  readonly founders: readonly string[]
  /** Which of them validate beside headquarters; all of them when absent. */
  readonly validators?: readonly string[]
}

export interface FounderOptions extends HomeOptions {
  readonly invitation: Uint8Array
}

export interface NetworkCreated {
  readonly name: string
  readonly network: string
  readonly fingerprint: string
  readonly genesis: Uint8Array
  readonly genesisFile: string
}

export interface NetworkPrepared {
  readonly invitation: Uint8Array
  readonly seats: readonly Seat[]
}

export interface RecordMade {
  /** Name of the network that is being founded. */
  readonly name: string
  readonly rid: number
  readonly validates: boolean
  readonly fingerprint: string
  readonly record: Uint8Array
}

/** What a founding record says, for the people who compare. */
export interface FounderFacts {
  readonly rid: number
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  readonly validates: boolean
  readonly fingerprint: string
  readonly addresses: readonly string[]
  readonly officers: readonly { readonly name: string; readonly roles: readonly string[] }[]
}

const TWO_PERSON_PRECEDENCE = PRECEDENCES.code("immediate")
const TWO_PERSON_CLASSIFICATION = CLASSIFICATIONS.code("confidential")

/**
 * Makes headquarters' home and a network of it alone, with governance 1-of-1 and one validator.
 *
 * @throws NodeError `HOME_*`, `SETUP_INVALID`; ProtocolError `CERTIFICATE_INVALID`, `CODEC_*` for
 * facts that no certificate can hold. Nothing is left behind then.
 */
export async function createNetwork(options: NetworkOptions): Promise<NetworkCreated> {
  checkNetwork({ ...options, founders: [] })
  return makeHome(options.home, async (home) => {
    const { bytes, record, governance } = await begin(home, { ...options, founders: [] })
    const created = await assemble(home, bytes, [record], governance)
    governance.close()
    return created
  })
}

/**
 * Makes headquarters' home and the invitation for the other founding missions. There is no network
 * before {@link assembleNetwork}.
 *
 * @throws as {@link createNetwork}.
 */
export async function prepareNetwork(options: PrepareOptions): Promise<NetworkPrepared> {
  checkNetwork(options)
  return makeHome(options.home, async (home) => {
    const { bytes, record, governance } = await begin(home, options)
    governance.close()
    await replaceFile(invitationPath(home), bytes)
    await replaceFile(recordPath(home), record)
    return { invitation: bytes, seats: decodeInvitation(bytes).seats }
  })
}

/**
 * Makes a founding mission's home and its founding record.
 *
 * @throws as {@link createNetwork}, with `SETUP_INVALID` for a mission that is not invited, and
 * ProtocolError `CODEC_*`, `INVITATION_INVALID` for an invitation that is none.
 */
export async function createFoundingRecord(options: FounderOptions): Promise<RecordMade> {
  checkOptions(options)
  const { name, seats } = decodeInvitation(options.invitation)
  const rid = seats.findIndex(({ code }) => code === options.code) + 1
  if (rid < 2) {
    const others = seats.slice(1).map(({ code }) => code)
    const message =
      rid === 1 ? `${options.code} is headquarters itself` : `${options.code} is not invited`
    throw new NodeError("SETUP_INVALID", message, {
      hint: `the invitation is for ${others.join(", ")}`,
    })
  }
  const validates = seats[rid - 1]?.validates === true
  return makeHome(options.home, async (home) => {
    const keystore = await makeMissionKeys(home.keystore, options, validates)
    const record = makeRecord(keystore, options, { code: options.code, validates }, rid)
    keystore.close()
    verifyFounding(suite, record, options.invitation)
    await replaceFile(invitationPath(home), options.invitation)
    await replaceFile(recordPath(home), record)
    await writeConfig(home.config, configOf(options, validates))
    return { name, rid, validates, fingerprint: fingerprintOf(record), record }
  })
}

/**
 * What one founding record says, after every proof in it was checked, at headquarters.
 *
 * @throws NodeError `HOME_*`, `INVITATION_MISSING`, `GENESIS_EXISTS`; ProtocolError as
 * `verifyFounding`.
 */
export async function inspectRecord(root: string, record: Uint8Array): Promise<FounderFacts> {
  const { invitation } = await openFounding(root)
  return factsOf(record, verifyFounding(suite, record, invitation))
}

/**
 * All founders in order, headquarters first: nobody twice, nobody missing.
 *
 * @throws as {@link inspectRecord}, with `FOUNDING_INVALID` naming who is missing or there twice.
 */
export async function inspectFounders(
  root: string,
  records: readonly Uint8Array[],
): Promise<FounderFacts[]> {
  const { invitation, record } = await openFounding(root)
  const facts = new Map<Founder, FounderFacts>()
  for (const bytes of [record, ...records]) {
    const founder = verifyFounding(suite, bytes, invitation)
    facts.set(founder, factsOf(bytes, founder))
  }
  return orderFounders(decodeInvitation(invitation), [...facts.keys()]).flatMap((founder) => {
    return facts.get(founder) ?? []
  })
}

/**
 * Makes the genesis from headquarters' own record and those of the others.
 *
 * @throws as {@link inspectFounders}; NodeError `KEYSTORE_*`, `GOVERNANCE_KEY_MISSING`; ProtocolError
 * `GENESIS_INVALID` for keys that two founders share.
 */
export async function assembleNetwork(options: {
  readonly home: string
  readonly passphrase: string
  readonly records: readonly Uint8Array[]
}): Promise<NetworkCreated> {
  const { home, invitation, record } = await openFounding(options.home)
  const governance = await openGovernanceKey(governancePath(home), options.passphrase)
  try {
    return await assemble(home, invitation, [record, ...options.records], governance)
  } finally {
    governance.close()
  }
}

/**
 * Takes the genesis over, at a founding mission: it must be what the invitation says, with this
 * mission's own record. A second time with the same file changes nothing.
 *
 * @throws NodeError `HOME_*`, `INVITATION_MISSING`, `GENESIS_EXISTS`; ProtocolError as
 * `verifyFounded`.
 */
export async function joinNetwork(root: string, genesis: Uint8Array): Promise<NetworkCreated> {
  const { home, invitation, record } = await openFounding(root, genesis)
  verifyFounded(suite, genesis, invitation, record)
  await replaceFile(genesisPath(home), genesis)
  return createdOf(home, invitation, genesis)
}

// --- parts ----------------------------------------------------------------------------------

function invitationPath(home: Home): string {
  return join(home.root, "network.invitation")
}

function recordPath(home: Home): string {
  return join(home.root, "mission.founding")
}

/** A home between the invitation and the genesis; with `genesis`, also one that has just that. */
async function openFounding(
  root: string,
  genesis?: Uint8Array,
): Promise<{ home: Home; invitation: Uint8Array; record: Uint8Array }> {
  const home = await openHome(root)
  const before = await readIfThere(genesisPath(home), limits.GENESIS_BYTES_MAX)
  if (before !== undefined && (genesis === undefined || !equalBytes(before, genesis))) {
    const which = fingerprint(networkId(suite, before))
    throw new NodeError("GENESIS_EXISTS", `this home belongs to the network ${which} already`, {
      hint: "nothing was changed; one home is one mission of one network",
    })
  }
  const invitation = await readIfThere(invitationPath(home), limits.INVITATION_BYTES_MAX)
  const record = await readIfThere(recordPath(home), limits.FOUNDING_BYTES_MAX)
  if (invitation === undefined || record === undefined) {
    throw new NodeError("INVITATION_MISSING", "this home takes no part in founding a network", {
      hint: "begin with network prepare (headquarters) or network found, or give --home",
    })
  }
  return { home, invitation, record }
}

/** Headquarters' keys, the governance key, the invitation and headquarters' own record. */
async function begin(
  home: Home,
  options: PrepareOptions,
): Promise<{ bytes: Uint8Array; record: Uint8Array; governance: Keystore }> {
  const keystore = await makeMissionKeys(home.keystore, options, true)
  const governance = await makeGovernanceKey(governancePath(home), options.passphrase)
  const bytes = encodeInvitation(invitationOf(options, governance.publicKey(KEY_NAMES.governance)))
  const record = makeRecord(
    keystore,
    { ...options, invitation: bytes },
    { code: options.code, validates: true },
    1,
  )
  keystore.close()
  verifyFounding(suite, record, bytes)
  await writeConfig(home.config, configOf(options, true))
  return { bytes, record, governance }
}

function makeRecord(
  keystore: Keystore,
  options: FounderOptions,
  seat: Seat,
  rid: number,
): Uint8Array {
  const nonce = invitationNonce(suite, options.invitation)
  const request = makeRequest(keystore, options, nonce)
  return encodeFounding({
    nonce,
    request,
    ...(seat.validates && { validator: makeValidator(keystore, rid, nonce) }),
  })
}

async function assemble(
  home: Home,
  invitation: Uint8Array,
  records: readonly Uint8Array[],
  governance: Keystore,
): Promise<NetworkCreated> {
  const nonce = invitationNonce(suite, invitation)
  const sign = governance.signer(KEY_NAMES.governance)
  const { members } = decodeInvitation(invitation)
  const genesis = foundGenesis(suite, {
    invitation,
    records,
    possessions: members.map((member) => sign(LABELS.genesis, memberStatement(nonce, member))),
    createdMs: Date.now(),
  })
  await replaceFile(genesisPath(home), genesis)
  return createdOf(home, invitation, genesis)
}

function createdOf(home: Home, invitation: Uint8Array, genesis: Uint8Array): NetworkCreated {
  const net = networkId(suite, genesis)
  return {
    name: decodeInvitation(invitation).name,
    network: Buffer.from(net).toString("hex"),
    fingerprint: fingerprint(net),
    genesis,
    genesisFile: genesisPath(home),
  }
}

function fingerprintOf(record: Uint8Array): string {
  return fingerprint(suite.sha256(record))
}

function factsOf(record: Uint8Array, { rid, facts, validates }: Founder): FounderFacts {
  const { code, nameEn, nameBn, addresses } = facts
  const officers = facts.officers.map(({ name, roles }) => ({ name, roles }))
  return {
    rid,
    code,
    nameEn,
    nameBn,
    validates,
    fingerprint: fingerprintOf(record),
    addresses,
    officers,
  }
}

function invitationOf(options: PrepareOptions, memberKey: Uint8Array): Invitation {
  const validators = options.validators ?? options.founders
  return {
    name: options.name.normalize("NFC"),
    origin: options.origin,
    salt: random(limits.HASH_BYTES),
    policy: policyOf(options),
    thresholds: { revoke: 1, admit: 1, policy: 1, upgrade: 1, recover: 1 },
    members: [{ name: `${options.code} governance`, publicKey: memberKey }],
    seats: [options.code, ...options.founders].map((code) => {
      return { code, validates: code === options.code || validators.includes(code) }
    }),
  }
}

function policyOf(options: NetworkOptions): Policy {
  return {
    transportEncryption: options.transport,
    flashTextBytesMax: limits.CABLE_TEXT_BYTES_MAX_FLASH,
    twoPersonFromPrecedence: options.twoPerson ? TWO_PERSON_PRECEDENCE : PRECEDENCES.list.length,
    twoPersonFromClassification: options.twoPerson
      ? TWO_PERSON_CLASSIFICATION
      : CLASSIFICATIONS.list.length,
    epochKeyKeepHours: limits.EPOCH_KEY_KEEP_HOURS,
    desks: [1],
    consensusDeltaMs: options.consensusDeltaMs ?? limits.CONSENSUS_DELTA_MS,
  }
}

function checkNetwork(options: PrepareOptions): void {
  checkOptions(options)
  if (!isOrigin(options.origin)) {
    const message = `origin "${options.origin}": expected ASCII without spaces and plus signs`
    throw new NodeError("SETUP_INVALID", message, { hint: "such as ledger.mofa.gov.bd/tarbarta" })
  }
  const codes = [options.code, ...options.founders]
  for (const code of codes) demandCode(code)
  const twice = codes.find((code, index) => codes.indexOf(code) < index)
  if (twice !== undefined) {
    throw new NodeError("SETUP_INVALID", `founding mission ${twice} is named twice`, {
      hint: "name the others only; headquarters is the first by itself",
    })
  }
  if (codes.length > limits.MISSIONS_MAX) {
    const most = `expected at most ${limits.MISSIONS_MAX} founding missions, got ${codes.length}`
    throw new NodeError("SETUP_INVALID", most)
  }
  const validators = new Set([options.code, ...(options.validators ?? options.founders)])
  const stranger = [...validators].find((code) => !codes.includes(code))
  if (stranger !== undefined) {
    throw new NodeError("SETUP_INVALID", `validator ${stranger} is not a founding mission`)
  }
  if (validators.size > limits.VALIDATORS_MAX) {
    const most = `expected at most ${limits.VALIDATORS_MAX} validators, got ${validators.size}`
    throw new NodeError("SETUP_INVALID", most, { hint: "name those that vote with --validators" })
  }
}

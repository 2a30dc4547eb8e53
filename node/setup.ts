/**
 * Making homes: headquarters with its network, and missions with a request to be admitted; and what
 * governance signs for them (OPERATIONS, "Key ceremony").
 *
 * All keys are made here, on the machine that will use them; only public halves leave it.
 */

import { randomFillSync } from "node:crypto"
import { join } from "node:path"
import { fingerprint } from "../protocol/keys.ts"
import {
  encodeGenesis,
  isOrigin,
  memberStatement,
  networkId,
  signBallot,
  signProposal,
  verifyGenesis,
  type Action,
  type Genesis,
  type Policy,
} from "../protocol/governance.ts"
import {
  isMissionCode,
  OFFICER_ROLES,
  officerStatement,
  signMissionRequest,
  signValidator,
  verifyMissionRequest,
  type MissionFacts,
  type Officer,
  type OfficerCertificate,
  type OfficerRole,
} from "../protocol/identity.ts"
import { LABELS } from "../protocol/labels.ts"
import * as limits from "../protocol/limits.ts"
import { CLASSIFICATIONS, PRECEDENCES, type Classification } from "../protocol/words.ts"
import type { LedgerStatus, MissionInfo } from "./api/shapes.ts"
import { listenAddress } from "./addresses.ts"
import { DEFAULT_CONFIG, writeConfig, type Config } from "./config.ts"
import { NodeError } from "./errors.ts"
import { createHome, homeLayout, openHome, type Home } from "./home.ts"
import { readKdfProfile, type KdfProfile } from "./kdf.ts"
import type { NamedSecret } from "./keystore-file.ts"
import { createKeystore, openKeystore, type Keystore } from "./keystore.ts"
import { readFileUpTo, replaceFile } from "./store/file.ts"
import { nativeSuite } from "./suite.ts"

export interface OfficerOption {
  readonly name: string
  readonly roles: readonly string[]
  readonly clearance?: Classification
}

/** What headquarters and missions have in common when they make their homes. */
export interface HomeOptions {
  readonly home: string
  readonly passphrase: string
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  /** What others dial: multiaddrs, or HOST:PORT for TCP. */
  readonly addresses: readonly string[]
  /** What the node listens on; empty: as `addresses`. */
  readonly listen: readonly string[]
  readonly officers: readonly OfficerOption[]
}

export interface NetworkOptions extends HomeOptions {
  readonly name: string
  readonly origin: string
  readonly transport: "noise" | "tls-pq"
  /** Two officers from IMMEDIATE or CONFIDENTIAL on. */
  readonly twoPerson: boolean
  /** Δ of consensus in ms, 250 … 2,000; 500 when absent. */
  readonly consensusDeltaMs?: number
}

export interface NetworkCreated {
  readonly network: string
  readonly fingerprint: string
  readonly genesis: Uint8Array
  readonly genesisFile: string
}

export interface RequestOptions extends HomeOptions {
  readonly genesis: Uint8Array
}

export interface RequestCreated {
  readonly network: string
  /** What headquarters reads out when it gives the genesis file away. */
  readonly networkFingerprint: string
  readonly fingerprint: string
  readonly request: Uint8Array
  readonly requestFile: string
}

export interface RequestFacts {
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  readonly network: string
  readonly fingerprint: string
  readonly addresses: readonly string[]
  readonly officers: readonly { readonly name: string; readonly roles: readonly string[] }[]
}

/** Names of the keys in a node's key file (keystore.ts). */
export const KEY_NAMES = {
  identity: "identity",
  signing: "signing",
  transport: "transport",
  submit: "submit",
  witness: "witness",
  witnessPq: "witness-pq",
  store: "store",
  consensus: "validator/consensus",
  log: "validator/log",
  cosigner: "validator/cosigner",
  cosignerPq: "validator/cosigner-pq",
  officer: (index: number): string => `officer/${index}`,
  governance: "governance",
} as const

const TWO_PERSON_PRECEDENCE = PRECEDENCES.code("immediate")
const TWO_PERSON_CLASSIFICATION = CLASSIFICATIONS.code("confidential")

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))
const suite = nativeSuite

/** Where the genesis lies in a home. */
function genesisPath(home: Home): string {
  return join(home.root, "network.genesis")
}

/** Where the governance key lies, at the member that has one. */
function governancePath(home: Home): string {
  return join(home.keys, "governance")
}

/**
 * Makes headquarters' home and a network with governance 1-of-1 and one validator.
 *
 * @throws NodeError `HOME_EXISTS`, `HOME_PERMISSIONS`, `SETUP_INVALID`; ProtocolError
 * `CERTIFICATE_INVALID`, `CODEC_*` for facts that no certificate can hold.
 */
export async function createNetwork(options: NetworkOptions): Promise<NetworkCreated> {
  checkOptions(options)
  if (!isOrigin(options.origin)) {
    const message = `origin "${options.origin}": expected ASCII without spaces and plus signs`
    throw new NodeError("SETUP_INVALID", message, { hint: "such as ledger.mofa.gov.bd/tarbarta" })
  }
  const home = await createHome(options.home)
  const { profile } = readKdfProfile(process.env)
  const secrets = [...missionSecrets(options.officers.length), ...validatorSecrets()]
  const keystore = await keep(home.keystore, options.passphrase, profile, secrets)
  const governance = await keep(governancePath(home), options.passphrase, profile, [
    { name: KEY_NAMES.governance, kind: "composite", bytes: random(limits.COMPOSITE_SEED_BYTES) },
  ])
  const nonce = random(limits.HASH_BYTES)
  const member = {
    name: `${options.code} governance`,
    publicKey: governance.publicKey(KEY_NAMES.governance),
  }
  const sign = governance.signer(KEY_NAMES.governance)
  const genesis = encodeGenesis({
    name: options.name.normalize("NFC"),
    origin: options.origin,
    createdMs: Date.now(),
    nonce,
    policy: policyOf(options),
    thresholds: { revoke: 1, admit: 1, policy: 1, upgrade: 1, recover: 1 },
    members: [{ ...member, possession: sign(LABELS.genesis, memberStatement(nonce, member)) }],
    missions: [makeRequest(keystore, options, nonce)],
    validators: [makeValidator(keystore, nonce)],
  })
  verifyGenesis(suite, genesis)
  const genesisFile = genesisPath(home)
  await replaceFile(genesisFile, genesis)
  await writeConfig(home.config, configOf(options, true))
  keystore.close()
  governance.close()
  return { ...namesOf(genesis), genesis, genesisFile }
}

/**
 * Makes a mission's home and its request to be admitted.
 *
 * @throws as {@link createNetwork}, and ProtocolError `GENESIS_INVALID` for a network file that is
 * none.
 */
export async function createRequest(options: RequestOptions): Promise<RequestCreated> {
  checkOptions(options)
  verifyGenesis(suite, options.genesis)
  const net = networkId(suite, options.genesis)
  const home = await createHome(options.home)
  const secrets = missionSecrets(options.officers.length)
  const { profile } = readKdfProfile(process.env)
  const keystore = await keep(home.keystore, options.passphrase, profile, secrets)
  const request = makeRequest(keystore, options, net)
  verifyMissionRequest(suite, request, net)
  const requestFile = join(home.root, `${options.code}.request`)
  await replaceFile(genesisPath(home), options.genesis)
  await replaceFile(requestFile, request)
  await writeConfig(home.config, configOf(options, false))
  keystore.close()
  const names = namesOf(options.genesis)
  // Both sides compare the request's own fingerprint: it is what governance admits.
  return {
    network: names.network,
    networkFingerprint: names.fingerprint,
    fingerprint: fingerprint(suite.sha256(request)),
    request,
    requestFile,
  }
}

/** What a request asks for, after every signature in it was checked. */
export async function inspectRequest(options: {
  readonly home: string
  readonly request: Uint8Array
}): Promise<RequestFacts> {
  const home = await openHome(options.home)
  const genesis = await readFileUpTo(genesisPath(home), limits.GENESIS_BYTES_MAX)
  const net = networkId(suite, genesis)
  const facts = verifyMissionRequest(suite, options.request, net)
  return {
    code: facts.code,
    nameEn: facts.nameEn,
    nameBn: facts.nameBn,
    network: Buffer.from(net).toString("hex"),
    fingerprint: fingerprint(suite.sha256(options.request)),
    addresses: facts.addresses,
    officers: facts.officers.map(({ name, roles }) => ({ name, roles })),
  }
}

/** The entries that admit a mission: a proposal and this member's ballot. */
export async function buildAdmission(options: {
  readonly home: string
  readonly passphrase: string
  readonly request: Uint8Array
  readonly ledger: LedgerStatus
}): Promise<readonly Uint8Array[]> {
  return governs(options, { type: "admit", request: options.request })
}

/** The entries that revoke a mission. */
export async function buildRevocation(options: {
  readonly home: string
  readonly passphrase: string
  readonly mission: MissionInfo
  readonly reason: string
  readonly ledger: LedgerStatus
}): Promise<readonly Uint8Array[]> {
  const { mission, reason } = options
  return governs(options, { type: "revoke", rid: mission.rid, reason })
}

async function governs(
  options: { readonly home: string; readonly passphrase: string; readonly ledger: LedgerStatus },
  action: Action,
): Promise<readonly Uint8Array[]> {
  const home = await openHome(options.home)
  const { profile } = readKdfProfile(process.env)
  const access = { path: governancePath(home), passphrase: options.passphrase, profile }
  let governance: Keystore
  try {
    governance = await openKeystore({ ...access, suite, random })
  } catch (cause) {
    if (!(cause instanceof NodeError) || cause.code !== "KEYSTORE_MISSING") throw cause
    throw new NodeError("GOVERNANCE_KEY_MISSING", "this home holds no governance key", {
      cause,
      hint: "run this where the network was made, or where a governance member works",
    })
  }
  const memberKey = governance.publicKey(KEY_NAMES.governance)
  const sign = governance.signer(KEY_NAMES.governance)
  const net = Buffer.from(options.ledger.network, "hex")
  const proposal = {
    net,
    action,
    baseStateHash: Buffer.from(options.ledger.governanceState, "hex"),
    expiresHeight: options.ledger.height + limits.PROPOSAL_BLOCKS,
    createdMs: Date.now(),
  }
  const { id, payload } = signProposal(suite, proposal, memberKey, sign)
  const ballot = signBallot(suite, { net, proposalId: id, approve: true }, memberKey, sign)
  governance.close()
  return [payload, ballot]
}

// --- parts ----------------------------------------------------------------------------------

function checkOptions(options: HomeOptions): void {
  if (!isMissionCode(options.code)) {
    const message = `mission code "${options.code}": expected a capital, then 1 … 7 capitals, digits`
    throw new NodeError("SETUP_INVALID", message, { hint: "such as LON, DEL or UNNY" })
  }
  if (options.officers.length > limits.OFFICERS_PER_REQUEST_MAX) {
    const most = `at most ${limits.OFFICERS_PER_REQUEST_MAX} officers, got ${options.officers.length}`
    throw new NodeError("SETUP_INVALID", most)
  }
  for (const officer of options.officers) officerRoles(officer)
  for (const address of [...options.addresses, ...options.listen]) listenAddress(address)
}

function officerRoles(officer: OfficerOption): readonly OfficerRole[] {
  return officer.roles.map((name) => {
    const role = OFFICER_ROLES.find((one) => one === name)
    if (role !== undefined) return role
    const message = `officer "${officer.name}": no role "${name}"`
    throw new NodeError("SETUP_INVALID", message, { hint: `roles: ${OFFICER_ROLES.join(", ")}` })
  })
}

async function keep(
  path: string,
  passphrase: string,
  profile: KdfProfile,
  secrets: readonly NamedSecret[],
): Promise<Keystore> {
  return createKeystore({ path, passphrase, profile, suite, random }, secrets)
}

function missionSecrets(officers: number): NamedSecret[] {
  return [
    { name: KEY_NAMES.identity, kind: "composite", bytes: random(limits.COMPOSITE_SEED_BYTES) },
    { name: KEY_NAMES.signing, kind: "composite", bytes: random(limits.COMPOSITE_SEED_BYTES) },
    { name: KEY_NAMES.transport, kind: "secret", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.submit, kind: "ed25519", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.witness, kind: "ed25519", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.witnessPq, kind: "mldsa44", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.store, kind: "secret", bytes: random(limits.SEED_BYTES) },
    ...Array.from({ length: officers }, (_, index): NamedSecret => {
      return {
        name: KEY_NAMES.officer(index),
        kind: "composite",
        bytes: random(limits.COMPOSITE_SEED_BYTES),
      }
    }),
  ]
}

function validatorSecrets(): NamedSecret[] {
  return [
    { name: KEY_NAMES.consensus, kind: "ed25519", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.log, kind: "ed25519", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.cosigner, kind: "ed25519", bytes: random(limits.SEED_BYTES) },
    { name: KEY_NAMES.cosignerPq, kind: "mldsa44", bytes: random(limits.SEED_BYTES) },
  ]
}

function makeRequest(keystore: Keystore, options: HomeOptions, net: Uint8Array): Uint8Array {
  const { code } = options
  const officers = options.officers.map((option, index): OfficerCertificate => {
    const name = KEY_NAMES.officer(index)
    const officer: Officer = {
      name: option.name.normalize("NFC"),
      roles: officerRoles(option),
      clearance: CLASSIFICATIONS.code(option.clearance ?? "top-secret"),
      publicKey: keystore.publicKey(name),
    }
    const statement = officerStatement(net, code, officer)
    return { ...officer, possession: keystore.signer(name)(LABELS.officer, statement) }
  })
  const facts: MissionFacts = {
    net,
    code,
    nameEn: options.nameEn.normalize("NFC"),
    nameBn: options.nameBn.normalize("NFC"),
    identityKey: keystore.publicKey(KEY_NAMES.identity),
    signingKey: keystore.publicKey(KEY_NAMES.signing),
    transportKey: suite.ed25519PublicKey(keystore.secret(KEY_NAMES.transport)),
    submitKey: keystore.publicKey(KEY_NAMES.submit),
    witnessKey: keystore.publicKey(KEY_NAMES.witness),
    witnessPqKey: keystore.publicKey(KEY_NAMES.witnessPq),
    addresses: options.addresses.map(listenAddress),
    officers,
    createdMs: Date.now(),
  }
  const witnessPq = keystore.mldsa44Signer(KEY_NAMES.witnessPq)
  return signMissionRequest(suite, facts, {
    identity: keystore.signer(KEY_NAMES.identity),
    signing: keystore.signer(KEY_NAMES.signing),
    submit: keystore.ed25519Signer(KEY_NAMES.submit),
    witness: keystore.ed25519Signer(KEY_NAMES.witness),
    witnessPq: (message) => witnessPq(new Uint8Array(0), message),
  })
}

function makeValidator(keystore: Keystore, nonce: Uint8Array): Uint8Array {
  const cosignerPq = keystore.mldsa44Signer(KEY_NAMES.cosignerPq)
  return signValidator(
    suite,
    nonce,
    {
      rid: 1,
      consensusKey: keystore.publicKey(KEY_NAMES.consensus),
      logKey: keystore.publicKey(KEY_NAMES.log),
      cosignerKey: keystore.publicKey(KEY_NAMES.cosigner),
      cosignerPqKey: keystore.publicKey(KEY_NAMES.cosignerPq),
    },
    {
      consensus: keystore.ed25519Signer(KEY_NAMES.consensus),
      log: keystore.ed25519Signer(KEY_NAMES.log),
      cosigner: keystore.ed25519Signer(KEY_NAMES.cosigner),
      cosignerPq: (message) => cosignerPq(new Uint8Array(0), message),
    },
  )
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

function configOf(options: HomeOptions, relay: boolean): Config {
  const listen = options.listen.length > 0 ? options.listen : options.addresses
  return {
    ...DEFAULT_CONFIG,
    mission: options.code,
    listen: listen.map(listenAddress),
    relay,
  }
}

function namesOf(genesisBytes: Uint8Array): { network: string; fingerprint: string } {
  const net = networkId(suite, genesisBytes)
  return { network: Buffer.from(net).toString("hex"), fingerprint: fingerprint(net) }
}

/** The genesis of a home, verified. */
export async function readGenesis(
  root: string,
): Promise<{ bytes: Uint8Array; genesis: Genesis; net: Uint8Array }> {
  const bytes = await readFileUpTo(genesisPath(homeLayout(root)), limits.GENESIS_BYTES_MAX)
  return { bytes, genesis: verifyGenesis(suite, bytes), net: networkId(suite, bytes) }
}

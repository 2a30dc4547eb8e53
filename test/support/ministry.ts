/**
 * A ministry for tests: a genesis with real keys, and posts with all of their private halves.
 *
 * `createMinistry(n, seed)` founds a network of n missions, with headquarters (Dhaka, code DAC) as the
 * only validator unless `validators` says more. Posts after the first `founding` ask for admission,
 * which headquarters' governance member proposes and approves. Everything comes from the seed, native
 * signatures included, so one seed is one network.
 */

import { compositePublicKey, compositeSign } from "../../protocol/composite.ts"
import {
  encodeGenesis,
  memberStatement,
  networkId,
  signBallot,
  signProposal,
  type Policy,
} from "../../protocol/governance.ts"
import {
  officerStatement,
  signMissionRequest,
  signValidator,
  type MissionFacts,
  type Officer,
  type OfficerCertificate,
  type OfficerRole,
} from "../../protocol/identity.ts"
import type { CompositeSigner } from "../../protocol/keys.ts"
import { LABELS } from "../../protocol/labels.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import type { PeerKey } from "../../node/network/transport.ts"
import { seededRandom } from "./rng.ts"
import type { CheckpointKeys } from "../../node/consensus/checkpoints.ts"
import { suite as nativeSuite } from "./suites.ts"

/** A composite key with its seed. */
export interface CompositeKey {
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  readonly sign: CompositeSigner
}

/** An Ed25519 key with its seed. */
export interface Ed25519Key {
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
}

export interface MinistryOfficer extends Officer {
  readonly key: CompositeKey
}

/** One mission with everything it keeps secret. */
export interface MinistryPost {
  /** Number on the ledger once all posts are admitted, in order: 1 is headquarters. */
  readonly rid: number
  readonly code: string
  readonly peer: PeerKey
  readonly identity: CompositeKey
  readonly signing: CompositeKey
  readonly transport: Ed25519Key
  readonly submit: Ed25519Key
  readonly officers: readonly MinistryOfficer[]
  readonly facts: MissionFacts
  readonly witness: Ed25519Key
  readonly witnessPqSeed: Uint8Array
  /** Signed request: founding record in the genesis for headquarters, for admission elsewhere. */
  readonly request: Uint8Array
}

/** A key of ML-DSA-44 that signs as cosigners do, with an empty context. */
export interface CosignerPqKey {
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** The four keys of a mission that is a validator. */
export interface MinistryValidator {
  readonly rid: number
  readonly consensus: Ed25519Key
  readonly log: Ed25519Key
  readonly cosigner: Ed25519Key
  readonly cosignerPq: CosignerPqKey
}

export interface Ministry {
  readonly suite: Suite
  readonly random: RandomSource
  readonly genesisBytes: Uint8Array
  /** Chain id. */
  readonly net: Uint8Array
  readonly member: CompositeKey
  /** Validators of the genesis, headquarters first, in the order of their numbers. */
  readonly validators: readonly MinistryValidator[]
  readonly posts: readonly MinistryPost[]
  /** What a post signs checkpoints with; headquarters as a validator too. */
  checkpointKeys(post: MinistryPost): CheckpointKeys
  /** Payloads of the two governance entries that admit a post: the proposal, then the ballot. */
  admission(post: MinistryPost, baseStateHash: Uint8Array): [Uint8Array, Uint8Array]
  /** As {@link Ministry.admission}, for a revocation. */
  revocation(rid: number, baseStateHash: Uint8Array): [Uint8Array, Uint8Array]
}

export interface MinistryOptions {
  readonly suite?: Suite
  readonly policy?: Partial<Policy>
  /** Posts that are in the genesis already, headquarters included; default all of them. */
  readonly founding?: number
  /** The first so many posts are validators; default 1, headquarters alone. */
  readonly validators?: number
  readonly createdMs?: number
  /** Multiaddrs of a post; none when absent. */
  readonly addressesOf?: (code: string) => readonly string[]
}

export const POST_CODES: readonly string[] = [
  "DAC",
  "LON",
  "DEL",
  "NYC",
  "RUH",
  "KUL",
  "TYO",
  "PAR",
  "CAI",
  "NBO",
  "OTT",
  "CBR",
]

const POLICY: Policy = {
  transportEncryption: "noise",
  flashTextBytesMax: 16 * 1_024,
  twoPersonFromPrecedence: 6,
  twoPersonFromClassification: 5,
  epochKeyKeepHours: 72,
  desks: [1],
  consensusDeltaMs: 500,
}

const OFFICERS: readonly { name: string; roles: readonly OfficerRole[] }[] = [
  { name: "drafter", roles: ["drafter", "duty", "cipher"] },
  { name: "releaser", roles: ["releaser", "administrator", "auditor"] },
]

/** A ministry of `count` posts, 1 … 12. */
export function createMinistry(
  count: number,
  seed: string | number,
  options: MinistryOptions = {},
): Ministry {
  const suite = options.suite ?? nativeSuite
  const random = seededRandom(`ministry ${seed}`)
  const createdMs = options.createdMs ?? Date.UTC(2026, 0, 1)
  const founding = options.founding ?? count
  const nonce = random(32)
  const keys = POST_CODES.slice(0, count).map((code) => drawPost(suite, random, code))
  const make = (drawn: DrawnPost, index: number, net: Uint8Array): MinistryPost =>
    makePost(suite, random, drawn, index + 1, net, createdMs, options)
  const founders = keys.slice(0, founding).map((drawn, index) => make(drawn, index, nonce))
  const member = compositeKey(suite, random)
  const validators = founders
    .slice(0, options.validators ?? 1)
    .map(({ rid }) => drawValidator(suite, random, rid))
  const possession = member.sign(
    LABELS.genesis,
    memberStatement(nonce, { name: "minister", publicKey: member.publicKey }),
  )
  const genesisBytes = encodeGenesis({
    name: "Test ministry",
    origin: `test/${String(seed).replaceAll(" ", "-")}`,
    createdMs,
    nonce,
    policy: { ...POLICY, ...options.policy },
    thresholds: { revoke: 1, admit: 1, policy: 1, upgrade: 1, recover: 1 },
    members: [{ name: "minister", publicKey: member.publicKey, possession }],
    missions: founders.map((post) => post.request),
    validators: validators.map((one) => proveValidator(suite, nonce, one)),
  })
  const net = networkId(suite, genesisBytes)
  const applicants = keys.slice(founding).map((drawn, index) => make(drawn, founding + index, net))
  const govern = governor(suite, net, member, createdMs)
  return {
    suite,
    random,
    genesisBytes,
    net,
    member,
    validators,
    posts: [...founders, ...applicants],
    checkpointKeys: (post) => {
      const witness = {
        cosigner: post.witness.sign,
        cosignerPq: signerPq(suite, post.witnessPqSeed, seed),
      }
      const validator = validators.find(({ rid }) => rid === post.rid)
      if (validator === undefined) return { witness }
      const { log, cosigner } = validator
      const cosignerPq = signerPq(suite, validator.cosignerPq.seed, seed)
      return { witness, validator: { log: log.sign, cosigner: cosigner.sign, cosignerPq } }
    },
    admission: (post, base) => govern({ type: "admit", request: post.request }, base),
    revocation: (rid, base) => govern({ type: "revoke", rid, reason: "test" }, base),
  }
}

export function compositeKey(suite: Suite, random: RandomSource): CompositeKey {
  const seed = random(64)
  return {
    seed,
    publicKey: compositePublicKey(suite, seed),
    sign: (context, message) => compositeSign(suite, seed, context, message, random),
  }
}

export function ed25519Key(suite: Suite, random: RandomSource): Ed25519Key {
  const seed = random(32)
  return {
    seed,
    publicKey: suite.ed25519PublicKey(seed),
    sign: (message) => suite.ed25519Sign(seed, message),
  }
}

interface DrawnPost {
  readonly code: string
  readonly identity: CompositeKey
  readonly signing: CompositeKey
  readonly transport: Ed25519Key
  readonly submit: Ed25519Key
  readonly witness: Ed25519Key
  readonly witnessPqSeed: Uint8Array
  readonly officers: readonly MinistryOfficer[]
}

function drawPost(suite: Suite, random: RandomSource, code: string): DrawnPost {
  return {
    code,
    identity: compositeKey(suite, random),
    signing: compositeKey(suite, random),
    transport: ed25519Key(suite, random),
    submit: ed25519Key(suite, random),
    witness: ed25519Key(suite, random),
    witnessPqSeed: random(32),
    officers: OFFICERS.map(({ name, roles }) => {
      const key = compositeKey(suite, random)
      return { name: `${code} ${name}`, roles, clearance: 4, publicKey: key.publicKey, key }
    }),
  }
}

function makePost(
  suite: Suite,
  random: RandomSource,
  drawn: DrawnPost,
  rid: number,
  net: Uint8Array,
  createdMs: number,
  options: MinistryOptions,
): MinistryPost {
  const { code, identity, signing, transport, submit, witness, witnessPqSeed, officers } = drawn
  const certified = officers.map((officer): OfficerCertificate => {
    const { name, roles, clearance, publicKey } = officer
    const statement = officerStatement(net, code, officer)
    const possession = officer.key.sign(LABELS.officer, statement)
    return { name, roles, clearance, publicKey, possession }
  })
  const facts: MissionFacts = {
    net,
    code,
    nameEn: `Post ${code}`,
    nameBn: "মিশন",
    identityKey: identity.publicKey,
    signingKey: signing.publicKey,
    transportKey: transport.publicKey,
    submitKey: submit.publicKey,
    witnessKey: witness.publicKey,
    witnessPqKey: suite.mldsaPublicKey(44, witnessPqSeed),
    addresses: options.addressesOf?.(code) ?? [],
    officers: certified,
    createdMs,
  }
  const request = signMissionRequest(suite, facts, {
    identity: identity.sign,
    signing: signing.sign,
    submit: submit.sign,
    witness: witness.sign,
    witnessPq: (message) => signPq(suite, witnessPqSeed, message, random),
  })
  const peer = Array.from(transport.publicKey, hexByte).join("")
  return {
    rid,
    code,
    peer,
    identity,
    signing,
    transport,
    submit,
    officers,
    facts,
    witness,
    witnessPqSeed,
    request,
  }
}

function drawValidator(suite: Suite, random: RandomSource, rid: number): MinistryValidator {
  const seed = random(32)
  return {
    rid,
    consensus: ed25519Key(suite, random),
    log: ed25519Key(suite, random),
    cosigner: ed25519Key(suite, random),
    cosignerPq: {
      seed,
      publicKey: suite.mldsaPublicKey(44, seed),
      sign: (message) => signPq(suite, seed, message, random),
    },
  }
}

/** What stands in the genesis for a validator: its keys, each with a proof of possession. */
function proveValidator(suite: Suite, nonce: Uint8Array, keys: MinistryValidator): Uint8Array {
  const { rid, consensus, log, cosigner, cosignerPq } = keys
  const facts = {
    rid,
    consensusKey: consensus.publicKey,
    logKey: log.publicKey,
    cosignerKey: cosigner.publicKey,
    cosignerPqKey: cosignerPq.publicKey,
  }
  return signValidator(suite, nonce, facts, {
    consensus: consensus.sign,
    log: log.sign,
    cosigner: cosigner.sign,
    cosignerPq: cosignerPq.sign,
  })
}

/** With randomness of its own: how often a node signs must not change what others draw. */
function signerPq(
  suite: Suite,
  pqSeed: Uint8Array,
  seed: string | number,
): (message: Uint8Array) => Uint8Array {
  const random = seededRandom(`checkpoints ${seed}`)
  return (message) => signPq(suite, pqSeed, message, random)
}

function governor(suite: Suite, net: Uint8Array, member: CompositeKey, createdMs: number) {
  return (
    action: Parameters<typeof signProposal>[1]["action"],
    baseStateHash: Uint8Array,
  ): [Uint8Array, Uint8Array] => {
    const proposal = { net, action, baseStateHash, expiresHeight: 1_000_000, createdMs }
    const { id, payload } = signProposal(suite, proposal, member.publicKey, member.sign)
    const ballot = { net, proposalId: id, approve: true }
    return [payload, signBallot(suite, ballot, member.publicKey, member.sign)]
  }
}

function signPq(
  suite: Suite,
  seed: Uint8Array,
  message: Uint8Array,
  random: RandomSource,
): Uint8Array {
  return suite.mldsaSign(44, seed, message, new Uint8Array(0), random)
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0")
}

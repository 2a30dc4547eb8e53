/**
 * Identities piece by piece, for tests that make one piece wrong: missions with their keys, their
 * requests, validators, and a network of two missions that three members govern, two of whom decide.
 * Everything comes from a seed; on the portable suite it is the same bytes on every machine.
 */

import { signEpochKeys, type EpochKeys } from "../../protocol/epoch.ts"
import {
  encodeGenesis,
  memberStatement,
  networkId,
  signBallot,
  signProposal,
  type Action,
  type Ballot,
  type GenesisParts,
  type Proposal,
} from "../../protocol/governance.ts"
import {
  officerStatement,
  signMissionRequest,
  signValidator,
  type MissionFacts,
  type MissionSigners,
  type Officer,
  type ValidatorFacts,
  type ValidatorSigners,
} from "../../protocol/identity.ts"
import { LABELS } from "../../protocol/labels.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import { compositeKey, ed25519Key, type CompositeKey, type Ed25519Key } from "./ministry.ts"
import { seededRandom } from "./rng.ts"

export const NEW_YEAR_MS = Date.UTC(2026, 0, 1)

/** A mission that has its keys, but no network yet. */
export interface Applicant {
  readonly code: string
  readonly identity: CompositeKey
  readonly signing: CompositeKey
  readonly transport: Ed25519Key
  readonly submit: Ed25519Key
  readonly witness: Ed25519Key
  readonly witnessPqKey: Uint8Array
  readonly witnessPq: (message: Uint8Array) => Uint8Array
  readonly officers: readonly (Officer & { readonly key: CompositeKey })[]
}

export function drawApplicant(suite: Suite, random: RandomSource, code: string): Applicant {
  const pq = pqKey(suite, random)
  const officer = (name: string, roles: Officer["roles"]): Applicant["officers"][number] => {
    const key = compositeKey(suite, random)
    return { name, roles, clearance: 3, publicKey: key.publicKey, key }
  }
  return {
    code,
    identity: compositeKey(suite, random),
    signing: compositeKey(suite, random),
    transport: ed25519Key(suite, random),
    submit: ed25519Key(suite, random),
    witness: ed25519Key(suite, random),
    witnessPqKey: pq.publicKey,
    witnessPq: pq.sign,
    officers: [
      officer("Rahima Khatun", ["drafter", "duty"]),
      officer("Nurul Islam", ["releaser", "administrator"]),
    ],
  }
}

/** What an honest applicant states about itself for `net`. */
export function factsFor(applicant: Applicant, net: Uint8Array): MissionFacts {
  const { code } = applicant
  return {
    net,
    code,
    nameEn: `Mission ${code}`,
    nameBn: "দূতাবাস",
    identityKey: applicant.identity.publicKey,
    signingKey: applicant.signing.publicKey,
    transportKey: applicant.transport.publicKey,
    submitKey: applicant.submit.publicKey,
    witnessKey: applicant.witness.publicKey,
    witnessPqKey: applicant.witnessPqKey,
    addresses: [`/dns4/${code.toLowerCase()}.example/tcp/443/wss`],
    officers: applicant.officers.map(({ key, ...officer }) => ({
      ...officer,
      possession: key.sign(LABELS.officer, officerStatement(net, code, officer)),
    })),
    createdMs: NEW_YEAR_MS,
  }
}

export function signersOf(applicant: Applicant): MissionSigners {
  return {
    identity: applicant.identity.sign,
    signing: applicant.signing.sign,
    submit: applicant.submit.sign,
    witness: applicant.witness.sign,
    witnessPq: applicant.witnessPq,
  }
}

/** A signed request; `change` tells something else than the truth, under good signatures. */
export function requestFor(
  suite: Suite,
  applicant: Applicant,
  net: Uint8Array,
  change: Partial<MissionFacts> = {},
): Uint8Array {
  const facts = { ...factsFor(applicant, net), ...change }
  return signMissionRequest(suite, facts, signersOf(applicant))
}

export interface DrawnValidator {
  readonly facts: ValidatorFacts
  readonly signers: ValidatorSigners
}

export function drawValidator(suite: Suite, random: RandomSource, rid: number): DrawnValidator {
  const [consensus, log, cosigner] = [1, 2, 3].map(() => ed25519Key(suite, random))
  if (consensus === undefined || log === undefined || cosigner === undefined) throw new RangeError()
  const pq = pqKey(suite, random)
  return {
    facts: {
      rid,
      consensusKey: consensus.publicKey,
      logKey: log.publicKey,
      cosignerKey: cosigner.publicKey,
      cosignerPqKey: pq.publicKey,
    },
    signers: {
      consensus: consensus.sign,
      log: log.sign,
      cosigner: cosigner.sign,
      cosignerPq: pq.sign,
    },
  }
}

export const MEMBER_NAMES = ["Minister", "Secretary", "Registrar"] as const

/** A network of headquarters (DAC, the validator) and London, with what it takes to change it. */
export class Founding {
  readonly suite: Suite
  readonly random: RandomSource
  readonly members: readonly (CompositeKey & { readonly name: string })[]
  readonly dhaka: Applicant
  readonly london: Applicant
  readonly validator: DrawnValidator
  readonly parts: GenesisParts
  readonly genesisBytes: Uint8Array
  readonly net: Uint8Array

  constructor(suite: Suite, seed: string) {
    const random = seededRandom(`founding ${seed}`)
    this.suite = suite
    this.random = random
    const nonce = random(32)
    this.members = MEMBER_NAMES.map((name) => ({ name, ...compositeKey(suite, random) }))
    this.dhaka = drawApplicant(suite, random, "DAC")
    this.london = drawApplicant(suite, random, "LON")
    this.validator = drawValidator(suite, random, 1)
    const { facts, signers } = this.validator
    this.parts = {
      name: "Ministry of Foreign Affairs",
      origin: "ledger.example/tarbarta",
      createdMs: NEW_YEAR_MS,
      nonce,
      policy: {
        transportEncryption: "noise",
        flashTextBytesMax: 16 * 1_024,
        twoPersonFromPrecedence: 3,
        twoPersonFromClassification: 2,
        epochKeyKeepHours: 72,
        desks: [1],
        consensusDeltaMs: 500,
      },
      thresholds: { revoke: 2, admit: 2, policy: 2, upgrade: 3, recover: 3 },
      members: this.members.map((member) => proveMember(nonce, member)),
      missions: [this.dhaka, this.london].map((mission) => requestFor(suite, mission, nonce)),
      validators: [signValidator(suite, nonce, facts, signers)],
    }
    this.genesisBytes = encodeGenesis(this.parts)
    this.net = networkId(suite, this.genesisBytes)
  }

  /** The member with this number, 0 … 2. */
  member(index: number): CompositeKey {
    const member = this.members[index]
    if (member === undefined) throw new RangeError(`no member ${index}`)
    return member
  }

  /** A proposal by the first member, unless another key is given. */
  propose(
    action: Action,
    baseStateHash: Uint8Array,
    change: Partial<Proposal> = {},
    by: CompositeKey = this.member(0),
  ): { id: Uint8Array; payload: Uint8Array } {
    const proposal: Proposal = {
      net: this.net,
      action,
      baseStateHash,
      expiresHeight: 1_000,
      createdMs: NEW_YEAR_MS,
      ...change,
    }
    return signProposal(this.suite, proposal, by.publicKey, by.sign)
  }

  ballot(proposalId: Uint8Array, by: CompositeKey, change: Partial<Ballot> = {}): Uint8Array {
    const ballot: Ballot = { net: this.net, proposalId, approve: true, ...change }
    return signBallot(this.suite, ballot, by.publicKey, by.sign)
  }

  /** A publication of epoch keys; the keys are bytes of the right length. */
  publish(
    rid: number,
    by: CompositeKey,
    epochs: readonly number[],
    change: Partial<EpochKeys> = {},
  ): Uint8Array {
    const keys = epochs.map((epoch) => ({ epoch, publicKey: this.random(1_216) }))
    const publication = { net: this.net, rid, keys, createdMs: NEW_YEAR_MS, ...change }
    return signEpochKeys(this.suite, publication, by.publicKey, by.sign)
  }
}

export function proveMember(
  nonce: Uint8Array,
  member: CompositeKey & { readonly name: string },
): GenesisParts["members"][number] {
  const { name, publicKey } = member
  const statement = memberStatement(nonce, { name, publicKey })
  return { name, publicKey, possession: member.sign(LABELS.genesis, statement) }
}

function pqKey(
  suite: Suite,
  random: RandomSource,
): { publicKey: Uint8Array; sign: (message: Uint8Array) => Uint8Array } {
  const seed = random(32)
  return {
    publicKey: suite.mldsaPublicKey(44, seed),
    sign: (message) => suite.mldsaSign(44, seed, message, new Uint8Array(0), random),
  }
}

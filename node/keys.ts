/**
 * The keys of a new home: made on the machine that will use them, and what they sign for a place in
 * the network (PROTOCOL §4.2 to §4.4). Only public halves leave it.
 */

import { randomFillSync } from "node:crypto"
import {
  officerStatement,
  signMissionRequest,
  signValidator,
  type MissionFacts,
  type Officer,
  type OfficerCertificate,
} from "../protocol/identity.ts"
import { LABELS } from "../protocol/labels.ts"
import * as limits from "../protocol/limits.ts"
import { CLASSIFICATIONS } from "../protocol/words.ts"
import { listenAddress } from "./addresses.ts"
import { NodeError } from "./errors.ts"
import { readKdfProfile } from "./kdf.ts"
import type { NamedSecret } from "./keystore-file.ts"
import { createKeystore, openKeystore, type Keystore } from "./keystore.ts"
import { officerRoles, type HomeOptions } from "./new-home.ts"
import { nativeSuite as suite } from "./suite.ts"

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

export const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

/** Makes a mission's keys, and a validator's if it is one; sealed at `path`. */
export async function makeMissionKeys(
  path: string,
  options: HomeOptions,
  validates: boolean,
): Promise<Keystore> {
  const secrets = missionSecrets(options.officers.length)
  return keep(path, options.passphrase, validates ? [...secrets, ...validatorSecrets()] : secrets)
}

/** Makes the key of a governance member; sealed at `path`. */
export async function makeGovernanceKey(path: string, passphrase: string): Promise<Keystore> {
  return keep(path, passphrase, [
    { name: KEY_NAMES.governance, kind: "composite", bytes: random(limits.COMPOSITE_SEED_BYTES) },
  ])
}

/** @throws NodeError `GOVERNANCE_KEY_MISSING`, `KEYSTORE_*`. */
export async function openGovernanceKey(path: string, passphrase: string): Promise<Keystore> {
  const { profile } = readKdfProfile(process.env)
  try {
    return await openKeystore({ path, passphrase, profile, suite, random })
  } catch (cause) {
    if (!(cause instanceof NodeError) || cause.code !== "KEYSTORE_MISSING") throw cause
    throw new NodeError("GOVERNANCE_KEY_MISSING", "this home holds no governance key", {
      cause,
      hint: "run this where the network was made, or where a governance member works",
    })
  }
}

/** A mission's request; `net` is the genesis nonce for a founding mission. */
export function makeRequest(keystore: Keystore, options: HomeOptions, net: Uint8Array): Uint8Array {
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

/** The validator's four keys of mission `rid`, each with its proof. */
export function makeValidator(keystore: Keystore, rid: number, nonce: Uint8Array): Uint8Array {
  const cosignerPq = keystore.mldsa44Signer(KEY_NAMES.cosignerPq)
  const facts = {
    rid,
    consensusKey: keystore.publicKey(KEY_NAMES.consensus),
    logKey: keystore.publicKey(KEY_NAMES.log),
    cosignerKey: keystore.publicKey(KEY_NAMES.cosigner),
    cosignerPqKey: keystore.publicKey(KEY_NAMES.cosignerPq),
  }
  return signValidator(suite, nonce, facts, {
    consensus: keystore.ed25519Signer(KEY_NAMES.consensus),
    log: keystore.ed25519Signer(KEY_NAMES.log),
    cosigner: keystore.ed25519Signer(KEY_NAMES.cosigner),
    cosignerPq: (message) => cosignerPq(new Uint8Array(0), message),
  })
}

async function keep(
  path: string,
  passphrase: string,
  secrets: readonly NamedSecret[],
): Promise<Keystore> {
  const { profile } = readKdfProfile(process.env)
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

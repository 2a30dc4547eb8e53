/**
 * Joining a network that exists: a mission's home with its request to be admitted, and what
 * governance signs for it (OPERATIONS, "Key ceremony"). How a network begins is founding.ts.
 */

import { join } from "node:path"
import {
  networkId,
  signBallot,
  signProposal,
  verifyGenesis,
  type Action,
  type Genesis,
} from "../protocol/governance.ts"
import { verifyMissionRequest } from "../protocol/identity.ts"
import { fingerprint } from "../protocol/keys.ts"
import * as limits from "../protocol/limits.ts"
import type { LedgerStatus, MissionInfo } from "./api/shapes.ts"
import { writeConfig } from "./config.ts"
import { NodeError } from "./errors.ts"
import { homeLayout, openHome } from "./home.ts"
import { KEY_NAMES, makeMissionKeys, makeRequest, openGovernanceKey } from "./keys.ts"
import {
  checkOptions,
  configOf,
  genesisPath,
  governancePath,
  makeHome,
  readIfThere,
  type HomeOptions,
} from "./new-home.ts"
import { replaceFile } from "./store/file.ts"
import { nativeSuite as suite } from "./suite.ts"

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

/**
 * Makes a mission's home and its request to be admitted.
 *
 * @throws NodeError `HOME_*`, `SETUP_INVALID`; ProtocolError `GENESIS_INVALID` for a network file
 * that is none, `CERTIFICATE_INVALID`, `CODEC_*` for facts that no certificate can hold.
 */
export async function createRequest(options: RequestOptions): Promise<RequestCreated> {
  checkOptions(options)
  verifyGenesis(suite, options.genesis)
  const net = networkId(suite, options.genesis)
  const made = await makeHome(options.home, async (home) => {
    const keystore = await makeMissionKeys(home.keystore, options, false)
    const request = makeRequest(keystore, options, net)
    keystore.close()
    verifyMissionRequest(suite, request, net)
    const requestFile = join(home.root, `${options.code}.request`)
    await replaceFile(genesisPath(home), options.genesis)
    await replaceFile(requestFile, request)
    await writeConfig(home.config, configOf(options, false))
    return { request, requestFile }
  })
  // Both sides compare the request's own fingerprint: it is what governance admits.
  return {
    ...made,
    network: Buffer.from(net).toString("hex"),
    networkFingerprint: fingerprint(net),
    fingerprint: fingerprint(suite.sha256(made.request)),
  }
}

/** What a request asks for, after every signature in it was checked. */
export async function inspectRequest(options: {
  readonly home: string
  readonly request: Uint8Array
}): Promise<RequestFacts> {
  const home = await openHome(options.home)
  const { net } = await readGenesis(home.root)
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
  const governance = await openGovernanceKey(governancePath(home), options.passphrase)
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

/** The genesis of a home, verified. @throws NodeError `GENESIS_MISSING`; ProtocolError. */
export async function readGenesis(
  root: string,
): Promise<{ bytes: Uint8Array; genesis: Genesis; net: Uint8Array }> {
  const bytes = await readIfThere(genesisPath(homeLayout(root)), limits.GENESIS_BYTES_MAX)
  if (bytes === undefined) {
    throw new NodeError("GENESIS_MISSING", "this home belongs to no network yet", {
      hint: "its founding is not finished: network assemble at headquarters, then network join",
    })
  }
  return { bytes, genesis: verifyGenesis(suite, bytes), net: networkId(suite, bytes) }
}

/**
 * Who is who: a fold over the genesis and the entries of final blocks (PROTOCOL §4.7).
 *
 * The fold is deterministic and total: an entry that breaks a rule changes nothing and gives the
 * reason, so that all nodes agree about it. Keys are ended by entries only, never by a clock, and
 * what was signed before a revocation stays valid: lookups take a height where it matters.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { concatBytes, equalBytes } from "./bytes.ts"
import type { Entry } from "./entry.ts"
import { decodeEpochKeys, verifyEpochKeys, epochAt, type EpochKey } from "./epoch.ts"
import { ProtocolError } from "./errors.ts"
import {
  decodeGovernance,
  isGovernanceSigned,
  networkId,
  verifyGenesis,
  type Genesis,
  type GovernancePayload,
  type Proposal,
} from "./governance.ts"
import {
  hasSharedKey,
  keyMark,
  missionKeyMarks,
  validatorKeyMarks,
  verifyMissionRequest,
  type MissionFacts,
  type OfficerCertificate,
} from "./identity.ts"
import { epochKeyHash, keyId } from "./keys.ts"
import { LABELS, labelBytes } from "./labels.ts"
import * as limits from "./limits.ts"
import type { Suite } from "./suite.ts"

/** A mission as the ledger knows it. */
export interface Mission {
  /** Number on the ledger: 1 is headquarters. */
  readonly rid: number
  readonly facts: MissionFacts
  /** Key id of the signing key. */
  readonly signingKid: Uint8Array
  /** Height of the block that admitted it; 0 for founding missions. */
  readonly admittedHeight: number
  /** Height from which nothing new of it is accepted. */
  readonly revokedHeight?: number
}

/** A published epoch key with the hash that binds wraps to it. */
export interface PublishedEpochKey extends EpochKey {
  readonly hash: Uint8Array
  /** When its publication was made, by the mission's clock. */
  readonly createdMs: number
}

/** What an entry did to the directory. */
export type Outcome =
  | { readonly type: "none" }
  | { readonly type: "proposed"; readonly proposalId: Uint8Array }
  | { readonly type: "admitted"; readonly mission: Mission }
  | { readonly type: "revoked"; readonly mission: Mission }
  | { readonly type: "epoch-keys"; readonly rid: number }
  | { readonly type: "refused"; readonly code: string; readonly message: string }

interface OpenProposal {
  readonly proposal: Proposal
  /** Members who proposed it, and who approve it, by key id. */
  readonly sponsors: Set<string>
  readonly approvals: Set<string>
}

export class Directory {
  readonly genesis: Genesis
  /** Chain id. */
  readonly net: Uint8Array
  readonly #suite: Suite
  readonly #missions = new Map<number, Mission>()
  readonly #byCode = new Map<string, number>()
  readonly #byPeer = new Map<string, number>()
  readonly #bySigner = new Map<string, number>()
  readonly #officers = new Map<string, { rid: number; officer: OfficerCertificate }>()
  readonly #epochKeys = new Map<number, Map<number, PublishedEpochKey>>()
  /** The oldest first. */
  readonly #proposals = new Map<string, OpenProposal>()
  /** Keys of governance members and validators: no mission may have them. */
  readonly #officeKeys: ReadonlySet<string>
  #stateHash: Uint8Array
  #nextRid: number

  /** @throws ProtocolError as {@link verifyGenesis}. */
  constructor(suite: Suite, genesisBytes: Uint8Array) {
    this.#suite = suite
    this.genesis = verifyGenesis(suite, genesisBytes)
    this.net = networkId(suite, genesisBytes)
    this.#stateHash = this.net
    this.genesis.missions.forEach((facts, index) => this.#admit(index + 1, facts, 0))
    this.#nextRid = this.genesis.missions.length + 1
    const { members, validators } = this.genesis
    const memberKeys = members.map(({ publicKey }) => keyMark(publicKey))
    this.#officeKeys = new Set([...memberKeys, ...validators.flatMap(validatorKeyMarks)])
  }

  /** Hash over the actions taken so far; a proposal must name the one it builds on. */
  get stateHash(): Uint8Array {
    return this.#stateHash
  }

  /** All missions ever admitted, by rid. */
  missions(): Mission[] {
    return [...this.#missions.values()]
  }

  mission(rid: number): Mission | undefined {
    return this.#missions.get(rid)
  }

  missionByCode(code: string): Mission | undefined {
    return this.#find(this.#byCode.get(code))
  }

  /** By transport key in hex. */
  missionByPeer(peer: string): Mission | undefined {
    return this.#find(this.#byPeer.get(peer))
  }

  /** The mission whose signing key has this id. */
  missionBySigner(kid: Uint8Array): Mission | undefined {
    return this.#find(this.#bySigner.get(bytesToHex(kid)))
  }

  /** The officer with this key id, and the mission that certified it. */
  officer(kid: Uint8Array): { officer: OfficerCertificate; mission: Mission } | undefined {
    const found = this.#officers.get(bytesToHex(kid))
    const mission = this.#find(found?.rid)
    return found === undefined || mission === undefined
      ? undefined
      : { officer: found.officer, mission }
  }

  #find(rid: number | undefined): Mission | undefined {
    return rid === undefined ? undefined : this.#missions.get(rid)
  }

  /** Key id of an officer. */
  officerKid(officer: OfficerCertificate): Uint8Array {
    return keyId(this.#suite, officer.publicKey)
  }

  /** True when nothing new of this mission is accepted at `height`. */
  isRevoked(mission: Mission, height: number): boolean {
    return mission.revokedHeight !== undefined && height >= mission.revokedHeight
  }

  /** Key to use for a mission now: of the current epoch, else the newest published one. */
  epochKeyFor(rid: number, nowMs: number): PublishedEpochKey | undefined {
    const keys = this.#epochKeys.get(rid)
    if (keys === undefined) return undefined
    const current = keys.get(epochAt(nowMs))
    if (current !== undefined) return current
    return keys.get(newestOf(keys))
  }

  /** The epoch keys of a mission that others may still choose. */
  epochKeys(rid: number): PublishedEpochKey[] {
    return [...(this.#epochKeys.get(rid)?.values() ?? [])]
  }

  newestEpoch(rid: number): number | undefined {
    const keys = this.#epochKeys.get(rid)
    return keys === undefined ? undefined : newestOf(keys)
  }

  /**
   * Applies one entry of a final block.
   *
   * `blockTimeMs` is the time of the block; epoch keys that claim to be made long after it are
   * refused, or a clock that was wrong once would stop a mission's rotation for ever. `trusted`
   * skips signatures. Only entries that this node has accepted before and kept go without both.
   */
  apply(
    entry: Pick<Entry, "type" | "payload">,
    height: number,
    options: { trusted?: boolean; blockTimeMs?: number } = {},
  ): Outcome {
    const trusted = options.trusted === true
    try {
      if (entry.type === "governance") return this.#govern(entry.payload, height, trusted)
      if (entry.type === "epochKeys") return this.#publish(entry.payload, height, options)
      return { type: "none" }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return { type: "refused", code: error.code, message: error.message }
    }
  }

  #govern(payload: Uint8Array, height: number, trusted: boolean): Outcome {
    const governance = decodeGovernance(this.#suite, payload)
    const net = governance.type === "proposal" ? governance.proposal.net : governance.ballot.net
    if (!equalBytes(net, this.net)) {
      throw new ProtocolError("GOVERNANCE_INVALID", `${governance.type} is for another network`)
    }
    this.#demandMember(governance, trusted)
    if (governance.type === "proposal") {
      const { proposal, id } = governance
      if (proposal.action.type === "admit") this.#demandAdmissible(proposal.action.request)
      this.#sponsor(bytesToHex(id), proposal, bytesToHex(governance.memberId))
      return { type: "proposed", proposalId: id }
    }
    return this.#vote(governance.ballot.proposalId, governance, height)
  }

  /**
   * Opens a proposal; one that is open already keeps its ballots. A member who proposes too much
   * pushes out its own oldest, and nothing that another member stands behind.
   */
  #sponsor(id: string, proposal: Proposal, member: string): void {
    const open = this.#proposals.get(id) ?? {
      proposal,
      sponsors: new Set<string>(),
      approvals: new Set<string>(),
    }
    this.#proposals.set(id, open)
    if (open.sponsors.has(member)) return
    const own = [...this.#proposals].filter(([, { sponsors }]) => sponsors.has(member))
    open.sponsors.add(member)
    const [oldest] = own
    if (oldest === undefined || own.length < limits.OPEN_PROPOSALS_PER_MEMBER_MAX) return
    const [name, { sponsors }] = oldest
    sponsors.delete(member)
    if (sponsors.size === 0) this.#proposals.delete(name)
  }

  #demandMember(governance: GovernancePayload, trusted: boolean): void {
    const isMember = this.genesis.members.some((member) =>
      trusted
        ? equalBytes(keyId(this.#suite, member.publicKey), governance.memberId)
        : isGovernanceSigned(this.#suite, governance, member),
    )
    if (isMember) return
    throw new ProtocolError("GOVERNANCE_INVALID", `${governance.type} is not signed by a member`)
  }

  #vote(
    proposalId: Uint8Array,
    governance: Extract<GovernancePayload, { type: "ballot" }>,
    height: number,
  ): Outcome {
    const name = bytesToHex(proposalId)
    const open = this.#proposals.get(name)
    if (open === undefined) {
      throw new ProtocolError("GOVERNANCE_INVALID", `no open proposal ${name.slice(0, 16)}`)
    }
    if (!governance.ballot.approve) return { type: "none" }
    open.approvals.add(bytesToHex(governance.memberId))
    const { action, baseStateHash, expiresHeight } = open.proposal
    if (open.approvals.size < this.genesis.thresholds[action.type]) return { type: "none" }
    this.#proposals.delete(name)
    if (height > expiresHeight) {
      throw new ProtocolError("GOVERNANCE_INVALID", `proposal expired at height ${expiresHeight}`)
    }
    if (!equalBytes(baseStateHash, this.#stateHash)) {
      throw new ProtocolError("GOVERNANCE_INVALID", "proposal builds on an outdated state")
    }
    const outcome =
      action.type === "admit"
        ? this.#executeAdmit(action.request, height)
        : this.#executeRevoke(action.rid, height)
    this.#stateHash = this.#suite.sha256(
      concatBytes(labelBytes(LABELS.governanceState), this.#stateHash, proposalId),
    )
    return outcome
  }

  #demandAdmissible(request: Uint8Array): MissionFacts {
    const facts = verifyMissionRequest(this.#suite, request, this.net)
    // A code is free again once its holder is revoked; keys are nobody else's ever.
    const taken = this.missions().find((mission) => {
      const isCodeTaken = mission.revokedHeight === undefined && mission.facts.code === facts.code
      return isCodeTaken || hasSharedKey(facts, mission.facts)
    })
    if (taken !== undefined) {
      const why = `mission ${facts.code}: its code or a key of it belongs to ${taken.facts.code}`
      throw new ProtocolError("GOVERNANCE_INVALID", why)
    }
    if (missionKeyMarks(facts).some((mark) => this.#officeKeys.has(mark))) {
      const why = `mission ${facts.code}: a key of it is a governance member's or a validator's`
      throw new ProtocolError("GOVERNANCE_INVALID", why)
    }
    const living = this.missions().filter((mission) => mission.revokedHeight === undefined)
    if (living.length >= limits.MISSIONS_MAX || this.#nextRid > 0xffff) {
      throw new ProtocolError("GOVERNANCE_INVALID", `the network is full: ${limits.MISSIONS_MAX}`)
    }
    return facts
  }

  #executeAdmit(request: Uint8Array, height: number): Outcome {
    const facts = this.#demandAdmissible(request)
    const rid = this.#nextRid
    this.#nextRid += 1
    return { type: "admitted", mission: this.#admit(rid, facts, height) }
  }

  #admit(rid: number, facts: MissionFacts, admittedHeight: number): Mission {
    const signingKid = keyId(this.#suite, facts.signingKey)
    const mission: Mission = { rid, facts, signingKid, admittedHeight }
    this.#missions.set(rid, mission)
    this.#byCode.set(facts.code, rid)
    this.#byPeer.set(bytesToHex(facts.transportKey), rid)
    this.#bySigner.set(bytesToHex(signingKid), rid)
    for (const officer of facts.officers) {
      this.#officers.set(bytesToHex(this.officerKid(officer)), { rid, officer })
    }
    return mission
  }

  #executeRevoke(rid: number, height: number): Outcome {
    const mission = this.#missions.get(rid)
    if (mission === undefined) {
      throw new ProtocolError("DIRECTORY_UNKNOWN", `no mission ${rid} to revoke`)
    }
    if (mission.revokedHeight !== undefined) {
      throw new ProtocolError("DIRECTORY_REVOKED", `mission ${mission.facts.code} already revoked`)
    }
    if (this.genesis.validators.some((validator) => validator.rid === rid)) {
      const why = `mission ${mission.facts.code} is a validator: no quorum would be left`
      throw new ProtocolError("GOVERNANCE_INVALID", why)
    }
    const revoked: Mission = { ...mission, revokedHeight: height }
    this.#missions.set(rid, revoked)
    return { type: "revoked", mission: revoked }
  }

  #publish(
    payload: Uint8Array,
    height: number,
    options: { trusted?: boolean; blockTimeMs?: number },
  ): Outcome {
    const publication = decodeEpochKeys(payload)
    const mission = this.#missions.get(publication.rid)
    if (mission === undefined || this.isRevoked(mission, height)) {
      throw new ProtocolError("EPOCH_KEYS_INVALID", `no such mission ${publication.rid}`)
    }
    if (!equalBytes(publication.net, this.net)) {
      throw new ProtocolError("EPOCH_KEYS_INVALID", "epoch keys are for another network")
    }
    if (!equalBytes(publication.signerKid, mission.signingKid)) {
      throw new ProtocolError("EPOCH_KEYS_INVALID", "not signed by the mission's signing key")
    }
    if (options.trusted !== true) {
      verifyEpochKeys(this.#suite, publication, mission.facts.signingKey)
    }
    const aheadMs = publication.createdMs - (options.blockTimeMs ?? publication.createdMs)
    if (aheadMs > limits.EPOCH_KEYS_AHEAD_MS) {
      const why = `mission ${mission.rid}: made ${aheadMs} ms after the block that holds it`
      throw new ProtocolError("EPOCH_KEYS_INVALID", why)
    }
    const last = publication.keys.at(-1)
    const epochMax = epochAt(publication.createdMs) + limits.EPOCHS_AHEAD_MAX
    if (last !== undefined && last.epoch > epochMax) {
      throw new ProtocolError("EPOCH_KEYS_INVALID", `epoch ${last.epoch} is beyond ${epochMax}`)
    }
    const { createdMs } = publication
    const keys = this.#epochKeys.get(mission.rid) ?? new Map<number, PublishedEpochKey>()
    for (const { epoch, publicKey } of publication.keys) {
      // Anybody can submit an old publication again; it must not bring back a superseded key.
      const known = keys.get(epoch)
      if (known !== undefined && known.createdMs >= createdMs) {
        if (equalBytes(known.publicKey, publicKey)) continue
        const why = `mission ${mission.rid}: epoch ${epoch} has a newer key`
        throw new ProtocolError("EPOCH_KEYS_INVALID", why)
      }
    }
    for (const key of publication.keys) {
      const hash = epochKeyHash(this.#suite, key.publicKey)
      const since = Math.max(createdMs, keys.get(key.epoch)?.createdMs ?? 0)
      keys.set(key.epoch, { ...key, hash, createdMs: since })
    }
    // Only keys that a sender may still choose are kept: the newest, and the span ahead of it.
    const newest = newestOf(keys)
    for (const epoch of keys.keys()) {
      if (epoch < newest - limits.EPOCHS_AHEAD_MAX) keys.delete(epoch)
    }
    this.#epochKeys.set(mission.rid, keys)
    return { type: "epoch-keys", rid: mission.rid }
  }
}

/** The newest epoch of a mission that has published; -1 for none. */
function newestOf(keys: ReadonlyMap<number, PublishedEpochKey>): number {
  let newest = -1
  for (const epoch of keys.keys()) newest = Math.max(newest, epoch)
  return newest
}

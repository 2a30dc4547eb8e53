/**
 * The ledger as its node's own people ask for it: how far it is final, who votes, whether enough
 * do, and what stands against whom (LEDGER §6.1; OPERATIONS, "Reading the ledger's state").
 *
 * It decides nothing: consensus knows, this file translates.
 */

import { encodeEvidence } from "../ledger/evidence.ts"
import { frontierRoot } from "../ledger/merkle.ts"
import { quorumOf } from "../ledger/validators.ts"
import type { Vote } from "../ledger/vote.ts"
import type { Directory } from "../protocol/directory.ts"
import { SKIP_MS } from "../protocol/limits.ts"
import type {
  EvidenceInfo,
  LedgerStatus,
  OwnVote,
  SignedVote,
  ValidatorInfo,
} from "./api/shapes.ts"
import type { Clock } from "./clock.ts"
import type { Ledger } from "./consensus/ledger.ts"
import { toHex } from "./delivery/rows.ts"
import type { Transport } from "./network/transport.ts"
import { Names } from "./views.ts"

export interface LedgerViewParts {
  readonly ledger: Pick<
    Ledger,
    "accusations" | "head" | "heightSeen" | "pending" | "validatorStatus"
  >
  readonly directory: Directory
  readonly transport: Pick<Transport, "connected">
  readonly clock: Clock
  /** Our number on the ledger, once there is one. */
  readonly rid: () => number | undefined
}

export class LedgerView {
  readonly #parts: LedgerViewParts
  readonly #names: Names

  constructor(parts: LedgerViewParts) {
    this.#parts = parts
    this.#names = new Names(parts.directory)
  }

  async status(): Promise<LedgerStatus> {
    const { ledger, directory, clock } = this.#parts
    const head = ledger.head()
    const consensus = ledger.validatorStatus()
    const validators = this.#validators()
    const accusations = await ledger.accusations()
    const accused = accusations.map(({ evidence }) => this.#codeOf(evidence.first.signer))
    const vote = this.#vote()
    return {
      network: toHex(directory.net),
      atMs: clock.now(),
      height: head.height,
      entries: head.frontier.size,
      rootHash: toHex(frontierRoot(head.frontier)),
      blockHash: toHex(head.hash),
      governanceState: toHex(directory.stateHash),
      ...(head.height === 0 ? {} : { finalAtMs: head.timeMs }),
      finalView: consensus?.finalView ?? head.view,
      ...(consensus?.state === "voting" && {
        view: consensus.view,
        viewsInVain: consensus.viewsInVain,
      }),
      validators,
      quorum: quorumAmong(validators, vote),
      isValidator: validators.some(({ state }) => state === "self"),
      ...(vote === undefined ? {} : { vote }),
      pending: ledger.pending().length,
      heightSeen: ledger.heightSeen(),
      evidence: accusations.length,
      accused: [...new Set(accused)],
    }
  }

  /** Contradictions of validators, by epoch, validator and view. */
  async evidence(): Promise<EvidenceInfo[]> {
    const { ledger, directory } = this.#parts
    const accusations = await ledger.accusations()
    return accusations.map(({ evidence, index }): EvidenceInfo => {
      const { first, second } = evidence
      return {
        epoch: first.epoch,
        view: first.view,
        mission: this.#codeOf(first.signer),
        first: signedOf(first),
        second: signedOf(second),
        ...(index === undefined ? {} : { index }),
        proof: toHex(encodeEvidence(directory.net, evidence)),
      }
    })
  }

  #vote(): OwnVote | undefined {
    const status = this.#parts.ledger.validatorStatus()
    if (status === undefined) return undefined
    const { state, refusal, isCopied, isStalled } = status
    const isWaiting = state === "voting" && isStalled
    return { state: isWaiting ? "stalled" : state, ...refusal, ...(isCopied && { isCopied }) }
  }

  /** In the order of their numbers in votes: ascending rid. */
  #validators(): ValidatorInfo[] {
    const { ledger, directory, transport, clock } = this.#parts
    const connected = new Set(transport.connected())
    const status = ledger.validatorStatus()
    const isVoting = status?.state === "voting"
    const nowMs = clock.now()
    return this.#rids().map((rid, index): ValidatorInfo => {
      const code = this.#names.code(rid)
      if (rid === this.#parts.rid()) return { mission: code, state: "self", connected: true }
      const mission = directory.mission(rid)
      const isUp = mission !== undefined && connected.has(toHex(mission.facts.transportKey))
      const silentMs = isVoting ? status.silentMs[index] : undefined
      if (silentMs === undefined) {
        return { mission: code, state: isUp ? "up" : "down", connected: isUp }
      }
      const state = !isUp ? "down" : silentMs > SKIP_MS ? "silent" : "voting"
      return { mission: code, state, connected: isUp, heardAtMs: Math.round(nowMs - silentMs) }
    })
  }

  #codeOf(signer: number): string {
    return this.#names.code(this.#rids()[signer] ?? 0)
  }

  #rids(): number[] {
    const { validators } = this.#parts.directory.genesis
    return validators.map(({ rid }) => rid).toSorted((a, b) => a - b)
  }
}

/** A validator of ours that cannot vote does not count, however well its node is. */
function quorumAmong(
  validators: readonly ValidatorInfo[],
  vote: OwnVote | undefined,
): LedgerStatus["quorum"] {
  const isHeard = ({ state }: ValidatorInfo): boolean =>
    state === "self"
      ? vote !== undefined && vote.state !== "refused" && vote.state !== "stalled"
      : state === "voting" || state === "up"
  const heard = validators.filter(isHeard).length
  const needed = quorumOf(validators.length)
  return { validators: validators.length, needed, heard, isMet: heard >= needed }
}

function signedOf({ kind, blockHash }: Vote): SignedVote {
  return kind === "nullify" ? { kind } : { kind, blockHash: toHex(blockHash) }
}

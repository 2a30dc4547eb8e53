/**
 * One validator of four, driven by hand through the door of consensus. Its disk is instant and its
 * judge answers as it is told; what it did is told in words.
 */

import { assembleCertificate, type Certificate } from "../../ledger/certificate.ts"
import { step } from "../../ledger/consensus.ts"
import type { Message } from "../../ledger/message.ts"
import type { ConsensusRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type {
  ConsensusEffect,
  ConsensusEvent,
  ConsensusState,
  Verdict,
} from "../../ledger/state.ts"
import type { VoteKind } from "../../ledger/vote.ts"
import { CHAIN_ID, signAs, validatorSet, voteOf } from "./ledger.ts"
import { suite } from "./suites.ts"

export const FOUR = validatorSet(4)
export const DELTA_MS = 500

/** A certificate by these validators. */
export function certify(
  kind: VoteKind,
  view: number,
  hash: Uint8Array,
  signers: readonly number[],
): Certificate {
  const votes = signers.map((signer) => voteOf(signer, kind, view, hash))
  const certificate = assembleCertificate(votes, FOUR)
  if (certificate === undefined) throw new Error("too few signers")
  return certificate
}

export class Door {
  readonly state: ConsensusState
  /** What its log has. */
  readonly records: ConsensusRecord[] = []
  nowMs = 0
  hasWork = false
  verdict: Verdict = "valid"

  /** A new validator, or one that starts again with the log of its last life. */
  constructor(self: number, records: readonly ConsensusRecord[] = []) {
    const config = {
      suite,
      chainId: CHAIN_ID,
      validators: FOUR,
      self,
      sign: signAs(self + 1),
      deltaMs: DELTA_MS,
      hasWork: (): boolean => this.hasWork,
    }
    const founding = { view: 0, height: 0, hash: CHAIN_ID }
    const { state, effects } = restoreConsensus(config, founding, undefined, records, 0)
    this.state = state
    this.records.push(...records)
    this.#answer(effects)
  }

  /** What an event and the answers of disk and judge lead to, but for timers. */
  on(event: ConsensusEvent): string[] {
    const effects = step(this.state, event, this.nowMs)
    const told = effects.filter(({ type }) => type !== "timer").map(describeEffect)
    return [...told, ...this.#answer(effects)]
  }

  /** What disk and judge say to effects, and what that leads to. */
  #answer(effects: readonly ConsensusEffect[]): string[] {
    const told: string[] = []
    for (const effect of effects) {
      if (effect.type === "persist") {
        this.records.push(effect.record)
        told.push(...this.on({ type: "persisted", seq: effect.seq }))
      }
      if (effect.type === "checkBlock") {
        const { hash } = effect
        told.push(...this.on({ type: "blockChecked", hash, verdict: this.verdict }))
      }
    }
    return told
  }

  hear(from: number, message: Message, finalView = 0): string[] {
    return this.on({ type: "message", from, finalView, message })
  }

  at(nowMs: number): string[] {
    this.nowMs = nowMs
    return this.on({ type: "tick" })
  }
}

function describeEffect(effect: ConsensusEffect): string {
  switch (effect.type) {
    case "persist":
      return `persist ${effect.record.kind}`
    case "send": {
      const to = effect.to === undefined ? "" : ` to ${effect.to}`
      return `send ${describeMessage(effect.message)}${to}`
    }
    case "buildBlock":
      return `build ${effect.view}${effect.isClosing ? " closing" : ""}`
    case "reject":
      return `reject ${effect.code}`
    case "stop":
      return `stop ${effect.code}`
    case "evidence":
      return `evidence ${effect.evidence.first.signer}`
    case "deliver":
      return `deliver ${effect.blocks.map(({ block }) => block.header.height).join(" ")}`
    default:
      return effect.type
  }
}

function describeMessage(message: Message): string {
  switch (message.type) {
    case "vote":
      return `${message.vote.kind} ${message.vote.view}`
    case "certificate":
      return `certificate ${message.certificate.kind} ${message.certificate.view}`
    default:
      return message.type
  }
}

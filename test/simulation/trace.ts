/** Events and effects of consensus as a person reads them, and as a hash takes them. */

import { bytesToHex } from "@noble/hashes/utils.js"
import type { Message } from "../../ledger/message.ts"
import type { ConsensusEffect, ConsensusEvent } from "../../ledger/state.ts"
import type { Vote } from "../../ledger/vote.ts"
import type { Certificate } from "../../ledger/certificate.ts"

function short(hash: Uint8Array): string {
  return bytesToHex(hash.subarray(0, 3))
}

function describeVote(vote: Vote): string {
  const hash = vote.kind === "nullify" ? "" : ` ${short(vote.blockHash)}`
  return `${vote.kind} v${vote.view} by ${vote.signer}${hash}`
}

function describeCertificate({ kind, view, blockHash, signers }: Certificate): string {
  return `certificate ${kind} v${view} ${short(blockHash)} [${signers.join(" ")}]`
}

export function describeMessage(message: Message): string {
  switch (message.type) {
    case "vote":
      return describeVote(message.vote)
    case "certificate":
      return describeCertificate(message.certificate)
    case "proposal": {
      const { height, parent, closing } = message.block.header
      const what = closing ? "closing proposal" : "proposal"
      return `${what} h${height} on ${short(parent)}, ${describeVote(message.vote)}`
    }
    case "fetch":
      return `fetch v${message.fromView} … ${message.toView}`
    case "fetchBlock":
      return `fetch block ${short(message.hash)}`
    case "block":
      return `block v${message.block.header.view} h${message.block.header.height}`
    default:
      return "heartbeat"
  }
}

export function describeEvent(event: ConsensusEvent): string {
  switch (event.type) {
    case "message":
      return `${event.from} (final ${event.finalView}): ${describeMessage(event.message)}`
    case "blockBuilt":
      return `blockBuilt v${event.view}${event.block === undefined ? " none" : ""}`
    case "blockChecked":
      return `blockChecked ${short(event.hash)} ${event.verdict}`
    case "persisted":
      return `persisted ${event.seq}`
    case "contact":
      return `contact with ${event.with}`
    case "adopted":
      return `adopted h${event.place.height} ${event.certificates.map(describeCertificate).join(" ")}`
    case "tick":
    default:
      return event.type
  }
}

export function describeEffect(effect: ConsensusEffect): string {
  switch (effect.type) {
    case "persist": {
      const { record } = effect
      const what =
        record.kind === "certificate"
          ? describeCertificate(record.certificate)
          : describeVote(record.vote)
      return `persist ${effect.seq}: ${what}`
    }
    case "send": {
      const to = effect.to === undefined ? "all" : String(effect.to)
      const after = effect.after === 0 ? "" : ` after ${effect.after}`
      return `send to ${to}${after}: ${describeMessage(effect.message)}`
    }
    case "buildBlock":
      return `buildBlock v${effect.view} on h${effect.parent.height} ${short(effect.parent.hash)}`
    case "checkBlock":
      return `checkBlock v${effect.block.header.view} ${short(effect.hash)}`
    case "deliver":
      return `deliver ${effect.blocks.map(({ block }) => `h${block.header.height}`).join(" ")}`
    case "keep":
      return `keep ${effect.certificates.length}`
    case "behind":
      return `behind ${effect.from}`
    case "resubmit":
      return "resubmit"
    case "timer":
      return `timer ${effect.atMs?.toFixed(1) ?? "none"}`
    case "evidence": {
      const { first, second } = effect.evidence
      return `evidence: ${describeVote(first)}, ${describeVote(second)}`
    }
    case "reject":
      return `reject ${effect.from}: ${effect.code}: ${effect.why}`
    default:
      return `stop: ${effect.code}: ${effect.why}`
  }
}

const KINDS = { notarize: 1, nullify: 2, finalize: 3 } as const

function weightOfMessage(message: Message): number {
  switch (message.type) {
    case "vote":
      return 101 * message.vote.view + 7 * message.vote.signer + KINDS[message.vote.kind]
    case "certificate": {
      const { view, kind, signers } = message.certificate
      return 103 * view + 11 * KINDS[kind] + 31 * (signers.at(-1) ?? 0)
    }
    case "proposal":
      return 107 * message.block.header.view + (message.block.header.parent[0] ?? 0)
    case "fetch":
      return 109 * message.fromView + message.toView
    case "fetchBlock":
      return 113 + (message.hash[0] ?? 0)
    case "block":
      return 127 * message.block.header.height
    default:
      return 131
  }
}

export function weightOfEvent(event: ConsensusEvent): number {
  switch (event.type) {
    case "message":
      return weightOfMessage(event.message) + 1009 * event.from + 65_537 * event.finalView
    case "blockBuilt":
      return 2003 * event.view + (event.block === undefined ? 1 : 2)
    case "blockChecked":
      return 3001 + (event.hash[0] ?? 0)
    case "persisted":
      return 4001 * event.seq
    case "adopted":
      return 5003 * event.place.height
    case "contact":
      return 5501 + event.with
    case "tick":
      return 6007
    default:
      return 7001
  }
}

export function weightOfEffect(effect: ConsensusEffect): number {
  switch (effect.type) {
    case "persist":
      return 8009 * effect.seq
    case "send":
      return weightOfMessage(effect.message) + 9001 * (effect.to ?? 17) + effect.after
    case "buildBlock":
      return 10_007 * effect.view
    case "checkBlock":
      return 11_003 * effect.block.header.view
    case "deliver":
      return 12_007 * (effect.blocks.at(-1)?.block.header.height ?? 0)
    case "timer":
      return 13_001 + Math.round((effect.atMs ?? 0) * 1_000)
    case "behind":
      return 14_009
    case "keep":
      return 19_001 + effect.certificates.length
    case "resubmit":
      return 15_013
    case "evidence":
      return 16_001
    case "reject":
      return 17_011
    default:
      return 18_013
  }
}

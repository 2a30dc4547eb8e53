/**
 * The words that stand as small integers in TB1 objects, mapped in one place (PROTOCOL §2.5).
 *
 * Code speaks in words, the wire in integers; an integer without a word is refused. Numbers are
 * never reused: a word that is given up leaves a hole.
 */

import type { Reader } from "./codec.ts"

/** What an envelope carries. */
export type BodyType = "cable" | "signal" | "receipts" | "service"
/** How serious it is; each kind has signature contexts of its own. */
export type Kind = "real" | "exercise" | "drill" | "test"
/** Why an addressee gets it. */
export type RecipientRole = "action" | "info"
/** In rising order; {@link precedenceRank} gives the number. */
export type Precedence = "deferred" | "routine" | "priority" | "immediate" | "flash" | "override"
/** In rising order; {@link classificationRank} gives the number. */
export type Classification =
  "unclassified" | "restricted" | "confidential" | "secret" | "top-secret"
/** What an officer did when signing a release. */
export type ReleaseRole = "drafter" | "releaser"
/** What a receipt says. `displayed` and `acknowledged` belong to signals, the rest to cables. */
export type ReceiptStage =
  "stored" | "decrypted" | "read" | "acted" | "nack" | "displayed" | "acknowledged"
/** Why a receipt is a `nack`; `none` on every other receipt. */
export type ReceiptReason =
  | "none"
  | "no-key"
  | "bad-wrap"
  | "undecodable"
  | "release"
  | "clearance"
  | "full"
  | "expired"
  | "revoked"

/** One set of words and their integers, both ways. */
export interface Words<W extends string> {
  /** All words, in the order of their integers. */
  readonly list: readonly W[]
  /** The integer of a word. */
  code(word: W): number
  /** Reads an integer; `CODEC_RANGE` when no word has it. */
  read(reader: Reader, what: string): W
}

/** Words numbered upwards from `first`, without holes. */
function numbered<W extends string>(first: number, list: readonly W[]): Words<W> {
  const codes = new Map(list.map((word, index) => [word, first + index]))
  return {
    list,
    code(word) {
      const code = codes.get(word)
      if (code === undefined) throw new RangeError(`no such word: ${word}`)
      return code
    },
    read(reader, what) {
      const code = reader.uint(what, first + list.length - 1)
      const word = list[code - first]
      return word ?? reader.fail("CODEC_RANGE", what, `no word has the number ${code}`)
    },
  }
}

export const BODY_TYPES: Words<BodyType> = numbered(1, ["cable", "signal", "receipts", "service"])
export const KINDS: Words<Kind> = numbered(1, ["real", "exercise", "drill", "test"])
export const RECIPIENT_ROLES: Words<RecipientRole> = numbered(1, ["action", "info"])
export const PRECEDENCES: Words<Precedence> = numbered(0, [
  "deferred",
  "routine",
  "priority",
  "immediate",
  "flash",
  "override",
])
export const CLASSIFICATIONS: Words<Classification> = numbered(0, [
  "unclassified",
  "restricted",
  "confidential",
  "secret",
  "top-secret",
])
export const RELEASE_ROLES: Words<ReleaseRole> = numbered(1, ["drafter", "releaser"])
export const RECEIPT_STAGES: Words<ReceiptStage> = numbered(1, [
  "stored",
  "decrypted",
  "read",
  "acted",
  "nack",
  "displayed",
  "acknowledged",
])
export const RECEIPT_REASONS: Words<ReceiptReason> = numbered(0, [
  "none",
  "no-key",
  "bad-wrap",
  "undecodable",
  "release",
  "clearance",
  "full",
  "expired",
  "revoked",
])

// The CAP 1.2 words of a signal (OASIS CAP-v1.2 §3.2), in lower case, in the standard's order.
export type SignalStatus = "actual" | "exercise" | "system" | "test" | "draft"
export type SignalMessageType = "alert" | "update" | "cancel" | "ack" | "error"
export type SignalCategory =
  | "geo"
  | "met"
  | "safety"
  | "security"
  | "rescue"
  | "fire"
  | "health"
  | "env"
  | "transport"
  | "infra"
  | "cbrne"
  | "other"
export type SignalUrgency = "immediate" | "expected" | "future" | "past" | "unknown"
export type SignalSeverity = "extreme" | "severe" | "moderate" | "minor" | "unknown"
export type SignalCertainty = "observed" | "likely" | "possible" | "unlikely" | "unknown"
/** What happened to the post; our own list, which CAP leaves to the sender. */
export type SignalEventKind =
  | "attack"
  | "unrest"
  | "evacuation"
  | "detained"
  | "medical"
  | "disaster"
  | "communications"
  | "other"

export const SIGNAL_STATUSES: Words<SignalStatus> = numbered(1, [
  "actual",
  "exercise",
  "system",
  "test",
  "draft",
])
export const SIGNAL_MESSAGE_TYPES: Words<SignalMessageType> = numbered(1, [
  "alert",
  "update",
  "cancel",
  "ack",
  "error",
])
export const SIGNAL_CATEGORIES: Words<SignalCategory> = numbered(1, [
  "geo",
  "met",
  "safety",
  "security",
  "rescue",
  "fire",
  "health",
  "env",
  "transport",
  "infra",
  "cbrne",
  "other",
])
export const SIGNAL_URGENCIES: Words<SignalUrgency> = numbered(1, [
  "immediate",
  "expected",
  "future",
  "past",
  "unknown",
])
export const SIGNAL_SEVERITIES: Words<SignalSeverity> = numbered(1, [
  "extreme",
  "severe",
  "moderate",
  "minor",
  "unknown",
])
export const SIGNAL_CERTAINTIES: Words<SignalCertainty> = numbered(1, [
  "observed",
  "likely",
  "possible",
  "unlikely",
  "unknown",
])
export const SIGNAL_EVENT_KINDS: Words<SignalEventKind> = numbered(1, [
  "attack",
  "unrest",
  "evacuation",
  "detained",
  "medical",
  "disaster",
  "communications",
  "other",
])

/** 0 (deferred) … 5 (override). */
export function precedenceRank(precedence: Precedence): number {
  return PRECEDENCES.code(precedence)
}

/** 0 (unclassified) … 4 (top secret). */
export function classificationRank(classification: Classification): number {
  return CLASSIFICATIONS.code(classification)
}

/** The highest of several; `deferred` for none. */
export function highestPrecedence(list: readonly Precedence[]): Precedence {
  let highest: Precedence = "deferred"
  for (const precedence of list) {
    if (precedenceRank(precedence) > precedenceRank(highest)) highest = precedence
  }
  return highest
}

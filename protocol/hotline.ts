/**
 * A hotline signal: its content in the words of CAP 1.2, and what the raising mission knows of it
 * at each desk (PROTOCOL §8).
 *
 * {@link stepSignal} is pure: it takes one event and returns the next state and what is to be done.
 * Events may come late, twice or in any order; a desk never goes back a stage. Returning the same
 * state object means that nothing changed and nothing needs to be stored.
 */

import { decode, encode, encodeText } from "./codec.ts"
import { ProtocolError } from "./errors.ts"
import { LABELS } from "./labels.ts"
import {
  HASH_BYTES,
  SIGNAL_LANGUAGE_BYTES_MAX,
  SIGNAL_PLAINTEXT_BYTES,
  SIGNAL_TEXT_BYTES_MAX,
} from "./limits.ts"
import {
  SIGNAL_CATEGORIES,
  SIGNAL_CERTAINTIES,
  SIGNAL_EVENT_KINDS,
  SIGNAL_MESSAGE_TYPES,
  SIGNAL_SEVERITIES,
  SIGNAL_STATUSES,
  SIGNAL_URGENCIES,
  type Kind,
  type SignalCategory,
  type SignalCertainty,
  type SignalEventKind,
  type SignalMessageType,
  type SignalSeverity,
  type SignalStatus,
  type SignalUrgency,
} from "./words.ts"

const VERSION = 1
// A language tag: letters, digits and hyphens (BCP 47), shortest "bn".
const LANGUAGE_TAG = /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/

export interface SignalContent {
  readonly status: SignalStatus
  readonly messageType: SignalMessageType
  readonly category: SignalCategory
  readonly urgency: SignalUrgency
  readonly severity: SignalSeverity
  readonly certainty: SignalCertainty
  readonly event: SignalEventKind
  /** What happened; may be empty, for a signal says enough by its words. */
  readonly text: string
  /** Where; may be empty. */
  readonly place: string
  /** Language of the text, such as "bn" or "en". */
  readonly language: string
  /** 32 random bytes; shared by signals of one event, and by its updates and its cancellation. */
  readonly eventId: Uint8Array
}

/** Bytes of the content as they are sealed. Check it with {@link validateSignal} first. */
export function encodeSignal(signal: SignalContent): Uint8Array {
  return encode([
    LABELS.signalContent,
    VERSION,
    SIGNAL_STATUSES.code(signal.status),
    SIGNAL_MESSAGE_TYPES.code(signal.messageType),
    SIGNAL_CATEGORIES.code(signal.category),
    SIGNAL_URGENCIES.code(signal.urgency),
    SIGNAL_SEVERITIES.code(signal.severity),
    SIGNAL_CERTAINTIES.code(signal.certainty),
    SIGNAL_EVENT_KINDS.code(signal.event),
    signal.text,
    signal.place,
    signal.language,
    signal.eventId,
    [], // extensions: empty in version 1
  ])
}

/**
 * Reads a signal's content.
 *
 * @throws {@link ProtocolError} `CODEC_*` (`CODEC_VERSION` for a later version), `SIGNAL_INVALID`.
 */
export function decodeSignal(bytes: Uint8Array): SignalContent {
  return decode(bytes, "signal content", SIGNAL_PLAINTEXT_BYTES, (reader) => {
    reader.array("content", 14)
    reader.label(LABELS.signalContent)
    const version = reader.uint("version")
    if (version !== VERSION) {
      reader.fail("CODEC_VERSION", "version", `expected ${VERSION}, got ${version}`)
    }
    const signal: SignalContent = {
      status: SIGNAL_STATUSES.read(reader, "status"),
      messageType: SIGNAL_MESSAGE_TYPES.read(reader, "messageType"),
      category: SIGNAL_CATEGORIES.read(reader, "category"),
      urgency: SIGNAL_URGENCIES.read(reader, "urgency"),
      severity: SIGNAL_SEVERITIES.read(reader, "severity"),
      certainty: SIGNAL_CERTAINTIES.read(reader, "certainty"),
      event: SIGNAL_EVENT_KINDS.read(reader, "event"),
      text: reader.text("text", SIGNAL_TEXT_BYTES_MAX),
      place: reader.text("place", SIGNAL_TEXT_BYTES_MAX),
      language: reader.text("language", SIGNAL_LANGUAGE_BYTES_MAX),
      eventId: reader.bytes("eventId", HASH_BYTES),
    }
    reader.array("extensions", 0)
    checkFields(signal)
    return signal
  })
}

const STATUSES_OF_KIND: Record<Kind, readonly SignalStatus[]> = {
  real: ["actual", "system"],
  exercise: ["exercise"],
  drill: ["exercise"],
  test: ["test"],
}

/**
 * Checks a signal against the kind under which its envelope is signed, so that an exercise can
 * never carry the words of the real thing.
 *
 * @throws {@link ProtocolError} `SIGNAL_INVALID`, also for text and place above 3,000 bytes
 * together; `CODEC_TEXT` for text that is not NFC.
 */
export function validateSignal(signal: SignalContent, kind: Kind): void {
  checkFields(signal)
  if (!STATUSES_OF_KIND[kind].includes(signal.status)) {
    throw new ProtocolError("SIGNAL_INVALID", `signal: status ${signal.status} in a ${kind} signal`)
  }
}

function checkFields(signal: SignalContent): void {
  const size = encodeText(signal.text).length + encodeText(signal.place).length
  if (size > SIGNAL_TEXT_BYTES_MAX) {
    const why = `expected at most ${SIGNAL_TEXT_BYTES_MAX} bytes of text and place, got ${size}`
    throw new ProtocolError("SIGNAL_INVALID", `signal: ${why}`)
  }
  const isTag = LANGUAGE_TAG.test(signal.language)
  if (!isTag || signal.language.length > SIGNAL_LANGUAGE_BYTES_MAX) {
    throw new ProtocolError("SIGNAL_INVALID", "signal: expected a language tag such as bn or en")
  }
  if (signal.eventId.length !== HASH_BYTES) {
    const why = `expected an eventId of ${HASH_BYTES} bytes, got ${signal.eventId.length}`
    throw new ProtocolError("SIGNAL_INVALID", `signal: ${why}`)
  }
}

// --- what the raising mission knows of its signal -------------------------------------------

/** How far a signal got at one desk; each stage includes those before it. */
export type SignalStage = "raised" | "sent" | "displayed" | "acknowledged"

const STAGES: readonly SignalStage[] = ["raised", "sent", "displayed", "acknowledged"]

export interface DeskProgress {
  /** The desk's mission. */
  readonly desk: number
  readonly stage: SignalStage
  /** Unix time of the first event of each stage here, ms. */
  readonly sentMs: number | undefined
  readonly displayedMs: number | undefined
  readonly acknowledgedMs: number | undefined
}

/** One raised signal. Plain data, so that it can be stored as it is. */
export interface SignalProgress {
  readonly raisedMs: number
  readonly expiresMs: number
  readonly isExpired: boolean
  /** In the order in which the signal names them. */
  readonly desks: readonly DeskProgress[]
}

export type SignalEvent =
  /** The desk's node took the envelope. */
  | { readonly type: "sent"; readonly desk: number; readonly atMs: number }
  /** A verified receipt says that a screen shows it. */
  | { readonly type: "displayed"; readonly desk: number; readonly atMs: number }
  /** A verified receipt, signed by an officer, says that somebody has it in hand. */
  | { readonly type: "acknowledged"; readonly desk: number; readonly atMs: number }
  /** A desk came (back) into contact. */
  | { readonly type: "contact"; readonly desk: number }
  /** Time went on. */
  | { readonly type: "tick"; readonly nowMs: number }

export type SignalEffect =
  /** Send the envelope to this desk. */
  | { readonly type: "transmit"; readonly desk: number }
  /** Show this to the caller: the first time that this desk reaches the stage. */
  | {
      readonly type: "report"
      readonly desk: number
      readonly stage: Exclude<SignalStage, "raised">
      /** Since the raising, ms. */
      readonly afterMs: number
      readonly isLate: boolean
    }
  /** The time is over; these desks never displayed it. */
  | { readonly type: "expired"; readonly notDisplayed: readonly number[] }
  /** The event does not belong to this signal. */
  | { readonly type: "reject"; readonly code: "SIGNAL_INVALID"; readonly desk: number }

export interface SignalStep {
  readonly state: SignalProgress
  readonly effects: readonly SignalEffect[]
}

/** A new signal to these desks: the first effects send it to all of them at once. */
export function raiseSignal(
  desks: readonly number[],
  raisedMs: number,
  expiresMs: number,
): SignalStep {
  const state: SignalProgress = {
    raisedMs,
    expiresMs,
    isExpired: false,
    desks: desks.map((desk) => ({
      desk,
      stage: "raised",
      sentMs: undefined,
      displayedMs: undefined,
      acknowledgedMs: undefined,
    })),
  }
  return { state, effects: desks.map((desk) => ({ type: "transmit", desk })) }
}

/** One event. Never throws on what a peer may cause. */
export function stepSignal(state: SignalProgress, event: SignalEvent): SignalStep {
  if (event.type === "tick") return expire(state, event.nowMs)
  const progress = state.desks.find(({ desk }) => desk === event.desk)
  if (progress === undefined) {
    return { state, effects: [{ type: "reject", code: "SIGNAL_INVALID", desk: event.desk }] }
  }
  if (event.type === "contact") {
    // A desk that took it but does not show it may have lost it: sending again is harmless.
    const isWanted = !state.isExpired && rank(progress.stage) < rank("displayed")
    return { state, effects: isWanted ? [{ type: "transmit", desk: event.desk }] : [] }
  }
  return advance(state, progress, event.type, event.atMs)
}

function advance(
  state: SignalProgress,
  before: DeskProgress,
  stage: "sent" | "displayed" | "acknowledged",
  atMs: number,
): SignalStep {
  const known = {
    sent: before.sentMs,
    displayed: before.displayedMs,
    acknowledged: before.acknowledgedMs,
  }
  if (known[stage] !== undefined) return { state, effects: [] }
  const isAhead = rank(stage) > rank(before.stage)
  const after: DeskProgress = {
    desk: before.desk,
    stage: isAhead ? stage : before.stage,
    sentMs: stage === "sent" ? atMs : before.sentMs,
    displayedMs: stage === "displayed" ? atMs : before.displayedMs,
    acknowledgedMs: stage === "acknowledged" ? atMs : before.acknowledgedMs,
  }
  const desks = state.desks.map((one) => (one.desk === before.desk ? after : one))
  const report: SignalEffect = {
    type: "report",
    desk: before.desk,
    stage,
    afterMs: Math.max(0, atMs - state.raisedMs),
    isLate: state.isExpired || atMs >= state.expiresMs,
  }
  return { state: { ...state, desks }, effects: isAhead ? [report] : [] }
}

function expire(state: SignalProgress, nowMs: number): SignalStep {
  if (state.isExpired || nowMs < state.expiresMs) return { state, effects: [] }
  const notDisplayed = state.desks
    .filter(({ stage }) => rank(stage) < rank("displayed"))
    .map(({ desk }) => desk)
  return { state: { ...state, isExpired: true }, effects: [{ type: "expired", notDisplayed }] }
}

function rank(stage: SignalStage): number {
  return STAGES.indexOf(stage)
}

/** A signal as a user words it, turned into its content: CAP words checked, text brought to NFC. */

import { normaliseText } from "../protocol/cable.ts"
import type { SignalContent } from "../protocol/hotline.ts"
import * as limits from "../protocol/limits.ts"
import type { RandomSource } from "../protocol/suite.ts"
import {
  SIGNAL_CERTAINTIES,
  SIGNAL_EVENT_KINDS,
  SIGNAL_SEVERITIES,
  SIGNAL_URGENCIES,
  type Kind,
  type SignalCategory,
  type SignalEventKind,
  type SignalStatus,
  type Words,
} from "../protocol/words.ts"
import type { SignalDraft } from "./api/shapes.ts"
import { NodeError } from "./errors.ts"

/** The CAP category that goes with an event. */
const CATEGORIES: Record<SignalEventKind, SignalCategory> = {
  attack: "security",
  unrest: "security",
  evacuation: "safety",
  detained: "security",
  medical: "health",
  disaster: "geo",
  communications: "infra",
  other: "other",
}

/** @throws NodeError `API_REQUEST` for a word that is none; ProtocolError `CODEC_TEXT`. */
export function signalOfDraft(
  draft: SignalDraft,
  random: RandomSource,
): { content: SignalContent; kind: Kind } {
  const kind: Kind = draft.kind ?? "real"
  const event = word(SIGNAL_EVENT_KINDS, draft.event, "event")
  const text = normaliseText(draft.text).text
  const content: SignalContent = {
    status: statusOf(kind),
    messageType: "alert",
    category: CATEGORIES[event],
    urgency: word(SIGNAL_URGENCIES, draft.urgency ?? "immediate", "urgency"),
    severity: word(SIGNAL_SEVERITIES, draft.severity ?? "severe", "severity"),
    certainty: word(SIGNAL_CERTAINTIES, draft.certainty ?? "observed", "certainty"),
    event,
    text,
    place: normaliseText(draft.place ?? "").text,
    language: /\p{Script=Bengali}/u.test(text) ? "bn" : "en",
    eventId: random(limits.HASH_BYTES),
  }
  return { content, kind }
}

function statusOf(kind: Kind): SignalStatus {
  if (kind === "real") return "actual"
  return kind === "test" ? "test" : "exercise"
}

function word<W extends string>(words: Words<W>, text: string, what: string): W {
  const found = words.list.find((one) => one === text)
  if (found !== undefined) return found
  throw new NodeError("API_REQUEST", `${what}: expected one of ${words.list.join(", ")}`)
}

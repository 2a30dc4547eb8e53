/** Small valid contents for tests to start from. */

import type { CableContent } from "../../protocol/cable.ts"
import type { SignalContent } from "../../protocol/hotline.ts"

/** Noon on the day on which most tests take place, Unix ms. */
export const NOON_MS: number = Date.UTC(2026, 6, 21, 12)

export function sampleCable(): CableContent {
  return {
    classification: "restricted",
    caveats: [],
    dateTimeGroup: "",
    filedMs: NOON_MS,
    originRef: "",
    subject: "Trade talks",
    references: [],
    subjectCodes: [],
    inReplyTo: undefined,
    text: "Talks ended. Report follows. প্রতিবেদন আসছে।",
  }
}

export function sampleSignal(): SignalContent {
  return {
    status: "actual",
    messageType: "alert",
    category: "security",
    urgency: "immediate",
    severity: "severe",
    certainty: "observed",
    event: "unrest",
    text: "দূতাবাসের সামনে ভিড়। Crowd at the gate.",
    place: "Chancery, main gate",
    language: "bn",
    eventId: new Uint8Array(32).fill(9),
  }
}

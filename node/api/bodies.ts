/**
 * Bodies of requests: unknown JSON → the shapes of shapes.ts, or one clear refusal.
 *
 * Checked here: form, that no field is unknown, and that every text is well-formed Unicode. What a
 * draft may say is checked where it is used (protocol/cable.ts, protocol/hotline.ts).
 */

import {
  API_GOVERNANCE_ENTRIES_MAX,
  CABLE_CAVEATS_MAX,
  CABLE_RECIPIENTS_MAX,
  CABLE_REFERENCES_MAX,
  CABLE_SUBJECT_CODES_MAX,
  ENTRY_BYTES_MAX,
  EXEMPTED_MAX,
  SEAT_BYTES_MAX,
  SIGNAL_RECIPIENTS_MAX,
} from "../../protocol/limits.ts"
import { CLASSIFICATIONS, KINDS, PRECEDENCES } from "../../protocol/words.ts"
import { NodeError } from "../errors.ts"
import type { Acknowledgement, CableDraft, SignalDraft } from "./shapes.ts"

const STAGES = ["read", "acted"] as const

/** `POST /cables`. @throws {@link NodeError} `API_REQUEST`, as all functions here. */
export function readCableDraft(body: unknown): CableDraft {
  const fields = new Fields(body, "cable")
  const draft: CableDraft = {
    to: fields.texts("to", CABLE_RECIPIENTS_MAX) ?? [],
    subject: fields.text("subject") ?? "",
    text: fields.required("text"),
    ...present({
      info: fields.texts("info", CABLE_RECIPIENTS_MAX),
      exempted: fields.texts("exempted", EXEMPTED_MAX),
      precedence: fields.word("precedence", PRECEDENCES.list),
      classification: fields.word("classification", CLASSIFICATIONS.list),
      caveats: fields.texts("caveats", CABLE_CAVEATS_MAX),
      kind: fields.word("kind", KINDS.list),
      dtg: fields.text("dtg"),
      originRef: fields.text("originRef"),
      references: fields.texts("references", CABLE_REFERENCES_MAX),
      subjectCodes: fields.texts("subjectCodes", CABLE_SUBJECT_CODES_MAX),
      inReplyTo: fields.text("inReplyTo"),
      drafter: fields.text("drafter"),
      releaser: fields.text("releaser"),
      breakGlass: fields.flag("breakGlass"),
    }),
  }
  fields.end()
  return draft
}

/** `POST /signals`. */
export function readSignalDraft(body: unknown): SignalDraft {
  const fields = new Fields(body, "signal")
  const draft: SignalDraft = {
    event: fields.required("event"),
    text: fields.text("text") ?? "",
    ...present({
      to: fields.texts("to", SIGNAL_RECIPIENTS_MAX),
      place: fields.text("place"),
      urgency: fields.text("urgency"),
      severity: fields.text("severity"),
      certainty: fields.text("certainty"),
      kind: fields.word("kind", KINDS.list),
      officer: fields.text("officer"),
    }),
  }
  fields.end()
  return draft
}

/** `POST /cables/:id/acknowledge`. */
export function readAcknowledgement(body: unknown): Acknowledgement {
  const fields = new Fields(body, "acknowledgement")
  const stage = fields.word("stage", STAGES) ?? "acted"
  const acknowledgement = { stage, ...present({ officer: fields.text("officer") }) }
  fields.end()
  return acknowledgement
}

/** `POST /signals/:id/displayed`: the name of the screen. */
export function readDisplayed(body: unknown): string {
  const fields = new Fields(body, "report")
  const seat = fields.required("seat")
  if (new TextEncoder().encode(seat).length > SEAT_BYTES_MAX) {
    throw refused(`seat: expected at most ${SEAT_BYTES_MAX} bytes`)
  }
  fields.end()
  return seat
}

/** `POST /signals/:id/acknowledge`: the officer's name. */
export function readSignalAcknowledgement(body: unknown): string {
  const fields = new Fields(body, "acknowledgement")
  const officer = fields.required("officer")
  fields.end()
  return officer
}

/** `POST /governance`: payloads of the entries, each in base64. */
export function readGovernance(body: unknown): readonly Uint8Array[] {
  const fields = new Fields(body, "governance action")
  const texts = fields.texts("entries", API_GOVERNANCE_ENTRIES_MAX) ?? []
  fields.end()
  if (texts.length === 0) throw refused("entries: expected at least one")
  return texts.map((text, index) => {
    const bytes = Uint8Array.from(Buffer.from(text, "base64"))
    if (Buffer.from(bytes).toString("base64") !== text) {
      throw refused(`entries[${index}]: expected base64`)
    }
    if (bytes.length === 0 || bytes.length > ENTRY_BYTES_MAX) {
      throw refused(
        `entries[${index}]: expected 1 to ${ENTRY_BYTES_MAX} bytes, got ${bytes.length}`,
      )
    }
    return bytes
  })
}

/** A request that says all in its path: `{}`. */
export function readEmpty(body: unknown): void {
  new Fields(body, "request").end()
}

/** `{ "quick": true }` or nothing. */
export function readQuick(body: unknown): boolean {
  const fields = new Fields(body, "request")
  const isQuick = fields.flag("quick") === true
  fields.end()
  return isQuick
}

/** One JSON object whose fields are taken one by one; {@link Fields.end} refuses what is left. */
class Fields {
  readonly #fields: Map<string, unknown>

  constructor(body: unknown, what: string) {
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      throw refused(`${what}: expected a JSON object`)
    }
    this.#fields = new Map(Object.entries(body))
  }

  text(name: string): string | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : wellFormed(name, value)
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === undefined) throw refused(`${name}: missing`)
    return value
  }

  texts(name: string, countMax: number): readonly string[] | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value)) throw refused(`${name}: expected a list of texts`)
    if (value.length > countMax) {
      throw refused(`${name}: expected at most ${countMax}, got ${value.length}`)
    }
    return value.map((item: unknown, index) => wellFormed(`${name}[${index}]`, item))
  }

  word<W extends string>(name: string, words: readonly W[]): W | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    const word = words.find((one) => one === value)
    if (word === undefined) throw refused(`${name}: expected one of ${words.join(", ")}`)
    return word
  }

  flag(name: string): boolean | undefined {
    const value = this.#take(name)
    if (value !== undefined && typeof value !== "boolean") {
      throw refused(`${name}: expected true or false`)
    }
    return value
  }

  end(): void {
    const count = this.#fields.size
    if (count > 0) throw refused(`${count} unknown field${count === 1 ? "" : "s"}`)
  }

  #take(name: string): unknown {
    const value = this.#fields.get(name)
    this.#fields.delete(name)
    return value === null ? undefined : value
  }
}

// JSON can hold half of a surrogate pair, which no UTF-8 can carry.
function wellFormed(name: string, value: unknown): string {
  if (typeof value !== "string") throw refused(`${name}: expected a text`)
  if (!value.isWellFormed()) throw refused(`${name}: not well-formed Unicode`)
  return value
}

/** The fields that are there: an absent one and an undefined one are the same to us. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

function refused(message: string): NodeError {
  return new NodeError("API_REQUEST", message)
}

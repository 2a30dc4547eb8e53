/** Rows of the store as the local API shows them: missions by code, officers by name. */

import { decodeCable } from "../protocol/cable.ts"
import type { Directory } from "../protocol/directory.ts"
import type { AddresseeStatus, Cable, CableSummary, Signal, SignalDesk } from "./api/shapes.ts"
import {
  fromHex,
  toHex,
  type AddresseeRow,
  type ReceivedRow,
  type SentRow,
} from "./delivery/rows.ts"
import { isAtLeast } from "./delivery/sent.ts"
import type { RaisedRow, SignalRow } from "./hotline/rows.ts"

/** Turns rids into codes and key ids into names; unknown ones stay recognisable. */
export class Names {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  code(rid: number): string {
    return this.#directory.mission(rid)?.facts.code ?? `#${rid}`
  }

  codes(rids: readonly number[]): string[] {
    return rids.map((rid) => this.code(rid))
  }

  officer(kid: string): string {
    if (kid === "") return ""
    return this.#directory.officer(fromHex(kid))?.officer.name ?? `key ${kid.slice(0, 8)}`
  }
}

export function summaryOfReceived(row: ReceivedRow, names: Names): CableSummary {
  return {
    id: row.id,
    box: "inbox",
    from: names.code(row.sender),
    to: names.codes(row.to),
    info: names.codes(row.info),
    precedence: row.precedence,
    classification: row.classification,
    kind: row.kind,
    subject: row.subject,
    dtg: row.dtg,
    createdMs: row.createdMs,
    storedMs: row.storedMs,
    read: row.readMs !== undefined,
    acted: row.actedMs !== undefined,
    bytes: row.textBytes,
  }
}

export function summaryOfSent(
  row: SentRow,
  addressees: readonly AddresseeRow[],
  names: Names,
  self: number,
): CableSummary {
  const coded = (role: "action" | "info"): string[] =>
    addressees.filter((one) => one.role === role).map((one) => names.code(one.rid))
  return {
    id: row.id,
    box: "sent",
    from: names.code(self),
    to: coded("action"),
    info: coded("info"),
    precedence: row.precedence,
    classification: row.classification,
    kind: row.kind,
    subject: row.subject,
    dtg: row.dtg,
    createdMs: row.createdMs,
    storedMs: row.createdMs,
    read: true,
    acted: addressees.length > 0 && addressees.every((one) => one.state === "acted"),
    bytes: row.textBytes,
  }
}

/** The whole cable: its summary and its content. */
export function cableOf(
  summary: CableSummary,
  content: Uint8Array,
  more: {
    readonly seq: number
    readonly exempted: readonly string[]
    readonly drafter: string
    readonly releaser: string | undefined
    readonly breakGlass: boolean
    readonly registered: boolean
    readonly warnings: readonly string[]
  },
): Cable {
  const cable = decodeCable(content)
  const { releaser, ...rest } = more
  return {
    ...summary,
    ...rest,
    ...(releaser === undefined ? {} : { releaser }),

    text: cable.text,
    caveats: cable.caveats,
    originRef: cable.originRef,
    references: cable.references,
    subjectCodes: cable.subjectCodes,
    ...(cable.inReplyTo === undefined ? {} : { inReplyTo: toHex(cable.inReplyTo) }),
  }
}

export function addresseeOf(row: AddresseeRow, names: Names): AddresseeStatus {
  return {
    mission: names.code(row.rid),
    role: row.role,
    precedence: row.precedence,
    state: row.state,
    atMs: row.atMs,
    relays: names.codes(row.relays),
    attempts: attemptsOf(row),
    ...(row.reason === undefined ? {} : { reason: row.reason }),
  }
}

/**
 * Tries to hand it over, the one that succeeded among them: rows count those that failed or ended
 * at a relay.
 */
function attemptsOf({ state, attempts, relays }: AddresseeRow): number {
  if (state === "refused") return Math.max(1, attempts)
  return isAtLeast(state, "stored") && relays.length === 0 ? attempts + 1 : attempts
}

export function signalOf(row: SignalRow, names: Names, self: number): Signal {
  const { words } = row
  const shared = {
    id: row.id,
    kind: row.kind,
    event: words.event,
    text: words.text,
    place: words.place,
    urgency: words.urgency,
    severity: words.severity,
    certainty: words.certainty,
    raisedMs: row.raisedMs,
  }
  if (row.direction === "received") {
    const { displayedMs, acknowledgedMs, officer } = row
    const state =
      acknowledgedMs !== undefined
        ? "acknowledged"
        : displayedMs !== undefined
          ? "displayed"
          : "sent"
    const desk: SignalDesk = {
      mission: names.code(self),
      state,
      sentMs: row.receivedMs,
      ...(displayedMs === undefined ? {} : { displayedMs }),
      ...(acknowledgedMs === undefined ? {} : { acknowledgedMs }),
      ...(officer === undefined ? {} : { officer }),
    }
    return {
      ...shared,
      direction: "received",
      from: names.code(row.sender),
      receivedMs: row.receivedMs,
      desks: [desk],
    }
  }
  return { ...shared, direction: "raised", from: names.code(self), ...progressOf(row, names) }
}

function progressOf(
  row: RaisedRow,
  names: Names,
): Pick<Signal, "desks" | "displayedAfterMs" | "acknowledgedAfterMs"> {
  const desks = row.progress.desks.map((one): SignalDesk => {
    const officer = row.officers[one.desk]
    const isOver = row.progress.isExpired && one.stage !== "acknowledged"
    return {
      mission: names.code(one.desk),
      state: isOver && one.displayedMs === undefined ? "expired" : one.stage,
      ...(one.sentMs === undefined ? {} : { sentMs: one.sentMs }),
      ...(one.displayedMs === undefined ? {} : { displayedMs: one.displayedMs }),
      ...(one.acknowledgedMs === undefined ? {} : { acknowledgedMs: one.acknowledgedMs }),
      ...(officer === undefined ? {} : { officer }),
    }
  })
  const first = (times: readonly (number | undefined)[]): number | undefined => {
    const known = times.filter((time) => time !== undefined)
    return known.length === 0 ? undefined : Math.max(0, Math.min(...known) - row.raisedMs)
  }
  const displayedAfterMs = first(row.progress.desks.map((one) => one.displayedMs))
  const acknowledgedAfterMs = first(row.progress.desks.map((one) => one.acknowledgedMs))
  return {
    desks,
    ...(displayedAfterMs === undefined ? {} : { displayedAfterMs }),
    ...(acknowledgedAfterMs === undefined ? {} : { acknowledgedAfterMs }),
  }
}

/** What the hotline stores of a signal: rows of the sealed store, under `signal/<id>`. */

import { ProtocolError } from "../../protocol/errors.ts"
import type { SignalContent, SignalProgress } from "../../protocol/hotline.ts"
import type { OpenedEnvelope } from "../../protocol/open.ts"
import type { Kind } from "../../protocol/words.ts"
import { toHex, type CableId } from "../delivery/rows.ts"

/** The words of a signal as they are stored and shown; the event's id in hex. */
export interface SignalWords extends Omit<SignalContent, "eventId"> {
  readonly eventId: string
}

/** A signal raised here. */
export interface RaisedRow {
  readonly direction: "raised"
  readonly id: CableId
  readonly seq: number
  readonly kind: Kind
  readonly words: SignalWords
  readonly raisedMs: number
  readonly progress: SignalProgress
  /** Opens the ledger's commitment; hex. */
  readonly salt: string
  /** Officers who acknowledged, by desk. */
  readonly officers: Readonly<Record<number, string>>
}

/** A signal that came for our desk. */
export interface ReceivedSignalRow {
  readonly direction: "received"
  readonly id: CableId
  readonly sender: number
  readonly seq: number
  readonly kind: Kind
  readonly words: SignalWords
  readonly raisedMs: number
  readonly receivedMs: number
  readonly displayedMs?: number
  readonly acknowledgedMs?: number
  readonly officer?: string
  /** Opens the ledger's commitment; hex. */
  readonly salt: string
  readonly lastReceipt: string
}

export type SignalRow = RaisedRow | ReceivedSignalRow

export function wordsOf(content: SignalContent): SignalWords {
  return { ...content, eventId: toHex(content.eventId) }
}

/** @throws ProtocolError `SIGNAL_INVALID` for an envelope that holds no signal. */
export function receivedRowOf(
  id: CableId,
  opened: OpenedEnvelope,
  nowMs: number,
): ReceivedSignalRow {
  const { core } = opened.header
  if (opened.content.type !== "signal") {
    throw new ProtocolError("SIGNAL_INVALID", "an envelope that is no signal on the hotline")
  }
  return {
    direction: "received",
    id,
    sender: core.sender,
    seq: core.seq,
    kind: core.kind,
    words: wordsOf(opened.content.signal),
    raisedMs: core.createdMs,
    receivedMs: nowMs,
    salt: toHex(opened.salt),
    lastReceipt: "",
  }
}

/** What sender and desk keep of a signal for ever, for proofs: id and salt. */

import type { Opening } from "../../ledger/proof.ts"
import { fromHex, KEYS, parseRow, type CableId } from "../delivery/rows.ts"
import type { Database } from "../store/database.ts"
import type { SignalRow } from "./rows.ts"

/** Sender, serial and opening of a signal's entry; undefined for a signal that is not here. */
export async function signalOpening(
  database: Database,
  self: number,
  id: CableId,
): Promise<{ sender: number; seq: number; opening: Opening } | undefined> {
  const value = await database.get(KEYS.signal(id))
  if (value === undefined) return undefined
  const row = parseRow<SignalRow>(KEYS.signal(id), value)
  const sender = row.direction === "raised" ? self : row.sender
  return { sender, seq: row.seq, opening: { salt: fromHex(row.salt), cableId: fromHex(id) } }
}

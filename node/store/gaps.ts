/**
 * Heights whose blocks are not kept here, because their entries came without them (LEDGER §12).
 *
 * - `ledger/h/<height>` end of the gap below u64, 0 for none ‖ first height of this one u64 ‖
 *   certified header at its end
 * - `ledger/gap` end of the highest gap
 *
 * Gaps are found from the highest down, so one that is forgotten needs no deleting: nothing leads
 * to it.
 */

import { decodeFinalHeader, encodeFinalHeader, type FinalHeader } from "../../ledger/bundle.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "./database.ts"
import { numberKey } from "./tiles.ts"

const HIGHEST_KEY = "ledger/gap"

/** Heights from … to, both without a block. */
export interface Gap {
  readonly from: number
  readonly to: number
  /** Of height `to`: its tree has the entries of the whole gap. */
  readonly final: FinalHeader
}

/** The rows that record a gap above all others. */
export function gapOperations({ from, to, final }: Gap, below: Gap | undefined): Operation[] {
  const header = encodeFinalHeader(final)
  const value = new FieldWriter(16 + header.length)
    .u64(below?.to ?? 0)
    .u64(from)
    .bytes(header)
    .finish()
  return [
    { type: "put", key: gapKey(to), value },
    { type: "put", key: HIGHEST_KEY, value: new FieldWriter(8).u64(to).finish() },
  ]
}

/** All gaps, ascending. @throws NodeError `STORE_DAMAGED` naming the row. */
export async function loadGaps(database: Database): Promise<Gap[]> {
  const gaps: Gap[] = []
  const highest = await database.get(HIGHEST_KEY)
  if (highest === undefined) return gaps
  let end = new FieldReader(highest, HIGHEST_KEY).u64("height")
  while (end > 0) {
    const key = gapKey(end)
    const bytes = await database.get(key)
    if (bytes === undefined) throw new NodeError("STORE_DAMAGED", `ledger store: no row ${key}`)
    try {
      const reader = new FieldReader(bytes, "gap row")
      const below = reader.u64("gap below")
      const from = reader.u64("from")
      gaps.unshift({ from, to: end, final: decodeFinalHeader(reader.view("header", reader.left)) })
      end = Math.min(below, from - 1)
    } catch (cause) {
      if (!(cause instanceof TarbartaError)) throw cause
      throw new NodeError("STORE_DAMAGED", `ledger store: ${key}: broken row`, { cause })
    }
  }
  return gaps
}

/** For a store that ends below all gaps now. */
export function forgetGaps(): Operation {
  return { type: "delete", key: HIGHEST_KEY }
}

function gapKey(height: number): string {
  return `ledger/h/${numberKey(height)}`
}

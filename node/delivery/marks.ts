/**
 * Marks: what a sender may use once. Every envelope of a mission has a serial of its own, and every
 * released draft is sent once; a second envelope under the same mark is refused (PROTOCOL §5.9).
 *
 * Inbox and hotline share one instance, for a serial is used up by either.
 */

import type { OpenedEnvelope } from "../../protocol/open.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "../store/database.ts"
import { KEYS, putRow, toHex, type CableId } from "./rows.ts"

export class Marks {
  readonly #database: Database
  /** Marks that are being stored at this moment. */
  readonly #storing = new Set<string>()

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Runs `store` with the rows that use up the envelope's marks, which belong into the batch that
   * makes the envelope known here. Two envelopes with a mark in common never run at once.
   *
   * @throws NodeError `CABLE_REFUSED` when a mark is used up already.
   */
  async claim<T>(
    id: CableId,
    opened: OpenedEnvelope,
    store: (marks: readonly Operation[]) => Promise<T>,
  ): Promise<T> {
    const marks = marksOf(opened)
    const taken = marks.find((mark) => this.#storing.has(mark))
    if (taken !== undefined) refuse(taken)
    for (const mark of marks) this.#storing.add(mark)
    try {
      for (const mark of marks) {
        if ((await this.#database.get(mark)) !== undefined) refuse(mark)
      }
      return await store(marks.map((mark) => putRow(mark, { id })))
    } finally {
      for (const mark of marks) this.#storing.delete(mark)
    }
  }
}

function marksOf({ header, release }: OpenedEnvelope): string[] {
  const { sender, incarnation, seq } = header.core
  const serial = KEYS.serial(sender, incarnation, seq)
  return release === undefined ? [serial] : [serial, KEYS.draft(sender, toHex(release.draftId))]
}

function refuse(mark: string): never {
  const [what] = mark.split("/")
  const why = `its sender used the same ${what ?? "serial"} for another envelope`
  throw new NodeError("CABLE_REFUSED", why)
}

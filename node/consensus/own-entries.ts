/** Waiting for entries of this mission to become final, for callers that need to know. */

import type { Outcome } from "../../protocol/directory.ts"
import type { Ledger } from "./ledger.ts"

/** Where an entry of ours came to stand, and what it did to the directory. */
export interface OwnFinal {
  readonly seq: number
  readonly index: number
  readonly height: number
  readonly outcome: Outcome | undefined
}

/**
 * Listens, lets `write` put entries on the disk (it adds their serials to the set it is given),
 * and resolves when all of them are final, in the order of their serials. It waits for as long as
 * the validators need.
 */
export async function submitAndAwait(
  ledger: Ledger,
  rid: number,
  count: number,
  write: (serials: Set<number>) => Promise<void>,
): Promise<OwnFinal[]> {
  const serials = new Set<number>()
  const finals: OwnFinal[] = []
  const done = Promise.withResolvers<void>()
  const leave = ledger.onFinal(({ entries, outcomes, height }) => {
    for (const [offset, { index, entry }] of entries.entries()) {
      if (entry.submitter !== rid || !serials.has(entry.submitterSeq)) continue
      finals.push({ seq: entry.submitterSeq, index, height, outcome: outcomes[offset] })
    }
    if (finals.length === count) done.resolve()
  })
  try {
    await write(serials)
    await ledger.poke()
    await done.promise
  } finally {
    leave()
  }
  return finals.toSorted((a, b) => a.seq - b.seq)
}

import { describe, expect, it } from "vitest"
import { encodeRecord, mustKeep, type EncodedRecord } from "../../../ledger/record.ts"
import { Journal } from "../../../node/consensus/journal.ts"
import { LogWatch } from "../../../node/consensus/log-watch.ts"
import { LOG_TRIM_VIEWS, VOTE_VIEWS_BEHIND } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { CHAIN_ID, voteOf } from "../../support/ledger.ts"

const VIEWS = 4 * LOG_TRIM_VIEWS

function recordOf(view: number): EncodedRecord {
  const vote = { ...voteOf(0, "nullify", 1, CHAIN_ID), view }
  return encodeRecord({ kind: "nullify", epoch: 0, vote })
}

describe("the log of a validator", () => {
  for (const [name, old] of [
    ["was new", []],
    ["was there", [recordOf(1)]],
  ] as const) {
    it(`that ${name} at the start is trimmed once in so many views`, async () => {
      let kept = [...old]
      let trims = 0
      let longest = 0
      const journal = new Journal(
        {
          append: async (records) => Promise.resolve(void kept.push(...records)),
          trim: async (isKept) => {
            trims += 1
            kept = kept.filter(isKept)
            return Promise.resolve()
          },
        },
        old,
        new LogWatch(createVirtualClock(), { warn: () => undefined }),
      )
      for (let view = 2; view <= VIEWS; view++) {
        journal.add(recordOf(view), view)
        await journal.sync()
        await journal.trim(view)
        longest = Math.max(longest, kept.length)
      }
      expect(trims).toBe(VIEWS / LOG_TRIM_VIEWS - 1)
      expect(longest).toBeLessThanOrEqual(LOG_TRIM_VIEWS + VOTE_VIEWS_BEHIND + 1)
      expect(kept.every((record) => mustKeep(record, VIEWS - LOG_TRIM_VIEWS))).toBe(true)
    })
  }
})

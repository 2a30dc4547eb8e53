import { describe, expect, it } from "vitest"
import { PacedLog } from "../../../node/consensus/paced-log.ts"
import { WARNING_REPEAT_MS } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"

function open() {
  const clock = createVirtualClock()
  const lines: [string, Readonly<Record<string, string | number>>][] = []
  const log = new PacedLog({ warn: (event, facts) => lines.push([event, facts]) }, clock)
  return { clock, lines, log }
}

describe("warnings that others cause", () => {
  it("are told at once, then once in a minute with how often they came, then not at all", async () => {
    const { clock, lines, log } = open()
    for (let view = 1; view <= 3_200; view++) log.warn("VOTE_SIGNATURE", { validator: 2, view })
    expect(lines).toEqual([["VOTE_SIGNATURE", { validator: 2, view: 1 }]])
    await clock.runFor(WARNING_REPEAT_MS)
    expect(lines.slice(1)).toEqual([
      ["VOTE_SIGNATURE", { validator: 2, view: 3_200, count: 3_199 }],
    ])
    await clock.runFor(10 * WARNING_REPEAT_MS)
    expect(lines).toHaveLength(2)
    log.warn("VOTE_SIGNATURE", { validator: 2, view: 1 })
    expect(lines).toHaveLength(3)
  })

  it("are told of each code and each validator or peer by itself", () => {
    const { lines, log } = open()
    log.warn("VOTE_SIGNATURE", { validator: 1 })
    log.warn("VOTE_SIGNATURE", { validator: 2 })
    log.warn("VOTE_INVALID", { validator: 1 })
    log.warn("CHECKPOINT_FORK", { peer: "aa" })
    log.warn("CHECKPOINT_FORK", { peer: "bb" })
    expect(lines).toHaveLength(5)
  })

  it("that were not told yet are told at the end", async () => {
    const { clock, lines, log } = open()
    log.warn("VOTE_SIGNATURE", { validator: 1 })
    log.stop()
    expect(lines).toHaveLength(1)
    log.warn("VOTE_SIGNATURE", { validator: 1 })
    log.warn("VOTE_SIGNATURE", { validator: 1 })
    log.stop()
    expect(lines.at(-1)).toEqual(["VOTE_SIGNATURE", { validator: 1, count: 1 }])
    await clock.runFor(10 * WARNING_REPEAT_MS)
    expect(lines).toHaveLength(3)
  })
})

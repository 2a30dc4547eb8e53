import { describe, expect, it } from "vitest"
import { blockHash, type Block } from "../../ledger/block.ts"
import { buildBlock, genesisHead } from "../../ledger/chain.ts"
import type { Message } from "../../ledger/message.ts"
import type { Place } from "../../ledger/state.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { mayStandOn } from "../../ledger/view.ts"
import { UNFINAL_BLOCKS_MAX } from "../../protocol/limits.ts"
import { certify, DELTA_MS, Door, FOUR } from "../support/door.ts"
import { CHAIN_ID, named, NOON_MS, voteOf } from "../support/ledger.ts"
import { suite } from "../support/suites.ts"

const SELF = leaderOf(FOUR, 4)
const OTHERS = [0, 1, 2, 3].filter((at) => at !== SELF)
const FROM = OTHERS[0] ?? 0
const DAY_MS = 86_400_000
const genesis: Place = { view: 0, height: 0, hash: CHAIN_ID }
const first = buildBlock(suite, genesisHead(CHAIN_ID), 1, [], NOON_MS)

function closingOn(parent: Place, view: number): Block {
  const header = { ...first.header, view, height: parent.height + 1, parent: parent.hash }
  return { header, batches: [] }
}

function placeOf({ header }: Block): Place {
  return { view: header.view, height: header.height, hash: blockHash(suite, header) }
}

function certificate(kind: "notarize" | "nullify", view: number, hash: Uint8Array): Message {
  return { type: "certificate", certificate: certify(kind, view, hash, OTHERS) }
}

/** A validator that saw so many blocks notarized on each other, none final; and the last of them. */
function deep(blocks: number): { door: Door; tip: Place } {
  const door = new Door(SELF)
  let tip = genesis
  for (let view = 1; tip.height < blocks; view++) {
    const leader = leaderOf(FOUR, view)
    if (leader === SELF) {
      door.hear(FROM, certificate("nullify", view, tip.hash))
      continue
    }
    const block = closingOn(tip, view)
    tip = placeOf(block)
    const vote = voteOf(leader, "notarize", view, tip.hash)
    door.hear(leader, { type: "proposal", block, vote })
    door.hear(FROM, certificate("notarize", view, tip.hash))
  }
  return { door, tip }
}

describe("a block on others that are not final", () => {
  it.each([
    [1, 1],
    [31, 1],
    [32, 2],
    [47, 2],
    [48, 4],
    [64, 8],
    [UNFINAL_BLOCKS_MAX, 32_768],
  ])("as number %i of them comes after %i views at the earliest", (depth, views) => {
    const { state } = new Door(SELF)
    const parent = { ...genesis, view: 10, height: depth - 1 }
    expect(mayStandOn(state, parent, 10 + views)).toBe(true)
    expect(mayStandOn(state, parent, 9 + views)).toBe(false)
  })

  it("never comes where a proof of the lowest could not hold the headers of all others", () => {
    const { state } = new Door(SELF)
    const parent = { ...genesis, view: 10, height: UNFINAL_BLOCKS_MAX }
    expect(mayStandOn(state, parent, Number.MAX_SAFE_INTEGER)).toBe(false)
  })

  it("is proposed by its leader no earlier, though the tip has been unfinal for a day", () => {
    const { door, tip } = deep(47)
    door.at(DAY_MS)
    const proposed: [views: number, isProposed: boolean][] = []
    for (let view = tip.view + 1; view <= tip.view + 8; view++) {
      if (leaderOf(FOUR, view) === SELF) {
        proposed.push([view - tip.view, door.state.building === view])
      }
      door.hear(FROM, certificate("nullify", view, tip.hash))
    }
    expect(proposed).toEqual([
      [2, false],
      [6, true],
    ])
  })

  it("is not voted for earlier, whoever proposes it", () => {
    const { door, tip } = deep(31)
    const view = tip.view + 1
    const leader = leaderOf(FOUR, view)
    const block = closingOn(tip, view)
    const vote = voteOf(leader, "notarize", view, placeOf(block).hash)
    expect(door.hear(leader, { type: "proposal", block, vote })).toContain(`send nullify ${view}`)
    const { door: other, tip: lower } = deep(29)
    const at = lower.view + 1
    const good = closingOn(lower, at)
    const by = leaderOf(FOUR, at)
    const its = voteOf(by, "notarize", at, placeOf(good).hash)
    expect(other.hear(by, { type: "proposal", block: good, vote: its })).toContain(
      `send notarize ${at}`,
    )
  })
})

describe("R3: a notarize certificate of a view that we have left", () => {
  const hash = named("a block")
  const LATE = certificate("notarize", 2, hash)

  it("is answered by a finalize vote, so that who was away helps to finish what there is", () => {
    const door = new Door(SELF)
    door.hear(FROM, certificate("nullify", 4, hash))
    expect(door.hear(FROM, LATE)).toEqual(
      expect.arrayContaining(["persist finalize", "send finalize 2"]),
    )
    expect(door.state.view).toBe(5)
    expect(door.hear(FROM, LATE)).toEqual([])
  })

  it("is not where we gave that view up, nor below what is final, nor after a restart", () => {
    const door = new Door(SELF)
    door.hear(FROM, certificate("nullify", 1, hash))
    door.hasWork = true
    door.on({ type: "submitted" })
    expect(door.at(2 * DELTA_MS)).toContain("send nullify 2")
    door.hear(FROM, certificate("nullify", 4, hash))
    expect(door.hear(FROM, LATE)).not.toContain("send finalize 2")
    const again = new Door(SELF, door.records)
    expect(again.hear(FROM, LATE)).not.toContain("send finalize 2")
    const past = new Door(SELF)
    const final = certify("finalize", 3, hash, OTHERS)
    past.hear(FROM, { type: "certificate", certificate: final })
    expect(past.hear(FROM, LATE)).not.toContain("send finalize 2")
  })
})

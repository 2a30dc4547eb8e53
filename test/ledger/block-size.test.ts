import { describe, expect, it } from "vitest"
import { blockHash, type Block } from "../../ledger/block.ts"
import { buildBlock, genesisHead } from "../../ledger/chain.ts"
import { step } from "../../ledger/consensus.ts"
import type { ConsensusEvent } from "../../ledger/state.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { TAKE_BYTES_MAX, TAKE_BYTES_MIN, TAKE_BYTES_START } from "../../protocol/limits.ts"
import { certify, Door, FOUR } from "../support/door.ts"
import { batch, CHAIN_ID, governance, LISBON, named, NOON_MS, signed } from "../support/ledger.ts"
import { suite } from "../support/suites.ts"

const FIRST = 1
const SELF = leaderOf(FOUR, FIRST)
const OTHERS = [0, 1, 2, 3].filter((at) => at !== SELF)
const SMALL = [batch(LISBON, 1)]
/** More than half of what a leader takes at first. */
const FULL = [1, 2, 3].map((seq) => signed([governance(LISBON, seq, new Uint8Array(60_000))]))

/** Leads the views 1, 5, 9 … and notes how much it was told to take. */
class Leader {
  readonly door = new Door(SELF)
  readonly asked: number[] = []

  constructor() {
    this.door.hasWork = true
    this.feed({ type: "submitted" })
  }

  feed(event: ConsensusEvent): void {
    for (const effect of step(this.door.state, event, this.door.nowMs)) {
      if (effect.type === "buildBlock") this.asked.push(effect.bytesMax)
      if (effect.type === "persist") this.feed({ type: "persisted", seq: effect.seq })
    }
  }

  propose(view: number, batches = SMALL): Block {
    const block = buildBlock(suite, genesisHead(CHAIN_ID), view, batches, NOON_MS)
    this.feed({ type: "blockBuilt", view, block })
    return block
  }

  certify(kind: "notarize" | "nullify" | "finalize", view: number, hash = named("none")): void {
    const certificate = certify(kind, view, hash, OTHERS)
    const message = { type: "certificate", certificate } as const
    this.feed({ type: "message", from: OTHERS[0] ?? 0, finalView: 0, message })
  }

  /** Nobody's block is final in these views. */
  pass(from: number, to: number): void {
    for (let view = from; view <= to; view++) this.certify("nullify", view)
  }
}

describe("R1: a leader takes", () => {
  it("a quarter after each view of its own that is void, down to a least size", () => {
    const leader = new Leader()
    for (const view of [1, 5, 9, 13]) {
      leader.propose(view)
      leader.pass(view, view + 3)
    }
    const [start, least] = [TAKE_BYTES_START, TAKE_BYTES_MIN]
    expect(leader.asked).toEqual([start, start / 4, start / 16, least, least])
  })

  it("a quarter after each round in which nothing was final, though it had no part in it", () => {
    const leader = new Leader()
    leader.pass(1, 16)
    const [start, max, least] = [TAKE_BYTES_START, TAKE_BYTES_MAX, TAKE_BYTES_MIN]
    expect(leader.asked).toEqual([start, max / 4, max / 16, least, least])
  })

  it("as much as before, when a view of another leader is void", () => {
    const leader = new Leader()
    const { header } = leader.propose(1)
    const hash = blockHash(suite, header)
    leader.certify("notarize", 1, hash)
    leader.certify("finalize", 1, hash)
    leader.pass(2, 4)
    expect(leader.asked).toEqual([TAKE_BYTES_START, TAKE_BYTES_START])
  })

  it("twice as much once a block that used its room is final, up to a largest size", () => {
    const leader = new Leader()
    const { header } = leader.propose(1, FULL)
    const hash = blockHash(suite, header)
    leader.certify("notarize", 1, hash)
    leader.certify("finalize", 1, hash)
    leader.pass(2, 4)
    expect(leader.asked).toEqual([TAKE_BYTES_START, 2 * TAKE_BYTES_START])
  })
})

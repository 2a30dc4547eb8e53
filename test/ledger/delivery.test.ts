import { describe, expect, it } from "vitest"
import { step } from "../../ledger/consensus.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import type { ConsensusEffect } from "../../ledger/state.ts"
import { certify, Door } from "../support/door.ts"
import { CHAIN_ID, named } from "../support/ledger.ts"

const SELF = 0
const OTHERS = [1, 2, 3]
const VOID = certify("nullify", 1, CHAIN_ID, OTHERS)
const LOWER = certify("notarize", 2, named("lower"), OTHERS)
const FINAL = certify("finalize", 3, named("final"), OTHERS)
const HIGHER = certify("nullify", 4, CHAIN_ID, OTHERS)

/** Blocks up to view 3 come from elsewhere. */
function adopt(heard: readonly Certificate[]): readonly ConsensusEffect[] {
  const door = new Door(SELF)
  for (const certificate of heard) door.hear(1, { type: "certificate", certificate })
  const place = { view: 3, height: 2, hash: FINAL.blockHash }
  return step(door.state, { type: "adopted", place, certificates: [FINAL] }, 0)
}

describe("certificates that a fork is blamed by", () => {
  it("are handed over when their blocks come from elsewhere, those above them later", () => {
    const kept = adopt([VOID, LOWER, HIGHER]).filter(({ type }) => type === "keep")
    expect(kept).toEqual([{ type: "keep", certificates: [VOID, LOWER] }])
  })

  it("are not made up where there were none", () => {
    expect(adopt([]).filter(({ type }) => type === "keep")).toEqual([])
    expect(adopt([HIGHER]).filter(({ type }) => type === "keep")).toEqual([])
  })
})

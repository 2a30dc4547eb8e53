import { describe, expect, it } from "vitest"
import { encodeFinalBlock } from "../../ledger/block.ts"
import { genesisHead, type ChainHead } from "../../ledger/chain.ts"
import {
  answered,
  askNext,
  EMPTY_SYNC,
  failed,
  heardHeight,
  verifyAnswer,
} from "../../ledger/sync.ts"
import type { BlocksQuery, SyncState } from "../../ledger/sync.ts"
import {
  batch,
  CHAIN_ID,
  chainOf,
  finalBlockOn,
  flipped,
  LISBON,
  RULES,
} from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const chain = chainOf(Array.from({ length: 6 }, (_, i) => [batch(LISBON, i + 1)]))
const bytes = chain.blocks.map(encodeFinalBlock)
const genesis = genesisHead(CHAIN_ID)

function heard(...claims: readonly (readonly [peer: string, height: number])[]): SyncState {
  let state = EMPTY_SYNC
  for (const [peer, height] of claims) state = heardHeight(state, peer, height)
  return state
}

/** The height reached, and the code of the refusal that ended it. */
function follow(
  head: ChainHead,
  query: BlocksQuery,
  answer: readonly Uint8Array[],
): { readonly height: number; readonly code: string | undefined } {
  let { height } = head
  const code = refusal(() => {
    for (const accepted of verifyAnswer(suite, head, query, answer, RULES)) {
      height = accepted.head.height
    }
  })
  return { height, code }
}

describe("what a follower asks for", () => {
  it("is nothing while nobody claims more than it has", () => {
    expect(askNext(EMPTY_SYNC, 0).query).toBeUndefined()
    expect(askNext(heard(["Capital", 6]), 6).query).toBeUndefined()
    expect(askNext(heard(["Capital", 5]), 6).query).toBeUndefined()
  })

  it("is the next blocks, from the peer that claims most, at most 256 and one request at a time", () => {
    const state = heard(["Capital", 900], ["Nairobi", 300])
    const asked = askNext(state, 10)
    expect(asked.query).toEqual({ peer: "Capital", fromHeight: 11, count: 256 })
    expect(askNext(asked.state, 10).query).toBeUndefined()
    expect(askNext(answered(asked.state), 890).query).toEqual({
      peer: "Capital",
      fromHeight: 891,
      count: 10,
    })
  })

  it("goes to another peer when one fails: a liar about heights costs one request", () => {
    const asked = askNext(heard(["Capital", 6], ["Mallory", 10 ** 12]), 3)
    expect(asked.query?.peer).toBe("Mallory")
    const after = failed(asked.state, "Mallory")
    expect(askNext(after, 3).query).toEqual({ peer: "Capital", fromHeight: 4, count: 3 })
    // Somebody else's failure does not end the request that is out.
    expect(askNext(failed(asked.state, "Capital"), 3).query).toBeUndefined()
  })
})

describe("what a follower believes", () => {
  const query = { peer: "Capital", fromHeight: 1, count: 6 }

  it("is an answer whose blocks all verify, whoever sent it", () => {
    expect(follow(genesis, query, bytes)).toEqual({ height: 6, code: undefined })
    expect(follow(genesis, query, bytes.slice(0, 2))).toEqual({ height: 2, code: undefined })
  })

  it("is everything before the first bad block, and nothing after it", () => {
    const damaged = bytes.map((one, i) => (i === 3 ? flipped(one, 2_000) : one))
    const { height, code } = follow(genesis, query, damaged)
    expect(height).toBe(3)
    expect(code).toBeDefined()
  })

  it("is no empty answer, no answer of too many blocks, none from another height", () => {
    expect(follow(genesis, query, [])).toEqual({ height: 0, code: "SYNC_ANSWER" })
    expect(follow(genesis, { ...query, count: 5 }, bytes)).toEqual({
      height: 0,
      code: "SYNC_ANSWER",
    })
    expect(follow(genesis, query, bytes.slice(1))).toEqual({ height: 0, code: "BLOCK_PARENT" })
    expect(follow(chain.head, query, bytes)).toEqual({ height: 6, code: "BLOCK_PARENT" })
  })

  it("at equal height changes nothing: a block delivered twice is refused and the next one fits", () => {
    const next = encodeFinalBlock(finalBlockOn(chain.head, [batch(LISBON, 7)]))
    const last = bytes.at(-1) ?? next
    expect(follow(chain.head, query, [last]).code).toBe("BLOCK_PARENT")
    expect(follow(chain.head, query, [next])).toEqual({ height: 7, code: undefined })
  })
})

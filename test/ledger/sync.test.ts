import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encodeFinalBlock } from "../../ledger/block.ts"
import { genesisHead, type ChainHead } from "../../ledger/chain.ts"
import {
  accepted,
  arrived,
  askNext,
  EMPTY_SYNC,
  failed,
  heardHeight,
  provenHeight,
  readyRange,
  stalledQuery,
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
import {
  SYNC_ANSWER_BYTES,
  SYNC_HELD_BYTES_MAX,
  SYNC_RANGES_MAX,
  SYNC_RANGES_PER_PEER_MAX,
} from "../../protocol/limits.ts"
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

/** What is asked for, in words. */
function asks(state: SyncState, ownHeight: number): { state: SyncState; words: string[] } {
  const next = askNext(state, ownHeight)
  const words = next.asks.map((ask) => {
    if (ask.type === "newest") return `${ask.peer} newest`
    const { peer, fromHeight, count } = ask.query
    return `${peer} ${fromHeight}…${fromHeight + count - 1}`
  })
  return { state: next.state, words }
}

const blocksOf = (count: number, size = 500): Uint8Array[] =>
  Array.from({ length: count }, () => new Uint8Array(size))

/** A peer that has brought so many ranges already may be asked for as many at once. */
function paced(state: SyncState, peer: string, times = SYNC_RANGES_PER_PEER_MAX): SyncState {
  let next = state
  for (let i = 1; i < times; i++) next = accepted(next, { peer, fromHeight: 1, count: 1 })
  return next
}

describe("what a follower asks for", () => {
  it("is nothing while nobody claims more than it has", () => {
    expect(asks(EMPTY_SYNC, 0).words).toEqual([])
    expect(asks(heard(["Capital", 6]), 6).words).toEqual([])
    expect(asks(heard(["Capital", 5]), 6).words).toEqual([])
  })

  it("is the next blocks at once when few are missing, of one peer", () => {
    const state = heard(["Capital", 20], ["Nairobi", 20])
    const asked = asks(state, 10)
    expect(asked.words).toEqual(["Nairobi 11…20"])
    expect(asks(asked.state, 10).words).toEqual([])
  })

  it("is first the newest header of one who claims far more, then ranges from all", () => {
    const asked = asks(heard(["Capital", 900], ["Nairobi", 900]), 10)
    expect(asked.words).toEqual(["Nairobi newest", "Capital 11…74"])
    const proven = paced(provenHeight(asked.state, "Nairobi", 900), "Nairobi", 2)
    expect(asks(proven, 10).words).toEqual(["Nairobi 75…138", "Nairobi 139…202"])
  })

  it("grows with every good answer: at most 4 ranges of a peer, and 10 in all", () => {
    let state = heard(["Capital", 5_000], ["Nairobi", 5_000], ["Lisbon", 5_000], ["Paris", 5_000])
    state = provenHeight(state, "Capital", 5_000)
    expect(asks(state, 0).words).toHaveLength(4)
    for (const peer of ["Capital", "Nairobi", "Lisbon", "Paris"]) state = paced(state, peer, 9)
    const { words } = asks(state, 0)
    expect(words).toHaveLength(SYNC_RANGES_MAX)
    const froms = words.map((word) => Number(/ (\d+)…/.exec(word)?.[1]))
    expect(froms).toEqual(Array.from({ length: 10 }, (_, i) => 1 + 64 * i))
    const alone = paced(provenHeight(heard(["Capital", 5_000]), "Capital", 5_000), "Capital", 9)
    expect(asks(alone, 0).words).toHaveLength(SYNC_RANGES_PER_PEER_MAX)
  })

  it("of one who claims an absurd height is one request, while others go on", () => {
    const asked = asks(heard(["Capital", 6], ["Mallory", 10 ** 12]), 3)
    expect(asked.words).toEqual(["Mallory newest", "Capital 4…6"])
    expect(asks(asked.state, 6).words).toEqual([])
    expect(asks(failed(asked.state, "Mallory", "lied"), 6).words).toEqual([])
    // Another one like it costs one request as well.
    const more = heardHeight(heardHeight(asked.state, "Mallory", 10 ** 12), "Malice", 10 ** 13)
    expect(asks(more, 6).words).toEqual(["Malice 7…70"])
  })

  it("goes to another peer when one fails, and what the others bring stays", () => {
    let state = provenHeight(heard(["Capital", 500], ["Lisbon", 500]), "Capital", 500)
    let asked = asks(state, 0)
    expect(asked.words).toEqual(["Lisbon 1…64", "Capital 65…128"])
    state = arrived(asked.state, { peer: "Capital", fromHeight: 65, count: 64 }, blocksOf(64))
    for (const reason of ["slow", "gone", "lied"] as const) {
      asked = asks(failed(state, "Lisbon", reason), 0)
      expect(asked.words).toEqual(["Capital 1…64"])
    }
    // The liar's own answer goes with it; that of one who is only gone does not.
    expect(failed(state, "Capital", "gone").ranges).toHaveLength(2)
    expect(failed(state, "Capital", "lied").ranges).toHaveLength(1)
  })

  it("is less of a peer that was too slow, until it has shown itself again", () => {
    let state = provenHeight(heard(["Capital", 500]), "Capital", 500)
    state = heardHeight(failed(state, "Capital", "slow"), "Capital", 500)
    expect(asks(state, 0).words).toEqual(["Capital 1…32"])
    state = heardHeight(failed(state, "Capital", "slow"), "Capital", 500)
    expect(asks(state, 0).words).toEqual(["Capital 1…16"])
    state = paced(state, "Capital", 2)
    expect(asks(state, 0).words).toEqual(["Capital 1…32", "Capital 33…64"])
  })
})

describe("answers", () => {
  const query = { peer: "Capital", fromHeight: 1, count: 64 }
  const start = paced(provenHeight(heard(["Capital", 5_000]), "Capital", 5_000), "Capital")

  it("wait for their turn and stay until they are accepted", () => {
    const second = { ...query, fromHeight: 65 }
    let { state } = askNext(start, 0)
    state = arrived(state, second, blocksOf(64))
    expect(readyRange(state, 0)).toBeUndefined()
    state = arrived(state, query, blocksOf(64))
    expect(readyRange(state, 0)).toMatchObject(query)
    expect(readyRange(state, 0)).toMatchObject(query)
    state = accepted(state, query)
    expect(readyRange(state, 0)).toBeUndefined()
    expect(readyRange(state, 64)).toMatchObject(second)
    // Consensus went on meanwhile: the part above our head is still of use.
    expect(readyRange(state, 100)).toMatchObject(second)
    expect(readyRange(state, 128)).toBeUndefined()
  })

  it("of none or too many blocks are refused; one that nobody waits for changes nothing", () => {
    const { state } = askNext(start, 0)
    expect(refusal(() => arrived(state, query, []))).toBe("SYNC_ANSWER")
    expect(refusal(() => arrived(state, query, blocksOf(65)))).toBe("SYNC_ANSWER")
    expect(refusal(() => arrived(state, query, blocksOf(64)))).toBeUndefined()
    const other = { ...query, fromHeight: 40 }
    expect(arrived(state, other, blocksOf(64)).ranges).toEqual(state.ranges)
  })

  it("that end early say where the peer ends, and the rest is asked of others", () => {
    let { state } = askNext(start, 0)
    state = accepted(arrived(state, query, blocksOf(5)), query)
    expect(state.claims.get("Capital")).toBe(5)
    expect(asks(heardHeight(state, "Lisbon", 900), 5).words).toContain("Lisbon 6…64")
    // A full answer of large blocks is no sign of an end.
    const large = arrived(askNext(start, 0).state, query, blocksOf(2, SYNC_ANSWER_BYTES / 2))
    expect(large.claims.get("Capital")).toBe(5_000)
  })

  it("are held up to a number of bytes; the highest go first, the one whose turn it is never", () => {
    let { state } = askNext(start, 0)
    for (const at of [3, 2, 1, 0]) {
      const blocks = blocksOf(2, SYNC_HELD_BYTES_MAX / 4 + 1)
      state = arrived(state, { ...query, fromHeight: 1 + 64 * at }, blocks)
    }
    const held = state.ranges.filter(({ answer }) => answer !== undefined)
    expect(held.map(({ fromHeight }) => fromHeight)).toEqual([1])
    expect(readyRange(state, 0)).toMatchObject(query)
    // What was dropped is asked for again.
    expect(asks(state, 0).words[0]).toBe("Capital 65…128")
    const larger = arrived(askNext(start, 0).state, query, blocksOf(1, 2 * SYNC_HELD_BYTES_MAX))
    expect(readyRange(larger, 0)).toMatchObject(query)
    // Beside one that is too large already nothing more is asked for.
    expect(asks(larger, 0).words).toEqual([])
  })

  it("that all wait for may be asked of another, if one claims to have it", () => {
    const claims = heard(["Capital", 500], ["Lisbon", 500])
    const { state } = askNext(provenHeight(claims, "Capital", 500), 0)
    expect(stalledQuery(state, 0)).toMatchObject({ peer: "Lisbon", fromHeight: 1 })
    const later = { peer: "Capital", fromHeight: 65, count: 64 }
    const passed = arrived(state, later, blocksOf(64))
    expect(stalledQuery(passed, 0)).toMatchObject({ peer: "Lisbon", fromHeight: 1 })
    const first = { peer: "Lisbon", fromHeight: 1, count: 64 }
    expect(stalledQuery(arrived(state, first, blocksOf(64)), 0)).toBeUndefined()
    const nobody = { ...passed, claims: new Map([["Lisbon", 500]]) }
    expect(stalledQuery(nobody, 0)).toBeUndefined()
    // One who claims less does not have what all wait for.
    const fewer = heardHeight(state, "Capital", 0)
    expect(stalledQuery(fewer, 0)).toBeUndefined()
  })

  it("is asked of whoever was not too slow before, though others spoke later", () => {
    const start = heard(["Capital", 20], ["Lisbon", 20])
    const slow = heardHeight(failed(start, "Lisbon", "slow"), "Lisbon", 20)
    expect(asks(slow, 10).words).toEqual(["Capital 11…20"])
    const both = heardHeight(failed(slow, "Capital", "slow"), "Lisbon", 20)
    expect(asks(heardHeight(both, "Capital", 20), 10).words).toEqual(["Capital 11…20"])
    const again = accepted(both, { peer: "Lisbon", fromHeight: 11, count: 10 })
    expect(asks(heardHeight(again, "Capital", 30), 20).words).toEqual(["Capital 21…30"])
  })

  it("arrive and fail in any order: ranges stay disjoint, few, and lead to the end", () => {
    const step = fc.tuple(fc.constantFrom("A", "B", "C"), fc.nat(99))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let state = heard(["A", 2_000], ["B", 700], ["C", 10 ** 15])
        let own = 0
        const advance = (): void => {
          state = askNext(state, own).state
          for (let ready = readyRange(state, own); ready; ready = readyRange(state, own)) {
            own = Math.max(own, ready.fromHeight + ready.answer.length - 1)
            state = askNext(accepted(state, ready), own).state
          }
          expect(state.ranges.length).toBeLessThanOrEqual(SYNC_RANGES_MAX)
          let last = 0
          for (const range of state.ranges) {
            expect(range.fromHeight).toBeGreaterThan(last)
            expect(range.fromHeight).toBeLessThanOrEqual(own + 1_000)
            last = range.fromHeight + range.count - 1
          }
        }
        const answer = (peer: string, luck: number): void => {
          const height = peer === "A" ? 2_000 : peer === "B" ? 700 : 0
          if (state.proving === peer) {
            if (height === 0) state = failed(state, peer, "lied")
            else state = provenHeight(state, peer, height)
          }
          const open = state.ranges.filter((range) => range.peer === peer && !range.answer)
          const range = open[luck % Math.max(1, open.length)]
          if (range === undefined) return
          const count = Math.min(range.count, height - range.fromHeight + 1)
          if (count > 0 && luck > 10) state = arrived(state, range, blocksOf(count))
          else state = failed(state, peer, luck % 2 === 0 ? "gone" : "slow")
          if (height > 0) state = heardHeight(state, peer, height)
        }
        for (const [peer, luck] of steps) {
          advance()
          answer(peer, luck)
        }
        for (let turn = 0; turn < 400; turn++) {
          advance()
          for (const peer of ["A", "B", "C"]) answer(peer, 50)
        }
        expect(own).toBe(2_000)
      }),
    )
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

  it("is no block of another height, be it valid elsewhere", () => {
    expect(follow(genesis, query, bytes.slice(1))).toEqual({ height: 0, code: "BLOCK_PARENT" })
    const wrong = { ...query, fromHeight: 7 }
    expect(follow(chain.head, wrong, bytes)).toEqual({ height: 6, code: "BLOCK_PARENT" })
  })

  it("at or below the head changes nothing: it is skipped, and the next block fits", () => {
    const next = encodeFinalBlock(finalBlockOn(chain.head, [batch(LISBON, 7)]))
    expect(follow(chain.head, query, bytes)).toEqual({ height: 6, code: undefined })
    expect(follow(chain.head, query, [...bytes, next])).toEqual({ height: 7, code: undefined })
    const seventh = { ...query, fromHeight: 7 }
    expect(follow(chain.head, seventh, [next])).toEqual({ height: 7, code: undefined })
    expect(follow(chain.head, seventh, bytes.slice(-1)).code).toBe("BLOCK_PARENT")
  })
})

import { describe, expect, it } from "vitest"
import { appendLeaves, EMPTY_FRONTIER, frontierRoot, hashLeaves } from "../../ledger/merkle.ts"
import { validatorPolicy } from "../../ledger/policy.ts"
import { encodeProof } from "../../ledger/proof.ts"
import {
  entryBytes,
  makeTiles,
  namedValidators,
  noteOf,
  openingOf,
  ORIGIN,
  validatorLines,
} from "../support/publication.ts"
import { suite } from "../support/suites.ts"
import { publicationChunks, publishedFiles } from "../../node/store/publication.ts"
import { History, readPublished } from "./history.ts"

const validators = namedValidators(4)
const entries = Array.from({ length: 40 }, (_, index) => entryBytes(index))
/** The same entries but one, as on a branch of a fork. */
const others = entries.with(7, entryBytes(1_007))

function signed(of: readonly Uint8Array[], signers = 3): string {
  const root = frontierRoot(appendLeaves(EMPTY_FRONTIER, hashLeaves(of)))
  const checkpoint = { origin: ORIGIN, size: of.length, root }
  const lines = validators.slice(0, signers).flatMap((one, index) => {
    return validatorLines(checkpoint, one, index === 0 ? ["log", "cosigner"] : ["cosigner"])
  })
  return noteOf(checkpoint, lines)
}

/** What is found when `act` has told a history what was published, and all entries are left. */
function findings(act: (history: History) => void, left: readonly Uint8Array[] = entries) {
  const found: string[] = []
  const history = new History(suite, validatorPolicy(ORIGIN, validators), (what) => {
    found.push(what)
  })
  act(history)
  history.judge(left)
  return found
}

function publish(history: History, code: string, of: readonly Uint8Array[]): void {
  history.published(code, signed(of), of)
}

async function proofOf(index: number, size: number): Promise<Uint8Array> {
  const tiles = await makeTiles(size)
  return encodeProof({
    opened: { entry: entryBytes(index), ...openingOf(index) },
    index,
    path: await tiles.inclusion(index, size),
    checkpoint: signed(entries.slice(0, size)),
  })
}

describe("the history of what nodes published", () => {
  it("is well when all checkpoints and proofs are of the ledger at the end", async () => {
    const proof = await proofOf(7, 9)
    const found = findings((history) => {
      for (const size of [1, 2, 3, 8, 9, 31, 40]) publish(history, "DAC", entries.slice(0, size))
      for (const size of [5, 5, 9, 33]) publish(history, "LON", entries.slice(0, size))
      history.proven("NBO", proof)
      expect(history.sizes).toBe(9)
    })
    expect(found).toEqual([])
  })

  it("notices an entry that has vanished after it was published", () => {
    const found = findings((history) => publish(history, "DAC", entries), entries.slice(0, 39))
    expect(found).toEqual(["entry 39 has vanished", "40 entries were published, 39 are left"])
  })

  it("notices an entry that has vanished after it was proven, or another in its place", async () => {
    const proof = await proofOf(7, 9)
    const prove = (history: History): void => history.proven("DAC", proof)
    expect(findings(prove, entries.slice(0, 7))).toContain("entry 7 has vanished")
    expect(findings(prove, others)).toContain("entry 7 is another one than before")
    expect(findings(prove, entries.slice(0, 9))).toEqual([])
    const forked = findings((history) => {
      prove(history)
      publish(history, "LON", others.slice(0, 9))
    })
    expect(forked).toContain("LON has a second root at 9 entries")
  })

  it("notices a checkpoint that shrinks at one node, but not that another node is behind", () => {
    const found = findings((history) => {
      publish(history, "DAC", entries.slice(0, 9))
      publish(history, "LON", entries.slice(0, 8))
      publish(history, "DAC", entries.slice(0, 8))
      publish(history, "DAC", entries.slice(0, 9))
    })
    expect(found).toEqual(["DAC published 8 entries after 9"])
  })

  it("notices a fork at one size, though each branch is signed and whole", () => {
    const found = findings((history) => {
      publish(history, "DAC", entries.slice(0, 9))
      publish(history, "LON", others.slice(0, 9))
    })
    expect(found).toEqual(["LON has a second root at 9 entries", "LON has another entry 7"])
  })

  it("notices a fork between two sizes, whichever branch the ledger has at the end", () => {
    const fork = (history: History): void => {
      // Nothing but roots is compared: neither branch shows its entries.
      history.published("DAC", signed(entries.slice(0, 9)), [])
      history.published("LON", signed(others.slice(0, 20)), [])
    }
    for (const left of [entries, others]) {
      const found = findings(fork, left)
      expect(found.some((what) => what.startsWith("published sizes 9 and 20: TREE_"))).toBe(true)
      expect(found.some((what) => what.includes("another root at"))).toBe(true)
    }
  })

  it("notices a checkpoint that too few have signed, and files of other entries", () => {
    const some = entries.slice(0, 9)
    const few = findings((history) => history.published("DAC", signed(some, 2), some))
    expect(few[0]).toMatch(/^checkpoint of DAC: POLICY_UNMET/u)
    const cut = findings((history) => history.published("DAC", signed(some), some.slice(0, 8)))
    expect(cut).toEqual(["DAC published other entries than its checkpoint of 9"])
    const changed = findings((history) => {
      history.published("DAC", signed(some), others.slice(0, 9))
    })
    expect(changed[0]).toBe("DAC published other entries than its checkpoint of 9")
  })

  it("takes all entries out of a publication, also where the missions' part ends earlier", async () => {
    const of = Array.from({ length: 600 }, (_, index) => entryBytes(index))
    const files = publishedFiles(
      await makeTiles(600),
      {
        checkpoint: { size: 600, text: signed(of) },
        missions: { size: 590, text: signed(of.slice(0, 590)) },
        policy: "quorum none\n",
        missionPolicy: "quorum none\n",
      },
      0,
    )
    const { checkpoint, entries: found } = await readPublished(publicationChunks(files))
    expect(findings((history) => history.published("DAC", checkpoint, found), of)).toEqual([])
    expect(found).toHaveLength(600)
  })
})

import { describe, expect, it } from "vitest"
import { Directory } from "../../protocol/directory.ts"
import type { Action } from "../../protocol/governance.ts"
import { OPEN_PROPOSALS_PER_MEMBER_MAX } from "../../protocol/limits.ts"
import { drawApplicant, Founding, requestFor } from "../support/identities.ts"
import { suite } from "../support/suites.ts"

const founding = new Founding(suite, "proposals tests")
const { random, net, genesisBytes } = founding
const [minister, secretary, registrar] = [0, 1, 2].map((index) => founding.member(index))
if (minister === undefined || secretary === undefined || registrar === undefined) {
  throw new RangeError("three members expected")
}
const paris = drawApplicant(suite, random, "PAR")
const admission: Action = { type: "admit", request: requestFor(suite, paris, net) }

/** Puts one payload on the ledger; what it did, or the code of its refusal. */
function govern(directory: Directory, payload: Uint8Array, height = 1): string {
  const outcome = directory.apply({ type: "governance", payload }, height)
  return outcome.type === "refused" ? outcome.code : outcome.type
}

/** As many different proposals by the secretary. */
function flood(directory: Directory, count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, createdMs) => {
    const action: Action = { type: "revoke", rid: 2, reason: "flood" }
    const change = { createdMs }
    const { id, payload } = founding.propose(action, directory.stateHash, change, secretary)
    expect(govern(directory, payload)).toBe("proposed")
    return id
  })
}

describe("an open proposal", () => {
  it("is not pushed out by another member who proposes without end", () => {
    const directory = new Directory(suite, genesisBytes)
    const proposed = founding.propose(admission, directory.stateHash)
    govern(directory, proposed.payload)
    flood(directory, OPEN_PROPOSALS_PER_MEMBER_MAX + 1)
    govern(directory, founding.ballot(proposed.id, minister))
    expect(govern(directory, founding.ballot(proposed.id, registrar))).toBe("admitted")
  })

  it("is not pushed out by one who proposed the same before", () => {
    const directory = new Directory(suite, genesisBytes)
    const copied = founding.propose(admission, directory.stateHash, {}, secretary)
    const proposed = founding.propose(admission, directory.stateHash)
    expect(copied.id).toEqual(proposed.id)
    govern(directory, copied.payload)
    govern(directory, proposed.payload)
    flood(directory, OPEN_PROPOSALS_PER_MEMBER_MAX)
    govern(directory, founding.ballot(proposed.id, minister))
    expect(govern(directory, founding.ballot(proposed.id, registrar))).toBe("admitted")
  })

  it("gives way to newer ones of the same member, the oldest first", () => {
    const directory = new Directory(suite, genesisBytes)
    const ids = flood(directory, OPEN_PROPOSALS_PER_MEMBER_MAX + 2)
    const votes = ids.map((id) => govern(directory, founding.ballot(id, secretary)))
    expect(votes).toEqual(votes.map((_, at) => (at < 2 ? "GOVERNANCE_INVALID" : "none")))
  })
})

describe("a proposal to admit", () => {
  it("is refused for a key of a governance member or of a validator", () => {
    const { facts, signers } = founding.validator
    const consensus = { seed: random(32), publicKey: facts.consensusKey, sign: signers.consensus }
    for (const change of [{ submit: consensus }, { witness: consensus }, { identity: minister }]) {
      const directory = new Directory(suite, genesisBytes)
      const request = requestFor(suite, { ...paris, ...change }, net)
      const { payload } = founding.propose({ type: "admit", request }, directory.stateHash)
      expect(govern(directory, payload)).toBe("GOVERNANCE_INVALID")
    }
  })
})

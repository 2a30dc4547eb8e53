import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { MissionFacts } from "../../protocol/identity.ts"
import { keyId } from "../../protocol/keys.ts"
import {
  admission,
  decide,
  epochKeys,
  fresh,
  founding,
  govern,
  governance,
  history,
  minister,
  paris,
  registrar,
  revocation,
  secretary,
  snapshot,
  stranger,
  TODAY,
  told,
} from "../support/directories.ts"
import { drawApplicant, NEW_YEAR_MS, requestFor } from "../support/identities.ts"
import { type CompositeKey } from "../support/ministry.ts"
import { randomInt } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const { random, net, dhaka, london } = founding

describe("a directory of the genesis alone", () => {
  it("knows the founding missions by number, code, peer, signer and officer", () => {
    const directory = fresh()
    expect(directory.net).toEqual(net)
    expect(directory.stateHash).toEqual(net)
    expect(directory.missions().map(({ rid, facts }) => [rid, facts.code])).toEqual([
      [1, "DAC"],
      [2, "LON"],
    ])
    const mission = directory.mission(2)
    expect(mission?.facts.code).toBe("LON")
    expect(mission?.admittedHeight).toBe(0)
    expect(directory.missionByCode("LON")).toBe(mission)
    expect(directory.missionByPeer(bytesToHex(london.transport.publicKey))).toBe(mission)
    expect(directory.missionBySigner(keyId(suite, london.signing.publicKey))).toBe(mission)
    for (const { publicKey, name } of london.officers) {
      const found = directory.officer(keyId(suite, publicKey))
      expect(found?.officer.name).toBe(name)
      expect(found?.mission).toBe(mission)
    }
  })

  it("knows nobody else", () => {
    const directory = fresh()
    expect(directory.mission(3)).toBeUndefined()
    expect(directory.missionByCode("PAR")).toBeUndefined()
    expect(directory.missionByPeer("00".repeat(32))).toBeUndefined()
    expect(directory.missionBySigner(keyId(suite, london.identity.publicKey))).toBeUndefined()
    expect(directory.officer(keyId(suite, stranger.publicKey))).toBeUndefined()
    expect(directory.epochKeyFor(1, NEW_YEAR_MS)).toBeUndefined()
    expect(directory.newestEpoch(1)).toBeUndefined()
  })

  it("passes over entries of other types", () => {
    const directory = fresh()
    for (const type of ["message", "evidence"] as const) {
      expect(told(directory.apply({ type, payload: random(10) }, 1))).toBe("none")
    }
  })
})

describe("an admission", () => {
  it("takes effect with the second of three members' ballots, and not before", () => {
    const directory = fresh()
    const before = directory.stateHash
    const { id, payload } = admission(directory)
    expect(directory.apply(governance(payload), 5)).toEqual({ type: "proposed", proposalId: id })
    expect(govern(directory, founding.ballot(id, minister), 6)).toBe("none")
    expect(directory.missionByCode("PAR")).toBeUndefined()
    expect(directory.stateHash).toEqual(before)
    const outcome = directory.apply(governance(founding.ballot(id, secretary)), 7)
    expect(outcome.type === "admitted" && outcome.mission).toBe(directory.mission(3))
    expect(directory.mission(3)).toMatchObject({ rid: 3, admittedHeight: 7 })
    expect(directory.missionBySigner(keyId(suite, paris.signing.publicKey))?.rid).toBe(3)
    expect(directory.stateHash).not.toEqual(before)
  })

  it("counts a member's ballots once, and those against not at all", () => {
    const directory = fresh()
    const { id, payload } = admission(directory)
    govern(directory, payload, 1)
    const against = founding.ballot(id, secretary, { approve: false })
    for (const ballot of [founding.ballot(id, minister), founding.ballot(id, minister), against]) {
      expect(govern(directory, ballot, 1)).toBe("none")
    }
    expect(directory.missionByCode("PAR")).toBeUndefined()
    expect(govern(directory, founding.ballot(id, registrar), 1)).toBe("admitted")
  })

  it("keeps its ballots when the proposal comes again", () => {
    const directory = fresh()
    const { id, payload } = admission(directory)
    govern(directory, payload, 1)
    govern(directory, founding.ballot(id, minister), 1)
    expect(govern(directory, payload, 2)).toBe("proposed")
    expect(govern(directory, founding.ballot(id, secretary), 2)).toBe("admitted")
  })

  it("does not happen for ballots on something else", () => {
    const directory = fresh()
    const { payload } = admission(directory)
    govern(directory, payload, 1)
    const other = random(32)
    expect(govern(directory, founding.ballot(other, minister), 1)).toBe("GOVERNANCE_INVALID")
    expect(govern(directory, founding.ballot(other, secretary), 1)).toBe("GOVERNANCE_INVALID")
    expect(directory.missionByCode("PAR")).toBeUndefined()
  })

  it("does not happen for a stranger, a mission's keys or a forged signature", () => {
    const directory = fresh()
    const { id, payload } = admission(directory)
    govern(directory, payload, 1)
    govern(directory, founding.ballot(id, minister), 1)
    const forged: CompositeKey = { ...secretary, sign: stranger.sign }
    for (const key of [stranger, london.signing, dhaka.identity, forged]) {
      expect(govern(directory, founding.ballot(id, key), 1)).toBe("GOVERNANCE_INVALID")
      const request = requestFor(suite, paris, net)
      const action = { type: "admit", request } as const
      const proposed = founding.propose(action, directory.stateHash, { createdMs: 1 }, key)
      expect(govern(directory, proposed.payload, 1)).toBe("GOVERNANCE_INVALID")
    }
    expect(directory.missionByCode("PAR")).toBeUndefined()
  })

  it("is refused for another network, in the proposal as in the ballot", () => {
    const directory = fresh()
    const request = requestFor(suite, paris, net)
    const elsewhere = founding.propose({ type: "admit", request }, directory.stateHash, {
      net: random(32),
    })
    expect(govern(directory, elsewhere.payload, 1)).toBe("GOVERNANCE_INVALID")
    const { id, payload } = admission(directory)
    govern(directory, payload, 1)
    const ballot = founding.ballot(id, minister, { net: random(32) })
    expect(govern(directory, ballot, 1)).toBe("GOVERNANCE_INVALID")
    const foreign = requestFor(suite, paris, random(32))
    const proposed = founding.propose({ type: "admit", request: foreign }, directory.stateHash)
    expect(govern(directory, proposed.payload, 1)).toBe("CERTIFICATE_INVALID")
  })

  it("is refused on a state that has moved on", () => {
    const directory = fresh()
    const first = admission(directory)
    const second = admission(directory, drawApplicant(suite, random, "TYO"))
    expect(decide(directory, first, 1)).toBe("admitted")
    expect(decide(directory, second, 1)).toBe("GOVERNANCE_INVALID")
    expect(directory.missionByCode("TYO")).toBeUndefined()
  })

  it("takes effect up to the height at which it expires, and not after", () => {
    for (const [height, expected] of [
      [10, "admitted"],
      [11, "GOVERNANCE_INVALID"],
    ] as const) {
      const directory = fresh()
      const request = requestFor(suite, paris, net)
      const action = { type: "admit", request } as const
      const proposed = founding.propose(action, directory.stateHash, { expiresHeight: 10 })
      govern(directory, proposed.payload, 1)
      govern(directory, founding.ballot(proposed.id, minister), 2)
      expect(govern(directory, founding.ballot(proposed.id, secretary), height)).toBe(expected)
    }
  })

  it("closes its proposal: a ballot that comes later finds none", () => {
    const directory = fresh()
    const proposed = admission(directory)
    expect(decide(directory, proposed, 1)).toBe("admitted")
    const late = founding.ballot(proposed.id, secretary)
    expect(govern(directory, late, 2)).toBe("GOVERNANCE_INVALID")
    expect(directory.missions()).toHaveLength(3)
  })

  it("is refused for a code that belongs to a mission, or a key that ever belonged to one", () => {
    const changes: readonly Partial<MissionFacts>[] = [
      { code: "LON", officers: [] },
      { transportKey: london.transport.publicKey },
    ]
    for (const change of changes) {
      const directory = fresh()
      const { payload } = admission(directory, paris, change)
      expect(govern(directory, payload, 1)).toBe("GOVERNANCE_INVALID")
    }
    for (const key of ["identity", "signing", "submit", "witness"] as const) {
      const directory = fresh()
      const borrowed = { ...paris, [key]: london[key] }
      expect(govern(directory, admission(directory, borrowed).payload, 1), key).toBe(
        "GOVERNANCE_INVALID",
      )
    }
    const directory = fresh()
    const poached = admission(directory, { ...paris, officers: london.officers })
    expect(govern(directory, poached.payload, 1)).toBe("GOVERNANCE_INVALID")
    expect(decide(directory, revocation(directory, 2), 1)).toBe("revoked")
    const poachedLater = admission(directory, { ...paris, officers: london.officers })
    expect(govern(directory, poachedLater.payload, 2)).toBe("GOVERNANCE_INVALID")
    const renewed = drawApplicant(suite, random, "LON")
    expect(decide(directory, admission(directory, renewed), 2)).toBe("admitted")
    expect(directory.missionByCode("LON")?.rid).toBe(3)
    expect(directory.mission(2)?.revokedHeight).toBe(1)
  })
})

describe("a revocation", () => {
  it("ends a mission from its height on, and leaves what was before", () => {
    const directory = fresh()
    expect(decide(directory, admission(directory), 10)).toBe("admitted")
    expect(decide(directory, revocation(directory, 3), 20)).toBe("revoked")
    const mission = directory.mission(3)
    if (mission === undefined) throw new RangeError("a revoked mission is still known")
    expect(mission).toMatchObject({ admittedHeight: 10, revokedHeight: 20 })
    expect(directory.isRevoked(mission, 19)).toBe(false)
    expect(directory.isRevoked(mission, 20)).toBe(true)
    expect(directory.isRevoked(mission, 21)).toBe(true)
    expect(directory.missionBySigner(mission.signingKid)).toBe(mission)
    const london = directory.mission(2)
    expect(london !== undefined && directory.isRevoked(london, 21)).toBe(false)
  })

  it("is refused for a validator, a number that nobody has, and twice", () => {
    const directory = fresh()
    const before = directory.stateHash
    expect(decide(directory, revocation(directory, 1), 1)).toBe("GOVERNANCE_INVALID")
    expect(decide(directory, revocation(directory, 9), 1)).toBe("DIRECTORY_UNKNOWN")
    expect(directory.stateHash).toEqual(before)
    expect(decide(directory, revocation(directory, 2), 1)).toBe("revoked")
    expect(decide(directory, revocation(directory, 2), 2)).toBe("DIRECTORY_REVOKED")
    expect(directory.mission(2)?.revokedHeight).toBe(1)
  })

  it("gives the number of the revoked mission to nobody else", () => {
    const directory = fresh()
    decide(directory, revocation(directory, 2), 1)
    expect(decide(directory, admission(directory), 2)).toBe("admitted")
    expect(directory.missionByCode("PAR")?.rid).toBe(3)
  })
})

describe("the fold", () => {
  const items = history()

  it("gives every node the same directory", () => {
    const [one, other] = [fresh(), fresh()]
    const outcomes = [one, other].map((directory) =>
      items.map((item, index) => directory.apply(item, index + 1)),
    )
    expect(outcomes[1]).toEqual(outcomes[0])
    expect(snapshot(other)).toEqual(snapshot(one))
    expect(one.missionByCode("PAR")).toBeDefined()
    expect(one.missionByCode("TYO")).toBeUndefined()
    const kinds = new Set(outcomes[0]?.map(({ type }) => type))
    const all = ["admitted", "epoch-keys", "none", "proposed", "refused", "revoked"]
    expect([...kinds].sort()).toEqual(all)
  })

  it("gives the same again when accepted entries are trusted and refused governance is judged", () => {
    const first = fresh()
    const outcomes = items.map((item, index) => first.apply(item, index + 1))
    const again = fresh()
    items.forEach((item, index) => {
      const isRefused = outcomes[index]?.type === "refused"
      if (isRefused && item.type === "epochKeys") return
      expect(again.apply(item, index + 1, { trusted: !isRefused })).toEqual(outcomes[index])
    })
    expect(snapshot(again)).toEqual(snapshot(first))
  })

  it("refuses arbitrary payloads with a code, and is not changed by them", () => {
    const directory = fresh()
    items.forEach((item, index) => directory.apply(item, index + 1))
    const before = snapshot(directory)
    const types = fc.constantFrom("governance" as const, "epochKeys" as const)
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 300 }), (type, payload) => {
        expect(told(directory.apply({ type, payload }, 100))).toMatch(/^CODEC_/)
      }),
      { numRuns: 500 },
    )
    expect(snapshot(directory)).toEqual(before)
  })

  it("refuses true payloads with one bit changed, or takes them for what they are not", () => {
    const directory = fresh()
    const proposed = admission(directory)
    const samples = [
      governance(proposed.payload),
      governance(founding.ballot(proposed.id, minister)),
      epochKeys(founding.publish(2, london.signing, [TODAY])),
    ]
    const before = snapshot(directory)
    for (const { type, payload } of samples) {
      for (let count = 0; count < 120; count++) {
        const changed = payload.slice()
        const at = randomInt(random, payload.length)
        changed[at] = (changed[at] ?? 0) ^ (1 << randomInt(random, 8))
        expect(directory.apply({ type, payload: changed }, 1).type, `byte ${at}`).toBe("refused")
      }
    }
    expect(snapshot(directory)).toEqual(before)
  })
})

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encode } from "../../protocol/codec.ts"
import {
  decodeGovernance,
  encodeGenesis,
  isGovernanceSigned,
  networkId,
  signProposal,
  verifyGenesis,
  type GenesisParts,
  type Policy,
  type Thresholds,
} from "../../protocol/governance.ts"
import { signValidator } from "../../protocol/identity.ts"
import { LABELS } from "../../protocol/labels.ts"
import {
  drawApplicant,
  drawValidator,
  Founding,
  proveMember,
  requestFor,
} from "../support/identities.ts"
import { flipped } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { randomInt } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const founding = new Founding(suite, "governance tests")
const { parts, genesisBytes, random, members, net } = founding

function refuse(change: Partial<GenesisParts>): string | undefined {
  return refusal(() => verifyGenesis(suite, encodeGenesis({ ...parts, ...change })))
}

const withPolicy = (change: Partial<Policy>): string | undefined =>
  refuse({ policy: { ...parts.policy, ...change } })

const withThresholds = (change: Partial<Thresholds>): string | undefined =>
  refuse({ thresholds: { ...parts.thresholds, ...change } })

describe("a genesis", () => {
  it("gives back what it was made of, once every proof in it holds", () => {
    const genesis = verifyGenesis(suite, genesisBytes)
    expect(genesis.name).toBe(parts.name)
    expect(genesis.policy).toEqual(parts.policy)
    expect(genesis.thresholds).toEqual(parts.thresholds)
    expect(genesis.members.map(({ name }) => name)).toEqual(["Minister", "Secretary", "Registrar"])
    expect(genesis.missions.map(({ code }) => code)).toEqual(["DAC", "LON"])
    expect(genesis.validators).toEqual([founding.validator.facts])
  })

  it("is named by its hash: any change is another network", () => {
    expect(networkId(suite, genesisBytes)).toEqual(suite.sha256(genesisBytes))
    const other = encodeGenesis({ ...parts, createdMs: parts.createdMs + 1 })
    expect(networkId(suite, other)).not.toEqual(net)
  })

  it("re-encodes to itself", () => {
    const { missions, validators } = parts
    const again = { ...verifyGenesis(suite, genesisBytes), members: parts.members }
    expect(encodeGenesis({ ...again, missions, validators })).toEqual(genesisBytes)
  })

  it("is refused, or is another valid network, with any bit changed (300 places)", () => {
    // Only what no key signs for may change: name, origin, time, policy, thresholds.
    const free = genesisBytes.length - provenBytes()
    let accepted = 0
    for (let count = 0; count < 300; count++) {
      const bit = randomInt(random, genesisBytes.length * 8)
      const bytes = flipped(genesisBytes, bit)
      const code = refusal(() => verifyGenesis(suite, bytes))
      if (code === undefined) accepted += 1
      const words = /^(accepted|CODEC_.*|CERTIFICATE_INVALID|GENESIS_INVALID)$/
      expect(code ?? "accepted", `bit ${bit}`).toMatch(words)
    }
    expect(free).toBeLessThan(200)
    expect(accepted).toBeLessThan(10)
  })

  it("is refused cut, followed by more, of another label and another version", () => {
    const check = (bytes: Uint8Array): string | undefined =>
      refusal(() => verifyGenesis(suite, bytes))
    expect(check(genesisBytes.subarray(0, genesisBytes.length - 1))).toBe("CODEC_TRUNCATED")
    expect(check(Uint8Array.of(...genesisBytes, 0))).toBe("CODEC_TRAILING")
    expect(check(genesisBytes.with(5, 0x78))).toBe("CODEC_LABEL")
    const version = 1 + 1 + LABELS.genesis.length
    expect(genesisBytes[version]).toBe(1)
    expect(check(genesisBytes.with(version, 2))).toBe("CODEC_VERSION")
  })

  it("is refused with a threshold that no ballots reach, and with one of none", () => {
    for (const action of ["revoke", "admit", "policy", "upgrade", "recover"] as const) {
      expect(withThresholds({ [action]: 3 }), action).toBeUndefined()
      expect(withThresholds({ [action]: 4 }), action).toBe("GENESIS_INVALID")
      expect(withThresholds({ [action]: 0 }), action).toBe("GENESIS_INVALID")
      expect(withThresholds({ [action]: 17 }), action).toBe("CODEC_RANGE")
    }
  })

  it("is refused with an origin that no checkpoint or verifier key can carry", () => {
    for (const origin of ["a", "ledger.mofa.gov.bd/tarbarta", "!*,-~"]) {
      expect(refuse({ origin }), origin).toBeUndefined()
    }
    for (const bad of [" ", "\n", "+", "\u0000", "\u007f", "\u00a0", "\u200b", "খ"]) {
      expect(refuse({ origin: `a${bad}b` }), JSON.stringify(bad)).toBe("GENESIS_INVALID")
    }
  })

  it("is refused without members, missions or validators", () => {
    expect(refuse({ members: [] })).toBe("CODEC_LENGTH")
    expect(refuse({ missions: [] })).toBe("CODEC_LENGTH")
    expect(refuse({ validators: [] })).toBe("CODEC_LENGTH")
  })

  it("is refused with a policy out of bounds", () => {
    expect(withPolicy({ transportEncryption: "tls-pq", desks: [1, 2] })).toBeUndefined()
    expect(withPolicy({ flashTextBytesMax: 2 ** 21 })).toBe("CODEC_RANGE")
    expect(withPolicy({ twoPersonFromPrecedence: 7 })).toBe("CODEC_RANGE")
    expect(withPolicy({ twoPersonFromClassification: 6 })).toBe("CODEC_RANGE")
    expect(withPolicy({ epochKeyKeepHours: 1_441 })).toBe("CODEC_RANGE")
    for (const consensusDeltaMs of [250, 500, 2_000]) {
      expect(withPolicy({ consensusDeltaMs })).toBeUndefined()
    }
    for (const consensusDeltaMs of [0, 249, 2_001, 2 ** 40]) {
      expect(withPolicy({ consensusDeltaMs })).toBe("CODEC_RANGE")
    }
    expect(withPolicy({ desks: [] })).toBe("CODEC_LENGTH")
    expect(withPolicy({ desks: [3] })).toBe("GENESIS_INVALID")
    expect(withPolicy({ desks: [0] })).toBe("GENESIS_INVALID")
    // A signal to all desks would name one twice, and could not be raised at all.
    expect(withPolicy({ desks: [2, 2] })).toBe("GENESIS_INVALID")
  })
})

/** Bytes of a genesis that stand under a proof of possession, with the proofs. */
function provenBytes(): number {
  const lengths = [...parts.missions, ...parts.validators].map((item) => item.length)
  return lengths.reduce((sum, length) => sum + length, 0) + 3 * (1_984 + 3_373) + 32
}

describe("the members in a genesis", () => {
  const [minister, secretary, registrar] = parts.members
  const [first] = members
  if (minister === undefined || secretary === undefined || registrar === undefined) {
    throw new RangeError("three members expected")
  }
  if (first === undefined) throw new RangeError("a member expected")

  it("are refused with a proof that is another's, or for another name or genesis", () => {
    const wrong = [
      { ...minister, possession: secretary.possession },
      { ...minister, name: "Usurper" },
      { ...minister, publicKey: secretary.publicKey },
      proveMember(random(32), first),
    ]
    for (const member of wrong) {
      expect(refuse({ members: [member, secretary, registrar] })).toBe("GENESIS_INVALID")
    }
  })

  it("are refused when one key or one name stands twice: it would count once", () => {
    const alias = proveMember(parts.nonce, { ...first, name: "Alias" })
    expect(refuse({ members: [alias, secretary, registrar] })).toBeUndefined()
    expect(refuse({ members: [minister, secretary, alias] })).toBe("GENESIS_INVALID")
    expect(refuse({ members: [minister, secretary, minister] })).toBe("GENESIS_INVALID")
  })
})

describe("the missions and validators in a genesis", () => {
  const paris = drawApplicant(suite, random, "PAR")
  const request = requestFor(suite, paris, parts.nonce)

  it("are refused when two missions have one code or one key", () => {
    const like = (change: Parameters<typeof requestFor>[3]): string | undefined =>
      refuse({ missions: [...parts.missions, requestFor(suite, paris, parts.nonce, change)] })
    expect(like({})).toBeUndefined()
    expect(like({ code: "LON", officers: [] })).toBe("GENESIS_INVALID")
    // No proof of possession of a transport key stands in a request.
    expect(like({ transportKey: founding.dhaka.transport.publicKey })).toBe("GENESIS_INVALID")
    expect(refuse({ missions: [request, request] })).toBe("GENESIS_INVALID")
  })

  it("are refused when one key serves two offices", () => {
    const { facts, signers } = founding.validator
    const seed = new Uint8Array(32)
    const [member] = members
    if (member === undefined) throw new RangeError("a member expected")
    const ofValidator = (role: "submit" | "witness", key: "consensus" | "cosigner"): Uint8Array =>
      requestFor(
        suite,
        { ...paris, [role]: { seed, publicKey: facts[`${key}Key`], sign: signers[key] } },
        parts.nonce,
      )
    for (const request of [
      ofValidator("submit", "consensus"),
      ofValidator("witness", "cosigner"),
      requestFor(suite, { ...paris, identity: member }, parts.nonce),
    ]) {
      expect(refuse({ missions: [...parts.missions, request] })).toBe("GENESIS_INVALID")
    }
  })

  it("are refused when they ask for another network", () => {
    const elsewhere = requestFor(suite, paris, net)
    expect(refuse({ missions: [...parts.missions, elsewhere] })).toBe("CERTIFICATE_INVALID")
  })

  it("are refused when a validator is no founding mission, or stands twice", () => {
    const record = (rid: number): Uint8Array => {
      const { facts, signers } = drawValidator(suite, random, rid)
      return signValidator(suite, parts.nonce, facts, signers)
    }
    const { facts, signers } = founding.validator
    const sameKeys = signValidator(suite, parts.nonce, { ...facts, rid: 2 }, signers)
    expect(refuse({ validators: [...parts.validators, record(2)] })).toBeUndefined()
    expect(refuse({ validators: [...parts.validators, record(3)] })).toBe("GENESIS_INVALID")
    expect(refuse({ validators: [record(0)] })).toBe("GENESIS_INVALID")
    expect(refuse({ validators: [...parts.validators, record(1)] })).toBe("GENESIS_INVALID")
    expect(refuse({ validators: [...parts.validators, sameKeys] })).toBe("GENESIS_INVALID")
  })
})

describe("a governance payload", () => {
  const base = random(32)
  const [minister, secretary] = verifyGenesis(suite, genesisBytes).members
  if (minister === undefined || secretary === undefined) throw new RangeError("members expected")
  const revoke = { type: "revoke", rid: 2, reason: "দূতাবাস closed" } as const
  const proposed = founding.propose(revoke, base)
  const ballot = founding.ballot(proposed.id, founding.member(1))

  it("gives back a proposal and its id, which is the hash of what was signed", () => {
    const payload = decodeGovernance(suite, proposed.payload)
    expect(payload.type).toBe("proposal")
    if (payload.type !== "proposal") return
    expect(payload.proposal).toEqual({
      net,
      action: revoke,
      baseStateHash: base,
      expiresHeight: 1_000,
      createdMs: parts.createdMs,
    })
    expect(payload.id).toEqual(proposed.id)
    expect(payload.id).toEqual(suite.sha256(payload.statement))
    expect(isGovernanceSigned(suite, payload, minister)).toBe(true)
    expect(isGovernanceSigned(suite, payload, secretary)).toBe(false)
  })

  it("gives back an admission with the request in it", () => {
    const request = requestFor(suite, drawApplicant(suite, random, "PAR"), net)
    const { payload } = founding.propose({ type: "admit", request }, base)
    const decoded = decodeGovernance(suite, payload)
    expect(decoded.type === "proposal" && decoded.proposal.action).toEqual({
      type: "admit",
      request,
    })
  })

  it("gives back a ballot, for or against", () => {
    const against = founding.ballot(proposed.id, founding.member(1), { approve: false })
    for (const [bytes, approve] of [
      [ballot, true],
      [against, false],
    ] as const) {
      const payload = decodeGovernance(suite, bytes)
      expect(payload.type).toBe("ballot")
      if (payload.type !== "ballot") return
      expect(payload.ballot).toEqual({ net, proposalId: proposed.id, approve })
      expect(isGovernanceSigned(suite, payload, secretary)).toBe(true)
      expect(isGovernanceSigned(suite, payload, minister)).toBe(false)
    }
  })

  it("is not signed any more with any bit changed (300 places)", () => {
    for (const bytes of [proposed.payload, ballot]) {
      for (let count = 0; count < 150; count++) {
        const changed = flipped(bytes, randomInt(random, bytes.length * 8))
        const check = (): boolean => {
          const payload = decodeGovernance(suite, changed)
          return [minister, secretary].some((one) => isGovernanceSigned(suite, payload, one))
        }
        let signed = false
        const code = refusal(() => {
          signed = check()
        })
        expect(signed).toBe(false)
        expect(code ?? "not signed").toMatch(/^(CODEC_|GOVERNANCE_INVALID|not signed)/)
      }
    }
  })

  it("is refused cut, followed by more, of an unknown kind, action or version", () => {
    const check = (bytes: Uint8Array): string | undefined =>
      refusal(() => decodeGovernance(suite, bytes))
    const { payload } = proposed
    expect(check(payload.subarray(0, payload.length - 1))).toBe("CODEC_TRUNCATED")
    expect(check(Uint8Array.of(...payload, 0))).toBe("CODEC_TRAILING")
    expect(check(payload.with(1, 3))).toBe("CODEC_VERSION")
    // A ballot's statement under the kind of a proposal, and the other way round.
    expect(check(ballot.with(1, 1))).toBe("CODEC_LENGTH")
    expect(check(payload.with(1, 2))).toBe("CODEC_LENGTH")
    const wrap = (statement: Uint8Array): Uint8Array =>
      encode([1, statement, new Uint8Array(32), new Uint8Array(3_373)])
    const stated = (version: number, action: readonly (number | string)[]): Uint8Array =>
      wrap(encode([LABELS.proposal, version, net, action, base, 1, 1]))
    expect(check(stated(1, [2, 2, "closed"]))).toBeUndefined()
    expect(check(stated(2, [2, 2, "closed"]))).toBe("CODEC_VERSION")
    expect(check(stated(1, [3, 2, "closed"]))).toBe("GOVERNANCE_INVALID")
    expect(check(stated(1, [2, 2]))).toBe("GOVERNANCE_INVALID")
    expect(check(stated(1, [2, 65_536, "closed"]))).toBe("CODEC_RANGE")
    expect(check(stated(1, [2, 2, "x".repeat(1_025)]))).toBe("CODEC_LENGTH")
    const vote = encode([LABELS.ballot, net, proposed.id, 2])
    expect(check(encode([2, vote, new Uint8Array(32), new Uint8Array(3_373)]))).toBe("CODEC_RANGE")
  })

  it("is not signed under the context of another use", () => {
    const member = founding.member(0)
    const proposal = { net, action: revoke, baseStateHash: base, expiresHeight: 1, createdMs: 1 }
    const { payload } = signProposal(suite, proposal, member.publicKey, (_, message) =>
      member.sign(LABELS.ballot, message),
    )
    expect(isGovernanceSigned(suite, decodeGovernance(suite, payload), minister)).toBe(false)
  })
})

describe("arbitrary bytes", () => {
  it("are refused with a code, as a genesis and as a governance payload", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(1, 2), (bytes, kind) => {
        expect(refusal(() => verifyGenesis(suite, bytes))).toMatch(/^CODEC_/)
        expect(refusal(() => decodeGovernance(suite, bytes))).toMatch(/^CODEC_/)
        const framed = encode([kind, bytes, new Uint8Array(32), new Uint8Array(3_373)])
        expect(refusal(() => decodeGovernance(suite, framed))).toMatch(/^CODEC_/)
      }),
      { numRuns: 500 },
    )
  })
})

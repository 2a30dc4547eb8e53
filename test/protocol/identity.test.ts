import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encode } from "../../protocol/codec.ts"
import {
  hasSharedKey,
  isMissionCode,
  officerStatement,
  possessionMessage,
  signMissionRequest,
  signValidator,
  verifyMissionRequest,
  verifyValidator,
  type MissionFacts,
} from "../../protocol/identity.ts"
import { keyId } from "../../protocol/keys.ts"
import { LABELS } from "../../protocol/labels.ts"
import {
  drawApplicant,
  drawValidator,
  factsFor,
  requestFor,
  signersOf,
} from "../support/identities.ts"
import { flipped } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { randomInt, seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const random = seededRandom("identity tests")
const net = random(32)
const london = drawApplicant(suite, random, "LON")
const paris = drawApplicant(suite, random, "PAR")
const request = requestFor(suite, london, net)
const verify = (bytes: Uint8Array): MissionFacts => verifyMissionRequest(suite, bytes, net)
const refuse = (bytes: Uint8Array): string | undefined => refusal(() => verify(bytes))

/** A request whose facts are wrong but signed, by the mission that states them. */
function stating(change: Partial<MissionFacts>): Uint8Array {
  return requestFor(suite, london, net, change)
}

describe("a mission's request", () => {
  it("gives back what was stated, once every proof in it holds", () => {
    const facts = verify(request)
    expect(facts).toEqual({ ...factsFor(london, net), officers: expect.anything() })
    expect(facts.officers.map(({ name, roles }) => [name, roles])).toEqual([
      ["Rahima Khatun", ["drafter", "duty"]],
      ["Nurul Islam", ["releaser", "administrator"]],
    ])
  })

  it("encodes to the same facts again: the digest that is signed is over the bytes that travel", () => {
    const facts = verify(request)
    const again = signMissionRequest(suite, facts, signersOf(london))
    expect(verify(again)).toEqual(facts)
    expect(again).toHaveLength(request.length)
  })

  it("is refused with any bit changed (400 places, and every byte of the first 64)", () => {
    const places = Array.from({ length: 400 }, () => randomInt(random, request.length * 8))
    for (let byte = 0; byte < 64; byte++) places.push(byte * 8 + (byte % 8))
    for (const bit of places) {
      expect(refuse(flipped(request, bit)), `bit ${bit}`).toMatch(/^(CODEC_|CERTIFICATE_INVALID)/)
    }
  })

  it("is refused when it is cut, followed by more, or larger than its limit", () => {
    for (const length of [0, 1, 100, request.length - 1]) {
      expect(refuse(request.subarray(0, length)), `${length}`).toBe("CODEC_TRUNCATED")
    }
    expect(refuse(Uint8Array.of(...request, 0))).toBe("CODEC_TRAILING")
    expect(refuse(new Uint8Array(40 * 1_024 + 1))).toBe("CODEC_LENGTH")
  })

  it("fits the limit with everything at its largest", () => {
    const four = [...london.officers, ...paris.officers].map((officer, index) => {
      const stated = { ...officer, name: `${index}`.padEnd(128, "x") }
      const { key } = officer
      const statement = officerStatement(net, london.code, stated)
      return { ...stated, possession: key.sign(LABELS.officer, statement) }
    })
    const largest = stating({
      nameEn: "x".repeat(256),
      nameBn: "x".repeat(256),
      addresses: Array.from({ length: 8 }, () => "a".repeat(256)),
      officers: four,
    })
    expect(verify(largest).officers).toHaveLength(4)
    expect(largest.length).toBeLessThanOrEqual(40 * 1_024)
  })

  it("is refused by another network", () => {
    const elsewhere = random(32)
    expect(refusal(() => verifyMissionRequest(suite, request, elsewhere))).toBe(
      "CERTIFICATE_INVALID",
    )
  })

  it("is refused in another version of the format", () => {
    // ["TB1/mission-request", 1, …]: the version follows the label, in the facts in the request.
    const label = new TextEncoder().encode(LABELS.missionRequest)
    const at = Buffer.from(request).indexOf(label) + label.length
    expect(request[at]).toBe(1)
    expect(refuse(request.with(at, 2))).toBe("CODEC_VERSION")
  })

  const wrong: readonly (readonly [string, Partial<MissionFacts>, string])[] = [
    ["a code in lower case", { code: "lon" }, "CERTIFICATE_INVALID"],
    ["a code of one letter", { code: "L" }, "CERTIFICATE_INVALID"],
    ["a code of nine letters", { code: "LONDONLON" }, "CODEC_LENGTH"],
    ["no English name", { nameEn: "" }, "CODEC_LENGTH"],
    ["a name of 257 bytes", { nameBn: "x".repeat(257) }, "CODEC_LENGTH"],
    ["nine addresses", { addresses: Array.from({ length: 9 }, () => "/a") }, "CODEC_LENGTH"],
    ["an empty address", { addresses: [""] }, "CODEC_LENGTH"],
    ["a short transport key", { transportKey: new Uint8Array(31) }, "CODEC_LENGTH"],
    [
      "its signing key as identity key",
      { identityKey: london.signing.publicKey },
      "CERTIFICATE_INVALID",
    ],
    [
      "its submit key as transport key",
      { transportKey: london.submit.publicKey },
      "CERTIFICATE_INVALID",
    ],
    ["another's signing key", { signingKey: paris.signing.publicKey }, "CERTIFICATE_INVALID"],
    ["another's identity key", { identityKey: paris.identity.publicKey }, "CERTIFICATE_INVALID"],
    ["another's submit key", { submitKey: paris.submit.publicKey }, "CERTIFICATE_INVALID"],
    ["another's witness key", { witnessKey: paris.witness.publicKey }, "CERTIFICATE_INVALID"],
    ["another's witness key 0x06", { witnessPqKey: paris.witnessPqKey }, "CERTIFICATE_INVALID"],
  ]
  it.each(wrong)("is refused with %s", (_, change, code) => {
    expect(refuse(stating(change))).toBe(code)
  })

  it("is refused when a proof is missing, or stands where another belongs", () => {
    const signers = signersOf(london)
    const nothing = (length: number) => (): Uint8Array => new Uint8Array(length)
    const forged = [
      { ...signers, identity: nothing(3_373) },
      { ...signers, signing: nothing(3_373) },
      { ...signers, submit: nothing(64) },
      { ...signers, witness: nothing(64) },
      { ...signers, witnessPq: nothing(2_420) },
      { ...signers, submit: signers.witness, witness: signers.submit },
      { ...signers, signing: signers.identity, identity: signers.signing },
    ]
    for (const each of forged) {
      const bytes = signMissionRequest(suite, factsFor(london, net), each)
      expect(refuse(bytes)).toBe("CERTIFICATE_INVALID")
    }
    const body = new Uint8Array(10)
    expect(refuse(encode([body, body, body, body, body]))).toBe("CODEC_LENGTH")
  })

  it("binds each proof to its role: a submit key's proof is none for a witness key", () => {
    const digest = random(32)
    const roles = ["signing", "submit", "witness", "witness-pq"]
    const messages = roles.map((role) =>
      Buffer.from(possessionMessage(role, digest)).toString("hex"),
    )
    expect(new Set(messages).size).toBe(roles.length)
  })
})

describe("the officers in a request", () => {
  const [drafter, releaser] = factsFor(london, net).officers
  if (drafter === undefined || releaser === undefined) throw new RangeError("two officers expected")

  it("may be none at all", () => {
    expect(verify(stating({ officers: [] })).officers).toEqual([])
  })

  it("are refused when two have one name, or one key", () => {
    const [first] = london.officers
    if (first === undefined) throw new RangeError("an officer expected")
    const statement = officerStatement(net, "LON", { ...first, name: "Alias" })
    const alias = {
      ...drafter,
      name: "Alias",
      possession: first.key.sign(LABELS.officer, statement),
    }
    expect(verify(stating({ officers: [alias, releaser] })).officers).toHaveLength(2)
    expect(refuse(stating({ officers: [drafter, drafter] }))).toBe("CERTIFICATE_INVALID")
    expect(refuse(stating({ officers: [drafter, alias] }))).toBe("CERTIFICATE_INVALID")
  })

  it("are refused when the mission raises what they signed for: roles, clearance, name, mission", () => {
    const raised = [
      { ...drafter, roles: ["drafter", "releaser"] as const },
      { ...drafter, clearance: 4 },
      { ...drafter, name: "Somebody Else" },
      { ...drafter, possession: releaser.possession },
    ]
    for (const officer of raised) {
      expect(refuse(stating({ officers: [officer] }))).toBe("CERTIFICATE_INVALID")
    }
    expect(refuse(requestFor(suite, paris, net, { officers: [drafter] }))).toBe(
      "CERTIFICATE_INVALID",
    )
  })

  it("are refused beyond four, beyond clearance 4 and without a name", () => {
    const five = Array.from({ length: 5 }, () => drafter)
    expect(refuse(stating({ officers: five }))).toBe("CODEC_LENGTH")
    expect(refuse(stating({ officers: [{ ...drafter, clearance: 5 }] }))).toBe("CODEC_RANGE")
    expect(refuse(stating({ officers: [{ ...drafter, name: "" }] }))).toBe("CODEC_LENGTH")
  })
})

describe("a mission's code and keys", () => {
  it("are a capital and one to seven capitals or digits", () => {
    for (const code of ["LO", "LON", "NY2", "ABCDEFGH"]) expect(isMissionCode(code)).toBe(true)
    for (const code of ["", "L", "2NY", "lon", "LON ", "L-N", "ABCDEFGHI", "LÖN", "LON\n"]) {
      expect(isMissionCode(code), code).toBe(false)
    }
  })

  it("share a key when any one key of one stands in the other", () => {
    const mine = factsFor(paris, net)
    const theirs = factsFor(london, net)
    expect(hasSharedKey(mine, theirs)).toBe(false)
    expect(hasSharedKey({ ...mine, code: "LON" }, theirs)).toBe(false)
    expect(hasSharedKey({ ...mine, officers: theirs.officers }, theirs)).toBe(true)
    const keys = [
      "identityKey",
      "signingKey",
      "transportKey",
      "submitKey",
      "witnessKey",
      "witnessPqKey",
    ] as const
    for (const key of keys) {
      expect(hasSharedKey({ ...mine, [key]: theirs[key] }, theirs), key).toBe(true)
    }
  })

  it("have ids that differ with every key", () => {
    const ids = [london, paris].map(({ signing }) => keyId(suite, signing.publicKey).join())
    expect(new Set(ids).size).toBe(2)
  })
})

describe("a validator's record", () => {
  const { facts, signers } = drawValidator(suite, random, 7)
  const record = signValidator(suite, net, facts, signers)
  const refuseRecord = (bytes: Uint8Array): string | undefined =>
    refusal(() => verifyValidator(suite, bytes, net))

  it("gives back its facts", () => {
    expect(verifyValidator(suite, record, net)).toEqual(facts)
  })

  it("is refused with any bit changed (200 places), cut or followed by more", () => {
    for (let count = 0; count < 200; count++) {
      const bit = randomInt(random, record.length * 8)
      const code = refuseRecord(flipped(record, bit))
      expect(code, `bit ${bit}`).toMatch(/^(CODEC_|CERTIFICATE_INVALID)/)
    }
    expect(refuseRecord(record.subarray(0, record.length - 1))).toBe("CODEC_TRUNCATED")
    expect(refuseRecord(Uint8Array.of(...record, 0))).toBe("CODEC_TRAILING")
  })

  it("is refused for another network, with a repeated key, with proofs that changed places", () => {
    expect(refusal(() => verifyValidator(suite, record, random(32)))).toBe("CERTIFICATE_INVALID")
    const doubled = { ...facts, logKey: facts.consensusKey }
    const byOne = { ...signers, log: signers.consensus }
    expect(refuseRecord(signValidator(suite, net, doubled, byOne))).toBe("CERTIFICATE_INVALID")
    const swapped = { ...signers, log: signers.cosigner, cosigner: signers.log }
    expect(refuseRecord(signValidator(suite, net, facts, swapped))).toBe("CERTIFICATE_INVALID")
    const stranger = drawValidator(suite, random, 7).signers
    for (const name of ["consensus", "log", "cosigner", "cosignerPq"] as const) {
      const forged = { ...signers, [name]: stranger[name] }
      expect(refuseRecord(signValidator(suite, net, facts, forged)), name).toBe(
        "CERTIFICATE_INVALID",
      )
    }
  })
})

describe("arbitrary bytes", () => {
  it("are refused with a code, as a request and as a validator", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refuse(bytes)).toMatch(/^CODEC_/)
        expect(refusal(() => verifyValidator(suite, bytes, net))).toMatch(/^CODEC_/)
        // The outer array is right; what is inside is not.
        const nested = encode([
          bytes,
          ...[3_373, 3_373, 64, 64, 2_420].map((n) => new Uint8Array(n)),
        ])
        expect(refuse(nested)).toMatch(/^CODEC_/)
      }),
      { numRuns: 500 },
    )
  })
})

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeFounding,
  decodeInvitation,
  encodeFounding,
  encodeInvitation,
  foundGenesis,
  invitationNonce,
  orderFounders,
  verifyFounded,
  verifyFounding,
  type FoundingRecord,
  type Invitation,
} from "../../protocol/founding.ts"
import {
  decodeGenesis,
  encodeGenesis,
  memberStatement,
  verifyGenesis,
  type GenesisParts,
} from "../../protocol/governance.ts"
import { signValidator } from "../../protocol/identity.ts"
import { LABELS } from "../../protocol/labels.ts"
import { drawApplicant, drawValidator, Founding, requestFor } from "../support/identities.ts"
import { flipped } from "../support/ledger.ts"
import { compositeKey } from "../support/ministry.ts"
import { refusal } from "../support/refusal.ts"
import { randomInt, seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const { parts } = new Founding(suite, "founding tests")
const random = seededRandom("founding tests")
const governor = compositeKey(suite, random)

const INVITATION: Invitation = {
  name: "Ministry",
  origin: "ledger.example/tarbarta",
  salt: random(32),
  policy: parts.policy,
  thresholds: { revoke: 1, admit: 1, policy: 1, upgrade: 1, recover: 1 },
  members: [{ name: "Minister", publicKey: governor.publicKey }],
  seats: [
    { code: "DAC", validates: true },
    { code: "LON", validates: true },
    { code: "DEL", validates: false },
  ],
}
const invitation = encodeInvitation(INVITATION)
const nonce = invitationNonce(suite, invitation)
const applicants = ["DAC", "LON", "DEL"].map((code) => drawApplicant(suite, random, code))
const validators = [1, 2, 3].map((rid) => drawValidator(suite, random, rid))
const [dhaka, london, delhi] = applicants.map((applicant, index) => {
  return recordOf(applicant, INVITATION.seats[index]?.validates === true ? index : undefined)
})
if (dhaka === undefined || london === undefined || delhi === undefined) throw new RangeError()
const records = [dhaka, london, delhi].map(encodeFounding)

/** A record for `net`, with the keys of this validator of ours if any. */
function recordOf(
  applicant: (typeof applicants)[number],
  index: number | undefined,
  net = nonce,
): FoundingRecord {
  const request = requestFor(suite, applicant, net)
  const drawn = index === undefined ? undefined : validators[index]
  if (drawn === undefined) return { nonce: net, request }
  return { nonce: net, request, validator: signValidator(suite, net, drawn.facts, drawn.signers) }
}

function assemble(from: readonly Uint8Array[], by = invitation): Uint8Array {
  const statement = memberStatement(invitationNonce(suite, by), {
    name: "Minister",
    publicKey: governor.publicKey,
  })
  const possessions = [governor.sign(LABELS.genesis, statement)]
  const createdMs = Date.UTC(2026, 0, 2)
  return foundGenesis(suite, { invitation: by, records: from, possessions, createdMs })
}

/** The genesis of these records with something in it changed after it was made. */
function rewritten(change: Partial<GenesisParts>): Uint8Array {
  return encodeGenesis({ ...decodeGenesis(assemble(records)), ...change })
}

function refuseSeats(seats: Invitation["seats"]): string | undefined {
  return refusal(() => decodeInvitation(encodeInvitation({ ...INVITATION, seats })))
}

function refuseRecord(record: FoundingRecord): string | undefined {
  return refusal(() => verifyFounding(suite, encodeFounding(record), invitation))
}

describe("an invitation", () => {
  it("gives back what it was made of, and every change makes another nonce", () => {
    expect(decodeInvitation(invitation)).toEqual(INVITATION)
    const other = encodeInvitation({ ...INVITATION, salt: random(32) })
    expect(invitationNonce(suite, other)).not.toEqual(nonce)
  })

  it("is refused with a code that is none or stands twice, and a voteless headquarters", () => {
    const [first, second] = INVITATION.seats
    if (first === undefined || second === undefined) throw new RangeError()
    expect(refuseSeats([first])).toBeUndefined()
    expect(refuseSeats([first, second, { ...second, validates: false }])).toBe("INVITATION_INVALID")
    expect(refuseSeats([first, { code: "lon", validates: true }])).toBe("INVITATION_INVALID")
    expect(refuseSeats([{ ...first, validates: false }, second])).toBe("INVITATION_INVALID")
    expect(refuseSeats([])).toBe("CODEC_LENGTH")
  })

  it("has at most 16 validators and 128 seats", () => {
    const seats = (count: number, voters: number): Invitation["seats"] =>
      Array.from({ length: count }, (_, index) => {
        return { code: `M${index + 1}`, validates: index < voters }
      })
    expect(refuseSeats(seats(128, 16))).toBeUndefined()
    expect(refuseSeats(seats(128, 17))).toBe("INVITATION_INVALID")
    expect(refuseSeats(seats(129, 16))).toBe("CODEC_LENGTH")
  })
})

describe("a founding record", () => {
  it("holds at its seat, with and without a validator", () => {
    const found = records.map((record) => verifyFounding(suite, record, invitation))
    expect(found.map(({ rid, code, validates }) => [rid, code, validates])).toEqual([
      [1, "DAC", true],
      [2, "LON", true],
      [3, "DEL", false],
    ])
  })

  it("is refused for another invitation, whichever part of it is for another one", () => {
    const other = random(32)
    const [, applicant] = applicants
    if (applicant === undefined) throw new RangeError()
    expect(refuseRecord(recordOf(applicant, 1, other))).toBe("FOUNDING_INVALID")
    const { request, validator } = recordOf(applicant, 1, other)
    expect(refuseRecord({ ...london, request })).toBe("CERTIFICATE_INVALID")
    expect(refuseRecord({ ...london, ...(validator && { validator }) })).toBe("CERTIFICATE_INVALID")
  })

  it("is refused of a mission that is not invited", () => {
    const stranger = drawApplicant(suite, random, "PAR")
    expect(refuseRecord(recordOf(stranger, undefined))).toBe("FOUNDING_INVALID")
  })

  it("is refused with a validator too many, too few, and of another seat", () => {
    const [, second, third] = applicants
    if (second === undefined || third === undefined) throw new RangeError()
    expect(refuseRecord(recordOf(second, undefined))).toBe("FOUNDING_INVALID")
    expect(refuseRecord(recordOf(third, 2))).toBe("FOUNDING_INVALID")
    expect(refuseRecord(recordOf(second, 2))).toBe("FOUNDING_INVALID")
  })

  it("is refused with any bit changed (200 places)", () => {
    const bytes = encodeFounding(london)
    for (let count = 0; count < 200; count++) {
      const bit = randomInt(random, bytes.length * 8)
      const code = refusal(() => verifyFounding(suite, flipped(bytes, bit), invitation))
      const words = /^(CODEC_.*|CERTIFICATE_INVALID|FOUNDING_INVALID)$/
      expect(code ?? "accepted", `bit ${bit}`).toMatch(words)
    }
  })
})

describe("both files of the ceremony", () => {
  it("re-encode to themselves, and give a value or a coded error for any bytes", () => {
    for (const record of records) expect(encodeFounding(decodeFounding(record))).toEqual(record)
    const decoders: [(bytes: Uint8Array) => Uint8Array, Uint8Array][] = [
      [(bytes) => encodeInvitation(decodeInvitation(bytes)), invitation],
      [(bytes) => encodeFounding(decodeFounding(bytes)), encodeFounding(london)],
    ]
    for (const [again, good] of decoders) {
      const check = (bytes: Uint8Array): void => {
        let out = bytes
        const code = refusal(() => (out = again(bytes)))
        expect(out).toEqual(bytes)
        expect(code ?? "CODEC_NONE").toMatch(/^(CODEC_.*|INVITATION_INVALID)$/)
      }
      fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check))
      const bits = fc.integer({ min: 0, max: good.length * 8 - 1 })
      fc.assert(fc.property(bits, (bit) => check(flipped(good, bit))))
      for (const length of [0, 1, 20, good.length - 1]) check(good.subarray(0, length))
      expect(refusal(() => again(Uint8Array.of(...good, 0)))).toBe("CODEC_TRAILING")
    }
  })
})

describe("a genesis of several missions", () => {
  it("has missions and validators at their seats, in whatever order the records come", () => {
    const { missions, validators: voters, nonce: own } = verifyGenesis(suite, assemble(records))
    expect(missions.map(({ code }) => code)).toEqual(["DAC", "LON", "DEL"])
    expect(voters.map(({ rid }) => rid)).toEqual([1, 2])
    expect(own).toEqual(nonce)
    expect(assemble(records.toReversed()).length).toBe(assemble(records).length)
  })

  it("is not made while a record is missing or there twice, or while keys are shared", () => {
    const again = [...records, encodeFounding(london)]
    expect(refusal(() => assemble(again))).toBe("FOUNDING_INVALID")
    expect(refusal(() => assemble(records.slice(0, 2)))).toBe("FOUNDING_INVALID")
    const [first] = applicants
    if (first === undefined) throw new RangeError()
    const copycat = encodeFounding(recordOf({ ...first, code: "DEL" }, undefined))
    expect(refusal(() => assemble([...records.slice(0, 2), copycat]))).toBe("GENESIS_INVALID")
    const founders = records.map((record) => verifyFounding(suite, record, invitation))
    expect(() => orderFounders(INVITATION, founders.slice(1))).toThrow("no record of DAC")
  })

  it("is taken over by a founder as it was agreed, and in no other form", () => {
    const genesis = assemble(records)
    for (const record of records) {
      expect(verifyFounded(suite, genesis, invitation, record).name).toBe("Ministry")
    }
    const check = (bytes: Uint8Array, record = encodeFounding(london)): string | undefined =>
      refusal(() => verifyFounded(suite, bytes, invitation, record))
    // New keys of London's, good in themselves: another request, or another validator.
    const anew = recordOf(drawApplicant(suite, random, "LON"), 1)
    expect(check(genesis, encodeFounding(anew))).toBe("FOUNDING_INVALID")
    const other = drawValidator(suite, random, 2)
    const validator = signValidator(suite, nonce, other.facts, other.signers)
    expect(check(genesis, encodeFounding({ ...london, validator }))).toBe("FOUNDING_INVALID")
    expect(check(genesis.subarray(0, -1))).toBe("CODEC_TRUNCATED")
  })

  it("is not taken over with other terms, missions or validators than the invitation's", () => {
    const usurper = compositeKey(suite, random)
    const member = { name: "Minister", publicKey: usurper.publicKey }
    const possession = usurper.sign(LABELS.genesis, memberStatement(nonce, member))
    const { missions, validators: voters } = decodeGenesis(assemble(records))
    const [first, , third] = missions
    if (first === undefined || third === undefined) throw new RangeError()
    const changes: Partial<GenesisParts>[] = [
      { name: "Other" },
      { origin: "other.example" },
      { policy: { ...INVITATION.policy, twoPersonFromPrecedence: 6 } },
      { policy: { ...INVITATION.policy, consensusDeltaMs: 2_000 } },
      { members: [{ ...member, possession }] },
      { missions: [first, third], validators: voters.slice(0, 1) },
      { missions: [first, ...missions.slice(2), ...missions.slice(1, 2)] },
      { validators: voters.slice(0, 1) },
    ]
    for (const change of changes) {
      // The terms stand under no key: headquarters could change them and keep all records.
      const bytes = rewritten(change)
      expect(refusal(() => verifyGenesis(suite, bytes))).toBeUndefined()
      const code = refusal(() => verifyFounded(suite, bytes, invitation, encodeFounding(london)))
      expect(code, Object.keys(change).join()).toBe("FOUNDING_INVALID")
    }
  })
})

import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeRelease,
  draftRelease,
  encodeRelease,
  needsTwoOfficers,
  releaseRecord,
  signRelease,
  verifyRelease,
  type ReleaseFacts,
  type ReleasePolicy,
  type ReleaseRecord,
} from "../../protocol/release.ts"
import { LABELS } from "../../protocol/labels.ts"
import type { ReleaseRole } from "../../protocol/words.ts"
import { POLICY, World, type TestOfficer } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "release")
const { lisbon, nairobi } = world
const lookups = world.lookups(world.dhaka)

const FACTS: ReleaseFacts & { breakGlass: boolean } = {
  net: world.net,
  bodyType: "cable",
  kind: "real",
  sender: lisbon.rid,
  recipients: [
    { rid: 1, role: "action", precedence: "immediate" },
    { rid: 3, role: "info", precedence: "routine" },
  ],
  content: Uint8Array.of(1, 2, 3),
  breakGlass: false,
}
const DRAFT = draftRelease("secret", world.random)

function record(...signers: [ReleaseRole, TestOfficer][]): ReleaseRecord {
  const signatures = signers.map(([role, officer]) =>
    signRelease(suite, DRAFT, FACTS, role, officer.kid, officer.sign),
  )
  return releaseRecord(DRAFT, signatures)
}

/** The code with which a record is refused for facts and policy. */
function verdict(
  release: ReleaseRecord,
  change: Partial<typeof FACTS> = {},
  policy: ReleasePolicy = POLICY,
): string | undefined {
  const facts = { ...FACTS, ...change }
  return refusal(() => verifyRelease(suite, release, facts, lookups.officerKeyOf, policy))
}

const both = record(["drafter", lisbon.drafter], ["releaser", lisbon.releaser])
const drafterAlone = record(["drafter", lisbon.drafter])

describe("a release record", () => {
  it("comes back from its bytes as it went in, signatures sorted", () => {
    const bytes = encodeRelease(both)
    expect(decodeRelease(bytes)).toEqual(both)
    expect(encodeRelease(decodeRelease(bytes))).toEqual(bytes)
    const reversed = releaseRecord(DRAFT, both.signatures.toReversed())
    expect(encodeRelease(reversed)).toEqual(bytes)
  })

  it("is refused unsorted, with a signature twice, with none and with five", () => {
    const [first, second] = both.signatures
    if (first === undefined || second === undefined) throw new TypeError("two signatures")
    const decodeWith = (signatures: ReleaseRecord["signatures"]): string | undefined =>
      refusal(() => decodeRelease(encodeRelease({ ...both, signatures })))
    expect(decodeWith([second, first])).toBe("CODEC_ORDER")
    expect(decodeWith([first, first])).toBe("CODEC_ORDER")
    expect(decodeWith([])).toBe("CODEC_LENGTH")
    expect(decodeWith([first, first, first, first, first])).toBe("CODEC_LENGTH")
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = encodeRelease(drafterAlone)
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeRelease(decodeRelease(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_)/)
      }),
      { seed: 16, numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(() => decodeRelease(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 17, numRuns: 500 },
    )
  })
})

describe("a release by two people", () => {
  it("is accepted from a drafter and a releaser of the sending mission", () => {
    expect(verdict(both)).toBeUndefined()
  })

  it("is refused with one signature where policy asks for two, and accepted where it does not", () => {
    const releaserAlone = record(["releaser", lisbon.releaser])
    const relaxed: ReleasePolicy = {
      twoPersonFromPrecedence: "never",
      twoPersonFromClassification: "never",
    }
    for (const one of [drafterAlone, releaserAlone]) {
      expect(verdict(one)).toBe("RELEASE_INVALID")
      expect(verdict(one, {}, relaxed)).toBeUndefined()
    }
  })

  it("is refused with one officer twice, even one who has both roles", () => {
    const { drafter } = lisbon
    const allRounder = { ...drafter.key, roles: ["drafter", "releaser"] as const }
    const twice = record(["drafter", drafter], ["releaser", drafter])
    const check = (): void => {
      verifyRelease(suite, twice, FACTS, () => allRounder, POLICY)
    }
    expect(refusal(check)).toBe("RELEASE_INVALID")
    expect(check).toThrow("one officer signed twice")
  })

  it("is refused with two drafters, or with officers in each other's roles", () => {
    expect(verdict(record(["releaser", lisbon.drafter], ["drafter", lisbon.releaser]))).toBe(
      "RELEASE_INVALID",
    )
    const twoDrafters = record(["drafter", lisbon.drafter], ["drafter", lisbon.releaser])
    const keyOf = (kid: Uint8Array): ReturnType<typeof lookups.officerKeyOf> => {
      const key = lookups.officerKeyOf(kid)
      return key && { ...key, roles: ["drafter"] }
    }
    expect(refusal(() => verifyRelease(suite, twoDrafters, FACTS, keyOf, POLICY))).toBe(
      "RELEASE_INVALID",
    )
  })

  it("is refused with a releaser of another mission, or one that nobody knows", () => {
    expect(verdict(record(["drafter", lisbon.drafter], ["releaser", nairobi.releaser]))).toBe(
      "RELEASE_INVALID",
    )
    const unknown = { ...lisbon.releaser, kid: new Uint8Array(32) }
    expect(verdict(record(["drafter", lisbon.drafter], ["releaser", unknown]))).toBe(
      "RELEASE_INVALID",
    )
  })

  it("is refused when a third signature in the record is bad, though two would do", () => {
    const bad = { ...lisbon.duty, sign: lisbon.drafter.sign }
    const three = record(
      ["drafter", lisbon.drafter],
      ["releaser", lisbon.releaser],
      ["drafter", bad],
    )
    expect(verdict(three)).toBe("RELEASE_INVALID")
  })

  it("holds for nothing but what was signed", () => {
    const changes: Partial<typeof FACTS>[] = [
      { net: new Uint8Array(32) },
      { kind: "exercise" },
      { content: Uint8Array.of(1, 2, 4) },
      { recipients: FACTS.recipients.slice(1) },
      { recipients: FACTS.recipients.map((one) => ({ ...one, role: "info" })) },
      { recipients: FACTS.recipients.map((one) => ({ ...one, precedence: "flash" })) },
      { recipients: [...FACTS.recipients, { rid: 9, role: "info", precedence: "routine" }] },
      { sender: nairobi.rid },
    ]
    for (const change of changes) expect(verdict(both, change)).toBe("RELEASE_INVALID")
    const records: Partial<ReleaseRecord>[] = [
      { draftId: new Uint8Array(32) },
      { recipientsSalt: new Uint8Array(32) },
      { contentSalt: new Uint8Array(32) },
      { classification: "unclassified" },
    ]
    for (const change of records) expect(verdict({ ...both, ...change })).toBe("RELEASE_INVALID")
    expect(verdict(both, { recipients: FACTS.recipients.toReversed() })).toBeUndefined()
  })

  it("does not accept a signature that was made under another context", () => {
    const elsewhere: TestOfficer = {
      ...lisbon.drafter,
      sign: (_, message) => lisbon.drafter.sign(LABELS.receipt, message),
    }
    const relaxed: ReleasePolicy = {
      twoPersonFromPrecedence: "never",
      twoPersonFromClassification: "never",
    }
    expect(verdict(record(["drafter", elsewhere]), {}, relaxed)).toBe("RELEASE_INVALID")
    expect(verdict(drafterAlone, {}, relaxed)).toBeUndefined()
  })
})

describe("when two people are needed", () => {
  it("follows the thresholds of policy, each on its own", () => {
    expect(needsTwoOfficers(POLICY, "priority", "restricted")).toBe(false)
    expect(needsTwoOfficers(POLICY, "immediate", "unclassified")).toBe(true)
    expect(needsTwoOfficers(POLICY, "override", "unclassified")).toBe(true)
    expect(needsTwoOfficers(POLICY, "deferred", "confidential")).toBe(true)
    expect(needsTwoOfficers(POLICY, "deferred", "top-secret")).toBe(true)
    const never: ReleasePolicy = {
      twoPersonFromPrecedence: "never",
      twoPersonFromClassification: "never",
    }
    expect(needsTwoOfficers(never, "override", "top-secret")).toBe(false)
    const always: ReleasePolicy = { ...never, twoPersonFromPrecedence: "deferred" }
    expect(needsTwoOfficers(always, "deferred", "unclassified")).toBe(true)
  })

  it("looks at the highest precedence among the addressees", () => {
    const policy: ReleasePolicy = { ...POLICY, twoPersonFromClassification: "never" }
    expect(verdict(drafterAlone, {}, policy)).toBe("RELEASE_INVALID")
    const lower: ReleasePolicy = { ...policy, twoPersonFromPrecedence: "flash" }
    expect(verdict(drafterAlone, {}, lower)).toBeUndefined()
  })

  it("gives way to break-glass, which still needs one good signature", () => {
    expect(verdict(drafterAlone, { breakGlass: true })).toBeUndefined()
    const bad = record(["drafter", { ...lisbon.drafter, sign: lisbon.releaser.sign }])
    expect(verdict(bad, { breakGlass: true })).toBe("RELEASE_INVALID")
  })

  it("never applies to signals, which a duty officer raises alone", () => {
    const dutyAlone = record(["drafter", lisbon.duty])
    expect(verdict(dutyAlone, { bodyType: "signal" })).toBeUndefined()
    expect(verdict(dutyAlone, { breakGlass: true })).toBe("RELEASE_INVALID")
  })
})

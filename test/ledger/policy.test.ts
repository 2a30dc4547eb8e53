import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js"
import { concatBytes } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { parseNote, parseVkey } from "../../ledger/note.ts"
import {
  corruptMissionsOf,
  formatPolicy,
  missionPolicy,
  missionThreshold,
  parsePolicy,
  validatorPolicy,
  verifyAgainst,
} from "../../ledger/policy.ts"
import { decodeProof, verifyProof } from "../../ledger/proof.ts"
import { refusal } from "../support/refusal.ts"
import { makePublicationVectors } from "../support/publication-vectors.ts"
import {
  namedValidators,
  noteOf,
  ORIGIN,
  validatorLines,
  witnesses,
  witnessLines,
} from "../support/publication.ts"
import { suite, suites } from "../support/suites.ts"
import { readFrozen } from "../support/vectors.ts"

const validators = namedValidators(4)
const policy = validatorPolicy(ORIGIN, validators)
const checkpoint = { origin: ORIGIN, size: 7, root: new Uint8Array(32).fill(7) }

describe("a policy", () => {
  it("comes back as it was, for validators alone and with missions", () => {
    for (const one of [policy, missionPolicy(ORIGIN, validators, witnesses(9))]) {
      expect(parsePolicy(suite, formatPolicy(suite, one))).toEqual(one)
    }
  })

  it("may have comments, blank lines, tabs, addresses, any and all", () => {
    const [log = "", witness = ""] = formatPolicy(suite, policy)
      .split("\n")
      .filter((line) => /^(log|witness)/.test(line))
      .filter((line, index) => index === 0 || line.startsWith("witness"))
    const text = `# ours\n\n${log} https://log.example/\n\t${witness}\ngroup a any val-DAC\ngroup b all a\nquorum  b`
    const parsed = parsePolicy(suite, text)
    expect(parsed.groups.map(({ threshold }) => threshold)).toEqual([1, 1])
    expect(parsed.quorum).toBe("b")
  })

  it("is refused when it uses what is not above, repeats a name, key, member or quorum", () => {
    const text = formatPolicy(suite, policy)
    const [log = ""] = text.split("\n")
    const witness = text.split("\n").find((line) => line.startsWith("witness val-DAC ")) ?? ""
    const cases = [
      text.replace("quorum val\n", ""),
      `${text}quorum val\n`,
      `${text}${log}\n`,
      `${text}${witness}\n`,
      `${text}${witness.replace("val-DAC", "val-XXX")}\n`,
      `${text}group again 1 val-DAC\n`,
      `${text}group none 1 val\n`,
      `${text}group g 1 nobody\n`,
      `${text}group g 1 none\n`,
      `${text}group g 2 val\n`,
      `${text}group g 0 val\n`,
      `${text}group g 01 val\n`,
      `${text}group g 1\n`,
      `${text}policy x\n`,
      text.replace("quorum val", "quorum other"),
      text.replace("log ", "witness w "),
    ]
    expect(refusal(() => parsePolicy(suite, text))).toBeUndefined()
    for (const bad of cases) expect(refusal(() => parsePolicy(suite, bad))).toBe("POLICY_INVALID")
  })

  it("of any text is read or refused with a code", () => {
    const words = fc.constantFrom("log", "witness", "group", "quorum", "none", "a", "1", "\n", "#")
    fc.assert(
      fc.property(fc.array(words), (all) => {
        const code = refusal(() => parsePolicy(suite, all.join(" ")))
        expect([undefined, "POLICY_INVALID", "NOTE_INVALID", "CODEC_RANGE"]).toContain(code)
      }),
    )
  })
})

describe("the missions' threshold", () => {
  it("is 46 of 81, and any two such sets share an honest mission", () => {
    expect([corruptMissionsOf(81), missionThreshold(81)]).toEqual([10, 46])
    for (let count = 1; count <= 128; count++) {
      const shared = 2 * missionThreshold(count) - count
      expect(shared).toBeGreaterThan(corruptMissionsOf(count))
      expect(missionThreshold(count)).toBeLessThanOrEqual(count)
    }
  })

  it("is asked for beside the quorum of validators", () => {
    const missions = witnesses(9)
    const both = missionPolicy(ORIGIN, validators, missions)
    const val = validators.flatMap((one) => validatorLines(checkpoint, one, ["log", "cosigner"]))
    const note = (count: number, quorum = 8): string => {
      const lines = missions.slice(0, count).flatMap((one) => witnessLines(checkpoint, one))
      return noteOf(checkpoint, [...val.slice(0, quorum), ...lines])
    }
    expect(missionThreshold(9)).toBe(6)
    expect(verifyAgainst(suite, both, note(6)).signed).toHaveLength(20)
    expect(refusal(() => verifyAgainst(suite, both, note(5)))).toBe("POLICY_UNMET")
    expect(refusal(() => verifyAgainst(suite, both, note(9, 4)))).toBe("POLICY_UNMET")
  })
})

describe("the frozen vectors of the publication", () => {
  const frozen = readFrozen("publication.json") as Record<string, string>

  it("publication.json: all 9 values are what the formats give today", () => {
    expect(makePublicationVectors()).toEqual(frozen)
    expect(Object.keys(frozen)).toHaveLength(9)
  })

  it("verify on both suites from their text alone", () => {
    for (const each of suites) {
      const read = parsePolicy(each, frozen["policy"] ?? "")
      const proof = decodeProof(new TextEncoder().encode(frozen["proof"]))
      expect(verifyProof(each, read, proof).checkpoint.size).toBe(2)
    }
  })

  it("hold for a second implementation of ML-DSA-44 over bytes that are put together here", () => {
    const [line] = parseNote(frozen["checkpointPq"] ?? "").signatures
    const vkey = (frozen["policy"] ?? "").split("\n").find((one) => one.includes("val-DAC-pq"))
    const key = parseVkey(suite, vkey?.split(" ")[2] ?? "")
    if (line === undefined) throw new Error("no line")
    const text = (content: string): Uint8Array => new TextEncoder().encode(content)
    const [, , root = ""] = (frozen["checkpointPq"] ?? "").split("\n")
    const message = concatBytes(
      text("subtree/v1\n\0"),
      Uint8Array.of(line.name.length),
      text(line.name),
      line.blob.slice(0, 8),
      Uint8Array.of(ORIGIN.length),
      text(ORIGIN),
      new Uint8Array(8),
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 2),
      Uint8Array.from(Buffer.from(root, "base64")),
    )
    const signature = line.blob.slice(8)
    expect(ml_dsa44.verify(signature, message, key.publicKey)).toBe(true)
    message[message.length - 1] = (message.at(-1) ?? 0) ^ 1
    expect(ml_dsa44.verify(signature, message, key.publicKey)).toBe(false)
  })
})

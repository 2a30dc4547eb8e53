import * as fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { encodeEntry } from "../../protocol/entry.ts"
import { decodeProof, encodeProof, verifyProof, type Proof } from "../../ledger/proof.ts"
import { validatorPolicy, type Policy } from "../../ledger/policy.ts"
import type { Tiles } from "../../node/store/tiles.ts"
import { decoding } from "../support/canonical.ts"
import { named } from "../support/ledger.ts"
import {
  entryBytes,
  makeTiles,
  namedValidators,
  noteOf,
  openingOf,
  ORIGIN,
  SIGNED_S,
  validatorLines,
} from "../support/publication.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const SIZE = 40
const validators = namedValidators(4)
const policy = validatorPolicy(ORIGIN, validators)
let tiles: Tiles

beforeAll(async () => {
  tiles = await makeTiles(SIZE)
})

/** Signed by one log and so many cosigners. */
async function proofOf(index: number, cosigners = 3, size = SIZE): Promise<Proof> {
  const checkpoint = { origin: ORIGIN, size, root: await tiles.root(size) }
  const lines = validators
    .slice(0, cosigners)
    .flatMap((one, i) =>
      validatorLines(checkpoint, one, i === 0 ? ["log", "cosigner"] : ["cosigner"]),
    )
  return {
    opened: { entry: entryBytes(index), ...openingOf(index) },
    index,
    path: await tiles.inclusion(index, size),
    checkpoint: noteOf(checkpoint, lines),
  }
}

const verify = (proof: Proof, rules: Policy = policy): string | undefined =>
  refusal(() => verifyProof(suite, rules, proof))

describe("a proof", () => {
  it("verifies offline for every entry, under its own tree and under a later one", async () => {
    for (const size of [33, SIZE]) {
      for (let index = 0; index < size; index++) {
        const proof = decodeProof(encodeProof(await proofOf(index, 3, size)))
        const proven = verifyProof(suite, policy, proof)
        expect(encodeEntry(proven.entry)).toEqual(entryBytes(index))
        expect(proven).toMatchObject({ index, cableId: openingOf(index).cableId })
        expect(proven.checkpoint.size).toBe(size)
        expect(proven.signed.map(({ timeS }) => timeS)).toEqual([
          undefined,
          ...[0, 0, 0].map(() => SIGNED_S),
        ])
      }
    }
  })

  it("comes back as it was, also with a path of no hash", async () => {
    for (const proof of [await proofOf(7), await proofOf(0, 3, 1)]) {
      expect(decodeProof(encodeProof(proof))).toEqual(proof)
    }
    expect((await proofOf(0, 3, 1)).path).toEqual([])
  })

  it("is refused below the quorum, without a log's line, and by another network's policy", async () => {
    expect(verify(await proofOf(7, 3))).toBeUndefined()
    expect(verify(await proofOf(7, 2))).toBe("POLICY_UNMET")
    const proof = await proofOf(7, 4)
    const [body = "", lines = ""] = proof.checkpoint.split("\n\n")
    const withoutLog = `${body}\n\n${lines.split("\n").slice(1).join("\n")}`
    expect(verify({ ...proof, checkpoint: withoutLog })).toBe("POLICY_UNMET")
    const other = validatorPolicy("other.example/log", validators)
    expect(verify(proof, other)).toBe("POLICY_UNMET")
  })

  it("is refused when place, path, entry or root are others", async () => {
    const proof = await proofOf(33)
    const { opened } = proof
    expect(verify(proof)).toBeUndefined()
    expect(verify({ ...proof, index: 32 })).toBe("TREE_INCLUSION")
    expect(verify({ ...proof, index: SIZE })).toBe("TREE_INCLUSION")
    expect(verify({ ...proof, path: proof.path.toReversed() })).toBe("TREE_INCLUSION")
    expect(verify({ ...proof, path: proof.path.slice(1) })).toBe("TREE_INCLUSION")
    const entry = entryBytes(34)
    expect(verify({ ...proof, opened: { ...opened, entry } })).toBe("TREE_INCLUSION")
    const checkpoint = proof.checkpoint.replace(`\n${SIZE}\n`, `\n${SIZE - 1}\n`)
    expect(verify({ ...proof, checkpoint })).toBe("NOTE_SIGNATURE")
  })

  it("is refused when salt or id do not open the entry", async () => {
    const proof = await proofOf(33)
    const { opened } = proof
    expect(verify({ ...proof, opened: { ...opened, salt: named("no") } })).toBe("PROOF_OPENING")
    expect(verify({ ...proof, opened: { ...opened, cableId: named("no") } })).toBe("PROOF_OPENING")
  })
})

describe("the bytes of a proof", () => {
  it("are refused with a code, or encode to themselves: any text, and every bit flipped", async () => {
    const bytes = encodeProof(await proofOf(7))
    const outcomes = new Set<string>()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      outcomes.add(decoding(flipped, decodeProof, encodeProof))
    }
    expect([...outcomes].toSorted()).toEqual([
      "CODEC_RANGE",
      "CODEC_TRUNCATED",
      "NOTE_INVALID",
      "PROOF_INVALID",
      "canonical",
    ])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (any) => {
        expect(decoding(any, decodeProof, encodeProof)).not.toBe("changed")
      }),
    )
  })

  it("are refused when a line is missing, twice there, or written otherwise", async () => {
    const text = new TextDecoder().decode(encodeProof(await proofOf(7)))
    const [first = "", extra = "", index = ""] = text.split("\n")
    const cases: [string, string][] = [
      [text.replace(`${first}\n`, ""), "PROOF_INVALID"],
      [text.replace(`${extra}\n`, ""), "PROOF_INVALID"],
      [text.replace(`${index}\n`, ""), "PROOF_INVALID"],
      [text.replace(extra, `${extra}\n${extra}`), "PROOF_INVALID"],
      [text.replace(index, "index 07"), "PROOF_INVALID"],
      [text.replace(index, "index 9007199254740992"), "PROOF_INVALID"],
      [text.replace(index, "index -1"), "PROOF_INVALID"],
      [text.replace(extra, extra.slice(0, -4)), "CODEC_TRUNCATED"],
      [text.replaceAll("\n\n", "\n"), "PROOF_INVALID"],
    ]
    for (const [changed, code] of cases) {
      expect(refusal(() => decodeProof(new TextEncoder().encode(changed)))).toBe(code)
    }
  })
})

describe("the size of a proof", () => {
  it("with one log line and three cosignatures under 40 entries is below 1,200 bytes", async () => {
    expect(encodeProof(await proofOf(7)).length).toBeLessThan(1_200)
  })
})

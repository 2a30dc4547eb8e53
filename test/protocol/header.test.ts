import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import {
  bodyRoot,
  decodeHeader,
  encodeHeader,
  saltHash,
  signatureContext,
} from "../../protocol/header.ts"
import { LABELS } from "../../protocol/labels.ts"
import { hashLeaf } from "../../protocol/tree.ts"
import { BODY_TYPES, KINDS } from "../../protocol/words.ts"
import { World, sealCable } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "header")
const sealed = sealCable(world, { from: world.lisbon, to: [world.dhaka] })

describe("the header of an envelope", () => {
  it("re-encodes to the bytes that were signed, and is about 360 of them", () => {
    const header = decodeHeader(suite, sealed.header)
    expect(encodeHeader(header)).toEqual(sealed.header)
    expect(header.core).toEqual(sealed.core)
    expect(sealed.header.length).toBeGreaterThan(340)
    expect(sealed.header.length).toBeLessThan(400)
  })

  it("answers damaged and arbitrary bytes with coded errors, and accepts only what re-encodes", () => {
    const valid = sealed.header
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeHeader(decodeHeader(suite, bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_|ENVELOPE_SUITE|ENVELOPE_HEADER)/)
      }),
      { seed: 12, numRuns: 1_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        expect(refusal(() => decodeHeader(suite, bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 13, numRuns: 300 },
    )
  })

  it("refuses a core that is not the one its hash names", () => {
    const header = decodeHeader(suite, sealed.header)
    const other = encodeHeader({ ...header, core: { ...header.core, seq: 8 } })
    expect(refusal(() => decodeHeader(suite, other))).toBe("ENVELOPE_HEADER")
  })

  it("is signed under a context of its own for every type and kind", () => {
    const contexts = BODY_TYPES.list.flatMap((bodyType) =>
      KINDS.list.map((kind) => signatureContext({ bodyType, kind })),
    )
    expect(new Set<string>(contexts).size).toBe(16)
    expect(signatureContext({ bodyType: "cable", kind: "drill" })).toBe("TB1/cable/drill")
  })
})

describe("the root of a body", () => {
  it("is the one leaf of a body of up to 64 KiB, and two leaves above it", () => {
    const piece = new Uint8Array(65_536).fill(5)
    const rest = Uint8Array.of(1)
    expect(bodyRoot(suite, piece)).toEqual(hashLeaf(suite, piece))
    const node = concatBytes(Uint8Array.of(1), hashLeaf(suite, piece), hashLeaf(suite, rest))
    expect(bodyRoot(suite, concatBytes(piece, rest))).toEqual(suite.sha256(node))
    expect(bodyRoot(suite, new Uint8Array(0))).toEqual(hashLeaf(suite))
  })
})

describe("the salt of an envelope", () => {
  it("is named by a labelled hash", () => {
    const label = new TextEncoder().encode(LABELS.salt)
    expect(saltHash(suite, sealed.salt)).toEqual(suite.sha256(concatBytes(label, sealed.salt)))
    expect(decodeHeader(suite, sealed.header).saltHash).toEqual(saltHash(suite, sealed.salt))
  })
})

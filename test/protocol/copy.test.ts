import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeCopy,
  encodeCopy,
  verifyCopy,
  verifyHeader,
  type EnvelopeCopy,
} from "../../protocol/copy.ts"
import { copyOf, sealCable, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "copy")
const { dhaka, lisbon, nairobi, mallory } = world
const sealed = sealCable(world, { from: lisbon, to: [dhaka, nairobi] })
const other = sealCable(world, {
  from: lisbon,
  to: [dhaka, nairobi],
  change: { seq: 8, prevHash: sealed.cableId },
})
const copy = copyOf(sealed, dhaka)
const checks = world.lookups(dhaka)

function verdict(change: Partial<EnvelopeCopy>): string | undefined {
  return refusal(() => verifyCopy(suite, { ...copy, ...change }, checks))
}

describe("one recipient's copy", () => {
  it("travels and comes back byte for byte, with about 5.2 KB beside the body", () => {
    const bytes = encodeCopy(copy)
    expect(decodeCopy(bytes)).toEqual(copy)
    expect(encodeCopy(decodeCopy(bytes))).toEqual(bytes)
    expect(bytes.length - copy.body.length).toBeGreaterThan(5_000)
    expect(bytes.length - copy.body.length).toBeLessThan(5_300)
  })

  it("answers damaged, cut and arbitrary bytes with coded errors", () => {
    const valid = encodeCopy(copy)
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = valid.slice()
        bytes[at] = (bytes[at] ?? 0) ^ change
        const code = refusal(() => expect(encodeCopy(decodeCopy(bytes))).toEqual(bytes))
        expect(code ?? "accepted").toMatch(/^(accepted|CODEC_)/)
      }),
      { seed: 18, numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.nat(valid.length - 1), (length) => {
        expect(refusal(() => decodeCopy(valid.subarray(0, length)))).toMatch(/^CODEC_/)
      }),
      { seed: 19, numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(refusal(() => decodeCopy(bytes))).toMatch(/^CODEC_/)
      }),
      { seed: 20, numRuns: 500 },
    )
  })

  it("is refused above its largest size before anything is read", () => {
    const huge = new Uint8Array(20 * 1_048_576 + 1)
    expect(() => decodeCopy(huge)).toThrow("expected at most 20971520 bytes, got 20971521")
  })
})

describe("a relay", () => {
  it("accepts every honest copy and learns its id", () => {
    for (const post of [dhaka, nairobi]) {
      const verified = verifyCopy(suite, copyOf(sealed, post), checks)
      expect(verified.cableId).toEqual(sealed.cableId)
      expect(verified.header.core).toEqual(sealed.core)
    }
  })

  it("refuses parts of another envelope, also of the same sender to the same recipient", () => {
    const theirs = copyOf(other, dhaka)
    expect(verdict({ body: theirs.body })).toBe("ENVELOPE_BODY")
    expect(verdict({ wrap: theirs.wrap })).toBe("ENVELOPE_PATH")
    expect(verdict({ path: theirs.path })).toBe("ENVELOPE_PATH")
    expect(verdict({ signature: theirs.signature })).toBe("ENVELOPE_SIGNATURE")
    expect(verdict({ header: theirs.header })).toBe("ENVELOPE_SIGNATURE")
    const { wrap, index, path } = theirs
    expect(verdict({ wrap, index, path })).toBe("ENVELOPE_PATH")
  })

  it("refuses a changed mission, epoch, key, precedence, index and length", () => {
    const cases: [Partial<EnvelopeCopy>, string][] = [
      [{ rid: nairobi.rid }, "ENVELOPE_PATH"],
      [{ epoch: copy.epoch + 1 }, "ENVELOPE_PATH"],
      [{ ekHash: new Uint8Array(32) }, "ENVELOPE_PATH"],
      [{ precedence: "flash" }, "ENVELOPE_PATH"],
      [{ index: (copy.index + 1) % 128 }, "ENVELOPE_PATH"],
      [{ body: copy.body.subarray(1) }, "ENVELOPE_BODY"],
      [{ body: new Uint8Array(0) }, "ENVELOPE_BODY"],
    ]
    for (const [change, code] of cases) expect(verdict(change), JSON.stringify(change)).toBe(code)
  })

  it("refuses other networks, unknown keys, and keys that belong to another mission", () => {
    const elsewhere = { ...checks, net: new Uint8Array(32) }
    expect(refusal(() => verifyCopy(suite, copy, elsewhere))).toBe("ENVELOPE_NETWORK")
    const nobody = { ...checks, senderKeyOf: () => undefined }
    expect(refusal(() => verifyCopy(suite, copy, nobody))).toBe("DIRECTORY_UNKNOWN")

    const posing = sealCable(world, {
      from: lisbon,
      to: [dhaka],
      change: { signerKid: mallory.kid, sign: mallory.sign },
    })
    expect(refusal(() => verifyCopy(suite, copyOf(posing, dhaka), checks))).toBe(
      "ENVELOPE_SIGNATURE",
    )
    const forged = sealCable(world, { from: lisbon, to: [dhaka], change: { sign: mallory.sign } })
    expect(refusal(() => verifyCopy(suite, copyOf(forged, dhaka), checks))).toBe(
      "ENVELOPE_SIGNATURE",
    )
  })

  it("refuses a signature that was made for another kind or type of envelope", () => {
    for (const context of ["TB1/cable/exercise", "TB1/signal/real", "TB1/receipts/real"]) {
      const crossed = sealCable(world, {
        from: lisbon,
        to: [dhaka],
        change: { sign: (_, message) => lisbon.sign(context, message) },
      })
      expect(
        refusal(() => verifyCopy(suite, copyOf(crossed, dhaka), checks)),
        context,
      ).toBe("ENVELOPE_SIGNATURE")
    }
  })
})

describe("an auditor", () => {
  it("needs header and signature alone", () => {
    const { cableId } = verifyHeader(suite, sealed.header, sealed.signature, checks)
    expect(cableId).toEqual(sealed.cableId)
    const crossed = (): unknown => verifyHeader(suite, other.header, sealed.signature, checks)
    expect(refusal(crossed)).toBe("ENVELOPE_SIGNATURE")
  })
})

import { describe, expect, it } from "vitest"
import { encodeCable } from "../../protocol/cable.ts"
import { encodeCopy, verifyCopy, decodeCopy, type EnvelopeCopy } from "../../protocol/copy.ts"
import { sealEnvelope } from "../../protocol/envelope.ts"
import { openCopy, type OpenLookups } from "../../protocol/open.ts"
import { encodeRelease, decodeRelease } from "../../protocol/release.ts"
import { sampleCable, sampleSignal } from "../support/contents.ts"
import { forgeCopy, strangeLeaf, type Lies } from "../support/forger.ts"
import { cableInput, copyOf, sealCable, sealSignal, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "open")
const { dhaka, lisbon, nairobi, mallory } = world
const lookups = world.lookups(dhaka)
const input = cableInput(world, { from: lisbon, to: [dhaka, nairobi] })
const sealed = sealEnvelope(suite, input, world.random)
const copy = copyOf(sealed, dhaka)

function verdict(of: EnvelopeCopy, as: OpenLookups = lookups): string | undefined {
  return refusal(() => openCopy(suite, of, as))
}

/** How Dhaka takes a copy that a dishonest Lisbon made and signed. */
function verdictOnLies(lies: Lies, of: typeof input = input): string | undefined {
  const forged = forgeCopy(world, of, lies)
  // No relay can see these lies.
  if (lies.context === undefined) verifyCopy(suite, forged, lookups)
  return verdict(forged)
}

describe("opening", () => {
  it("gives content, list, release, secret and salt of an honest copy", () => {
    const opened = openCopy(suite, decodeCopy(encodeCopy(copy)), lookups)
    expect(opened.content).toEqual({ type: "cable", cable: sampleCable() })
    expect(opened.release?.classification).toBe("restricted")
    expect(opened.inner.recipients[0]).toMatchObject({ rid: 1, role: "action", pairSeq: 3 })
    expect(opened.cableId).toEqual(sealed.cableId)
    expect(verdictOnLies({})).toBeUndefined()
  })

  it("is refused to another mission, also with the right epoch key in hand", () => {
    expect(verdict(copy, world.lookups(nairobi))).toBe("ENVELOPE_RECIPIENTS")
    expect(verdict({ ...copy, rid: nairobi.rid }, world.lookups(nairobi))).toBe("ENVELOPE_PATH")
    const thief = { ...lookups, rid: mallory.rid }
    expect(verdict(copy, thief)).toBe("ENVELOPE_RECIPIENTS")
  })

  it("asks for a new wrap when the epoch key is gone, and refuses a wrong one", () => {
    expect(verdict(copy, { ...lookups, epochSeedOf: () => undefined })).toBe("EPOCH_KEY_MISSING")
    expect(verdict(copy, { ...lookups, epochSeedOf: () => nairobi.epochSeed })).toBe(
      "ENVELOPE_WRAP",
    )
  })

  it("refuses a swapped wrap and a swapped body, one by one and together", () => {
    const other = copyOf(sealCable(world, { from: lisbon, to: [dhaka] }), dhaka)
    const { wrap, index, path, body } = other
    expect(verdict({ ...copy, wrap })).toBe("ENVELOPE_PATH")
    expect(verdict({ ...copy, wrap, index, path })).toBe("ENVELOPE_PATH")
    expect(verdict({ ...copy, body })).toBe("ENVELOPE_COMMITMENT")
    expect(verdict({ ...copy, wrap, index, path, body })).toBe("ENVELOPE_PATH")
    for (const length of [0, 24, 55]) {
      expect(verdict({ ...copy, body: copy.body.subarray(0, length) }), `${length} bytes`).toBe(
        "ENVELOPE_COMMITMENT",
      )
    }
  })

  it("does not let a recipient pass a cable on as its own", () => {
    // Dhaka opened a cable from Lisbon and seals the very content and release for Nairobi.
    const { inner } = openCopy(suite, copy, lookups)
    const stolen = sealCable(world, {
      from: dhaka,
      to: [nairobi],
      change: { content: inner.content, release: inner.release },
    })
    expect(verdict(copyOf(stolen, nairobi), world.lookups(nairobi))).toBe("RELEASE_INVALID")
    // Nor to somebody whom the officers did not release it to, as if Lisbon had sent it.
    const widened = { ...input, recipients: input.recipients.slice(0, 1) }
    const again = sealEnvelope(suite, widened, world.random)
    expect(verdict(copyOf(again, dhaka))).toBe("RELEASE_INVALID")
  })

  it("checks networks and signature contexts before it touches any secret", () => {
    const untouched: OpenLookups = {
      ...lookups,
      epochSeedOf: () => {
        throw new Error("the key was asked for")
      },
    }
    const crossed = forgeCopy(world, input, { context: "TB1/cable/test" })
    expect(verdict(crossed, untouched)).toBe("ENVELOPE_SIGNATURE")
    expect(verdict(copy, { ...untouched, net: new Uint8Array(32) })).toBe("ENVELOPE_NETWORK")
  })
})

describe("a dishonest sender", () => {
  it("cannot put a strange leaf where nobody stands", () => {
    const free = (positions: readonly number[]): number => positions[100] ?? 0
    expect(
      verdictOnLies({
        leaves: (leaves, positions) => leaves.with(free(positions), strangeLeaf(world)),
      }),
    ).toBe("ENVELOPE_WRAPS_ROOT")
  })

  it("cannot hide an addressee, add one, or tell two addressees different lists", () => {
    const [first, second] = input.recipients
    expect(first?.rid).toBe(dhaka.rid)
    expect(second?.rid).toBe(nairobi.rid)
    expect(
      verdictOnLies({ inner: (one) => ({ ...one, recipients: one.recipients.slice(0, 1) }) }),
    ).toBe("ENVELOPE_WRAPS_ROOT")
    expect(
      verdictOnLies({ inner: (one) => ({ ...one, recipients: one.recipients.slice(1) }) }),
    ).toBe("ENVELOPE_WRAPS_ROOT")
    const ghost = { rid: 40, role: "info", precedence: "routine", pairSeq: 1 } as const
    const leaf = strangeLeaf(world)
    expect(
      verdictOnLies({
        inner: (one) => ({ ...one, recipients: [...one.recipients, { ...ghost, leaf }] }),
      }),
    ).toBe("ENVELOPE_WRAPS_ROOT")
    expect(
      verdictOnLies({
        inner: (one) => ({
          ...one,
          recipients: one.recipients.map((each) => (each.rid === 3 ? { ...each, rid: 4 } : each)),
        }),
      }),
    ).toBe("RELEASE_INVALID")
  })

  it("cannot leave us off a list that leads to the right root", () => {
    // The list names somebody else at our place, with our leaf.
    const swapped: Lies = {
      inner: (one) => ({
        ...one,
        recipients: one.recipients.map((each) => (each.rid === 1 ? { ...each, rid: 0 } : each)),
      }),
    }
    expect(verdictOnLies(swapped)).toBe("ENVELOPE_RECIPIENTS")
  })

  it("cannot list us twice or at another precedence than our copy says", () => {
    expect(
      verdictOnLies({
        inner: (one) => ({ ...one, recipients: one.recipients.flatMap((each) => [each, each]) }),
      }),
    ).toBe("CODEC_ORDER")
    expect(
      verdictOnLies({
        core: (core) => ({ ...core, highestPrecedence: "flash" }),
        inner: (one) => ({
          ...one,
          recipients: one.recipients.map((each) => ({ ...each, precedence: "flash" as const })),
        }),
      }),
    ).toBe("ENVELOPE_RECIPIENTS")
  })

  it("cannot overstate or understate the precedence in the header", () => {
    for (const highest of ["deferred", "override"] as const) {
      expect(verdictOnLies({ core: (core) => ({ ...core, highestPrecedence: highest }) })).toBe(
        "ENVELOPE_HEADER",
      )
    }
  })

  it("cannot use another salt, another release commitment or another core inside", () => {
    const zeros = new Uint8Array(32)
    expect(verdictOnLies({ header: (one) => ({ ...one, saltHash: zeros }) })).toBe(
      "ENVELOPE_HEADER",
    )
    expect(verdictOnLies({ header: (one) => ({ ...one, releaseCommit: zeros }) })).toBe(
      "RELEASE_INVALID",
    )
    expect(verdictOnLies({ inner: (one) => ({ ...one, coreHash: zeros }) })).toBe("ENVELOPE_HEADER")
    expect(verdictOnLies({ header: (one) => ({ ...one, bodyCommit: zeros }) })).toBe(
      "ENVELOPE_COMMITMENT",
    )
  })

  it("cannot seal something else in the wrap", () => {
    expect(verdictOnLies({ wrapped: () => new Uint8Array(32) })).toBe("ENVELOPE_BODY")
  })

  it("cannot pad in another way", () => {
    const dirty = (padded: Uint8Array): Uint8Array => padded.with(padded.length - 1, 1)
    expect(verdictOnLies({ padded: dirty })).toBe("ENVELOPE_PADDING")
    expect(verdictOnLies({ core: (one) => ({ ...one, paddedLen: 2 * one.paddedLen }) })).toBe(
      "ENVELOPE_PADDING",
    )
    const huge = (padded: Uint8Array): Uint8Array => padded.with(0, 0x7f)
    expect(verdictOnLies({ padded: huge })).toBe("ENVELOPE_PADDING")
  })

  it("cannot send what breaks the rules of a cable", () => {
    const long = { ...sampleCable(), text: "x".repeat(16_385) }
    const flash = { from: lisbon, to: [dhaka], precedence: "flash" as const }
    expect(verdict(copyOf(sealCable(world, { ...flash, cable: long }), dhaka))).toBe(
      "CABLE_TOO_LARGE",
    )
    const empty = { ...sampleCable(), text: "" }
    const silent = sealCable(world, { from: lisbon, to: [dhaka], cable: empty })
    expect(verdict(copyOf(silent, dhaka))).toBe("CABLE_INVALID")
    const mixed = cableInput(world, { from: lisbon, to: [dhaka] })
    const bytes = encodeCable({ ...sampleCable(), text: "\u09a1\u09bc" })
    // The same length in UTF-8, but not NFC: two nuktas where letter and nukta stood.
    const at = bytes.length - 7
    const notNfc = bytes.slice()
    notNfc.set([0xe0, 0xa7, 0x9c], at)
    const sneaky = sealEnvelope(suite, { ...mixed, content: notNfc }, world.random)
    expect(verdict(copyOf(sneaky, dhaka))).toBe("CODEC_TEXT")
  })
})

describe("release at the recipient", () => {
  it("refuses a cable that policy wants two for and one released", () => {
    const signers = [["drafter", lisbon.drafter]] as const
    const sending = { from: lisbon, to: [dhaka], precedence: "immediate" as const, signers }
    expect(verdict(copyOf(sealCable(world, sending), dhaka))).toBe("RELEASE_INVALID")
    const routine = sealCable(world, { ...sending, precedence: "routine" })
    expect(verdict(copyOf(routine, dhaka))).toBeUndefined()
    const change = { flags: { breakGlass: true, courier: false } }
    const broken = openCopy(suite, copyOf(sealCable(world, { ...sending, change }), dhaka), lookups)
    expect(broken.header.core.flags.breakGlass).toBe(true)
  })

  it("refuses a cable without a record, and one marked otherwise than released", () => {
    const none = { ...input, release: new Uint8Array(0) }
    expect(verdict(copyOf(sealEnvelope(suite, none, world.random), dhaka))).toMatch(/^CODEC_/)
    const record = decodeRelease(input.release)
    const release = encodeRelease({ ...record, classification: "unclassified" })
    const lowered = sealEnvelope(suite, { ...input, release }, world.random)
    expect(verdict(copyOf(lowered, dhaka))).toBe("RELEASE_INVALID")
  })

  it("refuses a release that belongs to other content", () => {
    const content = encodeCable({ ...sampleCable(), text: "Something else." })
    const changed = sealEnvelope(suite, { ...input, content }, world.random)
    expect(verdict(copyOf(changed, dhaka))).toBe("RELEASE_INVALID")
  })

  it("needs none for service messages and refuses one on them", () => {
    const service = { ...input, bodyType: "service" as const, content: Uint8Array.of(1) }
    const plain = { ...service, release: new Uint8Array(0) }
    const opened = openCopy(suite, copyOf(sealEnvelope(suite, plain, world.random), dhaka), lookups)
    expect(opened.content).toEqual({ type: "service", bytes: Uint8Array.of(1) })
    expect(opened.release).toBeUndefined()
    expect(verdict(copyOf(sealEnvelope(suite, service, world.random), dhaka))).toBe(
      "RELEASE_INVALID",
    )
  })
})

describe("signals at the recipient", () => {
  it("open, and are refused with the words of another kind", () => {
    const good = sealSignal(world, lisbon, [dhaka])
    expect(openCopy(suite, copyOf(good, dhaka), lookups).content).toEqual({
      type: "signal",
      signal: sampleSignal(),
    })
    const exercise = { ...sampleSignal(), status: "exercise" as const }
    expect(verdict(copyOf(sealSignal(world, lisbon, [dhaka], exercise), dhaka))).toBe(
      "SIGNAL_INVALID",
    )
  })

  it("do not open as cables, nor cables as signals", () => {
    const signal = { ...input, bodyType: "signal" as const }
    expect(verdict(copyOf(sealEnvelope(suite, signal, world.random), dhaka))).toMatch(
      /^(CODEC_|ENVELOPE_PADDING)/,
    )
  })
})

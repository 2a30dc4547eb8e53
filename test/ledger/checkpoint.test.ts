import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decodeBase64, encodeBase64 } from "../../protocol/base64.ts"
import { formatCheckpoint, parseCheckpoint, type Checkpoint } from "../../ledger/checkpoint.ts"
import { isCosigned, medianTime, verifyCheckpoint } from "../../ledger/cosignature.ts"
import { formatNote, formatVkey, noteKeyId, parseNote, parseVkey } from "../../ledger/note.ts"
import { validatorKeys } from "../../ledger/policy.ts"
import { formatTilePath, parseTilePath, tilesOf } from "../../ledger/tile-path.ts"
import { decoding } from "../support/canonical.ts"
import { named } from "../support/ledger.ts"
import {
  namedValidators,
  noteOf,
  ORIGIN,
  SIGNED_S,
  validatorLines,
} from "../support/publication.ts"
import { refusal } from "../support/refusal.ts"
import { suites, suite } from "../support/suites.ts"

const text = (bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content)
const checkpoint: Checkpoint = { origin: ORIGIN, size: 1_234_067, root: named("root") }
const [validator, other] = namedValidators(2)
if (validator === undefined || other === undefined) throw new Error("no validators")
const keys = validatorKeys(ORIGIN, validator)
const lines = validatorLines(checkpoint, validator, ["log", "cosigner", "cosignerPq"])

describe("base64", () => {
  it("has one text for one value: what decodes encodes to itself", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (value) => {
        const encoded = encodeBase64(value)
        expect(encoded).toBe(Buffer.from(value).toString("base64"))
        expect([...decodeBase64(encoded, "value")]).toEqual([...value])
      }),
    )
    for (const bad of [
      "A",
      "AB",
      "ABC",
      "AB==CD==",
      "AB==\n",
      "A===",
      "AB=C",
      "AC==A",
      "AB-_",
      "/x==",
    ]) {
      const result = decoding(
        bytes(bad),
        (b) => decodeBase64(text(b), "v"),
        (v) => bytes(encodeBase64(v)),
      )
      expect(result, bad).toBe("CODEC_RANGE")
    }
  })
})

describe("a checkpoint", () => {
  it("is three lines, which come back as they were", () => {
    const body = formatCheckpoint(checkpoint)
    expect(body).toBe(`${ORIGIN}\n1234067\n${encodeBase64(checkpoint.root)}\n`)
    expect(parseCheckpoint(body)).toEqual(checkpoint)
  })

  it("with a fourth line, another size or root, or no origin is refused", () => {
    const [origin = "", size = "", root = ""] = formatCheckpoint(checkpoint).split("\n")
    const body = (...all: string[]): string => all.map((line) => `${line}\n`).join("")
    expect(refusal(() => parseCheckpoint(body(origin, size, root)))).toBeUndefined()
    for (const bad of [
      body(origin, size, root, "extension"),
      body(origin, size, root, ""),
      body(origin, size),
      body(origin, `0${size}`, root),
      body(origin, "-1", root),
      body(origin, "9007199254740992", root),
      body(origin, size, encodeBase64(new Uint8Array(31))),
      body("", size, root),
      body("two words", size, root),
      body("a+b", size, root),
      body("x".repeat(201), size, root),
      body(origin, size, root).slice(0, -1),
    ]) {
      expect(
        refusal(() => parseCheckpoint(bad)),
        bad,
      ).toBe("CHECKPOINT_INVALID")
    }
  })
})

describe("a note", () => {
  it("comes back as it was; any text is refused with a code or encodes to itself", () => {
    const note = { body: formatCheckpoint(checkpoint), signatures: lines }
    expect(parseNote(formatNote(note))).toEqual(note)
    const judge = (content: string): string =>
      decoding(
        bytes(content),
        (b) => parseNote(text(b)),
        (n) => bytes(formatNote(n)),
      )
    const parts = fc.constantFrom(
      "\n",
      "\n\n",
      "— ",
      "a ",
      "a/b ",
      "AAAAAAE=",
      "AAAAAA==",
      "+",
      "\u2003",
      "\t",
    )
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (all) => {
        expect(["canonical", "NOTE_INVALID", "CODEC_RANGE"]).toContain(judge(all.join("")))
      }),
      { numRuns: 2_000 },
    )
  })

  it("of 100 signatures is read, of 101 refused", () => {
    const line = `— a AAAAAAE=\n`
    expect(parseNote(`x\n\n${line.repeat(100)}`).signatures.length).toBe(100)
    expect(refusal(() => parseNote(`x\n\n${line.repeat(101)}`))).toBe("NOTE_INVALID")
  })

  it("with a control character, a name with white space or a bare key id is refused", () => {
    for (const bad of [
      "x\r\n\n— a AAAAAAE=\n",
      "x\n\n— a\u00a0b AAAAAAE=\n",
      "x\n\n— a\u0085 AAAAAAE=\n",
      "x\n\n— a+b AAAAAAE=\n",
      "x\n\n— a AAAAAA==\n",
      "x\n\n- a AAAAAAE=\n",
      "x\n\n— a AAAAAAE=",
      "x\n",
    ]) {
      expect(
        refusal(() => parseNote(bad)),
        JSON.stringify(bad),
      ).toBe("NOTE_INVALID")
    }
  })
})

describe("a verifier key", () => {
  it("comes back as it was, for the three types", () => {
    for (const key of Object.values(keys)) {
      expect(parseVkey(suite, formatVkey(suite, key))).toEqual(key)
    }
    expect(noteKeyId(suite, keys.cosigner)).not.toBe(
      noteKeyId(suite, { ...keys.cosigner, type: "log" }),
    )
  })

  it("with another key id, type or length is refused", () => {
    const vkey = formatVkey(suite, keys.cosigner)
    const [name = "", id = "", material = ""] = vkey.split("+")
    const cases = [
      `${name}+${id}`,
      `+${id}+${material}`,
      `${name}+00000000+${material}`,
      `x${vkey}`,
      `${name}+${id.toUpperCase()}x+${material}`,
      `${name}+${id}+${encodeBase64(Uint8Array.of(2, ...named("k")))}`,
      `${name}+${id}+${encodeBase64(Uint8Array.of(4, 1))}`,
    ]
    for (const bad of cases)
      expect(
        refusal(() => parseVkey(suite, bad)),
        bad,
      ).toBe("NOTE_INVALID")
  })
})

describe("signatures under a checkpoint", () => {
  it("verify on both suites; lines of unknown keys are passed over", () => {
    const note = noteOf(checkpoint, [...lines, ...validatorLines(checkpoint, other, ["cosigner"])])
    for (const each of suites) {
      const { signed } = verifyCheckpoint(each, Object.values(keys), note)
      expect(signed.map(({ key }) => key)).toEqual([keys.log, keys.cosigner, keys.cosignerPq])
      expect(signed.map(({ timeS }) => timeS)).toEqual([undefined, SIGNED_S, SIGNED_S])
    }
    expect(verifyCheckpoint(suite, [], note).signed).toEqual([])
  })

  it("do not verify for another size, root, origin, time, name or type", () => {
    const [log, cosigner, pq] = lines
    if (log === undefined || cosigner === undefined || pq === undefined) throw new Error("no lines")
    const changed = [
      { ...checkpoint, size: checkpoint.size + 1 },
      { ...checkpoint, root: named("other root") },
      { ...checkpoint, origin: `${ORIGIN}2` },
    ]
    for (const [key, line] of [
      [keys.log, log],
      [keys.cosigner, cosigner],
      [keys.cosignerPq, pq],
    ] as const) {
      expect(isCosigned(suite, key, checkpoint, line)).toBe(true)
      for (const one of changed) expect(isCosigned(suite, key, one, line)).toBe(false)
      expect(isCosigned(suite, key, checkpoint, { ...line, name: "other" })).toBe(false)
      expect(isCosigned(suite, key, checkpoint, { ...line, blob: line.blob.slice(1) })).toBe(false)
      if (key.type === "log") continue
      for (const at of [0, 1, 7]) {
        const blob = line.blob.slice()
        blob[at] = (blob[at] ?? 0) ^ 0x20
        expect(isCosigned(suite, key, checkpoint, { ...line, blob })).toBe(false)
      }
    }
    // ML-DSA-44 names its signer, Ed25519 does not: one key must not serve two names.
    const renamed = { name: "elsewhere", keyId: 0 }
    expect(
      isCosigned(suite, { ...keys.cosigner, ...renamed }, checkpoint, { ...cosigner, ...renamed }),
    ).toBe(true)
    expect(
      isCosigned(suite, { ...keys.cosignerPq, ...renamed }, checkpoint, { ...pq, ...renamed }),
    ).toBe(false)
    expect(isCosigned(suite, { ...keys.log, type: "cosigner" }, checkpoint, log)).toBe(false)
  })

  it("make a note bad when a known key's line is wrong, and count once when twice there", () => {
    const [, cosigner] = lines
    if (cosigner === undefined) throw new Error("no line")
    const all = Object.values(keys)
    const twice = noteOf(checkpoint, [cosigner, cosigner])
    expect(verifyCheckpoint(suite, all, twice).signed.length).toBe(1)
    const blob = cosigner.blob.slice()
    blob[20] = (blob[20] ?? 0) ^ 1
    const wrong = noteOf(checkpoint, [{ ...cosigner, blob }])
    expect(refusal(() => verifyCheckpoint(suite, all, wrong))).toBe("NOTE_SIGNATURE")
  })

  it("give the middle one of their times", () => {
    const at = (...times: number[]) =>
      medianTime(
        times.map((timeS) => ({
          key: keys.cosigner,
          signature: lines[0] ?? { name: "", keyId: 0, blob: named("") },
          timeS,
        })),
      )
    expect([at(), at(5), at(9, 1), at(1, 100, 7)]).toEqual([undefined, 5, 1, 7])
  })
})

describe("the path of a tile", () => {
  it("stands in groups of three digits, and comes back as it was", () => {
    expect(formatTilePath({ level: 0, number: 1_234_067, width: 256 })).toBe("tile/0/x001/x234/067")
    expect(formatTilePath({ level: "entries", number: 0, width: 7 })).toBe("tile/entries/000.p/7")
    const levels = fc.oneof(fc.nat(63), fc.constant("entries" as const))
    fc.assert(
      fc.property(
        levels,
        fc.maxSafeNat(),
        fc.integer({ min: 1, max: 256 }),
        (level, number, width) => {
          expect(parseTilePath(formatTilePath({ level, number, width }))).toEqual({
            level,
            number,
            width,
          })
        },
      ),
    )
  })

  it("is refused when written otherwise", () => {
    for (const bad of [
      "",
      "tile/0/0",
      "tile/00/000",
      "tile/64/000",
      "tile/0/x000/000",
      "tile/0/001/x002",
      "tile/0/000.p/0",
      "tile/0/000.p/256",
      "tile/0/000.p/01",
      "tile/8/0/000",
      "tile/data/000",
      "../tile/0/000",
      "tile/0/000/",
    ]) {
      expect(
        refusal(() => parseTilePath(bad)),
        bad,
      ).toBe("TILE_PATH")
    }
  })

  it("counts full and partial tiles of a level", () => {
    expect(tilesOf("entries", 70_000)).toEqual({ full: 273, partial: 112 })
    expect([0, 1, 2].map((level) => tilesOf(level, 70_000))).toEqual([
      { full: 273, partial: 112 },
      { full: 1, partial: 17 },
      { full: 0, partial: 1 },
    ])
  })
})

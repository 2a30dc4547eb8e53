import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decode, encode, Reader, type Encodable } from "../../protocol/codec.ts"
import { ProtocolError } from "../../protocol/errors.ts"
import { hex, outcome, publishedVectors } from "../support/vectors.ts"

/** Reads one value of any shape, on the public methods alone. */
function readAny(reader: Reader, bytes: Uint8Array): Encodable {
  const major = (bytes[reader.offset] ?? 0) >> 5
  if (major === 0) return reader.uint("value")
  if (major === 2) return reader.bytesUpTo("value", bytes.length)
  if (major === 3) return reader.text("value", bytes.length)
  return reader.list("value", bytes.length, () => readAny(reader, bytes))
}

function decodeAny(bytes: Uint8Array): Encodable {
  // Bounds the nesting, which a reader of known fields has from its own shape.
  const whole = decode(bytes, "anything", bytes.length, (reader) => reader.raw("value"))
  return decode(whole, "anything", bytes.length, (reader) => readAny(reader, whole))
}

function refusalOf(action: () => unknown): { code: string; message: string } {
  try {
    action()
  } catch (error) {
    if (error instanceof ProtocolError) return { code: error.code, message: error.message }
    throw error
  }
  return { code: "accepted", message: "" }
}

const readUint = (bytes: Uint8Array): unknown =>
  decode(bytes, "sample", 64, (reader) => reader.uint("number"))
const readText = (bytes: Uint8Array): unknown =>
  decode(bytes, "sample", 64, (reader) => reader.text("text", 32))

interface PublishedCase {
  readonly hex: string
}

/**
 * What lies inside our part of CBOR, named by hand from the published lists; all other cases hold
 * floats, tags, maps, negative or large integers, simple values or indefinite lengths.
 */
const INSIDE: Readonly<Record<string, string>> = {
  "rfc8949-appendix-a.json":
    "00 01 0a 17 1818 1819 1864 1903e8 1a000f4240 1b000000e8d4a51000 40 4401020304 60 6161 " +
    "6449455446 62225c 62c3bc 63e6b0b4 64f0908591 80 83010203 8301820203820405 " +
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
  "dcbor-valid.json":
    "01 17 1818 18ff 19ffff 1a00010000 1affffffff 1b0000000100000000 182a 1a01fffffe",
  "dcbor-invalid.json": "",
}

describe("published CBOR", () => {
  for (const [file, list] of Object.entries(INSIDE)) {
    const inside = list.split(" ").filter((text) => text !== "")
    const vectors = publishedVectors<readonly PublishedCase[]>({
      file: `cbor/${file}`,
      parse: (bytes) => JSON.parse(new TextDecoder().decode(bytes)) as readonly PublishedCase[],
      count: (cases) => cases.length,
    })
    const claim = `${inside.length} cases lie in our subset and come back as they are, others do not`
    it(vectors.name(claim), (context) => {
      const outcomes = vectors.read(context).map(({ hex: text }): readonly [string, string] => {
        const bytes = hex(text)
        return [text, outcome(() => encode(decodeAny(bytes)))]
      })
      const accepted = outcomes.filter(([text, result]) => text === result)
      expect(accepted.map(([text]) => text)).toEqual(inside)
      const refused = outcomes.filter(([text, result]) => text !== result)
      expect(refused).toHaveLength(outcomes.length - inside.length)
      for (const [text, code] of refused) {
        expect(code, text).toMatch(/^CODEC_(TYPE|NON_CANONICAL|RANGE)$/)
      }
    })
  }
})

const nfcText = fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.normalize("NFC"))
const value = fc.letrec<{ value: Encodable }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.maxSafeNat(),
    nfcText,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 6 }),
  ),
})).value
/** Bytes that look like CBOR more often than noise does. */
const nearlyValid = fc
  .tuple(value, fc.nat(400), fc.nat(255), fc.boolean())
  .map(([item, at, byte, cut]) => {
    const bytes = encode(item)
    const place = at % bytes.length
    if (cut) return bytes.subarray(0, place)
    bytes[place] = byte
    return bytes
  })

describe("encoding and decoding", () => {
  it("give back every value, by way of its bytes", () => {
    fc.assert(
      fc.property(value, (item) => {
        expect(decodeAny(encode(item))).toEqual(item)
      }),
      { numRuns: 1_000 },
    )
  })

  it("accept no bytes that would be encoded otherwise, and refuse with a code", () => {
    const counts = { accepted: 0, refused: 0 }
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), nearlyValid), (bytes) => {
        const result = outcome(() => encode(decodeAny(bytes)))
        const isAccepted = result === bytesToHex(bytes)
        counts[isAccepted ? "accepted" : "refused"] += 1
        expect(isAccepted || result.startsWith("CODEC_"), result).toBe(true)
      }),
      { numRuns: 5_000 },
    )
    expect(counts.accepted).toBeGreaterThan(100)
    expect(counts.refused).toBeGreaterThan(1_000)
  })

  it("use the shortest head on both sides of each step", () => {
    const steps: readonly (readonly [number, string])[] = [
      [23, "17"],
      [24, "1818"],
      [255, "18ff"],
      [256, "190100"],
      [65_535, "19ffff"],
      [65_536, "1a00010000"],
      [2 ** 32 - 1, "1affffffff"],
      [2 ** 32, "1b0000000100000000"],
      [2 ** 53 - 1, "1b001fffffffffffff"],
    ]
    for (const [number, text] of steps) {
      expect(encode(number)).toEqual(hex(text))
      expect(readUint(hex(text))).toBe(number)
    }
  })

  it("give copies, so that the input may be reused", () => {
    const bytes = encode(Uint8Array.of(1, 2, 3))
    const read = decode(bytes, "sample", 64, (reader) => reader.bytes("bytes", 3))
    bytes.fill(0)
    expect(read).toEqual(Uint8Array.of(1, 2, 3))
  })
})

describe("the encoder", () => {
  it("refuses numbers that are no integers in 0 … 2^53-1", () => {
    for (const number of [-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(refusalOf(() => encode([number])).code, `${number}`).toBe("CODEC_RANGE")
    }
  })

  it("refuses text that is not NFC, and lone surrogates", () => {
    expect(encode("\u00fc")).toEqual(hex("62c3bc"))
    expect(refusalOf(() => encode("u\u0308")).code).toBe("CODEC_TEXT")
    expect(refusalOf(() => encode("\u09dc")).code).toBe("CODEC_TEXT")
    expect(encode("\u09a1\u09bc")).toHaveLength(7)
    expect(refusalOf(() => encode("a\ud800")).code).toBe("CODEC_TEXT")
  })
})

describe("the reader", () => {
  const refusals: readonly (readonly [
    string,
    (bytes: Uint8Array) => unknown,
    string,
    string,
    string,
  ])[] = [
    ["nothing at all", readUint, "", "CODEC_TRUNCATED", "number: nothing left to read at byte 0"],
    ["a head that is cut", readUint, "1901", "CODEC_TRUNCATED", "needs 3 bytes, has 2"],
    ["a value that is cut", readText, "6361", "CODEC_TRUNCATED", "needs 4 bytes, has 2"],
    ["23 in two bytes", readUint, "1817", "CODEC_NON_CANONICAL", "23 is not in its shortest form"],
    ["255 in three bytes", readUint, "1900ff", "CODEC_NON_CANONICAL", "255 is not in its"],
    ["65,535 in five", readUint, "1a0000ffff", "CODEC_NON_CANONICAL", "65535 is not in its"],
    ["2^32-1 in nine", readUint, "1b00000000ffffffff", "CODEC_NON_CANONICAL", "4294967295 is not"],
    ["a length that is not shortest", readText, "780161", "CODEC_NON_CANONICAL", "1 is not in its"],
    ["an indefinite length", readText, "7f6161ff", "CODEC_NON_CANONICAL", "indefinite length"],
    ["a reserved form", readUint, "1c", "CODEC_NON_CANONICAL", "reserved length form 28"],
    ["2^53", readUint, "1b0020000000000000", "CODEC_RANGE", "integer of 2^53 or more"],
    ["2^64-1", readUint, "1bffffffffffffffff", "CODEC_RANGE", "integer of 2^53 or more"],
    ["a negative integer", readUint, "20", "CODEC_TYPE", "expected integer, got negative integer"],
    ["a map", readText, "a0", "CODEC_TYPE", "expected text, got map"],
    ["a tag", readUint, "c001", "CODEC_TYPE", "expected integer, got tag"],
    ["a float", readUint, "f93c00", "CODEC_TYPE", "expected integer, got simple"],
    ["text in NFD", readText, "6375cc88", "CODEC_TEXT", "text is not NFC"],
    ["a surrogate in UTF-8", readText, "63eda080", "CODEC_TEXT", "invalid UTF-8"],
    ["an overlong form of UTF-8", readText, "62c0af", "CODEC_TEXT", "invalid UTF-8"],
    ["a broken sequence of UTF-8", readText, "61ff", "CODEC_TEXT", "invalid UTF-8"],
    ["what follows the value", readUint, "0102", "CODEC_TRAILING", "1 bytes left over at byte 1"],
    ["text that is too long", readText, "7821", "CODEC_LENGTH", "0 … 32 bytes of text, got 33"],
  ]
  it.each(refusals)("refuses %s", (_, read, input, code, words) => {
    const found = refusalOf(() => read(hex(input)))
    expect(found.code).toBe(code)
    expect(found.message).toContain(words)
    expect(found.message).toMatch(/^sample: .* at byte \d+ of \d+$/)
  })

  it("keeps a byte order mark, which is a character of the text", () => {
    expect(readText(hex("64efbbbf61"))).toBe("\ufeffa")
  })

  it("says at which byte the item begins that it refused", () => {
    const bytes = encode([7, "abc", Uint8Array.of(1, 2)])
    const read = (): unknown =>
      decode(bytes, "triple", 64, (reader) => {
        reader.array("triple", 3)
        return [reader.uint("first"), reader.text("second", 8), reader.bytes("third", 3)]
      })
    const { code, message } = refusalOf(read)
    expect(code).toBe("CODEC_LENGTH")
    expect(message).toBe("triple: third: expected 3 bytes, got 2 at byte 6 of 9")
  })

  it("checks lengths before it takes anything: heads that claim 2^40 cost nothing", () => {
    for (const head of ["5b", "7b", "9b"]) {
      const bytes = hex(`${head}0000010000000000`)
      const readers: readonly ((reader: Reader) => unknown)[] = [
        (reader) => reader.bytesUpTo("field", 2 ** 50),
        (reader) => reader.text("field", 2 ** 50),
        (reader) => reader.list("field", 2 ** 50, () => reader.uint("item")),
        (reader) => reader.raw("field"),
      ]
      for (const read of readers) {
        const { code } = refusalOf(() => read(new Reader(bytes, "claim")))
        expect(code).toMatch(/^CODEC_(TRUNCATED|TYPE|LENGTH)$/)
      }
    }
  })

  it("refuses more bytes than the limit before it reads any", () => {
    let reads = 0
    const count = (): void => {
      reads += 1
    }
    expect(refusalOf(() => decode(new Uint8Array(9), "sample", 8, count))).toEqual({
      code: "CODEC_LENGTH",
      message: "sample: expected at most 8 bytes, got 9",
    })
    expect(reads).toBe(0)
  })

  it("follows sixteen arrays in one another, and no more", () => {
    const nested = (depth: number): Uint8Array =>
      new Uint8Array(depth + 1).fill(0x81).with(depth, 0)
    const raw = (bytes: Uint8Array): unknown =>
      decode(bytes, "nest", 100_000, (reader) => reader.raw("value"))
    expect(raw(nested(16))).toEqual(nested(16))
    const { code, message } = refusalOf(() => raw(nested(17)))
    expect(code).toBe("CODEC_LENGTH")
    expect(message).toBe("nest: value: nested deeper than 16 at byte 17 of 18")
    expect(refusalOf(() => raw(nested(99_000))).code).toBe("CODEC_LENGTH")
  })

  it("holds counts and numbers to their bounds, both ends", () => {
    const list = (bytes: Uint8Array): unknown =>
      decode(bytes, "list", 64, (reader) => reader.list("items", 3, () => reader.uint("n", 9), 1))
    expect(list(encode([9]))).toEqual([9])
    expect(list(encode([1, 2, 3]))).toEqual([1, 2, 3])
    expect(refusalOf(() => list(encode([]))).code).toBe("CODEC_LENGTH")
    expect(refusalOf(() => list(encode([1, 2, 3, 4]))).code).toBe("CODEC_LENGTH")
    expect(refusalOf(() => list(encode([10]))).code).toBe("CODEC_RANGE")
  })

  it("takes the expected label, and shows another one without its control characters", () => {
    const read = (text: string): unknown =>
      decode(encode(text), "object", 64, (reader) => reader.label("TB1/one"))
    expect(refusalOf(() => read("TB1/one")).code).toBe("accepted")
    const { code, message } = refusalOf(() => read("TB1/\u001b[2J"))
    expect(code).toBe("CODEC_LABEL")
    expect(message).toContain('expected "TB1/one", got "TB1/?[2J"')
  })
})

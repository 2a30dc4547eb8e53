/**
 * Deterministic CBOR (RFC 8949 §4.2.1), the part that Tarbarta uses: unsigned integers below 2^53,
 * byte strings, text, and arrays of known length. No maps, floats, tags, simple values or
 * indefinite lengths (PROTOCOL §2).
 *
 * One value has one encoding: the reader refuses every other, so accepted bytes always encode back
 * to themselves. It checks each length against what is left before it touches or allocates
 * anything, and names what was being read and at which byte.
 */

import { ProtocolError, type ProtocolCode } from "./errors.ts"
import { NESTING_MAX } from "./limits.ts"

/** What the encoder takes; arrays nest. */
export type Encodable = number | string | Uint8Array | readonly Encodable[]

const MAJOR_UINT = 0
const MAJOR_BYTES = 2
const MAJOR_TEXT = 3
const MAJOR_ARRAY = 4

const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Encodes a value.
 *
 * @throws {@link ProtocolError} `CODEC_RANGE` for a number that is not an integer in 0 … 2^53-1,
 * `CODEC_TEXT` for text that is not NFC or holds a lone surrogate.
 */
export function encode(value: Encodable): Uint8Array {
  const chunks: Uint8Array[] = []
  let length = 0
  const push = (chunk: Uint8Array): void => {
    chunks.push(chunk)
    length += chunk.length
  }
  const visit = (item: Encodable): void => {
    if (typeof item === "number") {
      push(encodeHead(MAJOR_UINT, item))
    } else if (typeof item === "string") {
      const bytes = encodeText(item)
      push(encodeHead(MAJOR_TEXT, bytes.length))
      push(bytes)
    } else if (item instanceof Uint8Array) {
      push(encodeHead(MAJOR_BYTES, item.length))
      push(item)
    } else {
      push(encodeHead(MAJOR_ARRAY, item.length))
      for (const child of item) visit(child)
    }
  }
  visit(value)
  const out = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    out.set(chunk, offset)
    offset += chunk.length
  }
  return out
}

/** UTF-8 of a text that must be NFC already (PROTOCOL §2.2). */
export function encodeText(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new ProtocolError("CODEC_TEXT", "text holds a lone surrogate")
  if (text.normalize("NFC") !== text) throw new ProtocolError("CODEC_TEXT", "text is not NFC")
  return utf8Encoder.encode(text)
}

function encodeHead(major: number, value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new ProtocolError("CODEC_RANGE", `expected an integer in 0 … 2^53-1, got ${value}`)
  }
  const tag = major << 5
  if (value < 24) return Uint8Array.of(tag | value)
  if (value < 0x100) return Uint8Array.of(tag | 24, value)
  if (value < 0x1_0000) return Uint8Array.of(tag | 25, value >>> 8, value & 0xff)
  const head = new Uint8Array(value < 0x1_0000_0000 ? 5 : 9)
  const view = new DataView(head.buffer)
  if (head.length === 5) {
    head[0] = tag | 26
    view.setUint32(1, value)
  } else {
    head[0] = tag | 27
    view.setBigUint64(1, BigInt(value))
  }
  return head
}

/**
 * Reads one encoded value, field by field, in the order in which the specification lists them.
 *
 * Every method takes `what`, the field's name, for the error message. All errors are
 * {@link ProtocolError} with a `CODEC_*` code.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #name: string
  #offset = 0
  /** Where the item that is being read begins; errors point there. */
  #item = 0

  /** `name` is the thing being read, such as `envelope header`. */
  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes
    this.#name = name
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset
  }

  /** An array head with exactly `count` items. */
  array(what: string, count: number): void {
    const found = this.#head(MAJOR_ARRAY, what)
    if (found !== count) {
      this.#fail("CODEC_LENGTH", what, `expected an array of ${count}, got ${found}`)
    }
  }

  /** An array head with `min` … `max` items; returns how many follow. */
  arrayUpTo(what: string, max: number, min = 0): number {
    const found = this.#head(MAJOR_ARRAY, what)
    if (found < min || found > max) {
      this.#fail("CODEC_LENGTH", what, `expected an array of ${min} … ${max}, got ${found}`)
    }
    return found
  }

  /** An array whose items are read by `item`, called with the index. */
  list<T>(what: string, max: number, item: (index: number) => T, min = 0): T[] {
    const count = this.arrayUpTo(what, max, min)
    const out: T[] = []
    for (let index = 0; index < count; index++) out.push(item(index))
    return out
  }

  /** An unsigned integer of at most `max` (default 2^53-1). */
  uint(what: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#head(MAJOR_UINT, what)
    if (value > max) this.#fail("CODEC_RANGE", what, `expected at most ${max}, got ${value}`)
    return value
  }

  /** A byte string of exactly `length` bytes; a copy, so the input may be reused. */
  bytes(what: string, length: number): Uint8Array {
    const found = this.#head(MAJOR_BYTES, what)
    if (found !== length) {
      this.#fail("CODEC_LENGTH", what, `expected ${length} bytes, got ${found}`)
    }
    return this.#take(what, found).slice()
  }

  /** A byte string of `min` … `max` bytes; a copy. */
  bytesUpTo(what: string, max: number, min = 0): Uint8Array {
    const found = this.#head(MAJOR_BYTES, what)
    if (found < min || found > max) {
      this.#fail("CODEC_LENGTH", what, `expected ${min} … ${max} bytes, got ${found}`)
    }
    return this.#take(what, found).slice()
  }

  /** Well-formed NFC text of at most `max` bytes of UTF-8. */
  text(what: string, max: number, min = 0): string {
    const found = this.#head(MAJOR_TEXT, what)
    if (found < min || found > max) {
      this.#fail("CODEC_LENGTH", what, `expected ${min} … ${max} bytes of text, got ${found}`)
    }
    const bytes = this.#take(what, found)
    let text: string
    try {
      text = utf8Decoder.decode(bytes)
    } catch (cause) {
      throw this.#error("CODEC_TEXT", what, "invalid UTF-8", cause)
    }
    if (text.normalize("NFC") !== text) this.#fail("CODEC_TEXT", what, "text is not NFC")
    return text
  }

  /** The fixed label that opens an object; `CODEC_LABEL` when another stands there. */
  label(expected: string): void {
    const found = this.text("label", 64)
    if (found !== expected) {
      this.#fail("CODEC_LABEL", "label", `expected "${expected}", got "${printable(found)}"`)
    }
  }

  /** The bytes of one whole value of any shape, checked to be canonical, copied. */
  raw(what: string): Uint8Array {
    const start = this.#offset
    this.#skip(what, 0)
    return this.#bytes.slice(start, this.#offset)
  }

  /** Nothing may follow. */
  end(): void {
    this.#item = this.#offset
    const left = this.#bytes.length - this.#offset
    if (left !== 0) this.#fail("CODEC_TRAILING", "end", `${left} bytes left over`)
  }

  /** For decoders that find a broken rule of their own while reading. */
  fail(code: ProtocolCode, what: string, why: string): never {
    return this.#fail(code, what, why)
  }

  #skip(what: string, depth: number): void {
    const major = this.#peek(what) >> 5
    if (depth > NESTING_MAX) this.#fail("CODEC_LENGTH", what, `nested deeper than ${NESTING_MAX}`)
    if (major === MAJOR_UINT) {
      this.uint(what)
    } else if (major === MAJOR_BYTES) {
      this.#take(what, this.#head(MAJOR_BYTES, what))
    } else if (major === MAJOR_TEXT) {
      this.text(what, this.#bytes.length)
    } else {
      const count = this.arrayUpTo(what, this.#bytes.length)
      for (let index = 0; index < count; index++) this.#skip(what, depth + 1)
    }
  }

  #peek(what: string): number {
    this.#item = this.#offset
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) return this.#fail("CODEC_TRUNCATED", what, "nothing left to read")
    return byte
  }

  #head(major: number, what: string): number {
    const initial = this.#peek(what)
    if (initial >> 5 !== major) {
      const names = `expected ${majorName(major)}, got ${majorName(initial >> 5)}`
      return this.#fail("CODEC_TYPE", what, names)
    }
    const info = initial & 0x1f
    this.#offset += 1
    if (info < 24) return info
    if (info > 27) {
      const form = info === 31 ? "indefinite length" : `reserved length form ${info}`
      return this.#fail("CODEC_NON_CANONICAL", what, form)
    }
    const size = 1 << (info - 24)
    const bytes = this.#take(what, size)
    let value = 0
    for (const byte of bytes) value = value * 256 + byte
    if (!Number.isSafeInteger(value)) this.#fail("CODEC_RANGE", what, "integer of 2^53 or more")
    const shortest = [24, 0x100, 0x1_0000, 0x1_0000_0000][info - 24]
    if (shortest === undefined || value < shortest) {
      this.#fail("CODEC_NON_CANONICAL", what, `${value} is not in its shortest form`)
    }
    return value
  }

  #take(what: string, length: number): Uint8Array {
    const end = this.#offset + length
    if (end > this.#bytes.length) {
      this.#fail("CODEC_TRUNCATED", what, `needs ${end} bytes, has ${this.#bytes.length}`)
    }
    const slice = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return slice
  }

  #fail(code: ProtocolCode, what: string, why: string): never {
    throw this.#error(code, what, why)
  }

  #error(code: ProtocolCode, what: string, why: string, cause?: unknown): ProtocolError {
    const place = `${this.#name}: ${what}: ${why} at byte ${this.#item} of ${this.#bytes.length}`
    return new ProtocolError(code, place, cause === undefined ? {} : { cause })
  }
}

/**
 * Decodes a whole value with `read`, and refuses anything left over.
 *
 * `bytesMax` is checked before anything is read.
 */
export function decode<T>(
  bytes: Uint8Array,
  name: string,
  bytesMax: number,
  read: (reader: Reader) => T,
): T {
  if (bytes.length > bytesMax) {
    const why = `${name}: expected at most ${bytesMax} bytes, got ${bytes.length}`
    throw new ProtocolError("CODEC_LENGTH", why)
  }
  const reader = new Reader(bytes, name)
  const value = read(reader)
  reader.end()
  return value
}

function majorName(major: number): string {
  const names = ["integer", "negative integer", "bytes", "text", "array", "map", "tag", "simple"]
  return names[major] ?? "unknown"
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40)
}

/**
 * Fixed binary layouts: fields of known width, big-endian, one after another (LEDGER §1).
 *
 * The ledger uses them for what is hashed, signed and kept for ever; everything else is CBOR
 * (codec.ts). The reader checks each length before it touches or copies anything.
 */

import { assert } from "./assert.ts"
import { ProtocolError, type ProtocolCode } from "./errors.ts"

/** Fills exactly the number of bytes that it was made for. Wrong sizes are mistakes of ours. */
export class FieldWriter {
  readonly #bytes: Uint8Array
  #offset = 0

  constructor(length: number) {
    this.#bytes = new Uint8Array(length)
  }

  u8(value: number): this {
    assertUint(value, 0xff)
    this.#bytes[this.#advance(1)] = value
    return this
  }

  u16(value: number): this {
    assertUint(value, 0xffff)
    const at = this.#advance(2)
    this.#bytes[at] = value >>> 8
    this.#bytes[at + 1] = value
    return this
  }

  u32(value: number): this {
    assertUint(value, 0xffff_ffff)
    this.#word(this.#advance(4), value)
    return this
  }

  /** Eight bytes, for a number below 2^53. */
  u64(value: number): this {
    assertUint(value, Number.MAX_SAFE_INTEGER)
    const at = this.#advance(8)
    this.#word(at, Math.floor(value / 0x1_0000_0000))
    this.#word(at + 4, value % 0x1_0000_0000)
    return this
  }

  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#advance(value.length))
    return this
  }

  /** The bytes, once every one of them is written. */
  finish(): Uint8Array {
    assert(this.#offset === this.#bytes.length, "a fixed layout was not filled")
    return this.#bytes
  }

  // A `DataView` of each small layout costs several times what it is used for.
  #word(at: number, value: number): void {
    const bytes = this.#bytes
    bytes[at] = value >>> 24
    bytes[at + 1] = value >>> 16
    bytes[at + 2] = value >>> 8
    bytes[at + 3] = value
  }

  #advance(length: number): number {
    const at = this.#offset
    assert(at + length <= this.#bytes.length, "a fixed layout overflowed")
    this.#offset = at + length
    return at
  }
}

/**
 * Reads a fixed layout, field by field. `what` is the field's name for the error message.
 *
 * All errors are {@link ProtocolError} with a `CODEC_*` code.
 */
export class FieldReader {
  readonly #bytes: Uint8Array
  readonly #name: string
  #offset = 0

  /** `name` is the thing being read, such as `block header`. */
  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes
    this.#name = name
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#bytes.length - this.#offset
  }

  u8(what: string, max = 0xff): number {
    return this.#upTo(what, max, this.#unsigned(this.#advance(what, 1), 1))
  }

  u16(what: string, max = 0xffff): number {
    return this.#upTo(what, max, this.#unsigned(this.#advance(what, 2), 2))
  }

  u32(what: string, max = 0xffff_ffff): number {
    return this.#upTo(what, max, this.#unsigned(this.#advance(what, 4), 4))
  }

  /** Eight bytes; refused from 2^53 on. */
  u64(what: string): number {
    const at = this.#advance(what, 8)
    const value = this.#unsigned(at, 4) * 0x1_0000_0000 + this.#unsigned(at + 4, 4)
    return this.#upTo(what, Number.MAX_SAFE_INTEGER, value)
  }

  /** A copy of the next `length` bytes. */
  bytes(what: string, length: number): Uint8Array {
    const at = this.#advance(what, length)
    return this.#bytes.slice(at, at + length)
  }

  /** The next `length` bytes without a copy: valid as long as the input is. */
  view(what: string, length: number): Uint8Array {
    const at = this.#advance(what, length)
    return this.#bytes.subarray(at, at + length)
  }

  /** Passes over the next `length` bytes; returns where they begin, for who reads them in place. */
  pass(what: string, length: number): number {
    return this.#advance(what, length)
  }

  /** A byte that must be `expected`; `CODEC_VERSION` when it is another. */
  version(expected: number): void {
    const found = this.u8("version")
    if (found !== expected)
      this.fail("CODEC_VERSION", "version", `expected ${expected}, got ${found}`)
  }

  /** Nothing may follow. */
  end(): void {
    if (this.left !== 0) this.fail("CODEC_TRAILING", "end", `${this.left} bytes left over`)
  }

  /** For decoders that find a broken rule of their own while reading. */
  fail(code: ProtocolCode, what: string, why: string): never {
    const place = `at byte ${this.#offset} of ${this.#bytes.length}`
    throw new ProtocolError(code, `${this.#name}: ${what}: ${why} ${place}`)
  }

  #unsigned(at: number, length: number): number {
    let value = 0
    for (let index = at; index < at + length; index++) {
      value = value * 0x100 + (this.#bytes[index] ?? 0)
    }
    return value
  }

  #upTo(what: string, max: number, value: number): number {
    if (value > max) this.fail("CODEC_RANGE", what, `expected at most ${max}, got ${value}`)
    return value
  }

  #advance(what: string, length: number): number {
    const at = this.#offset
    if (length > this.left) {
      this.fail("CODEC_TRUNCATED", what, `needs ${length} bytes, has ${this.left}`)
    }
    this.#offset = at + length
    return at
  }
}

function assertUint(value: number, max: number): void {
  assert(
    Number.isSafeInteger(value) && value >= 0 && value <= max,
    "an integer is out of its field",
  )
}

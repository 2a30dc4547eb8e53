/**
 * Padding of plaintexts (PROTOCOL §3.5): Padmé of the PURB paper (Nikitin et al., 2019, §4), with
 * a floor of {@link PADDED_BYTES_MIN}. A padded length leaks O(log log n) bits about the length,
 * for at most 12 % more bytes.
 *
 * Padded bytes are: u32 length of the content ‖ content ‖ zeros.
 */

import { assert } from "./assert.ts"
import { concatBytes, u32 } from "./bytes.ts"
import { ProtocolError } from "./errors.ts"
import { PADDED_BYTES_MIN } from "./limits.ts"

/** What stands in front of the content. */
export const LENGTH_PREFIX_BYTES = 4

/** Lengths are handled as 32-bit integers; every plaintext is far below. */
const LENGTH_MAX = 0x4000_0000

/** Length after padding; `length` includes the {@link LENGTH_PREFIX_BYTES} in front. */
export function paddedLength(length: number): number {
  assert(Number.isInteger(length) && length >= 0, "padding: length is not a whole number")
  assert(length <= LENGTH_MAX, `padding: expected at most ${LENGTH_MAX} bytes, got ${length}`)
  if (length <= PADDED_BYTES_MIN) return PADDED_BYTES_MIN
  // A floating-point number of this length: as many bits for the mantissa as the exponent takes.
  const exponent = 31 - Math.clz32(length)
  const exponentBits = 32 - Math.clz32(exponent)
  const mask = 2 ** (exponent - exponentBits) - 1
  return (length + mask) & ~mask
}

/** Prefixes the length and fills with zeros up to `padded` bytes, which must suffice. */
export function pad(bytes: Uint8Array, padded: number): Uint8Array {
  const fill = padded - LENGTH_PREFIX_BYTES - bytes.length
  assert(fill >= 0, `padding: ${bytes.length} bytes do not fit in ${padded}`)
  return concatBytes(u32(bytes.length), bytes, new Uint8Array(fill))
}

/**
 * The content of padded bytes, as a copy. Whether the padded length is the right one for it is the
 * caller's to check.
 *
 * @throws {@link ProtocolError} `ENVELOPE_PADDING` when the length does not fit or the fill is not
 * zero.
 */
export function unpad(padded: Uint8Array): Uint8Array {
  if (padded.length < LENGTH_PREFIX_BYTES) {
    const why = `expected at least ${LENGTH_PREFIX_BYTES} bytes, got ${padded.length}`
    throw new ProtocolError("ENVELOPE_PADDING", `padding: ${why}`)
  }
  const length = new DataView(padded.buffer, padded.byteOffset, padded.byteLength).getUint32(0)
  const end = LENGTH_PREFIX_BYTES + length
  if (end > padded.length) {
    const why = `content of ${length} bytes in ${padded.length} padded bytes`
    throw new ProtocolError("ENVELOPE_PADDING", `padding: ${why}`)
  }
  for (let index = end; index < padded.length; index++) {
    if (padded[index] === 0) continue
    throw new ProtocolError("ENVELOPE_PADDING", `padding: byte ${index} is not zero`)
  }
  return new Uint8Array(padded.subarray(LENGTH_PREFIX_BYTES, end))
}

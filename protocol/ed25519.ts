/**
 * Which Ed25519 points a signature may be made of (PROTOCOL §3.1): the part of validity that
 * libraries, and versions of one library, disagree on.
 *
 * Both suites ask here first, so a ledger's validity does not hang on the version of OpenSSL in
 * Node. What is left, the equation without the cofactor and a scalar below the group order, every
 * native library checks alike.
 */

const POINT_BYTES = 32
const SIGN_BIT = 0x80

/** 2^255-19, least byte first. */
const PRIME = coordinate(0xed, 0xff, 0x7f)
/** The y coordinates of the points whose order divides 8, the sign apart. */
const SMALL_ORDER = [
  coordinate(0x00, 0x00, 0x00),
  coordinate(0x01, 0x00, 0x00),
  coordinate(0xec, 0xff, 0x7f),
  Uint8Array.of(
    ...[0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98],
    ...[0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53],
    ...[0xfc, 0x05],
  ),
  Uint8Array.of(
    ...[0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67],
    ...[0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac],
    ...[0x03, 0x7a],
  ),
]

/**
 * True unless a 32-byte encoding is one of small order or has a coordinate that is not reduced.
 * Whether it is on the curve at all is left to the verifier.
 */
export function isSoundPoint(encoding: Uint8Array): boolean {
  return isBelowPrime(encoding) && !SMALL_ORDER.some((point) => isSameCoordinate(encoding, point))
}

function isBelowPrime(encoding: Uint8Array): boolean {
  for (let index = POINT_BYTES - 1; index >= 0; index--) {
    const difference = coordinateByte(encoding, index) - coordinateByte(PRIME, index)
    if (difference !== 0) return difference < 0
  }
  return false
}

function isSameCoordinate(encoding: Uint8Array, coordinate: Uint8Array): boolean {
  for (let index = 0; index < POINT_BYTES; index++) {
    if (coordinateByte(encoding, index) !== coordinate[index]) return false
  }
  return true
}

/** A byte of y: the topmost bit of an encoding is the sign of x. */
function coordinateByte(encoding: Uint8Array, index: number): number {
  const byte = encoding[index] ?? 0
  return index === POINT_BYTES - 1 ? byte & ~SIGN_BIT : byte
}

function coordinate(first: number, middle: number, last: number): Uint8Array {
  const out = new Uint8Array(POINT_BYTES).fill(middle)
  out[0] = first
  out[POINT_BYTES - 1] = last
  return out
}

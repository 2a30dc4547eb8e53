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
const PRIME = coordinate(2n ** 255n - 19n)
/** The y coordinates of the points whose order divides 8, the sign apart. */
const SMALL_ORDER = [
  0n,
  1n,
  2n ** 255n - 20n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
].map(coordinate)

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

function coordinate(value: bigint): Uint8Array {
  const out = new Uint8Array(POINT_BYTES)
  for (let index = 0, rest = value; index < POINT_BYTES; index++, rest >>= 8n) {
    out[index] = Number(rest & 0xffn)
  }
  return out
}

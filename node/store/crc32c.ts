/**
 * CRC-32C (Castagnoli, RFC 3720 §12.1): the checksum of stored values and of the consensus log.
 *
 * It finds rot and torn writes; it proves nothing against an adversary. Eight tables of 256 words
 * take eight bytes a round; the platform's own `crc32` has another polynomial.
 */

/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78
const TABLES = makeTables()

/** Word `byte` of table `level`: what that byte does to a checksum `level` bytes later. */
function makeTables(): Uint32Array {
  const tables = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at++) {
    const former = tables[at - 256] ?? 0
    tables[at] = (former >>> 8) ^ (tables[former & 0xff] ?? 0)
  }
  return tables
}

/**
 * Checksum of `bytes`, 0 … 2^32-1. `former` is the checksum of what stands before them, so that
 * `crc32c(b, crc32c(a))` is the checksum of a ‖ b.
 */
export function crc32c(bytes: Uint8Array, former = 0): number {
  const t = TABLES
  const end = bytes.length
  const whole = end - (end % 8)
  let crc = ~former
  let at = 0
  for (; at < whole; at += 8) {
    const low = crc ^ word(bytes, at)
    crc =
      (t[1792 + (low & 0xff)] ?? 0) ^
      (t[1536 + ((low >>> 8) & 0xff)] ?? 0) ^
      (t[1280 + ((low >>> 16) & 0xff)] ?? 0) ^
      (t[1024 + (low >>> 24)] ?? 0) ^
      (t[768 + (bytes[at + 4] ?? 0)] ?? 0) ^
      (t[512 + (bytes[at + 5] ?? 0)] ?? 0) ^
      (t[256 + (bytes[at + 6] ?? 0)] ?? 0) ^
      (t[bytes[at + 7] ?? 0] ?? 0)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0)
  return ~crc >>> 0
}

/** Four bytes, little-endian. */
function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  )
}

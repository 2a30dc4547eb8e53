/**
 * Seeded randomness for tests: the same seed gives the same bytes, on every machine.
 *
 * SHA-256 in counter mode over the seed. Good enough to look random to tests; never for real keys.
 */

import { sha256 } from "@noble/hashes/sha2.js"
import type { RandomSource } from "../../protocol/suite.ts"

const encoder = new TextEncoder()

/** An endless stream of bytes that depends on `seed` alone; each call draws the next `length`. */
export function seededRandom(seed: string | number): RandomSource {
  const key = sha256(encoder.encode(`tarbarta test rng ${typeof seed} ${seed}`))
  let counter = 0
  let block = new Uint8Array(0)
  return (length) => {
    const out = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      if (block.length === 0) block = nextBlock(key, counter++)
      const taken = block.subarray(0, length - filled)
      out.set(taken, filled)
      filled += taken.length
      block = block.subarray(taken.length)
    }
    return out
  }
}

function nextBlock(key: Uint8Array, counter: number): Uint8Array<ArrayBuffer> {
  const input = new Uint8Array(key.length + 8)
  input.set(key)
  new DataView(input.buffer).setBigUint64(key.length, BigInt(counter))
  return new Uint8Array(sha256(input))
}

/** An integer in 0 … `below` - 1, close enough to uniform for tests; `below` at most 2^32. */
export function randomInt(random: RandomSource, below: number): number {
  const bytes = random(8)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Number(view.getBigUint64(0) % BigInt(below))
}

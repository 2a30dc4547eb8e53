/**
 * SHA-256 of many messages of one length at once, for the tree (LEDGER §4).
 *
 * Single hashes of the ledger go through the suite; levels of the tree go through this file, which
 * runs one small WebAssembly module. It gives the same bytes as every suite's `sha256`.
 */

import { assert } from "../protocol/assert.ts"
import { ENTRY_BYTES_MAX, HASH_BYTES } from "../protocol/limits.ts"
import { memoryBytes, MESSAGE_AT, sha256Module } from "./sha256-module.ts"

// TypeScript knows this global from the browser's library only, which pure code does not load.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> }
}

type Run = (
  input: number,
  length: number,
  stride: number,
  output: number,
  count: number,
  blocks: number,
  data: number,
) => void

const BLOCK_BYTES = 64
const PAGES = 8
/** Behind the longest message: prefix, entry and at most 72 bytes of padding. */
const INPUT_AT = 128 * 1_024
const OUTPUT_AT = 384 * 1_024
const COUNT_MAX = (memoryBytes(PAGES) - OUTPUT_AT) / HASH_BYTES

const { memory, run } = instantiate()
const view = new DataView(memory.buffer)
/** What the padding in memory was written for; the data between it changes with every message. */
let padded = { prefix: -1, length: -1 }

/**
 * Hashes prefix ‖ message for each of the messages in `input`; the hashes stand packed in the
 * answer. `input` is a row of records of `stride` bytes, whose last `length` bytes are the message;
 * what stands in front of it is not hashed.
 *
 * `length` is at most `ENTRY_BYTES_MAX`, `prefix` one byte.
 */
export function hashPacked(
  prefix: number,
  input: Uint8Array,
  length: number,
  stride = length,
): Uint8Array {
  assert(length > 0 && length <= ENTRY_BYTES_MAX, "a packed message has an impossible length")
  assert(stride >= length, "packed messages overlap")
  assert(input.length % stride === 0, "packed messages do not fill their buffer")
  const total = input.length / stride
  const output = new Uint8Array(total * HASH_BYTES)
  const blocks = writePadding(prefix, length)
  const step = Math.min(COUNT_MAX, Math.floor((OUTPUT_AT - INPUT_AT) / stride))
  for (let done = 0; done < total; done += step) {
    const count = Math.min(step, total - done)
    memory.set(input.subarray(done * stride, (done + count) * stride), INPUT_AT)
    run(INPUT_AT + stride - length, length, stride, OUTPUT_AT, count, blocks, MESSAGE_AT + 1)
    output.set(memory.subarray(OUTPUT_AT, OUTPUT_AT + count * HASH_BYTES), done * HASH_BYTES)
  }
  return output
}

/** Hashes prefix ‖ left ‖ right, two hashes: one step up in the tree. */
export function hashPair(prefix: number, left: Uint8Array, right: Uint8Array): Uint8Array {
  assert(left.length === HASH_BYTES && right.length === HASH_BYTES, "a pair of other than hashes")
  const blocks = writePadding(prefix, 2 * HASH_BYTES)
  memory.set(left, INPUT_AT)
  memory.set(right, INPUT_AT + HASH_BYTES)
  run(INPUT_AT, 2 * HASH_BYTES, 2 * HASH_BYTES, OUTPUT_AT, 1, blocks, MESSAGE_AT + 1)
  return memory.slice(OUTPUT_AT, OUTPUT_AT + HASH_BYTES)
}

/** Prefix, end bit and bit length around the place of the data; returns the number of blocks. */
function writePadding(prefix: number, length: number): number {
  const bytes = 1 + length
  const blocks = Math.floor((bytes + 8) / BLOCK_BYTES) + 1
  if (padded.prefix === prefix && padded.length === length) return blocks
  padded = { prefix, length }
  const end = MESSAGE_AT + blocks * BLOCK_BYTES
  memory[MESSAGE_AT] = prefix
  memory[MESSAGE_AT + bytes] = 0x80
  memory.fill(0, MESSAGE_AT + bytes + 1, end - 4)
  view.setUint32(end - 4, bytes * 8)
  return blocks
}

function instantiate(): { readonly memory: Uint8Array; readonly run: Run } {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(sha256Module(PAGES)))
  const exported = exports as { memory: { buffer: ArrayBuffer }; run: Run }
  return { memory: new Uint8Array(exported.memory.buffer), run: exported.run }
}

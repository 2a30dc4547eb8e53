/**
 * Emits a WebAssembly module that computes SHA-256 (FIPS 180-4) over many messages of one length.
 *
 * Calling a hash function once per tree node costs more than the hash itself, so whole levels of
 * the tree go through this module in one call. It exports its memory and
 * `run(input, length, stride, output, count, blocks, data)`; sha256.ts is the only caller.
 */

/** Where `run` finds the padded message; its layout is prepared by the caller. */
export const MESSAGE_AT = 64
/** Working state of the hash: eight words. */
const STATE_AT = 0

const PAGE_BYTES = 65_536

const INITIAL = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]

const ROUND = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]

const LOOP = 0x03
const END = 0x0b
const BRANCH_IF = 0x0d
const CALL = 0x10
const GET = 0x20
const SET = 0x21
const TEE = 0x22
const LOAD = 0x28
const STORE = 0x36
const CONST = 0x41
const ADD = 0x6a
const SUB = 0x6b
const AND = 0x71
const XOR = 0x73
const SHR = 0x76
const ROTL = 0x77
const ROTR = 0x78
const I32 = 0x7f
const VOID = 0x40

/** "\0asm", version 1. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

type Code = number[]

/** The module's bytes; `pages` of 64 KiB are its fixed memory. */
export function sha256Module(pages: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...MAGIC,
    // types: compress(block), run(input, length, stride, output, count, blocks, data)
    ...section(1, [2, 0x60, 1, I32, 0, 0x60, 7, ...Array.from({ length: 7 }, () => I32), 0]),
    ...section(3, [2, 0, 1]),
    ...section(5, [1, 0x01, ...uint(pages), ...uint(pages)]),
    ...section(7, [2, ...exported("memory", 2, 0), ...exported("run", 0, 1)]),
    ...section(10, [2, ...functionBody(25, compressCode()), ...functionBody(1, runCode())]),
  ])
}

/** Bytes of memory that `pages` give. */
export function memoryBytes(pages: number): number {
  return pages * PAGE_BYTES
}

/**
 * One block into the state: local 0 is its address, 1 … 8 are a … h, 9 … 24 the schedule, 25 T1.
 */
function compressCode(): Code {
  const word = (i: number): number => 9 + (i % 16)
  const temporary = 25
  const code: Code = []
  for (let i = 0; i < 16; i++) {
    code.push(GET, 0, ...load(i * 4), SET, word(i), ...swapBytes(word(i)), SET, word(i))
  }
  for (let i = 0; i < 8; i++) code.push(...constant(STATE_AT), ...load(i * 4), SET, 1 + i)
  for (let i = 0; i < 64; i++) {
    // The eight working variables turn by one place a round; we turn their names instead.
    const local = (name: number): number => 1 + ((name - i + 64) % 8)
    const [a, b, c, d] = [local(0), local(1), local(2), local(3)]
    const [e, f, g, h] = [local(4), local(5), local(6), local(7)]
    if (i >= 16) {
      code.push(GET, word(i), ...smallSigma(word(i - 15), 7, 18, 3), ADD, GET, word(i - 7), ADD)
      code.push(...smallSigma(word(i - 2), 17, 19, 10), ADD, SET, word(i))
    }
    code.push(GET, h, ...bigSigma(e, 6, 11, 25), ADD)
    code.push(GET, f, GET, g, XOR, GET, e, AND, GET, g, XOR, ADD) // choose
    code.push(...constant(ROUND[i] ?? 0), ADD, GET, word(i), ADD, SET, temporary)
    code.push(GET, d, GET, temporary, ADD, SET, d)
    code.push(GET, temporary, ...bigSigma(a, 2, 13, 22), ADD)
    code.push(GET, a, GET, b, XOR, GET, c, AND, GET, a, GET, b, AND, XOR, ADD, SET, h) // majority
  }
  for (let i = 0; i < 8; i++) {
    code.push(...constant(STATE_AT), ...constant(STATE_AT), ...load(i * 4), GET, 1 + i, ADD)
    code.push(...store(i * 4))
  }
  return code
}

/**
 * For each of `count` messages: copy its data behind the prefix, hash all blocks, write 32 bytes.
 */
function runCode(): Code {
  const [input, length, stride, output, count, blocks, data, block] = [0, 1, 2, 3, 4, 5, 6, 7]
  const code: Code = [LOOP, VOID]
  code.push(GET, data, GET, input, GET, length, 0xfc, 0x0a, 0, 0) // memory.copy
  for (const [i, word] of INITIAL.entries()) {
    code.push(...constant(STATE_AT), ...constant(word), ...store(i * 4))
  }
  code.push(...constant(MESSAGE_AT), SET, block, LOOP, VOID, GET, block, CALL, 0)
  code.push(GET, block, ...constant(64), ADD, TEE, block)
  code.push(...constant(MESSAGE_AT), SUB, ...constant(6), SHR, GET, blocks, SUB, BRANCH_IF, 0, END)
  for (let i = 0; i < 8; i++) {
    code.push(GET, output, ...constant(STATE_AT), ...load(i * 4), SET, block)
    code.push(...swapBytes(block), ...store(i * 4))
  }
  code.push(GET, input, GET, stride, ADD, SET, input)
  code.push(GET, output, ...constant(32), ADD, SET, output)
  code.push(GET, count, ...constant(1), SUB, TEE, count, BRANCH_IF, 0, END)
  return code
}

function bigSigma(local: number, r1: number, r2: number, r3: number): Code {
  const turned = [r1, r2, r3].map((bits) => [GET, local, ...constant(bits), ROTR])
  return [...(turned[0] ?? []), ...(turned[1] ?? []), XOR, ...(turned[2] ?? []), XOR]
}

function smallSigma(local: number, r1: number, r2: number, shift: number): Code {
  const first = [GET, local, ...constant(r1), ROTR, GET, local, ...constant(r2), ROTR, XOR]
  return [...first, GET, local, ...constant(shift), SHR, XOR]
}

/** WebAssembly is little-endian and has no byte swap: rotate by 8 both ways and mask. */
function swapBytes(local: number): Code {
  const left = [GET, local, ...constant(8), ROTL, ...constant(0x00ff00ff), AND]
  return [...left, GET, local, ...constant(8), ROTR, ...constant(0xff00ff00), AND, XOR]
}

function load(offset: number): Code {
  return [LOAD, 0, ...uint(offset)]
}

function store(offset: number): Code {
  return [STORE, 0, ...uint(offset)]
}

function constant(value: number): Code {
  const out: Code = [CONST]
  let rest = value | 0
  for (;;) {
    const low = rest & 0x7f
    rest >>= 7
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
      out.push(low)
      return out
    }
    out.push(low | 0x80)
  }
}

function uint(value: number): Code {
  const out: Code = []
  let rest = value
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  out.push(rest)
  return out
}

function section(id: number, content: Code): Code {
  return [id, ...uint(content.length), ...content]
}

function exported(name: string, kind: number, index: number): Code {
  return [name.length, ...Array.from(name, (letter) => letter.charCodeAt(0)), kind, index]
}

function functionBody(locals: number, code: Code): Code {
  const body = [1, locals, I32, ...code, END]
  return [...uint(body.length), ...body]
}

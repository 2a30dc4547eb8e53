/**
 * Makes `ed25519-edge.json`, the frozen verdicts of both verifiers on signatures at the edge of
 * RFC 8032: `node test/vectors/freeze-ed25519.ts`.
 *
 * Ledger validity is decided by the native verifier of the nodes, so its verdicts must never change
 * with a new version of Node. If running this changes the file, that version must not be used.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { ed25519, ED25519_TORSION_SUBGROUP } from "@noble/curves/ed25519.js"
import { sha512 } from "@noble/hashes/sha2.js"
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import { concatBytes } from "../../protocol/bytes.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"
import { nativeSuite } from "../../node/suite.ts"

const { Point } = ed25519
const { Fn } = Point
const encoder = new TextEncoder()
const PUBLISHED = "cctv/ed25519vectors.json"

/** The encodings of the eight points of small order that are not the shortest. */
const NON_CANONICAL = [
  `01${"00".repeat(30)}80`,
  `ec${"ff".repeat(30)}ff`,
  `ed${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}ff`,
  `ee${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}ff`,
]
const SMALL_ORDER = [...ED25519_TORSION_SUBGROUP, ...NON_CANONICAL]

interface EdgeCase {
  readonly name: string
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

function scalarBytes(scalar: bigint): Uint8Array {
  const out = new Uint8Array(32)
  for (let index = 0, rest = scalar; index < 32; index++, rest >>= 8n) {
    out[index] = Number(rest & 0xffn)
  }
  return out
}

function challenge(commitment: Uint8Array, publicKey: Uint8Array, message: Uint8Array): bigint {
  const digest = sha512(concatBytes(commitment, publicKey, message))
  return Fn.create(digest.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n))
}

/** The equation of RFC 8032 with key, commitment and their secrets chosen freely. */
function forge(
  name: string,
  parts: { key: Uint8Array; commitment: Uint8Array; a: bigint; r: bigint; message: Uint8Array },
  change: (scalar: bigint) => bigint = (scalar) => scalar,
): EdgeCase {
  const k = challenge(parts.commitment, parts.key, parts.message)
  const scalar = change(Fn.create(parts.r + k * parts.a))
  const signature = concatBytes(parts.commitment, scalarBytes(scalar))
  return { name, publicKey: parts.key, message: parts.message, signature }
}

/** The first numbered message whose challenge is a multiple of eight, or is not. */
function messageWhere(key: Uint8Array, commitment: Uint8Array, multiple: boolean): Uint8Array {
  for (let index = 0; ; index++) {
    const message = encoder.encode(`edge ${index}`)
    if ((challenge(commitment, key, message) % 8n === 0n) === multiple) return message
  }
}

function edgeCases(): readonly EdgeCase[] {
  const [a, r] = [0x1234567890abcdefn ** 3n, 0xfedcba0987654321n ** 3n]
  const [key, commitment] = [Point.BASE.multiply(a), Point.BASE.multiply(r)].map((p) => p.toBytes())
  const torsion = Point.fromHex(ED25519_TORSION_SUBGROUP[1] ?? "")
  const mixedKey = Point.BASE.multiply(a).add(torsion).toBytes()
  const mixedCommitment = Point.BASE.multiply(r).add(torsion).toBytes()
  const message = encoder.encode("edge")
  const identity = Point.ZERO.toBytes()
  const identityAgain = hexToBytes(`ee${"ff".repeat(30)}7f`)
  const notCanonical = new Uint8Array(32).fill(255)
  if (key === undefined || commitment === undefined) throw new Error("two points were made")
  const plain = { key, commitment, a, r, message }
  const mixed = { ...plain, key: mixedKey }
  const multiple = messageWhere(mixedKey, commitment, true)
  const other = messageWhere(mixedKey, commitment, false)
  const reEncoded = forge("", { ...plain, key: identity, a: 0n })
  return [
    forge("a valid signature", plain),
    forge("scalar plus the group order", plain, (scalar) => scalar + Fn.ORDER),
    forge("scalar with its top bits set", plain, (scalar) => scalar | (7n << 253n)),
    forge("scalar one too large", plain, (scalar) => scalar + 1n),
    forge("scalar equal to the group order", { ...plain, a: 0n, r: 0n }, () => Fn.ORDER),
    forge("mixed-order key, valid with the cofactor only", { ...mixed, message: other }),
    forge("mixed-order key, valid without the cofactor", { ...mixed, message: multiple }),
    forge("mixed-order commitment", { ...plain, commitment: mixedCommitment }),
    forge("key is the identity", { ...plain, key: identity, a: 0n }),
    forge("key is the identity, not canonical", { ...plain, key: identityAgain, a: 0n }),
    { ...reEncoded, name: "hashed with another encoding of the key", publicKey: identityAgain },
    forge("commitment is the identity", { ...plain, commitment: identity, r: 0n }),
    forge("commitment is the identity, not canonical", {
      ...plain,
      commitment: identityAgain,
      r: 0n,
    }),
    forge("key is no point", { ...plain, key: notCanonical }),
    forge("commitment is no point", { ...plain, commitment: notCanonical }),
  ]
}

function gridVerdicts(suite: Suite, message: Uint8Array): readonly string[] {
  return SMALL_ORDER.map((key) =>
    SMALL_ORDER.map((commitment) => {
      const signature = concatBytes(hexToBytes(commitment), new Uint8Array(32))
      return suite.ed25519Verify(hexToBytes(key), message, signature) ? "1" : "0"
    }).join(""),
  )
}

interface PublishedCase {
  readonly key: string
  readonly sig: string
  readonly msg: string
}

/** One character a case, for the published file, when it is there. */
function publishedVerdicts(suite: Suite): string | undefined {
  const path = `${process.env["TARBARTA_DATA"] ?? ""}/vectors/${PUBLISHED}`
  if (!existsSync(path)) return undefined
  const cases = JSON.parse(readFileSync(path, "utf8")) as readonly PublishedCase[]
  return cases
    .map(({ key, sig, msg }) =>
      suite.ed25519Verify(hexToBytes(key), encoder.encode(msg), hexToBytes(sig)) ? "1" : "0",
    )
    .join("")
}

const grid = encoder.encode("grid")
const content = {
  cases: edgeCases().map(({ name, publicKey, message, signature }) => ({
    name,
    publicKey: bytesToHex(publicKey),
    message: bytesToHex(message),
    signature: bytesToHex(signature),
    native: nativeSuite.ed25519Verify(publicKey, message, signature),
    portable: portableSuite.ed25519Verify(publicKey, message, signature),
  })),
  grid: {
    message: bytesToHex(grid),
    encodings: SMALL_ORDER,
    native: gridVerdicts(nativeSuite, grid),
    portable: gridVerdicts(portableSuite, grid),
  },
  published: {
    file: PUBLISHED,
    native: publishedVerdicts(nativeSuite),
    portable: publishedVerdicts(portableSuite),
  },
}
writeFileSync(
  new URL("ed25519-edge.json", import.meta.url),
  `${JSON.stringify(content, null, 2)}\n`,
)

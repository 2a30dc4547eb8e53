/** Validity at the edge of RFC 8032: frozen for both verifiers (test/vectors/ed25519-edge.json). */

import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import { isSoundPoint } from "../../protocol/ed25519.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { hex, readFrozen, publishedVectors } from "../support/vectors.ts"

interface Frozen {
  readonly cases: readonly {
    readonly name: string
    readonly publicKey: string
    readonly message: string
    readonly signature: string
    readonly native: boolean
    readonly portable: boolean
  }[]
  readonly grid: Verdicts<readonly string[]> & {
    readonly message: string
    readonly encodings: readonly string[]
  }
  readonly published: Verdicts<string>
}

interface Verdicts<T> {
  readonly native: T
  readonly portable: T
}

interface PublishedCase {
  readonly key: string
  readonly sig: string
  readonly msg: string
}

const frozen = readFrozen("ed25519-edge.json") as Frozen

describe.each([portableSuite, nativeSuite])("the $name verifier", (suite) => {
  it(`keeps its verdicts on ${frozen.cases.length} edge cases`, () => {
    for (const { name, publicKey, message, signature, ...verdicts } of frozen.cases) {
      const verdict = suite.ed25519Verify(hex(publicKey), hex(message), hex(signature))
      expect(verdict, name).toBe(verdicts[suite.name])
    }
  })

  const { encodings, message } = frozen.grid
  it(`refuses all ${encodings.length ** 2} pairs of small-order key and commitment`, () => {
    for (const [row, key] of encodings.entries()) {
      const verdicts = encodings.map((commitment) => {
        const signature = concatBytes(hex(commitment), new Uint8Array(32))
        return suite.ed25519Verify(hex(key), hex(message), signature) ? "1" : "0"
      })
      expect(verdicts.join("")).toBe("0".repeat(encodings.length))
      expect(verdicts.join("")).toBe(frozen.grid[suite.name][row])
    }
  })

  const published = publishedVectors<readonly PublishedCase[]>({
    file: "cctv/ed25519vectors.json",
    count: (cases) => cases.length,
  })
  it(published.name("keeps its verdicts on the published edge cases"), (task) => {
    const cases = published.read(task)
    const verdicts = cases.map(({ key, sig, msg }) => {
      const message = new TextEncoder().encode(msg)
      return suite.ed25519Verify(hex(key), message, hex(sig)) ? "1" : "0"
    })
    expect(verdicts.join("")).toBe(frozen.published[suite.name])
  })

  it("answers false to keys and signatures of any other length", () => {
    const seed = new Uint8Array(32).fill(7)
    const key = suite.ed25519PublicKey(seed)
    const signature = suite.ed25519Sign(seed, seed)
    expect(suite.ed25519Verify(key, seed, signature)).toBe(true)
    for (const length of [0, 31, 33, 63, 65]) {
      expect(suite.ed25519Verify(resize(key, length), seed, signature)).toBe(false)
      expect(suite.ed25519Verify(key, seed, resize(signature, length))).toBe(false)
    }
  })
})

describe("sound points", () => {
  it("are never of small order, in any encoding", () => {
    for (const encoding of frozen.grid.encodings) expect(isSoundPoint(hex(encoding))).toBe(false)
  })

  it("have a reduced coordinate", () => {
    const prime = hex(`ed${"ff".repeat(30)}7f`)
    for (let above = 0; above < 19; above++) {
      const encoding = Uint8Array.from(prime)
      encoding[0] = 0xed + above
      expect(isSoundPoint(encoding)).toBe(false)
    }
    const below = Uint8Array.from(prime)
    below[0] = 0xeb
    expect(isSoundPoint(below)).toBe(true)
  })

  it("include the keys of seeds", () => {
    for (let byte = 0; byte < 20; byte++) {
      const key = nativeSuite.ed25519PublicKey(new Uint8Array(32).fill(byte))
      expect(isSoundPoint(key)).toBe(true)
    }
  })
})

function resize(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  out.set(bytes.subarray(0, length))
  return out
}

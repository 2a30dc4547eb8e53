import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js"
import { sha256 } from "@noble/hashes/sha2.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  appendLeaves,
  consistencyProof,
  decodeFrontier,
  EMPTY_FRONTIER,
  EMPTY_ROOT,
  encodeFrontier,
  frontierRoot,
  hashEncodedLeaves,
  hashLeaves,
  hashLevel,
  hashPackedLeaves,
  inclusionProof,
  leafHash,
  nodeHash,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
  type Frontier,
  type HashSource,
} from "../../ledger/merkle.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))
const folder = `${process.env["TARBARTA_DATA"] ?? `${repository}/../shared/data`}/vectors/merkle`
const hasVectors = existsSync(`${folder}/reference_tree.json`)

interface InclusionVector {
  readonly name: string
  readonly leafIdx: number
  readonly treeSize: number
  readonly root: string
  readonly leafHash: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

interface ConsistencyVector {
  readonly name: string
  readonly size1: number
  readonly size2: number
  readonly root1: string
  readonly root2: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

interface ReferenceTree {
  readonly leaf_inputs_hex: readonly string[]
  readonly node_hashes_hex: readonly (readonly string[])[]
  readonly root_hashes_hex_by_size: readonly string[]
}

function jsonLines(name: string): unknown[] {
  if (!hasVectors) return []
  const lines = readFileSync(`${folder}/${name}`, "utf8").split("\n")
  return lines.filter((line) => line !== "").map((line): unknown => JSON.parse(line))
}

const base64 = (text: string | null): Uint8Array =>
  new Uint8Array(Buffer.from(text ?? "", "base64"))

/** RFC 6962 §2.1 as it is written. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array(0))
  if (leaves.length === 1) return sha256(concatBytes(Uint8Array.of(0), leaves[0] ?? EMPTY_ROOT))
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  const left = naiveRoot(leaves.slice(0, split))
  return sha256(concatBytes(Uint8Array.of(1), left, naiveRoot(leaves.slice(split))))
}

const leafOf = (index: number): Uint8Array => new Uint8Array(54).map((_, i) => index * 31 + i * 7)

/** A stored tree: every complete subtree's hash, as the sink of appendLeaves hears of them. */
class StoredTree {
  readonly nodes = new Map<string, Uint8Array>()
  readonly roots: Uint8Array[] = [EMPTY_ROOT]
  frontier: Frontier = EMPTY_FRONTIER

  readonly source: HashSource = (level, index) => {
    const hash = this.nodes.get(`${level}/${index}`)
    if (hash === undefined) throw new Error(`no node ${level}/${index}`)
    return hash
  }

  append(leaves: Uint8Array): void {
    this.frontier = appendLeaves(this.frontier, leaves, (level, index, hashes) => {
      for (let i = 0; i < hashes.length / 32; i++) {
        const key = `${level}/${index + i}`
        if (this.nodes.has(key)) throw new Error(`node ${key} was completed twice`)
        this.nodes.set(key, hashes.slice(i * 32, i * 32 + 32))
      }
    })
    this.roots[this.frontier.size] = frontierRoot(this.frontier)
  }
}

function grownTree(size: number): StoredTree {
  const tree = new StoredTree()
  for (let i = 0; i < size; i++) tree.append(leafHash(leafOf(i)))
  return tree
}

const tree300 = grownTree(300)

const where = hasVectors ? "" : " (skipped: no vectors/merkle in TARBARTA_DATA or ../shared/data)"

describe(`published vectors of RFC 6962 trees${where}`, () => {
  const inclusion = jsonLines("inclusion.jsonl") as InclusionVector[]
  const consistency = jsonLines("consistency.jsonl") as ConsistencyVector[]

  it.runIf(hasVectors)(
    `inclusion.jsonl: all ${inclusion.length} proofs pass or fail as wanted`,
    () => {
      expect(inclusion).toHaveLength(55)
      const results = new Map<string, boolean>()
      for (const vector of inclusion) {
        const path = (vector.proof ?? []).map(base64)
        const [leaf, root] = [base64(vector.leafHash), base64(vector.root)]
        const { leafIdx, treeSize } = vector
        const code = refusal(() => verifyInclusion(leaf, leafIdx, treeSize, path, root))
        results.set(vector.name, code === (vector.wantErr ? "TREE_INCLUSION" : undefined))
      }
      expect([...results].filter(([, isRight]) => !isRight)).toEqual([])
    },
  )

  it.runIf(hasVectors)(
    `consistency.jsonl: all ${consistency.length} proofs pass or fail as wanted`,
    () => {
      expect(consistency).toHaveLength(38)
      const results = new Map<string, boolean>()
      for (const vector of consistency) {
        const proof = (vector.proof ?? []).map(base64)
        const [root1, root2] = [base64(vector.root1), base64(vector.root2)]
        const { size1, size2 } = vector
        const code = refusal(() => verifyConsistency(size1, root1, size2, root2, proof))
        results.set(vector.name, code === (vector.wantErr ? "TREE_CONSISTENCY" : undefined))
      }
      expect([...results].filter(([, isRight]) => !isRight)).toEqual([])
    },
  )

  it.runIf(hasVectors)("reference_tree.json: 8 leaves, 15 nodes, 9 roots", () => {
    const text = readFileSync(`${folder}/reference_tree.json`, "utf8")
    const reference = JSON.parse(text) as ReferenceTree
    const leaves = reference.leaf_inputs_hex.map(hexToBytes)
    // The first leaf is empty, which no entry is: its hash is taken from the list.
    const first = hexToBytes(reference.node_hashes_hex[0]?.[0] ?? "")
    const tree = new StoredTree()
    const root = (size: number): string => bytesToHex(tree.roots[size] ?? EMPTY_ROOT)
    for (const [index, leaf] of leaves.entries()) {
      expect(root(index)).toBe(reference.root_hashes_hex_by_size[index])
      tree.append(index === 0 ? first : leafHash(leaf))
    }
    expect(root(8)).toBe(reference.root_hashes_hex_by_size[8])
    for (const [level, hashes] of reference.node_hashes_hex.entries()) {
      for (const [index, hash] of hashes.entries()) {
        expect(bytesToHex(tree.source(level, index))).toBe(hash)
      }
    }
    expect(tree.nodes.size).toBe(15)
  })
})

describe("the tree against RFC 6962 as it is written", () => {
  it("has the same root at every size from 0 to 300", () => {
    const leaves = Array.from({ length: 300 }, (_, i) => leafOf(i))
    for (let size = 0; size <= 300; size++) {
      const expected = bytesToHex(naiveRoot(leaves.slice(0, size)))
      expect(bytesToHex(tree300.roots[size] ?? EMPTY_ROOT)).toBe(expected)
      expect(bytesToHex(treeRoot(tree300.source, size))).toBe(expected)
    }
  })

  it("has the same root at 2^k - 1, 2^k and 2^k + 1 for k up to 12, appended at once", () => {
    for (let k = 1; k <= 12; k++) {
      for (const size of [2 ** k - 1, 2 ** k, 2 ** k + 1]) {
        const leaves = Array.from({ length: size }, (_, i) => leafOf(i))
        const frontier = appendLeaves(EMPTY_FRONTIER, hashLeaves(leaves))
        expect(bytesToHex(frontierRoot(frontier))).toBe(bytesToHex(naiveRoot(leaves)))
      }
    }
  })

  it("does not care how the leaves are cut into appends", () => {
    const leaves = Array.from({ length: 300 }, (_, i) => leafOf(i))
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 20 }), (cuts) => {
        const tree = new StoredTree()
        let done = 0
        for (const cut of cuts) {
          const end = Math.min(done + cut, 300)
          tree.append(hashLeaves(leaves.slice(done, end)))
          done = end
        }
        expect(tree.frontier.size).toBe(done)
        expect(frontierRoot(tree.frontier)).toEqual(tree300.roots[done])
        expect(treeRoot(tree.source, done)).toEqual(tree300.roots[done])
      }),
      { numRuns: 60 },
    )
  })

  it("hashes packed leaves, mixed lengths and odd levels alike", () => {
    const mixed = [1, 54, 54, 55, 56, 63, 64, 119, 120, 65_535].map((n) =>
      new Uint8Array(n).fill(n),
    )
    const hashes = hashLeaves(mixed)
    for (const [i, leaf] of mixed.entries()) {
      const expected = sha256(concatBytes(Uint8Array.of(0), leaf))
      expect(hashes.slice(i * 32, i * 32 + 32)).toEqual(expected)
      expect(hashPackedLeaves(leaf, leaf.length)).toEqual(expected)
    }
    const encoded = mixed.flatMap((leaf) => [
      Uint8Array.of(leaf.length >>> 8, leaf.length & 0xff),
      leaf,
    ])
    expect(hashEncodedLeaves(concatBytes(...encoded))).toEqual(hashes)
    expect(hashEncodedLeaves(new Uint8Array(0))).toHaveLength(0)
    const level = hashLevel(hashes.slice(0, 5 * 32))
    expect(level).toHaveLength(2 * 32)
    expect(level.slice(32)).toEqual(nodeHash(hashes.slice(64, 96), hashes.slice(96, 128)))
  })
})

describe("inclusion proofs", () => {
  it("verify for every leaf of every tree of 1 to 70 leaves, and for no other leaf", () => {
    for (let size = 1; size <= 70; size++) {
      const root = tree300.roots[size] ?? EMPTY_ROOT
      for (let index = 0; index < size; index++) {
        const path = inclusionProof(tree300.source, index, size)
        const leaf = leafHash(leafOf(index))
        verifyInclusion(leaf, index, size, path, root)
        const other = (index + 1) % size
        if (other === index) continue
        expect(refusal(() => verifyInclusion(leaf, other, size, path, root))).toBe("TREE_INCLUSION")
      }
    }
  })

  it("are refused when they are too short, too long, changed, or have a hash of 31 bytes", () => {
    const [leaf, root] = [leafHash(leafOf(17)), tree300.roots[300] ?? EMPTY_ROOT]
    const path = inclusionProof(tree300.source, 17, 300)
    const refused = (changed: readonly Uint8Array[]): void => {
      expect(refusal(() => verifyInclusion(leaf, 17, 300, changed, root))).toBe("TREE_INCLUSION")
    }
    refused(path.slice(1))
    refused([...path, EMPTY_ROOT])
    refused(path.map((hash, i) => (i === 3 ? EMPTY_ROOT : hash)))
    refused(path.map((hash, i) => (i === 3 ? hash.slice(1) : hash)))
    expect(refusal(() => verifyInclusion(leaf, 300, 300, path, root))).toBe("TREE_INCLUSION")
    expect(refusal(() => verifyInclusion(leaf, 1.5, 300, path, root))).toBe("TREE_INCLUSION")
    verifyInclusion(leaf, 17, 300, path, root)
  })

  it("verify in trees of more than 2^32 leaves", () => {
    // All leaves equal: every complete subtree of a level has the same hash.
    const byLevel: Uint8Array[] = [leafHash(leafOf(0))]
    const source: HashSource = (level) => {
      for (let l = byLevel.length; l <= level; l++) {
        const below = byLevel[l - 1] ?? EMPTY_ROOT
        byLevel.push(nodeHash(below, below))
      }
      return byLevel[level] ?? EMPTY_ROOT
    }
    const size = 2 ** 40 + 12_345
    const root = treeRoot(source, size)
    for (const index of [0, 2 ** 33 + 7, 2 ** 40, size - 1]) {
      const path = inclusionProof(source, index, size)
      verifyInclusion(leafHash(leafOf(0)), index, size, path, root)
    }
    const old = 2 ** 39 + 5
    const proof = consistencyProof(source, old, size)
    verifyConsistency(old, treeRoot(source, old), size, root, proof)
  })
})

describe("consistency proofs", () => {
  it("verify between every two sizes from 0 to 70", () => {
    for (let newSize = 0; newSize <= 70; newSize++) {
      const newRoot = tree300.roots[newSize] ?? EMPTY_ROOT
      for (let oldSize = 0; oldSize <= newSize; oldSize++) {
        const proof = consistencyProof(tree300.source, oldSize, newSize)
        verifyConsistency(oldSize, tree300.roots[oldSize] ?? EMPTY_ROOT, newSize, newRoot, proof)
      }
    }
  })

  it("are refused for another root, another size, a missing or an extra hash", () => {
    const [oldRoot, newRoot] = [tree300.roots[77] ?? EMPTY_ROOT, tree300.roots[300] ?? EMPTY_ROOT]
    const proof = consistencyProof(tree300.source, 77, 300)
    const check = (old: number, root: Uint8Array, hashes: readonly Uint8Array[]): unknown =>
      refusal(() => verifyConsistency(old, root, 300, newRoot, hashes))
    expect(check(77, oldRoot, proof)).toBeUndefined()
    expect(check(78, oldRoot, proof)).toBe("TREE_CONSISTENCY")
    expect(check(77, newRoot, proof)).toBe("TREE_CONSISTENCY")
    expect(check(77, oldRoot, proof.slice(1))).toBe("TREE_CONSISTENCY")
    expect(check(77, oldRoot, [...proof, EMPTY_ROOT])).toBe("TREE_CONSISTENCY")
    expect(check(301, oldRoot, proof)).toBe("TREE_CONSISTENCY")
    expect(check(0, oldRoot, [])).toBe("TREE_CONSISTENCY")
    expect(check(0, EMPTY_ROOT, [])).toBeUndefined()
  })
})

describe("frontiers", () => {
  it("come back from their bytes and go on growing", () => {
    for (const size of [0, 1, 2, 3, 77, 255, 256, 300]) {
      const leaves = Array.from({ length: size }, (_, i) => leafOf(i))
      const frontier = appendLeaves(EMPTY_FRONTIER, hashLeaves(leaves))
      const decoded = decodeFrontier(encodeFrontier(frontier))
      expect(decoded).toEqual(frontier)
      const grown = appendLeaves(decoded, leafHash(leafOf(size)))
      expect(frontierRoot(grown)).toEqual(naiveRoot([...leaves, leafOf(size)]))
    }
  })

  it("decode canonically or are refused with a code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const verdict = decoding(bytes, decodeFrontier, encodeFrontier)
        expect(verdict).toMatch(/^(canonical$|(CODEC|TREE)_)/)
      }),
    )
    const frontier = encodeFrontier(appendLeaves(EMPTY_FRONTIER, leafHash(leafOf(0))))
    expect(refusal(() => decodeFrontier(frontier.slice(0, -1)))).toBe("TREE_FRONTIER")
  })
})

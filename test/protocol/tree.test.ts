import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { buildTree, hashLeaf, isInTree } from "../../protocol/tree.ts"
import { suite } from "../support/suites.ts"

// The eight leaves and roots that Certificate Transparency's implementations share.
const LEAVES = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
]
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

function leavesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => hashLeaf(suite, Uint8Array.of(index)))
}

describe("trees", () => {
  it("have the roots of RFC 6962 for one to eight leaves", () => {
    const leaves = LEAVES.map((hex) => hashLeaf(suite, hexToBytes(hex)))
    const roots = LEAVES.map((_, last) => buildTree(suite, leaves.slice(0, last + 1)).root)
    expect(roots.map((root) => bytesToHex(root))).toEqual(ROOTS)
  })

  it("place every leaf by its path, for every size up to 70", () => {
    for (let count = 1; count <= 70; count++) {
      const leaves = leavesOf(count)
      const tree = buildTree(suite, leaves)
      for (const [index, leaf] of leaves.entries()) {
        const path = tree.pathOf(index)
        expect(isInTree(suite, leaf, index, count, path, tree.root)).toBe(true)
      }
    }
  })

  it("place no leaf elsewhere, no other leaf, and nothing by a path of another length", () => {
    for (const count of [1, 2, 3, 7, 8, 9, 128]) {
      const leaves = leavesOf(count)
      const { root, pathOf } = buildTree(suite, leaves)
      const strange = hashLeaf(suite, Uint8Array.of(1, 2, 3))
      for (const [index, leaf] of leaves.entries()) {
        const path = pathOf(index)
        expect(isInTree(suite, strange, index, count, path, root)).toBe(false)
        expect(isInTree(suite, leaf, index + 1, count, path, root)).toBe(false)
        expect(isInTree(suite, leaf, index - 1, count, path, root)).toBe(false)
        expect(isInTree(suite, leaf, index, count, path.subarray(32), root)).toBe(count === 1)
        const longer = new Uint8Array(path.length + 32)
        longer.set(path)
        expect(isInTree(suite, leaf, index, count, longer, root)).toBe(false)
      }
    }
  })

  it("keep leaves and nodes apart: a node does not pass as a leaf", () => {
    const leaves = leavesOf(4)
    const { root, pathOf } = buildTree(suite, leaves)
    const half = buildTree(suite, leaves.slice(0, 2)).root
    expect(isInTree(suite, half, 0, 2, pathOf(0).subarray(32), root)).toBe(true)
    expect(isInTree(suite, hashLeaf(suite, half), 0, 2, pathOf(0).subarray(32), root)).toBe(false)
  })
})

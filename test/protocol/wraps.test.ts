import { describe, expect, it } from "vitest"
import { epochKeyHash } from "../../protocol/keys.ts"
import {
  buildWrapsTree,
  openWrap,
  sealWrap,
  verifyWrapPath,
  wrapLeaf,
  wrapPositions,
  type Wrap,
} from "../../protocol/wraps.ts"
import { World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const world = new World(suite, "wraps")
const coreHash = world.random(32)
const secret = world.random(32)

function wrapTo(rid: number): Wrap {
  const { epochKey, epoch } = world.dhaka
  const target = { rid, epoch, ekHash: epochKeyHash(suite, epochKey) }
  const wrap = sealWrap(suite, epochKey, target, coreHash, secret, world.random)
  return { ...target, precedence: "flash", wrap }
}

describe("a wrap", () => {
  const wrap = wrapTo(1)
  const seed = world.dhaka.epochSeed

  it("is 1,168 bytes and gives the secret to the key it was sealed to", () => {
    expect(wrap.wrap).toHaveLength(1_168)
    expect(openWrap(suite, seed, wrap, coreHash)).toEqual(secret)
  })

  it("opens for no other key, mission, epoch, key hash or core", () => {
    const other = new Uint8Array(32)
    const codes = [
      refusal(() => openWrap(suite, world.lisbon.epochSeed, wrap, coreHash)),
      refusal(() => openWrap(suite, seed, { ...wrap, rid: 2 }, coreHash)),
      refusal(() => openWrap(suite, seed, { ...wrap, epoch: wrap.epoch + 1 }, coreHash)),
      refusal(() => openWrap(suite, seed, { ...wrap, ekHash: other }, coreHash)),
      refusal(() => openWrap(suite, seed, wrap, other)),
    ]
    expect(codes).toEqual(codes.map(() => "ENVELOPE_WRAP"))
  })

  it("has a leaf that covers everything but the core", () => {
    const leaf = wrapLeaf(suite, wrap)
    const changes: Partial<Wrap>[] = [
      { rid: 2 },
      { epoch: 0 },
      { ekHash: new Uint8Array(32) },
      { precedence: "override" },
      { wrap: new Uint8Array(1_168) },
    ]
    for (const change of changes) {
      expect(wrapLeaf(suite, { ...wrap, ...change })).not.toEqual(leaf)
    }
  })

  it("that holds anything but 32 bytes is refused even if it opens", () => {
    const target = { rid: 1, epoch: 1, ekHash: new Uint8Array(32) }
    const long = sealWrap(
      suite,
      world.dhaka.epochKey,
      target,
      coreHash,
      world.random(33),
      world.random,
    )
    expect(refusal(() => openWrap(suite, seed, { ...target, wrap: long }, coreHash))).toBe(
      "ENVELOPE_WRAP",
    )
  })
})

describe("positions in the wraps tree", () => {
  it("are a permutation of 0 … 127 that secret and core decide", () => {
    const positions = wrapPositions(suite, secret, coreHash)
    expect(positions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 128 }, (_, i) => i))
    expect(wrapPositions(suite, secret, coreHash)).toEqual(positions)
    expect(wrapPositions(suite, world.random(32), coreHash)).not.toEqual(positions)
    expect(wrapPositions(suite, secret, world.random(32))).not.toEqual(positions)
  })

  it("put every addressee everywhere equally often, as far as 2,000 secrets show", () => {
    const counts = Array.from({ length: 128 }, () => 0)
    for (let round = 0; round < 2_000; round++) {
      const [first] = wrapPositions(suite, world.random(32), coreHash)
      counts[first ?? 0] = (counts[first ?? 0] ?? 0) + 1
    }
    // 15.6 expected; 50 is far beyond nine standard deviations of a fair shuffle.
    expect(Math.max(...counts)).toBeLessThan(50)
    expect(counts.filter((count) => count === 0)).toEqual([])
  })
})

describe("the wraps tree", () => {
  it("gives every path seven hashes, however many addressees there are", () => {
    const wraps = [wrapTo(1), wrapTo(2), wrapTo(3)]
    for (const count of [1, 2, 3]) {
      const some = wraps.slice(0, count)
      const leaves = some.map((wrap) => wrapLeaf(suite, wrap))
      const tree = buildWrapsTree(suite, secret, coreHash, leaves)
      for (const [rank, wrap] of some.entries()) {
        const path = tree.pathOf(rank)
        expect(path).toHaveLength(224)
        verifyWrapPath(suite, wrap, tree.indexOf(rank), path, tree.root)
      }
    }
  })

  it("has another root for every other set of leaves, order or secret", () => {
    const a = world.random(32)
    const b = world.random(32)
    const roots = [
      buildWrapsTree(suite, secret, coreHash, [a, b]).root,
      buildWrapsTree(suite, secret, coreHash, [b, a]).root,
      buildWrapsTree(suite, secret, coreHash, [a]).root,
      buildWrapsTree(suite, secret, world.random(32), [a, b]).root,
      buildWrapsTree(suite, world.random(32), coreHash, [a, b]).root,
    ]
    expect(new Set(roots.map((root) => root.join())).size).toBe(5)
  })

  it("refuses a wrap at another place, another wrap, and a path with one bit changed", () => {
    const wrap = wrapTo(1)
    const tree = buildWrapsTree(suite, secret, coreHash, [wrapLeaf(suite, wrap)])
    const index = tree.indexOf(0)
    const path = tree.pathOf(0)
    const bent = path.slice()
    bent[100] = (bent[100] ?? 0) ^ 1
    const codes = [
      refusal(() => verifyWrapPath(suite, wrap, index ^ 1, path, tree.root)),
      refusal(() => verifyWrapPath(suite, wrapTo(1), index, path, tree.root)),
      refusal(() => verifyWrapPath(suite, wrap, index, bent, tree.root)),
      refusal(() => verifyWrapPath(suite, wrap, index, path, coreHash)),
    ]
    expect(codes).toEqual(codes.map(() => "ENVELOPE_PATH"))
    verifyWrapPath(suite, wrap, index, path, tree.root)
  })
})

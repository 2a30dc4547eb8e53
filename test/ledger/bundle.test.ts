import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { decodeEntry, encodeEntry } from "../../protocol/entry.ts"
import {
  acceptEntries,
  bundlePath,
  decodeBundle,
  decodeFinalHeader,
  decodeHolder,
  encodeBundle,
  encodeFinalHeader,
  encodeHolder,
  runsOf,
  verifyBundle,
  verifyHolder,
  type FinalHeader,
  type Holder,
} from "../../ledger/bundle.ts"
import { blockHash, leavesOf, type FinalBlock, type Header } from "../../ledger/block.ts"
import { acceptBlock, genesisHead, type ChainHead } from "../../ledger/chain.ts"
import {
  appendLeaves,
  EMPTY_FRONTIER,
  frontierRoot,
  hashLeaves,
  inclusionProof,
} from "../../ledger/merkle.ts"
import { decoding } from "../support/canonical.ts"
import {
  batch,
  CAPITAL,
  CHAIN_ID,
  chainOf,
  finalize,
  flipped,
  linkedBlocksOn,
  LISBON,
  NAIROBI,
  named,
  RULES,
} from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const start = chainOf([
  [batch(LISBON, 1, 200), batch(NAIROBI, 1, 100)],
  [batch(CAPITAL, 1, 30)],
  [batch(LISBON, 201, 250)],
])
const linked = linkedBlocksOn(start.head, [[batch(NAIROBI, 101, 40)], []])
const blocks: readonly FinalBlock[] = [...start.blocks, ...linked]
const leaves = blocks.flatMap(({ block }) => leavesOf(block.batches))
const finals: readonly FinalHeader[] = blocks.map(({ block, certificate, links }) => {
  return { header: block.header, certificate, links }
})
/** After each block. */
const heads = blocks.reduce<ChainHead[]>((found, final) => {
  const head = found.at(-1) ?? genesisHead(CHAIN_ID)
  return [...found, acceptBlock(suite, head, final, RULES)]
}, [])
const newest = finals[4] ?? at(0)
const genesis = genesisHead(CHAIN_ID)

function at(index: number): FinalHeader {
  const final = finals[index]
  if (final === undefined) throw new Error("no such block")
  return final
}

function holderAt(index: number): Holder {
  return { ...at(index), parent: index === 0 ? undefined : at(index - 1).header }
}

/** Path of a bundle's first leaf in the tree of a header. */
function pathOf(number: number, { treeSize }: Header): readonly Uint8Array[] {
  const nodes = new Map<string, Uint8Array>()
  const packed = hashLeaves(leaves.slice(0, treeSize))
  appendLeaves(EMPTY_FRONTIER, packed, (level, first, hashes) => {
    for (let i = 0; i < hashes.length / 32; i++) {
      nodes.set(`${level}/${first + i}`, hashes.slice(i * 32, i * 32 + 32))
    }
  })
  const source = (level: number, index: number): Uint8Array =>
    nodes.get(`${level}/${index}`) ?? named("no")
  return bundlePath(inclusionProof(source, number * 256, treeSize))
}

describe("a whole bundle", () => {
  it("stands in every tree that has it, and nothing else stands there", () => {
    expect(leaves).toHaveLength(620)
    for (const { header } of finals.slice(1)) {
      for (const number of [0, 1]) {
        if (header.treeSize < (number + 1) * 256) continue
        const entries = leaves.slice(number * 256, number * 256 + 256)
        const path = pathOf(number, header)
        const check = (
          changed: readonly Uint8Array[],
          other = number,
          by = path,
          under = header,
        ): unknown => refusal(() => verifyBundle(changed, other, by, under))
        expect(check(entries)).toBeUndefined()
        const wrong = entries.map((entry, place) => (place === 200 ? flipped(entry, 9) : entry))
        expect(check(wrong)).toBe("TREE_INCLUSION")
        const swapped = [...entries.slice(1, 2), ...entries.slice(0, 1), ...entries.slice(2)]
        expect(check(swapped)).toBe("TREE_INCLUSION")
        expect(check(entries, number + 5)).toBe("TREE_INCLUSION")
        expect(check(entries, number, [...path, named("more")])).toBe("TREE_INCLUSION")
        const root = { ...header, treeRoot: named("another root") }
        expect(check(entries, number, path, root)).toBe("TREE_INCLUSION")
      }
    }
  })

  it("comes back from its bytes; any bytes give entries or a code", () => {
    const entries = leaves.slice(0, 256)
    expect(decodeBundle(encodeBundle(entries), 256)).toEqual(entries)
    expect(refusal(() => decodeBundle(encodeBundle(entries), 255))).toBe("CODEC_TRAILING")
    expect(refusal(() => decodeBundle(encodeBundle(entries), 257))).toBe("CODEC_TRUNCATED")
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(4), (bytes, count) => {
        const found = decoding(bytes, (input) => decodeBundle(input, count), encodeBundle)
        expect(found).toMatch(/^(canonical$|CODEC_)/)
      }),
    )
  })
})

describe("entries up to a certified header", () => {
  const accept = (target: FinalHeader, all: readonly Uint8Array[], from = genesis): unknown =>
    refusal(() => acceptEntries(suite, from, target, all, RULES.validatorsOf))

  it("lead to the head that the blocks lead to", () => {
    for (const [index, head] of start.heads.entries()) {
      for (const [above, target] of finals.entries()) {
        if (above < index) continue
        const own = leaves.slice(head.frontier.size, target.header.treeSize)
        const found = acceptEntries(suite, head, target, own, RULES.validatorsOf)
        expect(found.head).toEqual(heads[above])
        expect(found.entries.map(encodeEntry)).toEqual(own)
      }
    }
  })

  it("are refused when one is missing, changed, too many or out of order", () => {
    expect(accept(newest, leaves)).toBeUndefined()
    expect(accept(newest, leaves.slice(1))).toBe("BLOCK_TREE")
    expect(accept(newest, leaves.slice(0, -1))).toBe("BLOCK_TREE")
    expect(accept(newest, [...leaves, ...leaves.slice(-1)])).toBe("BLOCK_TREE")
    expect(accept(newest, [...leaves].reverse())).toBe("BLOCK_TREE")
    const changed = leaves.map((leaf, place) => (place === 619 ? flipped(leaf, 300) : leaf))
    expect(accept(newest, changed)).toBe("BLOCK_TREE")
  })

  it("are refused under a header that is not final, not above, or of serials with a hole", () => {
    const { certificate } = at(2)
    expect(accept({ ...newest, certificate }, leaves)).toBe("BLOCK_CERTIFICATE")
    expect(accept(at(2), [], start.head)).toBe("BLOCK_PARENT")
    const holed = leaves.slice(0, 300).map((leaf, place) => {
      const entry = decodeEntry(suite, leaf)
      return place < 5 ? leaf : encodeEntry({ ...entry, submitterSeq: entry.submitterSeq + 1 })
    })
    const frontier = appendLeaves(EMPTY_FRONTIER, hashLeaves(holed))
    const { header } = at(0)
    const treeRoot = chainRoot(frontier.hashes)
    const block = { header: { ...header, treeRoot }, batches: [] }
    const target = { header: block.header, certificate: finalize(block), links: [] }
    expect(accept(target, holed)).toBe("BLOCK_SERIAL")
  })

  it("stand in runs of one submitter each", () => {
    const entries = leaves.map((leaf) => decodeEntry(suite, leaf))
    expect(runsOf(entries)).toEqual([
      { submitter: LISBON, firstSeq: 1, count: 200 },
      { submitter: NAIROBI, firstSeq: 1, count: 100 },
      { submitter: CAPITAL, firstSeq: 1, count: 30 },
      { submitter: LISBON, firstSeq: 201, count: 250 },
      { submitter: NAIROBI, firstSeq: 101, count: 40 },
    ])
    expect(runsOf([])).toEqual([])
  })
})

describe("the holder of an entry", () => {
  const check = (index: number, holder: Holder): unknown =>
    refusal(() => verifyHolder(suite, CHAIN_ID, index, holder, RULES.validatorsOf))

  it("is the one block whose tree has it while the tree below has not", () => {
    for (let index = 0; index < 620; index += 7) {
      for (let place = 0; place < 5; place++) {
        const { header, parent } = holderAt(place)
        const isIts = index < header.treeSize && index >= (parent?.treeSize ?? 0)
        expect(check(index, holderAt(place))).toBe(isIts ? undefined : "SYNC_ANSWER")
      }
    }
  })

  it("is refused with another header below, with none, and when it is not final", () => {
    const good = holderAt(2)
    expect(check(400, good)).toBeUndefined()
    expect(check(400, { ...good, parent: undefined })).toBe("BLOCK_PARENT")
    expect(check(400, { ...good, parent: at(0).header })).toBe("BLOCK_PARENT")
    const lower = { ...at(1).header, treeSize: 100 }
    expect(check(400, { ...good, parent: lower })).toBe("BLOCK_PARENT")
    expect(check(400, { ...good, certificate: at(1).certificate })).toBe("BLOCK_CERTIFICATE")
    const first = holderAt(0)
    expect(check(0, first)).toBeUndefined()
    expect(check(0, { ...first, parent: at(1).header })).toBe("BLOCK_PARENT")
    expect(blockHash(suite, at(0).header)).toEqual(at(1).header.parent)
  })

  it("comes back from its bytes, as final headers do; any bytes give one or a code", () => {
    for (const [place, final] of finals.entries()) {
      expect(decodeFinalHeader(encodeFinalHeader(final))).toEqual(final)
      expect(decodeHolder(encodeHolder(holderAt(place)))).toEqual(holderAt(place))
    }
    const bytes = encodeHolder(holderAt(3))
    const mutated = fc
      .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((changes) => {
        const out = bytes.slice()
        for (const [place, value] of changes) out[place] = value
        return out
      })
    const cut = fc.nat(bytes.length).map((length) => bytes.slice(0, length))
    fc.assert(
      fc.property(fc.oneof(mutated, cut), (input) => {
        expect(decoding(input, decodeHolder, encodeHolder)).toMatch(
          /^(canonical$|(CODEC|BLOCK|VOTE)_)/,
        )
        expect(decoding(input, decodeFinalHeader, encodeFinalHeader)).toMatch(
          /^(canonical$|(CODEC|BLOCK|VOTE)_)/,
        )
      }),
      { numRuns: 1_000 },
    )
  })
})

function chainRoot(hashes: readonly Uint8Array[]): Uint8Array {
  return frontierRoot({ size: 300, hashes })
}

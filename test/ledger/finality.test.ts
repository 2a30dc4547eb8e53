import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  blockHash,
  certifiedHeader,
  decodeFinalBlock,
  encodeFinalBlock,
  type FinalBlock,
  type Header,
} from "../../ledger/block.ts"
import { acceptBlock, buildBlock } from "../../ledger/chain.ts"
import { EMPTY_ROOT, frontierRoot } from "../../ledger/merkle.ts"
import { UNFINAL_BLOCKS_MAX } from "../../protocol/limits.ts"
import { decoding } from "../support/canonical.ts"
import {
  batch,
  chainOf,
  finalBlockOn,
  finalize,
  flipped,
  LISBON,
  linkedBlocksOn,
  NAIROBI,
  named,
  NOON_MS,
  RULES,
  validatorSet,
  voteOf,
} from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const chain = chainOf([[batch(LISBON, 1, 3)]])
const linked = linkedBlocksOn(chain.head, [[batch(LISBON, 4)], [batch(NAIROBI, 1)], []])
const [first] = linked
if (first === undefined) throw new Error("no blocks")

const verdict = (final: FinalBlock, rules: Partial<typeof RULES> = {}): string | undefined =>
  refusal(() => acceptBlock(suite, chain.head, final, { ...RULES, ...rules }))

describe("a block that is final through a descendant", () => {
  it("is accepted with the headers that lead to the certificate, as all blocks below it are", () => {
    let { head } = chain
    for (const final of linked) head = acceptBlock(suite, head, final, RULES)
    expect(head.height).toBe(4)
    expect(linked.map(({ links }) => links.length)).toEqual([2, 1, 0])
    const last = linked.at(-1)?.block.header
    for (const final of linked) expect(certifiedHeader(final.block.header, final)).toBe(last)
  })

  it("is refused when a link is missing, changed, repeated or out of order", () => {
    const links = (change: (links: readonly Header[]) => readonly Header[]): unknown =>
      verdict({ ...first, links: change(first.links) })
    expect(links((all) => all)).toBeUndefined()
    expect(links(() => [])).toBe("BLOCK_CERTIFICATE")
    expect(links((all) => all.slice(0, 1))).toBe("BLOCK_CERTIFICATE")
    expect(links((all) => all.slice(1))).toBe("BLOCK_CERTIFICATE")
    expect(links((all) => [...all].reverse())).toBe("BLOCK_CERTIFICATE")
    expect(links((all) => [...all, ...all.slice(-1)])).toBe("BLOCK_CERTIFICATE")
    expect(links((all) => [first.block.header, ...all])).toBe("BLOCK_CERTIFICATE")
  })

  const changes: [what: string, change: Partial<Header>][] = [
    ["another parent", { parent: named("another block") }],
    ["another height", { height: 5 }],
    ["another epoch", { epoch: 1 }],
    ["a view that is not higher", { view: 5 }],
  ]

  it.each(changes)("is refused when a certified link has %s", (_, change) => {
    const close = (header: Header): FinalBlock => {
      return { ...first, certificate: finalize({ header, batches: [] }), links: [header] }
    }
    const { block } = finalBlockOn(acceptBlock(suite, chain.head, first, RULES), [])
    const good = { ...block.header, view: 6, epoch: 0 }
    expect(first.block.header.view).toBe(3)
    expect(verdict(close(good))).toBeUndefined()
    const bad = { ...good, ...change }
    if (change.view !== undefined) bad.view = first.block.header.view
    expect(verdict(close(bad))).toBe("BLOCK_CERTIFICATE")
  })

  it("is refused under a certificate of another kind, epoch or view, or of too few", () => {
    const { certificate, links } = first
    const last = links.at(-1)
    if (last === undefined) throw new Error("no links")
    const by = (change: Partial<FinalBlock["certificate"]>): unknown =>
      verdict({ ...first, certificate: { ...certificate, ...change } })
    const { signature } = voteOf(0, "notarize", last.view, blockHash(suite, last))
    expect(by({})).toBeUndefined()
    expect(by({ kind: "notarize", signatures: [signature] })).toBe("BLOCK_CERTIFICATE")
    expect(by({ view: last.view + 1 })).toBe("BLOCK_CERTIFICATE")
    expect(by({ epoch: 1 })).toBe("BLOCK_CERTIFICATE")
    expect(by({ blockHash: blockHash(suite, first.block.header) })).toBe("BLOCK_CERTIFICATE")
    const four = validatorSet(4)
    const ofFour = linkedBlocksOn(chain.head, [[batch(LISBON, 4)], []], four)[0] ?? first
    expect(verdict(ofFour, { validatorsOf: () => four })).toBeUndefined()
    expect(verdict(first, { validatorsOf: () => four })).toBe("CERTIFICATE_BELOW_QUORUM")
    expect(verdict(first, { validatorsOf: () => undefined })).toBe("EPOCH_UNKNOWN")
  })

  it("has at most as many links as the limit says", () => {
    const closers = (count: number): FinalBlock => {
      const lists = Array.from({ length: count }, () => [])
      return linkedBlocksOn(chain.head, [[batch(LISBON, 4)], ...lists])[0] ?? first
    }
    const most = closers(UNFINAL_BLOCKS_MAX)
    expect(verdict(most)).toBeUndefined()
    const bytes = encodeFinalBlock(most)
    expect(decodeFinalBlock(suite, bytes)).toEqual(most)
    const more = closers(UNFINAL_BLOCKS_MAX + 1)
    expect(verdict(more)).toBe("BLOCK_CERTIFICATE")
    const last = more.links.at(-1)
    if (last === undefined) throw new Error("no links")
    // One header more behind the certificate than a final block may have, the length put right.
    const long = new Uint8Array(bytes.length + 166)
    long.set(bytes.subarray(0, 2 + 111 + UNFINAL_BLOCKS_MAX * 166))
    long.set(bytes.subarray(2 + 111), 2 + 111 + 166)
    new DataView(long.buffer).setUint16(0, 111 + (UNFINAL_BLOCKS_MAX + 1) * 166)
    expect(refusal(() => decodeFinalBlock(suite, long))).toBe("CODEC_LENGTH")
  })

  it("is refused with any one bit flipped", () => {
    const bytes = encodeFinalBlock(first)
    expect(verdict(decodeFinalBlock(suite, bytes))).toBeUndefined()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const code = refusal(() => {
        acceptBlock(suite, chain.head, decodeFinalBlock(suite, flipped(bytes, bit)), RULES)
      })
      expect(code, `bit ${bit}`).toBeDefined()
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeFinalBlock(first)
    const mutated = fc
      .array(fc.tuple(fc.nat(start.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((changes) => {
        const out = start.slice()
        for (const [at, value] of changes) out[at] = value
        return out
      })
    const cut = fc.nat(start.length).map((length) => start.slice(0, length))
    fc.assert(
      fc.property(fc.oneof(mutated, cut), (bytes) => {
        const found = decoding(bytes, (input) => decodeFinalBlock(suite, input), encodeFinalBlock)
        expect(found).toMatch(/^(canonical$|(CODEC|ENTRY|BATCH|BLOCK|VOTE)_)/)
      }),
      { numRuns: 2_000 },
    )
  })

  it("without links has the bytes that it always had", () => {
    const { block, certificate } = finalBlockOn(chain.head, [batch(LISBON, 4)])
    const bytes = encodeFinalBlock({ block, certificate, links: [] })
    expect(bytes[0]).toBe(0)
    expect(bytes[1]).toBe(111)
  })
})

describe("a closing block", () => {
  it("has no batches, takes a height, and leaves the tree as it was, on any head", () => {
    const start = chainOf([[]])
    expect(start.head.height).toBe(1)
    expect(start.blocks[0]?.block.header.treeRoot).toEqual(EMPTY_ROOT)
    const { block, certificate } = finalBlockOn(chain.head, [])
    expect(block.header.closing).toBe(true)
    expect(block.header.batchesHash).toEqual(suite.sha256(new Uint8Array(0)))
    const head = acceptBlock(suite, chain.head, { block, certificate, links: [] }, RULES)
    expect(head.height).toBe(2)
    expect(head.frontier).toEqual(chain.head.frontier)
    expect(frontierRoot(head.frontier)).toEqual(block.header.treeRoot)
    expect(head.serials).toEqual(chain.head.serials)
  })

  it("is refused with batches, with another tree, and a block without batches that is none", () => {
    const closing = buildBlock(suite, chain.head, 4, [], NOON_MS)
    const full = buildBlock(suite, chain.head, 4, [batch(LISBON, 4)], NOON_MS)
    const check = (block: FinalBlock["block"], change: Partial<Header> = {}): unknown => {
      const changed = { ...block, header: { ...block.header, ...change } }
      return verdict({ block: changed, certificate: finalize(changed), links: [] })
    }
    expect(check(closing)).toBeUndefined()
    expect(check(full)).toBeUndefined()
    expect(check(full, { closing: true })).toBe("BLOCK_BATCHES")
    expect(check(closing, { closing: false })).toBe("BLOCK_BATCHES")
    expect(check(closing, { batchesHash: full.header.batchesHash })).toBe("BLOCK_BATCHES")
    expect(check(closing, { treeSize: 4 })).toBe("BLOCK_TREE")
    expect(check(closing, { treeRoot: named("another root") })).toBe("BLOCK_TREE")
    expect(check(closing, { seal: true, nextEpochHash: named("next") })).toBe("BLOCK_INVALID")
  })
})

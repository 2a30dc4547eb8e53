import { utf8ToBytes } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Batch } from "../../protocol/entry.ts"
import {
  blockHash,
  decodeBlock,
  decodeFinalBlock,
  decodeHeader,
  encodeBlock,
  encodeFinalBlock,
  encodeHeader,
  type Block,
  type FinalBlock,
  type Header,
} from "../../ledger/block.ts"
import {
  acceptBlock,
  buildBlock,
  checkProposal,
  decodeHead,
  encodeHead,
  genesisHead,
  type ChainHead,
} from "../../ledger/chain.ts"
import { frontierRoot } from "../../ledger/merkle.ts"
import {
  ALONE,
  batch,
  CAPITAL,
  CHAIN_ID,
  chainOf,
  finalBlockOn,
  finalize,
  flipped,
  governance,
  LISBON,
  message,
  NAIROBI,
  named,
  NOON_MS,
  RULES,
  signed,
  submitKeyOf,
  validatorSet,
  voteOf,
} from "../support/ledger.ts"
import { decoding } from "../support/canonical.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const chain = chainOf([
  [batch(LISBON, 1, 3), batch(NAIROBI, 1)],
  [batch(CAPITAL, 1, 2)],
  [signed([message(LISBON, 4), governance(LISBON, 5, utf8ToBytes("a ballot"))])],
])

/** What the head says to this block, made final by the one validator after the change. */
function verdict(head: ChainHead, block: Block): string | undefined {
  return refusal(() =>
    acceptBlock(suite, head, { block, certificate: finalize(block), links: [] }, RULES),
  )
}

function changedHeader(block: Block, change: Partial<Header>): Block {
  return { ...block, header: { ...block.header, ...change } }
}

describe("a block", () => {
  it("has a header of 166 bytes and comes back as it was, alone and with its certificate", () => {
    for (const final of chain.blocks) {
      const header = encodeHeader(final.block.header)
      expect(header).toHaveLength(166)
      expect(decodeHeader(header)).toEqual(final.block.header)
      expect(decodeBlock(suite, encodeBlock(final.block))).toEqual(final.block)
      expect(decodeFinalBlock(suite, encodeFinalBlock(final))).toEqual(final)
    }
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeFinalBlock(chain.blocks[1] ?? finalBlockOn(chain.head, []))
    const mutated = fc
      .array(fc.tuple(fc.nat(start.length - 1), fc.nat(255)), { maxLength: 3 })
      .map((changes) => {
        const out = start.slice()
        for (const [at, value] of changes) out[at] = value
        return out
      })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        const verdict = decoding(bytes, (input) => decodeFinalBlock(suite, input), encodeFinalBlock)
        expect(verdict).toMatch(/^(canonical$|(CODEC|ENTRY|BATCH|BLOCK|VOTE)_)/)
      }),
      { numRuns: 2_000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 166, maxLength: 166 }), fc.nat(3), (bytes, flags) => {
        bytes[0] = 1
        bytes[133] = flags
        for (const at of [5, 13, 53, 125]) bytes.fill(0, at, at + 2)
        const verdict = decoding(bytes, decodeHeader, encodeHeader)
        expect(verdict).toMatch(/^(canonical$|(CODEC|BLOCK)_)/)
      }),
    )
  })

  it("is refused by a follower with any one bit flipped, in header, batches or certificate", () => {
    const [head, final] = [chain.heads[1], chain.blocks[1]]
    if (head === undefined || final === undefined) throw new Error("no such block")
    const bytes = encodeFinalBlock(final)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const code = refusal(() => {
        acceptBlock(suite, head, decodeFinalBlock(suite, flipped(bytes, bit)), RULES)
      })
      expect(code, `bit ${bit}`).toBeDefined()
    }
    expect(refusal(() => acceptBlock(suite, head, final, RULES))).toBeUndefined()
  })
})

describe("the chain", () => {
  it("grows by final blocks: height, serials and tree follow", () => {
    expect(chain.head.height).toBe(3)
    expect(chain.head.frontier.size).toBe(8)
    expect([...chain.head.serials]).toEqual([
      [LISBON, 5],
      [NAIROBI, 1],
      [CAPITAL, 2],
    ])
    const last = chain.blocks.at(-1)?.block.header
    expect(last?.treeRoot).toEqual(frontierRoot(chain.head.frontier))
    expect(last === undefined ? undefined : blockHash(suite, last)).toEqual(chain.head.hash)
  })

  it("refuses another parent, height, epoch or a view that is past", () => {
    const { block } = finalBlockOn(chain.head, [batch(LISBON, 6)])
    expect(verdict(chain.head, block)).toBeUndefined()
    const changed = (change: Partial<Header>): unknown =>
      verdict(chain.head, changedHeader(block, change))
    expect(changed({ parent: named("another block") })).toBe("BLOCK_PARENT")
    expect(changed({ height: 5 })).toBe("BLOCK_PARENT")
    expect(changed({ height: 3 })).toBe("BLOCK_PARENT")
    expect(changed({ view: 3 })).toBe("BLOCK_PARENT")
    expect(changed({ view: 9 })).toBeUndefined()
    expect(changed({ epoch: 1 })).toBe("EPOCH_UNKNOWN")
    expect(verdict(genesisHead(CHAIN_ID), block)).toBe("BLOCK_PARENT")
    expect(verdict(genesisHead(named("another chain")), block)).toBe("CERTIFICATE_SIGNATURE")
  })

  it("refuses a wrong tree root, a wrong size, and batches that are not those of the header", () => {
    const { block } = finalBlockOn(chain.head, [batch(LISBON, 6)])
    const changed = (change: Partial<Header>): unknown =>
      verdict(chain.head, changedHeader(block, change))
    expect(changed({ treeRoot: named("another root") })).toBe("BLOCK_TREE")
    expect(changed({ treeSize: 10 })).toBe("BLOCK_TREE")
    expect(changed({ batchesHash: named("other batches") })).toBe("BLOCK_BATCHES")
    expect(verdict(chain.head, { ...block, batches: [batch(LISBON, 6, 2)] })).toBe("BLOCK_BATCHES")
  })

  it("refuses a gap, a repeat and a fork in a submitter's serials", () => {
    const put = (batches: readonly Batch[]): unknown =>
      verdict(chain.head, buildBlock(suite, chain.head, 4, batches, NOON_MS))
    expect(put([batch(LISBON, 7)])).toBe("BLOCK_SERIAL")
    expect(put([batch(LISBON, 5)])).toBe("BLOCK_SERIAL")
    expect(put([batch(LISBON, 6), batch(LISBON, 6)])).toBe("BLOCK_SERIAL")
    expect(put([batch(LISBON, 6), batch(LISBON, 8)])).toBe("BLOCK_SERIAL")
    expect(put([batch(LISBON, 6, 2), batch(NAIROBI, 2), batch(LISBON, 8)])).toBeUndefined()
  })

  it("refuses a stranger's batch and a batch that its submitter did not sign", () => {
    const stranger = signed([message(99, 1)])
    const put = (batches: readonly Batch[]): unknown =>
      verdict(chain.head, buildBlock(suite, chain.head, 4, batches, NOON_MS))
    expect(put([stranger])).toBe("BLOCK_SUBMITTER")
    const good = batch(LISBON, 6)
    expect(put([{ ...good, signature: flipped(good.signature, 9) }])).toBe("BATCH_SIGNATURE")
    expect(put([{ ...good, signature: batch(NAIROBI, 2).signature }])).toBe("BATCH_SIGNATURE")
  })

  it("believes no signature but those that its caller says were verified under that very key", () => {
    const good = batch(LISBON, 6)
    const forged = { ...good, signature: flipped(good.signature, 9) }
    const block = buildBlock(suite, chain.head, 4, [good, batch(NAIROBI, 2)], NOON_MS)
    const asked: [number, Uint8Array][] = []
    const check = (one: Block, isKnown: (batch: Batch) => boolean): unknown =>
      refusal(() => {
        checkProposal(suite, chain.head, one, submitKeyOf, NOON_MS, (each, key) => {
          asked.push([each.submitter, key])
          return isKnown(each)
        })
      })
    expect(check(block, () => true)).toBeUndefined()
    expect(asked).toEqual([LISBON, NAIROBI].map((rid) => [rid, submitKeyOf(rid)]))
    const bad = buildBlock(suite, chain.head, 4, [forged, batch(NAIROBI, 2)], NOON_MS)
    expect(check(bad, (each) => each.submitter === NAIROBI)).toBe("BATCH_SIGNATURE")
    // Everything else is checked all the same.
    const other = { ...block, batches: [good, batch(NAIROBI, 2, 2)] }
    expect(check(other, () => true)).toBe("BLOCK_BATCHES")
  })

  it("refuses sealing blocks, and time that runs backwards", () => {
    const { block } = finalBlockOn(chain.head, [batch(LISBON, 6)])
    const changed = (change: Partial<Header>): unknown =>
      verdict(chain.head, changedHeader(block, change))
    expect(changed({})).toBeUndefined()
    expect(changed({ seal: true, nextEpochHash: named("next") })).toBe("BLOCK_INVALID")
    expect(changed({ timeMs: chain.head.timeMs - 1 })).toBe("BLOCK_TIME")
    const early = buildBlock(suite, chain.head, 4, [batch(LISBON, 6)], 5)
    expect(early.header.timeMs).toBe(chain.head.timeMs)
  })

  it("a validator does not vote for a block more than an hour ahead of its clock", () => {
    const block = buildBlock(suite, chain.head, 4, [batch(LISBON, 6)], NOON_MS + 3_600_001)
    const judge = (now: number): unknown =>
      refusal(() => checkProposal(suite, chain.head, block, submitKeyOf, now))
    expect(judge(NOON_MS)).toBe("BLOCK_TIME")
    expect(judge(NOON_MS + 1)).toBeUndefined()
  })

  it("a validator votes for a block that keeps its parent's time, however far ahead that is", () => {
    const now = chain.head.timeMs - 2 * 3_600_000
    const judge = (dated: number): unknown => {
      const block = buildBlock(suite, chain.head, 4, [batch(LISBON, 6)], dated)
      return refusal(() => checkProposal(suite, chain.head, block, submitKeyOf, now))
    }
    // The leader's clock may be as slow as ours: then it takes the parent's time.
    expect(judge(now)).toBeUndefined()
    expect(judge(chain.head.timeMs)).toBeUndefined()
    expect(judge(chain.head.timeMs + 1)).toBe("BLOCK_TIME")
  })
})

describe("a follower", () => {
  const { block } = finalBlockOn(chain.head, [batch(LISBON, 6)])
  const hash = blockHash(suite, block.header)
  const accept = (final: FinalBlock, rules = RULES): unknown =>
    refusal(() => acceptBlock(suite, chain.head, final, rules))

  it("refuses a certificate of another block, kind, view, epoch, or by another key", () => {
    const certificate = finalize(block)
    const { signature } = voteOf(0, "notarize", 4, hash)
    expect(accept({ block, links: [], certificate })).toBeUndefined()
    expect(
      accept({ block, links: [], certificate: { ...certificate, blockHash: named("x") } }),
    ).toBe("BLOCK_CERTIFICATE")
    expect(
      accept({
        block,
        links: [],
        certificate: { ...certificate, kind: "notarize", signatures: [signature] },
      }),
    ).toBe("BLOCK_CERTIFICATE")
    expect(accept({ block, links: [], certificate: { ...certificate, view: 5 } })).toBe(
      "BLOCK_CERTIFICATE",
    )
    expect(accept({ block, links: [], certificate: { ...certificate, epoch: 1 } })).toBe(
      "BLOCK_CERTIFICATE",
    )
    const mallory = voteOf(1, "finalize", 4, hash).signature
    expect(
      accept({ block, links: [], certificate: { ...certificate, signatures: [mallory] } }),
    ).toBe("CERTIFICATE_SIGNATURE")
    expect(
      accept({ block, links: [], certificate: { ...certificate, signers: [], signatures: [] } }),
    ).toBe("CERTIFICATE_BELOW_QUORUM")
  })

  it("refuses a certificate of a foreign epoch's validators, and an epoch it does not know", () => {
    const foreign = validatorSet(1, 1)
    const certificate = finalize(block, foreign)
    expect(accept({ block, links: [], certificate })).toBe("BLOCK_CERTIFICATE")
    const nobody = { ...RULES, validatorsOf: () => undefined }
    expect(accept({ block, links: [], certificate: finalize(block) }, nobody)).toBe("EPOCH_UNKNOWN")
    const wrongSet = { ...RULES, validatorsOf: () => foreign }
    expect(accept({ block, links: [], certificate: finalize(block) }, wrongSet)).toBe(
      "CERTIFICATE_INVALID",
    )
  })

  it("of four validators accepts three signatures and refuses one", () => {
    const four = validatorSet(4)
    const rules = { ...RULES, validatorsOf: () => four }
    expect(accept({ block, links: [], certificate: finalize(block, four) }, rules)).toBeUndefined()
    expect(accept({ block, links: [], certificate: finalize(block, ALONE) }, rules)).toBe(
      "CERTIFICATE_BELOW_QUORUM",
    )
  })
})

describe("a head", () => {
  it("comes back from its bytes and takes the next block", () => {
    for (const head of [...chain.heads, chain.head]) {
      expect(encodeHead(decodeHead(encodeHead(head)))).toEqual(encodeHead(head))
    }
    const restored = decodeHead(encodeHead(chain.head))
    const final = finalBlockOn(chain.head, [batch(LISBON, 6)])
    expect(acceptBlock(suite, restored, final, RULES).frontier.size).toBe(9)
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const start = encodeHead(chain.head)
    const mutated = fc.tuple(fc.nat(start.length - 1), fc.nat(255)).map(([at, value]) => {
      const out = start.slice()
      out[at] = value
      return out
    })
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const verdict = decoding(bytes, decodeHead, encodeHead)
        expect(verdict).toMatch(/^(canonical$|(CODEC|TREE)_)/)
      }),
      { numRuns: 1_000 },
    )
  })
})

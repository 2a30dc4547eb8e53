import { describe, expect, it } from "vitest"
import { blockHash, decodeFinalBlock, encodeFinalBlock } from "../../../ledger/block.ts"
import { signVote } from "../../../ledger/vote.ts"
import {
  decodeBlocksRequest,
  encodeBlocksAnswer,
  encodeNumber,
  PROTOCOLS,
} from "../../../protocol/wire.ts"
import { named } from "../../support/ledger.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

const VALIDATORS = 4
const LIARS = [1, 2, 3]
const HEIGHT = 3

/** A world with some blocks, in which one post alone is left. */
async function alone(seed: string, index: number): Promise<LedgerWorld> {
  const world = new LedgerWorld(6, seed, { validators: VALIDATORS })
  await world.start()
  for (let round = 0; round < HEIGHT; round++) {
    await world.during(world.node(5).submit())
    await world.untilQuiet()
  }
  for (const [at, node] of world.nodes.entries()) if (at !== index) node.crash()
  return world
}

/** A block on another parent, which three of four validators made final in a view of ours. */
async function forkOf(world: LedgerWorld, index: number, signers: number[]): Promise<Uint8Array> {
  const { suite, net, validators } = world.ministry
  const bytes = (await world.blocksOf(world.node(index))).at(-1)
  if (bytes === undefined) throw new Error("no block")
  const { block } = decodeFinalBlock(suite, bytes)
  const { view } = block.header
  const header = { ...block.header, height: HEIGHT + 1, parent: named("another block") }
  const body = { kind: "finalize", epoch: 0, view, blockHash: blockHash(suite, header) } as const
  const signatures = signers.map((signer) => {
    const keys = validators[signer]
    if (keys === undefined) throw new Error(`no validator ${signer}`)
    return signVote(net, body, signer, keys.consensus.sign).signature
  })
  const certificate = { ...body, signers, signatures }
  return encodeFinalBlock({ block: { ...block, header }, certificate, links: [] })
}

/** The last post of the world shows a block to whoever asks. */
async function show(world: LedgerWorld, index: number, block: Uint8Array): Promise<void> {
  const transport = world.network.transport(world.node(4).post.peer)
  transport.handle(PROTOCOLS.height, async () => Promise.resolve(encodeNumber(HEIGHT + 1)))
  transport.handle(PROTOCOLS.blocks, async (_, request) => {
    const { fromHeight } = decodeBlocksRequest(request)
    return Promise.resolve(encodeBlocksAnswer(fromHeight === HEIGHT + 1 ? [block] : []))
  })
  transport.setMembers([{ peer: world.node(index).post.peer, addresses: [], keep: true }])
  await transport.start()
  await world.clock.runFor(60_000)
}

function keptRows(world: LedgerWorld, index: number): string[] {
  const keys = [...world.node(index).disk.snapshot().keys()]
  return keys.filter((key) => key.startsWith("ledger/x/") && key.includes("/finalize/"))
}

describe("a final block that does not stand on ours", () => {
  for (const [who, index, refused] of [
    ["a mission", 5, undefined],
    ["a validator, which votes no more", 0, "CONSENSUS_FORK"],
  ] as const) {
    it(`leaves what names its makers with ${who}`, async () => {
      const world = await alone(`fork ${index}`, index)
      const node = world.node(index)
      expect(keptRows(world, index)).toEqual([])
      await show(world, index, await forkOf(world, index, LIARS))
      expect(node.warnings).toContain("CONSENSUS_FORK")
      expect(node.ledger.warnings()[0]).toContain("CONSENSUS_FORK")
      expect(keptRows(world, index).length).toBeGreaterThanOrEqual(2)
      const seen = await world.during(node.ledger.accusations())
      const culprits = seen.map(({ evidence }) => evidence.first.signer)
      expect(culprits.length).toBeGreaterThanOrEqual(2)
      expect(LIARS).toEqual(expect.arrayContaining(culprits))
      expect(node.height).toBe(HEIGHT)
      expect(node.failures).toEqual([])
      expect(node.refusal?.code).toBe(refused)
    })
  }

  it("is nothing when no quorum made it final: its bearer lies, and all goes on", async () => {
    const world = await alone("no fork", 0)
    await show(world, 0, await forkOf(world, 0, LIARS.slice(1)))
    const node = world.node(0)
    expect(node.warnings).toContain("CERTIFICATE_BELOW_QUORUM")
    expect(node.warnings).not.toContain("CONSENSUS_FORK")
    expect(keptRows(world, 0)).toEqual([])
    expect(node.refusal).toBeUndefined()
  })
})

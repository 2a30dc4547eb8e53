import { beforeEach, describe, expect, it } from "vitest"
import { blockHash, decodeFinalBlock } from "../../../ledger/block.ts"
import { encodeMessage, encodePacket } from "../../../ledger/message.ts"
import { encodeRun, signRun } from "../../../ledger/run.ts"
import { encodeEvidence, evidenceOf } from "../../../ledger/evidence.ts"
import { signVote, type Vote, type VoteKind } from "../../../ledger/vote.ts"
import type { ProtocolSpec } from "../../../node/network/transport.ts"
import { numberKey } from "../../../node/store/tiles.ts"
import { FORGERIES_PER_DELTA_MAX } from "../../../protocol/limits.ts"
import { encodeBlob, PROTOCOLS } from "../../../protocol/wire.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"
import { named } from "../../support/ledger.ts"

const VALIDATORS = 4
const POSTS = 6
const MINUTE_MS = 60_000
const HEAD = { epoch: 0, finalView: 0, run: new Uint8Array(16) }

let world: LedgerWorld

async function found(seed: string): Promise<void> {
  world = new LedgerWorld(POSTS, seed, { validators: VALIDATORS, link: { delayMs: 20 } })
  await world.start()
}

const mission = (): LedgerNode => world.node(POSTS - 1)

/** A mission that does not vote submits, and it becomes final everywhere that is up. */
async function record(): Promise<void> {
  await world.during(mission().submit())
  await world.untilQuiet(10 * MINUTE_MS)
}

/** The posts that are up have one chain, and it verifies. */
async function checkOneChain(): Promise<void> {
  const chains: Uint8Array[][] = []
  for (const node of world.nodes) if (node.isUp) chains.push(await world.blocksOf(node))
  for (const chain of chains) {
    const hashes = chain.map((bytes) => decodeFinalBlock(world.ministry.suite, bytes).block.header)
    const first = (chains[0] ?? []).map(
      (bytes) => decodeFinalBlock(world.ministry.suite, bytes).block.header,
    )
    expect(hashes).toEqual(first)
  }
  for (const node of world.nodes) expect(node.failures).toEqual([])
}

function voteBy(index: number, kind: VoteKind, view: number, hash: Uint8Array): Vote {
  const keys = world.ministry.validators[index]
  if (keys === undefined) throw new Error(`no validator ${index}`)
  const blockHash = kind === "nullify" ? new Uint8Array(32) : hash
  const body = { kind, epoch: 0, view, blockHash }
  return signVote(world.ministry.net, body, index, keys.consensus.sign)
}

/** Where evidence stands that a node has seen. */
function rowOf(signer: number, view: number): string {
  return ["ledger/v", ...[0, signer, view].map(numberKey)].join("/")
}

/** A peer says something by hand, in the place of its node. */
async function say(from: number, to: number, protocol: ProtocolSpec, bytes: Uint8Array) {
  const transport = world.network.transport(world.node(from).post.peer)
  const peers = world.nodes.map(({ post }) => ({ peer: post.peer, addresses: [], keep: true }))
  transport.setMembers(peers)
  await transport.start()
  await world.clock.runFor(1_000)
  return world.during(transport.request(world.node(to).post.peer, protocol, bytes))
}

describe("four validators", () => {
  beforeEach(async () => found("four"))

  it("make one chain with everybody, and are silent when nothing waits", async () => {
    for (let round = 0; round < 5; round++) await record()
    await checkOneChain()
    expect(mission().ledger.lastSeq(POSTS)).toBe(5)
    const syncs = world.nodes.map(({ wal }) => wal.syncs)
    const { height } = mission()
    await world.clock.runFor(60 * MINUTE_MS)
    expect(world.nodes.map(({ wal }) => wal.syncs)).toEqual(syncs)
    expect(mission().height).toBe(height)
  })

  it("go on without any one of them, headquarters included, which is back afterwards", async () => {
    for (let down = 0; down < VALIDATORS; down++) {
      world.node(down).crash()
      await record()
      await world.during(world.node(down).start())
      await record()
      await checkOneChain()
      expect(world.node(down).ledger.validatorStatus()?.state).toBe("voting")
    }
  })

  it("decide nothing by two, and go on at once when a third is back", async () => {
    world.node(0).crash()
    world.node(1).crash()
    await world.during(mission().submit())
    const { height } = mission()
    await world.clock.runFor(60 * MINUTE_MS)
    expect(mission().height).toBe(height)
    await world.during(world.node(1).start())
    await world.untilQuiet(MINUTE_MS)
    expect(mission().height).toBeGreaterThan(height)
    await checkOneChain()
  })

  it("come back from a cut of an hour without waiting longer for that", async () => {
    const peers = world.nodes.map(({ post }) => post.peer)
    world.network.partition([peers.slice(0, 2), peers.slice(2)])
    await world.during(mission().submit())
    await world.clock.runFor(60 * MINUTE_MS)
    world.network.heal()
    await world.untilQuiet(MINUTE_MS)
    await checkOneChain()
  })

  it("lose nothing that was final when all crash at once and one disk is gone", async () => {
    await record()
    await record()
    for (let index = 0; index < VALIDATORS; index++) world.node(index).crash()
    const empty = new LedgerWorld(POSTS, "four", { validators: VALIDATORS }).node(0)
    world.node(0).disk.restore(empty.disk.snapshot())
    world.node(0).wal.restore(empty.wal.copy())
    for (let index = 0; index < VALIDATORS; index++) await world.during(world.node(index).start())
    await record()
    await checkOneChain()
    expect(mission().ledger.lastSeq(POSTS)).toBe(3)
    expect(world.node(0).refusal?.code).toBe("VALIDATOR_KEY_DEAD")
  })

  it("bring one that was away for long up to date, and it votes again", async () => {
    world.node(2).crash()
    for (let round = 0; round < 40; round++) await record()
    await world.during(world.node(2).start())
    await world.untilQuiet(10 * MINUTE_MS)
    world.node(3).crash()
    await record()
    await checkOneChain()
  })

  for (const seed of ["slow 0", "slow 7"]) {
    it(`lose none that hears late and writes slowly, and so fetches what it judges (${seed})`, async () => {
      world = new LedgerWorld(5, seed, { validators: 4, link: { delayMs: 20 } })
      await world.start()
      const slow = world.node(2)
      slow.disk.syncMs = 400
      for (const { post } of [world.node(0), world.node(1), world.node(3)]) {
        world.network.setLink(post.peer, slow.post.peer, { jitterMs: 400 })
      }
      for (let round = 0; round < 30; round++) {
        await world.during(world.node(4).submit())
        await world.clock.runFor(300)
      }
      await world.untilQuiet(MINUTE_MS)
      expect(slow.refusal).toBeUndefined()
      expect(slow.warnings).toEqual([])
      await checkOneChain()
    })
  }

  it("go on over lines that are slower than the bound, though one of them is down", async () => {
    const link = { delayMs: 20, jitterMs: 1_100 }
    world = new LedgerWorld(5, "slower than the bound", { validators: VALIDATORS, link })
    await world.start()
    world.node(2).crash()
    const post = world.node(4)
    let height = post.height
    let pauseMs = 0
    for (let sinceMs = 0, round = 0; round < 120; round++) {
      await world.during(post.submit())
      await world.clock.runFor(1_000)
      sinceMs = post.height > height ? 0 : sinceMs + 1_000
      height = post.height
      pauseMs = Math.max(pauseMs, sinceMs)
    }
    expect(pauseMs).toBeLessThan(20_000)
    await world.untilQuiet(MINUTE_MS)
    await checkOneChain()
  }, 60_000)

  it("know every block that one of them stored while it took up its votes", async () => {
    const node = world.node(3)
    const slowly = [world.node(1), world.node(2)]
    const setLinks = (delayMs: number): void => {
      for (const { post } of slowly) {
        world.network.setLink(node.post.peer, post.peer, { delayMs }, true)
      }
    }
    await record()
    node.crash()
    await record()
    // Headquarters gives it the block at once; that it may vote is known while it writes the block.
    setLinks(2_000)
    await world.during(node.start())
    node.disk.syncMs = 20_000
    node.disk.readMs = 20_000
    await world.clock.runUntil(() => node.ledger.validatorStatus()?.state === "voting", MINUTE_MS)
    node.disk.syncMs = 1
    node.disk.readMs = 0
    setLinks(20)
    await world.untilQuiet(MINUTE_MS)
    world.node(2).crash()
    await record()
    await checkOneChain()
  })

  it("heal what rotted on one of their disks from the others", async () => {
    for (let round = 0; round < 3; round++) await record()
    const node = world.node(1)
    await world.during(node.stop())
    node.rotten.add("ledger/head")
    await world.during(node.start())
    await record()
    await checkOneChain()
    await world.during(node.ledger.verifyAll())
  })
})

describe("a validator's key", () => {
  beforeEach(async () => found("keys"))

  it("is dead when its disk was put back, and its node follows", async () => {
    const node = world.node(2)
    await record()
    const backup = { disk: node.disk.snapshot(), log: node.wal.copy() }
    await world.during(node.stop())
    await world.during(node.start())
    await record()
    node.crash()
    node.disk.restore(backup.disk)
    node.wal.restore(backup.log)
    await world.during(node.start())
    await world.clock.runUntil(() => node.refusal !== undefined, MINUTE_MS)
    expect(node.refusal?.code).toBe("VALIDATOR_KEY_DEAD")
    await record()
    await checkOneChain()
    // It is remembered, even if the peers were not there to be asked.
    await world.during(node.stop())
    await world.during(node.start())
    expect(node.refusal?.code).toBe("VALIDATOR_KEY_DEAD")
  })

  it("does not vote on a second machine that was cloned from the first", async () => {
    const node = world.node(2)
    await world.during(node.stop())
    const image = { disk: node.disk.snapshot(), log: node.wal.copy() }
    await world.during(node.start())
    await record()
    node.crash()
    node.disk.restore(image.disk)
    node.wal.restore(image.log)
    await world.during(node.start())
    await world.clock.runUntil(() => node.refusal !== undefined, MINUTE_MS)
    expect(node.refusal?.message).toContain("another machine")
  })

  it("votes again at once after a crash", async () => {
    world.node(3).crash()
    const node = world.node(2)
    node.crash()
    await world.during(node.start())
    await world.clock.runUntil(() => node.ledger.validatorStatus()?.state === "voting", 1_000)
    await record()
    await checkOneChain()
  })
})

describe("a validator that sees a final chain without a block that it has", () => {
  it("votes no more, after a restart neither, until its operator lets it", async () => {
    await found("forked")
    await record()
    const node = world.node(0)
    const { height } = node
    for (let index = 1; index < VALIDATORS; index++) world.node(index).crash()
    await showFork(node)
    expect(node.refusal?.code).toBe("CONSENSUS_FORK")
    for (let life = 0; life < 2; life++) {
      await world.during(node.stop())
      await world.during(node.start())
      await world.clock.runFor(MINUTE_MS)
      expect(node.ledger.validatorStatus()).toMatchObject({ state: "refused" })
      expect(node.refusal?.code).toBe("CONSENSUS_FORK")
    }
    expect(node.height).toBe(height)
    await world.during(node.stop())
    node.halted = undefined
    await world.during(node.start())
    for (let index = 1; index < VALIDATORS; index++) await world.during(world.node(index).start())
    await record()
    expect(node.refusal).toBeUndefined()
    expect(node.ledger.validatorStatus()?.state).toBe("voting")
  })

  /** Three of four make another block final at a height that this one has. */
  async function showFork(node: LedgerNode): Promise<void> {
    const bytes = (await world.blocksOf(node)).at(-1)
    if (bytes === undefined) throw new Error("no block")
    const { block } = decodeFinalBlock(world.ministry.suite, bytes)
    const view = block.header.view + 5
    const other = { ...block, header: { ...block.header, view } }
    const hash = blockHash(world.ministry.suite, other.header)
    const votes = [1, 2, 3].map((index) => voteBy(index, "finalize", view, hash))
    const signers = votes.map(({ signer }) => signer)
    const signatures = votes.map(({ signature }) => signature)
    const certificate = { kind: "finalize", epoch: 0, view, blockHash: hash } as const
    const packet = encodePacket(HEAD, [
      encodeMessage({ type: "certificate", certificate: { ...certificate, signers, signatures } }),
      encodeMessage({ type: "block", block: other }),
    ])
    await say(3, 0, PROTOCOLS.consensus, packet)
  }
})

describe("what a validator may not do", () => {
  beforeEach(async () => found("sins"))

  it("is kept, and recorded for everybody, when it votes for two blocks in one view", async () => {
    await record()
    const view = (world.node(0).ledger.validatorStatus()?.view ?? 0) + 1
    world.node(3).crash()
    for (const name of ["one", "other"]) {
      const vote = voteBy(3, "notarize", view, named(name))
      const packet = encodePacket(HEAD, [encodeMessage({ type: "vote", vote })])
      for (let to = 0; to < 3; to++) await say(3, to, PROTOCOLS.consensus, packet)
    }
    await world.clock.runFor(MINUTE_MS)
    const seen = await world.during(mission().ledger.accusations())
    expect(seen.map(({ evidence }) => evidence.first.signer)).toEqual([3])
    expect(seen[0]?.index).toBeTypeOf("number")
    const own = await world.during(world.node(0).ledger.accusations())
    expect(own.length).toBe(1)
  })

  it("is recorded after a crash between what was seen and its entry, and only once", async () => {
    await record()
    const view = (world.node(0).ledger.validatorStatus()?.view ?? 0) + 1
    const votes = ["one", "other"].map((name) => voteBy(3, "notarize", view, named(name)))
    const [one, other] = votes
    if (one === undefined || other === undefined) throw new Error("two votes")
    const value = encodeEvidence(world.ministry.net, evidenceOf(one, other))
    const node = world.node(1)
    await world.during(node.database.write([{ type: "put", key: rowOf(3, view), value }]))
    for (let life = 0; life < 3; life++) {
      await world.during(node.stop())
      await world.during(node.start())
      await world.clock.runFor(MINUTE_MS)
      const seen = await world.during(mission().ledger.accusations())
      expect(seen.map(({ evidence }) => evidence.first.signer)).toEqual([3])
    }
    const entries = mission().finals.flatMap(({ entries: some }) => some)
    expect(entries.filter(({ entry }) => entry.type === "evidence")).toHaveLength(1)
  })

  it("costs another a line in a minute for a flood of forged votes", async () => {
    await record()
    world.node(3).crash()
    const node = world.node(0)
    const { view = 0 } = node.ledger.validatorStatus() ?? {}
    const vote = { ...voteBy(3, "nullify", view, HEAD.run), signature: new Uint8Array(64) }
    const messages = Array.from({ length: 64 }, () => encodeMessage({ type: "vote", vote }))
    for (let packet = 0; packet < 50; packet++) {
      await say(3, 0, PROTOCOLS.consensus, encodePacket(HEAD, messages))
    }
    await world.clock.runFor(2 * MINUTE_MS)
    const lines = node.warnings.filter((event) => event === "VOTE_SIGNATURE")
    expect(lines.length).toBeGreaterThan(1)
    // Fifty packets, a second each.
    expect(lines.length).toBeLessThanOrEqual(3)
    const told = node.facts.reduce((sum, { count = 0 }) => sum + Number(count), 0)
    expect(told).toBeLessThan((50 + 3) * 2 * FORGERIES_PER_DELTA_MAX)
    expect(told).toBeGreaterThan(50)
  })

  it("is refused when a mission that is no validator votes", async () => {
    const vote = voteBy(3, "notarize", 1, named("one"))
    const packet = encodePacket(HEAD, [encodeMessage({ type: "vote", vote })])
    world.node(4).crash()
    await expect(say(4, 0, PROTOCOLS.consensus, packet)).rejects.toMatchObject({
      refusal: "PEER_DENIED",
    })
  })

  it("is refused when another asks about a validator's run, with a statement that it has seen", async () => {
    const keys = world.ministry.validators[3]
    if (keys === undefined) throw new Error("no fourth validator")
    const body = { epoch: 0, signer: 3, counter: 9, logId: HEAD.run, nonce: HEAD.run }
    const question = encodeBlob(encodeRun(signRun(world.ministry.net, body, keys.consensus.sign)))
    for (const from of [2, 4]) {
      world.node(from).crash()
      await expect(say(from, 0, PROTOCOLS.boot, question)).rejects.toMatchObject({
        refusal: "PEER_DENIED",
      })
    }
    world.node(3).crash()
    await say(3, 0, PROTOCOLS.boot, question)
  })

  it("is refused when it comes from another epoch, in broken bytes, or out of bounds", async () => {
    const vote = voteBy(3, "notarize", 1, named("one"))
    const message = encodeMessage({ type: "vote", vote })
    world.node(3).crash()
    const cases = [
      [encodePacket({ ...HEAD, epoch: 1 }, [message]), "MESSAGE_INVALID"],
      [encodePacket(HEAD, [message]).subarray(0, 100), "CODEC_TRUNCATED"],
      [
        encodePacket(
          HEAD,
          Array.from({ length: 65 }, () => message),
        ),
        "MESSAGE_INVALID",
      ],
    ] as const
    for (const [packet, refusal] of cases) {
      await expect(say(3, 0, PROTOCOLS.consensus, packet)).rejects.toMatchObject({ refusal })
    }
    expect(encodeBlob(message).length).toBeGreaterThan(0)
  })
})

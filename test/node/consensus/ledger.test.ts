import { describe, expect, it } from "vitest"
import { decodeProof, verifyProof } from "../../../ledger/proof.ts"
import { validatorPolicy } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { namedValidators } from "../../../node/consensus/cosigners.ts"
import { epochAt, signEpochKeys } from "../../../protocol/epoch.ts"
import { entryCommitment, messageEntry, payloadEntry, type Entry } from "../../../protocol/entry.ts"
import { TarbartaError } from "../../../protocol/errors.ts"
import { named } from "../../support/ledger.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const OPENING = { salt: named("salt"), cableId: named("cable") }

/** Each post submits `count` entries that {@link OPENING} opens. */
async function burstOfOpened(world: LedgerWorld, count: number): Promise<void> {
  for (const node of world.nodes) {
    for (let i = 0; i < count; i++) await world.during(node.submit(opened(world, node)))
  }
}

function opened(world: LedgerWorld, node: LedgerNode): (seq: number) => Entry {
  const { salt, cableId } = OPENING
  const commitment = entryCommitment(world.ministry.suite, salt, cableId)
  return (seq) => messageEntry(node.post.rid, seq, world.clock.now(), commitment)
}

/** Serials of one post in the order in which the ledger at `node` made them final. */
function finalSerials(node: LedgerNode, rid: number): number[] {
  return node.finals
    .flatMap((final) => final.entries)
    .filter(({ entry }) => entry.submitter === rid)
    .map(({ entry }) => entry.submitterSeq)
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/** Each post submits `count` entries, all at once. */
async function burst(world: LedgerWorld, count: number): Promise<void> {
  const submissions = world.nodes.flatMap((node) => upTo(count).map(async () => node.submit()))
  await world.during(Promise.all(submissions))
}

describe("a ledger of one validator and four followers", () => {
  it("makes entries of all final everywhere, in order and with equal heads", async () => {
    const world = new LedgerWorld(5, "all final")
    await world.start()
    for (const node of world.nodes) await world.during(node.submit())
    await burst(world, 20)
    await world.untilQuiet()
    for (const node of world.nodes) {
      expect(node.ledger.head().frontier.size).toBe(105)
      expect(node.failures).toEqual([])
      for (const { post } of world.nodes) expect(finalSerials(node, post.rid)).toEqual(upTo(21))
    }
  })

  it("puts a burst into few blocks, and a lone entry into one at once", async () => {
    const world = new LedgerWorld(5, "burst")
    await world.start()
    await burst(world, 100)
    await world.untilQuiet()
    expect(world.headquarters.height).toBeLessThanOrEqual(12)
    await world.clock.runFor(60_000)
    const { height } = world.headquarters
    const startMs = world.clock.monotonicMs()
    await world.during(world.node(1).submit())
    const endMs = await world.clock.runUntil(() => world.node(1).height > height, 1_000)
    // Row, way, two log syncs and block on 1 ms disks and links, and the way back.
    expect(endMs - startMs).toBeLessThanOrEqual(20)
  })

  it("is silent while nothing is submitted: no blocks, no messages, no writes", async () => {
    const world = new LedgerWorld(5, "idle")
    await world.start()
    await burst(world, 3)
    await world.untilQuiet()
    // In the first hour every mission cosigns what is there.
    await world.clock.runFor(3_600_000)
    const before = { ...world.network.counts }
    const syncs = world.nodes.map((node) => node.disk.syncs)
    const { height } = world.headquarters
    await world.clock.runFor(24 * 3_600_000)
    expect(world.network.counts).toEqual(before)
    expect(world.nodes.map((node) => node.disk.syncs)).toEqual(syncs)
    expect(world.headquarters.height).toBe(height)
  })

  it.each([1, 2, 3])(
    "loses nothing on links that lose a third of all messages, seed %i",
    async (seed) => {
      const link = { delayMs: 80, jitterMs: 120, requestLoss: 0.3, answerLoss: 0.3 }
      const world = new LedgerWorld(5, `lossy ${seed}`, { link })
      await world.start()
      for (let round = 0; round < 5; round++) {
        await burst(world, 4)
        await world.clock.runFor(1_000)
      }
      await world.untilQuiet(6 * 3_600_000)
      for (const node of world.nodes) {
        expect(node.failures).toEqual([])
        for (const { post } of world.nodes) expect(finalSerials(node, post.rid)).toEqual(upTo(20))
      }
    },
  )

  it("lets a follower that was away for long catch up from another follower", async () => {
    const world = new LedgerWorld(5, "away")
    await world.start()
    world.node(4).crash()
    for (let round = 0; round < 150; round++) {
      await world.during(world.node(1 + (round % 3)).submit())
      await world.clock.runFor(40)
    }
    await world.untilQuiet()
    expect(world.headquarters.height).toBe(150)
    await world.during(world.headquarters.stop())
    await world.during(world.node(4).start())
    await world.untilQuiet()
    expect(world.node(4).height).toBe(150)
    expect(world.node(4).ledger.heightSeen()).toBe(150)
  })
})

describe("governance on the ledger", () => {
  it("admits posts, which follow and submit from the next block on", async () => {
    const world = new LedgerWorld(4, "admission", { founding: 1 })
    const { headquarters, ministry } = world
    await world.during(headquarters.start())
    for (const post of ministry.posts.slice(1)) {
      const { stateHash } = headquarters.ledger.directory
      for (const payload of ministry.admission(post, stateHash)) {
        await world.during(headquarters.submit(headquarters.governance(payload)))
      }
      await world.untilQuiet()
      expect(headquarters.ledger.directory.mission(post.rid)?.facts.code).toBe(post.code)
      headquarters.meet()
    }
    await world.start()
    await world.untilQuiet()
    for (const node of world.nodes) node.meet()
    for (const node of world.nodes) expect(node.ledger.rid).toBe(node.post.rid)
    await burst(world, 2)
    await world.untilQuiet()
    expect(finalSerials(headquarters, 4)).toEqual([1, 2])
  })

  it("takes nothing of a post that is revoked, and says so", async () => {
    const world = new LedgerWorld(3, "revocation")
    await world.start()
    const { headquarters, ministry } = world
    await world.during(world.node(2).submit())
    await world.untilQuiet()
    const { stateHash } = headquarters.ledger.directory
    for (const payload of ministry.revocation(3, stateHash)) {
      await world.during(headquarters.submit(headquarters.governance(payload)))
    }
    await world.untilQuiet()
    const outcomes = headquarters.finals.flatMap((final) => final.outcomes)
    expect(outcomes.at(-1)).toMatchObject({ type: "revoked", mission: { rid: 3 } })
    await world.during(world.node(2).submit())
    await world.clock.runFor(60_000)
    expect(world.node(2).ledger.pending()).toHaveLength(1)
    expect(world.node(2).warnings).toContain("REQUEST_REFUSED")
    expect(headquarters.ledger.lastSeq(3)).toBe(1)
  })

  it("rebuilds the same directory after a restart, without reading blocks", async () => {
    const world = new LedgerWorld(3, "rebuild", { founding: 2 })
    const { headquarters, ministry } = world
    await world.during(headquarters.start())
    await world.during(world.node(1).start())
    const [proposal, ballot] = ministry.admission(
      world.node(2).post,
      headquarters.ledger.directory.stateHash,
    )
    // Once too often: the second ballot finds no open proposal and is refused.
    for (const payload of [proposal, ballot, ballot]) {
      await world.during(headquarters.submit(headquarters.governance(payload)))
    }
    const { post } = headquarters
    const nowMs = world.clock.now()
    for (let day = 0; day < 65; day += 5) {
      const key = { epoch: epochAt(nowMs) + day, publicKey: world.random(1_216) }
      const createdMs = nowMs + day
      const keys = { net: ministry.net, rid: 1, keys: [key], createdMs }
      const signed = signEpochKeys(ministry.suite, keys, post.signing.publicKey, post.signing.sign)
      await world.during(
        headquarters.submit((seq) =>
          payloadEntry(ministry.suite, "epochKeys", 1, seq, nowMs, signed),
        ),
      )
    }
    await world.untilQuiet()
    const node = world.node(1)
    const before = node.ledger.directory
    // Blocks and entries may rot: the directory has rows of its own. The newest block is the head.
    for (const key of node.disk.snapshot().keys()) {
      if (/^ledger\/[et]\//.test(key)) node.rotten.add(key)
    }
    await world.during(node.stop())
    await world.during(node.start())
    const after = node.ledger.directory
    expect(after.stateHash).toEqual(before.stateHash)
    expect(after.missions()).toEqual(before.missions())
    expect(after.missions()).toHaveLength(3)
    expect(after.newestEpoch(1)).toBe(epochAt(nowMs) + 60)
    expect(after.epochKeyFor(1, nowMs)).toEqual(before.epochKeyFor(1, nowMs))
  })
})

describe("a forged ballot on the ledger", () => {
  it("is refused when it comes, and again when the directory is rebuilt", async () => {
    const world = new LedgerWorld(2, "forged ballot", { founding: 1 })
    const { headquarters, ministry } = world
    await world.during(headquarters.start())
    const { stateHash } = headquarters.ledger.directory
    const [proposal, ballot] = ministry.admission(world.node(1).post, stateHash)
    const forged = ballot.slice()
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    for (const payload of [proposal, forged]) {
      await world.during(headquarters.submit(headquarters.governance(payload)))
    }
    await world.untilQuiet()
    const outcomes = headquarters.finals.flatMap((final) => final.outcomes)
    expect(outcomes.map(({ type }) => type)).toEqual(["proposed", "refused"])
    await world.during(headquarters.stop())
    await world.during(headquarters.start())
    const { directory } = headquarters.ledger
    expect(directory.mission(2)).toBeUndefined()
    expect(directory.stateHash).toEqual(stateHash)
    // The proposal is still open: the true ballot carries it.
    await world.during(headquarters.submit(headquarters.governance(ballot)))
    await world.untilQuiet()
    expect(directory.mission(2)?.facts.code).toBe("LON")
  })
})

describe("proofs", () => {
  it("verify offline, and with any byte flipped they do not", async () => {
    const world = new LedgerWorld(2, "proofs")
    await world.start()
    await burstOfOpened(world, 20)
    await world.untilQuiet()
    const { suite } = world.ministry
    const { directory } = world.node(1).ledger
    const validators = createValidatorSet(suite, 0, directory.genesis.validators)
    const posts = namedValidators(directory, validators)
    const policy = validatorPolicy(directory.genesis.origin, posts)
    const verify = (bytes: Uint8Array) => verifyProof(suite, policy, decodeProof(bytes))
    for (const node of world.nodes) {
      for (const seq of upTo(20)) {
        const proof = await world.during(node.ledger.publisher.proof(2, seq, OPENING))
        expect(proof && verify(proof).entry).toMatchObject({ submitter: 2, submitterSeq: seq })
      }
    }
    const proof = await world.during(world.node(1).ledger.publisher.proof(2, 20, OPENING))
    if (proof === undefined) throw new Error("no proof")
    // The quorum does not ask for the last line, of ML-DSA-44: who spoils its name removes it.
    const end = new TextDecoder("latin1").decode(proof.slice(0, -1)).lastIndexOf("\n")
    for (let at = 0; at < end; at++) {
      const flipped = proof.slice()
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
      expect(() => verify(flipped), `byte ${at}`).toThrow(TarbartaError)
    }
    const line = proof.slice()
    line[proof.length - 10] = (line[proof.length - 10] ?? 0) ^ 1
    expect(() => verify(line), "its signature").toThrow(TarbartaError)
  })

  it("are not there while an entry is not final", async () => {
    const world = new LedgerWorld(2, "pending")
    await world.during(world.node(1).start())
    await world.during(world.node(1).submit(opened(world, world.node(1))))
    expect(await world.node(1).ledger.publisher.proof(2, 1, OPENING)).toBeUndefined()
    expect(await world.node(1).ledger.publisher.proof(2, 2, OPENING)).toBeUndefined()
    await world.during(world.headquarters.start())
    await world.untilQuiet()
    const proof = await world.during(world.node(1).ledger.publisher.proof(2, 1, OPENING))
    expect(proof).toBeInstanceOf(Uint8Array)
    expect(await world.during(world.node(1).ledger.publisher.proof(2, 2, OPENING))).toBeUndefined()
  })
})

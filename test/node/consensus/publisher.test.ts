import { describe, expect, it } from "vitest"
import { bytesToHex } from "@noble/hashes/utils.js"
import { parseNote } from "../../../ledger/note.ts"
import { parsePolicy, verifyAgainst } from "../../../ledger/policy.ts"
import { decodeProof } from "../../../ledger/proof.ts"
import { encodeCheckpointRequest, type CheckpointKind } from "../../../protocol/wire.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"
import { suite } from "../../support/suites.ts"

const HOUR_MS = 3_600_000
const OPENING = { salt: new Uint8Array(32).fill(1), cableId: new Uint8Array(32).fill(2) }

/** Four validators and one post that follows. */
async function startedWorld(seed: string): Promise<LedgerWorld> {
  const world = new LedgerWorld(5, seed, { validators: 4 })
  await world.start()
  await world.clock.runFor(5_000)
  return world
}

async function record(world: LedgerWorld, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await world.during(world.node(4).submit())
  await world.clock.runFor(20_000)
}

type Have = Parameters<LedgerNode["ledger"]["publisher"]["publication"]>[0]

async function filesOf(world: LedgerWorld, have?: Have): Promise<Map<string, string>> {
  const collect = async (): Promise<Map<string, string>> => {
    const files = new Map<string, string>()
    const { publisher } = world.node(4).ledger
    for await (const { path, bytes } of await publisher.publication(have)) {
      files.set(path, new TextDecoder().decode(bytes))
    }
    return files
  }
  return world.during(collect())
}

/** From now on no validator gives out a newer checkpoint of this kind. */
async function freeze(world: LedgerWorld, frozen: CheckpointKind): Promise<void> {
  for (const node of world.nodes.slice(0, 4)) {
    const { checkpoints } = node.ledger.publisher
    const serve = checkpoints.serve.bind(checkpoints)
    const old = await serve(encodeCheckpointRequest(frozen))
    const question = bytesToHex(encodeCheckpointRequest(frozen))
    checkpoints.serve = async (asked) => (bytesToHex(asked) === question ? old : serve(asked))
  }
}

function sizeOf(files: ReadonlyMap<string, string>, name: string): number | undefined {
  const text = files.get(name)
  return text === undefined ? undefined : Number(text.split("\n")[1])
}

/** Of the newest checkpoint, in hex. */
async function rootOf(world: LedgerWorld): Promise<string> {
  const newest = await world.during(world.node(4).ledger.publisher.checkpoints.newest())
  if (newest === undefined) throw new Error("no checkpoint")
  return bytesToHex(newest.checkpoint.root)
}

describe("a proof", () => {
  it("is there for the last entry under the newest checkpoint, and not for the one after", async () => {
    const world = await startedWorld("proof at the edge")
    await record(world, 3)
    await freeze(world, "newest")
    await record(world, 3)
    const { ledger } = world.node(4)
    expect(ledger.head().frontier.size).toBe(6)
    const found: (number | undefined)[] = []
    for (const seq of [1, 2, 3, 4, 5, 6]) {
      const proof = await world.during(ledger.publisher.proof(5, seq, OPENING))
      found.push(proof && decodeProof(proof).index)
    }
    expect(found).toEqual([0, 1, 2, undefined, undefined, undefined])
  })

  it("has exactly the lines that its policy asks for, and one of ML-DSA-44", async () => {
    const world = await startedWorld("proof lines")
    await record(world, 1)
    const { publisher } = world.node(4).ledger
    const proof = await world.during(publisher.proof(5, 1, OPENING))
    if (proof === undefined) throw new Error("no proof")
    const { checkpoint } = decodeProof(proof)
    const policy = parsePolicy(suite, (await filesOf(world)).get("policy") ?? "")
    const { signed } = verifyAgainst(suite, policy, checkpoint)
    expect(parseNote(checkpoint).signatures).toHaveLength(5)
    const types = signed.map(({ key }) => key.type)
    expect(types).toEqual(["log", "cosigner", "cosigner", "cosigner", "cosignerPq"])
  })
})

describe("a publication", () => {
  it("is refused while no checkpoint is signed", async () => {
    const world = await startedWorld("nothing to publish")
    await expect(filesOf(world)).rejects.toMatchObject({ code: "CHECKPOINT_PENDING" })
  })

  it("goes on from what this ledger published before, and from nothing else", async () => {
    const world = await startedWorld("publication of another")
    await record(world, 3)
    const root = await rootOf(world)
    expect(sizeOf(await filesOf(world, { size: 3, root, bundles: 0 }), "checkpoint")).toBe(3)
    const other = { code: "PUBLICATION_OTHER" }
    const wrong = "00".repeat(32)
    await expect(filesOf(world, { size: 3, root: wrong, bundles: 0 })).rejects.toMatchObject(other)
    // More than this node has: of this ledger or not, it cannot tell yet.
    const pending = { code: "CHECKPOINT_PENDING" }
    await expect(filesOf(world, { size: 4, root, bundles: 0 })).rejects.toMatchObject(pending)
    await record(world, 3)
    expect(sizeOf(await filesOf(world, { size: 3, root, bundles: 0 }), "checkpoint")).toBe(6)
  })

  it("leaves out the bundles that are there already, and the tiles over them", async () => {
    const world = await startedWorld("publication goes on")
    for (let i = 0; i < 520; i++) void world.node(4).submit()
    await world.clock.runFor(60_000)
    const whole = await filesOf(world)
    expect(sizeOf(whole, "checkpoint")).toBe(520)
    const root = await rootOf(world)
    const rest = await filesOf(world, { size: 520, root, bundles: 1 })
    const gone = [...whole.keys()].filter((path) => !rest.has(path))
    expect(gone.toSorted()).toEqual(["tile/0/000", "tile/entries/000"])
  })

  it("has the missions' checkpoint unless that is newer than its own", async () => {
    const world = await startedWorld("missions ahead")
    await record(world, 3)
    await world.clock.runFor(HOUR_MS)
    const both = await filesOf(world)
    expect([sizeOf(both, "checkpoint"), sizeOf(both, "checkpoint.missions")]).toEqual([3, 3])
    const policy = parsePolicy(suite, both.get("policy.missions") ?? "")
    verifyAgainst(suite, policy, both.get("checkpoint.missions") ?? "")
    await freeze(world, "newest")
    await record(world, 3)
    await world.clock.runFor(HOUR_MS)
    const alone = await filesOf(world)
    expect([sizeOf(alone, "checkpoint"), sizeOf(alone, "checkpoint.missions")]).toEqual([
      3,
      undefined,
    ])
  })
})

import { describe, expect, it } from "vitest"
import type { Checkpoints } from "../../../node/consensus/checkpoints.ts"
import {
  decodeNoteMessage,
  encodeCheckpointRequest,
  encodeNoteMessage,
  type CheckpointKind,
} from "../../../protocol/wire.ts"
import { NOTE_BYTES_MAX } from "../../../protocol/limits.ts"
import { encodeBase64 } from "../../../protocol/base64.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

/** Four validators and two posts that follow, with six entries and their checkpoint. */
async function signedWorld(seed: string): Promise<LedgerWorld> {
  const world = new LedgerWorld(6, seed, { validators: 4 })
  await world.start()
  await world.clock.runFor(5_000)
  await record(world, 6)
  return world
}

async function record(world: LedgerWorld, entries: number): Promise<void> {
  for (let i = 0; i < entries; i++) await world.during(world.node(i % 6).submit())
  await world.clock.runFor(20_000)
}

function checkpointsOf(node: LedgerNode): Checkpoints {
  return node.ledger.publisher.checkpoints
}

async function served(node: LedgerNode, kind: CheckpointKind): Promise<string> {
  const answer = await checkpointsOf(node).serve(encodeCheckpointRequest(kind))
  return new TextDecoder().decode(decodeNoteMessage(answer, NOTE_BYTES_MAX))
}

/** From now on this validator answers every question for a checkpoint with this text. */
function alwaysServes(node: LedgerNode, text: string): void {
  const message = encodeNoteMessage(text)
  checkpointsOf(node).serve = async () => Promise.resolve(message)
}

async function newestAt(world: LedgerWorld, node: LedgerNode): Promise<number | undefined> {
  return (await world.during(checkpointsOf(node).newest()))?.checkpoint.size
}

describe("one validator that lies about checkpoints", () => {
  it("raises no alarm by another root that nobody signed: proofs and exports go on", async () => {
    const world = await signedWorld("unsigned lie")
    const [origin, size] = (await served(world.node(0), "newest")).split("\n")
    const root = encodeBase64(new Uint8Array(32).fill(7))
    const line = `\u2014 nobody.example ${encodeBase64(new Uint8Array(68).fill(1))}`
    alwaysServes(world.node(0), `${origin}\n${size}\n${root}\n\n${line}\n`)
    for (const node of [world.node(5), world.node(2)]) {
      expect(await newestAt(world, node)).toBe(6)
      const files = await world.during(node.ledger.publisher.publication(undefined))
      expect(files).toBeDefined()
      expect(node.ledger.warnings()).toEqual([])
    }
  })

  it("hides no newer checkpoint behind an old one", async () => {
    const world = await signedWorld("stale answer")
    expect(await newestAt(world, world.node(5))).toBe(6)
    alwaysServes(world.node(0), await served(world.node(0), "newest"))
    await record(world, 3)
    expect(world.node(5).ledger.head().frontier.size).toBe(9)
    expect(await newestAt(world, world.node(5))).toBe(9)
  })
})

describe("a validator whose disk is put back", () => {
  it("cosigns nothing until it votes, nor when its key is dead, nor after another start", async () => {
    const world = await signedWorld("cosigner restored")
    const node = world.node(2)
    const backup = { disk: node.disk.snapshot(), log: node.wal.copy() }
    expect(node.cosigned).toContain(6)
    await record(world, 2)
    expect(Math.max(...node.cosigned)).toBe(8)
    node.cosigned.length = 0
    node.crash()
    node.disk.restore(backup.disk)
    node.wal.restore(backup.log)
    await world.during(node.start())
    await world.clock.runFor(60_000)
    expect(node.refusal?.code).toMatch(/KEY_DEAD$/u)
    await record(world, 2)
    await world.during(node.stop())
    await world.during(node.start())
    await world.clock.runFor(20_000)
    await record(world, 2)
    expect(node.ledger.head().frontier.size).toBe(12)
    expect(node.cosigned).toEqual([])
    // It follows, and has the checkpoint that the others made.
    expect(await newestAt(world, node)).toBe(12)
  })

  it("cosigns the newest head again when nothing was missing and it votes", async () => {
    const world = await signedWorld("cosigner restarted")
    const node = world.node(2)
    await world.during(node.stop())
    node.cosigned.length = 0
    await world.during(node.start())
    expect(node.ledger.validatorStatus()?.state).toBe("asking")
    expect(node.cosigned).toEqual([])
    await world.clock.runUntil(() => node.ledger.validatorStatus()?.state === "voting", 60_000)
    await world.clock.runFor(1_000)
    expect(node.cosigned).toEqual([6])
  })
})

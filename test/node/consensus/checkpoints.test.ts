import { describe, expect, it } from "vitest"
import { formatCheckpoint, parseCheckpoint } from "../../../ledger/checkpoint.ts"
import { signCheckpoint } from "../../../ledger/cosignature.ts"
import { formatNote, parseNote } from "../../../ledger/note.ts"
import { validatorKeys, witnessKeys } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import type { Checkpoints } from "../../../node/consensus/checkpoints.ts"
import { namedValidators } from "../../../node/consensus/cosigners.ts"
import {
  decodeNoteMessage,
  encodeCheckpointRequest,
  encodeNoteMessage,
  PROTOCOLS,
  type CheckpointKind,
} from "../../../protocol/wire.ts"
import {
  CHECKPOINT_BYTES_MAX,
  COSIGN_VERIFIES_MAX,
  NOTE_BYTES_MAX,
} from "../../../protocol/limits.ts"
import { encodeBase64 } from "../../../protocol/base64.ts"
import { CosignWorld } from "../../support/cosigning.ts"
import { named } from "../../support/ledger.ts"
import { refusal } from "../../support/refusal.ts"
import { short } from "../../support/simulated-transport.ts"
import { suite } from "../../support/suites.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

const HOUR_MS = 3_600_000

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

/** What a quorum of validators signed over a head, whether it is true or not. */
function quorumSigned(world: LedgerWorld, size: number, root: Uint8Array): string {
  const { ministry, headquarters } = world
  const { directory } = headquarters.ledger
  const { origin, validators } = directory.genesis
  const checkpoint = { origin, size, root }
  const posts = namedValidators(directory, createValidatorSet(suite, 0, validators))
  const signatures = posts.slice(0, 3).flatMap((one, index) => {
    const keys = ministry.validators[index]
    if (keys === undefined) throw new Error(`no validator ${index}`)
    const uses = index === 0 ? (["log", "cosigner"] as const) : (["cosigner"] as const)
    return uses.map((use) => {
      const key = validatorKeys(origin, one)[use]
      return signCheckpoint(suite, key, checkpoint, 1, keys[use].sign)
    })
  })
  return formatNote({ body: formatCheckpoint(checkpoint), signatures })
}

describe("what a node takes for the newest checkpoint", () => {
  it("is none with another root than its own, though a quorum signed it: that is an alarm", async () => {
    const world = await signedWorld("signed lie")
    const text = quorumSigned(world, 6, new Uint8Array(32).fill(7))
    for (const node of world.nodes.slice(0, 4)) alwaysServes(node, text)
    const asked = world.during(checkpointsOf(world.node(5)).newest())
    await expect(asked).rejects.toMatchObject({ code: "CHECKPOINT_FORK" })
  })

  it("is none that reaches beyond its own ledger", async () => {
    const world = await signedWorld("ahead of its own")
    const text = quorumSigned(world, 7, new Uint8Array(32).fill(7))
    for (const node of world.nodes.slice(0, 4)) alwaysServes(node, text)
    expect(await newestAt(world, world.node(5))).toBeUndefined()
  })

  it("is its own cosigner's, for a validator that reaches nobody", async () => {
    const world = await signedWorld("validator alone")
    world.network.partition([[world.node(1).post.peer]])
    await world.clock.runFor(HOUR_MS / 2)
    expect(await newestAt(world, world.node(1))).toBe(6)
  })

  it("is the one that it kept, after a restart, with nobody in reach, on a full disk", async () => {
    const world = await signedWorld("kept checkpoint")
    const node = world.node(5)
    node.disk.isFull = true
    expect(await newestAt(world, node)).toBe(6)
    await world.during(node.stop())
    world.network.partition([[node.post.peer]])
    await world.during(node.start())
    await world.clock.runFor(10_000)
    expect(await newestAt(world, node)).toBe(6)
  })
})

/** To a minute after the next full hour. */
async function nextHour(world: LedgerWorld): Promise<void> {
  await world.clock.runFor(HOUR_MS - (world.clock.now() % HOUR_MS) + 60_000)
}

/** The size of a checkpoint that a validator gives out; 0 for none. */
async function sizeServed(node: LedgerNode, kind: CheckpointKind): Promise<number> {
  return Number((await served(node, kind)).split("\n")[1] ?? 0)
}

/** A certified checkpoint with the cosignatures of these missions, as a message. */
function witnessed(
  world: LedgerWorld,
  text: string,
  nodes: readonly LedgerNode[],
  timeS = Math.floor(world.clock.now() / 1_000),
): Uint8Array {
  const { suite } = world.ministry
  const { body, signatures } = parseNote(text)
  const checkpoint = parseCheckpoint(body)
  const lines = nodes.map(({ post, ledger }) => {
    const facts = ledger.directory.mission(post.rid)?.facts
    if (facts === undefined) throw new Error(`${post.code} is no mission`)
    const { cosigner } = witnessKeys(checkpoint.origin, facts)
    return signCheckpoint(suite, cosigner, checkpoint, timeS, post.witness.sign)
  })
  return encodeNoteMessage(formatNote({ body, signatures: [...signatures.slice(0, 6), ...lines] }))
}

describe("missions that witness", () => {
  it("go on although the validator with the lowest number gives them an old checkpoint", async () => {
    const world = await signedWorld("witnesses and a liar")
    await nextHour(world)
    expect(await sizeServed(world.node(1), "missions")).toBe(6)
    alwaysServes(world.node(0), await served(world.node(0), "hourly"))
    for (const size of [9, 12, 15, 18]) {
      await record(world, 3)
      await nextHour(world)
      expect(await sizeServed(world.node(1), "missions")).toBe(size)
    }
  })

  it("count for the checkpoint of the hour alone, which no mission sets back", async () => {
    const world = await signedWorld("witnesses and the hour")
    await nextHour(world)
    const validators = world.nodes.slice(0, 4)
    const sizes = async (): Promise<number[]> =>
      Promise.all(validators.map(async (node) => sizeServed(node, "missions")))
    expect(await sizes()).toEqual([6, 6, 6, 6])
    const old = witnessed(world, await served(world.node(0), "newest"), [world.node(5)])
    await record(world, 3)
    const between = witnessed(world, await served(world.node(0), "newest"), world.nodes)
    const { peer } = world.node(5).post
    for (const node of validators) await checkpointsOf(node).receive(peer, between)
    expect(await sizes()).toEqual([6, 6, 6, 6])
    await world.clock.runFor(HOUR_MS - (world.clock.now() % HOUR_MS) - 1)
    // In the first moment of the hour, before any mission has an answer.
    world.clock.after(1, () => {
      for (const node of validators) void checkpointsOf(node).receive(peer, old)
    })
    await nextHour(world)
    expect(await sizes()).toEqual([9, 9, 9, 9])
  })
})

describe("a validator that collects missions' cosignatures", () => {
  it("does not fix the hour by a checkpoint that fewer than the quorum signed", async () => {
    const world = await signedWorld("hour and too few")
    await nextHour(world)
    await record(world, 1)
    const { body, signatures } = parseNote(await served(world.node(0), "newest"))
    await record(world, 2)
    const few = formatNote({ body, signatures: signatures.slice(0, 3) })
    const message = witnessed(world, few, [world.node(5)])
    const validators = world.nodes.slice(0, 4)
    await world.clock.runFor(HOUR_MS - (world.clock.now() % HOUR_MS) - 1)
    world.clock.after(1, () => {
      for (const node of validators) {
        void checkpointsOf(node).receive(world.node(5).post.peer, message)
      }
    })
    await nextHour(world)
    for (const node of validators) expect(await sizeServed(node, "missions")).toBe(9)
  })

  it("refuses those of another root that a quorum signed, and a line that is wrong", async () => {
    const world = await signedWorld("mission and a fork")
    await nextHour(world)
    const [node, { post }] = [world.node(1), world.node(5)]
    const receive = async (message: Uint8Array): Promise<unknown> =>
      world.during(checkpointsOf(node).receive(post.peer, message))
    const fork = quorumSigned(world, 5, new Uint8Array(32).fill(7))
    await expect(receive(witnessed(world, fork, [world.node(5)]))).rejects.toMatchObject({
      code: "CHECKPOINT_FORK",
    })
    const { body, signatures } = parseNote(await served(node, "missions"))
    const changed = signatures.map((one, index) => {
      return index === 1 ? { ...one, blob: one.blob.map((byte) => byte ^ 1) } : one
    })
    const wrong = encodeNoteMessage(formatNote({ body, signatures: changed.slice(0, 6) }))
    await expect(receive(wrong)).rejects.toMatchObject({ code: "NOTE_SIGNATURE" })
    const long = encodeNoteMessage("x".repeat(CHECKPOINT_BYTES_MAX + 1))
    await expect(receive(long)).rejects.toMatchObject({ code: expect.stringMatching(/^CODEC_/u) })
    expect(await sizeServed(node, "missions")).toBe(6)
  })

  it("gives them out with the missions' checkpoint alone", async () => {
    const world = await signedWorld("lines apart")
    await nextHour(world)
    expect(await served(world.node(1), "missions")).toContain("/witness/")
    for (const kind of ["newest", "hourly"] as const) {
      expect(await sizeServed(world.node(1), kind)).toBe(6)
      expect(await served(world.node(1), kind)).not.toContain("/witness/")
    }
  })

  it("gets them when it is back, if it was away at that hour", async () => {
    const world = await signedWorld("away at the hour")
    const node = world.node(3)
    await world.during(node.stop())
    await nextHour(world)
    await world.during(node.start())
    await world.clock.runFor(60_000)
    expect(await sizeServed(node, "missions")).toBe(6)
  })
})

describe("a mission that sends cosignatures", () => {
  it("again and again costs no verification, and new ones so many in a second", async () => {
    const world = await signedWorld("cosignatures again")
    await nextHour(world)
    const [node, { post }] = [world.node(1), world.node(5)]
    const text = await served(node, "missions")
    const send = async (message: Uint8Array, peer = post.peer): Promise<string> => {
      const sent = checkpointsOf(node).receive(peer, message)
      return sent.then(() => "taken").catch((error: unknown) => refusal(() => raise(error)) ?? "")
    }
    // Signed at another second each, and so another line.
    let seconds = 0
    const fresh = (): Uint8Array => witnessed(world, text, [world.node(5)], (seconds += 1))
    for (let i = 0; i <= COSIGN_VERIFIES_MAX; i++) {
      expect(await send(encodeNoteMessage(text))).toBe("taken")
    }
    for (let i = 0; i < COSIGN_VERIFIES_MAX; i++) expect(await send(fresh())).toBe("taken")
    expect(await send(fresh())).toBe("NODE_BUSY")
    expect(await send(encodeNoteMessage(text))).toBe("taken")
    expect(await send(fresh(), world.node(4).post.peer)).toBe("taken")
    await world.clock.runFor(1_000)
    expect(await send(fresh())).toBe("taken")
  })
})

describe("a validator that gets cosignatures", () => {
  it("of another root than its own tells its operator, counts none, and goes on", async () => {
    const world = await CosignWorld.cosigned()
    const { checkpoints, cosigners, warnings } = world.at(1)
    const other = { origin: cosigners.origin, size: 5, root: new Uint8Array(32).fill(7) }
    const last = cosigners.validators()[3]
    if (last === undefined) throw new Error("no fourth validator")
    const sign = (bytes: Uint8Array): Uint8Array => suite.ed25519Sign(named("cosigner 4"), bytes)
    const key = validatorKeys(cosigners.origin, last).cosigner
    const signatures = [signCheckpoint(suite, key, other, 1, sign)]
    const message = encodeNoteMessage(formatNote({ body: formatCheckpoint(other), signatures }))
    const answer = await checkpoints.receive(world.at(4).peer, message)
    const known = new TextDecoder().decode(decodeNoteMessage(answer, NOTE_BYTES_MAX))
    expect(parseCheckpoint(parseNote(known).body).root).not.toEqual(other.root)
    expect(warnings).toEqual(["CHECKPOINT_FORK"])
    await world.finalize(2)
    await world.clock.runFor(10_000)
    expect(await world.newest(1)).toMatchObject({ size: 205, names: { length: 9 } })
  })

  it("sends its own to validators alone, whoever else comes into contact", async () => {
    const world = await signedWorld("whom a validator tells")
    const { post } = world.node(5)
    await world.during(world.node(5).stop())
    await world.during(world.node(5).start())
    await record(world, 3)
    const start = `request ${PROTOCOLS.cosign.id}`
    const lines = world.network.trace.filter((line) => line.includes(start))
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes(`>${short(post.peer)}`))).toEqual([])
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

function raise(error: unknown): never {
  throw error
}

import { describe, expect, it } from "vitest"
import { formatCheckpoint, parseCheckpoint } from "../../../ledger/checkpoint.ts"
import { signCheckpoint } from "../../../ledger/cosignature.ts"
import {
  CheckpointPool,
  decodeTreeHead,
  encodeTreeHead,
  judgeHead,
} from "../../../ledger/cosigning.ts"
import { frontierRoot } from "../../../ledger/merkle.ts"
import { formatNote, parseNote } from "../../../ledger/note.ts"
import { parsePolicy, validatorKeys, verifyAgainst } from "../../../ledger/policy.ts"
import { NodeError } from "../../../node/errors.ts"
import { NOTE_BYTES_MAX, RETRY_MIN_MS } from "../../../protocol/limits.ts"
import {
  decodeNoteMessage,
  encodeCheckpointRequest,
  encodeNoteMessage,
  PROTOCOLS,
} from "../../../protocol/wire.ts"
import { blockAt, CosignWorld, SIGNED_ROW } from "../../support/cosigning.ts"
import { named } from "../../support/ledger.ts"
import { LedgerWorld } from "../../support/ledgers.ts"
import { refusal } from "../../support/refusal.ts"
import { suite } from "../../support/suites.ts"

const HOUR_MS = 3_600_000

describe("what a cosigner may sign", () => {
  const head = (size: number, root = `root ${size}`) => ({ size, root: named(root) })

  it("is a larger head, or the same again; smaller and empty ones are passed over", () => {
    expect(judgeHead(undefined, head(0))).toBe("pass")
    expect(judgeHead(undefined, head(1))).toBe("persist")
    expect(judgeHead(head(5), head(6))).toBe("persist")
    expect(judgeHead(head(5), head(5))).toBe("again")
    expect(judgeHead(head(5), head(4))).toBe("pass")
    expect(judgeHead(head(5), head(4, "another"))).toBe("pass")
    expect(refusal(() => judgeHead(head(5), head(5, "another")))).toBe("CHECKPOINT_FORK")
  })

  it("is kept as size and root, which come back as they were", () => {
    expect(decodeTreeHead(encodeTreeHead(head(7)))).toEqual(head(7))
    expect(refusal(() => decodeTreeHead(encodeTreeHead(head(7)).slice(1)))).toBe("CODEC_TRUNCATED")
  })
})

describe("a pool of cosignatures", () => {
  it("has places for so many sizes, the newest, and refuses another root", () => {
    const pool = new CheckpointPool(2)
    const checkpoint = (size: number) => ({
      origin: "test/pool",
      size,
      root: named(`root ${size}`),
    })
    for (const size of [3, 1, 2, 9]) pool.open(checkpoint(size))
    expect([1, 2, 3, 9].map((size) => pool.at(size)?.checkpoint.size)).toEqual([
      undefined,
      undefined,
      3,
      9,
    ])
    const key = { name: "a", type: "cosigner" as const, publicKey: named("key") }
    const signature = { name: "a", keyId: 1, blob: named("blob") }
    const one = { key, signature, timeS: 1 }
    expect(pool.add({ checkpoint: checkpoint(9), signed: [one] })).toBe(true)
    expect(pool.add({ checkpoint: checkpoint(9), signed: [one] })).toBe(false)
    expect(pool.add({ checkpoint: checkpoint(1), signed: [one] })).toBe(false)
    const fork = { ...checkpoint(9), root: named("other") }
    expect(refusal(() => pool.add({ checkpoint: fork, signed: [one] }))).toBe("CHECKPOINT_FORK")
  })
})

describe("four validators", () => {
  it("all have a certified checkpoint of the newest final size, with their lines", async () => {
    const world = await CosignWorld.cosigned()
    for (const { rid, cosigners } of world.machines) {
      const newest = await world.newest(rid)
      expect(newest?.size).toBe(5)
      expect(newest?.names.filter((name) => name.startsWith("cosigner "))).toHaveLength(4)
      expect(newest?.names.filter((name) => name.startsWith("cosignerPq "))).toHaveLength(4)
      expect(newest?.names.filter((name) => name.startsWith("log "))).toHaveLength(1)
      expect(cosigners.quorum).toBe(3)
    }
    for (const { warnings, failures } of world.machines)
      expect([warnings, failures]).toEqual([[], []])
  })

  it("write and send nothing once everything is exchanged", async () => {
    const world = await CosignWorld.cosigned()
    await world.clock.runFor(2 * HOUR_MS)
    const counts = { ...world.network.counts }
    const syncs = world.machines.map(({ disk }) => disk.syncs)
    await world.clock.runFor(24 * HOUR_MS)
    expect(world.network.counts).toEqual(counts)
    expect(world.machines.map(({ disk }) => disk.syncs)).toEqual(syncs)
  })

  it("certify with one away, not with two; the two that come back complete it", async () => {
    const world = await CosignWorld.cosigned()
    await world.finalize(2, [1, 2, 3])
    await world.clock.runFor(10_000)
    expect((await world.newest(1))?.size).toBe(205)
    await world.finalize(3, [1, 2])
    await world.clock.runFor(10_000)
    expect((await world.newest(1))?.size).toBe(205)
    await world.finalize(3, [3])
    await world.clock.runFor(10_000)
    for (const rid of [1, 2, 3]) expect((await world.newest(rid))?.size, `${rid}`).toBe(206)
  })

  it("sign a head only when its row is on the disk", async () => {
    const world = new CosignWorld()
    await world.start()
    await world.clock.runFor(1_000)
    const { disk, store, checkpoints, peer } = world.at(1)
    const { final, head } = blockAt(1)
    const stored = store.append([final], head)
    await world.clock.runFor(2)
    await stored
    const before = world.network.counts.requests
    let onSync: { row: boolean; sent: number } | undefined
    disk.onSync = () => {
      onSync ??= {
        row: disk.snapshot().has(SIGNED_ROW),
        sent: world.network.counts.requests - before,
      }
    }
    checkpoints.poke()
    await world.clock.settle()
    // The write is on its way: nothing was signed or sent before it is there.
    expect(onSync).toEqual({ row: false, sent: 0 })
    expect(world.network.counts.requests).toBe(before)
    await world.clock.runFor(1_000)
    const row = disk.snapshot().get(SIGNED_ROW)
    expect(row && decodeTreeHead(row).size).toBe(5)
    expect(world.network.counts.requests).toBeGreaterThan(before)
    expect(peer).toHaveLength(64)
  })

  it("sign the newest head also when it comes at the end of signing the one before", async () => {
    const world = new CosignWorld()
    await world.start()
    const { database, store, checkpoints, disk } = world.at(1)
    const commit = async (height: number): Promise<void> => {
      const { final, head } = blockAt(height)
      await store.append([final], head)
      checkpoints.poke()
    }
    const commits = [commit(1)]
    await world.clock.runFor(10)
    // The disk is busy each time, so a row and the next block wait for the same sync.
    for (const height of [2, 3]) {
      void database.write([{ type: "put", key: `busy ${height}`, value: new Uint8Array(1) }])
      await world.clock.runFor(height === 2 ? 0 : 1)
      commits.push(commit(height))
      await world.clock.runFor(1)
    }
    await world.clock.runFor(1_000)
    await Promise.all(commits)
    const row = disk.snapshot().get(SIGNED_ROW)
    expect(row && decodeTreeHead(row).size).toBe(206)
  })

  it("stop cosigning, loudly, when the ledger has another root than was signed", async () => {
    const world = new CosignWorld()
    await world.start()
    const { disk, checkpoints, store, warnings } = world.at(1)
    checkpoints.stop()
    disk.crash()
    const rows = new Map(disk.snapshot())
    rows.set(SIGNED_ROW, encodeTreeHead({ size: 5, root: named("another root") }))
    disk.restore(rows)
    expect(store.head.height).toBe(0)
    world.network.crash(world.at(1).peer)
    world.machines[0] = await world.boot(1, world.at(1).peer, disk)
    await world.finalize(1)
    await world.clock.runFor(10_000)
    const first = world.at(1)
    expect(warnings).toEqual([])
    expect(first.warnings).toContain("CHECKPOINT_FORK")
    expect(first.checkpoints.warnings()[0]).toMatch(/^CHECKPOINT_FORK: .*two roots at 5 entries/)
    expect(first.failures).toEqual([])
    // Not the heads after it either, which are larger.
    await world.finalize(2)
    await world.clock.runFor(10_000)
    expect(first.uses).toEqual([])
    expect(first.checkpoints.warnings()).toHaveLength(1)
    // The others go on without it.
    const newest = await world.newest(2)
    expect(newest?.names.filter((name) => name.startsWith("cosigner "))).toHaveLength(3)
    const peers = newest?.names.some((name) => name.endsWith("/DAC"))
    expect(peers).toBe(false)
  })
})

/** Whose Ed25519 cosignatures a validator has for a size: what it answers to the log's line alone. */
async function collected(world: CosignWorld, rid: number, size: number): Promise<string[]> {
  const { checkpoints, peer } = world.at(1)
  const message = await checkpoints.serve(encodeCheckpointRequest("newest"))
  const { body, signatures } = parseNote(textOf(message))
  expect(parseCheckpoint(body).size).toBe(size)
  const question = formatNote({ body, signatures: signatures.slice(0, 1) })
  const answer = await world.at(rid).checkpoints.receive(peer, encodeNoteMessage(question))
  const { signed } = world.at(rid).cosigners.read(textOf(answer))
  return signed.flatMap(({ key }) => (key.type === "cosigner" ? [key.name] : []))
}

function textOf(message: Uint8Array): string {
  return new TextDecoder().decode(decodeNoteMessage(message, NOTE_BYTES_MAX))
}

/** The first head, with lines of these validators that they made for another root. */
function forged(world: CosignWorld, rids: readonly number[]): string {
  const { cosigners } = world.at(1)
  const { frontier } = blockAt(1).head
  const checkpoint = { origin: cosigners.origin, size: 5, root: frontierRoot(frontier) }
  const other = { ...checkpoint, root: named("another root") }
  const signatures = cosigners.validators().flatMap((validator) => {
    const { rid } = validator.facts
    if (!rids.includes(rid)) return []
    const sign = (message: Uint8Array): Uint8Array => {
      return suite.ed25519Sign(named(`cosigner ${rid}`), message)
    }
    const key = validatorKeys(cosigners.origin, validator).cosigner
    return [signCheckpoint(suite, key, other, 1, sign)]
  })
  return formatNote({ body: formatCheckpoint(checkpoint), signatures })
}

describe("a validator's keys for checkpoints", () => {
  it("sign each head once, when its size is on the disk, also if that is slow or full", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    const { disk, uses, checkpoints } = world.at(1)
    disk.syncMs = 5_000
    disk.isFull = true
    checkpoints.poke()
    await world.clock.runFor(10_000)
    expect(uses.map(({ durable }) => durable)).toEqual([5, 5, 5])
    const { final, head } = blockAt(2)
    disk.isFull = false
    const stored = world.at(1).store.append([final], head)
    await world.clock.runFor(5_001)
    await stored
    disk.isFull = true
    checkpoints.poke()
    await world.clock.runFor(10_000)
    expect(uses.slice(3).map(({ durable }) => durable)).toEqual([205, 205, 205])
    expect(world.at(1).failures).toEqual([])
  })

  it("of ML-DSA-44 sign at most every five seconds, and the last head of a burst always", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    const { uses } = world.at(1)
    for (const height of [2, 3, 4]) await world.finalize(height)
    await world.clock.runFor(10_000)
    const times = uses.filter(({ use }) => use === "cosigner pq").map(({ atMs }) => atMs)
    expect(times).toHaveLength(3)
    for (const [at, time] of times.slice(1).entries()) {
      expect(time - (times[at] ?? 0)).toBeGreaterThanOrEqual(5_000)
    }
    expect(uses.filter(({ use }) => use === "cosigner")).toHaveLength(4)
    expect(await world.newest(2)).toMatchObject({ size: 207, names: { length: 9 } })
  })

  it("sign nothing from the moment at which it votes no more, and what others sign is kept", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    const { uses, disk } = world.at(4)
    disk.onSync = () => {
      // The row is on its way when its validator falls silent.
      if (disk.content.size > 0 && world.at(4).store.head.height === 2) world.silent.add(4)
    }
    await world.finalize(2)
    await world.clock.runFor(10_000)
    expect(world.silent).toEqual(new Set([4]))
    expect(uses).toHaveLength(3)
    disk.onSync = undefined
    await world.finalize(3, [4, 1, 2, 3])
    await world.clock.runFor(10_000)
    expect(uses).toHaveLength(3)
    expect(await collected(world, 4, 206)).toEqual(["test/DAC", "test/DEL", "test/LON"])
  })

  it("sign no line of ML-DSA-44 later for a validator that fell silent meanwhile", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    await world.finalize(2)
    await world.clock.runFor(1_000)
    await world.finalize(3)
    world.silent.add(4)
    await world.clock.runFor(10_000)
    const pq = world.at(4).uses.filter(({ use }) => use === "cosigner pq")
    expect(pq.map(({ durable }) => durable)).toEqual([5, 205])
  })

  it("sign nothing when the node stops while the disk writes, whatever comes of that", async () => {
    for (const isFailing of [true, false]) {
      const world = await CosignWorld.cosigned([])
      const machine = world.at(1)
      await world.finalize(1, [2, 3, 4])
      const { final, head } = blockAt(1)
      const stored = machine.store.append([final], head)
      await world.clock.runFor(2)
      await stored
      if (isFailing) machine.database.failNextWrite()
      machine.disk.onSync = () => machine.checkpoints.stop()
      machine.checkpoints.poke()
      await world.clock.runFor(10_000)
      machine.checkpoints.poke()
      await world.clock.runFor(10_000)
      expect([machine.uses, machine.failures, machine.warnings]).toEqual([[], [], []])
    }
  })

  it("pass over heads that are smaller than what they signed, as of a store that was rebuilt", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    const { disk, peer, checkpoints } = world.at(4)
    checkpoints.stop()
    world.network.crash(peer)
    disk.crash()
    const { frontier } = blockAt(2).head
    const signed = encodeTreeHead({ size: 205, root: frontierRoot(frontier) })
    disk.restore(new Map(disk.snapshot()).set(SIGNED_ROW, signed))
    world.machines[3] = await world.boot(4, peer, disk)
    await world.clock.runFor(10_000)
    expect([world.at(4).uses, world.at(4).warnings]).toEqual([[], []])
    await world.finalize(2)
    await world.clock.runFor(10_000)
    expect(world.at(4).uses.map(({ durable }) => durable)).toEqual([205, 205, 205])
  })

  it("sign nothing any more after the disk has failed, which ends the node", async () => {
    const world = await CosignWorld.cosigned([])
    const machine = world.at(1)
    const { final, head } = blockAt(1)
    const stored = machine.store.append([final], head)
    await world.clock.runFor(2)
    await stored
    machine.database.failNextWrite()
    machine.checkpoints.poke()
    await world.clock.runFor(1_000)
    machine.checkpoints.poke()
    await world.clock.runFor(10_000)
    expect(machine.failures).toMatchObject([{ code: "STORE_FAILED" }])
    expect([machine.uses, machine.checkpoints.warnings()]).toEqual([[], []])
  })
})

describe("a validator that sends its lines", () => {
  it("asks one that refuses again, later each time, and tells it all in the end", async () => {
    const world = await CosignWorld.cosigned([])
    const [first, last] = [world.at(1), world.at(4)]
    const attempts: number[] = []
    let isBusy = true
    last.transport.handle(PROTOCOLS.cosign, async (from, request) => {
      if (from === first.peer) attempts.push(world.clock.monotonicMs())
      if (isBusy) throw new NodeError("NODE_BUSY", "not now")
      return last.checkpoints.receive(from, request)
    })
    const startMs = world.clock.monotonicMs()
    await world.finalize(1)
    await world.clock.runFor(20_000)
    // A newer head does not shorten the wait.
    await world.finalize(2)
    await world.clock.runFor(40_000)
    const gaps = attempts.map((at, index) => at - (attempts[index - 1] ?? startMs)).slice(1)
    expect(gaps.length).toBeGreaterThanOrEqual(6)
    for (const [at, gap] of gaps.entries()) {
      expect(gap).toBeGreaterThanOrEqual(RETRY_MIN_MS * 2 ** at)
      expect(gap).toBeLessThan(RETRY_MIN_MS * 2 ** at + 100)
    }
    isBusy = false
    await world.clock.runFor(2 * RETRY_MIN_MS * 2 ** gaps.length)
    await world.clock.runFor(HOUR_MS)
    const told = attempts.length
    await world.clock.runFor(HOUR_MS)
    expect(attempts).toHaveLength(told)
    isBusy = true
    await world.finalize(3)
    await world.clock.runFor(RETRY_MIN_MS + 100)
    // It answered meanwhile: the waits begin anew.
    expect(attempts.length).toBe(told + 2)
  })

  it("asks nothing of one that is away, and tells it at once when it is back", async () => {
    const world = await CosignWorld.cosigned([])
    const { transport } = world.at(1)
    const last = world.at(4).peer
    let asked = 0
    const request = transport.request.bind(transport)
    transport.request = async (peer, protocol, ...rest) => {
      if (peer === last && protocol === PROTOCOLS.cosign) asked += 1
      return request(peer, protocol, ...rest)
    }
    world.network.partition([[last]])
    await world.clock.runFor(HOUR_MS)
    await world.finalize(1, [1, 2, 3])
    await world.clock.runFor(600_000)
    expect(asked).toBe(0)
    world.network.heal(1)
    await world.clock.runFor(1_000)
    expect(asked).toBe(1)
  })

  it("tells one again that was restarted and does not vote yet", async () => {
    const world = await CosignWorld.cosigned([1, 2, 3, 4])
    const { peer, disk, checkpoints } = world.at(4)
    checkpoints.stop()
    world.network.crash(peer)
    disk.crash()
    world.silent.add(4)
    world.machines[3] = await world.boot(4, peer, disk)
    await world.clock.runFor(10_000)
    expect(world.at(4).uses).toEqual([])
    expect(await collected(world, 4, 5)).toEqual(["test/DAC", "test/DEL", "test/LON"])
  })

  it("counts no line of an answer that is wrong", async () => {
    const world = await CosignWorld.cosigned([])
    const [first, last] = [world.at(1), world.at(4)]
    last.transport.handle(PROTOCOLS.cosign, async (from, request) => {
      await last.checkpoints.receive(from, request)
      return Promise.resolve(encodeNoteMessage(forged(world, [3, 4])))
    })
    await world.finalize(1, [1, 2])
    await world.clock.runFor(10_000)
    expect(first.warnings).toContain("NOTE_SIGNATURE")
    expect(await world.newest(1)).toBeUndefined()
    await world.finalize(1, [3])
    await world.clock.runFor(10_000)
    expect((await world.newest(1))?.size).toBe(5)
  })
})

describe("missions as witnesses", () => {
  it("cosign the same checkpoint within the hour; a majority of them makes the hourly file", async () => {
    const world = new LedgerWorld(5, "witnesses")
    await world.start()
    for (const node of world.nodes) await world.during(node.submit())
    await world.untilQuiet()
    const { ledger } = world.headquarters
    const filesOf = async (): Promise<Map<string, Uint8Array>> => {
      const files = new Map<string, Uint8Array>()
      for await (const { path, bytes } of await ledger.publisher.publication(undefined))
        files.set(path, bytes)
      return files
    }
    expect((await world.during(filesOf())).has("checkpoint.missions")).toBe(false)
    await world.clock.runFor(HOUR_MS)
    const files = await world.during(filesOf())
    const text = new TextDecoder().decode(files.get("checkpoint.missions"))
    const policy = parsePolicy(suite, new TextDecoder().decode(files.get("policy.missions")))
    const { signed, checkpoint } = verifyAgainst(suite, policy, text)
    expect(checkpoint.size).toBe(5)
    const names = signed.map(({ key }) => key.name).filter((name) => name.includes("/witness/"))
    expect(names).toHaveLength(10)
    expect(
      refusal(() => verifyAgainst(suite, policy, text.replace(/\n— \S+\/witness\/.*/gu, ""))),
    ).toBe("POLICY_UNMET")
    const { frontier } = ledger.head()
    expect(checkpoint.root).toEqual(frontierRoot(frontier))
  })
})

import { describe, expect, it } from "vitest"
import type { FinalBlock } from "../../../ledger/block.ts"
import type { ChainHead } from "../../../ledger/chain.ts"
import {
  CheckpointPool,
  decodeTreeHead,
  encodeTreeHead,
  judgeHead,
} from "../../../ledger/cosigning.ts"
import { frontierRoot } from "../../../ledger/merkle.ts"
import { parsePolicy, verifyAgainst } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { Checkpoints } from "../../../node/consensus/checkpoints.ts"
import { Cosigners } from "../../../node/consensus/cosigners.ts"
import type { Transport } from "../../../node/network/transport.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { Directory } from "../../../protocol/directory.ts"
import { PROTOCOLS } from "../../../protocol/wire.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk, type SimulatedDatabase } from "../../support/database.ts"
import { batch, CHAIN_ID, chainOf, named, NAIROBI } from "../../support/ledger.ts"
import { LedgerWorld } from "../../support/ledgers.ts"
import { createMinistry } from "../../support/ministry.ts"
import { createSimulatedNetwork } from "../../support/network.ts"
import { refusal } from "../../support/refusal.ts"
import { seededRandom } from "../../support/rng.ts"
import { suite } from "../../support/suites.ts"

const HOUR_MS = 3_600_000
const SIGNED_ROW = "ledger/cosigned/validator"
const chain = chainOf([
  [batch(NAIROBI, 1, 5)],
  [batch(NAIROBI, 6, 200)],
  [batch(NAIROBI, 206, 1)],
  [batch(NAIROBI, 207, 1)],
])

function blockAt(height: number): { final: FinalBlock; head: ChainHead } {
  const final = chain.blocks[height - 1]
  const head = chain.heads[height] ?? chain.head
  if (final === undefined) throw new Error(`no block ${height}`)
  return { final, head }
}

function signerOf(rid: number, use: string): (message: Uint8Array) => Uint8Array {
  return (message) => suite.ed25519Sign(named(`${use} ${rid}`), message)
}

function pqSignerOf(rid: number): (message: Uint8Array) => Uint8Array {
  const seed = named(`cosigner pq ${rid}`)
  return (message) => suite.mldsaSign(44, seed, message, new Uint8Array(0), seededRandom(rid))
}

/** One validator's machine: store, disk and what signs. */
interface Machine {
  readonly rid: number
  readonly peer: string
  readonly disk: SimulatedDisk
  readonly database: SimulatedDatabase
  readonly warnings: string[]
  readonly failures: unknown[]
  store: BlockStore
  checkpoints: Checkpoints
  cosigners: Cosigners
  transport: Transport
}

/** Four validators that exchange cosignatures of a chain that the test makes final. */
class World {
  readonly clock = createVirtualClock()
  readonly network = createSimulatedNetwork({ clock: this.clock, random: seededRandom("cosign") })
  readonly ministry = createMinistry(4, "cosign")
  readonly machines: Machine[] = []

  async start(): Promise<void> {
    for (const rid of [1, 2, 3, 4]) {
      const post = this.ministry.posts[rid - 1]
      if (post === undefined) throw new Error("no post")
      const disk = new SimulatedDisk({ clock: this.clock, syncMs: 1 })
      this.machines.push(await this.boot(rid, post.peer, disk))
    }
  }

  at(rid: number): Machine {
    const machine = this.machines[rid - 1]
    if (machine === undefined) throw new Error(`no validator ${rid}`)
    return machine
  }

  async boot(rid: number, peer: string, disk: SimulatedDisk): Promise<Machine> {
    const { clock, ministry } = this
    const database = disk.open()
    const directory = new Directory(suite, ministry.genesisBytes)
    const store = await BlockStore.open(database, suite, CHAIN_ID)
    const facts = [1, 2, 3, 4].map((one) => ({
      rid: one,
      consensusKey: suite.ed25519PublicKey(named(`consensus ${one}`)),
      logKey: suite.ed25519PublicKey(named(`log ${one}`)),
      cosignerKey: suite.ed25519PublicKey(named(`cosigner ${one}`)),
      cosignerPqKey: suite.mldsaPublicKey(44, named(`cosigner pq ${one}`)),
    }))
    const set = createValidatorSet(suite, 0, facts)
    const cosigners = new Cosigners({ suite, directory, store, validators: () => set })
    const transport = this.network.transport(peer)
    const warnings: string[] = []
    const failures: unknown[] = []
    const post = ministry.posts[rid - 1]
    if (post === undefined) throw new Error("no post")
    const checkpoints = new Checkpoints({
      suite,
      database,
      store,
      transport,
      clock,
      cosigners,
      log: { warn: (event) => warnings.push(event) },
      keys: {
        witness: ministry.checkpointKeys(post).witness,
        validator: {
          log: signerOf(rid, "log"),
          cosigner: signerOf(rid, "cosigner"),
          cosignerPq: pqSignerOf(rid),
        },
      },
      self: peer,
      rid: () => rid,
      isVoting: () => true,
      validators: () => ministry.posts.map((one) => one.peer),
      onFatal: (error) => failures.push(error),
    })
    transport.handle(PROTOCOLS.cosign, async (from, request) => checkpoints.receive(from, request))
    transport.handle(PROTOCOLS.checkpoint, async (_, request) => checkpoints.serve(request))
    transport.setMembers(
      ministry.posts.map((one) => ({ peer: one.peer, addresses: [], keep: true })),
    )
    await checkpoints.start()
    await transport.start()
    const parts = { disk, database, warnings, failures, store, checkpoints, cosigners }
    return { rid, peer, ...parts, transport }
  }

  /** Block `height` is on the disk of these validators. */
  async finalize(height: number, rids = [1, 2, 3, 4]): Promise<void> {
    const { final, head } = blockAt(height)
    for (const rid of rids) {
      const { store, checkpoints } = this.at(rid)
      const stored = store.append([final], head).then(() => checkpoints.poke())
      await this.clock.runFor(2)
      await stored
    }
  }

  /** Names under the newest checkpoint that a validator gives out, with its size. */
  async newest(rid: number): Promise<{ size: number; names: string[] } | undefined> {
    const { checkpoints } = this.at(rid)
    const state = { isSettled: false }
    const found = checkpoints.newest().finally(() => (state.isSettled = true))
    for (let i = 0; i < 1_000 && !state.isSettled; i++) await this.clock.runFor(10)
    const newest = await found
    if (newest === undefined) return undefined
    const names = newest.signed.map(({ key }) => `${key.type} ${key.name}`)
    return { size: newest.checkpoint.size, names: names.toSorted() }
  }
}

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
    const world = new World()
    await world.start()
    await world.clock.runFor(1_000)
    await world.finalize(1)
    await world.clock.runFor(10_000)
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
    const world = new World()
    await world.start()
    await world.clock.runFor(1_000)
    await world.finalize(1)
    await world.clock.runFor(2 * HOUR_MS)
    const counts = { ...world.network.counts }
    const syncs = world.machines.map(({ disk }) => disk.syncs)
    await world.clock.runFor(24 * HOUR_MS)
    expect(world.network.counts).toEqual(counts)
    expect(world.machines.map(({ disk }) => disk.syncs)).toEqual(syncs)
  })

  it("certify with one away, not with two; the two that come back complete it", async () => {
    const world = new World()
    await world.start()
    await world.clock.runFor(1_000)
    await world.finalize(1)
    await world.clock.runFor(10_000)
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
    const world = new World()
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
    const world = new World()
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
    const world = new World()
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
    // The others go on without it.
    const newest = await world.newest(2)
    expect(newest?.names.filter((name) => name.startsWith("cosigner "))).toHaveLength(3)
    const peers = newest?.names.some((name) => name.endsWith("/DAC"))
    expect(peers).toBe(false)
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

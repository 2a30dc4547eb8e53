/**
 * Four validators that exchange cosignatures of a chain that the test makes final: everything of
 * checkpoints as a node has it, without consensus.
 */

import type { FinalBlock } from "../../ledger/block.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import { decodeTreeHead } from "../../ledger/cosigning.ts"
import { createValidatorSet } from "../../ledger/validators.ts"
import { Checkpoints } from "../../node/consensus/checkpoints.ts"
import { Cosigners } from "../../node/consensus/cosigners.ts"
import type { Transport } from "../../node/network/transport.ts"
import { BlockStore } from "../../node/store/blocks.ts"
import { Directory } from "../../protocol/directory.ts"
import { PROTOCOLS } from "../../protocol/wire.ts"
import { createVirtualClock } from "./clock.ts"
import { SimulatedDisk, type SimulatedDatabase } from "./database.ts"
import { batch, CHAIN_ID, chainOf, named, NAIROBI } from "./ledger.ts"
import { createMinistry } from "./ministry.ts"
import { createSimulatedNetwork } from "./network.ts"
import { seededRandom } from "./rng.ts"
import { suite } from "./suites.ts"

export const SIGNED_ROW = "ledger/cosigned/validator"
const chain = chainOf([
  [batch(NAIROBI, 1, 5)],
  [batch(NAIROBI, 6, 200)],
  [batch(NAIROBI, 206, 1)],
  [batch(NAIROBI, 207, 1)],
])

export function blockAt(height: number): { final: FinalBlock; head: ChainHead } {
  const final = chain.blocks[height - 1]
  const head = chain.heads[height] ?? chain.head
  if (final === undefined) throw new Error(`no block ${height}`)
  return { final, head }
}

/** One use of a key, and the size that stood on the disk as signed then. */
interface KeyUse {
  readonly use: "log" | "cosigner" | "cosigner pq"
  readonly atMs: number
  readonly durable: number | undefined
}

/** One validator's machine: store, disk and what signs. */
export interface Machine {
  readonly rid: number
  readonly peer: string
  readonly disk: SimulatedDisk
  readonly database: SimulatedDatabase
  readonly warnings: string[]
  readonly failures: unknown[]
  /** What its keys were used for, in this life. */
  readonly uses: readonly KeyUse[]
  store: BlockStore
  checkpoints: Checkpoints
  cosigners: Cosigners
  transport: Transport
}

/** Four validators that exchange cosignatures of a chain that the test makes final. */
export class CosignWorld {
  readonly clock = createVirtualClock()
  readonly network = createSimulatedNetwork({ clock: this.clock, random: seededRandom("cosign") })
  readonly ministry = createMinistry(4, "cosign")
  readonly machines: Machine[] = []
  /** Validators that do not vote now. */
  readonly silent = new Set<number>()

  /** One in contact, whose first block is final at these validators and cosigned. */
  static async cosigned(rids: readonly number[] = [1, 2, 3, 4]): Promise<CosignWorld> {
    const world = new CosignWorld()
    await world.start()
    await world.clock.runFor(1_000)
    await world.finalize(1, rids)
    await world.clock.runFor(10_000)
    return world
  }

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
    const uses: KeyUse[] = []
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
          log: this.#signer(rid, "log", disk, uses),
          cosigner: this.#signer(rid, "cosigner", disk, uses),
          cosignerPq: this.#signer(rid, "cosigner pq", disk, uses),
        },
      },
      self: peer,
      rid: () => rid,
      isVoting: () => !this.silent.has(rid),
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
    const parts = { disk, database, warnings, failures, uses, store, checkpoints, cosigners }
    return { rid, peer, ...parts, transport }
  }

  #signer(
    rid: number,
    use: KeyUse["use"],
    disk: SimulatedDisk,
    uses: KeyUse[],
  ): (message: Uint8Array) => Uint8Array {
    const seed = named(`${use} ${rid}`)
    return (message) => {
      const row = disk.snapshot().get(SIGNED_ROW)
      const durable = row && decodeTreeHead(row).size
      uses.push({ use, atMs: this.clock.monotonicMs(), durable })
      if (use !== "cosigner pq") return suite.ed25519Sign(seed, message)
      return suite.mldsaSign(44, seed, message, new Uint8Array(0), seededRandom(rid))
    }
  }

  /** Block `height` is on the disk of these validators. */
  async finalize(height: number, rids: readonly number[] = [1, 2, 3, 4]): Promise<void> {
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

/**
 * What a soak is judged by: one history everywhere, and every acknowledged entry in it.
 */

import { join } from "node:path"
import type { LedgerStatus } from "../../node/api/shapes.ts"
import { readLedgerCopy } from "../../node/store/copy.ts"
import { writeFile } from "node:fs/promises"
import { namedValidators } from "../../node/consensus/cosigners.ts"
import { nativeSuite } from "../../node/suite.ts"
import { decodeFinalBlock, leavesOf } from "../../ledger/block.ts"
import { validatorPolicy, type Policy } from "../../ledger/policy.ts"
import { decodeProof, verifyProof } from "../../ledger/proof.ts"
import { createValidatorSet } from "../../ledger/validators.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { Directory } from "../../protocol/directory.ts"
import { bytesToHex } from "@noble/hashes/utils.js"
import { RefusedByNode } from "../../node/api/client.ts"
import type { ProcessNetwork, ProcessPost } from "../support/processes.ts"
import { History, readPublished } from "./history.ts"

const SETTLE_MS = 180_000
const POLL_MS = 250
const EVIDENCE_LINES_MAX = 40
/** Of what nodes wrote, these lines stand for something that must not happen here. */
const GRAVE = new RegExp(
  '"level":"error"|"CONSENSUS_|_DEAD"|"RECORD_|WAL_DAMAGED|LEDGER_REBUILT|STORE_DAMAGED|' +
    "SUBMIT_CONFLICT|VALIDATOR_COPIED",
)

/** What a node may say that publishes nothing yet. */
const NOT_YET = new Set(["CHECKPOINT_PENDING", "PROOF_PENDING"])

/** What a node said is queued. */
export interface Acknowledged {
  readonly post: ProcessPost
  readonly id: string
}

export class Judge {
  readonly #network: ProcessNetwork
  readonly #evidence: string[] = []
  readonly #warnings = new Map<string, number>()
  readonly #read = new Set<string>()
  /** Block hash at every height that any node told of. */
  readonly #hashes = new Map<number, string>()
  /** The highest height that each node told of. */
  readonly #heights = new Map<ProcessPost, number>()
  readonly #policy: Policy
  readonly #history: History
  findings = 0
  blocks = 0
  entries = 0
  /** Checkpoints and proofs that nodes gave out while the run went on. */
  publications = 0
  proofs = 0

  constructor(network: ProcessNetwork) {
    this.#network = network
    const directory = new Directory(nativeSuite, network.genesis)
    const { origin, validators } = directory.genesis
    const set = createValidatorSet(nativeSuite, 0, validators)
    this.#policy = validatorPolicy(origin, namedValidators(directory, set))
    this.#history = new History(nativeSuite, this.#policy, (what) => this.accuse(what))
  }

  get isWell(): boolean {
    return this.findings === 0
  }

  /** Something that must not be. */
  accuse(what: string): void {
    this.findings += 1
    this.#evidence.push(what)
  }

  /** What a node told of its ledger while the run went on. */
  saw({ code }: ProcessPost, status: LedgerStatus): void {
    const { height, blockHash, vote } = status
    const known = this.#hashes.get(height)
    this.#hashes.set(height, known ?? blockHash)
    if (known !== undefined && known !== blockHash) {
      this.accuse(`fork at height ${height}: ${code} has ${blockHash}, another ${known}`)
    }
    const post = this.#network.at(code)
    const before = this.#heights.get(post) ?? 0
    if (height < before) this.accuse(`${code} went back from height ${before} to ${height}`)
    this.#heights.set(post, Math.max(before, height))
    if (vote?.state === "refused" && !this.#read.has(`refused ${code}`)) {
      this.#read.add(`refused ${code}`)
      this.accuse(`${code} refuses to vote`)
    }
  }

  /** Different sizes that were published. */
  get sizes(): number {
    return this.#history.sizes
  }

  /** Looks at what a node publishes now, and at the proof of a message of its own. */
  async look(post: ProcessPost, id: string | undefined): Promise<void> {
    const { client, code } = post
    const found = await this.#answerOf(post, async () => readPublished(await client.publication()))
    if (found !== undefined) {
      this.publications += 1
      this.#history.published(code, found.checkpoint, found.entries)
    }
    if (id === undefined) return
    const proof = await this.#answerOf(post, async () => client.proof(id))
    if (proof === undefined) return
    this.proofs += 1
    this.#history.proven(code, proof)
  }

  /** Undefined where a node has no answer yet, is killed meanwhile, or starts. */
  async #answerOf<T>({ code }: ProcessPost, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      const isRefusal = error instanceof RefusedByNode
      if (isRefusal && NOT_YET.has(error.code)) return undefined
      if (isRefusal) this.accuse(`${code} refused: ${error.code} ${error.message}`)
      return undefined
    }
  }

  /** Reads what the newest life of a node has written. */
  readLog(post: ProcessPost): void {
    for (const line of post.log.split("\n")) {
      const event = /"event":"([^"]+)"/.exec(line)?.[1]
      if (event === undefined || this.#read.has(`${post.code} ${line}`)) continue
      this.#read.add(`${post.code} ${line}`)
      this.#warnings.set(event, (this.#warnings.get(event) ?? 0) + 1)
      if (GRAVE.test(line)) this.accuse(`${post.code} wrote ${line}`)
    }
  }

  /** Waits until all that was handed in is final everywhere; returns how long that took, in ms. */
  async settle(): Promise<number> {
    const startMs = performance.now()
    for (;;) {
      const statuses = await this.#statuses()
      const tookMs = performance.now() - startMs
      const isComplete = statuses.length === this.#network.posts.length
      if (isComplete && isSettled(statuses.map(([, status]) => status))) return tookMs
      if (tookMs >= SETTLE_MS) {
        for (const [code, status] of statuses) {
          const { height, blockHash, pending, vote, heightSeen } = status
          const state = vote?.state ?? "follower"
          const place = `${height} of ${heightSeen} ${blockHash.slice(0, 8)}`
          this.accuse(`${code} did not settle: ${state} at ${place}, ${pending} pending`)
        }
        return tookMs
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** Returns how many acknowledged entries are lost; everything else is a finding. */
  async judge(acknowledged: readonly Acknowledged[]): Promise<number> {
    const lost = await this.#lost(acknowledged)
    for (const post of this.#network.posts) {
      const before = this.publications
      await this.look(post, undefined)
      if (this.publications === before) this.accuse(`${post.code} publishes no checkpoint`)
      this.readLog(post)
      if (!post.isRunning) {
        const { ended } = post
        this.accuse(`${post.code} does not run: ${ended?.exit ?? "a signal"} ${ended?.stderr}`)
        continue
      }
      const report = await post.client.verifyLedger(() => undefined)
      if (report.ok) continue
      this.accuse(`${post.code}: ledger verify: ${report.error?.code} ${report.error?.message}`)
    }
    // Entries of the nodes' own may have come since: once more, all must end with one head.
    await this.settle()
    await this.#countBlocks()
    return lost
  }

  print(print: (line: string) => void): void {
    for (const line of this.#evidence.slice(0, EVIDENCE_LINES_MAX)) print(`evidence: ${line}`)
    const warnings = [...this.#warnings].toSorted(([, a], [, b]) => b - a)
    const said = warnings.map(([event, count]) => `${event} ${count}`)
    print(`written by the nodes: ${said.join(", ") || "nothing"}`)
  }

  /** Of the nodes that answer. */
  async #statuses(): Promise<[string, LedgerStatus][]> {
    const asked = this.#network.posts.map(async ({ code, client }) => {
      try {
        return [[code, await client.ledgerStatus()] satisfies [string, LedgerStatus]]
      } catch (error) {
        if (!(error instanceof TarbartaError)) throw error
        return []
      }
    })
    return (await Promise.all(asked)).flat()
  }

  /** Every acknowledged entry stands in a final block, at a place of its own, and can be proven. */
  async #lost(acknowledged: readonly Acknowledged[]): Promise<number> {
    const places = new Set<number>()
    let lost = 0
    const demand = async (post: ProcessPost): Promise<void> => {
      for (const { id } of acknowledged.filter((one) => one.post === post)) {
        try {
          const index = await this.#prove(post, id)
          if (places.has(index)) this.accuse(`two messages stand at place ${index}`)
          places.add(index)
        } catch (error) {
          lost += 1
          this.#evidence.push(`${post.code} cannot prove ${id}: ${String(error)}`)
        }
      }
    }
    await Promise.all(this.#network.posts.map(demand))
    return lost
  }

  /** Returns where the entry of a message stands. */
  async #prove(post: ProcessPost, id: string): Promise<number> {
    const proof = decodeProof(await post.client.proof(id))
    const { cableId, index } = verifyProof(nativeSuite, this.#policy, proof)
    if (bytesToHex(cableId) !== id) {
      this.accuse(`${post.code}: the proof of ${id} is for another message`)
    }
    return index
  }

  /** Reads the ledger as an auditor would, for what it holds against validators. */
  async #countBlocks(): Promise<void> {
    const path = join(this.#network.folder, "ledger.copy")
    await writeFile(path, await this.#network.headquarters.client.ledgerCopy())
    const leaves: Uint8Array[] = []
    for await (const bytes of readLedgerCopy(path)) {
      const { block } = decodeFinalBlock(nativeSuite, bytes)
      this.blocks += 1
      leaves.push(...leavesOf(block.batches))
      for (const entry of block.batches.flatMap(({ entries }) => entries)) {
        this.entries += 1
        if (entry.type !== "evidence") continue
        this.accuse(`height ${block.header.height} has evidence against a validator`)
      }
    }
    this.#history.judge(leaves)
  }
}

function isSettled(statuses: readonly LedgerStatus[]): boolean {
  const [first] = statuses
  return statuses.every(
    ({ pending, blockHash, rootHash, isValidator, vote }) =>
      pending === 0 &&
      blockHash === first?.blockHash &&
      rootHash === first.rootHash &&
      (!isValidator || vote?.state === "voting"),
  )
}

/**
 * Capital's validator on a simulated disk: performs the effects of consensus in their order and can
 * lose power before any of them.
 *
 * What survives a crash is the log up to what was appended, and the store. The machine checks as it
 * goes: no vote leaves before its record is on the disk, and no two votes of one kind in one view
 * differ, over all lives together.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { equalBytes } from "../../protocol/bytes.ts"
import type { Batch } from "../../protocol/entry.ts"
import { blockHash, type Block, type FinalBlock } from "../../ledger/block.ts"
import { acceptBlock, buildBlock, checkProposal, genesisHead } from "../../ledger/chain.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import { step } from "../../ledger/consensus.ts"
import { Mempool } from "../../ledger/mempool.ts"
import type { Message } from "../../ledger/message.ts"
import { decodeRecord, encodeRecord, type EncodedRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type {
  ConsensusConfig,
  ConsensusEffect,
  ConsensusEvent,
  ConsensusState,
} from "../../ledger/state.ts"
import { encodeVote, VOTE_BYTES, type Vote } from "../../ledger/vote.ts"
import { ALONE, CAPITAL, CHAIN_ID, NOON_MS, RULES, signAs, submitKeyOf } from "./ledger.ts"
import { suite } from "./suites.ts"

/** What Capital brings along; by itself, nothing waits. */
export const CONFIG: ConsensusConfig = {
  suite,
  chainId: CHAIN_ID,
  validators: ALONE,
  self: 0,
  sign: signAs(CAPITAL),
  deltaMs: 500,
  hasWork: () => false,
}

/** The power went off. */
export class PowerCut extends Error {}

/** What outlives a process: the log, the final blocks, and what the world has seen of us. */
export class Disk {
  readonly log: EncodedRecord[] = []
  readonly finals: FinalBlock[] = []
  readonly heads: ChainHead[] = [genesisHead(CHAIN_ID)]
  /** Votes that left, by kind and view. */
  readonly sent = new Map<string, string>()
  /** Effects performed, in all lives. */
  operations = 0

  get head(): ChainHead {
    return this.heads.at(-1) ?? genesisHead(CHAIN_ID)
  }
}

export class TestValidator {
  readonly disk: Disk
  readonly mempool = new Mempool()
  readonly state: ConsensusState
  readonly rejected: string[] = []
  stopped: string | undefined
  /** Heads after blocks that were judged and are not final yet, by block hash. */
  readonly #heads = new Map<string, ChainHead>()
  #powerFor: number

  /** Starts from a disk; power fails after `powerFor` effects. */
  constructor(disk: Disk, powerFor = Infinity) {
    this.disk = disk
    this.#powerFor = powerFor
    const records = disk.log.map((record) => decodeRecord(suite, record))
    const { view, height, hash } = disk.head
    const certificate = disk.finals.at(-1)?.certificate
    const config = { ...CONFIG, hasWork: (parent: Uint8Array) => this.#hasWork(parent) }
    const restored = restoreConsensus(config, { view, height, hash }, certificate, records, 0)
    this.state = restored.state
    this.#perform(restored.effects)
  }

  /** A verified batch arrives. */
  submit(batch: Batch): void {
    this.mempool.add(batch, this.disk.head.serials)
    this.handle({ type: "submitted" })
  }

  /** Alone, nobody waits for anybody: time stands still. */
  handle(event: ConsensusEvent): readonly ConsensusEffect[] {
    const effects = step(this.state, event, 0)
    this.#perform(effects)
    return effects
  }

  #perform(effects: readonly ConsensusEffect[]): void {
    for (const effect of effects) {
      // A record of which a part reached the disk is none: its file drops it.
      if (this.#powerFor-- <= 0) throw new PowerCut("the power went off")
      this.disk.operations += 1
      this.#performOne(effect)
    }
    // The answers come after all effects of the step, as from a disk and a builder of their own.
    for (const effect of effects) {
      if (effect.type === "persist") this.handle({ type: "persisted", seq: effect.seq })
      if (effect.type === "checkBlock") this.#check(effect.block)
      if (effect.type === "buildBlock") this.#build(effect)
    }
  }

  #performOne(effect: ConsensusEffect): void {
    switch (effect.type) {
      case "persist":
        this.disk.log.push(encodeRecord(effect.record))
        break
      case "send":
        this.#send(effect.message)
        break
      case "deliver":
        for (const final of effect.blocks) this.#deliver(final)
        break
      case "reject":
        this.rejected.push(effect.code)
        break
      case "stop":
        this.stopped = effect.code
        break
      default:
        break
    }
  }

  #send(message: Message): void {
    if (message.type !== "vote" && message.type !== "proposal") return
    const { vote } = message
    const key = `${vote.kind} ${vote.view}`
    const hash = bytesToHex(vote.blockHash)
    const before = this.disk.sent.get(key) ?? hash
    if (before !== hash) throw new Error(`two ${key} votes left for different blocks`)
    this.disk.sent.set(key, hash)
    if (!this.#isLogged(vote)) throw new Error(`a ${key} vote left before it was on the disk`)
  }

  #isLogged(vote: Vote): boolean {
    const bytes = encodeVote(vote)
    return this.disk.log.some(({ payload }) => equalBytes(payload.subarray(0, VOTE_BYTES), bytes))
  }

  #deliver(final: FinalBlock): void {
    // The store had it when the power went off, and the log had not been told.
    if (final.block.header.height <= this.disk.head.height) return
    const head = acceptBlock(suite, this.disk.head, final, RULES)
    this.disk.finals.push(final)
    this.disk.heads.push(head)
    this.mempool.forget(head.serials)
  }

  #check(block: Block): void {
    const hash = blockHash(suite, block.header)
    const head = checkProposal(
      suite,
      this.#headAt(block.header.parent),
      block,
      submitKeyOf,
      NOON_MS,
    )
    this.#heads.set(bytesToHex(hash), head)
    this.handle({ type: "blockChecked", hash, verdict: "valid" })
  }

  #build(effect: Extract<ConsensusEffect, { type: "buildBlock" }>): void {
    const { view, parent, bytesMax } = effect
    const head = this.#headAt(parent.hash)
    const batches = this.mempool.take(head.serials, bytesMax, 0)
    const block = buildBlock(suite, head, view, batches, NOON_MS)
    const after = checkProposal(suite, head, block, submitKeyOf, NOON_MS)
    this.#heads.set(bytesToHex(after.hash), after)
    this.handle({ type: "blockBuilt", view, block })
  }

  #hasWork(parent: Uint8Array): boolean {
    const head = this.#findHead(parent)
    return head !== undefined && this.mempool.hasWork(head.serials)
  }

  #headAt(hash: Uint8Array): ChainHead {
    const head = this.#findHead(hash)
    if (head === undefined) throw new Error("a block was asked for on an unknown parent")
    return head
  }

  #findHead(hash: Uint8Array): ChainHead | undefined {
    const known = [this.disk.head, ...this.#heads.values()]
    return known.find((one) => equalBytes(one.hash, hash))
  }
}

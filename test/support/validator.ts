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
import { blockHash, type FinalBlock } from "../../ledger/block.ts"
import { acceptBlock, buildBlock, checkProposal, genesisHead } from "../../ledger/chain.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import { step } from "../../ledger/consensus.ts"
import { Mempool } from "../../ledger/mempool.ts"
import { decodeRecord, encodeRecord, type EncodedRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type {
  ConsensusConfig,
  ConsensusEffect,
  ConsensusEvent,
  ConsensusState,
  Message,
} from "../../ledger/view.ts"
import { encodeVote, VOTE_BYTES, type Vote } from "../../ledger/vote.ts"
import { ALONE, CAPITAL, CHAIN_ID, NOON_MS, RULES, signAs, submitKeyOf } from "./ledger.ts"
import { suite } from "./suites.ts"

export const CONFIG: ConsensusConfig = {
  suite,
  chainId: CHAIN_ID,
  validators: ALONE,
  self: 0,
  sign: signAs(CAPITAL),
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
  state: ConsensusState
  readonly rejected: string[] = []
  stopped: string | undefined
  /** Heads after blocks that are notarized and not yet final, by block hash. */
  readonly #heads = new Map<string, ChainHead>()
  #powerFor: number

  /** Starts from a disk; power fails after `powerFor` effects. */
  constructor(disk: Disk, powerFor = Infinity) {
    this.disk = disk
    this.#powerFor = powerFor
    const records = disk.log.map((record) => decodeRecord(suite, record))
    const { view, height, hash } = disk.head
    const certificate = disk.finals.at(-1)?.certificate
    for (const record of records) {
      if (record.kind === "notarize") this.#remember(record.block)
    }
    const restored = restoreConsensus(CONFIG, { view, height, hash }, certificate, records)
    this.state = restored.state
    this.#perform(restored.effects)
  }

  /** A verified batch arrives. */
  submit(batch: Batch): void {
    this.mempool.add(batch, this.disk.head.serials)
    this.handle({ type: "submitted" })
  }

  handle(event: ConsensusEvent): readonly ConsensusEffect[] {
    const { state, effects } = step(this.state, event)
    this.state = state
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
      if (effect.type === "buildBlock") this.#build(effect.view, effect.parent.hash)
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
        this.#deliver(effect)
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
    if (message.type === "certificate") return
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

  #deliver(delivered: Omit<FinalBlock, "links">): void {
    const { block, certificate } = delivered
    const final = { block, certificate, links: [] }
    const head = acceptBlock(suite, this.disk.head, final, RULES)
    this.disk.finals.push(final)
    this.disk.heads.push(head)
    this.mempool.forget(head.serials)
  }

  #build(view: number, parent: Uint8Array): void {
    const head = this.#headAt(parent)
    const batches = this.mempool.take(head.serials)
    if (batches.length === 0) {
      this.handle({ type: "blockBuilt", view, block: undefined, more: false })
      return
    }
    const block = buildBlock(suite, head, view, batches, NOON_MS)
    const after = checkProposal(suite, head, block, submitKeyOf, NOON_MS)
    this.#heads.set(bytesToHex(after.hash), after)
    const more = this.mempool.hasWork(after.serials)
    this.handle({ type: "blockBuilt", view, block, more })
  }

  #headAt(hash: Uint8Array): ChainHead {
    const known = [this.disk.head, ...this.#heads.values()]
    const head = known.find((one) => bytesToHex(one.hash) === bytesToHex(hash))
    if (head === undefined) throw new Error("a block was asked for on an unknown parent")
    return head
  }

  /** A block of the log that may not be final yet: what was voted for was checked before. */
  #remember(block: FinalBlock["block"]): void {
    const { header } = block
    const parent = [...this.#heads.values(), ...this.disk.heads].find((head) => {
      return bytesToHex(head.hash) === bytesToHex(header.parent)
    })
    if (parent === undefined) throw new Error("a logged block has no parent")
    const head = checkProposal(suite, parent, block, submitKeyOf, NOON_MS)
    this.#heads.set(bytesToHex(blockHash(suite, header)), head)
  }
}

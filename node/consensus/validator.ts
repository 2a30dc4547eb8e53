/**
 * A validator: performs what ledger/consensus.ts decides (LEDGER §8–9).
 *
 * Batches come in, are verified and wait in the mempool; `step` asks for a block, a vote goes to
 * the log before it leaves or counts, and a final block goes to the store before anybody hears of
 * it. Steps are synchronous and never wait for a disk: records of one turn share a sync, and what
 * they allow is sent when it is done. A disk that fails ends the node: nothing is tried twice.
 *
 * A validator that must not vote says why and leaves the rest of the node alone: it follows.
 */

import { acceptBlock } from "../../ledger/chain.ts"
import type { FinalBlock } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import { isOwn, step } from "../../ledger/consensus.ts"
import { LedgerError } from "../../ledger/errors.ts"
import type { Evidence } from "../../ledger/evidence.ts"
import { decodePacket, encodeMessage } from "../../ledger/message.ts"
import { decodeRecord, encodeRecord, type ConsensusRecord } from "../../ledger/record.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import {
  heldCertificates,
  newestVote,
  type ConsensusConfig,
  type ConsensusEffect,
} from "../../ledger/state.ts"
import type { ConsensusEvent, ConsensusState, Place } from "../../ledger/state.ts"
import { leaderOf, validatorIndex, type ValidatorSet } from "../../ledger/validators.ts"
import type { Vote } from "../../ledger/vote.ts"
import type { Suite } from "../../protocol/suite.ts"
import { PROTOCOLS } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import { keptOperations } from "./blame.ts"
import { BlockPace } from "./block-pace.ts"
import type { Finality } from "./finality.ts"
import { Heads, type WantedBlock } from "./heads.ts"
import { Intake } from "./intake.ts"
import { Journal } from "./journal.ts"
import { LogWatch } from "./log-watch.ts"
import { OwnRun, type ValidatorKeys } from "./own-run.ts"
import { Packets } from "./packets.ts"
import { Resubmission } from "./resubmission.ts"
import type { LedgerLog } from "./submitter.ts"
import { statusOf, type ValidatorStatus } from "./validator-status.ts"

export interface ValidatorParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly clock: Clock
  readonly log: LedgerLog
  readonly store: BlockStore
  readonly finality: Finality
  readonly transport: Transport
  readonly keys: ValidatorKeys
  /** Δ, in ms. */
  readonly deltaMs: number
  /** Transport keys of the validators, by number. */
  readonly peers: readonly PeerKey[]
  /** Our votes may go out from now on. */
  readonly onVoting: () => void
  /** A peer has a later final block. */
  readonly onBehind: (peer: PeerKey) => void
  readonly onEvidence: (evidence: Evidence) => void
  /** Certificates that must be there if there ever is a fork. */
  readonly onKeep: (certificates: readonly Certificate[]) => void
  /** Two final chains: these certificates and what is kept must show who lied. */
  readonly onFork: (certificates: readonly Certificate[]) => void
  /** This key must not vote any more; the node goes on as a follower. */
  readonly onRefused: (code: string, why: string) => void
  /** The node cannot go on: its disk failed, or there is a defect. */
  readonly onFatal: (error: unknown) => void
}

type HeldMessage = Extract<ConsensusEffect, { type: "send" }> & { readonly bytes: Uint8Array }

export class Validator {
  readonly #parts: ValidatorParts
  readonly #intake: Intake
  readonly #heads: Heads
  readonly #set: ValidatorSet
  readonly #config: ConsensusConfig
  readonly #packets: Packets
  readonly #resubmission: Resubmission
  readonly #watch: LogWatch
  readonly #journal: Journal<HeldMessage>
  readonly #pace: BlockPace
  readonly #run: OwnRun
  #events: ConsensusEvent[] = []
  #state: ConsensusState | undefined
  #isWorking = false
  #isRunning = false
  #isRefused = false
  #wanted: WantedBlock | undefined
  /** Blocks whose judgement waits for the directory. */
  #parked: Extract<ConsensusEffect, { type: "checkBlock" }>[] = []
  #timer: Timer | undefined
  #leave: (() => void) | undefined
  /** The log's records between the start and the first vote. */
  #recalled: readonly ConsensusRecord[] | undefined

  /**
   * @throws LedgerError `CONSENSUS_KEY` when the genesis does not have our key.
   */
  constructor(parts: ValidatorParts) {
    this.#parts = parts
    const { suite, chainId, finality, keys, deltaMs, transport, onFatal } = parts
    const { epoch } = finality.head
    const validators = finality.validatorsOf(epoch)
    const self = validators && validatorIndex(validators, keys.consensusKey)
    if (validators === undefined || self === undefined) {
      throw new LedgerError("CONSENSUS_KEY", `consensus: our key is not a validator's in ${epoch}`)
    }
    this.#set = validators
    this.#intake = new Intake({ suite, chainId, finality, clock: parts.clock })
    this.#heads = new Heads({ suite, finality, intake: this.#intake, log: parts.log })
    const hasWork = (parent: Uint8Array): boolean => this.#heads.hasWork(parent)
    this.#config = { suite, chainId, validators, self, sign: keys.sign, deltaMs, hasWork }
    this.#watch = new LogWatch(parts.clock, parts.log)
    this.#journal = new Journal(keys.wal, keys.records, this.#watch)
    this.#pace = new BlockPace(parts.clock, () => this.#collected())
    const others = parts.peers.map((peer, index) => (index === self ? undefined : peer))
    this.#run = new OwnRun({
      ...parts,
      validators,
      peers: parts.peers.filter((_, index) => index !== self),
      body: { epoch, signer: self, ...keys.run },
      sign: keys.sign,
      onDead: (code, why) => this.#refuse(code, why),
      onBug: onFatal,
    })
    this.#packets = new Packets({
      transport,
      epoch,
      finalView: () => this.#state?.final.view ?? finality.head.view,
      run: keys.run.nonce,
      peers: others,
      onAnswer: (peer, answer) => this.#run.hear(peer, answer),
      onBug: onFatal,
    })
    this.#resubmission = new Resubmission({
      transport,
      intake: this.#intake,
      peers: others,
      onBug: (error) => this.#fail(error),
    })
  }

  /**
   * Takes up where the log ends, once enough other validators have seen no later run of this key.
   *
   * @throws LedgerError `CONSENSUS_KEY_DEAD` and `RECORD_*` when the log is not the one that our
   * votes went to.
   */
  async start(): Promise<void> {
    // The same again when we may vote; what is wrong with the log is better known now.
    const { state } = await this.#restore()
    const { transport, peers } = this.#parts
    this.#isRunning = true
    this.#leave = transport.onContact((peer, contact) => {
      const index = peers.indexOf(peer)
      if (contact === "up" && index >= 0) this.#feed({ type: "contact", with: index })
    }, PROTOCOLS.consensus.lane)
    const isOurs = (vote: Vote): boolean => isOwn(state, vote)
    if (this.#set.quorum === 1) await this.#begin()
    else this.#run.ask(isOurs, () => void this.#begin())
  }

  stop(): void {
    this.#isRunning = false
    this.#leave?.()
    this.#run.stop()
    this.#timer?.cancel()
    this.#pace.stop()
  }

  status(): ValidatorStatus {
    const { clock, finality } = this.#parts
    return statusOf(this.#state, finality.head.view, clock.monotonicMs(), {
      isRefused: this.#isRefused,
      isCopied: this.#run.isCopied,
      isStalled: this.#watch.isStalled,
    })
  }

  /** The newest vote of a validator that is held here, for whoever asks with its key. */
  newestVote(signer: number): Vote | undefined {
    return this.#state && newestVote(this.#state, signer)
  }

  // --- what comes in -------------------------------------------------------------------------

  /**
   * Takes batches from their submitter or anybody who carries them: {@link Intake.submit}.
   *
   * @returns the serial that is expected next of their submitter.
   * @throws what the intake throws; NodeError `NODE_BUSY` while not running.
   */
  submit(batches: readonly Uint8Array[], from?: PeerKey): number {
    if (!this.#isRunning) throw new NodeError("NODE_BUSY", "the validator is not running")
    const { next, isNew } = this.#intake.submit(batches, from)
    if (isNew) this.#feed({ type: "submitted" })
    return next
  }

  /**
   * A packet from another validator.
   *
   * @returns our final view.
   * @throws ProtocolError, LedgerError of the decoders; NodeError `PEER_DENIED` for everybody else,
   * `NODE_BUSY` while we do not vote.
   */
  receive(peer: PeerKey, bytes: Uint8Array): number {
    const from = this.#parts.peers.indexOf(peer)
    if (from < 0) throw new NodeError("PEER_DENIED", "only validators take part in consensus")
    if (this.#state === undefined || this.#isRefused) {
      throw new NodeError("NODE_BUSY", "this validator does not vote now")
    }
    const { epoch, finalView, messages } = decodePacket(this.#parts.suite, bytes)
    if (epoch !== this.#set.epoch) {
      throw new LedgerError("MESSAGE_INVALID", `packet: expected epoch ${this.#set.epoch}`)
    }
    // While nothing can be written, votes would only pile up in memory.
    const heard = this.#watch.isStalled ? [] : messages
    if (heard.length === 0) {
      this.#events.push({ type: "message", from, finalView, message: { type: "heartbeat" } })
    }
    for (const message of heard) this.#events.push({ type: "message", from, finalView, message })
    this.#work()
    return this.#state.final.view
  }

  /** Final blocks that this node fetched and stored stand up to here. */
  adopted({ view, height, hash }: Place, certificates: readonly Certificate[]): void {
    const place = { view, height, hash }
    this.#feed({ type: "adopted", place, certificates })
    this.#committed(place.view).catch((error: unknown) => this.#fail(error))
  }

  /** Revoked: nothing of it can be recorded any more. */
  drop(submitter: number): void {
    this.#intake.mempool.drop(submitter)
  }

  // --- turns ---------------------------------------------------------------------------------

  /** In a turn of its own: blocks that were stored meanwhile would not be told to anybody. */
  async #begin(): Promise<void> {
    try {
      await this.#parts.finality.exclusive(async () => {
        const { state, effects } = await this.#restore()
        if (!this.#isRunning) return
        this.#state = state
        this.#isWorking = true
        for (const effect of effects) this.#perform(effect)
        this.#isWorking = false
        this.#work()
        if (!this.#isRefused) this.#parts.onVoting()
      })
    } catch (error) {
      if (error instanceof LedgerError) this.#refuse(error.code, error.message)
      else this.#fail(error)
    }
  }

  async #restore(): Promise<ReturnType<typeof restoreConsensus>> {
    const { suite, store, clock, keys } = this.#parts
    const { view, height, hash } = store.head
    const certificate = height === 0 ? undefined : (await store.finalHeader(height)).certificate
    const known = this.#recalled
    const records = known ?? keys.records.map((record) => decodeRecord(suite, record))
    const place = { view, height, hash }
    const nowMs = clock.monotonicMs()
    const isKnown = known !== undefined
    const restored = restoreConsensus(this.#config, place, certificate, records, nowMs, isKnown)
    // Their signatures are most of the work of a start, and it is done twice.
    this.#recalled = isKnown ? undefined : records
    return restored
  }

  /** Before the first vote there is nothing to tell: the restored state will know. */
  #feed(event: ConsensusEvent): void {
    if (this.#state === undefined || this.#isRefused) return
    this.#events.push(event)
    this.#work()
  }

  /** Steps until nothing is left to do; then what was decided goes to the log and out. */
  #work(): void {
    if (this.#isWorking || !this.#isRunning || this.#state === undefined || this.#isRefused) return
    this.#isWorking = true
    const { clock } = this.#parts
    try {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        for (const effect of step(this.#state, event, clock.monotonicMs())) this.#perform(effect)
      }
      void this.#sync()
      this.#packets.flush()
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isWorking = false
    }
  }

  #perform(effect: ConsensusEffect): void {
    const { log, peers, onBehind, onEvidence, onKeep } = this.#parts
    switch (effect.type) {
      case "persist":
        this.#journal.add(encodeRecord(effect.record), effect.seq)
        return
      case "send":
        this.#send(effect)
        return
      case "buildBlock":
        this.#wanted = effect
        if (effect.isClosing) this.#build()
        else this.#pace.ask()
        return
      case "checkBlock":
        this.#judge(effect)
        return
      case "deliver":
        this.#deliver(effect.blocks, effect.kept)
        return
      case "keep":
        onKeep(effect.certificates)
        return
      case "behind": {
        const peer = peers[effect.from]
        if (peer !== undefined) onBehind(peer)
        return
      }
      case "resubmit":
        this.#resubmission.send()
        return
      case "timer":
        this.#setTimer(effect.atMs)
        return
      case "evidence":
        onEvidence(effect.evidence)
        return
      case "reject":
        log.warn(effect.code, { validator: effect.from, message: effect.why })
        return
      case "stop":
        this.halt(effect.code, effect.why)
    }
  }

  /** One append and one sync for all records of the turn; then what they allow. */
  async #sync(): Promise<void> {
    try {
      const synced = await this.#journal.sync()
      if (synced === undefined) return
      for (const message of synced.due) this.#packets.add(message.bytes, message)
      this.#feed({ type: "persisted", seq: synced.seq })
    } catch (error) {
      this.#fail(error)
    }
  }

  #send(effect: Extract<ConsensusEffect, { type: "send" }>): void {
    if (this.#set.validators.length === 1) return
    const bytes = encodeMessage(effect.message)
    if (this.#journal.hold({ ...effect, bytes })) return
    // A validator that cannot vote is to be seen as silent, so that nobody waits for it (R8).
    if (!this.#watch.isStalled) this.#packets.add(bytes, effect)
  }

  #setTimer(atMs: number | undefined): void {
    const { clock } = this.#parts
    this.#timer?.cancel()
    this.#timer = undefined
    if (atMs === undefined) return
    this.#timer = clock.after(Math.max(0, atMs - clock.monotonicMs()), () => {
      this.#feed({ type: "tick" })
    })
  }

  // --- blocks --------------------------------------------------------------------------------

  #collected(): void {
    try {
      this.#build()
      this.#work()
    } catch (error) {
      this.#fail(error)
    }
  }

  #build(): void {
    const wanted = this.#wanted
    if (wanted === undefined || !this.#isRunning) return
    this.#wanted = undefined
    const { clock } = this.#parts
    const block = this.#watch.isStalled ? undefined : this.#heads.build(wanted, clock.now())
    if (block !== undefined) this.#pace.seen()
    this.#events.push({ type: "blockBuilt", view: wanted.view, block })
  }

  #judge(effect: Extract<ConsensusEffect, { type: "checkBlock" }>): void {
    const { clock, log } = this.#parts
    const { hash, block } = effect
    const { height } = block.header
    if (height <= (this.#state?.delivered.height ?? 0)) {
      // Beside what is final, or that itself: nobody will vote for it here.
      this.#events.push({ type: "blockChecked", hash, verdict: "invalid" })
      return
    }
    // The follower has folded a final block of this height, and consensus hears of it once it is
    // stored. Until then what stood below is forgotten, and no judgement would mean anything.
    const isOvertaken = height <= this.#parts.finality.head.height
    const judgement = isOvertaken ? undefined : this.#heads.judge(block, clock.now())
    if (judgement === undefined) {
      this.#parked.push(effect)
      return
    }
    const { verdict, why } = judgement
    const { view } = block.header
    const facts = { validator: leaderOf(this.#set, view), view }
    if (why !== undefined) log.warn("CONSENSUS_BLOCK", { ...facts, message: why })
    if (verdict === "valid") this.#pace.seen()
    this.#events.push({ type: "blockChecked", hash, verdict })
  }

  /** Final blocks go to the store one after another; consensus does not wait for them. */
  #deliver(blocks: readonly FinalBlock[], kept: readonly Certificate[]): void {
    this.#parts.finality
      .exclusive(async () => this.#store(blocks, kept))
      .catch((error: unknown) => this.#fail(error))
  }

  async #store(blocks: readonly FinalBlock[], kept: readonly Certificate[]): Promise<void> {
    const { suite, finality } = this.#parts
    const staged = blocks
      .filter(({ block }) => block.header.height > finality.head.height)
      .map((final, index) => {
        const hash = final.links[0]?.parent ?? final.certificate.blockHash
        const head = this.#heads.of(hash) ?? acceptBlock(suite, finality.head, final, finality)
        return finality.fold(final, head, index === 0 ? keptOperations(kept) : [])
      })
    await finality.commit(staged)
    await this.#committed(finality.head.view)
  }

  /** Blocks are in the store: what they decided is forgotten, what waited for them goes on. */
  async #committed(finalView: number): Promise<void> {
    this.#intake.mempool.forget(this.#parts.finality.head.serials)
    this.#heads.forget()
    const parked = this.#parked
    this.#parked = []
    for (const effect of parked) this.#judge(effect)
    this.#feed({ type: "submitted" })
    await this.#journal.trim(finalView)
  }

  // --- endings -------------------------------------------------------------------------------

  /** Our votes end; of two final chains what is held here is kept for blame. */
  halt(code: string, why: string): void {
    const state = this.#state
    if (code === "CONSENSUS_FORK" && state) this.#parts.onFork(heldCertificates(state))
    this.#refuse(code, why)
  }

  /** Never vote again in this run; the node follows. */
  #refuse(code: string, why: string): void {
    if (this.#isRefused) return
    this.#isRefused = true
    this.stop()
    this.#journal.drop()
    this.#parts.log.warn(code, { message: why })
    this.#parts.onRefused(code, why)
  }

  /** The end. After an orderly stop, log and store are closed and refuse what was under way. */
  #fail(error: unknown): void {
    const wasRunning = this.#isRunning
    this.stop()
    if (wasRunning) this.#parts.onFatal(error)
  }
}

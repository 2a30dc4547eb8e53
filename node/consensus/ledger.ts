/**
 * The ledger as the rest of the node sees it: one object over store, directory, submitter, follower
 * and, where there is a key for it, the validator (ARCHITECTURE, journey of a cable).
 *
 * Entries go in through {@link Ledger.entryOperation} and {@link Ledger.poke}; final blocks come
 * out through {@link Ledger.onFinal}, once they are on the disk. Nothing else waits for the ledger.
 */

import { votesOf } from "../../ledger/certificate.ts"
import type { ChainHead } from "../../ledger/chain.ts"
import { decodePacketHead, encodePacketAnswer } from "../../ledger/message.ts"
import type { Vote } from "../../ledger/vote.ts"
import { assert } from "../../protocol/assert.ts"
import { Directory } from "../../protocol/directory.ts"
import type { Entry, Signer } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import { decodeSubmitRequest, encodeNumber, PROTOCOLS } from "../../protocol/wire.ts"
import { bytesToHex } from "@noble/hashes/utils.js"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Carrier, PeerKey, Transport } from "../network/transport.ts"
import { BlockStore, type Place } from "../store/blocks.ts"
import type { Database, Operation } from "../store/database.ts"
import { checkDirectoryRows, DirectoryRows } from "../store/directory.ts"
import { rebuildStore } from "../store/rebuild.ts"
import type { CheckpointKeys } from "./checkpoints.ts"
import { Finality, type Final } from "./finality.ts"
import { Follower, type SyncMode } from "./follower.ts"
import { Healer } from "./healer.ts"
import { Publisher } from "./publisher.ts"
import type { Repaired } from "./repair.ts"
import { PacedLog } from "./paced-log.ts"
import { LedgerServer } from "./server.ts"
import { Submitter, type LedgerLog } from "./submitter.ts"
import { Blame, type Accusation } from "./blame.ts"
import { Runs } from "./runs.ts"
import type { ValidatorKeys } from "./own-run.ts"
import type { ValidatorStatus } from "./validator-status.ts"
import { Voting, type Refusal } from "./voting.ts"
import { verifyStored, type VerifiedLedger, type VerifyOptions } from "./verify.ts"

export interface LedgerParts {
  readonly suite: Suite
  readonly database: Database
  readonly transport: Transport
  readonly clock: Clock
  readonly genesisBytes: Uint8Array
  readonly self: {
    /** Our transport key; names our mission once the ledger admits it. */
    readonly peer: PeerKey
    /** Signs with our submit key. */
    readonly signBatch: Signer
  }
  /** On a validator: its consensus key and its log. */
  readonly validator?: ValidatorKeys
  /** Why a validator's key must not vote, as far as its own disk shows. */
  readonly refusal?: Refusal
  /** Puts evidence against a validator into an entry of ours. */
  readonly recordEvidence?: (payload: Uint8Array) => Promise<void>
  /** What signs checkpoints. */
  readonly checkpoints: CheckpointKeys
  /** How a follower catches up; `auto` when absent. */
  readonly sync?: SyncMode
  readonly log: LedgerLog
  /** The ledger cannot go on (disk, consensus log or key): the node must end. */
  readonly onFatal: (error: unknown) => void
}

/** What exists between `start` and `stop`. */
interface Running {
  readonly store: BlockStore
  readonly finality: Finality
  readonly follower: Follower
  readonly healer: Healer
  readonly server: LedgerServer
  readonly blame: Blame
  readonly runs: Runs
  readonly publisher: Publisher
}

export class Ledger {
  /** Who is who at the newest final block here. */
  readonly directory: Directory
  readonly #parts: LedgerParts
  readonly #submitter: Submitter
  readonly #voting: Voting
  readonly #forks = new Set<string>()
  /** What other validators can make us say. */
  readonly #paced: PacedLog
  readonly #listeners = new Set<(final: Final) => void>()
  #running: Running | undefined

  /**
   * Registers its protocols with the transport, which must not have started.
   *
   * @throws ProtocolError for a genesis that does not verify.
   */
  constructor(parts: LedgerParts) {
    this.#parts = parts
    this.directory = new Directory(parts.suite, parts.genesisBytes)
    this.#submitter = new Submitter({
      suite: parts.suite,
      chainId: this.directory.net,
      database: parts.database,
      transport: parts.transport,
      clock: parts.clock,
      log: parts.log,
      sign: parts.self.signBatch,
      validators: () => this.#validatorPeers(),
      ...(parts.validator === undefined
        ? {}
        : { submitHere: async (some) => Promise.resolve(this.#voting.demand().submit(some)) }),
    })
    const { database, validator: keys, refusal } = parts
    this.#paced = new PacedLog(parts.log, parts.clock)
    const log = this.#paced
    this.#voting = new Voting({ database, log, keys, refusal, onFatal: this.#fail })
    const { transport } = parts
    transport.handle(PROTOCOLS.height, async (peer, request) => {
      return Promise.resolve(this.#live().follower.receiveHeight(peer, request))
    })
    transport.handle(PROTOCOLS.newest, async (_, request) => {
      return this.#live().server.newest(request)
    })
    transport.handle(PROTOCOLS.blocks, async (_, request) => {
      return this.#live().server.blocks(request)
    })
    transport.handle(PROTOCOLS.holders, async (_, request) => {
      return this.#live().server.holders(request)
    })
    transport.handle(PROTOCOLS.bundle, async (_, request) => {
      return this.#live().server.bundle(request)
    })
    transport.handle(PROTOCOLS.consensus, async (peer, request, carrier) => {
      return Promise.resolve(this.#packet(peer, request, carrier))
    })
    transport.handle(PROTOCOLS.proposal, async (peer, request) => {
      return Promise.resolve(this.#packet(peer, request))
    })
    transport.handle(PROTOCOLS.boot, async (peer, request, carrier) => {
      return this.#live().runs.receive(peer, request, carrier)
    })
    transport.handle(PROTOCOLS.cosign, async (peer, request) => {
      return this.#live().publisher.checkpoints.receive(peer, request)
    })
    transport.handle(PROTOCOLS.checkpoint, async (_, request) => {
      return this.#live().publisher.checkpoints.serve(request)
    })
    transport.handle(PROTOCOLS.submit, async (peer, request) => {
      const batches = decodeSubmitRequest(request)
      return Promise.resolve(encodeNumber(this.#voting.demand().submit(batches, peer)))
    })
  }

  /**
   * Opens the stored ledger, rebuilds the directory, and starts to follow, submit and validate.
   *
   * @throws NodeError `STORE_DAMAGED` when the newest part of the stored ledger is damaged,
   * `STORE_FAILED`.
   */
  async start(): Promise<void> {
    assert(this.#running === undefined, "a ledger starts once")
    const { suite, database, transport, clock, log } = this.#parts
    const { directory } = this
    const chainId = directory.net
    const store = await this.#open()
    const rows = new DirectoryRows()
    await rows.load(database, suite, directory, store.head.frontier.size)
    const finality = new Finality({
      suite,
      store,
      directory,
      rows,
      ownOperations: (entries) => this.#submitter.finalOperations(this.#ownOf(entries)),
      onStored: (final) => this.#stored(final),
    })
    const { blame, runs } = this.#watching(finality)
    await this.#voting.create({
      suite,
      chainId,
      clock,
      store,
      finality,
      transport,
      deltaMs: directory.genesis.policy.consensusDeltaMs,
      peers: this.#validatorKeys(),
      onBehind: (peer) => this.#running?.follower.catchUp(peer),
      onVoting: () => this.#running?.publisher.checkpoints.poke(),
      onEvidence: (evidence) => blame.accuse(evidence),
      onKeep: (certificates) => blame.keep(certificates),
      onFork: (certificates) => blame.judgeFork(certificates),
      onFatal: this.#fail,
    })
    const { validator } = this.#voting
    const follower = new Follower({
      suite,
      transport,
      clock,
      log,
      store,
      finality,
      validators: () => this.#validatorPeers(),
      ...(validator && {
        validator: { onAdopted: (head, certificates) => validator.adopted(head, certificates) },
      }),
      ...(this.#parts.sync && { mode: this.#parts.sync }),
      onFork: (certificates, why) => {
        blame.judgeFork(certificates)
        this.#voting.fork(why)
        this.#forks.add(`CONSENSUS_FORK: ${why}`)
      },
      onFatal: this.#fail,
    })
    const healer = this.#healing(store, finality, follower)
    this.#running = {
      store,
      finality,
      follower,
      healer,
      server: new LedgerServer(store, () => void healer.heal()),
      blame,
      runs,
      publisher: this.#publishing(store, finality),
    }
    await this.#voting.start()
    await this.#running.publisher.start()
    follower.start()
    await this.#submitter.start(this.rid === undefined ? 0 : store.lastSeq(this.rid))
    blame.resume(this.pending())
  }

  #healing(store: BlockStore, { validatorsOf }: Finality, follower: Follower): Healer {
    const { transport } = this.#parts
    return new Healer({
      ...this.#parts,
      chainId: this.directory.net,
      store,
      validatorsOf,
      peers: () => transport.connected(),
      fetch: async (peer, from, count) => follower.fetch(peer, from, count),
      fetchEntries: async (...query) => follower.fetchEntries(...query),
      onFatal: this.#fail,
    })
  }

  /** What others check this ledger by. */
  #publishing(store: BlockStore, { validatorsOf }: Finality): Publisher {
    return new Publisher({
      ...this.#parts,
      log: this.#paced,
      directory: this.directory,
      store,
      validatorsOf,
      self: this.#parts.self.peer,
      rid: () => this.rid,
      isVoting: () => this.#voting.isVoting,
      validators: () => this.#validatorKeys(),
      onFatal: this.#fail,
    })
  }

  /** What this node keeps of the validators' conduct. */
  #watching({ validatorsOf }: Finality): { blame: Blame; runs: Runs } {
    const { suite, database, clock, recordEvidence } = this.#parts
    const chainId = this.directory.net
    const validators = validatorsOf(0)
    assert(validators !== undefined, "a genesis has validators")
    const blame = new Blame({
      suite,
      chainId,
      database,
      validatorsOf,
      record: recordEvidence ?? (async () => Promise.resolve()),
      onFatal: this.#fail,
    })
    const runs = new Runs({
      suite,
      chainId,
      database,
      clock,
      validators,
      peers: this.#validatorKeys(),
      newestVote: async (signer) => this.#newestVote(signer),
    })
    return { blame, runs }
  }

  /**
   * Which run speaks is noted before anything else, whether we vote or not: it must be known when
   * another one asks. `carrier` is that of the urgent lane.
   */
  #packet(peer: PeerKey, request: Uint8Array, carrier?: Carrier): Uint8Array {
    const { runs, store } = this.#live()
    const { run } = decodePacketHead(request)
    const notice = carrier === undefined ? runs.noticeOf(peer, run) : runs.hear(peer, run, carrier)
    const isOver = notice === "superseded"
    const finalView = isOver ? store.head.view : this.#voting.demand().receive(peer, request)
    return encodePacketAnswer({ finalView, notice })
  }

  /** Of what consensus holds here and of the newest final certificate. */
  async #newestVote(signer: number): Promise<Vote | undefined> {
    const { store } = this.#live()
    const { height } = store.head
    const certified = height === 0 ? [] : votesOf((await store.finalHeader(height)).certificate)
    const final = certified.find((vote) => vote.signer === signer)
    const held = this.#voting.validator?.newestVote(signer)
    if (held === undefined || final === undefined) return held ?? final
    return held.view >= final.view ? held : final
  }

  stop(): void {
    this.#running?.healer.stop()
    this.#running?.publisher.stop()
    this.#submitter.stop()
    this.#running?.follower.stop()
    this.#voting.stop()
    this.#paced.stop()
  }

  /** Our number on the ledger; undefined until the mission is admitted. */
  get rid(): number | undefined {
    return this.directory.missionByPeer(this.#parts.self.peer)?.rid
  }

  /** How consensus stands here; undefined on a node that is no validator. */
  validatorStatus(): (ValidatorStatus & { readonly refusal?: Refusal }) | undefined {
    return this.#voting.status(this.#live().store.head.view)
  }

  /** Validators that are known to have contradicted themselves. */
  async accusations(): Promise<Accusation[]> {
    return this.#live().blame.list()
  }

  /** Where the stored chain ends. */
  head(): ChainHead {
    return this.#live().store.head
  }

  /** Highest height that is known or claimed by a connected peer. */
  heightSeen(): number {
    return this.#live().follower.heightSeen()
  }

  /** The row of an entry, for the batch that gives it its serial; `poke` once it is written. */
  entryOperation(entry: Entry): Operation {
    return this.#submitter.entryOperation(entry)
  }

  /** Rows were written: submits what they hold. */
  async poke(): Promise<void> {
    await this.#submitter.poke()
  }

  /** Our entries that are not final, in the order of their serials. */
  pending(): Entry[] {
    return this.#submitter.pending()
  }

  /** Newest final serial of a submitter, 0 for none. */
  lastSeq(submitter: number): number {
    return this.#live().store.lastSeq(submitter)
  }

  /** An entry of a mission with its place; undefined while it is not final here. */
  async entryOf(
    submitter: number,
    seq: number,
  ): Promise<(Place & { readonly commitment: Uint8Array }) | undefined> {
    const { store } = this.#live()
    const place = await store.find(submitter, seq)
    if (place === undefined) return undefined
    return { ...place, commitment: (await store.entry(place.index)).commitment }
  }

  /** Hears of every final block once it is on the disk, in order. Returns unsubscribe. */
  onFinal(listener: (final: Final) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What others check this ledger by: proofs, and the files of a publication. */
  get publisher(): Publisher {
    return this.#live().publisher
  }

  /** Forks that were seen, and cosigners of this node that ended, for its operator. */
  warnings(): readonly string[] {
    return [...this.#forks, ...(this.#running?.publisher.warnings() ?? [])]
  }

  /**
   * Encoded final blocks from a height on, up to the head at the time of the call.
   *
   * @throws NodeError `STORE_DAMAGED`, `STORE_GAP`.
   */
  blocks(fromHeight = 1): AsyncGenerator<Uint8Array, void, void> {
    const { store } = this.#live()
    store.demandBlocks(fromHeight)
    return store.each(fromHeight)
  }

  /**
   * Verifies the whole stored ledger from the genesis on, and that the store's tree hashes, lookups
   * and directory are those that its blocks make.
   *
   * @throws NodeError `LEDGER_INVALID` or `STORE_DAMAGED`, naming what and where.
   */
  async verifyAll(options: VerifyOptions = {}): Promise<VerifiedLedger> {
    const { suite, genesisBytes, clock } = this.#parts
    return verifyStored(suite, genesisBytes, this.#live().store, { clock, ...options })
  }

  /** Finds stored blocks that cannot be read and heals them from peers; one run at a time. */
  async repair(): Promise<Repaired> {
    return this.#live().healer.repair()
  }

  /**
   * Opens the store. Where the newest rows are damaged, the longest sound beginning of the ledger
   * is kept and the rest fetched again. A validator's promises are in its log, not here: it votes
   * in later views only, and builds on nothing that it does not have.
   */
  async #open(): Promise<BlockStore> {
    const { suite, database, genesisBytes, clock, log } = this.#parts
    const chainId = this.directory.net
    try {
      await checkDirectoryRows(database)
      return await BlockStore.open(database, suite, chainId)
    } catch (error) {
      const isDamage = error instanceof NodeError && error.code === "STORE_DAMAGED"
      if (!isDamage) throw error
      const height = await rebuildStore(database, suite, genesisBytes, clock)
      log.warn("LEDGER_REBUILT", { height, message: error.message })
      return BlockStore.open(database, suite, chainId)
    }
  }

  #stored(final: Final): void {
    for (const outcome of final.outcomes) {
      if (outcome.type === "revoked") this.#voting.validator?.drop(outcome.mission.rid)
    }
    this.#running?.blame.onFinal(final)
    const isNews = this.#submitter.settle(this.#ownOf(final.entries.map(({ entry }) => entry)))
    // Rows behind a serial that became final without us knowing of it can be loaded now.
    if (isNews) this.poke().catch(this.#fail)
    for (const listener of this.#listeners) listener(final)
    this.#running?.publisher.checkpoints.poke()
    if (this.#voting.validator !== undefined) this.#running?.follower.announce()
  }

  #ownOf(entries: readonly Entry[]): Entry[] {
    const { rid } = this
    return entries.filter((entry) => entry.submitter === rid)
  }

  /** Transport keys of the other validators. */
  #validatorPeers(): PeerKey[] {
    return this.#validatorKeys().filter((peer) => peer !== this.#parts.self.peer)
  }

  /** Transport keys of all validators, by their numbers; a genesis has no others. */
  #validatorKeys(): PeerKey[] {
    const { genesis } = this.directory
    const ordered = genesis.validators.toSorted((a, b) => a.rid - b.rid)
    return ordered.map(({ rid }) => {
      const mission = this.directory.mission(rid)
      assert(mission !== undefined, "a validator is a founding mission")
      return bytesToHex(mission.facts.transportKey)
    })
  }

  #live(): Running {
    if (this.#running !== undefined) return this.#running
    throw new NodeError("NODE_BUSY", "the ledger is not open yet")
  }

  readonly #fail = (error: unknown): void => {
    this.stop()
    this.#parts.onFatal(error)
  }
}

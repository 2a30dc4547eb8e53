/**
 * The composition of a node: its parts from a clock, a transport, a database and keys; what each
 * tells the others; and the order in which they start and stop (ARCHITECTURE, "Parts").
 *
 * Everything with an effect comes in from outside, so that the simulated world of the tests runs
 * this same code in virtual time. start.ts makes the real world for it.
 */

import { payloadEntry, type Entry } from "../protocol/entry.ts"
import { TarbartaError } from "../protocol/errors.ts"
import type { RandomSource, Suite } from "../protocol/suite.ts"
import { PROTOCOLS } from "../protocol/wire.ts"
import { EventLog } from "./api/events.ts"
import { ClockCheck } from "./clock-check.ts"
import type { Clock } from "./clock.ts"
import type { SyncMode } from "./consensus/follower.ts"
import { Ledger } from "./consensus/ledger.ts"
import type { Refusal } from "./consensus/voting.ts"
import type { Final } from "./consensus/finality.ts"
import type { CheckpointKeys } from "./consensus/checkpoints.ts"
import type { ValidatorKeys } from "./consensus/own-run.ts"
import { Counters } from "./delivery/counters.ts"
import { Dispatcher } from "./delivery/dispatcher.ts"
import { Inbox } from "./delivery/inbox.ts"
import { memberOfPeer } from "./delivery/lookups.ts"
import { Marks } from "./delivery/marks.ts"
import { Outbox, type Self } from "./delivery/outbox.ts"
import { isDisk, Receipts } from "./delivery/receipts.ts"
import { Relay } from "./delivery/relay.ts"
import { isFlash, toHex, type ReceivedRow } from "./delivery/rows.ts"
import { Sent, type SentEvent } from "./delivery/sent.ts"
import { Epochs } from "./epochs.ts"
import { Line } from "./hotline/line.ts"
import type { SignalRow } from "./hotline/rows.ts"
import type { Log } from "./log.ts"
import type { PeerKey, ProtocolSpec, Transport } from "./network/transport.ts"
import { Service } from "./service.ts"
import type { Database } from "./store/database.ts"
import { Names, signalOf, summaryOfReceived } from "./views.ts"
import { NodeError } from "./errors.ts"

/** The private side of a mission: signers, and the public halves that go with them. */
export interface NodeKeys {
  readonly signing: Self["sign"]
  readonly signingKey: Uint8Array
  /** Public transport key: what finds this mission in the directory. */
  readonly transportKey: Uint8Array
  /** Officers' keys, in any order; names and roles come from the directory. */
  readonly officers: readonly { readonly publicKey: Uint8Array; readonly sign: Self["sign"] }[]
  /** Signs ledger batches with the submit key. */
  readonly signBatch: (message: Uint8Array) => Uint8Array
  /** On a validator: its consensus key and its opened log. */
  readonly validator?: ValidatorKeys
  /** Sign checkpoints. */
  readonly checkpoints: CheckpointKeys
}

export interface NodeParts {
  readonly code: string
  readonly genesis: Uint8Array
  readonly keys: NodeKeys
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  /** Sealed: everything a node stores goes through it. */
  readonly database: Database
  readonly transport: Transport
  readonly addresses: () => readonly string[]
  /** Keep copies for members that are away. */
  readonly relays: boolean
  /** Why this validator's key must not vote, as far as its disk shows. */
  readonly refusal?: Refusal
  /** How the ledger is fetched when we are behind; `auto` when absent. */
  readonly ledgerSync?: SyncMode
  readonly log: Log
  readonly warnings: readonly string[]
  readonly pid: number
  readonly onFatal: (error: unknown) => void
  /** Somebody asked the node to stop. */
  readonly onStop: () => void
}

export class TarbartaNode {
  readonly #parts: NodeParts
  readonly #ledger: Ledger
  readonly #counters: Counters
  readonly #events: EventLog
  readonly #outbox: Outbox
  readonly #sent: Sent
  readonly #inbox: Inbox
  readonly #dispatcher: Dispatcher
  readonly #receipts: Receipts
  readonly #relay: Relay
  readonly #line: Line
  readonly #epochs: Epochs
  readonly #names: Names
  readonly #clockCheck: ClockCheck
  readonly service: Service
  #self: Self | undefined
  #leave: (() => void)[] = []

  private constructor(parts: NodeParts, ledger: Ledger) {
    this.#parts = parts
    this.#ledger = ledger
    const { database, clock } = parts
    this.#events = new EventLog(clock)
    this.#names = new Names(ledger.directory)
    this.#clockCheck = new ClockCheck(clock)
    this.#counters = new Counters(database)
    const shared = this.#shared(ledger)
    this.#epochs = new Epochs({ ...shared, signingKey: parts.keys.signingKey })
    this.#sent = new Sent({ ...shared, emit: (event) => this.#onSent(event) })
    this.#outbox = new Outbox({
      ...shared,
      sent: this.#sent,
      onQueued: (id, recipients, precedence) => {
        this.#events.publish({ type: "cable-queued", id })
        this.#poke()
        const isUrgent = isFlash(precedence)
        for (const rid of recipients) this.#dispatcher.wake(rid, isUrgent)
      },
    })
    this.#receipts = new Receipts({
      ...shared,
      isOurs: async (id, rid) =>
        (await this.#sent.has(id, rid)) || (await this.#line.hasRaised(id, rid)),
      onReceipts: async (receipts, proofs) => {
        await this.#sent.receive(receipts, proofs)
        await this.#line.receipts(receipts)
      },
    })
    this.#inbox = new Inbox({
      ...shared,
      anchorOf: async (rid, seq) => ledger.entryOf(rid, seq),
      onReceived: (row) => this.#tellReceived(row),
    })
    this.#dispatcher = new Dispatcher({ ...shared, sent: this.#sent })
    this.#relay = new Relay(shared)
    this.#line = new Line({
      ...shared,
      onReceived: (row) =>
        this.#tellSignal(
          row.displayedMs === undefined ? "signal-received" : "signal-progress",
          row,
        ),
      onProgress: (row) => this.#tellSignal("signal-progress", row),
    })
    this.service = new Service({
      ...shared,
      ledger,
      outbox: this.#outbox,
      sent: this.#sent,
      inbox: this.#inbox,
      relay: this.#relay,
      line: this.#line,
      events: this.#events,
      code: parts.code,
      addresses: parts.addresses,
      pid: parts.pid,
      startedMs: clock.now(),
      warnings: () => [
        ...parts.warnings,
        ...this.#clockCheck.warnings(),
        ...this.#epochs.warnings(),
        ...ledger.warnings(),
      ],
      stop: parts.onStop,
    })
    this.#handle()
  }

  /** What most parts need: the outside world, and each other by functions. */
  #shared(ledger: Ledger) {
    const { database, suite, random, clock, transport, onFatal } = this.#parts
    return {
      database,
      suite,
      random,
      clock,
      transport,
      onFatal,
      directory: ledger.directory,
      counters: this.#counters,
      marks: new Marks(database),
      self: (): Self | undefined => this.#self,
      rid: (): number | undefined => this.#self?.rid,
      height: (): number => ledger.head().height,
      peerOf: (rid: number): PeerKey | undefined => this.#peerOf(rid),
      entryOperation: (entry: Entry) => {
        this.#clockCheck.made(entry.submitterSeq)
        return ledger.entryOperation(entry)
      },
      onEntry: (): void => this.#poke(),
      epochSeedOf: (epoch: number, ekHash: Uint8Array): Uint8Array | undefined =>
        this.#epochs.seedOf(epoch, ekHash),
      issue: (...args: Parameters<Receipts["issue"]>) => this.#receipts.issue(...args),
      issueAgain: (...args: Parameters<Receipts["issueAgain"]>) =>
        this.#receipts.issueAgain(...args),
      issued: (...args: Parameters<Receipts["issued"]>) => this.#receipts.issued(...args),
    }
  }

  #tellReceived(row: ReceivedRow): void {
    this.#events.publish({ type: "cable-received", cable: summaryOfReceived(row, this.#names) })
  }

  #tellSignal(type: "signal-received" | "signal-progress", row: SignalRow): void {
    this.#events.publish({ type, signal: signalOf(row, this.#names, this.#self?.rid ?? 0) })
  }

  /** Opens the ledger and what is stored; nothing is sent or answered before {@link start}. */
  static async open(parts: NodeParts): Promise<TarbartaNode> {
    const { database, suite, transport, clock, keys, log, onFatal } = parts
    const ledger = new Ledger({
      database,
      suite,
      transport,
      clock,
      log,
      onFatal,
      genesisBytes: parts.genesis,
      self: { peer: toHex(keys.transportKey), signBatch: keys.signBatch },
      checkpoints: keys.checkpoints,
      ...(parts.ledgerSync === undefined ? {} : { sync: parts.ledgerSync }),
      ...(keys.validator === undefined ? {} : { validator: keys.validator }),
      ...(parts.refusal === undefined ? {} : { refusal: parts.refusal }),
      recordEvidence: async (payload) => node.#recordEvidence(payload),
    })
    const node = new TarbartaNode(parts, ledger)
    await node.#counters.load()
    await node.#epochs.load()
    await node.#receipts.load()
    await node.#relay.load()
    await node.#sent.load()
    return node
  }

  /** Joins the network. Resolves when the parts run; contact with peers comes by itself. */
  async start(): Promise<void> {
    const { transport } = this.#parts
    // The directory is needed before the first peer is let in.
    await this.#ledger.start()
    this.#meet()
    this.#leave.push(
      transport.onContact((peer, state) => this.#onContact(peer, state === "up")),
      this.#ledger.onFinal((final) => this.#onFinal(final)),
    )
    await transport.start()
    this.#relay.start()
    await this.#line.start()
    this.#receipts.start()
    await this.#dispatcher.start()
    this.#epochs.start()
  }

  async stop(): Promise<void> {
    for (const leave of this.#leave) leave()
    this.#epochs.stop()
    this.#dispatcher.stop()
    this.#line.stop()
    this.#receipts.stop()
    this.#relay.stop()
    this.#ledger.stop()
    await this.#parts.transport.stop()
  }

  #handle(): void {
    this.#answer(PROTOCOLS.deliver, async (request) => this.#inbox.receive(request))
    this.#answer(PROTOCOLS.hotline, async (request) => this.#line.receive(request))
    this.#answer(PROTOCOLS.receipt, async (request) => this.#receipts.receive(request))
    if (!this.#parts.relays) return
    this.#answer(PROTOCOLS.relay, async (request) => this.#relay.receive(request))
  }

  /** A handler for members. A failing disk ends the node; a defect of ours refuses the one copy. */
  #answer(protocol: ProtocolSpec, handler: (request: Uint8Array) => Promise<Uint8Array>): void {
    this.#parts.transport.handle(protocol, async (from, request) => {
      this.#demandMember(from)
      try {
        return await handler(request)
      } catch (error) {
        if (isDisk(error)) this.#parts.onFatal(error)
        if (error instanceof TarbartaError) throw error
        const reason = error instanceof Error ? error.message : "unknown"
        this.#parts.log.error("handler failed", { protocol: protocol.id, reason })
        const why = "a defect of this node met this request; see its log"
        throw new NodeError("CABLE_REFUSED", why, { cause: error })
      }
    })
  }

  #demandMember(peer: PeerKey): void {
    const height = this.#ledger.head().height
    if (memberOfPeer(this.#ledger.directory, peer, height) !== undefined) return
    throw new NodeError("PEER_DENIED", `peer ${peer.slice(0, 8)} is no member`)
  }

  /** Tells transport and parts who belongs now. */
  #meet(): void {
    const { keys, transport } = this.#parts
    const { directory } = this.#ledger
    const height = this.#ledger.head().height
    const own = toHex(keys.transportKey)
    const mission = directory.missionByPeer(own)
    if (mission !== undefined && this.#self === undefined) {
      const officers = mission.facts.officers.flatMap((officer) => {
        const key = keys.officers.find((one) => toHex(one.publicKey) === toHex(officer.publicKey))
        if (key === undefined) return []
        const kid = directory.officerKid(officer)
        return [{ name: officer.name, roles: officer.roles, kid, sign: key.sign }]
      })
      const { rid, signingKid } = mission
      this.#self = { rid, sign: keys.signing, signingKid, officers }
    }
    const validators = new Set(directory.genesis.validators.map(({ rid }) => rid))
    const isValidator = mission !== undefined && validators.has(mission.rid)
    const desks = new Set(directory.genesis.policy.desks)
    transport.setMembers(
      directory
        .missions()
        .filter((one) => !directory.isRevoked(one, height))
        .map((one) => ({ rid: one.rid, facts: one.facts, peer: toHex(one.facts.transportKey) }))
        .filter(({ peer }) => peer !== own)
        .map(({ rid, facts, peer }) => ({
          peer,
          addresses: facts.addresses,
          keep: validators.has(rid) || desks.has(rid),
          eager: isValidator && validators.has(rid),
        })),
    )
  }

  #onFinal(final: Final): void {
    const { height, view, entries } = final
    const leader = this.#names.code(final.leader)
    this.#events.publish({ type: "block", height, entries: entries.length, view, leader })
    const changed = final.outcomes.some(({ type }) => type === "admitted" || type === "revoked")
    if (changed) {
      this.#meet()
      this.#epochs.start()
    }
    const rid = this.#self?.rid
    for (const [offset, { index, entry }] of final.entries.entries()) {
      if (entry.submitter !== rid) continue
      if (entry.type === "epochKeys")
        this.#epochs.judged(final.outcomes[offset]?.type !== "refused")
      this.#clockCheck.final(entry.submitterSeq, final.timeMs)
      if (entry.type !== "message") continue
      this.#registered(entry.submitterSeq, index).catch(this.#parts.onFatal)
    }
  }

  async #registered(seq: number, index: number): Promise<void> {
    const id = await this.#sent.idOfSeq(seq)
    if (id !== undefined) this.#events.publish({ type: "cable-registered", id, index })
  }

  #onContact(peer: PeerKey, isUp: boolean): void {
    const mission = this.#ledger.directory.missionByPeer(peer)
    if (mission === undefined) return
    this.#events.publish({ type: "contact", mission: mission.facts.code, up: isUp })
    if (!isUp) return
    this.#line.contact(mission.rid)
    this.#receipts.contact(mission.rid)
    this.#dispatcher.contact(mission.rid)
    this.#relay.contact(mission.rid)
  }

  #onSent(event: SentEvent): void {
    const { id } = event
    switch (event.type) {
      case "progress": {
        const { rid, state } = event
        if (state !== "stored" && state !== "relayed") this.#dispatcher.settled(rid, id)
        this.#events.publish({ type: "cable-progress", id, mission: this.#names.code(rid), state })
        return
      }
      case "delivered":
        this.#events.publish({ type: "cable-delivered", id })
    }
  }

  /** What a validator did becomes an entry of ours, for all missions to see. */
  async #recordEvidence(payload: Uint8Array): Promise<void> {
    const { suite, clock } = this.#parts
    const rid = this.#self?.rid
    if (rid === undefined) return
    await this.#counters.exclusive((turn) => {
      const entry = payloadEntry(suite, "evidence", rid, turn.seq, clock.now(), payload)
      const operations = [this.#ledger.entryOperation(entry)]
      return { operations, urgent: true, result: undefined }
    })
    this.#poke()
  }

  #poke(): void {
    this.#ledger.poke().catch(this.#parts.onFatal)
  }

  #peerOf(rid: number): PeerKey | undefined {
    const mission = this.#ledger.directory.mission(rid)
    return mission === undefined ? undefined : toHex(mission.facts.transportKey)
  }
}

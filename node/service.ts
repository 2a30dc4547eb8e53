/**
 * What a running node does for its own machine: the {@link NodeService} behind the local API.
 *
 * It translates between the API's shapes (codes, names, hex) and the parts that do the work; rules
 * and effects stand with the parts.
 */

import { frontierRoot } from "../ledger/merkle.ts"
import type { Opening } from "../ledger/proof.ts"
import type { Directory, Mission } from "../protocol/directory.ts"
import { payloadEntry } from "../protocol/entry.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { fingerprint } from "../protocol/keys.ts"
import * as limits from "../protocol/limits.ts"
import type { RandomSource, Suite } from "../protocol/suite.ts"
import type { EventLog } from "./api/events.ts"
import type { CablesQuery, NodeService, PublishedHere, SignalsQuery } from "./api/routes.ts"
import type * as shapes from "./api/shapes.ts"
import type { Clock } from "./clock.ts"
import type { Ledger } from "./consensus/ledger.ts"
import { submitAndAwait } from "./consensus/own-entries.ts"
import type { Counters } from "./delivery/counters.ts"
import type { Inbox } from "./delivery/inbox.ts"
import { pickOfficer, type Outbox, type Self } from "./delivery/outbox.ts"
import type { Relay } from "./delivery/relay.ts"
import { fromHex, KEYS, toHex, type SentRow } from "./delivery/rows.ts"
import { isAtLeast, type Sent } from "./delivery/sent.ts"
import { NodeError } from "./errors.ts"
import type { Line } from "./hotline/line.ts"
import { signalOpening } from "./hotline/opening.ts"
import { LedgerView } from "./ledger-view.ts"
import { ledgerWarnings } from "./ledger-warnings.ts"
import type { Transport } from "./network/transport.ts"
import { signalOfDraft } from "./signal-draft.ts"
import type { Database } from "./store/database.ts"
import { ledgerCopyChunks } from "./store/copy.ts"
import { publicationChunks } from "./store/publication.ts"
import { addresseeOf, cableOf, Names, signalOf, summaryOfReceived, summaryOfSent } from "./views.ts"

export const VERSION = "0.1.0"

export interface ServiceParts {
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  readonly database: Database
  readonly ledger: Ledger
  readonly directory: Directory
  readonly counters: Counters
  readonly outbox: Outbox
  readonly sent: Sent
  readonly inbox: Inbox
  readonly relay: Relay
  readonly line: Line
  readonly transport: Transport
  readonly events: EventLog
  readonly code: string
  readonly self: () => Self | undefined
  readonly addresses: () => readonly string[]
  readonly pid: number
  readonly startedMs: number
  readonly warnings: () => readonly string[]
  readonly stop: () => void
}

export class Service implements NodeService {
  readonly events: EventLog
  readonly #parts: ServiceParts
  readonly #names: Names
  readonly #ledgerView: LedgerView

  constructor(parts: ServiceParts) {
    this.#parts = parts
    this.#ledgerView = new LedgerView({ ...parts, rid: () => parts.self()?.rid })
    this.events = parts.events
    this.#names = new Names(parts.directory)
  }

  stop(): void {
    this.#parts.stop()
  }

  async status(): Promise<shapes.NodeStatus> {
    const { directory, transport, sent, relay, inbox, line } = this.#parts
    const self = this.#parts.self()
    const ledger = await this.ledgerStatus()
    const signals = await line.list()
    const open = signals.filter(
      (row) => row.direction === "received" && row.acknowledgedMs === undefined,
    )
    return {
      version: VERSION,
      mission: this.#parts.code,
      network: toHex(directory.net),
      fingerprint: fingerprint(directory.net),
      admitted: self !== undefined,
      pid: this.#parts.pid,
      startedMs: this.#parts.startedMs,
      addresses: this.#parts.addresses(),
      connected: this.#codesOf(transport.connected()),
      outbox: sent.waiting(),
      relayed: relay.held,
      unread: await inbox.unread(limits.API_LIST_LIMIT_MAX),
      openSignals: open.length,
      ledger,
      warnings: [...this.#parts.warnings(), ...ledgerWarnings(ledger)],
    }
  }

  async findIds(of: "cable" | "signal", prefix: string): Promise<readonly string[]> {
    const places = of === "signal" ? [KEYS.signalPrefix] : [KEYS.receivedPrefix, KEYS.sentPrefix]
    const found = new Set<string>()
    for (const place of places) {
      const range = { prefix: `${place}${prefix}`, limit: 2 }
      for await (const [key] of this.#parts.database.range(range)) {
        found.add(key.slice(place.length))
      }
    }
    return [...found]
  }

  // --- cables --------------------------------------------------------------------------------

  async sendCable(draft: shapes.CableDraft): Promise<shapes.CableQueued> {
    return this.#parts.outbox.submit(draft)
  }

  async cables(query: CablesQuery): Promise<readonly shapes.CableSummary[]> {
    const { inbox, sent } = this.#parts
    if (query.box === "sent") {
      const rows = await sent.list(query.limit)
      return Promise.all(rows.map(async (row) => this.#sentSummary(row)))
    }
    const rows = await inbox.list(query.limit, query.unread)
    return rows.map((row) => summaryOfReceived(row, this.#names))
  }

  async cable(id: string, options: { readonly mark: boolean }): Promise<shapes.Cable> {
    const { inbox, ledger } = this.#parts
    let row = await inbox.row(id)
    if (row === undefined) return this.#sentCable(id)
    if (options.mark && row.readMs === undefined) row = await inbox.mark(id, "read", undefined)
    const content = await inbox.content(id)
    if (content === undefined) throw unknownCable(id)
    const anchor = await ledger.entryOf(row.sender, row.seq)
    const warnings: string[] = []
    if (row.createdMs > row.storedMs + limits.CLOCK_SKEW_MS) {
      warnings.push("the sender's clock is ahead of this one")
    }
    if (row.breakGlass) warnings.push("released by one officer: break-glass")
    return cableOf(summaryOfReceived(row, this.#names), content, {
      seq: row.seq,
      exempted: this.#names.codes(row.exempted),
      drafter: this.#names.officer(row.drafter),
      releaser: row.releaser === undefined ? undefined : this.#names.officer(row.releaser),
      breakGlass: row.breakGlass,
      registered: anchor !== undefined,
      warnings,
    })
  }

  async cableStatus(id: string): Promise<shapes.CableStatus> {
    const { sent, ledger } = this.#parts
    const found = await sent.find(id)
    const rid = this.#rid()
    if (found === undefined) throw unknownCable(id)
    const { row, addressees } = found
    const anchor = await ledger.entryOf(rid, row.seq)
    return {
      id,
      from: this.#parts.code,
      seq: row.seq,
      createdMs: row.createdMs,
      subject: row.subject,
      addressees: addressees.map((one) => addresseeOf(one, this.#names)),
      delivered: addressees.every(({ state }) => isAtLeast(state, "delivered")),
      registered: anchor !== undefined,
      ...(anchor === undefined ? {} : { ledger: { index: anchor.index, height: anchor.height } }),
    }
  }

  async acknowledgeCable(id: string, acknowledgement: shapes.Acknowledgement): Promise<void> {
    const { officer, stage } = acknowledgement
    const signer = officer === undefined ? undefined : this.#officer(officer)
    await this.#parts.inbox.mark(id, stage, signer)
  }

  async cableEnvelope(id: string): Promise<Uint8Array> {
    const copy = await this.#parts.inbox.copy(id)
    if (copy === undefined) throw unknownCable(id)
    return copy
  }

  // --- hotline -------------------------------------------------------------------------------

  async raiseSignal(draft: shapes.SignalDraft): Promise<shapes.Signal> {
    const { directory, random, line } = this.#parts
    const self = this.#self()
    const desks =
      draft.to === undefined || draft.to.length === 0
        ? directory.genesis.policy.desks.filter((rid) => rid !== self.rid)
        : draft.to.map((code) => this.#mission(code).rid)
    if (desks.length === 0) throw new NodeError("MISSION_UNKNOWN", "no other desk to raise it to")
    const officer = draft.officer === undefined ? firstDuty(self) : this.#officer(draft.officer)
    const { content, kind } = signalOfDraft(draft, random)
    const row = await line.raise(content, kind, desks, officer)
    return signalOf(row, this.#names, self.rid)
  }

  async signals(query: SignalsQuery): Promise<readonly shapes.Signal[]> {
    const rid = this.#rid()
    const signals = (await this.#parts.line.list())
      .toReversed()
      .map((row) => signalOf(row, this.#names, rid))
    const isOpen = (signal: shapes.Signal): boolean =>
      signal.desks.some(({ state }) => state !== "acknowledged" && state !== "expired")
    return signals.filter((one) => !query.open || isOpen(one)).slice(0, query.limit)
  }

  async signal(id: string): Promise<shapes.Signal> {
    const row = (await this.#parts.line.list()).find((one) => one.id === id)
    if (row === undefined) throw new NodeError("SIGNAL_UNKNOWN", `no signal ${id.slice(0, 16)}`)
    return signalOf(row, this.#names, this.#rid())
  }

  async markDisplayed(id: string, _seat: string): Promise<shapes.Signal> {
    return signalOf(await this.#parts.line.displayed(id), this.#names, this.#rid())
  }

  async acknowledgeSignal(id: string, officer: string): Promise<shapes.Signal> {
    const row = await this.#parts.line.acknowledge(id, this.#officer(officer))
    return signalOf(row, this.#names, this.#rid())
  }

  // --- directory and ledger ------------------------------------------------------------------

  async missions(): Promise<readonly shapes.MissionInfo[]> {
    const { directory, transport, sent } = this.#parts
    const connected = new Set(transport.connected())
    const self = this.#parts.self()
    return directory.missions().map((mission): shapes.MissionInfo => {
      const { facts, rid } = mission
      const peer = toHex(facts.transportKey)
      const newestEpoch = directory.newestEpoch(rid)
      return {
        rid,
        code: facts.code,
        nameEn: facts.nameEn,
        nameBn: facts.nameBn,
        peer,
        isHeadquarters: rid === 1,
        isSelf: rid === self?.rid,
        connected: connected.has(peer),
        admittedHeight: mission.admittedHeight,
        ...(mission.revokedHeight === undefined ? {} : { revokedHeight: mission.revokedHeight }),
        officers: facts.officers.map(({ name, roles }) => ({ name, roles })),
        ...(newestEpoch === undefined ? {} : { newestEpoch }),
        waiting: sent.waiting(rid),
      }
    })
  }

  async submitGovernance(payloads: readonly Uint8Array[]): Promise<shapes.GovernanceFinal> {
    const { counters, ledger, clock, suite } = this.#parts
    const { rid } = this.#self()
    const finals = await submitAndAwait(ledger, rid, payloads.length, async (serials) => {
      for (const payload of payloads) {
        await counters.exclusive((turn) => {
          serials.add(turn.seq)
          const entry = payloadEntry(suite, "governance", rid, turn.seq, clock.now(), payload)
          return { operations: [ledger.entryOperation(entry)], urgent: true, result: undefined }
        })
      }
    })
    for (const { outcome } of finals) {
      if (outcome?.type !== "refused") continue
      throw new NodeError("GOVERNANCE_REFUSED", `${outcome.code}: ${outcome.message}`)
    }
    return {
      height: Math.max(...finals.map(({ height }) => height)),
      indices: finals.map(({ index }) => index),
    }
  }

  async ledgerStatus(): Promise<shapes.LedgerStatus> {
    return this.#ledgerView.status()
  }

  async ledgerEvidence(): Promise<readonly shapes.EvidenceInfo[]> {
    return this.#ledgerView.evidence()
  }

  async verifyLedger(
    isQuick: boolean,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<shapes.VerifyReport> {
    const { ledger } = this.#parts
    const total = ledger.head().height
    try {
      const verified = await ledger.verifyAll({
        isQuick,
        onProgress: (blocks) => onProgress(blocks, total),
        signal,
      })
      return {
        ok: true,
        blocks: verified.head.height,
        certificates: verified.certificates,
        entries: verified.entries,
        rootHash: toHex(frontierRoot(verified.head.frontier)),
      }
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      const { code, message } = error
      const nothing = { blocks: total, certificates: 0, entries: 0, rootHash: "" }
      return { ok: false, ...nothing, error: { code, message } }
    }
  }

  ledgerCopy(signal: AbortSignal): AsyncIterable<Uint8Array> {
    return ledgerCopyChunks(untilAborted(this.#parts.ledger.blocks(), signal))
  }

  async publication(have: PublishedHere | undefined): Promise<AsyncIterable<Uint8Array>> {
    return publicationChunks(await this.#parts.ledger.publisher.publication(have))
  }

  async proof(id: string): Promise<Uint8Array> {
    const found =
      (await this.#openingOf(id)) ?? (await signalOpening(this.#parts.database, this.#rid(), id))
    if (found === undefined) throw unknownCable(id)
    const proof = await this.#parts.ledger.publisher.proof(found.sender, found.seq, found.opening)
    if (proof !== undefined) return proof
    const why = "is not under a checkpoint that enough validators signed yet"
    throw new NodeError("PROOF_PENDING", `cable ${id.slice(0, 16)} ${why}`)
  }

  /** What proves which cable an entry stands for; undefined for a cable that is not here. */
  async #openingOf(
    id: string,
  ): Promise<{ sender: number; seq: number; opening: Opening } | undefined> {
    const { inbox, sent } = this.#parts
    const found = await sent.find(id)
    if (found !== undefined) {
      const { row } = found
      return {
        sender: this.#rid(),
        seq: row.seq,
        opening: { salt: fromHex(row.salt), cableId: fromHex(id) },
      }
    }
    const received = await inbox.row(id)
    if (received === undefined) return undefined
    const opening = { salt: fromHex(received.salt), cableId: fromHex(id) }
    return { sender: received.sender, seq: received.seq, opening }
  }

  // --- translation ---------------------------------------------------------------------------

  async #sentSummary(row: SentRow): Promise<shapes.CableSummary> {
    const found = await this.#parts.sent.find(row.id)
    const addressees = found?.addressees ?? []
    return summaryOfSent(row, addressees, this.#names, this.#rid())
  }

  async #sentCable(id: string): Promise<shapes.Cable> {
    const { sent } = this.#parts
    const [found, content] = await Promise.all([sent.find(id), sent.content(id)])
    if (found === undefined || content === undefined) throw unknownCable(id)
    const { row, addressees } = found
    const rid = this.#rid()
    const anchor = await this.#parts.ledger.entryOf(rid, row.seq)
    return cableOf(summaryOfSent(row, addressees, this.#names, rid), content, {
      seq: row.seq,
      exempted: this.#names.codes(row.exempted),
      drafter: row.drafter,
      releaser: row.releaser,
      breakGlass: row.breakGlass,
      registered: anchor !== undefined,
      warnings: [],
    })
  }

  #self(): Self {
    const self = this.#parts.self()
    if (self !== undefined) return self
    throw new NodeError("NOT_ADMITTED", "this mission is not admitted to the network yet")
  }

  #rid(): number {
    return this.#parts.self()?.rid ?? 0
  }

  #officer(name: string): Self["officers"][number] {
    const officer = this.#self().officers.find((one) => one.name === name)
    if (officer !== undefined) return officer
    throw new NodeError("OFFICER_UNKNOWN", `no officer "${name}" at this mission`)
  }

  #mission(code: string): Mission {
    const mission = this.#parts.directory.missionByCode(code.toUpperCase())
    if (mission !== undefined) return mission
    throw new NodeError("MISSION_UNKNOWN", `no mission ${code}`)
  }

  #codesOf(peers: readonly string[]): string[] {
    const { directory } = this.#parts
    return peers
      .map((peer) => directory.missionByPeer(peer)?.facts.code)
      .filter((code) => code !== undefined)
      .toSorted()
  }
}

async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  for await (const item of items) {
    signal.throwIfAborted()
    yield item
  }
}

function unknownCable(id: string): NodeError {
  return new NodeError("CABLE_UNKNOWN", `no cable ${id.slice(0, 16)} here`)
}

function firstDuty(self: Self): Self["officers"][number] {
  const duty = self.officers.find((one) => one.roles.includes("duty"))
  return duty ?? pickOfficer(self, undefined, "drafter")
}

/**
 * A node without a network: the whole `NodeService` in memory, for tests of the API and the CLI.
 *
 * Cables to LON are delivered and registered at once or when the test says so; DEL never answers.
 * Its clock is virtual, so all that is printed is the same in every run.
 */

import { createHash } from "node:crypto"
import { EventLog } from "../../node/api/events.ts"
import type {
  CablesQuery,
  NodeService,
  PublishedHere,
  SignalsQuery,
} from "../../node/api/routes.ts"
import type * as shapes from "../../node/api/shapes.ts"
import type { Clock } from "../../node/clock.ts"
import { formatCheckpoint } from "../../ledger/checkpoint.ts"
import { formatNote } from "../../ledger/note.ts"
import { publicationChunks, type PublishedFile } from "../../node/store/publication.ts"
import { NodeError } from "../../node/errors.ts"
import { ledgerWarnings } from "../../node/ledger-warnings.ts"

const MISSIONS = ["DAC", "LON", "DEL"]
const OFFICERS = ["A. Rahman"]

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Sent {
  readonly cable: Mutable<shapes.Cable>
  readonly addressees: Mutable<shapes.AddresseeStatus>[]
  index: number | undefined
}

export class ServiceInMemory implements NodeService {
  readonly events: EventLog
  readonly #clock: Clock
  readonly #sent = new Map<string, Sent>()
  readonly #inbox = new Map<string, Mutable<shapes.Cable>>()
  readonly #signals = new Map<string, Mutable<shapes.Signal>>()
  /** What was handed in as governance, for the test to look at. */
  readonly governance: Uint8Array[] = []
  /** Who reported a signal as displayed. */
  readonly seats: string[] = []
  /** Runs when somebody asks the node to stop. */
  onStop: () => void = () => {}
  /** Deliver and register cables to LON by themselves. */
  isQuick = true
  readonly quickVerifications: boolean[] = []
  verification: shapes.VerifyReport = {
    ok: true,
    blocks: 2,
    certificates: 2,
    entries: 3,
    rootHash: "ab".repeat(32),
  }
  /** What differs from the state of an idle ledger with one validator. */
  ledger: Partial<shapes.LedgerStatus> = {}
  evidence: readonly shapes.EvidenceInfo[] = []
  #hasVote = true
  pid: number = process.pid
  /**
   * What happens in the network after each time that the state of a cable or signal was asked for,
   * in order: who follows one is led from step to step.
   */
  readonly steps: (() => void)[] = []
  /** What reporting a signal as displayed is refused with, until the test takes it back. */
  displayRefusal: NodeError | undefined

  /** Of the node, beside those of its ledger. */
  warnings: readonly string[] = []

  constructor(clock: Clock) {
    this.#clock = clock
    this.events = new EventLog(clock)
  }

  async status(): Promise<shapes.NodeStatus> {
    const ledger = await this.ledgerStatus()
    return {
      version: "0.1.0",
      mission: "DAC",
      network: "0b".repeat(32),
      fingerprint: "aaaa-bbbb-cccc",
      admitted: true,
      pid: this.pid,
      startedMs: this.#clock.now(),
      addresses: ["/ip4/127.0.0.1/tcp/4001"],
      connected: ["LON"],
      outbox: 0,
      relayed: 0,
      unread: [...this.#inbox.values()].filter((cable) => !cable.read).length,
      openSignals: [...this.#signals.values()].filter(isOpen).length,
      ledger,
      warnings: [...this.warnings, ...ledgerWarnings(ledger)],
    }
  }

  stop(): void {
    this.onStop()
  }

  async findIds(of: "cable" | "signal", prefix: string): Promise<readonly string[]> {
    const ids =
      of === "cable" ? [...this.#sent.keys(), ...this.#inbox.keys()] : [...this.#signals.keys()]
    return ids.filter((id) => id.startsWith(prefix))
  }

  async sendCable(draft: shapes.CableDraft): Promise<shapes.CableQueued> {
    const all = [...draft.to, ...(draft.info ?? [])]
    for (const code of all) requireMission(code)
    const seq = this.#sent.size + 1
    const id = idOf(`cable ${seq}`)
    const text = draft.text.normalize("NFC")
    const cable = { ...this.#received(id, seq, { ...draft, text }), box: "sent" as const }
    const addressees = all.map((mission) => ({
      mission,
      role: draft.to.includes(mission) ? ("action" as const) : ("info" as const),
      precedence: cable.precedence,
      state: "queued" as shapes.DeliveryState,
      atMs: this.#clock.now(),
      relays: [],
      attempts: 0,
    }))
    this.#sent.set(id, { cable, addressees, index: undefined })
    this.events.publish({ type: "cable-queued", id })
    if (this.isQuick) {
      setImmediate(() => {
        if (all.includes("LON")) this.progress(id, "LON", "delivered")
        this.register(id, 40 + seq)
      })
    }
    return { id, seq, textChanged: text !== draft.text }
  }

  /** The network's part: an addressee reports a state. */
  progress(id: string, mission: string, state: shapes.DeliveryState, reason?: string): void {
    const sent = this.#sent.get(id)
    const addressee = sent?.addressees.find((one) => one.mission === mission)
    if (sent === undefined || addressee === undefined) throw new Error("no such addressee")
    Object.assign(addressee, { state, attempts: 1, ...(reason === undefined ? {} : { reason }) })
    this.events.publish({ type: "cable-progress", id, mission, state })
    if (isDelivered(sent)) this.events.publish({ type: "cable-delivered", id })
  }

  /** The ledger's part. */
  register(id: string, index: number): void {
    const sent = this.#sent.get(id)
    if (sent === undefined) throw new Error("no such cable")
    sent.index = index
    sent.cable.registered = true
    this.events.publish({ type: "cable-registered", id, index })
  }

  /** The network's part: a cable comes in. */
  receive(name: string, fields: Partial<shapes.Cable> & { readonly text: string }): string {
    const id = idOf(name)
    const draft = { to: ["DAC"], subject: "", ...fields }
    const cable = { ...this.#received(id, this.#inbox.size + 1, draft), from: "LON", ...fields }
    this.#inbox.set(id, cable)
    this.events.publish({ type: "cable-received", cable })
    return id
  }

  async cables(query: CablesQuery): Promise<readonly shapes.CableSummary[]> {
    const cables =
      query.box === "sent"
        ? [...this.#sent.values()].map((sent) => sent.cable)
        : [...this.#inbox.values()]
    return cables
      .filter((cable) => !query.unread || !cable.read)
      .toReversed()
      .slice(0, query.limit)
  }

  async cable(id: string, options: { readonly mark: boolean }): Promise<shapes.Cable> {
    const cable = this.#inbox.get(id) ?? this.#sent.get(id)?.cable
    if (cable === undefined) throw new NodeError("CABLE_UNKNOWN", `no cable ${id.slice(0, 8)}`)
    if (options.mark) cable.read = true
    return cable
  }

  async cableStatus(id: string): Promise<shapes.CableStatus> {
    const sent = this.#sent.get(id)
    if (sent === undefined) throw new NodeError("CABLE_UNKNOWN", `no cable ${id.slice(0, 8)}`)
    const { from, seq, createdMs, subject } = sent.cable
    this.#step()
    return {
      id,
      from,
      seq,
      createdMs,
      subject,
      addressees: sent.addressees.map((one) => ({ ...one })),
      delivered: isDelivered(sent),
      registered: sent.index !== undefined,
      ...(sent.index === undefined ? {} : { ledger: { index: sent.index, height: 7 } }),
    }
  }

  async acknowledgeCable(id: string, acknowledgement: shapes.Acknowledgement): Promise<void> {
    const cable = this.#inbox.get(id)
    if (cable === undefined) throw new NodeError("CABLE_UNKNOWN", `no cable ${id.slice(0, 8)}`)
    requireOfficer(acknowledgement.officer ?? "A. Rahman")
    cable.acted = acknowledgement.stage === "acted"
  }

  async cableEnvelope(id: string): Promise<Uint8Array> {
    if (!this.#inbox.has(id)) throw new NodeError("CABLE_UNKNOWN", `no cable ${id.slice(0, 8)}`)
    return Uint8Array.of(1, 2, 3)
  }

  async raiseSignal(draft: shapes.SignalDraft): Promise<shapes.Signal> {
    const desks = (draft.to ?? ["LON"]).map((mission) => ({ mission, state: "sent" as const }))
    for (const { mission } of desks) requireMission(mission)
    const id = idOf(`signal ${this.#signals.size + 1}`)
    const signal = { ...this.#signal(id, draft), desks }
    this.#signals.set(id, signal)
    if (this.isQuick) {
      setImmediate(() => {
        this.desk(id, "LON", { state: "displayed", displayedMs: signal.raisedMs + 12 })
        const acknowledgedMs = signal.raisedMs + 2_500
        this.desk(id, "LON", { state: "acknowledged", acknowledgedMs, officer: "S. Akter" })
      })
    }
    return signal
  }

  /** The network's part: a desk reports. */
  desk(id: string, mission: string, report: Partial<shapes.SignalDesk>): void {
    const signal = this.#signals.get(id)
    if (signal === undefined) throw new Error("no such signal")
    signal.desks = signal.desks.map((one) =>
      one.mission === mission ? { ...one, ...report } : one,
    )
    this.events.publish({ type: "signal-progress", signal })
  }

  /** The network's part: a signal comes in. */
  ring(name: string, draft: shapes.SignalDraft): string {
    const id = idOf(name)
    const desks = [{ mission: "DAC", state: "sent" as const }]
    const signal = {
      ...this.#signal(id, draft),
      direction: "received" as const,
      from: "LON",
      desks,
    }
    this.#signals.set(id, signal)
    this.events.publish({ type: "signal-received", signal })
    return id
  }

  async signals(query: SignalsQuery): Promise<readonly shapes.Signal[]> {
    const signals = [...this.#signals.values()].filter((one) => !query.open || isOpen(one))
    return signals.toReversed().slice(0, query.limit)
  }

  async signal(id: string): Promise<shapes.Signal> {
    const signal = this.#signals.get(id)
    if (signal === undefined) throw new NodeError("SIGNAL_UNKNOWN", `no signal ${id.slice(0, 8)}`)
    this.#step()
    return { ...signal }
  }

  #step(): void {
    const step = this.steps.shift()
    if (step !== undefined) setImmediate(step)
  }

  async markDisplayed(id: string, seat: string): Promise<shapes.Signal> {
    if (this.displayRefusal !== undefined) throw this.displayRefusal
    const { raisedMs } = await this.signal(id)
    this.seats.push(seat)
    this.desk(id, "DAC", { state: "displayed", displayedMs: raisedMs + 30 })
    return this.signal(id)
  }

  async acknowledgeSignal(id: string, officer: string): Promise<shapes.Signal> {
    requireOfficer(officer)
    const { raisedMs } = await this.signal(id)
    this.desk(id, "DAC", { state: "acknowledged", acknowledgedMs: raisedMs + 900, officer })
    return this.signal(id)
  }

  async missions(): Promise<readonly shapes.MissionInfo[]> {
    const names = [
      ["Dhaka", "ঢাকা"],
      ["London", "লন্ডন"],
      ["New Delhi", "নয়াদিল্লি"],
    ]
    return MISSIONS.map((code, index) => ({
      rid: index + 1,
      code,
      nameEn: names[index]?.[0] ?? "",
      nameBn: names[index]?.[1] ?? "",
      peer: `peer-${code}`,
      isHeadquarters: index === 0,
      isSelf: index === 0,
      connected: code === "LON",
      admittedHeight: index,
      officers: index === 0 ? [{ name: "A. Rahman", roles: ["drafter"] }] : [],
      waiting: code === "DEL" ? 2 : 0,
    }))
  }

  async submitGovernance(payloads: readonly Uint8Array[]): Promise<shapes.GovernanceFinal> {
    this.governance.push(...payloads)
    return { height: 8, indices: payloads.map((_, index) => 50 + index) }
  }

  async ledgerStatus(): Promise<shapes.LedgerStatus> {
    const nowMs = this.#clock.now()
    return {
      network: "0b".repeat(32),
      atMs: nowMs,
      height: 7,
      entries: 50,
      rootHash: "ab".repeat(32),
      blockHash: "cd".repeat(32),
      governanceState: "ef".repeat(32),
      finalAtMs: nowMs - 12_000,
      finalView: 9,
      view: 10,
      validators: [{ mission: "DAC", state: "self", connected: true }],
      quorum: { validators: 1, needed: 1, heard: 1, isMet: true },
      isValidator: true,
      ...(this.#hasVote ? { vote: { state: "voting" } } : {}),
      pending: 0,
      heightSeen: 7,
      evidence: this.evidence.length,
      accused: [...new Set(this.evidence.map(({ mission }) => mission))],
      ...this.ledger,
    }
  }

  /** From now on this mission is no validator. */
  forgetVote(): void {
    this.#hasVote = false
  }

  async ledgerEvidence(): Promise<readonly shapes.EvidenceInfo[]> {
    return this.evidence
  }

  async verifyLedger(isQuick: boolean, onProgress: (done: number, total: number) => void) {
    this.quickVerifications.push(isQuick)
    onProgress(1, 2)
    await new Promise((resolve) => setImmediate(resolve))
    onProgress(2, 2)
    return this.verification
  }

  async *ledgerCopy(): AsyncIterable<Uint8Array> {
    yield Uint8Array.of(0x54, 0x42)
    yield Uint8Array.of(0x31)
  }

  /** What the publication's stream was asked to leave out. */
  published: PublishedHere | undefined

  async publication(have: PublishedHere | undefined): Promise<AsyncIterable<Uint8Array>> {
    this.published = have
    return publicationChunks(this.#files())
  }

  async *#files(): AsyncGenerator<PublishedFile, void, void> {
    const checkpoint = { origin: "test/service", size: 1, root: new Uint8Array(32) }
    const body = formatCheckpoint(checkpoint)
    const text = formatNote({ body, signatures: [] })
    const bytes = new TextEncoder().encode(text)
    yield { path: "tile/0/000.p/1", bytes: checkpoint.root }
    yield { path: "checkpoint", bytes }
  }

  async proof(id: string): Promise<Uint8Array> {
    const sent = this.#sent.get(id)
    if (sent !== undefined && sent.index === undefined) {
      throw new NodeError("PROOF_PENDING", `cable ${id.slice(0, 8)} is not final yet`)
    }
    return Uint8Array.of(9, 9, 9)
  }

  #received(id: string, seq: number, draft: shapes.CableDraft): Mutable<shapes.Cable> {
    const nowMs = this.#clock.now()
    return {
      id,
      seq,
      box: "inbox",
      from: "DAC",
      to: draft.to,
      info: draft.info ?? [],
      precedence: draft.precedence ?? "routine",
      kind: draft.kind ?? "real",
      classification: draft.classification ?? "restricted",
      subject: draft.subject,
      dtg: draft.dtg ?? "",
      createdMs: nowMs,
      storedMs: nowMs,
      read: false,
      acted: false,
      bytes: Buffer.byteLength(draft.text),
      text: draft.text,
      caveats: draft.caveats ?? [],
      originRef: draft.originRef ?? "",
      references: draft.references ?? [],
      subjectCodes: draft.subjectCodes ?? [],
      exempted: draft.exempted ?? [],
      drafter: draft.drafter ?? "A. Rahman",
      breakGlass: draft.breakGlass ?? false,
      registered: false,
      warnings: [],
      ...(draft.inReplyTo === undefined ? {} : { inReplyTo: draft.inReplyTo }),
    }
  }

  #signal(id: string, draft: shapes.SignalDraft): Mutable<shapes.Signal> {
    return {
      id,
      direction: "raised",
      from: "DAC",
      kind: draft.kind ?? "real",
      event: draft.event,
      text: draft.text,
      place: draft.place ?? "",
      urgency: draft.urgency ?? "immediate",
      severity: draft.severity ?? "severe",
      certainty: draft.certainty ?? "observed",
      raisedMs: this.#clock.now(),
      desks: [],
    }
  }
}

/** Ids that are the same in every run. */
export function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex")
}

function isDelivered(sent: Sent): boolean {
  return sent.addressees.every((one) => ["delivered", "read", "acted"].includes(one.state))
}

function isOpen(signal: shapes.Signal): boolean {
  return !signal.desks.some((desk) => desk.acknowledgedMs !== undefined)
}

function requireMission(code: string): void {
  if (MISSIONS.includes(code)) return
  throw new NodeError("MISSION_UNKNOWN", `no mission ${code}`, {
    hint: "`tarbarta mission list` names them",
  })
}

function requireOfficer(name: string): void {
  if (!OFFICERS.includes(name)) throw new NodeError("OFFICER_UNKNOWN", `no officer ${name}`)
}

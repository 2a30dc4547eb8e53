/**
 * The hotline: raises signals to desks, and takes those that come for this mission's desk.
 *
 * A signal is sealed, put on the disk and sent to all desks at once on the urgent lane: no queue,
 * no consensus. Displayed and acknowledged come back as signed receipts. The states of a raised
 * signal are those of the pure machine in protocol/hotline.ts; this file performs its effects.
 */

import type { Directory } from "../../protocol/directory.ts"
import { decodeCopy, encodeCopy } from "../../protocol/copy.ts"
import { entryCommitment, messageEntry, type Entry } from "../../protocol/entry.ts"
import {
  copyFor,
  sealEnvelope,
  type Addressee,
  type SealedEnvelope,
} from "../../protocol/envelope.ts"
import { ProtocolError, TarbartaError } from "../../protocol/errors.ts"
import {
  encodeSignal,
  raiseSignal,
  stepSignal,
  validateSignal,
  type SignalContent,
  type SignalEvent,
} from "../../protocol/hotline.ts"
import * as limits from "../../protocol/limits.ts"
import { openCopy } from "../../protocol/open.ts"
import {
  encodeReceipt,
  hashReceipt,
  NO_PRIOR_RECEIPT,
  signReceipt,
  type Receipt,
} from "../../protocol/receipt.ts"
import { draftRelease, encodeRelease, releaseRecord, signRelease } from "../../protocol/release.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import {
  decodeCopyRequest,
  decodeCopyStatus,
  encodeCopyRequest,
  encodeCopyStatus,
  PROTOCOLS,
} from "../../protocol/wire.ts"
import type { Kind } from "../../protocol/words.ts"
import type { Clock, Timer } from "../clock.ts"
import type { Counters, Turn } from "../delivery/counters.ts"
import { keyLookups } from "../delivery/lookups.ts"
import type { Marks } from "../delivery/marks.ts"
import type { LocalOfficer, Self } from "../delivery/outbox.ts"
import { releasePolicyOf } from "../delivery/policy.ts"
import { isDisk } from "../delivery/receipts.ts"
import { fromHex, KEYS, parseRow, putBytes, putRow, toHex, type CableId } from "../delivery/rows.ts"
import { NodeError } from "../errors.ts"
import type { Transport } from "../network/transport.ts"
import type { Database, Operation } from "../store/database.ts"
import {
  receivedRowOf,
  wordsOf,
  type RaisedRow,
  type ReceivedSignalRow,
  type SignalRow,
} from "./rows.ts"

export interface LineParts {
  readonly database: Database
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  readonly counters: Counters
  readonly marks: Marks
  readonly directory: Directory
  readonly transport: Transport
  readonly self: () => Self | undefined
  readonly height: () => number
  readonly peerOf: (rid: number) => string | undefined
  readonly epochSeedOf: (epoch: number, ekHash: Uint8Array) => Uint8Array | undefined
  readonly entryOperation: (entry: Entry) => Operation
  readonly onEntry: () => void
  readonly issue: (receipt: Receipt, to: number) => Operation[]
  readonly issued: (to: number, urgent: boolean) => void
  readonly onReceived: (row: ReceivedSignalRow) => void
  readonly onProgress: (row: RaisedRow) => void
  readonly onFatal: (error: unknown) => void
}

/** First and longest wait between two tries at one desk. */
const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5_000

export class Line {
  readonly #parts: LineParts
  readonly #raised = new Map<CableId, RaisedRow>()
  readonly #sending = new Map<string, { waitMs: number; timer: Timer | undefined }>()
  readonly #receiving = new Map<CableId, Promise<"stored" | "duplicate" | "later">>()
  readonly #expiries = new Map<CableId, Timer>()
  #tail: Promise<unknown> = Promise.resolve()
  #isStopped = false

  constructor(parts: LineParts) {
    this.#parts = parts
  }

  /** Takes up every raised signal that is not through yet. */
  async start(): Promise<void> {
    const nowMs = this.#parts.clock.now()
    for await (const [key, value] of this.#parts.database.range({ prefix: KEYS.signalPrefix })) {
      const row = parseRow<SignalRow>(key, value)
      if (row.direction !== "raised") continue
      const isOpen = row.progress.desks.some(({ stage }) => stage !== "acknowledged")
      if (!isOpen || row.progress.isExpired) continue
      this.#watch(row)
      if (row.progress.expiresMs <= nowMs) await this.#step(row.id, { type: "tick", nowMs })
      else for (const { desk } of row.progress.desks) this.#resume(row.id, desk)
    }
  }

  stop(): void {
    this.#isStopped = true
    for (const { timer } of this.#sending.values()) timer?.cancel()
    for (const timer of this.#expiries.values()) timer.cancel()
  }

  /**
   * Raises a signal to these missions.
   *
   * @throws NodeError `NOT_ADMITTED`, `NO_EPOCH_KEY`, `MISSION_UNKNOWN`; ProtocolError
   * `SIGNAL_INVALID`, `ENVELOPE_RECIPIENTS`.
   */
  async raise(
    content: SignalContent,
    kind: Kind,
    desks: readonly number[],
    officer: LocalOfficer,
  ): Promise<RaisedRow> {
    const { counters, clock, onEntry, onProgress } = this.#parts
    const self = this.#parts.self()
    if (self === undefined) throw new NodeError("NOT_ADMITTED", "this mission is not admitted yet")
    validateSignal(content, kind)
    const raisedMs = clock.now()
    const { row, copies } = await counters.exclusive((turn) =>
      this.#seal(content, kind, desks, officer, self, turn, raisedMs),
    )
    this.#watch(row)
    onProgress(row)
    for (const { desk } of row.progress.desks) {
      this.#send(row.id, desk, copies.get(desk)).catch(this.#parts.onFatal)
    }
    onEntry()
    return row
  }

  /** Handler of the hotline protocol: answers when the disk has the signal. */
  async receive(request: Uint8Array): Promise<Uint8Array> {
    const bytes = decodeCopyRequest(request)
    const id = toHex(this.#parts.suite.sha256(decodeCopy(bytes).header))
    // As in the inbox: a spoilt copy does not speak for a whole one.
    for (let run = this.#receiving.get(id); run !== undefined; run = this.#receiving.get(id)) {
      const joined = await run.catch(() => undefined)
      if (joined !== undefined) return encodeCopyStatus(joined)
    }
    const running = this.#accept(id, bytes)
    this.#receiving.set(id, running)
    try {
      return encodeCopyStatus(await running)
    } finally {
      this.#receiving.delete(id)
    }
  }

  /** Receipts for signals that this node raised; other receipts change nothing. */
  async receipts(receipts: readonly Receipt[]): Promise<void> {
    for (const receipt of receipts) {
      if (receipt.stage !== "displayed" && receipt.stage !== "acknowledged") continue
      const officer =
        receipt.officer === undefined
          ? undefined
          : this.#parts.directory.officer(receipt.officer.kid)?.officer.name
      // A machine can show a signal, but only a person can take it in hand.
      if (receipt.stage === "acknowledged" && receipt.officer === undefined) continue
      const event = { type: receipt.stage, desk: receipt.issuer, atMs: this.#parts.clock.now() }
      await this.#step(toHex(receipt.cableId), event, officer)
    }
  }

  contact(rid: number): void {
    for (const row of this.#raised.values()) {
      const { effects } = stepSignal(row.progress, { type: "contact", desk: rid })
      for (const effect of effects) {
        if (effect.type === "transmit") this.#resume(row.id, effect.desk)
      }
    }
  }

  /** True when this node raised the signal to this desk. */
  async hasRaised(id: CableId, desk: number): Promise<boolean> {
    const row = await this.#raisedRow(id)
    return row?.progress.desks.some((one) => one.desk === desk) === true
  }

  /** A screen of this mission shows it: the raiser is told at once. */
  async displayed(id: CableId): Promise<ReceivedSignalRow> {
    return this.#exclusive(async () => {
      const row = await this.#receivedRow(id)
      if (row.displayedMs !== undefined) return row
      const receipt = this.#receipt(row, "displayed")
      return this.#answer({ ...row, displayedMs: receipt.atMs }, receipt)
    })
  }

  /** An officer has it in hand. */
  async acknowledge(id: CableId, officer: LocalOfficer): Promise<ReceivedSignalRow> {
    return this.#exclusive(async () => {
      const row = await this.#receivedRow(id)
      if (row.acknowledgedMs !== undefined) return row
      const plain = this.#receipt(row, "acknowledged")
      const receipt = signReceipt(plain, officer.kid, officer.sign)
      const displayedMs = row.displayedMs ?? receipt.atMs
      const answered = { ...row, displayedMs, acknowledgedMs: receipt.atMs, officer: officer.name }
      return this.#answer(answered, receipt)
    })
  }

  /** All signals here, the oldest first. */
  async list(): Promise<SignalRow[]> {
    const rows: SignalRow[] = []
    for await (const [key, value] of this.#parts.database.range({ prefix: KEYS.signalPrefix })) {
      rows.push(parseRow<SignalRow>(key, value))
    }
    return rows.toSorted((a, b) => a.raisedMs - b.raisedMs)
  }

  // --- raising -------------------------------------------------------------------------------

  #seal(
    content: SignalContent,
    kind: Kind,
    desks: readonly number[],
    officer: LocalOfficer,
    self: Self,
    turn: Turn,
    raisedMs: number,
  ): {
    operations: Operation[]
    envelopeId: CableId
    urgent: boolean
    result: { row: RaisedRow; copies: Map<number, Uint8Array> }
  } {
    const { suite, random, directory, entryOperation } = this.#parts
    const recipients = desks
      .map((rid) => this.#addressee(rid, turn))
      .toSorted((a, b) => a.rid - b.rid)
    const bytes = encodeSignal(content)
    const facts = {
      net: directory.net,
      bodyType: "signal" as const,
      kind,
      sender: self.rid,
      recipients,
      content: bytes,
    }
    const draft = draftRelease("unclassified", random)
    const signature = signRelease(suite, draft, facts, "drafter", officer.kid, officer.sign)
    const expiresMs = raisedMs + limits.SIGNAL_LIFETIME_MS
    const sealed = sealEnvelope(
      suite,
      {
        ...facts,
        signerKid: self.signingKid,
        incarnation: turn.incarnation,
        seq: turn.seq,
        prevHash: fromHex(turn.prevHash),
        flags: { breakGlass: false, courier: false },
        createdMs: raisedMs,
        expiresMs,
        exempted: [],
        release: encodeRelease(releaseRecord(draft, [signature])),
        sign: self.sign,
      },
      random,
    )
    const id = toHex(sealed.cableId)
    const row: RaisedRow = {
      direction: "raised",
      id,
      seq: turn.seq,
      kind,
      words: wordsOf(content),
      raisedMs,
      progress: raiseSignal(
        recipients.map(({ rid }) => rid),
        raisedMs,
        expiresMs,
      ).state,
      salt: toHex(sealed.salt),
      officers: {},
    }
    const copies = copiesOf(sealed)
    const commitment = entryCommitment(suite, sealed.salt, sealed.cableId)
    const entry = messageEntry(self.rid, turn.seq, raisedMs, commitment)
    return {
      operations: [
        putRow(KEYS.signal(id), row),
        putRow(KEYS.bySeq(turn.seq), { id }),
        ...[...copies].map(([rid, copy]) => putBytes(KEYS.signalCopy(id, rid), copy)),
        entryOperation(entry),
      ],
      envelopeId: id,
      urgent: true,
      result: { row, copies },
    }
  }

  #addressee(rid: number, turn: Turn): Addressee {
    const { directory, clock, height } = this.#parts
    const mission = directory.mission(rid)
    if (mission === undefined || directory.isRevoked(mission, height())) {
      throw new NodeError("MISSION_UNKNOWN", `no mission ${rid} to raise a signal to`)
    }
    const key = directory.epochKeyFor(rid, clock.now())
    if (key === undefined) {
      const why = `mission ${mission.facts.code} has not published a key yet`
      throw new NodeError("NO_EPOCH_KEY", why)
    }
    const pairSeq = turn.pairSeq(rid)
    const { epoch, publicKey: epochKey } = key
    return { rid, role: "action", precedence: "override", pairSeq, epoch, epochKey }
  }

  /** Follows a signal to its end: everybody has acknowledged it, or its time is over. */
  #watch(row: RaisedRow): void {
    const { clock, onFatal } = this.#parts
    const { expiresMs } = row.progress
    this.#raised.set(row.id, row)
    const timer = clock.after(expiresMs - clock.now(), () => {
      this.#step(row.id, { type: "tick", nowMs: expiresMs }).catch(onFatal)
    })
    this.#expiries.set(row.id, timer)
  }

  #resume(id: CableId, desk: number): void {
    this.#parts.database
      .get(KEYS.signalCopy(id, desk))
      .then(async (copy) => this.#send(id, desk, copy))
      .catch(this.#parts.onFatal)
  }

  /** Sends until the desk's disk has it; a desk out of reach is tried until the signal expires. */
  async #send(id: CableId, desk: number, copy: Uint8Array | undefined): Promise<void> {
    const { transport, clock, peerOf } = this.#parts
    const row = this.#raised.get(id)
    const peer = peerOf(desk)
    if (row === undefined || copy === undefined || peer === undefined || this.#isStopped) return
    const key = `${id}/${desk}`
    this.#sending.get(key)?.timer?.cancel()
    const stage = row.progress.desks.find((one) => one.desk === desk)?.stage
    if (stage === "displayed" || stage === "acknowledged") return
    const waitMs = this.#sending.get(key)?.waitMs ?? RETRY_MIN_MS
    try {
      const answer = await transport.request(peer, PROTOCOLS.hotline, encodeCopyRequest(copy))
      if (decodeCopyStatus(answer) !== "later") {
        this.#sending.delete(key)
        await this.#step(id, { type: "sent", desk, atMs: clock.now() })
        return
      }
    } catch (error) {
      // Bytes that are no answer are tried again like silence: they must not end our node.
      if (!(error instanceof TarbartaError) || isDisk(error)) throw error
    }
    if (this.#isStopped) return
    if (row.progress.expiresMs <= clock.now()) {
      await this.#step(id, { type: "tick", nowMs: clock.now() })
      return
    }
    // A contact may have begun another try meanwhile: one timer a desk.
    this.#sending.get(key)?.timer?.cancel()
    const timer = clock.after(waitMs, () => {
      this.#send(id, desk, copy).catch(this.#parts.onFatal)
    })
    this.#sending.set(key, { waitMs: Math.min(waitMs * 2, RETRY_MAX_MS), timer })
  }

  /** One event for a raised signal: durable first, then reported. */
  async #step(id: CableId, event: SignalEvent, officer?: string): Promise<void> {
    await this.#exclusive(async () => {
      const { database, onProgress } = this.#parts
      const row = this.#raised.get(id) ?? (await this.#raisedRow(id))
      if (row === undefined) return
      const { state } = stepSignal(row.progress, event)
      if (state === row.progress) return
      const officers =
        officer === undefined || !("desk" in event)
          ? row.officers
          : { ...row.officers, [event.desk]: officer }
      const next: RaisedRow = { ...row, progress: state, officers }
      await database.write([putRow(KEYS.signal(id), next)], { urgent: true })
      this.#raised.set(id, next)
      onProgress(next)
      if (next.progress.desks.every(({ stage }) => stage === "acknowledged")) {
        this.#raised.delete(id)
        this.#expiries.get(id)?.cancel()
        this.#expiries.delete(id)
      }
    })
  }

  async #raisedRow(id: CableId): Promise<RaisedRow | undefined> {
    const value = await this.#parts.database.get(KEYS.signal(id))
    if (value === undefined) return undefined
    const row = parseRow<SignalRow>(KEYS.signal(id), value)
    return row.direction === "raised" ? row : undefined
  }

  // --- receiving -----------------------------------------------------------------------------

  async #accept(id: CableId, bytes: Uint8Array): Promise<"stored" | "duplicate" | "later"> {
    const { database, suite, directory, clock, height, marks, epochSeedOf } = this.#parts
    const self = this.#parts.self()
    if (self === undefined) return "later"
    if ((await database.get(KEYS.signal(id))) !== undefined) return "duplicate"
    const opened = openCopy(suite, decodeCopy(bytes), {
      ...keyLookups(directory),
      rid: self.rid,
      epochSeedOf,
      policy: releasePolicyOf(directory.genesis.policy),
    })
    const { core } = opened.header
    const mission = directory.mission(core.sender)
    if (mission === undefined || directory.isRevoked(mission, height())) {
      throw new ProtocolError("DIRECTORY_REVOKED", `mission ${core.sender} is revoked`)
    }
    // Its date is not judged: a desk whose clock is a day ahead must ring all the same.
    const row = receivedRowOf(id, opened, clock.now())
    return marks.claim(id, opened, async (used) => {
      const copy = putBytes(KEYS.signalCopy(id, self.rid), bytes)
      await database.write([putRow(KEYS.signal(id), row), copy, ...used], { urgent: true })
      this.#parts.onReceived(row)
      return "stored" as const
    })
  }

  async #receivedRow(id: CableId): Promise<ReceivedSignalRow> {
    const value = await this.#parts.database.get(KEYS.signal(id))
    const row = value === undefined ? undefined : parseRow<SignalRow>(KEYS.signal(id), value)
    if (row?.direction === "received") return row
    throw new NodeError("SIGNAL_UNKNOWN", `no signal ${id.slice(0, 16)} for this desk`)
  }

  #receipt(
    row: ReceivedSignalRow,
    stage: "displayed" | "acknowledged",
  ): Omit<Receipt, "officer"> & { officer: undefined } {
    const { directory, clock } = this.#parts
    const self = this.#parts.self()
    if (self === undefined) throw new NodeError("NOT_ADMITTED", "this mission is not admitted yet")
    return {
      net: directory.net,
      cableId: fromHex(row.id),
      issuer: self.rid,
      stage,
      reason: "none",
      atMs: clock.now(),
      priorHash: row.lastReceipt === "" ? NO_PRIOR_RECEIPT : fromHex(row.lastReceipt),
      officer: undefined,
    }
  }

  async #answer(row: ReceivedSignalRow, receipt: Receipt): Promise<ReceivedSignalRow> {
    const { database, suite, issue, issued } = this.#parts
    const lastReceipt = toHex(hashReceipt(suite, encodeReceipt(receipt)))
    const next: ReceivedSignalRow = { ...row, lastReceipt }
    const operations = [putRow(KEYS.signal(row.id), next), ...issue(receipt, row.sender)]
    await database.write(operations, { urgent: true })
    issued(row.sender, true)
    this.#parts.onReceived(next)
    return next
  }

  /** Changes to one signal follow each other; two at once would lose the first. */
  async #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(run)
    this.#tail = result.catch(() => undefined)
    return result
  }
}

function copiesOf(sealed: SealedEnvelope): Map<number, Uint8Array> {
  return new Map(sealed.wraps.map(({ rid }) => [rid, encodeCopy(copyFor(sealed, rid))]))
}

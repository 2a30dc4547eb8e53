/**
 * Outbox: from a draft to a sealed, signed envelope on the disk (ARCHITECTURE, journey of a cable).
 *
 * 1. check   addressees, sizes and officers against directory and policy
 * 2. release officers sign the draft
 * 3. seal    for every addressee's epoch key, and sign with the duty key
 * 4. persist envelope, queue rows, counters and ledger entry in ONE synced batch → "queued"
 * 5. follow  signed receipts move each addressee on, until all have decrypted
 *
 * The mirror of inbox.ts. The dispatcher carries what is queued; the ledger anchors it in parallel.
 */

import {
  encodeCable,
  normaliseText,
  validateCable,
  type CableContent,
} from "../../protocol/cable.ts"
import type { Directory } from "../../protocol/directory.ts"
import { entryCommitment, messageEntry, type Entry } from "../../protocol/entry.ts"
import { sealEnvelope, type Addressee, type SealedEnvelope } from "../../protocol/envelope.ts"
import type { OfficerRole } from "../../protocol/identity.ts"
import type { CompositeSigner } from "../../protocol/keys.ts"
import * as limits from "../../protocol/limits.ts"
import type { Receipt } from "../../protocol/receipt.ts"
import {
  draftRelease,
  encodeRelease,
  needsTwoOfficers,
  releaseRecord,
  signRelease,
  type ReleaseFacts,
  type ReleaseSignature,
} from "../../protocol/release.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import type { Classification, Kind, Precedence } from "../../protocol/words.ts"
import { highestPrecedence } from "../../protocol/words.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "../store/database.ts"
import type { Counters, Turn } from "./counters.ts"
import { releasePolicyOf } from "./policy.ts"
import {
  fromHex,
  KEYS,
  parseRow,
  putBytes,
  putRow,
  remove,
  toHex,
  type AddresseeRow,
  type CableId,
  type DeliveryState,
  type SentRow,
  type WrapRow,
} from "./rows.ts"

/** A cable as a user hands it in; missions by code, officers by name. */
export interface CableDraft {
  readonly to: readonly string[]
  readonly info?: readonly string[]
  readonly exempted?: readonly string[]
  readonly precedence?: Precedence
  readonly classification?: Classification
  readonly caveats?: readonly string[]
  readonly kind?: Kind
  readonly subject: string
  readonly text: string
  readonly dtg?: string
  readonly originRef?: string
  readonly references?: readonly string[]
  readonly subjectCodes?: readonly string[]
  readonly inReplyTo?: string
  readonly drafter?: string
  readonly releaser?: string
  readonly breakGlass?: boolean
}

/** An officer of this mission whose key the keystore holds. */
export interface LocalOfficer {
  readonly name: string
  readonly roles: readonly OfficerRole[]
  readonly kid: Uint8Array
  readonly sign: CompositeSigner
}

/** This mission, as it signs. */
export interface Self {
  readonly rid: number
  readonly sign: CompositeSigner
  readonly signingKid: Uint8Array
  readonly officers: readonly LocalOfficer[]
}

export type OutboxEvent =
  | {
      readonly type: "queued"
      readonly id: CableId
      readonly seq: number
      readonly recipients: readonly number[]
    }
  | {
      readonly type: "progress"
      readonly id: CableId
      readonly rid: number
      readonly state: DeliveryState
    }
  | { readonly type: "delivered"; readonly id: CableId }

export interface OutboxParts {
  readonly database: Database
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  readonly counters: Counters
  readonly directory: Directory
  /** Undefined until the mission is admitted. */
  readonly self: () => Self | undefined
  /** Height of the newest final block here. */
  readonly height: () => number
  /** The row by which the ledger's submitter finds a new entry. */
  readonly entryOperation: (entry: Entry) => Operation
  readonly emit: (event: OutboxEvent) => void
}

export interface Queued {
  readonly id: CableId
  readonly seq: number
  readonly textChanged: boolean
}

/** Rank of states at one addressee; a receipt never takes a cable back. */
const STATE_ORDER: readonly DeliveryState[] = [
  "queued",
  "relayed",
  "stored",
  "delivered",
  "read",
  "acted",
]

export class Outbox {
  readonly #parts: OutboxParts
  /** Cables on the way, by addressee. */
  readonly #waiting = new Map<number, number>()

  constructor(parts: OutboxParts) {
    this.#parts = parts
  }

  async load(): Promise<void> {
    for await (const [key] of this.#parts.database.range({ prefix: KEYS.queuePrefix })) {
      this.#count(Number(key.split("/")[1]), 1)
    }
  }

  /** Cables that wait for this addressee, or for all. */
  waiting(rid?: number): number {
    if (rid !== undefined) return this.#waiting.get(rid) ?? 0
    return [...this.#waiting.values()].reduce((sum, count) => sum + count, 0)
  }

  /**
   * Seals a draft and puts it on the disk.
   *
   * @throws NodeError `NOT_ADMITTED`, `MISSION_UNKNOWN`, `MISSION_REVOKED`, `NO_EPOCH_KEY`,
   * `OUTBOX_FULL`, `OFFICER_UNKNOWN`, `RELEASE_REQUIRED`, `STORE_FULL`; ProtocolError
   * `CABLE_INVALID`, `CABLE_TOO_LARGE`, `ENVELOPE_RECIPIENTS`.
   */
  async submit(draft: CableDraft): Promise<Queued> {
    const { counters, emit } = this.#parts
    const self = this.#self()
    const plan = this.#plan(draft, self)
    const queued = await counters.exclusive((turn) => this.#seal(plan, self, turn))
    for (const { rid } of plan.recipients) this.#count(rid, 1)
    const recipients = plan.recipients.map(({ rid }) => rid)
    emit({ type: "queued", id: queued.id, seq: queued.seq, recipients })
    return queued
  }

  /** What became of one cable here; undefined when this node never sent it. */
  async sent(
    id: CableId,
  ): Promise<{ row: SentRow; addressees: AddresseeRow[]; content: Uint8Array } | undefined> {
    const { database } = this.#parts
    const value = await database.get(KEYS.sent(id))
    const content = await database.get(KEYS.sentContent(id))
    if (value === undefined || content === undefined) return undefined
    const addressees: AddresseeRow[] = []
    for await (const [key, bytes] of database.range({ prefix: KEYS.sentStatePrefix(id) })) {
      addressees.push(parseRow<AddresseeRow>(key, bytes))
    }
    return { row: parseRow<SentRow>(KEYS.sent(id), value), addressees, content }
  }

  /** Cables sent from here, the newest first. */
  async list(limit: number): Promise<SentRow[]> {
    const { database } = this.#parts
    const rows: SentRow[] = []
    const range = { prefix: KEYS.sentListPrefix, reverse: true, limit }
    for await (const [key] of database.range(range)) {
      const id = key.slice(key.lastIndexOf("/") + 1)
      const value = await database.get(KEYS.sent(id))
      if (value !== undefined) rows.push(parseRow<SentRow>(KEYS.sent(id), value))
    }
    return rows
  }

  /** Id of the cable that used a serial of ours. */
  async idOfSeq(seq: number): Promise<CableId | undefined> {
    const key = KEYS.bySeq(seq)
    const value = await this.#parts.database.get(key)
    return value === undefined ? undefined : parseRow<{ id: CableId }>(key, value).id
  }

  /** What the dispatcher needs to carry one copy; undefined when it is no longer wanted. */
  async copyOf(
    id: CableId,
    rid: number,
  ): Promise<{ row: SentRow; wrap: WrapRow; body: Uint8Array } | undefined> {
    const { database } = this.#parts
    const [row, wrap, body] = await Promise.all([
      database.get(KEYS.sent(id)),
      database.get(KEYS.sentWrap(id, rid)),
      database.get(KEYS.sentBody(id)),
    ])
    if (row === undefined || wrap === undefined || body === undefined) return undefined
    return {
      row: parseRow<SentRow>(KEYS.sent(id), row),
      wrap: parseRow<WrapRow>(KEYS.sentWrap(id, rid), wrap),
      body,
    }
  }

  /** The dispatcher's news of one addressee: relayed, refused, or another failed try. */
  async note(
    id: CableId,
    rid: number,
    news: { state?: "relayed" | "refused"; relay?: number; reason?: string },
  ): Promise<void> {
    const { database, clock, emit } = this.#parts
    const before = await this.#addressee(id, rid)
    if (before === undefined || isAtLeast(before.state, "delivered")) return
    const relays =
      news.relay === undefined || before.relays.includes(news.relay)
        ? before.relays
        : [...before.relays, news.relay]
    const state = news.state ?? before.state
    const after: AddresseeRow = {
      ...before,
      state,
      relays,
      atMs: state === before.state ? before.atMs : clock.now(),
      attempts: before.attempts + 1,
      ...(news.reason === undefined ? {} : { reason: news.reason }),
    }
    const operations = [putRow(KEYS.sentState(id, rid), after)]
    if (state === "refused") operations.push(...(await this.#unqueue(id, rid, before)))
    await database.write(operations, { urgent: true })
    if (state !== before.state) emit({ type: "progress", id, rid, state })
  }

  /** The addressee's disk has it; kept in memory only, for the receipt says it durably. */
  stored(id: CableId, rid: number): void {
    this.#parts.emit({ type: "progress", id, rid, state: "stored" })
  }

  async relaysOf(id: CableId, rid: number): Promise<readonly number[]> {
    return (await this.#addressee(id, rid))?.relays ?? []
  }

  /**
   * Takes verified receipts of one issuer: all of their changes in one synced batch, after which
   * they may be acknowledged. Receipts for what this node did not send change nothing.
   */
  async receive(receipts: readonly Receipt[], proofs: readonly Operation[]): Promise<void> {
    const { database, emit } = this.#parts
    const operations: Operation[] = [...proofs]
    const events: OutboxEvent[] = []
    const states = new Map<string, AddresseeRow>()
    for (const receipt of receipts) {
      const id = toHex(receipt.cableId)
      const key = KEYS.sentState(id, receipt.issuer)
      const before = states.get(key) ?? (await this.#addressee(id, receipt.issuer))
      const after = before === undefined ? undefined : advance(before, receipt)
      if (before === undefined || after === undefined) continue
      states.set(key, after)
      if (!isSettled(before.state) && isSettled(after.state)) {
        operations.push(...(await this.#unqueue(id, receipt.issuer, before)))
      }
      events.push({ type: "progress", id, rid: receipt.issuer, state: after.state })
    }
    for (const [key, row] of states) operations.push(putRow(key, row))
    await database.write(operations, { urgent: true })
    for (const event of events) emit(event)
    const ids = new Set(events.flatMap((event) => (event.type === "progress" ? [event.id] : [])))
    for (const id of ids) await this.#finish(id)
  }

  #self(): Self {
    const self = this.#parts.self()
    if (self !== undefined) return self
    throw new NodeError("NOT_ADMITTED", "this mission is not admitted to the network yet")
  }

  // --- 1. check ------------------------------------------------------------------------------

  #plan(draft: CableDraft, self: Self): Plan {
    const { directory, clock } = this.#parts
    const precedence = draft.precedence ?? "routine"
    const classification = draft.classification ?? "unclassified"
    const nowMs = clock.now()
    const address = (code: string, role: "action" | "info"): PlannedAddressee => {
      const mission = this.#mission(code)
      const { rid } = mission
      if (rid === self.rid) {
        throw new NodeError("MISSION_UNKNOWN", `${code} is this mission itself`)
      }
      const key = directory.epochKeyFor(rid, nowMs)
      if (key === undefined) {
        throw new NodeError("NO_EPOCH_KEY", `mission ${code} has not published a key yet`)
      }
      if (this.waiting(rid) >= limits.OUTBOX_CABLES_PER_PEER_MAX) {
        const full = `${limits.OUTBOX_CABLES_PER_PEER_MAX} cables wait for ${code} already`
        throw new NodeError("OUTBOX_FULL", full)
      }
      return { rid, role, precedence, epoch: key.epoch, epochKey: key.publicKey }
    }
    const recipients = [
      ...draft.to.map((code) => address(code, "action")),
      ...(draft.info ?? []).map((code) => address(code, "info")),
    ].toSorted((a, b) => a.rid - b.rid)
    const exempted = (draft.exempted ?? []).map((code) => this.#mission(code).rid)
    const { content, textChanged } = contentOf(draft, classification, nowMs)
    validateCable(content, precedence)
    const cap = directory.genesis.policy.flashTextBytesMax
    const textBytes = new TextEncoder().encode(content.text).length
    if (precedence === "flash" && textBytes > cap) {
      throw new NodeError("CABLE_REFUSED", `flash text: at most ${cap} bytes, got ${textBytes}`)
    }
    const officers = this.#officers(draft, self, precedence, classification)
    return {
      recipients,
      exempted,
      content,
      textChanged,
      textBytes,
      precedence,
      classification,
      nowMs,
      kind: draft.kind ?? "real",
      breakGlass: draft.breakGlass ?? false,
      ...officers,
    }
  }

  #mission(code: string): { rid: number } {
    const { directory, height } = this.#parts
    const mission = directory.missionByCode(code.toUpperCase())
    if (mission === undefined) throw new NodeError("MISSION_UNKNOWN", `no mission ${code}`)
    if (directory.isRevoked(mission, height())) {
      throw new NodeError("MISSION_REVOKED", `mission ${code} is revoked`)
    }
    return mission
  }

  #officers(
    draft: CableDraft,
    self: Self,
    precedence: Precedence,
    classification: Classification,
  ): { drafter: LocalOfficer; releaser: LocalOfficer | undefined } {
    const drafter = pickOfficer(self, draft.drafter, "drafter")
    const policy = releasePolicyOf(this.#parts.directory.genesis.policy)
    const isTwoNeeded = needsTwoOfficers(policy, precedence, classification)
    if (draft.releaser === undefined) {
      if (isTwoNeeded && draft.breakGlass !== true) {
        const why = `${precedence}, ${classification}: a second officer must release it`
        throw new NodeError("RELEASE_REQUIRED", why)
      }
      return { drafter, releaser: undefined }
    }
    const releaser = pickOfficer(self, draft.releaser, "releaser")
    if (releaser.name === drafter.name) {
      throw new NodeError("RELEASE_REQUIRED", "drafter and releaser must be two people")
    }
    return { drafter, releaser }
  }

  // --- 2 to 4: release, seal, persist --------------------------------------------------------

  #seal(
    plan: Plan,
    self: Self,
    turn: Turn,
  ): { operations: Operation[]; envelopeId: CableId; result: Queued } {
    const { suite, random, directory, entryOperation } = this.#parts
    const content = encodeCable(plan.content)
    const recipients: Addressee[] = plan.recipients.map((one) => ({
      ...one,
      pairSeq: turn.pairSeq(one.rid),
    }))
    const facts: ReleaseFacts = {
      net: directory.net,
      bodyType: "cable",
      kind: plan.kind,
      sender: self.rid,
      recipients,
      content,
    }
    const sealed = sealEnvelope(
      suite,
      {
        net: directory.net,
        bodyType: "cable",
        kind: plan.kind,
        sender: self.rid,
        signerKid: self.signingKid,
        incarnation: turn.incarnation,
        seq: turn.seq,
        prevHash: fromHex(turn.prevHash),
        flags: { breakGlass: plan.breakGlass, courier: false },
        createdMs: plan.nowMs,
        expiresMs: plan.nowMs + limits.CABLE_LIFETIME_MS,
        recipients,
        exempted: plan.exempted,
        content,
        release: this.#release(plan, facts),
        sign: self.sign,
      },
      random,
    )
    const id = toHex(sealed.cableId)
    const commitment = entryCommitment(suite, sealed.salt, sealed.cableId)
    const entry = messageEntry(self.rid, turn.seq, plan.nowMs, commitment)
    const operations = [...rowsOf(plan, sealed, id, content), entryOperation(entry)]
    return {
      operations,
      envelopeId: id,
      result: { id, seq: turn.seq, textChanged: plan.textChanged },
    }
  }

  #release(plan: Plan, facts: ReleaseFacts): Uint8Array {
    const { suite, random } = this.#parts
    const draft = draftRelease(plan.classification, random)
    const { drafter, releaser } = plan
    const signatures: ReleaseSignature[] = [
      signRelease(suite, draft, facts, "drafter", drafter.kid, drafter.sign),
    ]
    if (releaser !== undefined) {
      signatures.push(signRelease(suite, draft, facts, "releaser", releaser.kid, releaser.sign))
    }
    return encodeRelease(releaseRecord(draft, signatures))
  }

  // --- 5. follow -----------------------------------------------------------------------------

  async #addressee(id: CableId, rid: number): Promise<AddresseeRow | undefined> {
    const key = KEYS.sentState(id, rid)
    const value = await this.#parts.database.get(key)
    return value === undefined ? undefined : parseRow<AddresseeRow>(key, value)
  }

  async #unqueue(id: CableId, rid: number, addressee: AddresseeRow): Promise<Operation[]> {
    const value = await this.#parts.database.get(KEYS.sent(id))
    if (value === undefined) return []
    const { seq } = parseRow<SentRow>(KEYS.sent(id), value)
    this.#count(rid, -1)
    return [remove(KEYS.queue(rid, addressee.precedence, seq, id)), remove(KEYS.sentWrap(id, rid))]
  }

  /** When nobody is left to wait for: tells it, and lets go of body and content secret. */
  async #finish(id: CableId): Promise<void> {
    const { database, emit } = this.#parts
    const found = await this.sent(id)
    if (found === undefined || found.row.secret === "") return
    if (!found.addressees.every(({ state }) => isSettled(state))) return
    const row: SentRow = { ...found.row, secret: "" }
    await database.write([putRow(KEYS.sent(id), row), remove(KEYS.sentBody(id))], { urgent: true })
    if (found.addressees.every(({ state }) => isAtLeast(state, "delivered"))) {
      emit({ type: "delivered", id })
    }
  }

  #count(rid: number, by: number): void {
    this.#waiting.set(rid, Math.max(0, (this.#waiting.get(rid) ?? 0) + by))
  }
}

interface PlannedAddressee {
  readonly rid: number
  readonly role: "action" | "info"
  readonly precedence: Precedence
  readonly epoch: number
  readonly epochKey: Uint8Array
}

/** A draft that has passed every check. */
interface Plan {
  readonly recipients: readonly PlannedAddressee[]
  readonly exempted: readonly number[]
  readonly content: CableContent
  readonly textChanged: boolean
  readonly textBytes: number
  readonly precedence: Precedence
  readonly classification: Classification
  readonly kind: Kind
  readonly breakGlass: boolean
  readonly nowMs: number
  readonly drafter: LocalOfficer
  readonly releaser: LocalOfficer | undefined
}

function contentOf(
  draft: CableDraft,
  classification: Classification,
  nowMs: number,
): { content: CableContent; textChanged: boolean } {
  const text = normaliseText(draft.text)
  const subject = normaliseText(draft.subject)
  const nfc = (item: string): string => normaliseText(item).text
  return {
    textChanged: text.changed || subject.changed,
    content: {
      classification,
      caveats: (draft.caveats ?? []).map(nfc),
      dateTimeGroup: draft.dtg ?? "",
      filedMs: nowMs,
      originRef: nfc(draft.originRef ?? ""),
      subject: subject.text,
      references: (draft.references ?? []).map(nfc),
      subjectCodes: (draft.subjectCodes ?? []).map(nfc),
      inReplyTo: draft.inReplyTo === undefined ? undefined : fromHex(draft.inReplyTo),
      text: text.text,
    },
  }
}

/** The named officer, or the first with the role. */
export function pickOfficer(self: Self, name: string | undefined, role: OfficerRole): LocalOfficer {
  const officer =
    name === undefined
      ? self.officers.find((one) => one.roles.includes(role))
      : self.officers.find((one) => one.name === name)
  if (officer === undefined) {
    const who = name === undefined ? "no officer" : `no officer "${name}"`
    throw new NodeError("OFFICER_UNKNOWN", `${who} with the role ${role} at this mission`)
  }
  if (!officer.roles.includes(role)) {
    throw new NodeError("OFFICER_UNKNOWN", `officer "${officer.name}" has no role ${role}`)
  }
  return officer
}

function rowsOf(plan: Plan, sealed: SealedEnvelope, id: CableId, content: Uint8Array): Operation[] {
  const { core } = sealed
  const row: SentRow = {
    id,
    seq: core.seq,
    createdMs: core.createdMs,
    header: toHex(sealed.header),
    signature: toHex(sealed.signature),
    salt: toHex(sealed.salt),
    secret: toHex(sealed.secret),
    kind: plan.kind,
    precedence: highestPrecedence(plan.recipients.map((one) => one.precedence)),
    classification: plan.classification,
    subject: plan.content.subject,
    textBytes: plan.textBytes,
    drafter: plan.drafter.name,
    ...(plan.releaser === undefined ? {} : { releaser: plan.releaser.name }),
    breakGlass: plan.breakGlass,
    exempted: plan.exempted,
    recipients: plan.recipients.map((one) => one.rid),
  }
  const operations = [
    putRow(KEYS.sent(id), row),
    putBytes(KEYS.sentBody(id), sealed.body),
    putBytes(KEYS.sentContent(id), content),
    putRow(KEYS.sentList(core.createdMs, id), {}),
    putRow(KEYS.bySeq(core.seq), { id }),
  ]
  for (const [rank, wrap] of sealed.wraps.entries()) {
    const recipient = plan.recipients[rank]
    const { rid, epoch, precedence, index } = wrap
    const [ekHash, path, bytes] = [toHex(wrap.ekHash), toHex(wrap.path), toHex(wrap.wrap)]
    const wrapRow: WrapRow = { rid, epoch, ekHash, precedence, wrap: bytes, index, path }
    const addressee: AddresseeRow = {
      rid,
      role: recipient?.role ?? "action",
      precedence,
      state: "queued",
      atMs: core.createdMs,
      relays: [],
      attempts: 0,
    }
    operations.push(
      putRow(KEYS.sentWrap(id, rid), wrapRow),
      putRow(KEYS.sentState(id, rid), addressee),
      putRow(KEYS.queue(rid, precedence, core.seq, id), { id }),
    )
  }
  return operations
}

/** The row after a receipt; undefined when it brings nothing new. */
function advance(before: AddresseeRow, receipt: Receipt): AddresseeRow | undefined {
  if (receipt.stage === "nack") {
    if (isSettled(before.state)) return undefined
    return { ...before, state: "refused", atMs: receipt.atMs, reason: receipt.reason }
  }
  const state = STATE_OF_STAGE[receipt.stage]
  if (state === undefined || isAtLeast(before.state, state)) return undefined
  return { ...before, state, atMs: receipt.atMs }
}

/** What a stage says of the cable at that addressee; stages of signals say nothing. */
const STATE_OF_STAGE: Partial<Record<Receipt["stage"], DeliveryState>> = {
  stored: "stored",
  decrypted: "delivered",
  read: "read",
  acted: "acted",
}

/** True when `state` is `wanted` or beyond; a refused cable is beyond nothing. */
export function isAtLeast(state: DeliveryState, wanted: DeliveryState): boolean {
  return STATE_ORDER.indexOf(state) >= STATE_ORDER.indexOf(wanted)
}

/** True when nothing more is to be carried to this addressee. */
function isSettled(state: DeliveryState): boolean {
  return state === "refused" || isAtLeast(state, "delivered")
}

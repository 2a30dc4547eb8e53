/**
 * Outbox: from a draft to a sealed, signed envelope on the disk (ARCHITECTURE, journey of a cable).
 *
 * 1. check   addressees, sizes and officers against directory and policy
 * 2. release officers sign the draft
 * 3. seal    for every addressee's epoch key, and sign with the duty key
 * 4. persist envelope, queue rows, counters and ledger entry in ONE synced batch → "queued"
 *
 * The mirror of inbox.ts. From here the dispatcher carries what is queued, the ledger anchors it in
 * parallel, and sent.ts follows it.
 */

import {
  dateTimeGroupOf,
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
import type { Operation } from "../store/database.ts"
import type { Counters, Turn } from "./counters.ts"
import { releasePolicyOf } from "./policy.ts"
import {
  fromHex,
  KEYS,
  putBytes,
  putRow,
  toHex,
  type AddresseeRow,
  type CableId,
  type SentRow,
  type WrapRow,
} from "./rows.ts"
import type { Sent } from "./sent.ts"

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

export interface OutboxParts {
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
  /** Where the new cable is followed from here on. */
  readonly sent: Sent
  /** The cable is on the disk. */
  readonly onQueued: (id: CableId, recipients: readonly number[], precedence: Precedence) => void
}

export interface Queued {
  readonly id: CableId
  readonly seq: number
  readonly textChanged: boolean
}

export class Outbox {
  readonly #parts: OutboxParts

  constructor(parts: OutboxParts) {
    this.#parts = parts
  }

  /**
   * Seals a draft and puts it on the disk.
   *
   * @throws NodeError `NOT_ADMITTED`, `MISSION_UNKNOWN`, `MISSION_REVOKED`, `NO_EPOCH_KEY`,
   * `OUTBOX_FULL`, `OFFICER_UNKNOWN`, `RELEASE_REQUIRED`, `STORE_FULL`; ProtocolError
   * `CABLE_INVALID`, `CABLE_TOO_LARGE`, `ENVELOPE_RECIPIENTS`.
   */
  async submit(draft: CableDraft): Promise<Queued> {
    const { counters, sent, onQueued } = this.#parts
    const self = this.#self()
    const plan = this.#plan(draft, self)
    const queued = await counters.exclusive((turn) => this.#seal(plan, self, turn))
    const recipients = plan.recipients.map(({ rid }) => rid)
    sent.queued(recipients)
    onQueued(queued.id, recipients, plan.precedence)
    return queued
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
      if (this.#parts.sent.waiting(rid) >= limits.OUTBOX_CABLES_PER_PEER_MAX) {
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
    const isFlash = precedence === "flash" || precedence === "override"
    if (isFlash && textBytes > cap) {
      throw new NodeError(
        "CABLE_REFUSED",
        `${precedence} text: at most ${cap} bytes, got ${textBytes}`,
      )
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
    dtg: dateTimeGroupOf(plan.content),
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

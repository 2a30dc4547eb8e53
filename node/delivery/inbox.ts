/**
 * Inbox: from a copy that a peer hands over to a cable on the disk.
 *
 * 1. decode  the copy, within limits
 * 2. known?  a copy that is here already is answered as such, and its receipt is issued again
 * 3. open    verify and open in the normative order (protocol/open.ts)
 * 4. accept  once per serial and per draft of its sender
 * 5. persist copy, content, dedupe marks and the receipt to issue in ONE synced batch
 * 6. answer  only now: an acknowledgement is a promise that survives our crash
 *
 * The mirror of outbox.ts. Nothing here waits for the ledger.
 */

import type { Directory } from "../../protocol/directory.ts"
import { dateTimeGroupOf } from "../../protocol/cable.ts"
import { decodeCopy, type EnvelopeCopy } from "../../protocol/copy.ts"
import { entryCommitment } from "../../protocol/entry.ts"
import { ProtocolError } from "../../protocol/errors.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { decodeHeader, type Header } from "../../protocol/header.ts"
import { openCopy, type OpenedEnvelope } from "../../protocol/open.ts"
import {
  encodeReceipt,
  hashReceipt,
  NO_PRIOR_RECEIPT,
  signReceipt,
  type Receipt,
} from "../../protocol/receipt.ts"
import type { Suite } from "../../protocol/suite.ts"
import { decodeCopyRequest, encodeCopyStatus, type CopyStatus } from "../../protocol/wire.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation } from "../store/database.ts"
import { keyLookups } from "./lookups.ts"
import type { Marks } from "./marks.ts"
import type { LocalOfficer } from "./outbox.ts"
import { releasePolicyOf } from "./policy.ts"
import {
  fromHex,
  KEYS,
  parseRow,
  putBytes,
  putRow,
  remove,
  toHex,
  type CableId,
  type ReceivedRow,
} from "./rows.ts"

/** Where the ledger has an entry of a mission, when it is final here. */
export type AnchorLookup = (
  rid: number,
  seq: number,
) => Promise<{ readonly height: number; readonly commitment: Uint8Array } | undefined>

export interface InboxParts {
  readonly database: Database
  readonly suite: Suite
  readonly clock: Clock
  readonly directory: Directory
  readonly rid: () => number | undefined
  readonly epochSeedOf: (epoch: number, ekHash: Uint8Array) => Uint8Array | undefined
  readonly anchorOf: AnchorLookup
  readonly marks: Marks
  readonly issue: (receipt: Receipt, to: number) => Operation[]
  /** For a receipt that was issued before: one row a cable, however often it is asked for. */
  readonly issueAgain: (receipt: Receipt, to: number) => Operation
  /** The receipt's batch is on the disk; `urgent` receipts go out at once. */
  readonly issued: (to: number, urgent: boolean) => void
  readonly onReceived: (row: ReceivedRow) => void
}

export class Inbox {
  readonly #parts: InboxParts
  readonly #running = new Map<CableId, Promise<CopyStatus>>()
  #marking: Promise<unknown> = Promise.resolve()

  constructor(parts: InboxParts) {
    this.#parts = parts
  }

  /** Handler of the deliver protocol. */
  async receive(request: Uint8Array): Promise<Uint8Array> {
    const bytes = decodeCopyRequest(request)
    const copy = decodeCopy(bytes)
    const id = toHex(this.#parts.suite.sha256(copy.header))
    // The same copy from the sender and from a relay at once is opened once. Whoever is refused
    // answers for its own bytes only: a spoilt copy must not speak for a whole one.
    for (let run = this.#running.get(id); run !== undefined; run = this.#running.get(id)) {
      const joined = await run.catch(() => undefined)
      if (joined !== undefined) return encodeCopyStatus(joined)
    }
    const run = this.#accept(id, copy, bytes)
    this.#running.set(id, run)
    try {
      return encodeCopyStatus(await run)
    } finally {
      this.#running.delete(id)
    }
  }

  async row(id: CableId): Promise<ReceivedRow | undefined> {
    const value = await this.#parts.database.get(KEYS.received(id))
    return value === undefined ? undefined : parseRow<ReceivedRow>(KEYS.received(id), value)
  }

  /** Received cables, the newest first; with `unread`, only those that nobody has read here. */
  async list(limit: number, unread: boolean): Promise<ReceivedRow[]> {
    const prefix = unread ? KEYS.unreadListPrefix : KEYS.receivedListPrefix
    const rows: ReceivedRow[] = []
    for await (const [key] of this.#parts.database.range({ prefix, reverse: true, limit })) {
      const row = await this.row(key.slice(key.lastIndexOf("/") + 1))
      if (row !== undefined) rows.push(row)
    }
    return rows
  }

  /** How many cables nobody has read here; counted up to `limit`. */
  async unread(limit: number): Promise<number> {
    let count = 0
    const range = { prefix: KEYS.unreadListPrefix, limit }
    for await (const _row of this.#parts.database.range(range)) count += 1
    return count
  }

  /** The bytes of a received cable's content, as its sender encoded them. */
  async content(id: CableId): Promise<Uint8Array | undefined> {
    return this.#parts.database.get(KEYS.receivedContent(id))
  }

  async copy(id: CableId): Promise<Uint8Array | undefined> {
    return this.#parts.database.get(KEYS.receivedCopy(id))
  }

  /**
   * Records that the cable was read or acted on here, and issues the receipt, once each.
   *
   * @throws NodeError `CABLE_UNKNOWN`.
   */
  async mark(
    id: CableId,
    stage: "read" | "acted",
    officer: LocalOfficer | undefined,
  ): Promise<ReceivedRow> {
    const run = this.#marking.then(async () => this.#mark(id, stage, officer))
    this.#marking = run.catch(() => undefined)
    return run
  }

  async #mark(
    id: CableId,
    stage: "read" | "acted",
    officer: LocalOfficer | undefined,
  ): Promise<ReceivedRow> {
    const { database, suite, clock, directory } = this.#parts
    const row = await this.row(id)
    const rid = this.#parts.rid()
    if (row === undefined || rid === undefined) {
      throw new NodeError("CABLE_UNKNOWN", `no received cable ${id.slice(0, 16)}`)
    }
    const isDone = stage === "read" ? row.readMs !== undefined : row.actedMs !== undefined
    if (isDone) return row
    const plain = {
      net: directory.net,
      cableId: fromHex(id),
      issuer: rid,
      stage,
      reason: "none" as const,
      atMs: clock.now(),
      priorHash: fromHex(row.lastReceipt),
      officer: undefined,
    }
    const receipt = officer === undefined ? plain : signReceipt(plain, officer.kid, officer.sign)
    const lastReceipt = toHex(hashReceipt(suite, encodeReceipt(receipt)))
    const reached = stage === "read" ? { readMs: plain.atMs } : { actedMs: plain.atMs }
    const next: ReceivedRow = { ...row, readMs: row.readMs ?? plain.atMs, ...reached, lastReceipt }
    const operations = [
      putRow(KEYS.received(id), next),
      remove(KEYS.unreadList(row.storedMs, id)),
      ...this.#parts.issue(receipt, row.sender),
    ]
    await database.write(operations, { urgent: true })
    this.#parts.issued(row.sender, isUrgent(row))
    return next
  }

  async #accept(id: CableId, copy: EnvelopeCopy, bytes: Uint8Array): Promise<CopyStatus> {
    const { suite, directory } = this.#parts
    const rid = this.#parts.rid()
    if (rid === undefined) return "later"
    const known = await this.row(id)
    if (known !== undefined) {
      await this.#issueAgain(known)
      return "duplicate"
    }
    const header = decodeHeader(suite, copy.header)
    const mission = directory.missionBySigner(header.core.signerKid)
    // The ledger here may be behind the sender's; it will ask again.
    if (mission === undefined) return "later"
    const opened = openCopy(suite, copy, {
      ...keyLookups(directory),
      rid,
      epochSeedOf: this.#parts.epochSeedOf,
      policy: releasePolicyOf(directory.genesis.policy),
    })
    if (opened.content.type !== "cable") {
      const why = `a ${opened.content.type} envelope does not come as a cable`
      throw new ProtocolError("CABLE_INVALID", why)
    }
    if (mission.revokedHeight !== undefined) {
      await this.#demandAnchoredBefore(mission.revokedHeight, opened)
    }
    return this.#store(id, bytes, opened, rid)
  }

  /** What a revoked mission signed counts only when the ledger had it before the revocation. */
  async #demandAnchoredBefore(height: number, opened: OpenedEnvelope): Promise<void> {
    const { suite, anchorOf } = this.#parts
    const { core } = opened.header
    const anchor = await anchorOf(core.sender, core.seq)
    const commitment = entryCommitment(suite, opened.salt, opened.cableId)
    if (anchor !== undefined && anchor.height < height) {
      if (equalBytes(anchor.commitment, commitment)) return
    }
    throw new ProtocolError("DIRECTORY_REVOKED", `mission ${core.sender} is revoked`)
  }

  async #store(
    id: CableId,
    bytes: Uint8Array,
    opened: OpenedEnvelope,
    rid: number,
  ): Promise<CopyStatus> {
    const { database, clock, suite, marks } = this.#parts
    const { core } = opened.header
    return marks.claim(id, opened, async (used) => {
      const row = rowOf(id, opened, rid, clock.now())
      const receipt = decryptedReceipt(opened.header, row, rid)
      const withReceipt = { ...row, lastReceipt: toHex(hashReceipt(suite, encodeReceipt(receipt))) }
      const operations: Operation[] = [
        putRow(KEYS.received(id), withReceipt),
        putBytes(KEYS.receivedCopy(id), bytes),
        putBytes(KEYS.receivedContent(id), opened.inner.content),
        putRow(KEYS.receivedList(row.storedMs, id), {}),
        putRow(KEYS.unreadList(row.storedMs, id), {}),
        ...used,
        ...this.#parts.issue(receipt, core.sender),
      ]
      await database.write(operations, { urgent: isUrgent(row) })
      this.#parts.issued(core.sender, isUrgent(row))
      this.#parts.onReceived(withReceipt)
      return "stored" as const
    })
  }

  /** The sender would not ask again if it had our receipt. */
  async #issueAgain(row: ReceivedRow): Promise<void> {
    const { database, suite, rid } = this.#parts
    const copy = await database.get(KEYS.receivedCopy(row.id))
    const self = rid()
    if (copy === undefined || self === undefined) return
    const header = decodeHeader(suite, decodeCopy(copy).header)
    const receipt = decryptedReceipt(header, row, self)
    await database.write([this.#parts.issueAgain(receipt, row.sender)], { urgent: true })
    this.#parts.issued(row.sender, isUrgent(row))
  }
}

/** FLASH and OVERRIDE are receipted at once. */
function isUrgent(row: ReceivedRow): boolean {
  return row.precedence === "flash" || row.precedence === "override"
}

function decryptedReceipt(header: Header, row: ReceivedRow, rid: number): Receipt {
  return {
    net: header.core.net,
    cableId: fromHex(row.id),
    issuer: rid,
    stage: "decrypted",
    reason: "none",
    atMs: row.storedMs,
    priorHash: NO_PRIOR_RECEIPT,
    officer: undefined,
  }
}

function rowOf(id: CableId, opened: OpenedEnvelope, rid: number, nowMs: number): ReceivedRow {
  const { core } = opened.header
  const { recipients, exempted } = opened.inner
  const own = recipients.find((one) => one.rid === rid)
  if (opened.content.type !== "cable" || own === undefined) {
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `mission ${rid} is not on the list`)
  }
  const { cable } = opened.content
  const kidOf = (role: "drafter" | "releaser"): string | undefined => {
    const found = opened.release?.signatures.find((one) => one.role === role)
    return found === undefined ? undefined : toHex(found.officerKid)
  }
  const releaser = kidOf("releaser")
  return {
    id,
    sender: core.sender,
    incarnation: core.incarnation,
    seq: core.seq,
    pairSeq: own.pairSeq,
    createdMs: core.createdMs,
    storedMs: nowMs,
    salt: toHex(opened.salt),
    kind: core.kind,
    role: own.role,
    precedence: own.precedence,
    classification: cable.classification,
    subject: cable.subject,
    dtg: dateTimeGroupOf(cable),
    textBytes: new TextEncoder().encode(cable.text).length,
    drafter: kidOf("drafter") ?? "",
    ...(releaser === undefined ? {} : { releaser }),
    breakGlass: core.flags.breakGlass,
    exempted,
    to: recipients.filter((one) => one.role === "action").map((one) => one.rid),
    info: recipients.filter((one) => one.role === "info").map((one) => one.rid),
    lastReceipt: "",
  }
}

/**
 * Receipts of this node: issued with what they are about, sent in signed batches, anchored by root.
 *
 * A receipt is on the disk in the batch that made it true. It goes to the sender directly, at once
 * when urgent and otherwise with those of the next moments, until the sender has it on its disk.
 * Once a minute at most, the root over all receipts issued since is anchored in one ledger entry.
 */

import type { Directory } from "../../protocol/directory.ts"
import { entryCommitment, messageEntry, type Entry } from "../../protocol/entry.ts"
import * as limits from "../../protocol/limits.ts"
import { decodeReceipt, encodeReceipt, type Receipt } from "../../protocol/receipt.ts"
import {
  buildReceipts,
  hashStatement,
  splitFor,
  verifyReceipts,
} from "../../protocol/receipt-batch.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import { decodeBlob, encodeBlob, encodeNumber, PROTOCOLS } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Transport } from "../network/transport.ts"
import type { Database, Operation } from "../store/database.ts"
import type { Counters } from "./counters.ts"
import { keyLookups } from "./lookups.ts"
import type { Self } from "./outbox.ts"
import { KEYS, putBytes, putRow, remove, toHex, type CableId } from "./rows.ts"

/** Quiet time after which a batch that is not urgent goes out; RECEIPTS_FLUSH_MS at the latest. */
const SETTLE_MS = 100
/** So many receipts are worth a signature of their own, however busy the sender is. */
const FULL_BATCH = 64

export interface ReceiptsParts {
  readonly database: Database
  readonly suite: Suite
  readonly random: RandomSource
  readonly clock: Clock
  readonly counters: Counters
  readonly directory: Directory
  readonly transport: Transport
  readonly self: () => Self | undefined
  readonly peerOf: (rid: number) => string | undefined
  readonly entryOperation: (entry: Entry) => Operation
  /** An entry was written: the ledger's submitter may look. */
  readonly onEntry: () => void
  /** True for a cable or signal that this node sent to this addressee. */
  readonly isOurs: (id: CableId, addressee: number) => Promise<boolean>
  /** Verified receipts that came for us; resolves when they are on the disk. */
  readonly onReceipts: (receipts: readonly Receipt[], proofs: readonly Operation[]) => Promise<void>
  /** A failure that no retry mends, of the disk above all. */
  readonly onFatal: (error: unknown) => void
}

interface Outgoing {
  timer: Timer | undefined
  firstMs: number | undefined
  /** Issued since the last batch went. */
  count: number
  isSending: boolean
  isWanted: boolean
  retryMs: number
}

export class Receipts {
  readonly #parts: ReceiptsParts
  readonly #outgoing = new Map<number, Outgoing>()
  #serial = 0
  readonly #waitingFor = new Set<number>()
  #isAnchorDue = false
  #anchorTimer: Timer | undefined
  #isStopped = false

  constructor(parts: ReceiptsParts) {
    this.#parts = parts
  }

  /** Before the first receipt is issued: rows of the last life keep their serials. */
  async load(): Promise<void> {
    const { database } = this.#parts
    for await (const [key] of database.range({ prefix: KEYS.receiptOutPrefix })) {
      const [, rid, serial = ""] = key.split("/")
      this.#waitingFor.add(Number(rid))
      if (!serial.startsWith("~")) this.#serial = Math.max(this.#serial, Number(serial))
    }
    for await (const [key] of database.range({ prefix: KEYS.receiptAnchorPrefix })) {
      this.#isAnchorDue = true
      this.#serial = Math.max(this.#serial, Number(key.split("/")[1]))
    }
  }

  /** Sends what the last life left over. */
  start(): void {
    for (const rid of this.#waitingFor) this.issued(rid, false)
    this.#waitingFor.clear()
    if (this.#isAnchorDue) this.#armAnchor()
  }

  stop(): void {
    this.#isStopped = true
    this.#anchorTimer?.cancel()
    for (const outgoing of this.#outgoing.values()) outgoing.timer?.cancel()
  }

  /** Rows for the batch in which the receipt becomes true. */
  issue(receipt: Receipt, to: number): Operation[] {
    this.#serial += 1
    const bytes = encodeReceipt(receipt)
    return [
      putBytes(KEYS.receiptOut(to, this.#serial), bytes),
      putBytes(KEYS.receiptAnchor(this.#serial), bytes),
    ]
  }

  /** As {@link issue}, for one that was issued, and anchored, before. */
  issueAgain(receipt: Receipt, to: number): Operation {
    return putBytes(KEYS.receiptOutAgain(to, toHex(receipt.cableId)), encodeReceipt(receipt))
  }

  /** That batch is on the disk. */
  issued(to: number, urgent: boolean): void {
    this.#armAnchor()
    const { clock } = this.#parts
    const outgoing = this.#outgoingTo(to)
    outgoing.isWanted = true
    const nowMs = clock.monotonicMs()
    outgoing.firstMs ??= nowMs
    const latestMs = outgoing.firstMs + limits.RECEIPTS_FLUSH_MS - nowMs
    outgoing.count += 1
    const isDue = urgent || outgoing.count >= FULL_BATCH
    this.#schedule(to, isDue ? 0 : Math.max(0, Math.min(SETTLE_MS, latestMs)))
  }

  /** A peer is in contact: what it has not got goes now. */
  contact(rid: number): void {
    const outgoing = this.#outgoing.get(rid)
    if (outgoing?.isWanted !== true) return
    outgoing.retryMs = limits.RETRY_MIN_MS
    this.#schedule(rid, 0)
  }

  /** Handler of the receipt protocol. */
  async receive(request: Uint8Array): Promise<Uint8Array> {
    const { database, suite, directory, isOurs, onReceipts } = this.#parts
    const bytes = decodeBlob(request, "receipts request", limits.RECEIPTS_BYTES_MAX)
    const verified = verifyReceipts(suite, bytes, keyLookups(directory))
    // A member may sign receipts for anything, as often as it likes: only those for what we sent
    // to it are worth our disk, and one proof of each.
    const receipts: Receipt[] = []
    const proofs: Operation[] = []
    const batch = KEYS.receiptBatch(toHex(verified.statementHash))
    for (const receipt of verified.receipts) {
      const id = toHex(receipt.cableId)
      if (!(await isOurs(id, receipt.issuer))) continue
      receipts.push(receipt)
      const key = KEYS.receiptProof(id, receipt.issuer, receipt.stage)
      if ((await database.get(key)) === undefined) proofs.push(putRow(key, { batch }))
    }
    if (proofs.length > 0) proofs.push(putBytes(batch, bytes))
    if (receipts.length > 0) await onReceipts(receipts, proofs)
    return encodeNumber(verified.receipts.length)
  }

  // --- sending -------------------------------------------------------------------------------

  #outgoingTo(rid: number): Outgoing {
    const known = this.#outgoing.get(rid)
    if (known !== undefined) return known
    const outgoing: Outgoing = {
      timer: undefined,
      firstMs: undefined,
      count: 0,
      isSending: false,
      isWanted: false,
      retryMs: limits.RETRY_MIN_MS,
    }
    this.#outgoing.set(rid, outgoing)
    return outgoing
  }

  #schedule(rid: number, delayMs: number): void {
    const outgoing = this.#outgoingTo(rid)
    outgoing.timer?.cancel()
    if (this.#isStopped) return
    outgoing.timer = this.#parts.clock.after(delayMs, () => {
      this.#send(rid, outgoing).catch(this.#parts.onFatal)
    })
  }

  async #send(rid: number, outgoing: Outgoing): Promise<void> {
    if (outgoing.isSending || this.#isStopped) return
    outgoing.isSending = true
    outgoing.isWanted = false
    outgoing.firstMs = undefined
    outgoing.count = 0
    let waitMs = 0
    try {
      let isMore = true
      while (isMore && !this.#isStopped) isMore = await this.#sendBatch(rid)
      outgoing.retryMs = limits.RETRY_MIN_MS
    } catch (error) {
      if (!(error instanceof NodeError) || isDisk(error)) throw error
      // The network's failures are retried here and nowhere else.
      outgoing.isWanted = true
      waitMs = outgoing.retryMs
      outgoing.retryMs = Math.min(outgoing.retryMs * 2, limits.RETRY_MAX_FLASH_MS)
    } finally {
      outgoing.isSending = false
    }
    if (outgoing.isWanted) this.#schedule(rid, waitMs)
  }

  /** Signs and sends up to one batch; true when more is waiting. */
  async #sendBatch(rid: number): Promise<boolean> {
    const { database, suite, clock, directory, transport, counters } = this.#parts
    const self = this.#parts.self()
    const peer = this.#parts.peerOf(rid)
    if (self === undefined || peer === undefined) return false
    const keys: string[] = []
    const receipts = new Map<string, Receipt>()
    const limit = limits.RECEIPTS_PER_BATCH_MAX
    for await (const [key, bytes] of database.range({ prefix: KEYS.receiptOutOf(rid), limit })) {
      keys.push(key)
      // One that was issued again while it waited goes once.
      receipts.set(toHex(bytes), decodeReceipt(bytes))
    }
    if (keys.length === 0) return false
    const batch = buildReceipts(suite, {
      net: directory.net,
      issuer: self.rid,
      incarnation: counters.incarnation,
      createdMs: clock.now(),
      receipts: [...receipts.values()],
      signerKid: self.signingKid,
      sign: self.sign,
    })
    const bytes = splitFor(batch, [...batch.receipts.keys()])
    await transport.request(peer, PROTOCOLS.receipt, encodeBlob(bytes))
    await database.write(keys.map(remove), { urgent: true })
    return keys.length === limit
  }

  // --- anchoring -----------------------------------------------------------------------------

  #armAnchor(): void {
    if (this.#anchorTimer !== undefined || this.#isStopped) return
    this.#anchorTimer = this.#parts.clock.after(limits.RECEIPTS_ANCHOR_MS, () => {
      this.#anchorTimer = undefined
      this.#anchor().catch(this.#parts.onFatal)
    })
  }

  async #anchor(): Promise<void> {
    const { database, suite, random, clock, directory, counters, entryOperation } = this.#parts
    const self = this.#parts.self()
    if (self === undefined || this.#isStopped) return
    const keys: string[] = []
    const receipts: Receipt[] = []
    const limit = limits.RECEIPTS_PER_BATCH_MAX
    const range = database.range({ prefix: KEYS.receiptAnchorPrefix, limit })
    for await (const [key, bytes] of range) {
      keys.push(key)
      receipts.push(decodeReceipt(bytes))
    }
    if (keys.length === 0) return
    await counters.exclusive((turn) => {
      const createdMs = clock.now()
      const batch = buildReceipts(suite, {
        net: directory.net,
        issuer: self.rid,
        incarnation: turn.incarnation,
        createdMs,
        receipts,
        signerKid: self.signingKid,
        sign: self.sign,
      })
      const salt = random(limits.HASH_BYTES)
      const commitment = entryCommitment(suite, salt, hashStatement(suite, batch.statement))
      const entry = messageEntry(self.rid, turn.seq, createdMs, commitment)
      return {
        operations: [
          ...keys.map(remove),
          putBytes(KEYS.receiptRoot(turn.seq), splitFor(batch, [...batch.receipts.keys()])),
          putBytes(`${KEYS.receiptRoot(turn.seq)}/salt`, salt),
          entryOperation(entry),
        ],
        urgent: true,
        result: undefined,
      }
    })
    this.#parts.onEntry()
    if (keys.length === limit) this.#armAnchor()
  }
}

/** True for failures after which the node must not go on. */
export function isDisk(error: unknown): boolean {
  return (
    error instanceof NodeError && (error.code === "STORE_FAILED" || error.code === "STORE_DAMAGED")
  )
}

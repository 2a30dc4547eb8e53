/**
 * Sent cables: what became of them at each addressee, from the signed receipts that come back.
 *
 * The step after outbox.ts. A cable is followed until every addressee has decrypted it or refused
 * it; then its body and its content secret go, and header, signature and salt stay for ever.
 */

import type { Receipt } from "../../protocol/receipt.ts"
import type { Clock } from "../clock.ts"
import type { Database, Operation } from "../store/database.ts"
import {
  KEYS,
  parseRow,
  putRow,
  remove,
  toHex,
  type AddresseeRow,
  type CableId,
  type DeliveryState,
  type SentRow,
  type WrapRow,
} from "./rows.ts"

export type SentEvent =
  | {
      readonly type: "progress"
      readonly id: CableId
      readonly rid: number
      readonly state: DeliveryState
    }
  | { readonly type: "delivered"; readonly id: CableId }

export interface SentParts {
  readonly database: Database
  readonly clock: Clock
  readonly emit: (event: SentEvent) => void
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

export class Sent {
  readonly #parts: SentParts
  /** Cables on the way, by addressee. */
  readonly #waiting = new Map<number, number>()
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: SentParts) {
    this.#parts = parts
  }

  async load(): Promise<void> {
    for await (const [key] of this.#parts.database.range({ prefix: KEYS.queuePrefix })) {
      this.#count(Number(key.split("/")[1]), 1)
    }
    // A crash may have come between the last receipt and the letting go of body and secret.
    const held: CableId[] = []
    for await (const [key] of this.#parts.database.range({ prefix: KEYS.sentBodyPrefix })) {
      held.push(key.slice(KEYS.sentBodyPrefix.length))
    }
    for (const id of held) await this.#finish(id)
  }

  /** Cables that wait for this addressee, or for all. */
  waiting(rid?: number): number {
    if (rid !== undefined) return this.#waiting.get(rid) ?? 0
    return [...this.#waiting.values()].reduce((sum, count) => sum + count, 0)
  }

  /** A new cable is on the disk for these addressees. */
  queued(rids: readonly number[]): void {
    for (const rid of rids) this.#count(rid, 1)
  }

  async has(id: CableId, addressee: number): Promise<boolean> {
    return (await this.#addressee(id, addressee)) !== undefined
  }

  /** What became of one cable; undefined when this node never sent it. */
  async find(id: CableId): Promise<{ row: SentRow; addressees: AddresseeRow[] } | undefined> {
    const { database } = this.#parts
    const value = await database.get(KEYS.sent(id))
    if (value === undefined) return undefined
    const addressees: AddresseeRow[] = []
    for await (const [key, bytes] of database.range({ prefix: KEYS.sentStatePrefix(id) })) {
      addressees.push(parseRow<AddresseeRow>(key, bytes))
    }
    return { row: parseRow<SentRow>(KEYS.sent(id), value), addressees }
  }

  /** The bytes of a sent cable's content. */
  async content(id: CableId): Promise<Uint8Array | undefined> {
    return this.#parts.database.get(KEYS.sentContent(id))
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
    return this.#exclusive(async () => this.#note(id, rid, news))
  }

  async #note(
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
    return this.#exclusive(async () => this.#receive(receipts, proofs))
  }

  async #receive(receipts: readonly Receipt[], proofs: readonly Operation[]): Promise<void> {
    const { database, emit } = this.#parts
    const operations: Operation[] = [...proofs]
    const events: SentEvent[] = []
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
    const found = await this.find(id)
    if (found === undefined || found.row.secret === "") return
    if (!found.addressees.every(({ state }) => isSettled(state))) return
    const row: SentRow = { ...found.row, secret: "" }
    await database.write([putRow(KEYS.sent(id), row), remove(KEYS.sentBody(id))], { urgent: true })
    if (found.addressees.every(({ state }) => isAtLeast(state, "delivered"))) {
      emit({ type: "delivered", id })
    }
  }

  /** Changes follow each other: of two at once, the later would undo what the receipt said. */
  async #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(run)
    this.#tail = result.catch(() => undefined)
    return result
  }

  #count(rid: number, by: number): void {
    this.#waiting.set(rid, Math.max(0, (this.#waiting.get(rid) ?? 0) + by))
  }
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

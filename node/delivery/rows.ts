/**
 * The rows of delivery in the sealed store: their keys, and their values as JSON with hex bytes.
 *
 * Rows are our own and sealed, so a value that does not parse is a damaged store. Numbers in keys
 * are padded, so that key order is the order of work.
 */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import type { Operation } from "../store/database.ts"
import { NodeError } from "../errors.ts"
import type { Classification, Kind, Precedence } from "../../protocol/words.ts"
import { PRECEDENCES, precedenceRank } from "../../protocol/words.ts"

/** Envelope id as lower-case hex. */
export type CableId = string

/** How far a cable has come at one addressee, as the sender knows it. */
export type DeliveryState =
  "queued" | "relayed" | "stored" | "delivered" | "read" | "acted" | "refused"

/** What the sender keeps of a cable for ever. */
export interface SentRow {
  readonly id: CableId
  readonly seq: number
  readonly createdMs: number
  readonly header: string
  readonly signature: string
  readonly salt: string
  /** Kept until every addressee has decrypted it, for wrapping anew. */
  readonly secret: string
  readonly kind: Kind
  readonly precedence: Precedence
  readonly classification: Classification
  readonly subject: string
  /** Date-time group as it is shown. */
  readonly dtg: string
  readonly textBytes: number
  readonly drafter: string
  readonly releaser?: string
  readonly breakGlass: boolean
  readonly exempted: readonly number[]
  readonly recipients: readonly number[]
}

/** One addressee's wrap; goes when the addressee has decrypted. */
export interface WrapRow {
  readonly rid: number
  readonly epoch: number
  readonly ekHash: string
  readonly precedence: Precedence
  readonly wrap: string
  readonly index: number
  readonly path: string
}

export interface AddresseeRow {
  readonly rid: number
  readonly role: "action" | "info"
  readonly precedence: Precedence
  readonly state: DeliveryState
  readonly atMs: number
  readonly relays: readonly number[]
  readonly attempts: number
  readonly reason?: string
}

/** What a recipient keeps of a cable beside its copy and content. */
export interface ReceivedRow {
  readonly id: CableId
  readonly sender: number
  readonly incarnation: number
  readonly seq: number
  readonly pairSeq: number
  readonly createdMs: number
  readonly storedMs: number
  readonly salt: string
  readonly kind: Kind
  readonly role: "action" | "info"
  readonly precedence: Precedence
  readonly classification: Classification
  readonly subject: string
  /** Date-time group as it is shown. */
  readonly dtg: string
  readonly textBytes: number
  readonly drafter: string
  readonly releaser?: string
  readonly breakGlass: boolean
  readonly exempted: readonly number[]
  readonly to: readonly number[]
  readonly info: readonly number[]
  readonly readMs?: number
  readonly actedMs?: number
  /** Hash of the newest receipt that this mission issued for it. */
  readonly lastReceipt: string
}

/** The sender's counters, written with every envelope. */
export interface CountersRow {
  /** Next serial on the ledger. */
  readonly nextSeq: number
  readonly incarnation: number
  /** Id of the envelope before the next one; zeros at first. */
  readonly prevHash: string
}

export const KEYS = {
  counters: "counters",
  pair: (rid: number): string => `pair/${pad(rid, 5)}`,
  pairPrefix: "pair/",
  sent: (id: CableId): string => `sent/${id}`,
  sentPrefix: "sent/",
  sentBody: (id: CableId): string => `sent-body/${id}`,
  sentBodyPrefix: "sent-body/",
  sentContent: (id: CableId): string => `sent-content/${id}`,
  sentWrap: (id: CableId, rid: number): string => `sent-wrap/${id}/${pad(rid, 5)}`,
  sentState: (id: CableId, rid: number): string => `sent-state/${id}/${pad(rid, 5)}`,
  sentStatePrefix: (id: CableId): string => `sent-state/${id}/`,
  sentList: (atMs: number, id: CableId): string => `sent-list/${pad(atMs, 16)}/${id}`,
  sentListPrefix: "sent-list/",
  bySeq: (seq: number): string => `seq/${pad(seq, 16)}`,
  queue: (rid: number, precedence: Precedence, seq: number, id: CableId): string =>
    `queue/${pad(rid, 5)}/${9 - precedenceRank(precedence)}/${pad(seq, 16)}/${id}`,
  /** Prefixes of one addressee's queues, a precedence each, the highest first. */
  queuesOf: (rid: number): string[] =>
    PRECEDENCES.list
      .map((precedence) => `queue/${pad(rid, 5)}/${9 - precedenceRank(precedence)}/`)
      .toSorted(),
  queuePrefix: "queue/",
  received: (id: CableId): string => `in/${id}`,
  receivedPrefix: "in/",
  receivedCopy: (id: CableId): string => `in-copy/${id}`,
  receivedContent: (id: CableId): string => `in-content/${id}`,
  receivedList: (atMs: number, id: CableId): string => `in-list/${pad(atMs, 16)}/${id}`,
  receivedListPrefix: "in-list/",
  unreadList: (atMs: number, id: CableId): string => `in-unread/${pad(atMs, 16)}/${id}`,
  unreadListPrefix: "in-unread/",
  serial: (rid: number, incarnation: number, seq: number): string =>
    `serial/${pad(rid, 5)}/${pad(incarnation, 10)}/${pad(seq, 16)}`,
  draft: (rid: number, draftId: string): string => `draft/${pad(rid, 5)}/${draftId}`,
  receiptOut: (rid: number, serial: number): string => `rcpt-out/${pad(rid, 5)}/${pad(serial, 16)}`,
  /** Sorts behind those of serials. */
  receiptOutAgain: (rid: number, id: CableId): string => `rcpt-out/${pad(rid, 5)}/~${id}`,
  receiptOutOf: (rid: number): string => `rcpt-out/${pad(rid, 5)}/`,
  receiptOutPrefix: "rcpt-out/",
  receiptAnchor: (serial: number): string => `rcpt-anchor/${pad(serial, 16)}`,
  receiptAnchorPrefix: "rcpt-anchor/",
  receiptRoot: (seq: number): string => `rcpt-root/${pad(seq, 16)}`,
  receiptBatch: (statementHash: string): string => `rcpt-batch/${statementHash}`,
  receiptProof: (id: CableId, rid: number, stage: string): string =>
    `rcpt-proof/${id}/${pad(rid, 5)}/${stage}`,
  relayCopy: (rid: number, precedence: Precedence, id: CableId): string =>
    `relay/${pad(rid, 5)}/${9 - precedenceRank(precedence)}/${id}`,
  relayOf: (rid: number): string => `relay/${pad(rid, 5)}/`,
  relayPrefix: "relay/",
  signal: (id: CableId): string => `signal/${id}`,
  signalPrefix: "signal/",
  signalCopy: (id: CableId, rid: number): string => `signal-copy/${id}/${pad(rid, 5)}`,
  epochSecret: (epoch: number, hash: string): string => `epoch/${pad(epoch, 10)}/${hash}`,
  epochSecretPrefix: "epoch/",
} as const

/** FLASH or higher: nothing waits that need not. */
export function isFlash(precedence: Precedence): boolean {
  return precedenceRank(precedence) >= precedenceRank("flash")
}

/** True for the key of a queue row of FLASH or a higher precedence. */
export function isQueuedAsFlash(key: string): boolean {
  return 9 - Number(key.split("/")[2]) >= precedenceRank("flash")
}

function pad(value: number, width: number): string {
  return value.toString().padStart(width, "0")
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function putRow(key: string, row: object): Operation {
  return { type: "put", key, value: encoder.encode(JSON.stringify(row)) }
}

export function putBytes(key: string, value: Uint8Array): Operation {
  return { type: "put", key, value }
}

export function remove(key: string): Operation {
  return { type: "delete", key }
}

/** @throws NodeError `STORE_DAMAGED` when the value is no JSON. */
export function parseRow<T>(key: string, value: Uint8Array): T {
  try {
    return JSON.parse(decoder.decode(value)) as T
  } catch (cause) {
    throw new NodeError("STORE_DAMAGED", `row ${key} does not parse`, { cause })
  }
}

export const toHex: (bytes: Uint8Array) => string = bytesToHex
export const fromHex: (hex: string) => Uint8Array = hexToBytes

/**
 * What validators say to each other (LEDGER §8.4).
 *
 * A packet is what goes to one validator at one time: version u8 ‖ epoch u32 ‖ final view u64 ‖
 * run[16] ‖ messages. A message is type u8 ‖ length u32 ‖ body. Every packet carries the sender's
 * final view, so that whoever is ahead can help (R9), and the nonce of its run, so that two
 * machines with one key are seen (§9.4); a packet without messages is the heartbeat.
 */

import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import {
  BOOT_NONCE_BYTES,
  FETCH_VIEWS_MAX,
  HASH_BYTES,
  PACKET_MESSAGES_MAX,
  STORED_BLOCK_BYTES_MAX,
} from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { decodeBlock, encodeBlock, type Block } from "./block.ts"
import { decodeCertificate, encodeCertificate, type Certificate } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { decodeVote, encodeVote, VOTE_BYTES, type Vote } from "./vote.ts"

export type Message =
  | { readonly type: "vote"; readonly vote: Vote }
  | { readonly type: "certificate"; readonly certificate: Certificate }
  /** A block with its leader's notarize vote. */
  | { readonly type: "proposal"; readonly block: Block; readonly vote: Vote }
  /** Asks for the certificates of some views. */
  | { readonly type: "fetch"; readonly fromView: number; readonly toView: number }
  /** Asks for a block by its hash. */
  | { readonly type: "fetchBlock"; readonly hash: Uint8Array }
  /** The answer to it. */
  | { readonly type: "block"; readonly block: Block }
  /** Nothing but the final view that every packet carries. */
  | { readonly type: "heartbeat" }

/** What every packet begins with. */
export interface PacketHead {
  readonly epoch: number
  readonly finalView: number
  /** Nonce of the sender's run, 16 bytes (§9.4). */
  readonly run: Uint8Array
}

export interface Packet extends PacketHead {
  readonly messages: readonly Message[]
}

/**
 * What the receiver of a packet knows of the sender's key beside. `copied`: another run asked to
 * vote, and was not let. `superseded`: another run was let vote, and this one is its past.
 */
export type Notice = "none" | "copied" | "superseded"

const NOTICES: readonly Notice[] = ["none", "copied", "superseded"]

export interface PacketAnswer {
  readonly finalView: number
  readonly notice: Notice
}

const VERSION = 2
const ANSWER_VERSION = 1
const ANSWER_BYTES = 1 + 8 + 1
const TYPES = { vote: 1, certificate: 2, proposal: 3, fetch: 4, fetchBlock: 5, block: 6 } as const
const MESSAGE_HEAD_BYTES = 1 + 4
export const PACKET_HEAD_BYTES: number = 1 + 4 + 8 + BOOT_NONCE_BYTES

/** One message as it stands in a packet; nothing for a heartbeat. */
export function encodeMessage(message: Message): Uint8Array {
  if (message.type === "heartbeat") return new Uint8Array(0)
  const body = encodeBody(message)
  return new FieldWriter(MESSAGE_HEAD_BYTES + body.length)
    .u8(TYPES[message.type])
    .u32(body.length)
    .bytes(body)
    .finish()
}

function encodeBody(message: Exclude<Message, { type: "heartbeat" }>): Uint8Array {
  switch (message.type) {
    case "vote":
      return encodeVote(message.vote)
    case "certificate":
      return encodeCertificate(message.certificate)
    case "proposal": {
      const block = encodeBlock(message.block)
      return new FieldWriter(VOTE_BYTES + block.length)
        .bytes(encodeVote(message.vote))
        .bytes(block)
        .finish()
    }
    case "fetch":
      return new FieldWriter(16).u64(message.fromView).u64(message.toView).finish()
    case "fetchBlock":
      return message.hash
    default:
      return encodeBlock(message.block)
  }
}

/** A packet of messages that are encoded. */
export function encodePacket(head: PacketHead, messages: readonly Uint8Array[]): Uint8Array {
  const length = messages.reduce((sum, message) => sum + message.length, PACKET_HEAD_BYTES)
  const { epoch, finalView, run } = head
  const writer = new FieldWriter(length).u8(VERSION).u32(epoch).u64(finalView).bytes(run)
  for (const message of messages) writer.bytes(message)
  return writer.finish()
}

/**
 * @throws ProtocolError `CODEC_*` and the decoders' errors; {@link LedgerError} `MESSAGE_INVALID`
 * for an unknown type, too many messages or a range of views that is none.
 */
export function decodePacket(suite: Suite, bytes: Uint8Array): Packet {
  const reader = new FieldReader(bytes, "packet")
  const head = readHead(reader)
  const messages: Message[] = []
  while (reader.left > 0) {
    if (messages.length === PACKET_MESSAGES_MAX) {
      throw new LedgerError("MESSAGE_INVALID", `packet: more than ${PACKET_MESSAGES_MAX} messages`)
    }
    const type = reader.u8("message type")
    const length = reader.u32("message length", VOTE_BYTES + STORED_BLOCK_BYTES_MAX)
    messages.push(decodeMessage(suite, type, reader.view("message", length)))
  }
  return { ...head, messages }
}

/** The beginning of a packet alone. @throws ProtocolError `CODEC_*`. */
export function decodePacketHead(bytes: Uint8Array): PacketHead {
  return readHead(new FieldReader(bytes, "packet"))
}

function readHead(reader: FieldReader): PacketHead {
  reader.version(VERSION)
  return {
    epoch: reader.u32("epoch"),
    finalView: reader.u64("final view"),
    run: reader.bytes("run", BOOT_NONCE_BYTES),
  }
}

/** version u8 ‖ final view u64 ‖ notice u8. */
export function encodePacketAnswer({ finalView, notice }: PacketAnswer): Uint8Array {
  return new FieldWriter(ANSWER_BYTES)
    .u8(ANSWER_VERSION)
    .u64(finalView)
    .u8(NOTICES.indexOf(notice))
    .finish()
}

/** @throws ProtocolError `CODEC_*`; {@link LedgerError} `MESSAGE_INVALID`. */
export function decodePacketAnswer(bytes: Uint8Array): PacketAnswer {
  const reader = new FieldReader(bytes, "packet answer")
  reader.version(ANSWER_VERSION)
  const finalView = reader.u64("final view")
  const notice = NOTICES[reader.u8("notice", NOTICES.length - 1)]
  reader.end()
  if (notice !== undefined) return { finalView, notice }
  throw new LedgerError("MESSAGE_INVALID", "packet answer: unknown notice")
}

function decodeMessage(suite: Suite, type: number, body: Uint8Array): Message {
  switch (type) {
    case TYPES.vote:
      return { type: "vote", vote: decodeVote(body) }
    case TYPES.certificate:
      return { type: "certificate", certificate: decodeCertificate(body) }
    case TYPES.proposal: {
      const reader = new FieldReader(body, "proposal")
      const vote = decodeVote(reader.view("vote", VOTE_BYTES))
      return {
        type: "proposal",
        vote,
        block: decodeBlock(suite, reader.view("block", reader.left)),
      }
    }
    case TYPES.fetch: {
      const reader = new FieldReader(body, "fetch")
      const fromView = reader.u64("from view")
      const toView = reader.u64("to view")
      reader.end()
      if (fromView === 0 || toView < fromView || toView - fromView >= FETCH_VIEWS_MAX) {
        const why = `expected 1 … ${FETCH_VIEWS_MAX} views, got ${fromView} … ${toView}`
        throw new LedgerError("MESSAGE_INVALID", `fetch: ${why}`)
      }
      return { type: "fetch", fromView, toView }
    }
    case TYPES.fetchBlock: {
      const reader = new FieldReader(body, "fetch block")
      const hash = reader.bytes("hash", HASH_BYTES)
      reader.end()
      return { type: "fetchBlock", hash }
    }
    case TYPES.block:
      return { type: "block", block: decodeBlock(suite, body) }
    default:
      throw new LedgerError("MESSAGE_INVALID", `message: unknown type ${type}`)
  }
}

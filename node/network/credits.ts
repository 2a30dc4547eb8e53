/**
 * Who may send and keep how much: credit on one stream, and the node's budget for messages.
 *
 * Credit counts payload bytes and bounds what is on the way on one stream. The budget bounds what
 * all streams together hold: requests until their handler is done, answers until they are sent or
 * handed to the caller. Pure but for the counting.
 */

import {
  CREDIT_STEP_BYTES,
  REASSEMBLY_BYTES_MAX,
  REASSEMBLY_URGENT_BYTES,
  STREAM_CREDIT_BYTES,
} from "../../protocol/limits.ts"
import { assert } from "../../protocol/assert.ts"
import { breach } from "./frames.ts"
import type { Lane } from "./transport.ts"

/** What we may still send on a stream. */
export class SendCredit {
  #available = STREAM_CREDIT_BYTES

  get available(): number {
    return this.#available
  }

  spend(bytes: number): void {
    assert(bytes <= this.#available, "sent more than was credited")
    this.#available -= bytes
  }

  /** @throws NodeError `STREAM_PROTOCOL` when the other side gives more than it got. */
  add(bytes: number): void {
    if (this.#available + bytes > STREAM_CREDIT_BYTES) {
      throw breach(`expected at most ${STREAM_CREDIT_BYTES} bytes of credit in all`)
    }
    this.#available += bytes
  }
}

/** What the other side may still send to us. */
export class ReceiveCredit {
  #granted = STREAM_CREDIT_BYTES
  #owed = 0

  /**
   * Counts bytes that came and were consumed, kept in the budget or thrown away. Returns the
   * credit to give back now: 0, or at least {@link CREDIT_STEP_BYTES}.
   *
   * @throws NodeError `STREAM_PROTOCOL` when the other side sent what it had no credit for.
   */
  consume(bytes: number): number {
    if (bytes > this.#granted) throw breach(`got ${bytes} bytes with credit for ${this.#granted}`)
    this.#granted -= bytes
    this.#owed += bytes
    if (this.#owed < CREDIT_STEP_BYTES) return 0
    const credit = this.#owed
    this.#owed = 0
    this.#granted += credit
    return credit
  }
}

/**
 * Memory for messages, shared by all streams of a node.
 *
 * The urgent lane has a part to itself, so that a flood of bulk leaves room for the hotline.
 */
export class MessageBudget {
  readonly #bytesMax: number
  readonly #urgentBytes: number
  #used = 0

  constructor(bytesMax = REASSEMBLY_BYTES_MAX, urgentBytes = REASSEMBLY_URGENT_BYTES) {
    this.#bytesMax = bytesMax
    this.#urgentBytes = urgentBytes
  }

  get used(): number {
    return this.#used
  }

  /** False, and nothing taken, when there is no room. */
  take(bytes: number, lane: Lane): boolean {
    const max = lane === "urgent" ? this.#bytesMax : this.#bytesMax - this.#urgentBytes
    if (this.#used + bytes > max) return false
    this.#used += bytes
    return true
  }

  release(bytes: number): void {
    this.#used -= bytes
    assert(this.#used >= 0, "released more than was taken")
  }
}

/** One message while its frames come in, on account of a budget. */
export class Reassembly {
  readonly #budget: MessageBudget
  readonly #lane: Lane
  #pieces: Uint8Array[] = []
  #bytes = 0

  constructor(budget: MessageBudget, lane: Lane) {
    this.#budget = budget
    this.#lane = lane
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False when the budget has no room; the caller then drops the message. */
  add(piece: Uint8Array): boolean {
    if (!this.#budget.take(piece.length, this.#lane)) return false
    this.#pieces.push(piece)
    this.#bytes += piece.length
    return true
  }

  /** The whole message. Its bytes stay on account until {@link Reassembly.drop}. */
  join(): Uint8Array {
    const [only] = this.#pieces
    if (only !== undefined && this.#pieces.length === 1) return only
    const message = new Uint8Array(this.#bytes)
    let offset = 0
    for (const piece of this.#pieces) {
      message.set(piece, offset)
      offset += piece.length
    }
    this.#pieces = []
    return message
  }

  /** Gives the memory back to the budget; again is harmless. */
  drop(): void {
    this.#budget.release(this.#bytes)
    this.#pieces = []
    this.#bytes = 0
  }
}

/**
 * How long nothing was final, and how much of that while a quorum of the validators said that it
 * votes: with fewer nothing can be final, however good the lines are.
 */

import { quorumOf } from "../../ledger/validators.ts"

export class Pauses {
  longestMs = 0
  /** The longest time with a quorum between two final blocks. */
  longestWithQuorumMs = 0
  readonly #quorum: number
  readonly #voting: Set<string>
  #height = 0
  #finalMs: number
  #withQuorumMs = 0
  #seenMs: number
  #isOver = false

  /** From now on; all validators vote. */
  constructor(validators: readonly string[]) {
    this.#quorum = quorumOf(validators.length)
    this.#voting = new Set(validators)
    this.#finalMs = performance.now()
    this.#seenMs = this.#finalMs
  }

  /** A validator says whether it votes, or was killed. */
  tell(code: string, isVoting: boolean): void {
    this.#note()
    if (isVoting) this.#voting.add(code)
    else this.#voting.delete(code)
  }

  /** Somebody has a block of this height. */
  final(height: number): void {
    if (height <= this.#height) return
    this.#height = height
    this.#note()
    this.#finalMs = this.#seenMs
    this.#withQuorumMs = 0
  }

  /** What comes later does not count; a pause that lasts until now does. */
  end(): void {
    this.#note()
    this.#isOver = true
  }

  #note(): void {
    if (this.#isOver) return
    const nowMs = performance.now()
    if (this.#voting.size >= this.#quorum) this.#withQuorumMs += nowMs - this.#seenMs
    this.#seenMs = nowMs
    this.longestMs = Math.max(this.longestMs, nowMs - this.#finalMs)
    this.longestWithQuorumMs = Math.max(this.longestWithQuorumMs, this.#withQuorumMs)
  }
}

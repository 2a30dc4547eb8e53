/**
 * Before its first vote a validator shows the others which run of it this is (LEDGER §9.4).
 *
 * It is a question, not a wait: peers answer at once. Answers of a quorum, ourselves included, that
 * no other run is alive are enough; with fewer peers in reach nothing could be decided anyway. Two
 * machines with one key share at least one honest peer that they both ask.
 */

import { LedgerError } from "../../ledger/errors.ts"
import {
  contradiction,
  decodeRunAnswer,
  encodeRun,
  verifyRun,
  type Run,
  type RunAnswer,
} from "../../ledger/run.ts"
import { faultsOf, type ValidatorSet } from "../../ledger/validators.ts"
import { verifyVote, type Vote } from "../../ledger/vote.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import {
  REDIAL_MAX_MS,
  RETRY_MIN_MS,
  SHORT_TIMEOUT_RETRIES,
  STATUS_BYTES_MAX,
} from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { decodeBlob, encodeBlob, PROTOCOLS } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"

export interface ProbeParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly validators: ValidatorSet
  readonly transport: Pick<Transport, "request" | "onContact">
  readonly clock: Clock
  readonly peers: readonly PeerKey[]
  readonly run: Run
  /** Whether our log has a vote by our key, or is too young to judge it. */
  readonly isOwnVote: (vote: Vote) => boolean
  /** Enough others know of nothing newer, and of nobody else who is alive. */
  readonly onClear: () => void
  /** A peer heard another run of our key a moment ago, and so waits; told once. */
  readonly onLive: () => void
  /** This run must never vote. */
  readonly onDead: (code: "VALIDATOR_KEY_DEAD" | "CONSENSUS_KEY_DEAD", why: string) => void
  readonly onBug: (error: unknown) => void
}

/**
 * Asks until enough have answered. It does not wait for contact: the question goes as soon as its
 * own lane stands, and a peer that cannot be reached is asked again when it can, or after a while.
 */
export class Probe {
  readonly #parts: ProbeParts
  readonly #clear = new Set<PeerKey>()
  readonly #twins = new Set<PeerKey>()
  readonly #asking = new Set<PeerKey>()
  /** When those that did not answer are asked again. */
  readonly #timers = new Map<PeerKey, Timer>()
  #leave: (() => void) | undefined
  #isOver = false
  #isToldLive = false

  constructor(parts: ProbeParts) {
    this.#parts = parts
  }

  start(): void {
    const { transport, peers } = this.#parts
    this.#judge()
    if (this.#isOver) return
    this.#leave = transport.onContact((peer, state) => {
      if (state === "up" && peers.includes(peer)) this.#ask(peer, RETRY_MIN_MS)
    }, PROTOCOLS.boot.lane)
    for (const peer of peers) this.#ask(peer, RETRY_MIN_MS)
  }

  stop(): void {
    this.#isOver = true
    this.#leave?.()
    for (const timer of this.#timers.values()) timer.cancel()
  }

  #ask(peer: PeerKey, retryMs: number): void {
    if (this.#isOver || this.#clear.has(peer) || this.#asking.has(peer)) return
    this.#timers.get(peer)?.cancel()
    this.#asking.add(peer)
    this.#exchange(peer, retryMs).catch(this.#parts.onBug)
  }

  async #exchange(peer: PeerKey, retryMs: number): Promise<void> {
    const { transport, run } = this.#parts
    try {
      const request = encodeBlob(encodeRun(run))
      // A lost question should not cost a vote for half a minute; a slow line gets more each time.
      const timeoutMs = Math.min(SHORT_TIMEOUT_RETRIES * retryMs, PROTOCOLS.boot.timeoutMs)
      const answer = await transport.request(peer, PROTOCOLS.boot, request, { timeoutMs })
      const decoded = decodeRunAnswer(decodeBlob(answer, "run answer", STATUS_BYTES_MAX))
      this.#verify(decoded)
      this.#take(peer, decoded)
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
    } finally {
      this.#asking.delete(peer)
    }
    if (this.#isOver || this.#clear.has(peer)) return
    const timer = this.#parts.clock.after(retryMs, () => {
      this.#ask(peer, Math.min(2 * retryMs, REDIAL_MAX_MS))
    })
    this.#timers.set(peer, timer)
  }

  /** Signed by our own key or nothing: a peer can withhold what it saw, never invent it. */
  #verify({ kept, vote }: RunAnswer): void {
    const { suite, chainId, validators, run } = this.#parts
    if (kept !== undefined) verifyRun(suite, chainId, kept, validators)
    if (vote !== undefined) verifyVote(suite, chainId, vote, validators)
    for (const signer of [kept?.signer, vote?.signer]) {
      if (signer === undefined || signer === run.signer) continue
      throw new LedgerError("RUN_INVALID", `run answer: of validator ${signer}, not of ours`)
    }
  }

  #take(peer: PeerKey, { state, kept, vote }: RunAnswer): void {
    const { run, validators, isOwnVote, onLive, onDead } = this.#parts
    if (this.#isOver) return
    const why = kept === undefined ? undefined : contradiction(run, kept)
    if (why !== undefined) return this.#end(() => onDead("VALIDATOR_KEY_DEAD", why))
    if (vote !== undefined && !isOwnVote(vote)) {
      const what = `this key has cast a ${vote.kind} vote for view ${vote.view}`
      const unknown = `${what} that the log here does not have`
      return this.#end(() => onDead("CONSENSUS_KEY_DEAD", unknown))
    }
    if (state === "twin") this.#twins.add(peer)
    else this.#twins.delete(peer)
    // More than may lie say so: one of them at least is right.
    if (this.#twins.size > faultsOf(validators.validators.length)) {
      const twin = "the machine that this one is a copy of still runs and votes with this key"
      return this.#end(() => onDead("VALIDATOR_KEY_DEAD", twin))
    }
    if (state === "clear") {
      this.#clear.add(peer)
      this.#judge()
    } else if (!this.#isToldLive) {
      this.#isToldLive = true
      onLive()
    }
  }

  #end(tell: () => void): void {
    this.stop()
    tell()
  }

  #judge(): void {
    if (this.#isOver || this.#clear.size + 1 < this.#parts.validators.quorum) return
    this.#end(this.#parts.onClear)
  }
}

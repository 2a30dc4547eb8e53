/**
 * Before its first vote a validator shows the others which run of it this is (LEDGER §9.4).
 *
 * It is a question, not a wait: peers answer at once with the newest run that they have seen, which
 * they keep on their disks. Answers of a quorum, ourselves included, are enough; with fewer peers
 * in reach nothing could be decided anyway. Two machines with one key share at least one honest
 * peer that they both ask.
 */

import {
  contradiction,
  decodeRun,
  encodeRun,
  newerRun,
  verifyRun,
  type Run,
} from "../../ledger/run.ts"
import type { ValidatorSet } from "../../ledger/validators.ts"
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
import type { Database } from "../store/database.ts"

const PREFIX = "ledger/run/"

export interface RunsParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly database: Database
  readonly validators: ValidatorSet
}

/** What a validator keeps of the others' runs. */
export class Runs {
  readonly #parts: RunsParts
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: RunsParts) {
    this.#parts = parts
  }

  /**
   * A validator shows its run: the newest that was seen here, on the disk before it is told.
   *
   * @throws ProtocolError `CODEC_*`; LedgerError `RUN_INVALID`; NodeError `STORE_*`.
   */
  async receive(request: Uint8Array): Promise<Uint8Array> {
    const { suite, chainId, validators } = this.#parts
    const run = decodeRun(decodeBlob(request, "run", STATUS_BYTES_MAX))
    verifyRun(suite, chainId, run, validators)
    const work = this.#tail.then(async () => this.#keep(run))
    this.#tail = work.catch(() => undefined)
    return encodeBlob(encodeRun(await work))
  }

  async #keep(run: Run): Promise<Run> {
    const { database } = this.#parts
    const key = `${PREFIX}${run.epoch}/${run.signer}`
    const stored = await database.get(key)
    const newest = newerRun(stored === undefined ? undefined : decodeRun(stored), run)
    if (newest === run) {
      await database.write([{ type: "put", key, value: encodeRun(run) }], { urgent: true })
    }
    return newest
  }
}

export interface ProbeParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly validators: ValidatorSet
  readonly transport: Pick<Transport, "request" | "onContact">
  readonly clock: Clock
  readonly peers: readonly PeerKey[]
  readonly run: Run
  /** Enough others have seen nothing newer. */
  readonly onClear: () => void
  /** Some other run contradicts this one: it must never vote. */
  readonly onContradiction: (why: string) => void
  readonly onBug: (error: unknown) => void
}

/**
 * Asks until enough have answered. It does not wait for contact: the question goes as soon as its
 * own lane stands, and a peer that cannot be reached is asked again when it can, or after a while.
 */
export class Probe {
  readonly #parts: ProbeParts
  readonly #clear = new Set<PeerKey>()
  readonly #asking = new Set<PeerKey>()
  /** When those that did not answer are asked again. */
  readonly #timers = new Map<PeerKey, Timer>()
  #leave: (() => void) | undefined
  #isOver = false

  constructor(parts: ProbeParts) {
    this.#parts = parts
  }

  start(): void {
    const { transport, peers } = this.#parts
    this.#judge()
    if (this.#isOver) return
    this.#leave = transport.onContact((peer, state) => {
      if (state === "up" && peers.includes(peer)) this.#ask(peer, RETRY_MIN_MS)
    })
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
    const { suite, chainId, validators, transport, clock, run, onContradiction } = this.#parts
    try {
      const request = encodeBlob(encodeRun(run))
      // A lost question should not cost a vote for half a minute; a slow line gets more each time.
      const timeoutMs = Math.min(SHORT_TIMEOUT_RETRIES * retryMs, PROTOCOLS.boot.timeoutMs)
      const answer = await transport.request(peer, PROTOCOLS.boot, request, { timeoutMs })
      const kept = decodeRun(decodeBlob(answer, "run answer", STATUS_BYTES_MAX))
      // Signed by our own key or nothing: a peer can withhold what it saw, never invent it.
      verifyRun(suite, chainId, kept, validators)
      if (kept.signer !== run.signer || this.#isOver) return
      const why = contradiction(run, kept)
      if (why !== undefined) {
        this.stop()
        onContradiction(why)
        return
      }
      this.#clear.add(peer)
      this.#judge()
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      if (this.#isOver) return
      const timer = clock.after(retryMs, () => {
        this.#ask(peer, Math.min(2 * retryMs, REDIAL_MAX_MS))
      })
      this.#timers.set(peer, timer)
    } finally {
      this.#asking.delete(peer)
    }
  }

  #judge(): void {
    if (this.#isOver || this.#clear.size + 1 < this.#parts.validators.quorum) return
    this.stop()
    this.#parts.onClear()
  }
}

/**
 * What a validator knows of the runs of the others' keys (LEDGER §9.4).
 *
 * It keeps, on its disk, the newest run of each that it let vote. In memory it has one seat for
 * each: the run that it heard last, the run that asked and was not let, and the run that another
 * one has replaced. So it can tell a restart from a second machine with the same key.
 */

import type { Notice } from "../../ledger/message.ts"
import {
  decodeRun,
  encodeRun,
  encodeRunAnswer,
  newerRun,
  verifyRun,
  type Run,
  type RunState,
} from "../../ledger/run.ts"
import type { ValidatorSet } from "../../ledger/validators.ts"
import type { Vote } from "../../ledger/vote.ts"
import { equalBytes } from "../../protocol/bytes.ts"
import { RUN_LATE_MS, RUN_LIVE_MS, STATUS_BYTES_MAX } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { decodeBlob, encodeBlob } from "../../protocol/wire.ts"
import type { Clock } from "../clock.ts"
import { NodeError } from "../errors.ts"
import type { Carrier, PeerKey } from "../network/transport.ts"
import type { Database } from "../store/database.ts"

const PREFIX = "ledger/run/"

export interface RunsParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly database: Database
  readonly clock: Clock
  readonly validators: ValidatorSet
  /** Transport keys of the validators, by number. */
  readonly peers: readonly PeerKey[]
  /** The newest vote of a validator that is known here. */
  readonly newestVote: (signer: number) => Promise<Vote | undefined>
}

/** What is known of one validator's key while this process runs. */
interface Seat {
  /** The run whose packet came last. */
  heard:
    { readonly nonce: Uint8Array; readonly atMs: number; readonly carrier: Carrier } | undefined
  /** The last run that was not let vote, because another one was alive. */
  asking: { readonly nonce: Uint8Array; readonly sinceMs: number; isTwin: boolean } | undefined
  /** The run that the newest one has replaced: if it still speaks, it must end. */
  past: Uint8Array | undefined
}

export class Runs {
  readonly #parts: RunsParts
  readonly #seats: readonly Seat[]
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: RunsParts) {
    this.#parts = parts
    this.#seats = parts.peers.map(() => ({ heard: undefined, asking: undefined, past: undefined }))
  }

  /** Whether a run's word counts, wherever it comes on. */
  noticeOf(peer: PeerKey, nonce: Uint8Array): Notice {
    const seat = this.#seats[this.#parts.peers.indexOf(peer)]
    return isRun(seat?.past, nonce) ? "superseded" : "none"
  }

  /**
   * A packet came on the urgent lane, whose link check soon ends what a dead process left behind.
   * From anybody but a validator it is nothing to us.
   */
  hear(peer: PeerKey, nonce: Uint8Array, carrier: Carrier): Notice {
    const seat = this.#seats[this.#parts.peers.indexOf(peer)]
    if (seat === undefined) return "none"
    if (isRun(seat.past, nonce)) return "superseded"
    const nowMs = this.#parts.clock.monotonicMs()
    const { asking, heard } = seat
    if (isRun(asking?.nonce, nonce)) {
      // It votes, so enough others let it; what spoke before is its past.
      if (!isRun(heard?.nonce, nonce)) seat.past = heard?.nonce
      seat.asking = undefined
    } else if (asking !== undefined && nowMs - asking.sinceMs > RUN_LATE_MS) {
      asking.isTwin = true
    }
    seat.heard = { nonce, atMs: nowMs, carrier }
    return seat.asking === undefined ? "none" : "copied"
  }

  /**
   * A validator asks whether this run of it may vote.
   *
   * @throws ProtocolError `CODEC_*`; LedgerError `RUN_INVALID`; NodeError `PEER_DENIED` unless the
   * validator itself asks, `STORE_*`.
   */
  async receive(peer: PeerKey, request: Uint8Array, carrier: Carrier): Promise<Uint8Array> {
    const { suite, chainId, validators, peers } = this.#parts
    const run = decodeRun(decodeBlob(request, "run", STATUS_BYTES_MAX))
    if (peers[run.signer] !== peer) {
      throw new NodeError("PEER_DENIED", "only the validator itself asks about its run")
    }
    verifyRun(suite, chainId, run, validators)
    const work = this.#tail.then(async () => this.#answer(run, carrier))
    this.#tail = work.catch(() => undefined)
    return encodeBlob(await work)
  }

  async #answer(run: Run, carrier: Carrier): Promise<Uint8Array> {
    const { database, newestVote } = this.#parts
    const key = `${PREFIX}${run.epoch}/${run.signer}`
    const stored = await database.get(key)
    let kept = stored === undefined ? undefined : decodeRun(stored)
    const state = this.#judge(run)
    if (state === "clear") {
      const newest = newerRun(kept, run)
      if (isRun(newest.nonce, run.nonce)) this.#replace(run, carrier)
      // On the disk before it is told, so that no other machine is let by us beside it.
      if (newest === run) {
        await database.write([{ type: "put", key, value: encodeRun(run) }], { urgent: true })
      }
      kept = newest
    }
    // After the run before it was shut out: none of its votes comes later.
    return encodeRunAnswer({ state, kept, vote: await newestVote(run.signer) })
  }

  #judge({ signer, nonce }: Run): RunState {
    const seat = this.#seatOf(signer)
    const { heard, asking } = seat
    const nowMs = this.#parts.clock.monotonicMs()
    const isAsking = isRun(asking?.nonce, nonce)
    if (isAsking && asking?.isTwin === true) return "twin"
    const isLive =
      heard !== undefined &&
      !isRun(heard.nonce, nonce) &&
      nowMs - heard.atMs < RUN_LIVE_MS &&
      !heard.carrier.isClosed
    if (!isLive) return "clear"
    if (!isAsking) seat.asking = { nonce, sinceMs: nowMs, isTwin: false }
    return "live"
  }

  /** This run has its place from now on, and what was heard of another is its past. */
  #replace({ signer, nonce }: Run, carrier: Carrier): void {
    const seat = this.#seatOf(signer)
    seat.asking = undefined
    if (seat.heard !== undefined && !isRun(seat.heard.nonce, nonce)) seat.past = seat.heard.nonce
    seat.heard = { nonce, atMs: this.#parts.clock.monotonicMs(), carrier }
  }

  #seatOf(signer: number): Seat {
    const seat = this.#seats[signer]
    if (seat !== undefined) return seat
    throw new NodeError("PEER_DENIED", `no validator has number ${signer}`)
  }
}

function isRun(one: Uint8Array | undefined, nonce: Uint8Array): boolean {
  return one !== undefined && equalBytes(one, nonce)
}

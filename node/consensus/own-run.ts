/**
 * This run of our validator key, as the others know it (LEDGER §9.4): asks them before the first
 * vote, and hears when another run of the key turns up.
 */

import { decodePacketAnswer } from "../../ledger/message.ts"
import type { EncodedRecord } from "../../ledger/record.ts"
import { signRun, type RunBody } from "../../ledger/run.ts"
import { faultsOf, type ValidatorSet } from "../../ledger/validators.ts"
import type { Vote } from "../../ledger/vote.ts"
import type { Signer } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { ConsensusLog } from "./journal.ts"
import { Probe } from "./probe.ts"
import type { LedgerLog } from "./submitter.ts"

export interface ValidatorKeys {
  /** Ed25519; must be a validator's of the genesis. */
  readonly consensusKey: Uint8Array
  readonly sign: Signer
  readonly wal: ConsensusLog
  /** What the log held when it was opened, oldest first. */
  readonly records: readonly EncodedRecord[]
  /** Which log that is, how often it was opened, and what makes this opening unlike any other. */
  readonly run: Pick<RunBody, "logId" | "counter" | "nonce">
  /** Keeps on the disk why this key does not vote until its operator has looked. */
  readonly halt: (why: { readonly code: string; readonly message: string }) => Promise<void>
}

export interface OwnRunParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly validators: ValidatorSet
  readonly transport: Pick<Transport, "request" | "onContact">
  readonly clock: Clock
  readonly log: LedgerLog
  /** Transport keys of the other validators. */
  readonly peers: readonly PeerKey[]
  readonly body: RunBody
  readonly sign: Signer
  /** This run must never vote, or vote again. */
  readonly onDead: (code: string, why: string) => void
  readonly onBug: (error: unknown) => void
}

export class OwnRun {
  readonly #parts: OwnRunParts
  readonly #copied = new Set<PeerKey>()
  readonly #superseded = new Set<PeerKey>()
  #probe: Probe | undefined
  #isCopied = false
  #isOver = false

  constructor(parts: OwnRunParts) {
    this.#parts = parts
  }

  /** A copy of this machine's disk was started elsewhere while this one ran. */
  get isCopied(): boolean {
    return this.#isCopied
  }

  /** Asks until enough others agree that this run may vote. */
  ask(isOwnVote: (vote: Vote) => boolean, onClear: () => void): void {
    const { chainId, body, sign, log } = this.#parts
    this.#probe = new Probe({
      ...this.#parts,
      run: signRun(chainId, body, sign),
      isOwnVote,
      onClear,
      onLive: () => {
        const message = "another run of this key was heard a moment ago; this one waits for its end"
        log.warn("VALIDATOR_WAITS", { message })
      },
    })
    this.#probe.start()
  }

  stop(): void {
    this.#isOver = true
    this.#probe?.stop()
  }

  /**
   * What a validator said to a packet of ours.
   *
   * @throws ProtocolError `CODEC_*`; LedgerError `MESSAGE_INVALID`.
   */
  hear(peer: PeerKey, answer: Uint8Array): void {
    const { notice } = decodePacketAnswer(answer)
    const { validators, log, onDead } = this.#parts
    const liars = faultsOf(validators.validators.length)
    if (this.#isOver || notice === "none") return
    if (notice === "superseded") {
      this.#superseded.add(peer)
      if (this.#superseded.size > liars) {
        onDead("VALIDATOR_KEY_DEAD", "a copy of this disk was started meanwhile and votes now")
      }
      return
    }
    this.#copied.add(peer)
    if (this.#isCopied || this.#copied.size <= liars) return
    this.#isCopied = true
    const message = "a copy of this disk was started with this key; it was not let vote"
    log.warn("VALIDATOR_COPIED", { message })
  }
}

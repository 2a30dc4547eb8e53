/**
 * Whether this node votes: its validator, if it has a key for one, or why that key must not be used
 * (LEDGER §9.4).
 *
 * A key that is dead, or whose log is not the one that it wrote, ends its votes and not the node:
 * the mission follows the ledger as before.
 */

import { LedgerError } from "../../ledger/errors.ts"
import type { Database } from "../store/database.ts"
import { NodeError } from "../errors.ts"
import type { LedgerLog } from "./submitter.ts"
import type { ValidatorKeys } from "./own-run.ts"
import { statusOf, type ValidatorStatus } from "./validator-status.ts"
import { Validator, type ValidatorParts } from "./validator.ts"

/** Row that says why this node's validator key must never vote again. */
const DEAD_KEY = "ledger/dead"
const DEAD_CODES: ReadonlySet<string> = new Set(["CONSENSUS_KEY_DEAD", "VALIDATOR_KEY_DEAD"])
const HALT_CODES: ReadonlySet<string> = new Set(["CONSENSUS_FORK", "CONSENSUS_DIVERGED"])

/** Why this node's validator key does not vote. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

/** True for what ends the votes of a key until its operator has looked, over restarts. */
export function isHalting(code: string): boolean {
  return HALT_CODES.has(code)
}

export interface VotingParts {
  readonly database: Database
  readonly log: LedgerLog
  readonly keys: ValidatorKeys | undefined
  /** What the node's own disk showed before anything else was opened. */
  readonly refusal: Refusal | undefined
  readonly onFatal: (error: unknown) => void
}

export class Voting {
  readonly #parts: VotingParts
  #refusal: Refusal | undefined
  #validator: Validator | undefined

  constructor(parts: VotingParts) {
    this.#parts = parts
    this.#refusal = parts.refusal
  }

  /** The validator, from {@link create} on; undefined on a node that does not vote. */
  get validator(): Validator | undefined {
    return this.#validator
  }

  /** True from the first moment in which our votes may go out, while nothing has ended them. */
  get isVoting(): boolean {
    return this.#validator?.status().state === "voting" && this.#refusal === undefined
  }

  /** Makes the validator, unless its key is known to be dead; {@link start} must follow. */
  async create(parts: Omit<ValidatorParts, "keys" | "log" | "onRefused">): Promise<void> {
    const { database, keys, log } = this.#parts
    if (keys === undefined || this.#refusal !== undefined) return
    const dead = await database.get(DEAD_KEY)
    if (dead !== undefined) {
      const message = new TextDecoder().decode(dead)
      this.#refusal = { code: "VALIDATOR_KEY_DEAD", message }
      return
    }
    const onRefused = (code: string, message: string): void => this.#refuse(code, message)
    this.#validator = new Validator({ ...parts, keys, log, onRefused })
  }

  /** Takes up where the log ends. */
  async start(): Promise<void> {
    try {
      await this.#validator?.start()
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error
      this.#refuse(error.code, error.message)
    }
  }

  stop(): void {
    this.#validator?.stop()
  }

  /** A final block is known here that does not stand on ours: this validator votes no more. */
  fork(why: string): void {
    this.#validator?.halt("CONSENSUS_FORK", why)
  }

  /** @throws NodeError `PEER_DENIED` on a node that does not vote. */
  demand(): Validator {
    if (this.#validator !== undefined) return this.#validator
    throw new NodeError("PEER_DENIED", "this node is no validator")
  }

  /** How consensus stands here; undefined on a node that is no validator. */
  status(finalView: number): (ValidatorStatus & { readonly refusal?: Refusal }) | undefined {
    const status = this.#validator?.status()
    const refusal = this.#refusal
    if (refusal === undefined) return status
    const facts = { isRefused: true, isCopied: false, isStalled: false }
    return { ...(status ?? statusOf(undefined, finalView, 0, facts)), state: "refused", refusal }
  }

  /** A dead key stays dead over restarts, and one that was halted stays so until it is released. */
  #refuse(code: string, message: string): void {
    this.#refusal = { code, message }
    const { database, log, keys, onFatal } = this.#parts
    log.warn(code, { message })
    if (isHalting(code)) keys?.halt({ code, message }).catch(onFatal)
    if (!DEAD_CODES.has(code)) return
    const value = new TextEncoder().encode(message)
    database.write([{ type: "put", key: DEAD_KEY, value }], { urgent: true }).catch(onFatal)
  }
}

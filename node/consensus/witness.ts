/**
 * A mission as a witness (LEDGER §15.6): once an hour it cosigns the checkpoint of that hour, if
 * the validators certified it and its own tree has the same root.
 *
 * All missions must sign the same checkpoint, so a validator gives out one an hour. While nothing
 * is final that was not witnessed, no timer runs.
 */

import { signCheckpoint, type VerifiedCheckpoint } from "../../ledger/cosignature.ts"
import type { NoteSigner } from "../../ledger/cosignature.ts"
import {
  checkpointText,
  decodeTreeHead,
  encodeTreeHead,
  judgeHead,
  meets,
  type TreeHead,
} from "../../ledger/cosigning.ts"
import { witnessKeys, type Witness as Facts } from "../../ledger/policy.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { RETRY_MAX_MS, WITNESS_MS } from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Clock, Timer } from "../clock.ts"
import type { PeerKey } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Database } from "../store/database.ts"
import type { Cosigners } from "./cosigners.ts"
import type { LedgerLog } from "./submitter.ts"

/** Private halves of a mission's witness keys. */
export interface WitnessKeys {
  readonly cosigner: NoteSigner
  readonly cosignerPq: NoteSigner
}

export interface WitnessParts {
  readonly suite: Suite
  readonly database: Database
  readonly store: BlockStore
  readonly clock: Clock
  readonly log: LedgerLog
  readonly cosigners: Cosigners
  readonly keys: WitnessKeys
  /** Our facts on the ledger; undefined until the mission is admitted. */
  readonly facts: () => Facts | undefined
  /** Validators in ascending order of rid, this node included where it is one. */
  readonly validators: () => readonly PeerKey[]
  /** The checkpoint of this hour as a validator has it; undefined when it has none. */
  readonly ask: (peer: PeerKey) => Promise<VerifiedCheckpoint | undefined>
  readonly send: (peer: PeerKey, text: string) => Promise<void>
  /** This witness must not sign again; the node goes on. */
  readonly onFork: (error: TarbartaError) => void
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

const SIGNED_KEY = "ledger/cosigned/witness"

export class Witness {
  readonly #parts: WitnessParts
  #signed: TreeHead | undefined
  /** The last run may have ended between noting what it signs and giving its lines to anybody. */
  #isUnissued = false
  #timer: Timer | undefined
  #isBusy = false
  #isRunning = false
  /** Our newest lines, and who has not got them yet. */
  #owed: { readonly text: string; readonly peers: Set<PeerKey> } | undefined

  constructor(parts: WitnessParts) {
    this.#parts = parts
  }

  async start(): Promise<void> {
    const row = await this.#parts.database.get(SIGNED_KEY)
    this.#signed = row === undefined ? undefined : decodeTreeHead(row)
    this.#isUnissued = this.#signed !== undefined
    this.#isRunning = true
    this.poke()
  }

  stop(): void {
    this.#isRunning = false
    this.#timer?.cancel()
  }

  /** A final block is on the disk: there is something for the next hour. */
  poke(): void {
    const { clock, store, facts } = this.#parts
    const isOwed = this.#isUnissued && facts() !== undefined
    const isNews = isOwed || store.head.frontier.size > (this.#signed?.size ?? 0)
    if (!this.#isRunning || this.#timer !== undefined || this.#isBusy || !isNews) return
    this.#arm(WITNESS_MS - (clock.now() % WITNESS_MS))
  }

  /** A validator is in reach that may lack our lines. */
  contact(peer: PeerKey): void {
    if (this.#owed?.peers.has(peer) === true) void this.#deliver(peer)
  }

  #arm(delayMs: number): void {
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#timer = undefined
      void this.#round()
    })
  }

  async #round(): Promise<void> {
    this.#isBusy = true
    let isDone = false
    try {
      isDone = await this.#witness()
    } catch (error) {
      if (!this.#isRunning) return
      this.stop()
      if (error instanceof TarbartaError && error.code === "CHECKPOINT_FORK") {
        this.#parts.onFork(error)
      } else this.#parts.onFatal(error)
    } finally {
      this.#isBusy = false
    }
    if (!this.#isRunning) return
    if (isDone) this.poke()
    else this.#arm(RETRY_MAX_MS)
  }

  /** False when too few validators had a checkpoint that can be judged here now. */
  async #witness(): Promise<boolean> {
    const { database, cosigners } = this.#parts
    const hourly = await this.#hourly()
    if (typeof hourly === "boolean") return hourly
    const { size, root } = hourly.checkpoint
    if (!(await cosigners.isOurs(hourly))) return false
    if (judgeHead(this.#signed, { size, root }) === "persist") {
      const value = encodeTreeHead({ size, root })
      await database.write([{ type: "put", key: SIGNED_KEY, value }], { urgent: true })
      this.#signed = { size, root }
    }
    await this.#issue(hourly)
    return true
  }

  /**
   * From the first validator that has one that we have not signed, or not given our lines of, so
   * that all missions take the same; each hour another one is asked first, as it may be one that
   * lies. Without any, true when so many said so that an honest one is among them.
   */
  async #hourly(): Promise<VerifiedCheckpoint | boolean> {
    const { validators, ask, cosigners, clock, log } = this.#parts
    const peers = validators()
    const first = Math.floor(clock.now() / WITNESS_MS) % peers.length
    let old = 0
    for (const peer of [...peers.slice(first), ...peers.slice(0, first)]) {
      let found: VerifiedCheckpoint | undefined
      try {
        found = await ask(peer)
      } catch (error) {
        if (!(error instanceof TarbartaError)) throw error
        log.warn(error.code, { peer, message: error.message })
      }
      if (found === undefined || !meets(cosigners.validatorPolicy(), found)) continue
      const verdict = judgeHead(this.#signed, found.checkpoint)
      if (verdict === "persist" || (verdict === "again" && this.#isUnissued)) return found
      old += 1
    }
    return old > peers.length - cosigners.quorum
  }

  async #issue(certified: VerifiedCheckpoint): Promise<void> {
    const { suite, clock, keys, cosigners, facts, validators } = this.#parts
    const own = facts()
    if (own === undefined || !this.#isRunning) return
    const { checkpoint, signed } = certified
    const timeS = Math.floor(clock.now() / 1_000)
    const names = witnessKeys(cosigners.origin, own)
    const lines = (["cosigner", "cosignerPq"] as const).map((use) => {
      const key = names[use]
      return { key, signature: signCheckpoint(suite, key, checkpoint, timeS, keys[use]), timeS }
    })
    // What travels shows that it is certified: one log line, the validators' lines, and ours.
    const log = signed.filter(({ key }) => key.type === "log").slice(0, 1)
    const quorum = signed.filter(({ key }) => key.type === "cosigner").slice(0, cosigners.quorum)
    const text = checkpointText({ checkpoint, signed: [...log, ...quorum, ...lines] })
    this.#owed = { text, peers: new Set(validators()) }
    this.#isUnissued = false
    for (const peer of validators()) await this.#deliver(peer)
  }

  async #deliver(peer: PeerKey): Promise<void> {
    const owed = this.#owed
    if (owed === undefined) return
    try {
      await this.#parts.send(peer, owed.text)
      owed.peers.delete(peer)
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      // It gets them when it is in reach again.
      this.#parts.log.warn(error.code, { peer, message: error.message })
    }
  }
}

/**
 * A validator's cosignatures (LEDGER §15.6): after a block is final and on the disk, its head goes
 * to a row of its own, and only then is it signed and the signature sent.
 *
 * It signs while its validator votes, and then alone: a disk that was put back has forgotten what
 * it signed, and only the other validators know. Until then it collects the lines of others.
 *
 * The newest head alone is signed and sent, to each other validator one message at a time; a
 * validator that gets one answers with what it has of the same size. When all have all, nothing is
 * written or sent until the next final block.
 */

import { isCosigned, signCheckpoint } from "../../ledger/cosignature.ts"
import type { LineCheck, NoteSigner, VerifiedCheckpoint } from "../../ledger/cosignature.ts"
import {
  CheckpointPool,
  checkpointText,
  decodeTreeHead,
  encodeTreeHead,
  judgeHead,
  type TreeHead,
} from "../../ledger/cosigning.ts"
import { decodeNoteText, type NoteKey } from "../../ledger/note.ts"
import { validatorKeys } from "../../ledger/policy.ts"
import { frontierRoot } from "../../ledger/merkle.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import { decodeNoteMessage, encodeNoteMessage, PROTOCOLS } from "../../protocol/wire.ts"
import type { Clock, Timer } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Database } from "../store/database.ts"
import { onlyKeys, type Cosigners } from "./cosigners.ts"
import type { LedgerLog } from "./submitter.ts"

/** Private halves of a validator's keys for checkpoints. */
export interface CosignerKeys {
  readonly log: NoteSigner
  readonly cosigner: NoteSigner
  readonly cosignerPq: NoteSigner
}

export interface CosignerParts {
  readonly suite: Suite
  readonly database: Database
  readonly store: BlockStore
  readonly transport: Transport
  readonly clock: Clock
  readonly log: LedgerLog
  readonly cosigners: Cosigners
  readonly keys: CosignerKeys
  /** Our number on the ledger. */
  readonly rid: number
  /** Transport keys of the other validators. */
  readonly peers: () => readonly PeerKey[]
  /** False before our validator votes, and for good when its key must not be used any more. */
  readonly maySign: () => boolean
  /** This cosigner must not sign again; the node goes on. */
  readonly onFork: (error: TarbartaError) => void
  /** The disk failed. */
  readonly onFatal: (error: unknown) => void
}

/** What a peer has of our newest lines. */
interface Told {
  /** Size and number of lines; empty for nothing since the last contact. */
  mark: string
  isBusy: boolean
  failures: number
  timer: Timer | undefined
}

const SIGNED_KEY = "ledger/cosigned/validator"

export class Cosigner {
  readonly #parts: CosignerParts
  readonly #keys: {
    readonly log: NoteKey
    readonly cosigner: NoteKey
    readonly cosignerPq: NoteKey
  }
  readonly #pool = new CheckpointPool(limits.COSIGN_SIZES_MAX)
  readonly #told = new Map<PeerKey, Told>()
  #signed: TreeHead | undefined
  #work: Promise<void> | undefined
  #hasNews = false
  #pqTimer: Timer | undefined
  #lastPqMs = -limits.COSIGN_PQ_MS
  #unsubscribe: (() => void) | undefined
  #isRunning = false

  constructor(parts: CosignerParts) {
    this.#parts = parts
    const { origin } = parts.cosigners
    const own = parts.cosigners.validators().find(({ facts }) => facts.rid === parts.rid)
    if (own === undefined) throw new TarbartaError("CONSENSUS_KEY", "cosigner: not a validator")
    this.#keys = validatorKeys(origin, own)
  }

  /** Takes up what was signed last, and signs the head that is on the disk. */
  async start(): Promise<void> {
    const { database, transport, peers } = this.#parts
    const row = await database.get(SIGNED_KEY)
    this.#signed = row === undefined ? undefined : decodeTreeHead(row)
    this.#isRunning = true
    this.#unsubscribe = transport.onContact((peer, state) => {
      this.#told.get(peer)?.timer?.cancel()
      this.#told.delete(peer)
      if (state === "up" && peers().includes(peer)) this.#push(peer)
    })
    this.poke()
  }

  stop(): void {
    this.#isRunning = false
    this.#unsubscribe?.()
    this.#pqTimer?.cancel()
    for (const told of this.#told.values()) told.timer?.cancel()
  }

  /** A final block is on the disk. Many of them in a row cost one signature. */
  poke(): void {
    this.#hasNews = true
    this.#work ??= this.#signAll().finally(() => {
      this.#work = undefined
      // What came after the last look and before this is not forgotten.
      if (this.#hasNews && this.#isRunning) this.poke()
    })
  }

  /** Resolves when what is final now is signed here. */
  async settled(): Promise<void> {
    while (this.#work !== undefined) await this.#work
  }

  /** The largest checkpoint with a log line and a quorum of cosignatures. */
  newest(): VerifiedCheckpoint | undefined {
    return this.#pool.newest(this.#parts.cosigners.validatorPolicy())
  }

  /**
   * Takes validators' lines of a verified checkpoint; the answer is what is known here of its size,
   * as an encoded message.
   */
  take(verified: VerifiedCheckpoint): Uint8Array {
    this.#add(verified)
    const known = this.#pool.at(verified.checkpoint.size)
    const isEmpty = known === undefined || known.signed.length === 0
    return encodeNoteMessage(isEmpty ? "" : checkpointText(known))
  }

  /** True for a line that was verified before, to the byte. */
  knows(...line: Parameters<LineCheck>): boolean {
    return this.#pool.has(...line)
  }

  // --- signing -----------------------------------------------------------------------------------

  async #signAll(): Promise<void> {
    try {
      while (this.#hasNews && this.#isRunning) {
        this.#hasNews = false
        const { frontier } = this.#parts.store.head
        await this.#sign({ size: frontier.size, root: frontierRoot(frontier) })
      }
    } catch (error) {
      if (!this.#isRunning) return
      this.stop()
      if (error instanceof TarbartaError && error.code === "CHECKPOINT_FORK") {
        this.#parts.onFork(error)
      } else this.#parts.onFatal(error)
    }
  }

  async #sign(head: TreeHead): Promise<void> {
    const { cosigners, database, maySign } = this.#parts
    if (head.size === 0) return
    if (!maySign()) {
      this.#pool.open({ origin: cosigners.origin, ...head })
      return
    }
    const verdict = judgeHead(this.#signed, head)
    if (verdict === "pass") return
    if (verdict === "persist") {
      const value = encodeTreeHead(head)
      await database.write([{ type: "put", key: SIGNED_KEY, value }], { urgent: true })
      this.#signed = head
    }
    if (!this.#isRunning || !maySign() || this.#ownNewest() !== undefined) return
    this.#pool.open({ origin: cosigners.origin, ...head })
    this.#issue(["log", "cosigner"])
    this.#schedulePq()
  }

  /** Signs the newest head, which is on the disk, with some of our keys. */
  #issue(uses: readonly (keyof CosignerKeys)[]): void {
    const { suite, clock, keys, cosigners } = this.#parts
    if (this.#signed === undefined) return
    const checkpoint = { origin: cosigners.origin, ...this.#signed }
    const timeS = Math.floor(clock.now() / 1_000)
    const signed = uses.map((use) => {
      const key = this.#keys[use]
      const signature = signCheckpoint(suite, key, checkpoint, timeS, keys[use])
      return { key, signature, timeS: use === "log" ? undefined : timeS }
    })
    this.#add({ checkpoint, signed })
    for (const peer of this.#parts.peers()) this.#push(peer)
  }

  /** ML-DSA-44 is ten times the work: once in a while, and always for the last head of a burst. */
  #schedulePq(): void {
    if (this.#pqTimer !== undefined) return
    const { clock } = this.#parts
    const waitMs = Math.max(0, this.#lastPqMs + limits.COSIGN_PQ_MS - clock.monotonicMs())
    const sign = (): void => {
      this.#pqTimer = undefined
      this.#lastPqMs = clock.monotonicMs()
      if (this.#isRunning && this.#parts.maySign()) this.#issue(["cosignerPq"])
    }
    if (waitMs === 0) sign()
    else this.#pqTimer = clock.after(waitMs, sign)
  }

  #add(verified: VerifiedCheckpoint): void {
    try {
      this.#pool.add(verified)
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      // Somebody signed what is not on our ledger: told, and never counted.
      this.#parts.log.warn(error.code, { message: error.message })
    }
  }

  // --- exchange ----------------------------------------------------------------------------------

  /** Sends our newest lines to a validator until it has them; at most one message is out. */
  #push(peer: PeerKey): void {
    const told = this.#told.get(peer) ?? { mark: "", isBusy: false, failures: 0, timer: undefined }
    this.#told.set(peer, told)
    const own = this.#ownNewest()
    if (!this.#isRunning || told.isBusy || told.timer !== undefined || own === undefined) return
    const mark = `${own.checkpoint.size} ${own.signed.length}`
    if (mark === told.mark || !this.#parts.transport.connected().includes(peer)) return
    told.isBusy = true
    void this.#exchange(peer, told, checkpointText(own), mark)
  }

  #ownNewest(): VerifiedCheckpoint | undefined {
    const known = this.#signed && this.#pool.at(this.#signed.size)
    if (known === undefined) return undefined
    const { name } = this.#keys.cosigner
    const own = onlyKeys(known, (key) => key.name === name)
    return own.signed.length === 0 ? undefined : own
  }

  async #exchange(peer: PeerKey, told: Told, text: string, mark: string): Promise<void> {
    const { suite, transport, clock, cosigners, log } = this.#parts
    try {
      const answer = await transport.request(peer, PROTOCOLS.cosign, encodeNoteMessage(text))
      told.mark = mark
      told.failures = 0
      const note = decodeNoteMessage(answer, limits.CHECKPOINT_BYTES_MAX)
      const check: LineCheck = (...line) => this.knows(...line) || isCosigned(suite, ...line)
      if (note.length > 0) this.#add(cosigners.read(decodeNoteText(note, "answer"), check))
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      if (told.mark === mark) log.warn(error.code, { peer, message: error.message })
      else if (this.#isRunning && this.#told.get(peer) === told) {
        const delayMs = Math.min(limits.RETRY_MIN_MS * 2 ** told.failures, limits.RETRY_MAX_MS)
        told.failures += 1
        told.timer = clock.after(delayMs, () => {
          told.timer = undefined
          this.#push(peer)
        })
      }
    } finally {
      told.isBusy = false
    }
    if (told.timer === undefined && this.#told.get(peer) === told) this.#push(peer)
  }
}

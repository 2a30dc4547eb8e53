/**
 * Signed checkpoints of this node: asked for, given out, kept (LEDGER §15.6).
 *
 * On a validator they come from its cosigner; every other node asks a validator when somebody wants
 * a proof or a publication, and believes what a quorum signed and its own tree confirms. A
 * validator also keeps the missions' cosignatures, and gives all missions of one hour the same
 * checkpoint.
 */

import { isCosigned, medianTime } from "../../ledger/cosignature.ts"
import type { LineCheck, VerifiedCheckpoint } from "../../ledger/cosignature.ts"
import { CheckpointPool, checkpointText, meets, missionsText } from "../../ledger/cosigning.ts"
import { decodeNoteText } from "../../ledger/note.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import * as limits from "../../protocol/limits.ts"
import type { Suite } from "../../protocol/suite.ts"
import {
  decodeCheckpointRequest,
  decodeNoteMessage,
  encodeCheckpointRequest,
  encodeNoteMessage,
  PROTOCOLS,
  type CheckpointKind,
} from "../../protocol/wire.ts"
import type { Clock } from "../clock.ts"
import type { PeerKey, Transport } from "../network/transport.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Database } from "../store/database.ts"
import { Allowance } from "./allowance.ts"
import { Cosigner, type CosignerKeys } from "./cosigner.ts"
import { onlyKeys, type Cosigners } from "./cosigners.ts"
import type { LedgerLog } from "./submitter.ts"
import { Witness, type WitnessKeys } from "./witness.ts"

/** What signs checkpoints here. */
export interface CheckpointKeys {
  readonly witness: WitnessKeys
  /** On a validator. */
  readonly validator?: CosignerKeys
}

export interface CheckpointsParts {
  readonly suite: Suite
  readonly database: Database
  readonly store: BlockStore
  readonly transport: Transport
  readonly clock: Clock
  readonly log: LedgerLog
  readonly cosigners: Cosigners
  readonly keys: CheckpointKeys
  /** Our transport key. */
  readonly self: PeerKey
  readonly rid: () => number | undefined
  /** Whether this node votes as a validator now. */
  readonly isVoting: () => boolean
  /** Transport keys of all validators, in ascending order of rid. */
  readonly validators: () => readonly PeerKey[]
  readonly onFatal: (error: unknown) => void
}

const NEWEST_KEY = "ledger/checkpoint"
const MISSIONS_KEY = "ledger/checkpoint/missions"

export class Checkpoints {
  readonly #parts: CheckpointsParts
  readonly #witness: Witness
  readonly #cosigner: Cosigner | undefined
  /** Missions' lines, on a validator. */
  readonly #witnessed = new CheckpointPool(limits.WITNESSED_SIZES_MAX)
  /** The checkpoint of an hour, on a validator. */
  #hourly: { readonly hour: number; readonly checkpoint: VerifiedCheckpoint } | undefined
  readonly #allowance: Allowance
  /** Kept texts, by row. */
  readonly #kept = new Map<string, string>()
  readonly #warnings: string[] = []
  #unsubscribe: (() => void) | undefined

  constructor(parts: CheckpointsParts) {
    this.#parts = parts
    const what = "cosignatures were verified"
    this.#allowance = new Allowance(parts.clock, limits.COSIGN_VERIFIES_MAX, what)
    const onFork = (error: TarbartaError): void => {
      parts.log.warn(error.code, { message: error.message })
      this.#warnings.push(`${error.code}: ${error.message}; nothing is cosigned here any more`)
    }
    const rid = parts.rid()
    const { validator, witness } = parts.keys
    if (validator !== undefined && rid !== undefined) {
      const peers = (): PeerKey[] => parts.validators().filter((peer) => peer !== parts.self)
      const maySign = parts.isVoting
      this.#cosigner = new Cosigner({ ...parts, keys: validator, rid, peers, maySign, onFork })
    }
    this.#witness = new Witness({
      ...parts,
      keys: witness,
      facts: () => parts.cosigners.mission(parts.rid()),
      ask: async (peer) => this.#ask(peer, "hourly"),
      send: async (peer, text) => {
        const message = encodeNoteMessage(text)
        if (peer === parts.self) await this.receive(peer, message)
        else await parts.transport.request(peer, PROTOCOLS.cosign, message)
      },
      onFork,
    })
  }

  /** @throws NodeError `STORE_*`. */
  async start(): Promise<void> {
    const { database, transport } = this.#parts
    for (const key of [NEWEST_KEY, MISSIONS_KEY]) {
      const row = await database.get(key)
      if (row !== undefined) this.#kept.set(key, new TextDecoder().decode(row))
    }
    this.#unsubscribe = transport.onContact((peer, state) => {
      if (state === "up") this.#witness.contact(peer)
    })
    await this.#cosigner?.start()
    await this.#witness.start()
  }

  stop(): void {
    this.#unsubscribe?.()
    this.#cosigner?.stop()
    this.#witness.stop()
  }

  /** A final block is on the disk, or our validator votes from now on. */
  poke(): void {
    this.#cosigner?.poke()
    this.#witness.poke()
  }

  /** Cosigners that ended, for the operator. */
  warnings(): readonly string[] {
    return this.#warnings
  }

  // --- what others ask --------------------------------------------------------------------------

  /**
   * Takes cosignatures: of validators, and of missions under a checkpoint that is certified in the
   * same message. What is here already is not verified again, and the rest has a bound for each
   * peer.
   *
   * @throws LedgerError `NOTE_*`, `CHECKPOINT_*`; ProtocolError `CODEC_*`; NodeError `NODE_BUSY`.
   */
  async receive(peer: PeerKey, request: Uint8Array): Promise<Uint8Array> {
    const { cosigners } = this.#parts
    if (this.#cosigner === undefined) return encodeNoteMessage("")
    const bytes = decodeNoteMessage(request, limits.CHECKPOINT_BYTES_MAX)
    const check: LineCheck = (...line) => this.#knows(line) || this.#verify(peer, line)
    const verified = cosigners.read(decodeNoteText(bytes, "cosignatures"), check)
    const names = cosigners.validatorNames()
    const certified = onlyKeys(verified, ({ name }) => names.has(name))
    if (certified.signed.length < verified.signed.length) await this.#takeMission(verified)
    return this.#cosigner.take(certified)
  }

  #knows(line: Parameters<LineCheck>): boolean {
    return this.#cosigner?.knows(...line) === true || this.#witnessed.has(...line)
  }

  /** @throws NodeError `NODE_BUSY` for a peer whose share of this second is used up. */
  #verify(peer: PeerKey, line: Parameters<LineCheck>): boolean {
    this.#allowance.spend(peer)
    return isCosigned(this.#parts.suite, ...line)
  }

  /** @throws ProtocolError `CODEC_*`, `WIRE_INVALID`. */
  async serve(request: Uint8Array): Promise<Uint8Array> {
    const kind = decodeCheckpointRequest(request)
    const found = await this.#own(kind)
    return encodeNoteMessage(found === undefined ? "" : found)
  }

  async #own(kind: CheckpointKind): Promise<string | undefined> {
    await this.#cosigner?.settled()
    if (kind === "missions") return this.#kept.get(MISSIONS_KEY)
    const newest = this.#cosigner?.newest()
    if (kind === "hourly") return this.#ofHour(newest)
    return newest === undefined ? this.#kept.get(NEWEST_KEY) : checkpointText(newest)
  }

  /** One checkpoint an hour; the first that is asked for, here or at another validator. */
  #ofHour(newest: VerifiedCheckpoint | undefined): string | undefined {
    if (newest !== undefined) this.#fixHour(newest)
    return this.#hourly === undefined ? undefined : checkpointText(this.#hourly.checkpoint)
  }

  /** Missions' lines are collected for checkpoints of hours alone, and hours do not go back. */
  #fixHour(checkpoint: VerifiedCheckpoint): void {
    const hour = this.#hourNow()
    const last = this.#hourly
    const isLess = checkpoint.checkpoint.size <= (last?.checkpoint.checkpoint.size ?? 0)
    if (last?.hour === hour || isLess) return
    this.#hourly = { hour, checkpoint }
    this.#witnessed.open(checkpoint.checkpoint)
  }

  async #takeMission(verified: VerifiedCheckpoint): Promise<void> {
    const { cosigners, database } = this.#parts
    const isCertified = meets(cosigners.validatorPolicy(), verified)
    if (!isCertified || !(await cosigners.isOurs(verified))) return
    const names = cosigners.validatorNames()
    const certified = onlyKeys(verified, ({ name }) => names.has(name))
    const isFixed = this.#hourly?.hour === this.#hourNow()
    if (!isFixed && this.#isOfThisHour(certified)) this.#fixHour(certified)
    if (!this.#witnessed.add(verified)) return
    const best = this.#witnessed.newest(cosigners.missionPolicy())
    if (best === undefined) return
    await keep(database, this.#kept, MISSIONS_KEY, missionsText(best))
  }

  #hourNow(): number {
    return Math.floor(this.#parts.clock.now() / limits.WITNESS_MS)
  }

  /**
   * What a mission says was given to it must have been the newest one when the hour began, or
   * nearly: otherwise one mission could choose an old one for all.
   */
  #isOfThisHour({ checkpoint, signed }: VerifiedCheckpoint): boolean {
    if (checkpoint.size >= (this.#cosigner?.newest()?.checkpoint.size ?? 0)) return true
    const signedS = medianTime(signed) ?? 0
    return signedS * 1_000 >= this.#parts.clock.now() - limits.WITNESS_MS
  }

  // --- what this node wants ---------------------------------------------------------------------

  /**
   * The newest signed checkpoint that validators have, or that was kept here. It meets the policy,
   * and our tree has its root.
   *
   * @throws LedgerError `CHECKPOINT_FORK`; NodeError `STORE_*`.
   */
  async newest(): Promise<VerifiedCheckpoint | undefined> {
    return this.#find("newest", NEWEST_KEY)
  }

  /** The newest one that a majority of missions cosigned as well. */
  async missions(): Promise<VerifiedCheckpoint | undefined> {
    return this.#find("missions", MISSIONS_KEY)
  }

  async #find(kind: CheckpointKind, key: string): Promise<VerifiedCheckpoint | undefined> {
    const { cosigners, database } = this.#parts
    const kept = this.#kept.get(key)
    let best = kept === undefined ? undefined : await this.#judged(kind, cosigners.read(kept))
    const [first, ...others] = this.#sources()
    // One answer is enough if it reaches as far as our ledger. An older one may be a lie: then all
    // others are asked, and the largest counts. Nobody can show one that is larger than the truth.
    for (const peers of [first === undefined ? [] : [first], others]) {
      for (const found of await Promise.all(peers.map(async (peer) => this.#try(peer, kind)))) {
        if (found !== undefined && isFuller(found, best)) best = found
      }
      if (best !== undefined && best.checkpoint.size >= this.#parts.store.tiles.size) break
    }
    if (best === undefined) return undefined
    const text = kind === "missions" ? missionsText(best) : checkpointText(best)
    await keep(database, this.#kept, key, text)
    return best
  }

  /** A validator trusts its own cosigner first; everybody else asks those who are in reach. */
  #sources(): PeerKey[] {
    const { transport, validators, self } = this.#parts
    const connected = new Set(transport.connected())
    const isOwn = this.#cosigner !== undefined
    const peers = validators().filter((peer) => peer !== self && connected.has(peer))
    return isOwn ? [self, ...peers] : peers
  }

  async #try(peer: PeerKey, kind: CheckpointKind): Promise<VerifiedCheckpoint | undefined> {
    try {
      const found = await this.#ask(peer, kind)
      return found && (await this.#judged(kind, found))
    } catch (error) {
      if (!(error instanceof TarbartaError)) throw error
      const code: string = error.code
      if (code.startsWith("STORE_") || code === "CHECKPOINT_FORK") throw error
      this.#parts.log.warn(error.code, { peer, message: error.message })
      return undefined
    }
  }

  /**
   * Undefined unless enough have signed it, and while our own ledger does not reach so far. Who
   * signed is looked at first: a root that nobody vouches for shows nothing but that a peer lies.
   */
  async #judged(
    kind: CheckpointKind,
    verified: VerifiedCheckpoint,
  ): Promise<VerifiedCheckpoint | undefined> {
    const { cosigners } = this.#parts
    const policy = kind === "missions" ? cosigners.missionPolicy() : cosigners.validatorPolicy()
    if (!meets(policy, verified)) return undefined
    return (await cosigners.isOurs(verified)) ? verified : undefined
  }

  async #ask(peer: PeerKey, kind: CheckpointKind): Promise<VerifiedCheckpoint | undefined> {
    const { transport, cosigners, self } = this.#parts
    if (peer === self) {
      const text = await this.#own(kind)
      return text === undefined ? undefined : cosigners.read(text)
    }
    const request = encodeCheckpointRequest(kind)
    const answer = await transport.request(peer, PROTOCOLS.checkpoint, request)
    const note = decodeNoteMessage(answer, limits.NOTE_BYTES_MAX)
    return note.length === 0 ? undefined : cosigners.read(decodeNoteText(note, "checkpoint"))
  }
}

/** True for the larger one, or the same with more signatures. */
function isFuller(found: VerifiedCheckpoint, best: VerifiedCheckpoint | undefined): boolean {
  if (best === undefined) return true
  const more = found.checkpoint.size - best.checkpoint.size
  return more > 0 || (more === 0 && found.signed.length > best.signed.length)
}

/** Writes a text that is not there yet. */
async function keep(
  database: Database,
  kept: Map<string, string>,
  key: string,
  text: string,
): Promise<void> {
  if (kept.get(key) === text) return
  kept.set(key, text)
  const value = new TextEncoder().encode(text)
  await database.write([{ type: "put", key, value }], { urgent: true })
}

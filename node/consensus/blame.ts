/**
 * Evidence against validators, kept and recorded (LEDGER §8.6).
 *
 * - `ledger/v/<epoch>/<signer>/<view>` evidence that this validator has seen itself
 * - `ledger/x/<epoch>/<view>/<kind>/<hash>` certificates from which a fork can be blamed years later
 *
 * The first contradiction of a validator goes into an entry of our own, so that every mission
 * learns of it. What stands in others' entries counts once it verifies.
 */

import { decodeCertificate, encodeCertificate, type Certificate } from "../../ledger/certificate.ts"
import {
  culpritsOf,
  decodeEvidence,
  encodeEvidence,
  verifyEvidence,
  type Evidence,
} from "../../ledger/evidence.ts"
import type { ValidatorsOf } from "../../ledger/validators.ts"
import { bytesToHex } from "@noble/hashes/utils.js"
import { equalBytes } from "../../protocol/bytes.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { EVIDENCE_PER_SIGNER_MAX } from "../../protocol/limits.ts"
import type { Entry } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { Database, Operation } from "../store/database.ts"
import { numberKey } from "../store/tiles.ts"
import type { Final } from "./finality.ts"

const SEEN_PREFIX = "ledger/v/"
const RECORDED_PREFIX = "ledger/r/"
const KEPT_PREFIX = "ledger/x/"

/** One validator's contradiction, as it is shown. */
export interface Accusation {
  readonly evidence: Evidence
  /** Leaf of the entry that records it; undefined: seen here and not recorded yet. */
  readonly index: number | undefined
}

export interface BlameParts {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly database: Database
  readonly validatorsOf: ValidatorsOf
  /** Submits an entry of type 4 with this payload. */
  readonly record: (payload: Uint8Array) => Promise<void>
  readonly onFatal: (error: unknown) => void
}

export class Blame {
  readonly #parts: BlameParts
  #tail: Promise<void> = Promise.resolve()

  constructor(parts: BlameParts) {
    this.#parts = parts
  }

  /** Consensus has seen a contradiction: it is kept, and recorded unless its maker's one is. */
  accuse(evidence: Evidence): void {
    this.#run(async () => this.#keep(evidence))
  }

  /** Certificates without which a fork could not be blamed. */
  keep(certificates: readonly Certificate[]): void {
    this.#run(async () => this.#write(keptOperations(certificates)))
  }

  /**
   * At the start. A crash may have come between the row of what was seen and its entry, so what
   * nobody has recorded is recorded now. `waiting`: our own entries that are not final.
   */
  resume(waiting: readonly Entry[]): void {
    this.#run(async () => {
      const seen: Uint8Array[] = []
      const range = { prefix: SEEN_PREFIX }
      for await (const [, value] of this.#parts.database.range(range)) seen.push(value)
      const told = new Set<string>()
      for (const value of seen) {
        const maker = makerKey(decodeEvidence(value, this.#parts.chainId))
        const isWaiting = waiting.some(({ payload }) => equalBytes(payload, value))
        if (!told.has(maker) && !isWaiting && !(await this.#isRecorded(maker))) {
          await this.#parts.record(value)
        }
        told.add(maker)
      }
    })
  }

  /** Two final chains: what is known of either, and what was kept, names at least f+1 liars. */
  judgeFork(certificates: readonly Certificate[]): void {
    this.#run(async () => {
      // Whoever is asked years later has them too.
      await this.#write(keptOperations(certificates))
      const kept: Certificate[] = []
      for await (const [, value] of this.#parts.database.range({ prefix: KEPT_PREFIX })) {
        kept.push(decodeCertificate(value))
      }
      for (const evidence of culpritsOf(kept)) await this.#keep(evidence)
    })
  }

  /** Entries became final: what they prove is remembered by its place. */
  onFinal({ entries }: Pick<Final, "entries">): void {
    for (const { index, entry } of entries) {
      if (entry.type !== "evidence") continue
      this.#run(async () => this.#note(entry.payload, index))
    }
  }

  /** All that is known, by epoch, signer and view. */
  async list(): Promise<Accusation[]> {
    const { database, chainId } = this.#parts
    const found = new Map<string, Accusation>()
    for await (const [key, value] of database.range({ prefix: SEEN_PREFIX })) {
      const evidence = decodeEvidence(value, chainId)
      found.set(key.slice(SEEN_PREFIX.length), { evidence, index: undefined })
    }
    for await (const [key, value] of database.range({ prefix: RECORDED_PREFIX })) {
      const [epoch = "", signer = "", index = ""] = key.slice(RECORDED_PREFIX.length).split("/")
      const evidence = decodeEvidence(value, chainId)
      const slot = `${epoch}/${signer}/${numberKey(evidence.first.view)}`
      found.set(slot, { evidence, index: Number.parseInt(index, 16) })
    }
    return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, accusation]) => accusation)
  }

  async #keep(evidence: Evidence): Promise<void> {
    const { database, chainId, record } = this.#parts
    const maker = makerKey(evidence)
    let count = 0
    for await (const _ of database.range({ prefix: `${SEEN_PREFIX}${maker}/` })) count += 1
    if (count >= EVIDENCE_PER_SIGNER_MAX) return
    const value = encodeEvidence(chainId, evidence)
    const key = `${SEEN_PREFIX}${maker}/${numberKey(evidence.first.view)}`
    await this.#write([{ type: "put", key, value }])
    if (!(await this.#isRecorded(maker)) && count === 0) await record(value)
  }

  async #isRecorded(maker: string): Promise<boolean> {
    const range = { prefix: `${RECORDED_PREFIX}${maker}/`, limit: 1 }
    for await (const _ of this.#parts.database.range(range)) return true
    return false
  }

  async #note(payload: Uint8Array, index: number): Promise<void> {
    const { suite, chainId, validatorsOf } = this.#parts
    let evidence: Evidence
    try {
      evidence = decodeEvidence(payload, chainId)
      const validators = validatorsOf(evidence.first.epoch)
      if (validators === undefined) return
      verifyEvidence(suite, chainId, evidence, validators)
    } catch (error) {
      // Anybody may submit what proves nothing; it stands on the ledger and accuses nobody.
      if (error instanceof TarbartaError) return
      throw error
    }
    const maker = makerKey(evidence)
    if (await this.#isRecorded(maker)) return
    const key = `${RECORDED_PREFIX}${maker}/${numberKey(index)}`
    await this.#write([{ type: "put", key, value: payload }])
  }

  async #write(operations: readonly Operation[]): Promise<void> {
    await this.#parts.database.write(operations, { urgent: true })
  }

  #run(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work)
    this.#tail.catch(this.#parts.onFatal)
  }
}

function makerKey({ first }: Evidence): string {
  return `${numberKey(first.epoch)}/${numberKey(first.signer)}`
}

/** Rows of certificates that blame may need, for the batch of the block above them. */
export function keptOperations(kept: readonly Certificate[]): Operation[] {
  return kept.map((certificate) => {
    const { epoch, view, kind, blockHash } = certificate
    // Two chains have two of one view and kind.
    const name = `${kind}/${bytesToHex(blockHash.subarray(0, 8))}`
    const key = `${KEPT_PREFIX}${numberKey(epoch)}/${numberKey(view)}/${name}`
    return { type: "put", key, value: encodeCertificate(certificate) }
  })
}

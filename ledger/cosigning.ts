/**
 * What a cosigner may sign, and what becomes of the cosignatures of others (LEDGER §15.6).
 *
 * A cosignature says: this is the largest tree that I have seen of this log. So a head is judged
 * against the last one that was signed, which is on the disk before any signature leaves: smaller
 * heads are passed over, and another root at the same size is the end of this cosigner. Only final
 * heads come here; a notarized block may still be nullified.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { FieldReader, FieldWriter } from "../protocol/fields.ts"
import {
  CHECKPOINT_LINES_MAX,
  HASH_BYTES,
  NOTE_LINES_MAX,
  PROOF_PQ_LINES_MAX,
} from "../protocol/limits.ts"
import { formatCheckpoint, type Checkpoint } from "./checkpoint.ts"
import type { Cosigned, VerifiedCheckpoint } from "./cosignature.ts"
import { LedgerError } from "./errors.ts"
import { formatNote, type NoteKey, type NoteSignature } from "./note.ts"
import { isQuorum, type Policy } from "./policy.ts"

/** Size and root of a tree: what a cosignature is about. */
export type TreeHead = Pick<Checkpoint, "size" | "root">

/** What a cosigner does with a head. */
type HeadVerdict =
  /** Larger than all before: put it on the disk, then sign. */
  | "persist"
  /** The one that was signed last: sign it again, if the signature was lost. */
  | "again"
  /** Smaller than what was signed, or empty: nothing. */
  | "pass"

/**
 * Judges a final head against the last one that was signed.
 *
 * @throws {@link LedgerError} `CHECKPOINT_FORK` for another root at the same size: this cosigner must
 * not sign again.
 */
export function judgeHead(signed: TreeHead | undefined, head: TreeHead): HeadVerdict {
  if (head.size === 0 || (signed !== undefined && head.size < signed.size)) return "pass"
  if (signed === undefined || head.size > signed.size) return "persist"
  if (equalBytes(signed.root, head.root)) return "again"
  const why = `two roots at ${head.size} entries: one was signed, the ledger here has the other`
  throw new LedgerError("CHECKPOINT_FORK", `cosigner: ${why}`)
}

/** size u64 ‖ root[32]: the row that a cosigner keeps. */
export function encodeTreeHead({ size, root }: TreeHead): Uint8Array {
  return new FieldWriter(8 + HASH_BYTES).u64(size).bytes(root).finish()
}

/** @throws ProtocolError `CODEC_*`. */
export function decodeTreeHead(bytes: Uint8Array): TreeHead {
  const reader = new FieldReader(bytes, "signed head")
  const size = reader.u64("size")
  const root = reader.bytes("root", HASH_BYTES)
  reader.end()
  return { size, root }
}

/** Verified signatures under one checkpoint, at most one of each key. */
interface Collected {
  readonly checkpoint: Checkpoint
  readonly signed: Map<string, Cosigned>
}

/**
 * Verified signatures under a few checkpoints, the newest ones; older ones make room.
 *
 * Checkpoints come in through {@link open} by who knows their roots, so no one else's size takes
 * a place here; signatures come in through {@link add}.
 */
export class CheckpointPool {
  readonly #sizesMax: number
  /** By size, ascending. */
  readonly #collected = new Map<number, Collected>()

  /** @param sizesMax checkpoints that have a place at the same time. */
  constructor(sizesMax: number) {
    this.#sizesMax = sizesMax
  }

  /** Makes a place for the signatures of a checkpoint that is true here. */
  open(checkpoint: Checkpoint): void {
    if (this.#collected.has(checkpoint.size)) return
    this.#collected.set(checkpoint.size, { checkpoint, signed: new Map() })
    const sizes = [...this.#collected.keys()].toSorted((a, b) => a - b)
    for (const size of sizes.slice(0, -this.#sizesMax)) this.#collected.delete(size)
  }

  /**
   * Takes verified signatures; false when all of them are here, or nothing is collected for them.
   *
   * @throws {@link LedgerError} `CHECKPOINT_FORK` when they are for another root.
   */
  add({ checkpoint, signed }: VerifiedCheckpoint): boolean {
    const place = this.#collected.get(checkpoint.size)
    if (place === undefined || signed.length === 0) return false
    if (!equalBytes(place.checkpoint.root, checkpoint.root)) {
      const names = signed.map(({ key }) => key.name).join(", ")
      const why = `${names} signed another root at ${checkpoint.size} entries`
      throw new LedgerError("CHECKPOINT_FORK", `checkpoint: ${why}`)
    }
    const before = place.signed.size
    for (const one of signed) {
      const mark = markOf(one.key)
      if (!place.signed.has(mark)) place.signed.set(mark, one)
    }
    return place.signed.size > before
  }

  /** True for a line that is here to the byte: it needs no verification. */
  has(key: NoteKey, checkpoint: Checkpoint, signature: NoteSignature): boolean {
    const place = this.#collected.get(checkpoint.size)
    const known = place?.signed.get(markOf(key))?.signature
    if (place === undefined || known === undefined || known.name !== signature.name) return false
    const { origin, root } = place.checkpoint
    const isSame = origin === checkpoint.origin && equalBytes(root, checkpoint.root)
    return isSame && equalBytes(known.blob, signature.blob)
  }

  /** What is known of a size. */
  at(size: number): VerifiedCheckpoint | undefined {
    const place = this.#collected.get(size)
    if (place === undefined) return undefined
    return { checkpoint: place.checkpoint, signed: [...place.signed.values()] }
  }

  /** The largest one that has what the policy asks for. */
  newest(policy: Policy): VerifiedCheckpoint | undefined {
    const sizes = [...this.#collected.keys()].toSorted((a, b) => b - a)
    return sizes.map((size) => this.at(size)).find((one) => one !== undefined && meets(policy, one))
  }
}

/** True when a log of the policy and a quorum of it signed. */
export function meets(policy: Policy, { checkpoint, signed }: VerifiedCheckpoint): boolean {
  const marks = new Set(signed.map(({ key }) => markOf(key)))
  const known = [...policy.logs, ...policy.witnesses.map(({ key }) => key)]
  const keys = new Set(known.filter((key) => marks.has(markOf(key))))
  const isLogged = policy.logs.some((log) => log.name === checkpoint.origin && keys.has(log))
  return isLogged && isQuorum(policy, keys)
}

/** What is given out: one log line, then Ed25519 before ML-DSA-44, as many as readers must take. */
export function checkpointText(verified: VerifiedCheckpoint): string {
  return textOf(verified, linesOf(verified, 1).slice(0, CHECKPOINT_LINES_MAX))
}

/** The same with the missions' lines, as many as readers may take. */
export function missionsText(verified: VerifiedCheckpoint): string {
  return textOf(verified, linesOf(verified, 1).slice(0, NOTE_LINES_MAX))
}

/**
 * What a proof file holds: one log line, cosignatures of Ed25519 up to the quorum of validators,
 * and one of ML-DSA-44 if there is any.
 */
export function proofText(verified: VerifiedCheckpoint, quorum: number): string {
  const lines = linesOf(verified, 1)
  const classical = lines.filter(({ key }) => key.type === "cosigner").slice(0, quorum)
  const pq = lines.filter(({ key }) => key.type === "cosignerPq").slice(0, PROOF_PQ_LINES_MAX)
  const log = lines.filter(({ key }) => key.type === "log")
  return textOf(verified, [...log, ...classical, ...pq])
}

function linesOf({ signed }: VerifiedCheckpoint, logs: number): Cosigned[] {
  const of = (type: NoteKey["type"]): Cosigned[] =>
    signed
      .filter(({ key }) => key.type === type)
      .toSorted((a, b) => (a.key.name < b.key.name ? -1 : a.key.name > b.key.name ? 1 : 0))
  return [...of("log").slice(0, logs), ...of("cosigner"), ...of("cosignerPq")]
}

function textOf({ checkpoint }: VerifiedCheckpoint, lines: readonly Cosigned[]): string {
  return formatNote({
    body: formatCheckpoint(checkpoint),
    signatures: lines.map(({ signature }) => signature),
  })
}

/** Type and public key as text, a letter a byte. */
function markOf(key: NoteKey): string {
  return `${key.type} ${String.fromCharCode(...key.publicKey)}`
}

/**
 * Who may sign checkpoints, as genesis and directory have it now, and what is known of one that
 * somebody brings (LEDGER §15.5).
 */

import { equalBytes } from "../../protocol/bytes.ts"
import type { Directory } from "../../protocol/directory.ts"
import type { Suite } from "../../protocol/suite.ts"
import {
  verifyCheckpoint,
  type LineCheck,
  type VerifiedCheckpoint,
} from "../../ledger/cosignature.ts"
import { LedgerError } from "../../ledger/errors.ts"
import { parseNote, type NoteKey } from "../../ledger/note.ts"
import {
  missionPolicy,
  policyKeys,
  validatorPolicy,
  type NamedValidator,
  type Policy,
  type Witness,
} from "../../ledger/policy.ts"
import type { ValidatorSet } from "../../ledger/validators.ts"
import type { BlockStore } from "../store/blocks.ts"

export interface CosignersParts {
  readonly suite: Suite
  readonly directory: Directory
  readonly store: BlockStore
  /** Of the head's epoch. */
  readonly validators: () => ValidatorSet
}

export class Cosigners {
  readonly #parts: CosignersParts
  readonly origin: string

  constructor(parts: CosignersParts) {
    this.#parts = parts
    this.origin = parts.directory.genesis.origin
  }

  /** In ascending order of rid. */
  validators(): NamedValidator[] {
    return namedValidators(this.#parts.directory, this.#parts.validators())
  }

  /** Votes that decide, and cosignatures. */
  get quorum(): number {
    return this.#parts.validators().quorum
  }

  /** Missions that may cosign now. */
  missions(): Witness[] {
    const { directory, store } = this.#parts
    const { height } = store.head
    return directory
      .missions()
      .filter((mission) => !directory.isRevoked(mission, height))
      .map(({ facts }) => facts)
  }

  /** Names that validators' lines carry: the origin, and one a validator. */
  validatorNames(): ReadonlySet<string> {
    return new Set(policyKeys(this.validatorPolicy()).map(({ name }) => name))
  }

  /** A mission as a witness; undefined until it is admitted. */
  mission(rid: number | undefined): Witness | undefined {
    return rid === undefined ? undefined : this.#parts.directory.mission(rid)?.facts
  }

  validatorPolicy(): Policy {
    return validatorPolicy(this.origin, this.validators())
  }

  missionPolicy(): Policy {
    return missionPolicy(this.origin, this.validators(), this.missions())
  }

  /**
   * Verifies the lines of all whom we know under a checkpoint that came from outside. `check` is
   * for who knows some of them already.
   *
   * @throws LedgerError `NOTE_*`, `CHECKPOINT_INVALID`, also for another log's; ProtocolError
   * `CODEC_*`.
   */
  read(text: string, check?: LineCheck): VerifiedCheckpoint {
    // Names first: a checkpoint names few of the keys, and each key id is a hash.
    const names = new Set(parseNote(text).signatures.map(({ name }) => name))
    const keys = policyKeys(this.missionPolicy()).filter(({ name }) => names.has(name))
    const verified = verifyCheckpoint(this.#parts.suite, keys, text, check)
    if (verified.checkpoint.origin === this.origin) return verified
    throw new LedgerError("CHECKPOINT_INVALID", "checkpoint: it is of another log")
  }

  /**
   * True when our own tree has this root; false when it does not reach so far yet.
   *
   * @throws LedgerError `CHECKPOINT_FORK` when our tree has another root at that size; NodeError
   * `STORE_DAMAGED`.
   */
  async isOurs({ checkpoint, signed }: VerifiedCheckpoint): Promise<boolean> {
    const { tiles } = this.#parts.store
    if (checkpoint.size > tiles.size) return false
    if (equalBytes(await tiles.root(checkpoint.size), checkpoint.root)) return true
    const names = signed.map(({ key }) => key.name).join(", ")
    const why = `${names} signed another root at ${checkpoint.size} entries than ours`
    throw new LedgerError("CHECKPOINT_FORK", `checkpoint: ${why}`)
  }
}

/** Validators with the codes of their missions. */
export function namedValidators(directory: Directory, set: ValidatorSet): NamedValidator[] {
  return set.validators.map((facts) => {
    const code = directory.mission(facts.rid)?.facts.code
    return { code: code ?? `rid-${facts.rid}`, facts }
  })
}

/** What was verified, without the lines of keys for which `isKept` says no. */
export function onlyKeys(
  verified: VerifiedCheckpoint,
  isKept: (key: NoteKey) => boolean,
): VerifiedCheckpoint {
  return { ...verified, signed: verified.signed.filter(({ key }) => isKept(key)) }
}

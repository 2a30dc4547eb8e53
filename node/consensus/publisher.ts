/**
 * What others check this ledger by: signed checkpoints, proofs under them, and the files of a
 * publication (LEDGER §10).
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { checkpointText, missionsText, proofText } from "../../ledger/cosigning.ts"
import { formatPolicy } from "../../ledger/policy.ts"
import { encodeProof, type Opening } from "../../ledger/proof.ts"
import type { ValidatorSet, ValidatorsOf } from "../../ledger/validators.ts"
import { assert } from "../../protocol/assert.ts"
import type { Directory } from "../../protocol/directory.ts"
import { encodeEntry } from "../../protocol/entry.ts"
import { NodeError } from "../errors.ts"
import type { BlockStore } from "../store/blocks.ts"
import { publishedFiles, type PublishedFile } from "../store/publication.ts"
import { Checkpoints, type CheckpointKeys, type CheckpointsParts } from "./checkpoints.ts"
import { Cosigners } from "./cosigners.ts"

export interface PublisherParts extends Omit<CheckpointsParts, "cosigners" | "keys"> {
  readonly directory: Directory
  readonly validatorsOf: ValidatorsOf
  /** What signs checkpoints. */
  readonly checkpoints: CheckpointKeys
}

export class Publisher {
  readonly checkpoints: Checkpoints
  readonly #parts: PublisherParts
  readonly #cosigners: Cosigners

  constructor(parts: PublisherParts) {
    this.#parts = parts
    const { suite, directory, store, validatorsOf } = parts
    const validators = (): ValidatorSet => {
      const set = validatorsOf(store.head.epoch)
      assert(set !== undefined, "the validators of the stored head are known")
      return set
    }
    this.#cosigners = new Cosigners({ suite, directory, store, validators })
    const { checkpoints: keys } = parts
    this.checkpoints = new Checkpoints({ ...parts, keys, cosigners: this.#cosigners })
  }

  async start(): Promise<void> {
    await this.checkpoints.start()
  }

  stop(): void {
    this.checkpoints.stop()
  }

  /**
   * The self-contained proof of a message's entry under a signed checkpoint; undefined while there
   * is none that reaches so far.
   *
   * @throws NodeError `STORE_DAMAGED`.
   */
  async proof(submitter: number, seq: number, opening: Opening): Promise<Uint8Array | undefined> {
    const { store } = this.#parts
    const place = await store.find(submitter, seq)
    const newest = place && (await this.checkpoints.newest())
    if (place === undefined || newest === undefined) return undefined
    const { index } = place
    const { size } = newest.checkpoint
    if (index >= size) return undefined
    return encodeProof({
      opened: { entry: encodeEntry(await store.entry(index)), ...opening },
      index,
      path: await store.tiles.inclusion(index, size),
      checkpoint: proofText(newest, this.#cosigners.quorum),
    })
  }

  /**
   * The files of a publication, without the full bundles that `have` names and the tiles over them.
   *
   * @throws NodeError `CHECKPOINT_PENDING` while no checkpoint is signed, or none as large as the
   * published one, `PUBLICATION_OTHER` when that is not of this ledger, `STORE_DAMAGED`.
   */
  async publication(
    have: { readonly size: number; readonly root: string; readonly bundles: number } | undefined,
  ): Promise<AsyncIterable<PublishedFile>> {
    const { store, suite } = this.#parts
    const cosigners = this.#cosigners
    const newest = await this.checkpoints.newest()
    if (newest === undefined) {
      throw new NodeError("CHECKPOINT_PENDING", "no checkpoint is signed by enough validators yet")
    }
    const { size } = newest.checkpoint
    if (have !== undefined) await demandGrowth(store, have, size)
    const missions = await this.checkpoints.missions()
    const isPart = missions !== undefined && missions.checkpoint.size <= size
    const publication = {
      checkpoint: { size, text: checkpointText(newest) },
      missions: isPart
        ? { size: missions.checkpoint.size, text: missionsText(missions) }
        : undefined,
      policy: formatPolicy(suite, cosigners.validatorPolicy()),
      missionPolicy: formatPolicy(suite, cosigners.missionPolicy()),
    }
    return publishedFiles(store.tiles, publication, have?.bundles ?? 0)
  }

  /** Cosigners of this node that ended, for its operator. */
  warnings(): readonly string[] {
    return this.checkpoints.warnings()
  }
}

/**
 * A publication grows: who watches it takes one that shrank for a log that broke its word. Other
 * missions may write into the same folder, and may have a newer checkpoint.
 */
async function demandGrowth(
  { tiles }: BlockStore,
  have: { readonly size: number; readonly root: string },
  size: number,
): Promise<void> {
  if (have.size <= tiles.size && bytesToHex(await tiles.root(have.size)) !== have.root) {
    const why = `has another root at ${have.size} entries than this ledger`
    throw new NodeError("PUBLICATION_OTHER", `what was published there before ${why}`, {
      hint: "name an empty folder, or the one of this network",
    })
  }
  if (have.size <= size) return
  const why = `has ${have.size} entries, the newest checkpoint here ${size}`
  throw new NodeError("CHECKPOINT_PENDING", `what was published there before ${why}`, {
    hint: "nothing was changed; export again once this node has caught up and reaches a validator",
  })
}

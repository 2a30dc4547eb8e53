/**
 * What happens with a verified final block, whoever brought it (ARCHITECTURE, journey of a cable):
 * fold its entries into the directory, store it in one batch, tell the rest of the node.
 *
 * validator.ts brings the blocks that it made, follower.ts those that it fetched. One at a time:
 * whoever folds blocks does so inside of {@link Finality.exclusive}, reads the head there, skips
 * blocks at or below it, and writes what it folded before its turn ends.
 */

import type { FinalBlock } from "../../ledger/block.ts"
import type { FinalHeader } from "../../ledger/bundle.ts"
import type { ChainHead, SubmitKeyOf } from "../../ledger/chain.ts"
import { createValidatorSet, leaderOf, type ValidatorsOf } from "../../ledger/validators.ts"
import { assert } from "../../protocol/assert.ts"
import type { Directory, Outcome } from "../../protocol/directory.ts"
import type { Entry } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import type { BlockStore } from "../store/blocks.ts"
import type { Operation } from "../store/database.ts"
import type { DirectoryRows } from "../store/directory.ts"

/** A final block, as the rest of the node hears of it once it is on the disk. */
export interface Final {
  readonly height: number
  /** View in which it was proposed. */
  readonly view: number
  /** Number of the mission that proposed it. */
  readonly leader: number
  readonly blockHash: Uint8Array
  /** The proposer's clock, Unix ms; advisory. */
  readonly timeMs: number
  readonly entries: readonly { readonly index: number; readonly entry: Entry }[]
  /** What each entry did to the directory, in the order of `entries`. */
  readonly outcomes: readonly Outcome[]
}

/** A block that is folded and waits for its write. */
export interface Staged {
  readonly final: FinalBlock
  readonly head: ChainHead
  readonly notice: Final
  readonly operations: readonly Operation[]
}

/** Entries without their blocks, folded, that wait for their write. */
export interface StagedEntries {
  readonly final: FinalHeader
  readonly head: ChainHead
  readonly notice: Final
  readonly operations: readonly Operation[]
}

/** The block that an entry of the directory was in. */
export interface EntryBlock {
  readonly height: number
  readonly timeMs: number
}

export interface FinalityParts {
  readonly suite: Suite
  readonly store: BlockStore
  readonly directory: Directory
  readonly rows: DirectoryRows
  /** Writes of others that belong into the batch of a block. */
  readonly ownOperations: (entries: readonly Entry[]) => Operation[]
  /** A block is on the disk. */
  readonly onStored: (final: Final) => void
}

export class Finality {
  readonly #parts: FinalityParts
  /** Validators of an epoch; this version has the founding epoch only. */
  readonly validatorsOf: ValidatorsOf
  #head: ChainHead
  /** Settles when the work that came last has ended. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: FinalityParts) {
    this.#parts = parts
    this.#head = parts.store.head
    const founding = createValidatorSet(parts.suite, 0, parts.directory.genesis.validators)
    this.validatorsOf = (epoch) => (epoch === founding.epoch ? founding : undefined)
  }

  /** Head of what is folded; ahead of the store's while blocks wait for their write. */
  get head(): ChainHead {
    return this.#head
  }

  /** Submit key of a mission that may submit at a height, as far as the present head tells. */
  readonly submitKeyOf: SubmitKeyOf = (submitter, height) => {
    const { directory } = this.#parts
    const mission = directory.mission(submitter)
    if (mission === undefined || directory.isRevoked(mission, height)) return undefined
    return mission.facts.submitKey
  }

  /**
   * Runs `work` once all work that came before has ended, however it ended. What `work` does must
   * not wait for another turn of its own.
   */
  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    const ended = (): void => undefined
    // Its failure is for the one who brought it.
    this.#turn = turn.then(ended, ended)
    return turn
  }

  /** Folds a verified block that stands on {@link head}; `commit` must follow. */
  fold(final: FinalBlock, head: ChainHead, extra: readonly Operation[] = []): Staged {
    const { header, batches } = final.block
    assert(header.height === this.#head.height + 1, "blocks are folded in order")
    const { directory, rows } = this.#parts
    const outcomes: Outcome[] = []
    const operations: Operation[] = []
    const entries = batches.flatMap((batch) => batch.entries)
    const firstIndex = header.treeSize - entries.length
    for (const [offset, entry] of entries.entries()) {
      const outcome = directory.apply(entry, header.height, { blockTimeMs: header.timeMs })
      outcomes.push(outcome)
      operations.push(...rows.operations(entry, firstIndex + offset, header.height, outcome))
    }
    this.#head = head
    const notice: Final = {
      height: header.height,
      view: header.view,
      leader: this.#leaderOf(header.epoch, header.view),
      blockHash: head.hash,
      timeMs: header.timeMs,
      entries: entries.map((entry, offset) => ({ index: firstIndex + offset, entry })),
      outcomes,
    }
    return {
      final,
      head,
      notice,
      operations: [...operations, ...this.#parts.ownOperations(entries), ...extra],
    }
  }

  /**
   * Folds verified entries up to a certified header, without their blocks. `blockOf` knows the
   * block of every entry that the directory may take; `commitEntries` must follow.
   */
  foldEntries(
    final: FinalHeader,
    entries: readonly Entry[],
    head: ChainHead,
    blockOf: (index: number) => EntryBlock,
  ): StagedEntries {
    const { directory, rows } = this.#parts
    const { header } = final
    const firstIndex = header.treeSize - entries.length
    const outcomes: Outcome[] = []
    const operations: Operation[] = []
    for (const [offset, entry] of entries.entries()) {
      if (!isForDirectory(entry)) {
        outcomes.push({ type: "none" })
        continue
      }
      const { height, timeMs } = blockOf(firstIndex + offset)
      const outcome = directory.apply(entry, height, { blockTimeMs: timeMs })
      outcomes.push(outcome)
      operations.push(...rows.operations(entry, firstIndex + offset, height, outcome))
    }
    this.#head = head
    const notice: Final = {
      height: header.height,
      view: header.view,
      leader: this.#leaderOf(header.epoch, header.view),
      blockHash: head.hash,
      timeMs: header.timeMs,
      entries: entries.map((entry, offset) => ({ index: firstIndex + offset, entry })),
      outcomes,
    }
    operations.push(...this.#parts.ownOperations(entries))
    return { final, head, notice, operations }
  }

  /** Writes folded entries in one batch, then tells of them all at once. */
  async commitEntries(staged: StagedEntries): Promise<void> {
    const entries = staged.notice.entries.map(({ entry }) => entry)
    await this.#parts.store.appendEntries(staged.final, entries, staged.head, staged.operations)
    this.#parts.onStored(staged.notice)
  }

  #leaderOf(epoch: number, view: number): number {
    const set = this.validatorsOf(epoch)
    const leader = set?.validators[leaderOf(set, view)]
    assert(leader !== undefined, "the block is verified, so its validators are known")
    return leader.rid
  }

  /** Writes folded blocks in one batch, then tells of each. A failed write ends the node. */
  async commit(staged: readonly Staged[]): Promise<void> {
    const last = staged.at(-1)
    if (last === undefined) return
    await this.#parts.store.append(
      staged.map((item) => item.final),
      last.head,
      staged.flatMap((item) => item.operations),
    )
    for (const { notice } of staged) this.#parts.onStored(notice)
  }
}

/** True for what the directory is a fold of; its height and time matter there. */
export function isForDirectory({ type }: Entry): boolean {
  return type === "governance" || type === "epochKeys"
}

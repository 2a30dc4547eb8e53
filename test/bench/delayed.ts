/**
 * Four validators and missions whose messages are 75 ms under way: what the finality benches measure.
 *
 * On the machine's own clock and disks, each node in a thread of its own as it has a process of its own
 * in the field; or in virtual time, with simulated disks of 1 ms and computing that takes none.
 */

import { join } from "node:path"
import { Worker, type MessagePort } from "node:worker_threads"
import { LedgerWorld } from "../support/ledgers.ts"
import { createMinistry, type Ministry } from "../support/ministry.ts"
import { Line, type LineEnd } from "./line.ts"
import { withGenesis, VALIDATORS } from "./validator.ts"

/** δ, one way. */
export const DELAY_MS = 75
/** Δ, the bound of the network's policy (LEDGER §8). */
export const BOUND_MS = 500

/** Posts in virtual time, the first four of them validators. */
export function createWorld(posts: number, seed: string, link: object): LedgerWorld {
  const policy = { consensusDeltaMs: BOUND_MS }
  return new LedgerWorld(posts, seed, { validators: VALIDATORS, policy, link })
}

export function delayedMinistry(missions: number, genesisBytes?: Uint8Array): Ministry {
  const ministry = createMinistry(VALIDATORS + missions, "bench finality", {
    validators: VALIDATORS,
    policy: { consensusDeltaMs: BOUND_MS },
  })
  return withGenesis(ministry, genesisBytes)
}

/** What a node's thread is told at its start. */
export interface NodeData {
  readonly index: number
  readonly missions: number
  readonly genesisBytes: Uint8Array
  readonly folder: string
  readonly end: LineEnd
}

/** `submit` is for missions: so many entries, in one go. */
export type DelayedOrder =
  { readonly type: "meet" | "stop" } | { readonly type: "submit"; readonly count: number }

export type DelayedTold =
  { readonly type: "open" | "stopped" } | ({ readonly type: "final" } & DelayedFinal)

/** A final block, once a node has it on the disk. */
export interface DelayedFinal {
  /** At its proposer alone: when it began to build the block, as wallMs. */
  readonly builtMs?: number
  /** When the block was on the disk here. */
  readonly atMs: number
  /** How long each message that came since the last one was under way. */
  readonly tookMs: readonly number[]
  readonly serials: readonly { readonly rid: number; readonly seq: number }[]
}

/** A node in its thread. */
export class DelayedNode {
  readonly rid: number
  readonly #thread: Worker
  readonly #listeners = new Set<(final: DelayedFinal) => void>()

  constructor(rid: number, data: NodeData & { end: { port: MessagePort } }) {
    this.rid = rid
    this.#thread = new Worker(new URL("delayed-node.ts", import.meta.url), {
      workerData: data,
      transferList: [data.end.port],
      argv: [],
    })
    this.#thread.on("error", (error) => {
      throw error
    })
    this.#thread.on("message", (told: DelayedTold) => {
      if (told.type === "final") for (const listener of this.#listeners) listener(told)
    })
  }

  onFinal(listener: (final: DelayedFinal) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async told(type: DelayedTold["type"]): Promise<void> {
    return new Promise((resolve) => {
      const take = (told: DelayedTold): void => {
        if (told.type !== type) return
        this.#thread.off("message", take)
        resolve()
      }
      this.#thread.on("message", take)
    })
  }

  order(order: DelayedOrder): void {
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
    this.#thread.postMessage(order)
  }

  /** Stops the node, then its thread. */
  async stop(): Promise<void> {
    const stopped = this.told("stopped")
    this.order({ type: "stop" })
    await stopped
    await this.#thread.terminate()
  }
}

/** Ledgers on the machine's own clock and disks, each in a folder of its own. */
export class DelayedStage {
  readonly validators: readonly DelayedNode[]
  readonly missions: readonly DelayedNode[]
  readonly line: Line

  private constructor(nodes: readonly DelayedNode[], line: Line) {
    this.validators = nodes.slice(0, VALIDATORS)
    this.missions = nodes.slice(VALIDATORS)
    this.line = line
  }

  static async open(folder: string, missions: number): Promise<DelayedStage> {
    const { posts, genesisBytes } = delayedMinistry(missions)
    const line = new Line(posts.length, DELAY_MS)
    const nodes = posts.map(({ rid, code }, index) => {
      const end = line.ends[index] as LineEnd
      return new DelayedNode(rid, {
        index,
        missions,
        genesisBytes,
        folder: join(folder, code),
        end,
      })
    })
    await Promise.all(nodes.map(async (node) => node.told("open")))
    for (const node of nodes) node.order({ type: "meet" })
    return new DelayedStage(nodes, line)
  }

  async close(): Promise<void> {
    const nodes = [...this.validators, ...this.missions]
    await Promise.all(nodes.map(async (node) => node.stop()))
    await this.line.close()
  }
}

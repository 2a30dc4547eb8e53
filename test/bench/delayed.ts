/**
 * Four validators and missions whose messages are 75 ms under way: what the finality benches measure.
 *
 * On the machine's own clock and disks, all in one process; or in virtual time, with simulated disks of
 * 1 ms and computing that takes none.
 */

import { join } from "node:path"
import { systemClock } from "../../node/clock.ts"
import { DiskLedger, random } from "../support/disk-ledger.ts"
import { LedgerWorld } from "../support/ledgers.ts"
import { createMinistry } from "../support/ministry.ts"
import { createSimulatedNetwork } from "../support/network.ts"

export const VALIDATORS = 4
/** δ, one way. */
export const DELAY_MS = 75
/** Δ, the bound of the network's policy (LEDGER §8). */
export const BOUND_MS = 500

/** Posts in virtual time, the first four of them validators. */
export function createWorld(posts: number, seed: string, link: object): LedgerWorld {
  const policy = { consensusDeltaMs: BOUND_MS }
  return new LedgerWorld(posts, seed, { validators: VALIDATORS, policy, link })
}

/** Ledgers on the machine's own clock and disks, each in a folder of its own. */
export class DelayedStage {
  readonly validators: readonly DiskLedger[]
  readonly missions: readonly DiskLedger[]

  private constructor(nodes: readonly DiskLedger[]) {
    this.validators = nodes.slice(0, VALIDATORS)
    this.missions = nodes.slice(VALIDATORS)
  }

  static async open(folder: string, missions: number): Promise<DelayedStage> {
    const ministry = createMinistry(VALIDATORS + missions, "bench finality", {
      validators: VALIDATORS,
      policy: { consensusDeltaMs: BOUND_MS },
    })
    const link = { delayMs: DELAY_MS }
    const network = createSimulatedNetwork({ clock: systemClock, random, link })
    const members = ministry.posts.map(({ peer }) => ({ peer, addresses: [], keep: true }))
    const nodes: DiskLedger[] = []
    for (const post of ministry.posts) {
      const transport = network.transport(post.peer)
      const place = join(folder, post.code)
      const parts = { ministry, post, folder: place, transport, clock: systemClock }
      nodes.push(await DiskLedger.open(parts))
      transport.setMembers(members)
      await transport.start()
    }
    return new DelayedStage(nodes)
  }

  async close(): Promise<void> {
    for (const node of [...this.validators, ...this.missions]) await node.stop()
  }
}

/**
 * What the verification by tools of others looks at: a ledger of four validators and two posts that
 * became final by consensus, cosigned and witnessed as on any day, and the command that publishes it.
 *
 * Disks, links and time are simulated. The command is a process of its own; it talks to the local
 * API of the first validator, whose answers about the ledger come from the node's own publisher.
 */

import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { bytesToHex } from "@noble/hashes/utils.js"
import { signCheckpoint } from "../../ledger/cosignature.ts"
import { formatCheckpoint, type Checkpoint } from "../../ledger/checkpoint.ts"
import { formatNote } from "../../ledger/note.ts"
import { validatorKeys } from "../../ledger/policy.ts"
import { createValidatorSet } from "../../ledger/validators.ts"
import { startServer, type ApiServer } from "../../node/api/server.ts"
import type { PublishedHere } from "../../node/api/routes.ts"
import { systemClock } from "../../node/clock.ts"
import { namedValidators } from "../../node/consensus/cosigners.ts"
import { publicationChunks } from "../../node/store/publication.ts"
import type { Operation } from "../../node/store/database.ts"
import { entryCommitment, messageEntry } from "../../protocol/entry.ts"
import { runCommand } from "../support/command.ts"
import { LedgerWorld, type LedgerNode } from "../support/ledgers.ts"
import { ServiceInMemory } from "../support/service.ts"
import { suite } from "../support/suites.ts"

const HOUR_MS = 3_600_000
const POSTS = 6
const VALIDATORS = 4
/** Entries that a post hands in at once. */
const PER_POST = 1_000

/** A signature line: which validator, with which of its keys, at which second. */
export interface Line {
  readonly validator: number
  readonly use: "log" | "cosigner"
  readonly timeS?: number
}

export class PublishedLedger {
  readonly #world = new LedgerWorld(POSTS, "interop", { validators: VALIDATORS })
  readonly #home: string
  readonly #serials = new Map<LedgerNode, number>()
  #server: ApiServer | undefined

  private constructor(home: string) {
    this.#home = home
  }

  /** `home` becomes the home that the commands are given. */
  static async start(home: string): Promise<PublishedLedger> {
    const ledger = new PublishedLedger(home)
    await ledger.#world.start()
    await ledger.#world.clock.runFor(5_000)
    await ledger.#serve()
    return ledger
  }

  get size(): number {
    return this.#world.headquarters.ledger.head().frontier.size
  }

  /** Hands in entries of all posts until so many are final everywhere and cosigned. */
  async growTo(size: number): Promise<void> {
    const { nodes, clock } = this.#world
    while (this.size < size) {
      let left = size - this.size
      for (const node of nodes) {
        const count = Math.min(PER_POST, left)
        if (count > 0) await this.#submit(node, count)
        left -= count
      }
      await this.#world.untilQuiet()
    }
    await clock.runFor(10_000)
  }

  /** To the first minute of the next hour: the missions witness. */
  async untilWitnessed(): Promise<void> {
    const { clock } = this.#world
    await clock.runFor(HOUR_MS - (clock.now() % HOUR_MS) + 60_000)
  }

  /** `tarbarta ledger export`. */
  async exportTo(folder: string): Promise<void> {
    await this.#run(["ledger", "export", folder])
  }

  /** `tarbarta ledger proof` of the message that stands first. */
  async proveTo(file: string): Promise<void> {
    await this.#run(["ledger", "proof", bytesToHex(cableIdOf(1, 1)), "--out", file])
  }

  /** A checkpoint under the validators' own keys, as they would sign it if they all lied. */
  sign(head: Pick<Checkpoint, "size" | "root">, lines: readonly Line[]): string {
    const { ministry, headquarters } = this.#world
    const { directory } = headquarters.ledger
    const { origin, validators } = directory.genesis
    const checkpoint = { origin, ...head }
    const named = namedValidators(directory, createValidatorSet(suite, 0, validators))
    const signatures = lines.map(({ validator, use, timeS = 1 }) => {
      const [facts, keys] = [named[validator], ministry.validators[validator]]
      if (facts === undefined || keys === undefined) throw new Error(`no validator ${validator}`)
      const key = validatorKeys(origin, facts)[use]
      return signCheckpoint(suite, key, checkpoint, timeS, keys[use].sign)
    })
    return formatNote({ body: formatCheckpoint(checkpoint), signatures })
  }

  async stop(): Promise<void> {
    await this.#server?.stop()
    for (const node of this.#world.nodes) await node.stop()
  }

  async #submit(node: LedgerNode, count: number): Promise<void> {
    const { clock } = this.#world
    const { rid } = node.post
    const rows: Operation[] = []
    for (let index = 0; index < count; index++) {
      const seq = (this.#serials.get(node) ?? 0) + 1
      this.#serials.set(node, seq)
      const commitment = entryCommitment(suite, saltOf(rid, seq), cableIdOf(rid, seq))
      rows.push(node.ledger.entryOperation(messageEntry(rid, seq, clock.now(), commitment)))
    }
    await this.#world.during(node.database.write(rows))
    await this.#world.during(node.ledger.poke())
  }

  async #serve(): Promise<void> {
    const world = this.#world
    const { publisher } = world.headquarters.ledger
    class LedgerService extends ServiceInMemory {
      override async publication(have: PublishedHere | undefined) {
        return publicationChunks(await world.during(publisher.publication(have)))
      }

      override async proof() {
        const opening = { salt: saltOf(1, 1), cableId: cableIdOf(1, 1) }
        const proof = await world.during(publisher.proof(1, 1, opening))
        if (proof === undefined) throw new Error("the first entry is under a checkpoint")
        return proof
      }
    }
    await mkdir(join(this.#home, "run"), { recursive: true, mode: 0o700 })
    this.#server = await startServer({
      socketPath: join(this.#home, "run", "node.sock"),
      service: new LedgerService(world.clock),
      clock: systemClock,
      onBug: (error) => {
        throw error
      },
    })
  }

  async #run(words: readonly string[]): Promise<void> {
    const { exit, out, errors } = await runCommand(this.#home, words)
    if (exit !== 0) throw new Error(`tarbarta ${words.join(" ")}: ${exit}: ${errors}`)
    console.log(`tarbarta ${words.slice(0, 2).join(" ")}: ${out.trim().split("\n")[0]}`)
  }
}

function saltOf(rid: number, seq: number): Uint8Array {
  return suite.sha256(new TextEncoder().encode(`salt ${rid} ${seq}`))
}

function cableIdOf(rid: number, seq: number): Uint8Array {
  return suite.sha256(new TextEncoder().encode(`cable ${rid} ${seq}`))
}

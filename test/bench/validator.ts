/**
 * Validators as processes of their own, as the benches that load or kill them see them.
 *
 * All run from one folder: the genesis, who listens where, and a folder for each, which may hold a
 * ledger already.
 */

import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Member } from "../../node/network/transport.ts"
import { networkId } from "../../protocol/governance.ts"
import { createMinistry, type Ministry, type MinistryPost } from "../support/ministry.ts"

export const VALIDATORS = 4
export const GENESIS = "genesis"
/** Who belongs and listens where; a process that finds it takes up what it was. */
export const MEMBERS = "members.json"
const PROGRAM = fileURLToPath(new URL("./validator-process.ts", import.meta.url))

export type Told =
  | { readonly type: "listening"; readonly addresses: string[] }
  | ({ readonly type: "voting" } & Start)
  | {
      readonly type: "head"
      readonly height: number
      readonly entries: number
      readonly cpuMs: number
      readonly isVoting: boolean
    }

export interface Order {
  readonly type: "meet" | "tell" | "stop"
}

export type Head = Extract<Told, { type: "head" }>

/** Moments in the start of a process, Unix ms with their fractions. */
export interface Start {
  /** Keys are there; store and log begin to open. */
  readonly keysMs: number
  /** Store and log are open and checked, and the ledger runs. */
  readonly openMs: number
  readonly votingMs: number
}

/** The same for all processes of a machine, whenever they began. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now()
}

export function validatorsMinistry(genesisBytes?: Uint8Array): Ministry {
  const ministry = createMinistry(VALIDATORS + 1, "bench validators", { validators: VALIDATORS })
  return withGenesis(ministry, genesisBytes)
}

/**
 * The ministry with a genesis that was handed on, if one was: made again elsewhere, its keys are the
 * same and the signatures in its genesis are not.
 */
export function withGenesis(ministry: Ministry, genesisBytes?: Uint8Array): Ministry {
  if (genesisBytes === undefined) return ministry
  return { ...ministry, genesisBytes, net: networkId(ministry.suite, genesisBytes) }
}

/** The one post of {@link validatorsMinistry} that is no validator. */
export function missionOf({ posts }: Ministry): MinistryPost {
  const mission = posts[VALIDATORS]
  if (mission === undefined) throw new Error("there is a mission that submits")
  return mission
}

export class ValidatorProcess {
  readonly #process: ChildProcess
  /** When it was spawned, as {@link wallMs}. */
  readonly spawnedMs = wallMs()
  readonly listening: Promise<Extract<Told, { type: "listening" }>>
  /** Its first vote may go out. */
  readonly voting: Promise<Start>
  #isEnding = false

  constructor(folder: string, index: number, nodeOptions: readonly string[] = []) {
    const execArgv = ["--disable-warning=ExperimentalWarning", ...nodeOptions]
    this.#process = fork(PROGRAM, [folder, String(index)], { execArgv })
    this.listening = this.#next("listening")
    this.voting = this.#next("voting")
    this.#process.on("exit", () => {
      if (!this.#isEnding) throw new Error(`validator ${index} ended by itself`)
    })
  }

  async #next<Type extends Told["type"]>(type: Type): Promise<Extract<Told, { type: Type }>> {
    return new Promise((resolve) => {
      const take = (told: Told): void => {
        if (told.type !== type) return
        this.#process.off("message", take)
        resolve(told as Extract<Told, { type: Type }>)
      }
      this.#process.on("message", take)
    })
  }

  order(type: Order["type"]): void {
    this.#process.send({ type } satisfies Order)
  }

  async head(): Promise<Head> {
    const head = this.#next("head")
    this.order("tell")
    return head
  }

  /** The process ends at once, whatever it was about to write or say. */
  async kill(): Promise<void> {
    this.#isEnding = true
    const ended = once(this.#process, "exit")
    this.#process.kill("SIGKILL")
    await ended
  }

  async stop(): Promise<void> {
    this.#isEnding = true
    if (this.#process.exitCode !== null) return
    const ended = once(this.#process, "exit")
    this.order("stop")
    await ended
  }
}

/** Starts all four on what their folders hold, and tells each of the others. */
export async function startValidators(
  ministry: Ministry,
  folder: string,
  nodeOptions: readonly string[] = [],
): Promise<{ validators: ValidatorProcess[]; members: Member[] }> {
  await writeFile(join(folder, GENESIS), ministry.genesisBytes)
  const validators: ValidatorProcess[] = []
  const members: Member[] = [{ peer: missionOf(ministry).peer, addresses: [], keep: false }]
  for (let index = 0; index < VALIDATORS; index++) {
    const validator = new ValidatorProcess(folder, index, nodeOptions)
    validators.push(validator)
    const { addresses } = await validator.listening
    const { peer = "" } = ministry.posts[index] ?? {}
    members.push({ peer, addresses, keep: true, eager: true })
  }
  await writeFile(join(folder, MEMBERS), JSON.stringify(members))
  for (const validator of validators) validator.order("meet")
  return { validators, members }
}

/** As a mission sees them: it dials in its own time. */
export function seenByMission(members: readonly Member[]): Member[] {
  return members.map((member) => ({ ...member, eager: false }))
}

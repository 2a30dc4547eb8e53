/**
 * n simulated validators in one thread: everything that happens comes out of one schedule and one
 * seed. Who is an adversary, what fails and what is submitted is the campaign's choice.
 */

import type { Certificate } from "../../ledger/certificate.ts"
import type { Message } from "../../ledger/message.ts"
import type { ConsensusEffect, ConsensusEvent } from "../../ledger/state.ts"
import type { ValidatorSet } from "../../ledger/validators.ts"
import { Contents } from "./content.ts"
import type { Stored } from "./disk.ts"
import { Invariants } from "./invariants.ts"
import { setOf } from "./keys.ts"
import { Machine, type Clocks } from "./machine.ts"
import { Network, type LinkQuality } from "./network.ts"
import { Random } from "./random.ts"
import { Schedule } from "./schedule.ts"
import { describeEffect, describeEvent, weightOfEffect, weightOfEvent } from "./trace.ts"

/** Something at the end of a link: a validator, its twin, or an adversary with a validator's key. */
export interface Actor {
  readonly end: number
  readonly identity: number
  readonly isUp: boolean
  receive(from: number, finalView: number, message: Message): void
  /** Final blocks from a height on, as it gives them to others. */
  readonly disk?: { readonly store: readonly Stored[] }
}

export interface ClusterOptions {
  readonly seed: number
  readonly count: number
  readonly deltaMs: number
  readonly quality: LinkQuality
  /** Mean time of a sync, and of looking at a block. */
  readonly diskMs: number
  readonly thinkMs: number
  /** Probability that an append fails. */
  readonly diskFails: number
  readonly restartMs: number
  /** Who leads view 1. */
  readonly turn: number
  /** False when more than f are bad: then a fork is no error but must have culprits. */
  readonly isSafe: boolean
}

export const DEFAULTS: Omit<ClusterOptions, "seed" | "count"> = {
  deltaMs: 500,
  quality: { delayMs: 50, jitterMs: 20, loss: 0, doubling: 0 },
  diskMs: 2,
  thinkMs: 1,
  diskFails: 0,
  restartMs: 500,
  turn: 1,
  isSafe: true,
}

const CLOCKS: Clocks = { offsetMs: 0, rate: 1, wallMs: 0 }

export class Cluster {
  readonly options: ClusterOptions
  readonly schedule = new Schedule()
  readonly random: Random
  readonly network: Network
  readonly contents = new Contents()
  readonly set: ValidatorSet
  readonly invariants: Invariants
  readonly actors: Actor[] = []
  readonly machines: Machine[] = []
  /** Events handled by machines, and a hash over them and over what they led to. */
  events = 0
  digest = 0
  /** From then on no append fails. */
  areDisksGood = false
  /** True once two were in reach again and neither noticed. */
  hasMissedContact = false
  /** Submissions that will arrive: nobody waits for what is in them yet. */
  underWay = 0
  onTrace: ((line: string) => void) | undefined
  /** Twins' links, by message; undefined: as the network says. */
  mayPass: ((from: Actor, to: Actor, message: Message) => boolean) | undefined

  constructor(options: ClusterOptions) {
    this.options = options
    this.random = new Random(options.seed)
    this.network = new Network(this.schedule, this.random, options.quality)
    this.set = setOf(options.count, options.turn)
    this.invariants = new Invariants(this, options)
  }

  /** Adds a validator that runs the real consensus. */
  addMachine(identity: number, clocks: Partial<Clocks> = {}, isTwin = false): Machine {
    const machine = new Machine(
      this,
      this.actors.length,
      identity,
      { ...CLOCKS, ...clocks },
      isTwin,
    )
    this.actors.push(machine)
    this.machines.push(machine)
    return machine
  }

  /** Adds somebody who has a validator's key and obeys nobody. */
  addActor(make: (end: number) => Actor): void {
    this.actors.push(make(this.actors.length))
  }

  /** Views that a quorum went through to their end: without its certificate nobody enters the next. */
  get views(): number {
    return Math.max(...this.machines.map(({ state }) => state?.view ?? 1)) - 1
  }

  startAll(): void {
    for (const machine of this.machines) machine.start()
  }

  restartLater(machine: Machine): void {
    this.schedule.after(this.options.restartMs * this.random.between(0.5, 1.5), () => {
      machine.start()
    })
  }

  /** Changes who reaches whom; who does so again may notice. */
  regroup(change: () => void): void {
    const { machines, network } = this
    const parted = machines.flatMap((one, i) =>
      machines
        .slice(i + 1)
        .filter((other) => network.isCut(one.end, other.end))
        .map((other) => [one, other] as const),
    )
    change()
    for (const [one, other] of parted) {
      if (network.isCut(one.end, other.end)) continue
      // Of a short break neither may know; everything after it goes on as if there had been none.
      if (this.random.chance(0.5)) this.hasMissedContact = true
      else this.#meet(one, other)
    }
  }

  /** A validator that starts finds the others: it has no connection that might have lived on. */
  meetAll(machine: Machine): void {
    for (const other of this.machines) {
      if (other.identity !== machine.identity) this.#meet(machine, other)
    }
  }

  /** Both notice that they reach each other (LEDGER §8.3, Q5). */
  #meet(one: Machine, other: Machine): void {
    const { network, schedule } = this
    const isInReach = (): boolean => one.isUp && other.isUp && !network.isCut(one.end, other.end)
    if (!isInReach()) return
    for (const [here, there] of [
      [one, other],
      [other, one],
    ] as const) {
      schedule.after(network.wayMs(), () => {
        if (isInReach()) here.handle({ type: "contact", with: there.identity })
      })
    }
  }

  /** Lets time pass up to a moment, or until something is so. */
  run(untilMs: number, isDone: () => boolean = () => false): void {
    while (!isDone() && this.schedule.next(untilMs));
  }

  diskMs(): number {
    return this.options.diskMs * 2 * this.random.next()
  }

  thinkMs(): number {
    return this.options.thinkMs * 2 * this.random.next()
  }

  // --- links ----------------------------------------------------------------------------------

  /** Sends to one validator number, or to all others but one. */
  send(from: Actor, finalView: number, message: Message, to?: number, except?: number): void {
    for (const actor of this.actors) {
      if (actor === from || actor.identity === from.identity) continue
      if (to !== undefined && actor.identity !== to) continue
      if (actor.identity !== except) this.#carry(from, actor, finalView, message)
    }
  }

  #carry(from: Actor, to: Actor, finalView: number, message: Message): void {
    if (this.mayPass !== undefined && !this.mayPass(from, to, message)) return
    this.network.carry(from.end, to.end, () => {
      if (to.isUp) to.receive(from.identity, finalView, message)
    })
  }

  /** A node passes what waits to the others. */
  forward(from: Machine, transactions: readonly number[]): void {
    if (transactions.length === 0) return
    for (const machine of this.machines) {
      if (machine !== from) this.#bring(from.end, machine.end, machine, transactions)
    }
  }

  /** A mission submits to every validator over links of the same quality. */
  submit(transactions: readonly number[]): void {
    for (const one of transactions) this.invariants.submitted.add(one)
    for (const machine of this.machines) {
      const end = this.actors.length + 1
      this.#bring(end, end, machine, transactions)
    }
  }

  #bring(from: number, to: number, machine: Machine, transactions: readonly number[]): void {
    this.underWay += this.network.carry(from, to, () => {
      this.underWay -= 1
      machine.submit(transactions)
    })
  }

  anotherThan(machine: Machine): number {
    const step = 1 + this.random.int(this.options.count - 1)
    return (machine.identity + step) % this.options.count
  }

  /** Final blocks above a height, from a validator that can be reached. */
  copyFrom(machine: Machine, identity: number, height: number): readonly Stored[] {
    const source = this.actors.find((one) => one.identity === identity && one.isUp)
    const { random, network } = this
    if (source?.disk === undefined || network.isCut(machine.end, source.end)) return []
    const { loss } = network.quality
    if (random.chance(loss) || random.chance(loss)) return []
    return source.disk.store.slice(height)
  }

  /** Certificates that honest validators keep or know. */
  certificates(): Certificate[] {
    const found: Certificate[] = []
    for (const { disk, state, isTwin } of this.machines) {
      if (isTwin) continue
      found.push(...disk.kept)
      for (const { final } of disk.store) found.push(final.certificate)
      for (const { certificates } of state?.views.values() ?? []) {
        const { notarize, nullify, finalize } = certificates
        for (const one of [notarize, nullify, finalize]) if (one !== undefined) found.push(one)
      }
    }
    return found
  }

  // --- what happened --------------------------------------------------------------------------

  noteEvent(machine: Machine, event: ConsensusEvent): void {
    this.events += 1
    const moment = Math.round(this.schedule.nowMs * 1_000)
    this.#fold(moment + machine.end)
    this.#fold(weightOfEvent(event))
    if (this.onTrace !== undefined) this.tell(machine, `< ${describeEvent(event)}`)
  }

  noteEffect(machine: Machine, effect: ConsensusEffect): void {
    this.#fold(weightOfEffect(effect))
    if (this.onTrace !== undefined) this.tell(machine, `  > ${describeEffect(effect)}`)
  }

  tell(machine: Machine, what: string): void {
    if (this.onTrace === undefined) return
    const at = this.schedule.nowMs.toFixed(1).padStart(9)
    const name = `${machine.identity}${machine.isTwin ? `.${machine.end}` : ""}`
    this.onTrace(`${at} ${name} v${machine.state?.view ?? "-"} ${what}`)
  }

  tellAll(what: string): void {
    this.onTrace?.(`${this.schedule.nowMs.toFixed(1).padStart(9)} -- ${what}`)
  }

  #fold(value: number): void {
    const mixed = Math.imul(this.digest ^ (value | 0), 0x9e3779b1)
    this.digest = mixed ^ (mixed >>> 15)
  }
}

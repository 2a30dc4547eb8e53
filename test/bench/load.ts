/**
 * Four validators as processes and a mission that loads them: what the throughput bench measures.
 *
 * The load comes over libp2p as any mission's does, every batch signed when it is sent, to every
 * validator; validator.ts says who listens where, and nothing else passes beside it.
 */

import { systemClock } from "../../node/clock.ts"
import { createHost, type Host } from "../../node/network/host.ts"
import { encodeBatch, messageEntry, signBatch } from "../../protocol/entry.ts"
import { decodeNumber, encodeNumber, encodeSubmitRequest, PROTOCOLS } from "../../protocol/wire.ts"
import { random } from "../support/disk-ledger.ts"
import type { Ministry, MinistryPost } from "../support/ministry.ts"
import * as processes from "./validator.ts"
import { VALIDATORS, type Head, type ValidatorProcess } from "./validator.ts"

const POLL_MS = 50
/** Submissions under way to one validator. */
const IN_FLIGHT = 4
/** Entries ahead of what is final; the mempool takes 2 MiB of a submitter. */
const AHEAD_SINGLE = 3_000
const AHEAD = 16_384
/** Batches in one submission. */
const TOGETHER = 32
const READY_MS = 60_000
const RETRY_MS = 50

/** Four validators that vote, and the mission's host with contact to all of them. */
export class LoadStage {
  readonly #ministry: Ministry
  readonly #validators: readonly ValidatorProcess[]
  readonly #host: Host
  readonly #post: MinistryPost
  #nextSerial = 1

  private constructor(
    ministry: Ministry,
    validators: readonly ValidatorProcess[],
    host: Host,
    post: MinistryPost,
  ) {
    this.#ministry = ministry
    this.#validators = validators
    this.#host = host
    this.#post = post
  }

  static async open(folder: string, nodeOptions: readonly string[] = []): Promise<LoadStage> {
    const ministry = processes.validatorsMinistry()
    const submitter = processes.missionOf(ministry)
    const started = await processes.startValidators(ministry, folder, nodeOptions)
    const { validators, members } = started
    const quiet = (): void => undefined
    const host = createHost({
      transportSeed: submitter.transport.seed,
      listen: [],
      encryption: "noise",
      clock: systemClock,
      log: { info: quiet, warn: quiet, error: quiet },
    })
    // Announcements of height are answered; this mission reads no blocks.
    host.handle(PROTOCOLS.height, async () => Promise.resolve(encodeNumber(0)))
    await host.start()
    const stage = new LoadStage(ministry, validators, host, submitter)
    host.setMembers(processes.seenByMission(members))
    await stage.#untilReady()
    return stage
  }

  async #untilReady(): Promise<void> {
    const untilMs = performance.now() + READY_MS
    for (;;) {
      const heads = await this.heads()
      const isReady = heads.every(({ isVoting }) => isVoting)
      if (isReady && this.#host.connected().length === VALIDATORS) return
      if (performance.now() > untilMs) throw new Error("the validators do not vote")
      await pause(POLL_MS)
    }
  }

  async heads(): Promise<Head[]> {
    return Promise.all(this.#validators.map(async (validator) => validator.head()))
  }

  /**
   * Loads all four for `seconds` with as much as they take, in batches of `perBatch` entries, and
   * waits until all of it is final everywhere.
   */
  async load(perBatch: number, seconds: number): Promise<LoadResult> {
    const before = await this.heads()
    const ownBefore = process.cpuUsage()
    const startedMs = performance.now()
    const supply = new Supply(this.#ministry, this.#post, perBatch, this.#nextSerial)
    const feeds = this.#validators.map(async (_, index) => this.#feed(index, supply))
    let least = 0
    let after = before
    for (let tookMs = 0; tookMs < seconds * 1_000; tookMs = performance.now() - startedMs) {
      await pause(POLL_MS)
      after = await this.heads()
      least = Math.min(...after.map(({ entries }, at) => entries - (before[at]?.entries ?? 0)))
      supply.allow(this.#nextSerial + least)
    }
    const tookS = (performance.now() - startedMs) / 1_000
    const { user, system } = process.cpuUsage(ownBefore)
    supply.end()
    await Promise.all(feeds)
    const cpuMs = after.reduce((sum, { cpuMs: ms }, at) => sum + ms - (before[at]?.cpuMs ?? 0), 0)
    const blocks = Math.min(...after.map(({ height }, at) => height - (before[at]?.height ?? 0)))
    this.#nextSerial = supply.nextSerial
    await this.#untilFinal(this.#nextSerial - 1)
    return {
      perSecond: least / tookS,
      cpuUs: (cpuMs * 1_000) / least,
      submitterCpuUs: (user + system) / least,
      perBlock: least / blocks,
    }
  }

  async #untilFinal(entries: number): Promise<void> {
    const untilMs = performance.now() + READY_MS
    while ((await this.heads()).some((head) => head.entries < entries)) {
      if (performance.now() > untilMs) throw new Error("not all became final")
      await pause(POLL_MS)
    }
  }

  /** One validator's share of the load: several submissions under way, in the order of serials. */
  async #feed(index: number, supply: Supply): Promise<void> {
    const peer = this.#ministry.posts[index]?.peer ?? ""
    const underWay = new Set<Promise<void>>()
    const feeder = supply.feeder()
    for (;;) {
      const batches = await feeder()
      if (batches.length === 0) break
      const request = this.#send(peer, batches).finally(() => underWay.delete(request))
      underWay.add(request)
      if (underWay.size >= IN_FLIGHT) await Promise.race(underWay)
    }
    await Promise.all(underWay)
  }

  async #send(peer: string, batches: readonly Supplied[]): Promise<void> {
    for (let left = batches; left.length > 0;) {
      const request = encodeSubmitRequest(left.map(({ bytes }) => bytes))
      const answer = await this.#host.request(peer, PROTOCOLS.submit, request)
      const next = decodeNumber(answer, "submit answer")
      left = left.filter(({ endSerial }) => endSerial > next)
      if (left.length > 0) await pause(RETRY_MS)
    }
  }

  async close(): Promise<void> {
    await this.#host.stop()
    for (const validator of this.#validators) await validator.stop()
  }
}

export interface LoadResult {
  /** Final and stored at all four. */
  readonly perSecond: number
  /** Processor time of the four validators for one entry. */
  readonly cpuUs: number
  /** The same of the mission that submits, which is this process. */
  readonly submitterCpuUs: number
  /** Entries in a block. */
  readonly perBlock: number
}

interface Supplied {
  readonly bytes: Uint8Array
  /** First serial after it. */
  readonly endSerial: number
}

/** Signed batches, each signed once, as far ahead of what is final as the mempool allows. */
class Supply {
  readonly #ministry: Ministry
  readonly #post: MinistryPost
  readonly #perBatch: number
  readonly #batches: Supplied[] = []
  readonly #wakers: (() => void)[] = []
  nextSerial: number
  #untilSerial: number
  #isOver = false

  constructor(ministry: Ministry, post: MinistryPost, perBatch: number, nextSerial: number) {
    this.#ministry = ministry
    this.#post = post
    this.#perBatch = perBatch
    this.nextSerial = nextSerial
    this.#untilSerial = nextSerial + this.#ahead
  }

  get #ahead(): number {
    return this.#perBatch === 1 ? AHEAD_SINGLE : AHEAD
  }

  /** Everything below this serial is final. */
  allow(finalSerial: number): void {
    this.#untilSerial = finalSerial + this.#ahead
    for (const wake of this.#wakers.splice(0)) wake()
  }

  end(): void {
    this.#isOver = true
    for (const wake of this.#wakers.splice(0)) wake()
  }

  /** Gives one validator every batch in turn, as many as may go together; none at the end. */
  feeder(): () => Promise<Supplied[]> {
    let index = 0
    return async () => {
      for (;;) {
        if (this.#isOver && index === this.#batches.length) return []
        // What is signed at the end goes to all, or to none.
        const mayGoOn = (): boolean => !this.#isOver && this.nextSerial < this.#untilSerial
        while (index + TOGETHER > this.#batches.length && mayGoOn()) this.#sign()
        const batches = this.#batches.slice(index, index + TOGETHER)
        index += batches.length
        if (batches.length > 0) return batches
        await new Promise<void>((resolve) => this.#wakers.push(resolve))
      }
    }
  }

  #sign(): void {
    const { suite, net } = this.#ministry
    const { rid, submit } = this.#post
    const now = Date.now()
    const entries = Array.from({ length: this.#perBatch }, (_, index) => {
      return messageEntry(rid, this.nextSerial + index, now, random(32))
    })
    this.nextSerial += this.#perBatch
    const bytes = encodeBatch(signBatch(suite, net, entries, submit.sign))
    this.#batches.push({ bytes, endSerial: this.nextSerial })
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

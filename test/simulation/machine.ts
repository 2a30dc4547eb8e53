/**
 * One simulated validator: the real consensus with what a node has around it, that is a disk, a
 * clock, what waits, and copying final blocks from others. It performs effects in their order,
 * holds back what must be on the disk first, and can lose power at any moment.
 */

import { verifyCertificate, type Certificate } from "../../ledger/certificate.ts"
import { blockHash, type FinalBlock } from "../../ledger/block.ts"
import { step } from "../../ledger/consensus.ts"
import type { Message } from "../../ledger/message.ts"
import { restoreConsensus } from "../../ledger/restore.ts"
import type {
  ConsensusConfig,
  ConsensusEffect,
  ConsensusEvent,
  ConsensusState,
} from "../../ledger/state.ts"
import { chooseWork, isIncluded, placeAt, type Content } from "./content.ts"
import type { Actor, Cluster } from "./cluster.ts"
import { Cosigner } from "./cosigner.ts"
import { Disk, type Stored } from "./disk.ts"
import { Red } from "./invariants.ts"
import { CHAIN_ID, cheapSuite, keyOf, signerOf } from "./keys.ts"

/** How a machine's clocks differ from simulated time. */
export interface Clocks {
  /** Local monotonic ms = offset + rate × simulated ms. */
  offsetMs: number
  readonly rate: number
  /** Of the clock that dates blocks. */
  readonly wallMs: number
}

type Send = Extract<ConsensusEffect, { type: "send" }>

export class Machine implements Actor {
  readonly end: number
  readonly identity: number
  disk = new Disk()
  readonly clocks: Clocks
  readonly isTwin: boolean
  state: ConsensusState | undefined
  /** Counts starts; what was planned in an earlier life is void. */
  life = 0
  stopped: string | undefined
  readonly waiting = new Set<number>()
  /** Since when it waits for the next final block with transactions, or for its own start. */
  waitsSinceMs = 0
  /** Height and transactions of what is final here. */
  delivered: { height: number; readonly transactions: Set<number> }
  readonly #cluster: Cluster
  readonly #config: ConsensusConfig
  /** A key in two machines cosigns nothing: neither half knows what the other signed. */
  readonly #cosigner: Cosigner | undefined
  readonly #judged = new Set<number>()
  #held: Send[] = []
  /** Number of the last record, and of the last one that is synced. */
  #added = 0
  #synced = 0
  #storeAtMs = 0
  #timerMs: number | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY
  #isChasing = false
  #work: { readonly key: number; readonly answer: boolean } | undefined

  constructor(cluster: Cluster, end: number, identity: number, clocks: Clocks, isTwin = false) {
    this.#cluster = cluster
    this.end = end
    this.identity = identity
    this.clocks = clocks
    this.isTwin = isTwin
    this.#cosigner = isTwin ? undefined : new Cosigner(cluster, this)
    this.delivered = { height: 0, transactions: new Set() }
    this.#config = {
      suite: cheapSuite,
      chainId: CHAIN_ID,
      validators: cluster.set,
      self: identity,
      sign: signerOf(identity),
      deltaMs: cluster.options.deltaMs,
      hasWork: (parent) => this.#hasWork(parent),
    }
  }

  get isUp(): boolean {
    return this.state !== undefined
  }

  /** Monotonic, in ms. */
  localMs(): number {
    return this.clocks.offsetMs + this.clocks.rate * this.#cluster.schedule.nowMs
  }

  // --- power ----------------------------------------------------------------------------------

  start(): void {
    if (this.isUp || this.stopped !== undefined) return
    const { disk } = this
    const records = disk.log.open()
    if (records === undefined) {
      this.#refuse()
      return
    }
    if (this.#hasDiskFailed()) return
    disk.log.sync()
    const top = disk.store.at(-1)
    const place = placeAt(top?.content ?? this.#cluster.contents.start)
    this.life += 1
    this.waitsSinceMs = this.#cluster.schedule.nowMs
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    this.#timerMs = undefined
    this.#added = 0
    this.#synced = 0
    this.#held = []
    this.#isChasing = false
    this.#forgetWork()
    this.delivered = {
      height: place.height,
      transactions: new Set(disk.store.flatMap(({ content }) => content.transactions)),
    }
    const certificate = top?.final.certificate
    const nowMs = this.localMs()
    this.#cluster.tell(this, "starts")
    const restored = restoreConsensus(this.#config, place, certificate, records, nowMs)
    this.state = restored.state
    this.#perform(restored.effects)
    this.#cosigner?.start()
    this.#cluster.invariants.afterStep(this)
    this.#cluster.meetAll(this)
  }

  crash(): void {
    // It may be about to start: then the mark of its log's opening is torn.
    this.disk.log.cut(this.#cluster.random)
    if (!this.isUp) return
    this.#cosigner?.cut()
    this.#cluster.tell(this, "crashes")
    this.state = undefined
    this.life += 1
    this.waitsSinceMs = this.#cluster.schedule.nowMs
    this.waiting.clear()
    this.#judged.clear()
  }

  /** LEDGER §9.2: with a damaged log a validator never signs again; its node follows the others. */
  #refuse(): void {
    this.stopped = "WAL_DAMAGED"
    this.#cluster.tell(this, "follows: its log is damaged")
    const follow = (): void => {
      const cluster = this.#cluster
      const copied = cluster.copyFrom(this, cluster.anotherThan(this), this.disk.store.length)
      for (const { final } of copied) cluster.invariants.onDeliver(this, final, true)
      this.disk.put(copied, [])
      this.#later(2 * cluster.options.deltaMs, follow)
    }
    follow()
  }

  /** The machine slept: its clock is further than it was. */
  jump(byMs: number): void {
    this.clocks.offsetMs += byMs
    if (this.#timerMs !== undefined) this.#wake(this.#timerMs)
  }

  // --- what comes in --------------------------------------------------------------------------

  submit(transactions: readonly number[]): void {
    if (!this.isUp) return
    const before = this.waiting.size
    for (const one of transactions) {
      if (!this.delivered.transactions.has(one)) this.waiting.add(one)
    }
    if (this.waiting.size === before) return
    if (before === 0) this.waitsSinceMs = this.#cluster.schedule.nowMs
    this.#forgetWork()
    this.handle({ type: "submitted" })
  }

  receive(from: number, finalView: number, message: Message): void {
    if (this.isTwin && this.#isForeign(message)) {
      if (message.type === "certificate" && message.certificate.kind === "finalize") this.#chase()
      return
    }
    this.handle({ type: "message", from, finalView, message })
  }

  /** A twin never sees what its other half signed: R11 would end it. */
  #isForeign(message: Message): boolean {
    if (message.type !== "certificate") return false
    const { certificate } = message
    if (!certificate.signers.includes(this.identity)) return false
    const own = this.state?.views.get(certificate.view)?.own[certificate.kind]
    return own === undefined || keyOf(own.blockHash) !== keyOf(certificate.blockHash)
  }

  handle(event: ConsensusEvent): void {
    const { state } = this
    if (state === undefined) return
    const cluster = this.#cluster
    cluster.noteEvent(this, event)
    const { entry } = state
    const effects = step(state, event, this.localMs())
    if (state.entry !== entry) cluster.invariants.onEnter(this, state.entry, effects)
    this.#perform(effects)
    cluster.invariants.afterStep(this)
  }

  // --- effects --------------------------------------------------------------------------------

  #perform(effects: readonly ConsensusEffect[]): void {
    const cluster = this.#cluster
    const { life } = this
    for (const effect of effects) {
      if (this.life !== life) return
      cluster.noteEffect(this, effect)
      switch (effect.type) {
        case "persist":
          this.disk.log.add(effect.record)
          this.#added = effect.seq
          break
        case "send":
          if (effect.after <= this.#synced) this.#send(effect)
          else this.#held.push(effect)
          break
        case "buildBlock":
          this.#later(cluster.thinkMs(), () => this.#build(effect))
          break
        case "checkBlock":
          this.#later(cluster.thinkMs(), () => this.#check(effect))
          break
        case "deliver":
          this.#deliver(effect.blocks, effect.kept)
          break
        case "keep":
          this.#put([], effect.certificates, () => undefined)
          break
        case "behind":
          this.#chase(effect.from)
          break
        case "resubmit":
          cluster.forward(this, [...this.waiting])
          break
        case "timer":
          this.#timerMs = effect.atMs
          if (effect.atMs !== undefined) this.#wake(effect.atMs)
          break
        case "evidence":
          cluster.invariants.onEvidence(this, effect.evidence)
          break
        case "reject":
          cluster.invariants.onReject(this, effect)
          break
        case "stop":
          this.stopped = effect.code
          cluster.invariants.onStop(this, effect.code, effect.why)
      }
    }
    if (this.life === life) this.#write()
  }

  /** Does something in this life alone. */
  #later(delayMs: number, run: () => void): void {
    const { life } = this
    this.#cluster.schedule.after(delayMs, () => {
      if (this.life === life) run()
    })
  }

  /** Records of one turn share an append, and so do those of all turns while one is under way. */
  #write(): void {
    if (!this.disk.log.begin()) return
    const seq = this.#added
    this.#later(this.#cluster.diskMs(), () => this.#sync(seq))
  }

  /** A node whose disk fails ends at once. */
  #hasDiskFailed(): boolean {
    const cluster = this.#cluster
    if (cluster.areDisksGood || !cluster.random.chance(cluster.options.diskFails)) return false
    this.crash()
    cluster.restartLater(this)
    return true
  }

  #sync(seq: number): void {
    if (this.#hasDiskFailed()) return
    this.disk.log.sync()
    this.#synced = seq
    if (this.#held.length > 0) {
      const held = this.#held
      this.#held = held.filter(({ after }) => after > seq)
      for (const effect of held) if (effect.after <= seq) this.#send(effect)
    }
    this.handle({ type: "persisted", seq })
  }

  #send({ message, to, except }: Send): void {
    const { state } = this
    if (state === undefined) return
    this.#cluster.invariants.onSend(this, message)
    this.#cluster.send(this, state.final.view, message, to, except)
  }

  #wake(atMs: number): void {
    const { schedule } = this.#cluster
    // A moment later: a rate's rounding must not make a timer fire early, for consensus would set
    // it again, and simulated time stand still.
    const dueMs = (atMs - this.clocks.offsetMs) / this.clocks.rate + 0.001
    const wakeAtMs = Math.max(schedule.nowMs, dueMs)
    if (wakeAtMs >= this.#wakeAtMs) return
    this.#wakeAtMs = wakeAtMs
    const { life } = this
    schedule.at(wakeAtMs, () => {
      if (this.life !== life || this.#wakeAtMs !== wakeAtMs) return
      this.#wakeAtMs = Number.POSITIVE_INFINITY
      const atMs = this.#timerMs
      if (atMs === undefined) return
      if (this.localMs() < atMs) this.#wake(atMs)
      else this.handle({ type: "tick" })
    })
  }

  // --- content --------------------------------------------------------------------------------

  #forgetWork(): void {
    this.#work = undefined
  }

  /** Its content is ours to look at: we judged it, built it, or it is final. */
  #knows(content: Content): boolean {
    return content.height <= this.delivered.height || this.#judged.has(content.key)
  }

  #hasWork(parent: Uint8Array): boolean {
    if (this.waiting.size === 0) return false
    const key = keyOf(parent)
    if (this.#work?.key === key) return this.#work.answer
    const content = this.#cluster.contents.of(parent)
    let answer = true
    if (content !== undefined && this.#knows(content)) {
      answer = false
      for (const one of this.waiting) {
        if (isIncluded(one, content, this.delivered.height)) continue
        answer = true
        break
      }
    }
    this.#work = { key, answer }
    return answer
  }

  #build(effect: Extract<ConsensusEffect, { type: "buildBlock" }>): void {
    const { contents, schedule } = this.#cluster
    const { view } = effect
    const parent = contents.of(effect.parent.hash)
    if (parent === undefined) throw new Error("a block was asked for on an unknown parent")
    const chosen = effect.isClosing ? [] : chooseWork(this.waiting, parent, this.delivered.height)
    if (chosen.length === 0 && !effect.isClosing) {
      this.handle({ type: "blockBuilt", view, block: undefined })
      return
    }
    const timeMs = schedule.nowMs + this.clocks.wallMs
    // Twins have one clock each, so that what they propose differs.
    const block = contents.make(view, parent, chosen, this.isTwin ? timeMs + this.end : timeMs)
    this.#judged.add(keyOf(blockHash(cheapSuite, block.header)))
    this.#forgetWork()
    this.handle({ type: "blockBuilt", view, block })
  }

  #check({ block, hash }: Extract<ConsensusEffect, { type: "checkBlock" }>): void {
    const { contents, schedule } = this.#cluster
    const wallMs = schedule.nowMs + this.clocks.wallMs
    const verdict = contents.judge(block, hash, wallMs, this.delivered)
    if (verdict !== "invalid") {
      this.#judged.add(keyOf(hash))
      this.#forgetWork()
    }
    this.handle({ type: "blockChecked", hash, verdict })
  }

  // --- final blocks ---------------------------------------------------------------------------

  #deliver(blocks: readonly FinalBlock[], kept: readonly Certificate[]): void {
    for (const [i, { block }] of blocks.entries()) {
      if (block.header.height === this.delivered.height + 1 + i) continue
      throw new Red(`height ${block.header.height} is delivered on ${this.delivered.height}`)
    }
    const stored = blocks.map((final) => this.#cluster.invariants.onDeliver(this, final))
    this.#enjoy(stored)
    this.#put(stored, kept, () => undefined)
  }

  #enjoy(stored: readonly Stored[]): void {
    for (const { content } of stored) {
      if (content.height <= this.delivered.height) continue
      this.delivered.height = content.height
      if (content.transactions.length > 0) this.waitsSinceMs = this.#cluster.schedule.nowMs
      for (const one of content.transactions) {
        this.delivered.transactions.add(one)
        this.waiting.delete(one)
      }
    }
    this.#forgetWork()
  }

  #put(stored: readonly Stored[], kept: readonly Certificate[], then: () => void): void {
    const { schedule } = this.#cluster
    this.#storeAtMs = Math.max(this.#storeAtMs, schedule.nowMs + this.#cluster.diskMs())
    this.#later(this.#storeAtMs - schedule.nowMs, () => {
      this.disk.put(stored, kept)
      this.#cosigner?.poke()
      then()
    })
  }

  /** Copies final blocks of others until nothing that is final is missing. */
  #chase(from?: number): void {
    if (this.#isChasing) return
    this.#isChasing = true
    this.#ask(from ?? this.#cluster.anotherThan(this))
  }

  #ask(from: number): void {
    const cluster = this.#cluster
    this.#later(2 * cluster.network.wayMs(), () => {
      const copied = cluster.copyFrom(this, from, this.disk.store.length)
      if (copied.length > 0) {
        this.#put(copied, [], () => {
          this.#adopt(copied)
          this.#continueChase()
        })
        return
      }
      this.#later(2 * cluster.options.deltaMs, () => this.#continueChase())
    })
  }

  #continueChase(): void {
    const { state } = this
    this.#isChasing = false
    if (state === undefined || state.final.view <= state.delivered.view) return
    this.#chase()
  }

  #adopt(copied: readonly Stored[]): void {
    const last = copied.at(-1)
    if (last === undefined) return
    const { certificate } = last.final
    verifyCertificate(cheapSuite, CHAIN_ID, certificate, this.#cluster.set)
    for (const { final } of copied) this.#cluster.invariants.onDeliver(this, final, true)
    this.#enjoy(copied)
    this.handle({ type: "adopted", place: placeAt(last.content), certificates: [certificate] })
  }
}

/**
 * Validators that lie, a class each, named by the sin. Each has a key of its own and sends what it
 * likes; most know what goes on from what honest ones send them.
 */

import { VOTE_VIEWS_AHEAD } from "../../protocol/limits.ts"
import { blockHash, type Block, type Header } from "../../ledger/block.ts"
import type { Certificate } from "../../ledger/certificate.ts"
import type { Message } from "../../ledger/message.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { signVote, type Vote, type VoteKind } from "../../ledger/vote.ts"
import type { Actor, Cluster } from "./cluster.ts"
import type { Content } from "./content.ts"
import { CHAIN_ID, cheapHash, cheapSuite, signerOf } from "./keys.ts"

const NO_BLOCK = new Uint8Array(32)
/** Proposals of a flooder for one view. */
export const FLOOD = 10_000

/** What all liars have: a key, links, and an ear for the view that the others are in. */
abstract class Liar implements Actor {
  readonly end: number
  readonly identity: number
  readonly isUp = true
  protected readonly cluster: Cluster
  protected view = 0
  /** Highest block that it has seen certified. */
  protected tip: Content
  protected finalView = 0

  constructor(cluster: Cluster, end: number, identity: number) {
    this.cluster = cluster
    this.end = end
    this.identity = identity
    this.tip = cluster.contents.start
    cluster.schedule.after(1, () => this.advance(1))
  }

  receive(from: number, finalView: number, message: Message): void {
    // Liars do not believe each other: what they forge would drive them through views alone.
    if (message.type === "certificate" && !this.cluster.invariants.liars.has(from)) {
      const { view, kind, blockHash: hash } = message.certificate
      const content = this.cluster.contents.of(hash)
      if (kind !== "nullify" && content !== undefined && content.view > this.tip.view) {
        this.tip = content
      }
      if (kind === "finalize") this.finalView = Math.max(this.finalView, view)
      if (view >= this.view) this.advance(view + 1)
    }
    this.hear(from, finalView, message)
  }

  private advance(view: number): void {
    if (view <= this.view) return
    this.view = view
    this.enter(view)
  }

  protected get leads(): boolean {
    return leaderOf(this.cluster.set, this.view) === this.identity
  }

  /** A new view began. */
  protected abstract enter(view: number): void

  protected hear(_from: number, _finalView: number, _message: Message): void {
    // Most liars say their piece when a view begins.
  }

  protected vote(kind: VoteKind, view: number, hash: Uint8Array, epoch = 0): Vote {
    const body = { kind, epoch, view, blockHash: kind === "nullify" ? NO_BLOCK : hash }
    return signVote(CHAIN_ID, body, this.identity, signerOf(this.identity))
  }

  protected sendVote(kind: VoteKind, view: number, hash: Uint8Array, to?: number): void {
    this.send({ type: "vote", vote: this.vote(kind, view, hash) }, to)
  }

  protected send(message: Message, to?: number, finalView = this.finalView): void {
    this.cluster.send(this, finalView, message, to)
  }

  protected block(
    view: number,
    salt: number,
    changes: Partial<Header> = {},
    isInvalid = false,
  ): Block {
    const timeMs = 1e9 + this.cluster.schedule.nowMs + salt
    return this.cluster.contents.make(view, this.tip, [], timeMs, { ...changes, isInvalid })
  }

  protected propose(block: Block, to?: number, epoch = 0): Uint8Array {
    const hash = blockHash(cheapSuite, block.header)
    this.send(
      { type: "proposal", block, vote: this.vote("notarize", block.header.view, hash, epoch) },
      to,
    )
    return hash
  }

  protected others(): number[] {
    const { count } = this.cluster.options
    return Array.from({ length: count }, (_, i) => i).filter((i) => i !== this.identity)
  }
}

/** Two proposals in one view, one for each half; and N votes for whatever others propose. */
class Equivocator extends Liar {
  protected enter(view: number): void {
    if (!this.leads) return
    const blocks = [this.block(view, 1), this.block(view, 2)]
    for (const [i, to] of this.others().entries()) {
      const block = blocks[i % 2]
      if (block !== undefined) this.propose(block, to)
    }
    for (const { header } of blocks) {
      this.sendVote("notarize", view, blockHash(cheapSuite, header))
    }
  }

  protected override hear(_from: number, _finalView: number, message: Message): void {
    if (message.type !== "proposal") return
    const { vote } = message
    this.sendVote("notarize", vote.view, vote.blockHash)
    this.sendVote("notarize", vote.view, cheapHash(vote.blockHash))
  }
}

/** Finalize votes for different blocks of one view. */
class Conflicter extends Liar {
  protected enter(): void {
    // It speaks when there is something to contradict.
  }

  protected override hear(_from: number, _finalView: number, message: Message): void {
    if (message.type !== "certificate" || message.certificate.kind !== "notarize") return
    const { view, blockHash: hash } = message.certificate
    this.sendVote("finalize", view, cheapHash(hash))
    this.sendVote("finalize", view, hash)
  }
}

/** Says of every view both that it is void and that its block is final. */
class Nuller extends Liar {
  protected enter(view: number): void {
    this.sendVote("nullify", view, NO_BLOCK)
  }

  protected override hear(_from: number, _finalView: number, message: Message): void {
    if (message.type !== "proposal") return
    const { vote } = message
    this.sendVote("notarize", vote.view, vote.blockHash)
    this.sendVote("finalize", vote.view, vote.blockHash)
    this.sendVote("nullify", vote.view, NO_BLOCK)
  }
}

/** Gives every view up at once. */
class NullifyOnly extends Liar {
  protected enter(view: number): void {
    this.sendVote("nullify", view, NO_BLOCK)
  }
}

/** Speaks of views that are long over. */
class Outdated extends Liar {
  protected enter(view: number): void {
    for (const at of [view - 3, view - 10, view - 30]) {
      if (at < 1) continue
      for (const kind of ["notarize", "nullify", "finalize"] as const) {
        this.sendVote(kind, at, cheapHash(Uint8Array.of(at)))
      }
      this.propose(this.block(at, at))
    }
  }
}

/** Votes in the names of others. */
class Impersonator extends Liar {
  protected enter(view: number): void {
    for (const signer of this.others()) {
      const own = this.vote("nullify", view, NO_BLOCK)
      this.send({ type: "vote", vote: { ...own, signer } })
    }
  }

  protected override hear(from: number, _finalView: number, message: Message): void {
    // Somebody else's genuine vote, brought by the wrong hand.
    if (message.type === "vote" && message.vote.signer === from) this.send(message)
  }
}

/** Proposes blocks that no honest validator accepts. */
class InvalidProposer extends Liar {
  protected enter(view: number): void {
    if (!this.leads) return
    // Of a tree that its transactions do not make, or wrong in a way that only the content shows.
    if (this.cluster.random.chance(0.5)) this.propose(this.block(view, 0, { treeRoot: NO_BLOCK }))
    else this.propose(this.block(view, 0, {}, true))
  }
}

/** Builds below the highest notarized block, as if that one were void. */
class Skipper extends Liar {
  protected enter(view: number): void {
    if (!this.leads) return
    const below = this.tip.parent ?? this.tip
    const timeMs = 1e9 + this.cluster.schedule.nowMs
    this.propose(this.cluster.contents.make(view, below, [], timeMs))
  }
}

/** Tries to end the epoch, and speaks for another one. */
class Reconfigurer extends Liar {
  protected enter(view: number): void {
    const nextEpochHash = cheapHash(Uint8Array.of(view & 0xff))
    if (this.leads) this.propose(this.block(view, 0, { seal: true, nextEpochHash }))
    this.send({ type: "vote", vote: this.vote("nullify", view, NO_BLOCK, 1) })
    const foreign = this.block(view, 1, { epoch: 1 })
    this.propose(foreign, undefined, 1)
  }
}

/**
 * Certificates of too few, of another epoch, and of others' forged votes. One that names a signer
 * twice cannot be said: on the wire signers are a bitmap.
 */
class Forger extends Liar {
  protected enter(view: number): void {
    const { quorum } = this.cluster.set
    const body = { epoch: 0, view, blockHash: cheapHash(Uint8Array.of(view & 0xff)) }
    const numbers = Array.from({ length: quorum }, (_, i) => i)
    for (const kind of ["notarize", "finalize", "nullify"] as const) {
      const { signature } = this.vote(kind, view, body.blockHash)
      const blockHash = kind === "nullify" ? NO_BLOCK : body.blockHash
      const head = { ...body, kind, blockHash }
      const signatures = numbers.map(() => signature)
      const forged: Certificate[] = [
        { ...head, signers: numbers, signatures },
        { ...head, signers: [this.identity], signatures: [signature] },
        { ...head, signers: [this.identity], signatures: [signature], epoch: 1 },
      ]
      for (const certificate of forged) this.send({ type: "certificate", certificate })
    }
  }
}

/** Claims absurd heights, and answers with the wrong blocks. */
class CatchUpLiar extends Liar {
  readonly disk = { store: [] }

  protected enter(): void {
    this.send({ type: "heartbeat" }, undefined, Number.MAX_SAFE_INTEGER)
  }

  protected override hear(from: number, _finalView: number, message: Message): void {
    const absurd = this.cluster.random.chance(0.5) ? Number.MAX_SAFE_INTEGER : 0
    if (message.type === "fetchBlock" || message.type === "vote") {
      this.send({ type: "block", block: this.block(this.view + 1, 3) }, from, absurd)
    }
    if (message.type === "fetch") this.sendVote("nullify", message.fromView, NO_BLOCK, from)
    if (message.type === "certificate" && absurd > 0) {
      this.send({ type: "fetch", fromView: 1, toView: 32 }, from, absurd)
      this.send({ type: "fetchBlock", hash: message.certificate.blockHash }, from, 0)
    }
  }
}

/**
 * Ten thousand different proposals to one validator, all for the first view that it leads, before
 * the one that everybody gets; and votes for views far ahead.
 */
export class Flooder extends Liar {
  /** Proposals that it sent for one view; 0 before it led one. */
  flooded = 0

  protected enter(view: number): void {
    for (let at = view; at <= view + VOTE_VIEWS_AHEAD + 20; at += 3) {
      this.sendVote("nullify", at, NO_BLOCK)
      this.sendVote("finalize", at, cheapHash(Uint8Array.of(at & 0xff)))
    }
    if (!this.leads) return
    if (this.flooded === 0) {
      const [to] = this.others()
      for (; this.flooded < FLOOD; this.flooded++) this.propose(this.block(view, this.flooded), to)
    }
    this.propose(this.block(view, FLOOD))
  }
}

type Make = new (cluster: Cluster, end: number, identity: number) => Actor

export const ADVERSARIES: Readonly<Record<string, Make>> = {
  equivocator: Equivocator,
  conflicter: Conflicter,
  nuller: Nuller,
  "nullify-only": NullifyOnly,
  outdated: Outdated,
  impersonator: Impersonator,
  invalid: InvalidProposer,
  skipper: Skipper,
  reconfigurer: Reconfigurer,
  forger: Forger,
  "catch-up-liar": CatchUpLiar,
  flooder: Flooder,
}

/** Sins that leave evidence behind. */
export const BLAMED: readonly string[] = ["equivocator", "conflicter", "nuller"]

/**
 * What must hold after every event of every simulation, and what must hold at its end (LEDGER §8).
 * A breach throws {@link Red}; nothing here is ever loosened to let a run pass.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { equalBytes } from "../../protocol/bytes.ts"
import {
  BLAME_VIEWS_MAX,
  UNFINAL_BLOCKS_MAX,
  VOTE_VIEWS_AHEAD,
  VOTE_VIEWS_BEHIND,
} from "../../protocol/limits.ts"
import { blockHash, type FinalBlock } from "../../ledger/block.ts"
import { votesOf, type Certificate } from "../../ledger/certificate.ts"
import { encodeTreeHead, type TreeHead } from "../../ledger/cosigning.ts"
import type { Evidence } from "../../ledger/evidence.ts"
import type { Message } from "../../ledger/message.ts"
import type { ConsensusEffect } from "../../ledger/state.ts"
import type { Vote } from "../../ledger/vote.ts"
import type { Cluster, ClusterOptions } from "./cluster.ts"
import type { Content } from "./content.ts"
import type { Stored } from "./disk.ts"
import { cheapSuite, keyOf } from "./keys.ts"
import type { Machine } from "./machine.ts"
import { Tree } from "./tree.ts"

/** A promise of consensus that was broken. */
export class Red extends Error {}

/** Two chains of final blocks: an error with at most f liars, and a case for blame with more. */
export class Fork extends Red {}

/** What was seen of one view. */
interface Seen {
  notarized: number | undefined
  finalized: number | undefined
  isNullified: boolean
}

function isSkip(message: Message): boolean {
  if (message.type === "vote") return message.vote.kind === "nullify"
  return message.type === "certificate" && message.certificate.kind === "nullify"
}

export class Invariants {
  /** Numbers of all validators that lie; what they do breaks nothing. */
  readonly liars = new Set<number>()
  readonly submitted = new Set<number>()
  /** Final blocks by height, as the first validator had them. */
  readonly chain: Content[] = []
  /** When the first validator had each of them. */
  readonly finalMs: number[] = []
  readonly accused = new Set<number>()
  readonly rejects = new Map<string, number>()
  readonly stops: string[] = []
  /** True when machines may stop: their logs were taken away. */
  mayStop = false
  readonly #cluster: Cluster
  readonly #isSafe: boolean
  readonly #seen = new Map<number, Seen>()
  /** Votes that left an honest validator, over all its lives, by signer: view and kind to hash. */
  readonly #left: Map<number, number>[] = []
  readonly #final = new Set<number>()
  readonly #tree = new Tree()
  /** What each validator cosigned last, over all its lives. */
  readonly #cosigned = new Map<number, TreeHead>()
  /** Sends that are not heartbeats, records and blocks: what an idle ledger has none of. */
  noise = 0
  /** Nullify votes and certificates: on lossy links, idle validators may take a leader for dead. */
  skips = 0
  lastNoise = ""

  constructor(cluster: Cluster, options: ClusterOptions) {
    this.#cluster = cluster
    this.#isSafe = options.isSafe
    for (let i = 0; i < options.count; i++) this.#left.push(new Map())
  }

  /** Every transaction that this validator waits for is final. */
  isFinal(transaction: number): boolean {
    return this.#final.has(transaction)
  }

  get finalCount(): number {
    return this.#final.size
  }

  // --- what a validator sends -----------------------------------------------------------------

  onSend(machine: Machine, message: Message): void {
    if (isSkip(message)) this.skips += 1
    else if (message.type !== "heartbeat") {
      this.noise += 1
      if (this.#cluster.onTrace !== undefined)
        this.lastNoise = `${machine.identity} ${message.type}`
    }
    if (message.type === "certificate") this.#onCertificate(machine, message.certificate)
    if (machine.isTwin) return
    if (message.type === "vote" || message.type === "proposal") this.#onVote(machine, message.vote)
  }

  #onVote(machine: Machine, vote: Vote): void {
    if (vote.signer !== machine.identity) throw new Red(`${machine.identity} votes for another`)
    this.#demandSafe(machine, vote)
    const left = this.#left[vote.signer]
    if (left === undefined) return
    const hash = keyOf(vote.blockHash)
    const notarize = left.get(vote.view * 4)
    const nullify = left.get(vote.view * 4 + 1)
    const finalize = left.get(vote.view * 4 + 2)
    const name = `validator ${vote.signer} in view ${vote.view}`
    switch (vote.kind) {
      case "notarize":
        if (notarize !== undefined && notarize !== hash) throw new Red(`${name}: N and N'`)
        left.set(vote.view * 4, hash)
        return
      case "nullify":
        if (finalize !== undefined) throw new Red(`${name}: X after F`)
        left.set(vote.view * 4 + 1, hash)
        return
      case "finalize":
        if (nullify !== undefined) throw new Red(`${name}: F after X`)
        if (finalize !== undefined && finalize !== hash) throw new Red(`${name}: F and F'`)
        left.set(vote.view * 4 + 2, hash)
    }
  }

  /** R10: what leaves, or counts, is on the disk. */
  #demandSafe(machine: Machine, vote: Vote): void {
    if (machine.disk.log.hasVote(vote)) return
    const name = `${vote.kind} vote of validator ${vote.signer} in view ${vote.view}`
    throw new Red(`${name} is used before it is on the disk`)
  }

  #onCertificate(machine: Machine, certificate: Certificate): void {
    const { kind, view, signers } = certificate
    if (!machine.isTwin && signers.includes(machine.identity)) {
      for (const vote of votesOf(certificate)) {
        if (vote.signer === machine.identity) this.#demandSafe(machine, vote)
      }
    }
    const hash = keyOf(certificate.blockHash)
    let seen = this.#seen.get(view)
    if (seen === undefined) {
      seen = { notarized: undefined, finalized: undefined, isNullified: false }
      this.#seen.set(view, seen)
    }
    if (kind === "notarize") {
      if ((seen.notarized ?? hash) !== hash)
        this.#breach(`two blocks are notarized in view ${view}`)
      seen.notarized = hash
    } else if (kind === "nullify") {
      seen.isNullified = true
    } else {
      if ((seen.finalized ?? hash) !== hash) this.#breach(`two blocks are final in view ${view}`)
      seen.finalized = hash
    }
    if (seen.isNullified && seen.finalized !== undefined) {
      this.#breach(`view ${view} is both nullified and final`)
    }
  }

  #breach(why: string): void {
    if (this.#isSafe) throw new Red(why)
  }

  /** R3, R5, R6: what lets a validator into a view goes to everybody, so that all follow within δ. */
  onEnter(
    machine: Machine,
    entry: Certificate | undefined,
    effects: readonly ConsensusEffect[],
  ): void {
    for (const effect of effects) {
      if (effect.type !== "send" || effect.to !== undefined) continue
      const { message } = effect
      if (message.type === "certificate" && message.certificate === entry) return
    }
    throw new Red(`validator ${machine.identity} keeps to itself what let it into a view`)
  }

  // --- final blocks ---------------------------------------------------------------------------

  /** A final block that a validator delivers, or adopts from another. */
  onDeliver(machine: Machine, final: FinalBlock, isAdopted = false): Stored {
    const { header } = final.block
    const hash = blockHash(cheapSuite, header)
    const content = this.#cluster.contents.of(hash)
    const name = `validator ${machine.identity}, height ${header.height}`
    if (content === undefined) throw new Red(`${name}: a block that nobody made`)
    if (!isAdopted) this.noise += 1
    if (!isAdopted) this.#demandFinality(final, hash, name)
    const stored = { final, content }
    if (machine.isTwin) return stored
    const known = this.chain[header.height - 1]
    if (known === undefined) this.#extend(content, name)
    else if (known.key !== content.key) throw new Fork(`${name}: another block is final`)
    return stored
  }

  #demandFinality(final: FinalBlock, hash: Uint8Array, name: string): void {
    if (final.links.length > UNFINAL_BLOCKS_MAX) throw new Red(`${name}: no proof holds its links`)
    let at = hash
    for (const link of final.links) {
      if (keyOf(link.parent) !== keyOf(at)) throw new Red(`${name}: its links do not link`)
      at = blockHash(cheapSuite, link)
    }
    const { certificate } = final
    const isFinal = certificate.kind === "finalize" && keyOf(certificate.blockHash) === keyOf(at)
    if (!isFinal) throw new Red(`${name}: its certificate makes another block final`)
  }

  #extend(content: Content, name: string): void {
    const below = this.chain.at(-1) ?? this.#cluster.contents.start
    if (content.height !== below.height + 1) throw new Red(`${name}: nobody has the block below`)
    if (content.parent?.key !== below.key) throw new Fork(`${name}: it stands on another block`)
    this.chain.push(content)
    this.finalMs.push(this.#cluster.schedule.nowMs)
    for (const one of content.transactions) {
      if (!this.submitted.has(one)) throw new Red(`${name}: ${one} was never submitted`)
      if (this.#final.has(one)) throw new Red(`${name}: ${one} is final twice`)
      this.#final.add(one)
    }
    this.#tree.append(content.transactions)
    const { size, root } = this.#tree
    if (content.treeSize !== size) throw new Red(`${name}: size ${content.treeSize} of ${size}`)
    if (!equalBytes(content.treeRoot, root)) throw new Red(`${name}: its root is of another tree`)
  }

  /** LEDGER §15.6: a cosignature leaves, which says that this is the largest tree seen so far. */
  onCosign({ identity, disk, stopped }: Machine, head: TreeHead): void {
    // Who was put back has forgotten what it signed, and asks the others first (§9.4): not simulated.
    if (this.mayStop) return
    const name = `validator ${identity} cosigns size ${head.size}`
    const last = this.#cosigned.get(identity)
    this.#cosigned.set(identity, head)
    if (stopped !== undefined) throw new Red(`${name} after its end`)
    if (last !== undefined && head.size < last.size) throw new Red(`${name} after ${last.size}`)
    if (last?.size === head.size && !equalBytes(last.root, head.root)) {
      throw new Red(`${name} with another root`)
    }
    if (disk.cosigned === undefined || !equalBytes(disk.cosigned, encodeTreeHead(head))) {
      throw new Red(`${name} before that is on its disk`)
    }
    const block = disk.store.findLast(({ content }) => content.treeSize === head.size)?.content
    if (block === undefined || this.chain[block.height - 1]?.key !== block.key) {
      throw new Red(`${name}, and has no final block of it`)
    }
    if (!equalBytes(block.treeRoot, head.root))
      throw new Red(`${name} with a root that is not final`)
  }

  // --- faults ---------------------------------------------------------------------------------

  onEvidence(machine: Machine, evidence: Evidence): void {
    const { signer } = evidence.first
    if (!this.liars.has(signer)) {
      throw new Red(`validator ${machine.identity} has evidence against honest ${signer}`)
    }
    this.accused.add(signer)
  }

  onReject(machine: Machine, effect: Extract<ConsensusEffect, { type: "reject" }>): void {
    this.rejects.set(effect.code, (this.rejects.get(effect.code) ?? 0) + 1)
    // A validator that was away may be so far behind that votes of others are too new for it.
    if (this.liars.has(effect.from) || effect.code === "VOTE_STALE") return
    throw new Red(`validator ${machine.identity} rejects honest ${effect.from}: ${effect.why}`)
  }

  onStop(machine: Machine, code: string, why: string): void {
    this.stops.push(code)
    if (this.mayStop || machine.isTwin) return
    if (!this.#isSafe && code === "CONSENSUS_FORK") throw new Fork(why)
    throw new Red(`validator ${machine.identity} stops: ${why}`)
  }

  /** Memory is bounded by how far the last final block is, not by what anybody sends. */
  afterStep(machine: Machine): void {
    const { state } = machine
    if (state === undefined) return
    const open = state.view - Math.min(state.delivered.view, state.final.view)
    const held = Math.min(open, BLAME_VIEWS_MAX + state.view - state.final.view)
    const viewsMax = held + VOTE_VIEWS_BEHIND + VOTE_VIEWS_AHEAD + 4
    if (state.views.size > viewsMax) throw new Red(`${state.views.size} views of ${viewsMax} held`)
    if (state.blocks.size > open + 8) throw new Red(`${state.blocks.size} blocks of ${open} held`)
    if (state.wanted.size > open + 8) throw new Red(`${state.wanted.size} blocks wanted`)
    if (state.unsynced.size > open + 8) throw new Red(`${state.unsynced.size} votes unsynced`)
    if (state.view < state.certified.view + 1) throw new Red("the view is below what is certified")
  }

  describeChain(): string {
    return this.chain.map(({ hash }) => bytesToHex(hash.subarray(0, 3))).join(" ")
  }
}

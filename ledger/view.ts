/**
 * One view of consensus, from a proposal to a final block, rule by rule (LEDGER §8.1).
 *
 * Pure: a state and what happened give the next state and the effects that node/ performs in their
 * order. Marks such as R3 are the rules of LEDGER §8.1, Q1 those of §8.3. The door is consensus.ts.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import type { Signer } from "../protocol/entry.ts"
import { VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { blockHash, type Block } from "./block.ts"
import type { Certificate } from "./certificate.ts"
import type { LedgerCode } from "./errors.ts"
import type { ConsensusRecord } from "./record.ts"
import { addVote, countVotes, pruneTally, voteInSlot, type Tally } from "./tally.ts"
import { leaderOf, type ValidatorSet } from "./validators.ts"
import { signVote, type Vote } from "./vote.ts"

/** What one validator brings along; it never changes while an epoch lasts. */
export interface ConsensusConfig {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly validators: ValidatorSet
  /** Our number in the set. */
  readonly self: number
  /** Signs with our consensus key. */
  readonly sign: Signer
}

/** A block that others stand on. View 0 is what the epoch started from. */
export interface Place {
  readonly view: number
  readonly height: number
  readonly hash: Uint8Array
}

export type Message =
  | { readonly type: "vote"; readonly vote: Vote }
  | { readonly type: "certificate"; readonly certificate: Certificate }
  /** A block with its leader's notarize vote. */
  | { readonly type: "proposal"; readonly block: Block; readonly vote: Vote }

export type ConsensusEvent =
  /** Batches wait that no certified block has. */
  | { readonly type: "submitted" }
  /**
   * The answer to `buildBlock`: a block that passed checkProposal, or none when nothing waits.
   * `more` when batches wait that the block did not take.
   */
  | {
      readonly type: "blockBuilt"
      readonly view: number
      readonly block: Block | undefined
      readonly more: boolean
    }
  /** The record of this and of every lower number is on the disk. */
  | { readonly type: "persisted"; readonly seq: number }
  | { readonly type: "message"; readonly peer: string; readonly message: Message }

export type ConsensusEffect =
  /** Append to the log and sync, then answer `persisted`. Numbers rise by one. */
  | { readonly type: "persist"; readonly seq: number; readonly record: ConsensusRecord }
  /** Send to all other validators, once the record with this number is on the disk (0: at once). */
  | { readonly type: "send"; readonly message: Message; readonly after: number }
  /** Build a block of what waits on top of `parent`, then answer `blockBuilt`. */
  | { readonly type: "buildBlock"; readonly view: number; readonly parent: Place }
  /** A final block, in order of height; may repeat one that was delivered before a crash. */
  | { readonly type: "deliver"; readonly block: Block; readonly certificate: Certificate }
  /** A peer sent what it must not. */
  | {
      readonly type: "reject"
      readonly peer: string
      readonly code: LedgerCode
      readonly why: string
    }
  /** Our key signed what our log does not have: never vote again with it. */
  | { readonly type: "stop"; readonly code: LedgerCode; readonly why: string }

/** Our own votes in one view, as the log has them. */
export interface OwnVotes {
  readonly notarize: Vote
  readonly finalize?: Vote
}

/** A value: `step` never changes it. */
export interface ConsensusState {
  readonly config: ConsensusConfig
  readonly view: number
  /** Highest notarized block: what the next one stands on. */
  readonly certified: Place
  /** Highest final block. */
  readonly final: Place
  readonly own: ReadonlyMap<number, OwnVotes>
  /** Blocks that are not final yet, by hash in hex. */
  readonly blocks: ReadonlyMap<string, Block>
  readonly tally: Tally
  /** Votes that wait for their record to be on the disk, by the record's number. */
  readonly unsynced: ReadonlyMap<number, Vote>
  readonly nextSeq: number
  /** Armed (Q1): something waits that no certified block has. */
  readonly armed: boolean
  /** View for which a block is being built. */
  readonly building: number | undefined
  readonly isStopped: boolean
}

export interface Step {
  readonly state: ConsensusState
  readonly effects: readonly ConsensusEffect[]
}

/** R1, Q1: the leader of the view builds while armed, once a view. */
export function propose(state: ConsensusState): Step {
  const { config, view, certified, building } = state
  const isLeader = leaderOf(config.validators, view) === config.self
  if (!state.armed || !isLeader || building !== undefined || state.own.has(view)) {
    return { state, effects: [] }
  }
  // What is submitted from here on may be too late for this block, so it arms us again.
  const next = { ...state, armed: false, building: view }
  return { state: next, effects: [{ type: "buildBlock", view, parent: certified }] }
}

/** R1, R2: our proposal carries our notarize vote; both go to the log as one record. */
export function onBlockBuilt(
  state: ConsensusState,
  view: number,
  block: Block | undefined,
  more: boolean,
): Step {
  assert(state.building === view && state.view === view, "a block was built that nobody asked for")
  const idle = { ...state, building: undefined, armed: state.armed || more }
  // Something may have been submitted while the builder looked and found nothing.
  if (block === undefined) return propose({ ...state, building: undefined })
  const { config, certified } = state
  const { header } = block
  const { epoch } = config.validators
  assert(header.epoch === epoch && header.view === view, "a block was built for another view")
  assert(header.height === certified.height + 1, "a block was built at another height")
  assert(equalBytes(header.parent, certified.hash), "a block was built on another parent")
  assert(!state.own.has(view), "a second block was built for one view")
  const hash = blockHash(config.suite, header)
  const body = { kind: "notarize", epoch, view, blockHash: hash } as const
  const vote = signVote(config.chainId, body, config.self, config.sign)
  const next = {
    ...idle,
    own: new Map(idle.own).set(view, { notarize: vote }),
    blocks: new Map(idle.blocks).set(bytesToHex(hash), block),
  }
  const message: Message = { type: "proposal", block, vote }
  return persistVote(next, { kind: "notarize", epoch, vote, block }, vote, message)
}

function persistVote(
  state: ConsensusState,
  record: ConsensusRecord,
  vote: Vote,
  message: Message,
): Step {
  const seq = state.nextSeq
  const unsynced = new Map(state.unsynced).set(seq, vote)
  return {
    state: { ...state, nextSeq: seq + 1, unsynced },
    effects: [
      { type: "persist", seq, record },
      { type: "send", message, after: seq },
    ],
  }
}

/** R3, R6: a verified vote goes into its slot; a quorum is a certificate. */
export function countVote(state: ConsensusState, vote: Vote): Step {
  if (voteInSlot(state.tally, vote) !== undefined) return { state, effects: [] }
  const tally = addVote(state.tally, vote)
  const next = { ...state, tally }
  const certificate = countVotes(tally, vote, state.config.validators)
  if (certificate === undefined) return { state: next, effects: [] }
  const sent: ConsensusEffect = {
    type: "send",
    message: { type: "certificate", certificate },
    after: 0,
  }
  const reached = { state: next, effects: [sent] }
  return vote.kind === "finalize"
    ? andThen(reached, (latest) => onFinal(latest, certificate))
    : andThen(reached, (latest) => onNotarized(latest, certificate))
}

/** R3: on a notarize certificate vote to finalize, then enter the next view. */
function onNotarized(state: ConsensusState, certificate: Certificate): Step {
  const { config } = state
  const { epoch, view, blockHash: hash } = certificate
  const block = state.blocks.get(bytesToHex(hash))
  const own = state.own.get(view)
  assert(block !== undefined && own !== undefined, "a block was notarized that we do not have")
  const certified = { view, height: block.header.height, hash }
  const entered = { ...state, certified, view: view + 1 }
  if (own.finalize !== undefined) {
    // After a restart: the vote is in the log already, so it is sent and counted again as it is
    // (R10).
    const again = own.finalize
    const sent: ConsensusEffect = { type: "send", message: { type: "vote", vote: again }, after: 0 }
    return andThen({ state: entered, effects: [sent] }, (next) => countVote(next, again))
  }
  const body = { kind: "finalize", epoch, view, blockHash: hash } as const
  const vote = signVote(config.chainId, body, config.self, config.sign)
  const voted = {
    ...entered,
    own: new Map(entered.own).set(view, { ...own, finalize: vote }),
  }
  const record: ConsensusRecord = { kind: "finalize", epoch, vote, certificate }
  return andThen(persistVote(voted, record, vote, { type: "vote", vote }), propose)
}

/** R6: a finalize certificate makes its block final; old views are forgotten. */
function onFinal(state: ConsensusState, certificate: Certificate): Step {
  const key = bytesToHex(certificate.blockHash)
  const block = state.blocks.get(key)
  assert(block !== undefined, "a block became final that we do not have")
  assert(block.header.height === state.final.height + 1, "blocks became final out of order")
  const { view } = certificate
  const blocks = new Map(state.blocks)
  blocks.delete(key)
  const oldest = view - VOTE_VIEWS_BEHIND
  const next = {
    ...state,
    final: { view, height: block.header.height, hash: certificate.blockHash },
    blocks,
    own: new Map([...state.own].filter(([voted]) => voted >= oldest)),
    tally: pruneTally(state.tally, oldest),
  }
  return andThen({ state: next, effects: [{ type: "deliver", block, certificate }] }, propose)
}

/** One step after another; the effects stand in order. */
export function andThen(before: Step, next: (state: ConsensusState) => Step): Step {
  const after = next(before.state)
  return { state: after.state, effects: [...before.effects, ...after.effects] }
}

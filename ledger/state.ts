/**
 * What a validator knows, what can happen to it and what it answers: the types of consensus
 * (LEDGER §8). The door is consensus.ts.
 *
 * The state is changed in place by `step` and by nothing else; it is never shared. A step returns
 * the effects that node/ performs in their order.
 */

import type { Signer } from "../protocol/entry.ts"
import type { Suite } from "../protocol/suite.ts"
import type { Block, FinalBlock } from "./block.ts"
import type { Certificate } from "./certificate.ts"
import type { LedgerCode } from "./errors.ts"
import type { Evidence } from "./evidence.ts"
import type { Message } from "./message.ts"
import type { ConsensusRecord } from "./record.ts"
import type { ValidatorSet } from "./validators.ts"
import type { Vote, VoteKind } from "./vote.ts"

/** What one validator brings along; it never changes while an epoch lasts. */
export interface ConsensusConfig {
  readonly suite: Suite
  readonly chainId: Uint8Array
  readonly validators: ValidatorSet
  /** Our number in the set. */
  readonly self: number
  /** Signs with our consensus key. */
  readonly sign: Signer
  /** Δ, the bound on one message's way that timers are made of, in ms. */
  readonly deltaMs: number
  /**
   * Whether something waits that a block on this certified one could take. A pure question: it
   * changes nothing, and its answer changes only between steps.
   */
  readonly hasWork: (parent: Uint8Array) => boolean
}

/** A block that others stand on. View 0 is what the epoch started from. */
export interface Place {
  readonly view: number
  readonly height: number
  readonly hash: Uint8Array
}

/** `untimely`: nothing is wrong with it but its date, by our clock. It is not voted for. */
export type Verdict = "valid" | "untimely" | "invalid"

export type ConsensusEvent =
  /** The time that the last `timer` effect named has come, or any other moment. */
  | { readonly type: "tick" }
  /** Something waits that was not there before. */
  | { readonly type: "submitted" }
  /** A validator is in reach again, proven by the transport. */
  | { readonly type: "contact"; readonly with: number }
  /** The answer to `buildBlock`: a block that we checked as we check others', or none. */
  | { readonly type: "blockBuilt"; readonly view: number; readonly block: Block | undefined }
  /** The answer to `checkBlock`. */
  | {
      readonly type: "blockChecked"
      readonly hash: Uint8Array
      readonly verdict: Verdict
      /** Why it is not valid. */
      readonly why?: string
    }
  /** The record of this and of every lower number is on the disk. */
  | { readonly type: "persisted"; readonly seq: number }
  /** Final blocks came from elsewhere and are in the store; what makes each of them final. */
  | {
      readonly type: "adopted"
      readonly place: Place
      readonly certificates: readonly Certificate[]
    }
  /** From the validator `from`, proven by the transport; `finalView` is the sender's. */
  | {
      readonly type: "message"
      readonly from: number
      readonly finalView: number
      readonly message: Message
    }

export type ConsensusEffect =
  /** Append to the log and sync, then answer `persisted`. Numbers rise by one. */
  | { readonly type: "persist"; readonly seq: number; readonly record: ConsensusRecord }
  /**
   * Send to one, or to all other validators but `except`, once record `after` is on the disk (0:
   * at once).
   */
  | {
      readonly type: "send"
      readonly message: Message
      readonly after: number
      readonly to?: number
      readonly except?: number
    }
  /**
   * Build a block of what waits, about `bytesMax` of it, or an empty closing one, then answer
   * `blockBuilt`.
   */
  | {
      readonly type: "buildBlock"
      readonly view: number
      readonly parent: Place
      readonly isClosing: boolean
      readonly bytesMax: number
    }
  /** Judge a block whose parent was judged before, then answer `blockChecked`. */
  | { readonly type: "checkBlock"; readonly block: Block; readonly hash: Uint8Array }
  /**
   * Final blocks, in order of height; may repeat some that were delivered before a crash. `kept`
   * are certificates that blame needs for ever (LEDGER §8.6).
   */
  | {
      readonly type: "deliver"
      readonly blocks: readonly FinalBlock[]
      readonly kept: readonly Certificate[]
    }
  /** Certificates that blame needs for ever, of blocks that came from elsewhere (LEDGER §8.6). */
  | { readonly type: "keep"; readonly certificates: readonly Certificate[] }
  /** A later block is final than we have; this validator has it. */
  | { readonly type: "behind"; readonly from: number }
  /** Batches that wait may be unknown elsewhere: send them to the other validators. */
  | { readonly type: "resubmit" }
  /** Feed a `tick` at this time; undefined: none is needed. Replaces the former one. */
  | { readonly type: "timer"; readonly atMs: number | undefined }
  /** A validator signed what no honest one signs. */
  | { readonly type: "evidence"; readonly evidence: Evidence }
  /** A peer sent what it must not. */
  | {
      readonly type: "reject"
      readonly from: number
      readonly code: LedgerCode
      readonly why: string
    }
  /** Never vote again with this key, or not before somebody has looked. */
  | { readonly type: "stop"; readonly code: LedgerCode; readonly why: string }

/** What is known of one view. */
export interface View {
  readonly view: number
  /** Hash of the leader's first proposal. */
  proposal: Uint8Array | undefined
  /** By kind and signer; verified, one each. */
  readonly votes: Record<VoteKind, (Vote | undefined)[]>
  readonly certificates: Record<VoteKind, Certificate | undefined>
  /** Our own, as the log has them or will have them before they take effect. */
  readonly own: Record<VoteKind, Vote | undefined>
  /** Signers whose evidence was told, bit by bit. */
  accused: number
}

/** A block that is not final here. */
export interface HeldBlock {
  readonly block: Block
  readonly hash: Uint8Array
  /** `waiting` until its parent was judged. */
  status: "waiting" | "checking" | Verdict
}

/** A block that is certified and not here. */
export interface Wanted {
  readonly hash: Uint8Array
  /** Of the certificate that it is wanted for: once a block of that view is final, it is not. */
  readonly view: number
  /** Who signed for it. */
  readonly signers: readonly number[]
  turn: number
  nextMs: number
}

export interface ConsensusState {
  readonly config: ConsensusConfig
  view: number
  enteredMs: number
  /** The certificate that let us into the view: whoever lacks it gets it with our retries. */
  entry: Certificate | undefined
  /** Highest notarized block: what the next one stands on. */
  certified: { readonly view: number; readonly hash: Uint8Array }
  /** Since when {@link certified} is the highest. */
  tipMs: number
  tipResentMs: number
  /** Highest view of a finalize certificate, with it; undefined at the start of an epoch. */
  final: {
    readonly view: number
    readonly hash: Uint8Array
    readonly certificate: Certificate | undefined
  }
  /** Highest block that was delivered. */
  delivered: Place
  readonly views: Map<number, View>
  /** By {@link keyOfHash}. */
  readonly blocks: Map<string, HeldBlock>
  readonly wanted: Map<string, Wanted>
  /** Own votes that wait for their record to be on the disk, by the record's number. */
  readonly unsynced: Map<number, Vote>
  nextSeq: number
  /** Armed since (Q1); undefined: not. */
  armedMs: number | undefined
  /** Newest view in which, for some time, nothing waited here and all was final. */
  idleView: number
  /** View that a block is being built for, or was; below zero: for which there was nothing. */
  building: number
  /** Bytes of batches that our line was found to carry in time (block-size.ts). */
  takeBytes: number
  resentMs: number
  /** Certificates that are missing for what the current view could do. */
  fetching:
    | { readonly fromView: number; readonly toView: number; readonly first: number | undefined }
    | undefined
  /** When they were last asked for, and whom next. */
  fetchedMs: number
  fetchTurn: number
  /** When something last came from each validator; at the beginning, now. */
  readonly heardMs: number[]
  /** When each last came in reach. It may have nothing to say: contact is no sign of its votes. */
  readonly contactMs: number[]
  /** When each was last helped to our final view, and answered a fetch. */
  readonly helpedMs: number[]
  readonly servedMs: number[]
  /** Forged messages of each, and since when they are counted (§8.2). */
  readonly forged: readonly { sinceMs: number; count: number }[]
  heartbeatMs: number
  /** Lowest view that the log has a vote for; what is below is not ours to judge (R11). */
  lowestLogged: number
  isStopped: boolean
  /** Effects of the step under way. */
  out: ConsensusEffect[]
  /** What the last `timer` effect said. */
  timerMs: number | undefined
}

/** The view's row, made when it is first spoken of. */
export function viewOf(state: ConsensusState, view: number): View {
  const known = state.views.get(view)
  if (known !== undefined) return known
  const { validators } = state.config.validators
  const slots = (): (Vote | undefined)[] => validators.map(() => undefined)
  const fresh: View = {
    view,
    proposal: undefined,
    votes: { notarize: slots(), nullify: slots(), finalize: slots() },
    certificates: { notarize: undefined, nullify: undefined, finalize: undefined },
    own: { notarize: undefined, nullify: undefined, finalize: undefined },
    accused: 0,
  }
  state.views.set(view, fresh)
  return fresh
}

/** The block with this hash, if it is here and not final yet. */
export function heldBlock(state: ConsensusState, hash: Uint8Array): HeldBlock | undefined {
  return state.blocks.get(keyOfHash(hash))
}

/** A hash as a key of maps: two bytes a letter, at an eighth of what hexadecimal costs. */
export function keyOfHash(hash: Uint8Array): string {
  const at = (i: number): number => ((hash[2 * i] ?? 0) << 8) | (hash[2 * i + 1] ?? 0)
  // prettier-ignore
  return String.fromCharCode(
    at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7),
    at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15),
  )
}

/** All certificates of recent views, for blame. */
export function heldCertificates(state: ConsensusState): Certificate[] {
  return [...state.views.values()]
    .flatMap(({ certificates }) => Object.values(certificates))
    .filter((certificate) => certificate !== undefined)
}

/**
 * Views that passed with nothing final while something waited. Leaders that were away in a quiet
 * night, however many, tell nothing about the lines.
 */
export function viewsInVain(state: ConsensusState): number {
  return Math.max(0, state.view - Math.max(state.final.view + 1, state.idleView))
}

/** How often every validator led a view, and none was final though something waited. */
export function roundsSinceFinal(state: ConsensusState): number {
  return Math.floor(viewsInVain(state) / state.config.validators.validators.length)
}

/** The newest vote of a validator that is held: of its highest view, the one that ended it. */
export function newestVote(state: ConsensusState, signer: number): Vote | undefined {
  let newest: Vote | undefined
  for (const { votes } of state.views.values()) {
    const { notarize, nullify, finalize } = votes
    const vote = finalize[signer] ?? nullify[signer] ?? notarize[signer]
    if (vote !== undefined && vote.view > (newest?.view ?? 0)) newest = vote
  }
  return newest
}

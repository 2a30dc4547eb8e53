/**
 * Consensus: Simplex-Q, quiescent (LEDGER §8). The only door is `step(state, event)`.
 *
 * Pure. An event gives the next state and the effects that node/ performs in their order: a vote is
 * persisted before it is sent, counted or acted upon. Marks such as R3 are the rules of LEDGER
 * §8.1, Q1 those of §8.3. This version runs a set of one validator, through the structures that
 * more validators use: views, tally, certificates, epochs. What only n > 1 needs is not here
 * (timers, nullification, fetching, evidence), and a larger set is refused at construction.
 *
 * Safety rests on three promises that survive a crash, because each is in the log before it is
 * kept: one notarize vote a view (R2), a finalize vote only for the block that is notarized in its
 * view (R3), and the same votes again after a restart, never others (R10).
 */

import { assert } from "../protocol/assert.ts"
import { equalBytes } from "../protocol/bytes.ts"
import { VOTE_VIEWS_AHEAD, VOTE_VIEWS_BEHIND } from "../protocol/limits.ts"
import { verifyCertificate, votesOf } from "./certificate.ts"
import { LedgerError } from "./errors.ts"
import { EMPTY_TALLY } from "./tally.ts"
import { andThen, countVote, onBlockBuilt, propose } from "./view.ts"
import type {
  ConsensusConfig,
  ConsensusEvent,
  ConsensusState,
  Message,
  Place,
  Step,
} from "./view.ts"
import { verifyVote, type Vote } from "./vote.ts"

/**
 * A validator before its first vote.
 *
 * @throws {@link LedgerError} `CONSENSUS_SIZE` for a set of more than one validator,
 * `CONSENSUS_KEY` when `self` is not in it.
 */
export function createConsensus(config: ConsensusConfig, final: Place): ConsensusState {
  const count = config.validators.validators.length
  if (count !== 1) {
    const why = `this version runs one validator, the set has ${count}`
    throw new LedgerError("CONSENSUS_SIZE", `consensus: ${why}`)
  }
  if (config.validators.validators[config.self] === undefined) {
    throw new LedgerError("CONSENSUS_KEY", `consensus: the set has no number ${config.self}`)
  }
  return {
    config,
    view: final.view + 1,
    certified: final,
    final,
    own: new Map(),
    blocks: new Map(),
    tally: EMPTY_TALLY,
    unsynced: new Map(),
    nextSeq: 1,
    armed: false,
    building: undefined,
    isStopped: false,
  }
}

/** What an event leads to. Synchronous; nothing of a peer's makes it throw. */
export function step(state: ConsensusState, event: ConsensusEvent): Step {
  if (state.isStopped) return { state, effects: [] }
  switch (event.type) {
    case "submitted":
      return propose({ ...state, armed: true })
    case "blockBuilt":
      return onBlockBuilt(state, event.view, event.block, event.more)
    case "persisted":
      return onPersisted(state, event.seq)
    default:
      return onMessage(state, event.peer, event.message)
  }
}

/** A vote of ours takes effect, in our own count too, only now that it is on the disk. */
function onPersisted(state: ConsensusState, seq: number): Step {
  assert(seq < state.nextSeq, "a record was reported that was never written")
  let current: Step = { state, effects: [] }
  for (const [number, vote] of state.unsynced) {
    if (number > seq) continue
    const unsynced = new Map(current.state.unsynced)
    unsynced.delete(number)
    current = andThen(current, (next) => countVote({ ...next, unsynced }, vote))
  }
  return current
}

/** R7: whatever a peer sends is verified before it is looked at, and never makes us throw. */
function onMessage(state: ConsensusState, peer: string, message: Message): Step {
  const { suite, chainId, validators } = state.config
  try {
    const votes = message.type === "certificate" ? votesOf(message.certificate) : [message.vote]
    const view = votes[0]?.view ?? 0
    if (view < state.final.view - VOTE_VIEWS_BEHIND) return { state, effects: [] }
    if (message.type === "certificate") {
      verifyCertificate(suite, chainId, message.certificate, validators)
    } else {
      if (view > state.view + VOTE_VIEWS_AHEAD) {
        const why = `view ${view} is too far above ${state.view}`
        throw new LedgerError("VOTE_STALE", `${message.type}: ${why}`)
      }
      verifyVote(suite, chainId, message.vote, validators)
    }
    for (const vote of votes) {
      if (vote.signer === state.config.self && !isOwn(state, vote)) return stop(state, vote)
    }
    return { state, effects: [] }
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error
    const { code, message: why } = error
    return { state, effects: [{ type: "reject", peer, code, why }] }
  }
}

function isOwn(state: ConsensusState, vote: Vote): boolean {
  const own = state.own.get(vote.view)
  const known = vote.kind === "notarize" ? own?.notarize : own?.finalize
  if (vote.kind === "nullify" || known === undefined) {
    return isBeforeLog(state, vote.view)
  }
  return equalBytes(known.blockHash, vote.blockHash)
}

/** Views that were final before the log's first record are no longer ours to judge. */
function isBeforeLog(state: ConsensusState, view: number): boolean {
  if (view > state.final.view) return false
  for (const voted of state.own.keys()) if (view >= voted) return false
  return true
}

/** R11: a valid vote by our key that our log does not have. Log lost, put back, or cloned. */
function stop(state: ConsensusState, vote: Vote): Step {
  const why = `our key signed a ${vote.kind} vote for view ${vote.view} that our log does not have`
  return {
    state: { ...state, isStopped: true },
    effects: [{ type: "stop", code: "CONSENSUS_KEY_DEAD", why }],
  }
}

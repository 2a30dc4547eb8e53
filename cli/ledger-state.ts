/**
 * The state of the ledger in words that an officer understands: whether it goes on, who is heard,
 * whether this node votes and what to do if not.
 */

import type { LedgerStatus, OwnVote, ValidatorInfo } from "../node/api/shapes.ts"
import { refusalInBengali } from "./refusals.ts"
import type { Terminal } from "./terminal.ts"
import type { Word } from "./words.ts"

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** In one line: final and idle, at work, behind, at work in vain, or standing still. */
export function stateLine(terminal: Terminal, status: LedgerStatus): string {
  const { height, heightSeen, pending, quorum, vote } = status
  if (!quorum.isMet) {
    return terminal.say(isHearing(vote) ? "ledger.stands" : "ledger.cut", { count: pending })
  }
  if (heightSeen > height) return terminal.say("ledger.behind", { height, seen: heightSeen })
  const views = viewsInVain(status)
  if (views > 0) return terminal.say("ledger.vain", { views, count: pending })
  if (pending > 0) return terminal.say("ledger.works", { count: pending })
  return terminal.say(height === 0 ? "ledger.empty" : "ledger.idle")
}

/** How many validators there are and are heard, and what that means. */
export function quorumLine(terminal: Terminal, status: LedgerStatus): string {
  const { quorum, vote } = status
  const { validators: count, heard, needed, isMet } = quorum
  if (count === 1) return terminal.say(isMet ? "quorum.alone" : "quorum.gone")
  const counted = terminal.say(isHearing(vote) ? "quorum.heard" : "quorum.reach", {
    count,
    heard,
    needed,
  })
  const views = viewsInVain(status)
  if (isMet && views > 0) return `${counted}: ${terminal.say("quorum.vain", { views })}`
  const spare = heard - needed
  if (!isMet) return `${counted}: ${terminal.say("quorum.missing", { missing: -spare })}`
  // Whoever is linked may still be silent: only a validator that votes hears who votes.
  if (!isHearing(vote)) return `${counted}: ${terminal.say("quorum.links")}`
  const meaning = spare > 0 ? "quorum.spare" : "quorum.tight"
  return `${counted}: ${terminal.say(meaning, { spare })}`
}

/**
 * Views that passed with nothing final, where every validator led one: 0 while less did. Only a
 * validator that votes knows.
 */
function viewsInVain({ viewsInVain: views = 0, quorum }: LedgerStatus): number {
  return views >= quorum.validators ? views : 0
}

/** What this node's own vote does. */
export function voteLine(terminal: Terminal, { vote }: LedgerStatus): string {
  if (vote === undefined) return terminal.say("vote.none")
  const { state, code = "", message = "" } = vote
  if (state === "voting") return terminal.say("vote.voting")
  if (state === "stalled") return terminal.say("vote.stalled")
  if (state === "asking") return terminal.say("vote.asking")
  const bengali = terminal.language === "bn" ? refusalInBengali(code) : undefined
  const why = bengali === undefined ? message : `${bengali} (${message})`
  return terminal.say("vote.refused", { code, message: why })
}

/** Who takes no part in votes hears nobody's: it knows links. */
function isHearing(vote: LedgerStatus["vote"]): boolean {
  return vote?.state === "voting" || vote?.state === "stalled"
}

/**
 * What to do about a vote that is refused or waits, a copy of this node, or a quorum that is away;
 * empty otherwise. What is to be done here comes before what others have to do.
 */
export function adviceLine(terminal: Terminal, { vote, quorum }: LedgerStatus): string {
  if (vote?.isCopied === true && vote.state !== "refused") return terminal.say("vote.copied")
  if (vote?.state === "stalled") return terminal.say("vote.disk")
  if (vote?.state !== "refused") return quorum.isMet ? "" : terminal.say("quorum.todo")
  switch (vote.code) {
    case "VALIDATOR_KEY_DEAD":
    case "CONSENSUS_KEY_DEAD":
      return terminal.say("vote.dead")
    case "CONSENSUS_KEY":
      return terminal.say("vote.key")
    case "CONSENSUS_DIVERGED":
    case "CONSENSUS_FORK":
      return terminal.say("vote.diverged")
    default:
      return terminal.say("vote.log")
  }
}

/** What the node warns of in English, in the words of the catalogue (node/ledger-warnings.ts). */
export function warningLines(terminal: Terminal, status: LedgerStatus): string[] {
  const { vote, quorum, evidence } = status
  const lines: string[] = []
  if (vote?.state === "refused") {
    lines.push(`${terminal.say("label.vote")}: ${adviceLine(terminal, status)}`)
  }
  if (vote?.state === "stalled") {
    lines.push(`${terminal.say("label.vote")}: ${voteLine(terminal, status)}`)
  }
  if (vote?.isCopied === true) lines.push(terminal.say("vote.copied"))
  if (evidence > 0) {
    lines.push(`${terminal.say("label.evidence")}: ${evidenceLine(terminal, status)}`)
  }
  if (!quorum.isMet) lines.push(quorumLine(terminal, status))
  return lines
}

/** Whom evidence accuses, and where it is shown. */
export function evidenceLine(terminal: Terminal, { evidence, accused }: LedgerStatus): string {
  if (evidence === 0) return terminal.say("none")
  return terminal.say("evidence.pointer", { count: evidence, missions: accused.join(", ") })
}

/** What one validator does, as this node sees it. */
export function validatorWord(
  terminal: Terminal,
  validator: ValidatorInfo,
  { vote }: Pick<LedgerStatus, "vote">,
): string {
  const { state } = validator
  if (state === "self") return terminal.say(selfWord(vote?.state))
  if (state === "down" && !isHearing(vote)) return terminal.say("validator.linkDown")
  return terminal.say(`validator.${state}`)
}

function selfWord(state: OwnVote["state"] | undefined): Word {
  if (state === undefined) return "validator.self"
  if (state === "voting") return "validator.selfVoting"
  return `validator.${state}`
}

/** How long ago, in the largest unit that fits. */
export function ago(terminal: Terminal, elapsedMs: number): string {
  return terminal.say("time.ago", { time: duration(terminal, Math.max(0, elapsedMs)) })
}

function duration(terminal: Terminal, ms: number): string {
  const units = [
    ["time.days", DAY_MS],
    ["time.hours", HOUR_MS],
    ["time.minutes", MINUTE_MS],
  ] as const
  for (const [word, unitMs] of units) {
    if (ms >= 2 * unitMs) return terminal.say(word, { count: Math.floor(ms / unitMs) })
  }
  return terminal.say("time.seconds", { count: Math.floor(ms / SECOND_MS) })
}

/** `tarbarta ledger status` and `ledger evidence`: how the ledger stands, and who broke faith. */

import { Command } from "commander"
import type { EvidenceInfo, LedgerStatus, SignedVote } from "../../node/api/shapes.ts"
import {
  adviceLine,
  ago,
  evidenceLine,
  quorumLine,
  stateLine,
  validatorWord,
  voteLine,
} from "../ledger-state.ts"
import { act, type Program, type Session } from "../session.ts"
import type { Terminal } from "../terminal.ts"

/** Digits of a block's hash that are shown to people. */
const HASH_DIGITS = 8

export function statusCommand(program: Program): Command {
  const status = new Command("status")
    .description("whether the ledger goes on, who votes, and how far this node's copy reaches")
    .addHelpText(
      "after",
      `
An idle ledger is well: no block is made while nothing waits.
`,
    )
  return act(status, program, showStatus)
}

export function evidenceCommand(program: Program): Command {
  const evidence = new Command("evidence")
    .description("validators that signed two things which exclude each other")
    .addHelpText(
      "after",
      `
No honest validator does that, whatever fails. Each line stands with the entry that proves it to
every mission. With --json, hashes are whole, and "proof" holds both signed votes.
`,
    )
  return act(evidence, program, showEvidence)
}

async function showStatus(session: Session): Promise<void> {
  const { terminal } = session
  const status = await (await session.client()).ledgerStatus()
  terminal.json(status)
  showLedger(terminal, status)
  showValidators(terminal, status)
}

function showLedger(terminal: Terminal, status: LedgerStatus): void {
  const { atMs, finalAtMs, finalView, view } = status
  terminal.fields([
    ["label.ledger", stateLine(terminal, status)],
    ["label.quorum", quorumLine(terminal, status)],
    ["label.vote", voteLine(terminal, status)],
    ["label.todo", adviceLine(terminal, status)],
    [
      "label.lastFinal",
      finalAtMs === undefined
        ? terminal.say("never")
        : `${terminal.zulu(finalAtMs)} (${ago(terminal, atMs - finalAtMs)})`,
    ],
    [
      "label.height",
      terminal.say("ledger.height", { height: status.height, seen: status.heightSeen }),
    ],
    ["label.entries", terminal.number(status.entries)],
    ["label.waiting", terminal.number(status.pending)],
    [
      "label.views",
      view === undefined
        ? terminal.number(finalView)
        : terminal.say("ledger.views", { final: finalView, view }),
    ],
    ["label.evidence", evidenceLine(terminal, status)],
    ["label.network", status.network],
    ["label.rootHash", status.rootHash],
    ["label.blockHash", status.blockHash],
  ])
}

function showValidators(terminal: Terminal, status: LedgerStatus): void {
  const { validators, atMs } = status
  const isHearing = validators.some(({ heardAtMs }) => heardAtMs !== undefined)
  terminal.line()
  terminal.table(
    [
      { head: "head.validator" },
      { head: "head.state", isFlexible: !isHearing },
      ...(isHearing ? [{ head: "head.lastHeard", isFlexible: true } as const] : []),
    ],
    validators.map((validator) => {
      const { mission, heardAtMs } = validator
      const row = [mission, validatorWord(terminal, validator, status)]
      if (!isHearing) return row
      if (heardAtMs === undefined) return [...row, ""]
      const heard = ago(terminal, atMs - heardAtMs)
      const isGone = validator.state === "silent" || validator.state === "down"
      return [...row, isGone ? `${heard} (${terminal.zulu(heardAtMs)})` : heard]
    }),
  )
}

async function showEvidence(session: Session): Promise<void> {
  const { terminal } = session
  const evidence = await (await session.client()).ledgerEvidence()
  terminal.json({ evidence })
  if (terminal.isJson) return
  if (evidence.length === 0) {
    terminal.tell("evidence.none")
    return
  }
  terminal.tell("evidence.head")
  terminal.tell("evidence.tell")
  terminal.line()
  terminal.table(
    [
      { head: "head.mission" },
      { head: "head.epoch", side: "right" },
      { head: "head.view", side: "right" },
      { head: "head.signed" },
      { head: "head.blocks", isFlexible: true },
      { head: "head.recorded" },
    ],
    evidence.map((one) => rowOf(terminal, one)),
  )
}

function rowOf(terminal: Terminal, one: EvidenceInfo): string[] {
  const both = [one.first, one.second]
  return [
    one.mission,
    terminal.number(one.epoch),
    terminal.number(one.view),
    both.map(({ kind }) => terminal.say(`vote.${kind}`)).join(" + "),
    both.map(shortHash).join(" "),
    one.index === undefined
      ? terminal.say("evidence.local")
      : terminal.say("evidence.entry", { index: one.index }),
  ]
}

function shortHash({ blockHash }: SignedVote): string {
  return blockHash === undefined ? "–" : blockHash.slice(0, HASH_DIGITS)
}

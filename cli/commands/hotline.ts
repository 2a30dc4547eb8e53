/** `tarbarta hotline`: raise a signal, see the list, answer one; `watch` is in hotline-watch.ts. */

import { Command } from "commander"
import type { Kind, Signal, SignalDesk, SignalDraft } from "../../node/api/shapes.ts"
import {
  KINDS,
  SIGNAL_CERTAINTIES,
  SIGNAL_EVENT_KINDS,
  SIGNAL_SEVERITIES,
  SIGNAL_URGENCIES,
} from "../../protocol/words.ts"
import { CliError } from "../errors.ts"
import { watch, type Watching } from "../follow.ts"
import { count, given, idDigits, missions, oneOf, seconds } from "../options.ts"
import { act, type Program, type Session } from "../session.ts"
import { watchCommand } from "./hotline-watch.ts"

const WAIT_SECONDS = 60

interface RaiseOptions {
  readonly event: string
  readonly to?: readonly string[]
  readonly place?: string
  readonly urgency?: string
  readonly severity?: string
  readonly certainty?: string
  readonly officer?: string
  readonly kind?: Kind
  readonly wait?: number | true
}

export function hotlineCommand(program: Program): Command {
  const hotline = new Command("hotline")
  hotline.addCommand(raiseCommand(program))
  const list = hotline
    .command("list")
    .description("list signals, raised and received, newest first")
    .option("--open", "only those that nobody has acknowledged")
    .option("--limit <COUNT>", "at most so many", count)
  act(list, program, listSignals)
  hotline.addCommand(watchCommand(program))
  const ack = hotline
    .command("ack")
    .argument("<id>", "its ID, or the first 6 digits or more", idDigits)
    .description("take a signal: its caller sees your name at once")
    .requiredOption("--officer <NAME>", "who takes it")
  act(ack, program, acknowledge)
  return hotline
}

function raiseCommand(program: Program): Command {
  const raise = new Command("raise")
    .description("ring every desk at once")
    .argument("[text...]", "what happened")
    .requiredOption(
      "--event <KIND>",
      SIGNAL_EVENT_KINDS.list.join(", "),
      oneOf(SIGNAL_EVENT_KINDS.list),
    )
    .option("--to <CODES>", "missions to ring (default: the desks of the network)", missions)
    .option("--place <TEXT>", "where it happened")
    .option("--urgency <WORD>", SIGNAL_URGENCIES.list.join(", "), oneOf(SIGNAL_URGENCIES.list))
    .option("--severity <WORD>", SIGNAL_SEVERITIES.list.join(", "), oneOf(SIGNAL_SEVERITIES.list))
    .option(
      "--certainty <WORD>",
      SIGNAL_CERTAINTIES.list.join(", "),
      oneOf(SIGNAL_CERTAINTIES.list),
    )
    .option("--officer <NAME>", "who raises it")
    .option("--kind <KIND>", `what it is: ${KINDS.list.join(", ")}`, oneOf(KINDS.list))
    .option(
      "--wait [SECONDS]",
      `stay and show displayed and acknowledged (default: ${WAIT_SECONDS} s at most)`,
      seconds,
    )
    .addHelpText(
      "after",
      `
Examples:
  tarbarta hotline raise --event attack "Shots at the gate" --place Gate --wait
  tarbarta hotline raise --event medical --to DAC "চিকিৎসক প্রয়োজন"
  tarbarta hotline raise --event other --kind test "Line test"
`,
    )
  return act(raise, program, raiseSignal)
}

async function raiseSignal(
  session: Session,
  options: RaiseOptions,
  words: readonly string[],
): Promise<void> {
  const { terminal } = session
  const { event, to, place, urgency, severity, certainty, officer, kind, wait } = options
  const draft: SignalDraft = {
    event,
    text: words.join(" "),
    ...given({ to, place, urgency, severity, certainty, officer, kind }),
  }
  const client = await session.client()
  const watching =
    wait === undefined
      ? undefined
      : await watch(client, 1_000 * (wait === true ? WAIT_SECONDS : wait))
  try {
    const signal = await client.raiseSignal(draft)
    const desks = signal.desks.map((desk) => desk.mission).join(",")
    terminal.tell("signal.raised", { id: signal.id.slice(0, 8), event: signal.event, to: desks })
    if (watching === undefined) terminal.json(signal)
    else await follow(session, watching, signal)
  } finally {
    watching?.stop()
  }
}

async function follow(session: Session, watching: Watching, raised: Signal): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  const { state: signal, isTimedOut } = await watching.until(
    raised.id,
    () => client.signal(raised.id),
    (now, before) => tellChanges(session, now, before),
    // One officer is enough: the signal is in somebody's hands.
    (now) => now.desks.some((desk) => desk.acknowledgedMs !== undefined),
  )
  terminal.json(signal)
  if (!isTimedOut) return
  const displayed = signal.desks.filter((desk) => desk.displayedMs !== undefined).length
  throw new CliError(
    "TIMED_OUT",
    `signal ${signal.id.slice(0, 8)}: displayed at ${displayed} of ${signal.desks.length} desks, ` +
      "not acknowledged when the time was up",
    { hint: "it keeps ringing; `tarbarta hotline list --open` shows it" },
  )
}

function tellChanges({ terminal }: Session, now: Signal, before: Signal | undefined): void {
  for (const desk of now.desks) {
    const last = before?.desks.find((other) => other.mission === desk.mission)
    const { mission, displayedMs, acknowledgedMs, officer = "" } = desk
    if (displayedMs !== undefined && last?.displayedMs === undefined) {
      terminal.tell("signal.displayed", { mission, ms: displayedMs - now.raisedMs })
    }
    if (acknowledgedMs !== undefined && last?.acknowledgedMs === undefined) {
      terminal.tell("signal.acknowledged", { mission, officer, ms: acknowledgedMs - now.raisedMs })
    }
  }
}

async function listSignals(
  session: Session,
  options: { readonly open?: boolean; readonly limit?: number },
): Promise<void> {
  const { terminal } = session
  const signals = await (await session.client()).signals(given(options))
  terminal.json({ signals })
  if (signals.length === 0) {
    terminal.tell("signal.none")
    return
  }
  terminal.table(
    [
      { head: "head.id" },
      { head: "head.from" },
      { head: "head.event" },
      { head: "head.date" },
      { head: "head.state" },
      { head: "head.text", isFlexible: true },
    ],
    signals.map((signal) => [
      signal.id.slice(0, 8),
      signal.from,
      signal.event,
      terminal.zulu(signal.raisedMs),
      stateOf(session, signal),
      signal.kind === "real"
        ? signal.text
        : `[${terminal.say(`kind.${signal.kind}`)}] ${signal.text}`,
    ]),
  )
}

const ORDER: readonly SignalDesk["state"][] = [
  "expired",
  "raised",
  "sent",
  "displayed",
  "acknowledged",
]

/** The furthest that any desk has come. */
function stateOf({ terminal }: Session, signal: Signal): string {
  const ranks = signal.desks.map((desk) => ORDER.indexOf(desk.state))
  return terminal.say(`state.${ORDER[Math.max(...ranks)] ?? "raised"}`)
}

async function acknowledge(
  session: Session,
  options: { readonly officer: string },
  id: string,
): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  const signal = await client.acknowledgeSignal(id, options.officer.normalize("NFC"))
  terminal.json(signal)
  terminal.tell("signal.own", { id: signal.id.slice(0, 8), officer: options.officer })
}

/** `tarbarta cable`: send, list, read, follow and acknowledge cables. */

import { Command } from "commander"
import type { Cable, CableStatus, CableSummary } from "../../node/api/shapes.ts"
import { act, type Program, type Session } from "../session.ts"
import { count, idDigits } from "../options.ts"
import { writeBytes } from "../files.ts"
import { sendCommand } from "./cable-send.ts"

/** Digits of an id that lists show; any command takes them. */
const SHOWN_DIGITS = 8

interface InboxOptions {
  readonly unread?: boolean
  readonly sent?: boolean
  readonly limit?: number
}

export function cableCommand(program: Program): Command {
  const cable = new Command("cable")
  cable.addCommand(sendCommand(program))
  const inbox = cable
    .command("inbox")
    .description("list the cables that came in, newest first")
    .option("--unread", "only those that nobody has read here")
    .option("--sent", "list the cables that went out instead")
    .option("--limit <COUNT>", "at most so many", count)
  act(inbox, program, listCables)
  const read = cable
    .command("read")
    .argument("<id>", "its ID, or the first 6 digits or more", idDigits)
    .description("show a cable; it counts as read from then on")
    .option("--envelope <FILE>", "write the envelope as it was received, for an audit")
  act(read, program, readCable)
  const status = cable
    .command("status")
    .argument("<id>", "its ID, or the first 6 digits or more", idDigits)
    .description("show how far a cable has come")
  act(status, program, showStatus)
  const ack = cable
    .command("ack")
    .argument("<id>", "its ID, or the first 6 digits or more", idDigits)
    .description("tell the sender that a cable was acted on")
    .option("--officer <NAME>", "who acted")
  act(ack, program, acknowledge)
  return cable
}

async function listCables(session: Session, options: InboxOptions): Promise<void> {
  const { terminal } = session
  const box = options.sent === true ? "sent" : "inbox"
  const client = await session.client()
  const cables = await client.cables({
    box,
    unread: options.unread === true,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  })
  terminal.json({ cables })
  if (cables.length === 0) {
    terminal.tell("cable.none")
    return
  }
  terminal.table(
    [
      { head: "head.id" },
      { head: box === "sent" ? "head.to" : "head.state" },
      ...(box === "sent" ? [] : [{ head: "head.from" } as const]),
      { head: "head.precedence" },
      { head: "head.date" },
      { head: "head.subject", isFlexible: true },
    ],
    cables.map((cable) => [
      cable.id.slice(0, SHOWN_DIGITS),
      ...(box === "sent"
        ? [[...cable.to, ...cable.info].join(",")]
        : [stateOf(session, cable), cable.from]),
      terminal.say(`precedence.${cable.precedence}`),
      cable.dtg === "" ? terminal.zulu(cable.createdMs) : cable.dtg,
      titleOf(session, cable),
    ]),
  )
}

function stateOf({ terminal }: Session, cable: CableSummary): string {
  if (cable.acted) return terminal.say("state.acted")
  return terminal.say(cable.read ? "state.read" : "state.new")
}

/** A drill must never be taken for the real thing. */
function titleOf({ terminal }: Session, cable: CableSummary): string {
  if (cable.kind === "real") return cable.subject
  return `[${terminal.say(`kind.${cable.kind}`)}] ${cable.subject}`
}

async function readCable(
  session: Session,
  options: { readonly envelope?: string },
  id: string,
): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  // The envelope first: who asks for it wants it from a cable that is not marked yet, too.
  const { envelope: file } = options
  const envelope = file === undefined ? undefined : await client.cableEnvelope(id)
  const bytes =
    file === undefined || envelope === undefined ? undefined : await writeBytes(file, envelope)
  const cable = await client.cable(id, { mark: true })
  terminal.json({ ...cable, ...(file === undefined ? {} : { envelope: { file, bytes } }) })
  if (!terminal.isJson) for (const warning of cable.warnings) terminal.warn(warning)
  showCable(session, cable)
  if (file !== undefined && bytes !== undefined) {
    terminal.note(terminal.say("cable.envelopeSaved", { file, bytes }))
  }
}

function showCable({ terminal }: Session, cable: Cable): void {
  terminal.fields([
    ["label.id", cable.id],
    ["label.from", cable.from],
    ["label.number", terminal.number(cable.seq)],
    ["label.date", cable.dtg === "" ? terminal.zulu(cable.createdMs) : cable.dtg],
    ["label.local", terminal.local(cable.createdMs)],
    ["label.precedence", terminal.say(`precedence.${cable.precedence}`)],
    ["label.classification", terminal.say(`class.${cable.classification}`)],
    ["label.caveats", cable.caveats.join(", ")],
    ["label.kind", cable.kind === "real" ? "" : terminal.say(`kind.${cable.kind}`)],
    ["label.to", cable.to.join(", ")],
    ["label.info", cable.info.join(", ")],
    ["label.exempted", cable.exempted.join(", ")],
    ["label.subject", cable.subject],
    ["label.originRef", cable.originRef],
    ["label.references", cable.references.join("; ")],
    ["label.codes", cable.subjectCodes.join(", ")],
    ["label.reply", cable.inReplyTo],
    ["label.drafter", cable.drafter],
    ["label.releaser", cable.releaser],
    ["label.breakGlass", cable.breakGlass ? terminal.say("yes") : ""],
    ["label.registered", terminal.yesNo(cable.registered)],
  ])
  terminal.line()
  terminal.line(cable.text)
}

async function showStatus(session: Session, _options: object, id: string): Promise<void> {
  const { terminal } = session
  const status = await (await session.client()).cableStatus(id)
  terminal.json(status)
  terminal.tell("cable.sentFrom", {
    seq: status.seq,
    from: status.from,
    date: terminal.zulu(status.createdMs),
  })
  showAddressees(session, status)
  terminal.fields([
    ["label.registered", terminal.yesNo(status.registered)],
    ["label.height", status.ledger === undefined ? "" : terminal.number(status.ledger.height)],
  ])
}

function showAddressees({ terminal }: Session, status: CableStatus): void {
  terminal.table(
    [
      { head: "head.mission" },
      { head: "head.role" },
      { head: "head.precedence" },
      { head: "head.state", isFlexible: true },
      { head: "head.date" },
      { head: "head.tries", side: "right" },
    ],
    status.addressees.map((one) => [
      one.mission,
      terminal.say(`role.${one.role}`),
      terminal.say(`precedence.${one.precedence}`),
      terminal.say(`state.${one.state}`) + (one.reason === undefined ? "" : ` (${one.reason})`),
      terminal.zulu(one.atMs),
      terminal.number(one.attempts),
    ]),
  )
}

async function acknowledge(
  session: Session,
  options: { readonly officer?: string },
  id: string,
): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  const { officer } = options
  const done = await client.acknowledgeCable(id, {
    stage: "acted",
    ...(officer === undefined ? {} : { officer: officer.normalize("NFC") }),
  })
  terminal.json(done)
  terminal.tell("cable.acknowledged", { id: done.id.slice(0, SHOWN_DIGITS) })
}

/** `tarbarta cable send`: a text and its addressees → a queued cable, followed if wanted. */

import { Command } from "commander"
import type {
  AddresseeStatus,
  CableDraft,
  CableQueued,
  CableStatus,
  Classification,
  Kind,
  Precedence,
} from "../../node/api/shapes.ts"
import { CABLE_TEXT_BYTES_MAX } from "../../protocol/limits.ts"
import { CLASSIFICATIONS, KINDS, PRECEDENCES } from "../../protocol/words.ts"
import { CliError } from "../errors.ts"
import { decodeText, readBytes, readInput } from "../files.ts"
import { watch, type Watching } from "../follow.ts"
import { given, idDigits, list, missions, oneOf, seconds, several } from "../options.ts"
import { act, type Program, type Session } from "../session.ts"
import { pad } from "../width.ts"

const WAIT_SECONDS = 60
const STATE_CELLS = 10

interface SendOptions {
  readonly to: readonly string[]
  readonly info?: readonly string[]
  readonly exempt?: readonly string[]
  readonly precedence?: Precedence
  readonly classification?: Classification
  readonly caveat?: readonly string[]
  readonly subject?: string
  readonly text?: string
  readonly replyTo?: string
  readonly ref?: readonly string[]
  readonly code?: readonly string[]
  readonly originRef?: string
  readonly dtg?: string
  readonly drafter?: string
  readonly releaser?: string
  readonly breakGlass?: boolean
  readonly kind?: Kind
  readonly wait?: number | true
}

export function sendCommand(program: Program): Command {
  const send = new Command("send")
    .description("send a cable; it is on its way, whatever happens, once it is queued")
    .argument("[file]", "the text, in UTF-8; - or nothing: standard input")
    .requiredOption("--to <CODES>", "missions that are to act, such as LON,DEL", missions)
    .option("--info <CODES>", "missions that are to know", missions)
    .option("--exempt <CODES>", "missions that must not get it: they get no key", missions)
    .option("--precedence <LEVEL>", PRECEDENCES.list.join(", "), oneOf(PRECEDENCES.list))
    .option(
      "--classification <LEVEL>",
      CLASSIFICATIONS.list.join(", "),
      oneOf(CLASSIFICATIONS.list),
    )
    .option("--caveat <TEXT>", "handling caveat; may be repeated", several)
    .option("--subject <TEXT>", "subject line")
    .option("--text <TEXT>", "the text itself, instead of a file")
    .option("--reply-to <ID>", "the cable that this one answers", idDigits)
    .option("--ref <TEXT>", "reference line; may be repeated", several)
    .option("--code <CODES>", "subject codes", list)
    .option("--origin-ref <TEXT>", "the originator's own number")
    .option("--dtg <GROUP>", 'date-time group, such as "211935Z JUL 67" (default: now)')
    .option("--drafter <NAME>", "the officer who drafted it")
    .option("--releaser <NAME>", "the officer who releases it; somebody else")
    .option("--break-glass", "send without the second officer; everybody will see that")
    .option("--kind <KIND>", `what it is: ${KINDS.list.join(", ")}`, oneOf(KINDS.list))
    .option(
      "--wait [SECONDS]",
      `show queued, delivered, registered as it happens (default: ${WAIT_SECONDS} s at most)`,
      seconds,
    )
    .addHelpText(
      "after",
      `
Examples:
  tarbarta cable send --to LON,DEL --info NYC --subject "Visit" letter.txt
  tarbarta cable send --to DAC --precedence flash --text "Border closed" --wait
  tarbarta cable send --to LON --reply-to 4f2a91 --text "সম্মত" --lang bn
  echo "Line test" | tarbarta cable send --to LON --kind test
`,
    )
  return act(send, program, sendCable)
}

async function sendCable(
  session: Session,
  options: SendOptions,
  file: string | undefined,
): Promise<void> {
  const { terminal } = session
  const draft = draftOf(options, await textOf(session, options, file))
  const client = await session.client()
  const { wait } = options
  // Before the cable is handed in, or its first events would be missed.
  const watching =
    wait === undefined
      ? undefined
      : await watch(client, 1_000 * (wait === true ? WAIT_SECONDS : wait))
  try {
    const queued = await client.sendCable(draft)
    if (queued.textChanged) terminal.note(terminal.say("cable.changed"))
    const to = [...draft.to, ...(draft.info ?? [])].join(",")
    terminal.tell("cable.queued", { id: queued.id.slice(0, 8), seq: queued.seq, to })
    if (watching === undefined) terminal.json(queued)
    else await follow(session, watching, queued)
  } finally {
    watching?.stop()
  }
}

function draftOf(options: SendOptions, text: string): CableDraft {
  return {
    to: options.to,
    subject: options.subject ?? "",
    text,
    ...given({
      info: options.info,
      exempted: options.exempt,
      precedence: options.precedence,
      classification: options.classification,
      caveats: options.caveat,
      kind: options.kind,
      dtg: options.dtg,
      originRef: options.originRef,
      references: options.ref,
      subjectCodes: options.code,
      inReplyTo: options.replyTo,
      drafter: options.drafter,
      releaser: options.releaser,
      breakGlass: options.breakGlass,
    }),
  }
}

async function textOf(
  { terminal }: Session,
  options: SendOptions,
  file: string | undefined,
): Promise<string> {
  if (options.text !== undefined) {
    if (file === undefined) return options.text
    throw new CliError("USAGE", "expected a file or --text, got both")
  }
  if (file !== undefined && file !== "-") {
    return decodeText(await readBytes(file, CABLE_TEXT_BYTES_MAX), file)
  }
  if (terminal.isAttended) terminal.note(terminal.say("cable.type"))
  const bytes = await readInput(CABLE_TEXT_BYTES_MAX)
  if (bytes.length === 0) {
    throw new CliError("TEXT_MISSING", "standard input: no text", {
      hint: "name a file, or give the text with --text",
    })
  }
  return decodeText(bytes, "standard input")
}

async function follow(session: Session, watching: Watching, queued: CableQueued): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  const { state: status, isTimedOut } = await watching.until(
    queued.id,
    () => client.cableStatus(queued.id),
    (now, before) => tellChanges(session, now, before),
    (now) => now.registered && now.addressees.every(isEnded),
  )
  terminal.json({ ...queued, status })
  const id = queued.id.slice(0, 8)
  if (isTimedOut) {
    const hint = status.addressees.every(isEnded)
      ? "it waits for the ledger alone, and nothing is lost; `tarbarta ledger status` tells why"
      : `it stays queued until it arrives; \`tarbarta cable status ${id}\` tells`
    throw new CliError("TIMED_OUT", `cable ${id}: ${reached(status)} when the time was up`, {
      hint,
    })
  }
  const refused = status.addressees.filter((one) => one.state === "refused")
  if (refused.length > 0) {
    const who = refused.map((one) => `${one.mission} (${one.reason ?? "no reason"})`).join(", ")
    throw new CliError("CABLE_REFUSED", `cable ${id}: refused by ${who}`)
  }
}

const DELIVERED: readonly string[] = ["delivered", "read", "acted"]

function isEnded(one: AddresseeStatus): boolean {
  return one.state === "refused" || DELIVERED.includes(one.state)
}

function tellChanges(
  { terminal }: Session,
  now: CableStatus,
  before: CableStatus | undefined,
): void {
  for (const one of now.addressees) {
    const last = before?.addressees.find((other) => other.mission === one.mission)
    if (one.state === (last?.state ?? "queued")) continue
    const state = pad(terminal.say(`state.${one.state}`), STATE_CELLS)
    terminal.tell("cable.progress", { state, mission: one.mission })
  }
  if (now.delivered && before?.delivered !== true) terminal.tell("cable.everyone")
  if (now.registered && before?.registered !== true) {
    terminal.tell("cable.registered", { index: now.ledger?.index ?? "" })
  }
}

/** How far it came, in one line. */
function reached(status: CableStatus): string {
  const delivered = status.addressees.filter((one) => DELIVERED.includes(one.state)).length
  const registered = status.registered ? "registered" : "not registered"
  return `delivered to ${delivered} of ${status.addressees.length}, ${registered}`
}

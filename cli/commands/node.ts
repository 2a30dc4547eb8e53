/** `tarbarta node`: start, show and stop the process that carries this mission's cables. */

import { readFile } from "node:fs/promises"
import { Command, Option } from "commander"
import type { NodeStatus } from "../../node/api/shapes.ts"
import { CliError } from "../errors.ts"
import { seconds } from "../options.ts"
import { passphraseFor, passphraseFromInput } from "../passphrase.ts"
import { stateLine, voteLine, warningLines } from "../ledger-state.ts"
import { act, type Program, type Session } from "../session.ts"

const STOP_SECONDS = 60
const STOP_POLL_MS = 50

interface StartOptions {
  readonly background?: boolean
  readonly passphraseInput?: boolean
}

export function nodeCommand(program: Program): Command {
  const node = new Command("node")
  const start = node
    .command("start")
    .description("run the node until Ctrl-C or `tarbarta node stop`")
    .option("--background", "return when it is ready, and leave it running")
    .addOption(new Option("--passphrase-input").hideHelp())
    .addHelpText(
      "after",
      `
The passphrase is asked for, or read from the file TARBARTA_PASSPHRASE_FILE.
With --background the node writes its log to node.log in its home.
`,
    )
  act(start, program, startNode)
  const status = node.command("status").description("show whether the node is well and connected")
  act(status, program, showStatus)
  const stop = node
    .command("stop")
    .description("stop the node and wait until it is gone; nothing is lost")
    .option("--timeout <SECONDS>", `wait at most so long (default: ${STOP_SECONDS})`, seconds)
  act(stop, program, stopNode)
  return node
}

async function startNode(session: Session, options: StartOptions): Promise<void> {
  // Before anybody types a passphrase for a home that is not there.
  const { openHome } = await import("../../node/home.ts")
  await openHome(session.home)
  if (options.background === true) {
    const passphrase = await passphraseFor(session, { isNew: false })
    const { startInBackground } = await import("../background.ts")
    const ready = startInBackground(session, passphrase)
    tellReady(session, await session.terminal.during("busy.start", ready))
    return
  }
  const { reportFailure, reportReady } = await import("../background.ts")
  try {
    await runNode(session, options, reportReady)
  } catch (error) {
    reportFailure(error)
    throw error
  }
}

async function runNode(
  session: Session,
  options: StartOptions,
  onReady: (status: NodeStatus) => void,
): Promise<void> {
  const { home, terminal } = session
  const passphrase =
    options.passphraseInput === true
      ? await passphraseFromInput()
      : await passphraseFor(session, { isNew: false })
  const node = await import("../../node/start.ts")
  const writeLog = (line: string): void => terminal.log(line)
  const running = await terminal.during(
    "busy.start",
    node.startNode({ home, passphrase, writeLog }),
  )
  const stop = (): void => {
    terminal.note(terminal.say("node.stopping"))
    running.stop()
  }
  process.once("SIGINT", stop)
  process.once("SIGTERM", stop)
  const status = await running.service.status()
  tellReady(session, status)
  onReady(status)
  await running.stopped
  process.off("SIGINT", stop)
  process.off("SIGTERM", stop)
}

function tellReady({ terminal, home }: Session, status: NodeStatus): void {
  const { mission, pid, network, fingerprint, addresses, admitted } = status
  terminal.json({ ready: true, mission, pid, network, fingerprint, addresses, admitted, home })
  terminal.tell(admitted ? "node.ready" : "node.waiting", { mission, pid: pid.toString() })
}

async function showStatus(session: Session): Promise<void> {
  const { terminal } = session
  const status = await (await session.client()).status()
  terminal.json(status)
  terminal.fields([
    ["label.mission", status.mission],
    ["label.admitted", terminal.yesNo(status.admitted)],
    ["label.network", status.network],
    ["label.fingerprint", status.fingerprint],
    ["label.process", status.pid.toString()],
    ["label.started", terminal.zulu(status.startedMs)],
    ["label.version", status.version],
    ["label.addresses", status.addresses.join(" ")],
    ["label.connected", status.connected.join(", ") || terminal.say("none")],
    ["label.outbox", terminal.number(status.outbox)],
    ["label.relayed", terminal.number(status.relayed)],
    ["label.unread", terminal.number(status.unread)],
    ["label.signals", terminal.number(status.openSignals)],
    ["label.ledger", stateLine(terminal, status.ledger)],
    ["label.vote", voteLine(terminal, status.ledger)],
    ["label.height", terminal.number(status.ledger.height)],
    ["label.seen", terminal.number(status.ledger.heightSeen)],
    ["label.pending", terminal.number(status.ledger.pending)],
  ])
  if (!terminal.isJson) for (const line of await warningsOf(session, status)) terminal.warn(line)
}

/**
 * The node warns in English. What it says of the ledger stands in fields, too: that is told in the
 * reader's language; of the rest, what begins with a code has a sentence for it.
 */
async function warningsOf({ terminal }: Session, status: NodeStatus): Promise<string[]> {
  if (terminal.language === "en") return [...status.warnings]
  const { ledgerWarnings } = await import("../../node/ledger-warnings.ts")
  const ofLedger = ledgerWarnings(status.ledger)
  const others = status.warnings.filter((warning) => !ofLedger.includes(warning))
  const told = others.map(async (warning) => {
    const [, code, detail] = /^([A-Z_]+): (.*)$/s.exec(warning) ?? []
    return code === undefined || detail === undefined ? warning : terminal.reason(code, detail)
  })
  return [...(await Promise.all(told)), ...warningLines(terminal, status.ledger)]
}

async function stopNode(session: Session, options: { readonly timeout?: number }): Promise<void> {
  const { terminal } = session
  const client = await session.client()
  const { pid, mission } = await client.status()
  await client.stop()
  const timeoutMs = 1_000 * (options.timeout ?? STOP_SECONDS)
  const isGone = await terminal.during("busy.stop", waitUntilGone(pid, timeoutMs))
  if (!isGone) {
    throw new CliError("TIMED_OUT", `process ${pid} is still stopping when the time was up`, {
      hint: "look again with `tarbarta node status`",
    })
  }
  terminal.json({ stopped: true, mission, pid })
  terminal.tell("node.stopped")
}

async function waitUntilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const endMs = performance.now() + timeoutMs
  while (performance.now() < endMs) {
    if (!(await isAlive(pid))) return true
    await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS))
  }
  return false
}

/** A process that has ended but that nobody has collected yet counts as gone. */
async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false
    throw error
  }
  if (process.platform !== "linux") return true
  try {
    return !/\) [ZX] /.test(await readFile(`/proc/${pid}/stat`, "utf8"))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false
    throw error
  }
}

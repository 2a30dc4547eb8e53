/** `tarbarta hotline watch`: the desk as a process that stays (desk.ts). */

import { Command } from "commander"
import type { Clock } from "../../node/clock.ts"
import { Desk } from "../desk.ts"
import { act, type Program, type Session } from "../session.ts"

interface WatchOptions {
  readonly bell: boolean
  readonly seat: string
}

export function watchCommand(program: Program): Command {
  const watch = new Command("watch")
    .description("be the desk: show every signal and ring until it is acknowledged")
    .option("--no-bell", "show, but do not ring")
    .option("--seat <NAME>", "name of this screen", "desk")
    .addHelpText(
      "after",
      `
Answer from another terminal: tarbarta hotline ack 4f2a91 --officer "S. Akter"
Ctrl-C ends the watch. With --json, one JSON object is printed for each signal.
`,
    )
  return act(watch, program, keepWatch)
}

/** Unlike those of the node, these timers keep the process alive. */
const CLOCK: Pick<Clock, "after"> = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

async function keepWatch(session: Session, options: WatchOptions): Promise<void> {
  const { terminal } = session
  const { bell: isRinging, seat } = options
  const ending = new AbortController()
  const end = (): void => ending.abort()
  process.once("SIGINT", end)
  process.once("SIGTERM", end)
  const client = await session.client()
  const { mission } = await client.status()
  const desk = new Desk({ terminal, client, clock: CLOCK, seat, isRinging })
  try {
    await desk.watch(ending.signal, () => terminal.note(terminal.say("watch.ready", { mission })))
  } finally {
    process.off("SIGINT", end)
    process.off("SIGTERM", end)
  }
}

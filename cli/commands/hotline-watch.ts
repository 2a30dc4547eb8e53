/** `tarbarta hotline watch`: the desk as a process that stays (desk.ts). */

import { Command } from "commander"
import { Desk } from "../desk.ts"
import { act, type Program, type Session } from "../session.ts"
import { STAYING_CLOCK, untilInterrupted } from "../stay.ts"

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

async function keepWatch(session: Session, options: WatchOptions): Promise<void> {
  const { terminal } = session
  const { bell: isRinging, seat } = options
  await untilInterrupted(async (ending) => {
    const client = await session.client()
    const { mission } = await client.status()
    const desk = new Desk({ terminal, client, clock: STAYING_CLOCK, seat, isRinging })
    await desk.watch(ending, () => terminal.note(terminal.say("watch.ready", { mission })))
  })
}

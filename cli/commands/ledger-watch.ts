/** `tarbarta ledger watch`: the ledger as a screen that stays (ledger-follower.ts). */

import { Command } from "commander"
import { LedgerFollower } from "../ledger-follower.ts"
import { act, type Program, type Session } from "../session.ts"
import { STAYING_CLOCK, untilInterrupted } from "../stay.ts"

export function watchCommand(program: Program): Command {
  const watch = new Command("watch")
    .description("follow the ledger: each block as it becomes final, validators that come and go")
    .addHelpText(
      "after",
      `
Nothing is printed while nothing waits for the ledger. Ctrl-C ends the watch. With --json, JSON
Lines, one object a line, told apart by "type": "validator" for each at the beginning and when it
changes, "quorum" at the beginning and when it changes, "block" for each block, "missed" for blocks
that became final while the watch had no contact. Their fields are listed in docs/JSON.md.
`,
    )
  return act(watch, program, keepWatch)
}

async function keepWatch(session: Session): Promise<void> {
  const { terminal } = session
  await untilInterrupted(async (ending) => {
    const client = await session.client()
    const { mission, ledger } = await client.status()
    const follower = new LedgerFollower({ terminal, client, clock: STAYING_CLOCK })
    await follower.watch(ending, () => {
      terminal.note(terminal.say("follow.ready", { mission, height: ledger.height }))
    })
  })
}

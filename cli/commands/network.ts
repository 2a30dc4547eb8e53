/** `tarbarta network`: the beginning of a network, made once, at headquarters. */

import { Command, Option } from "commander"
import { homeOptions, withHomeOptions, type HomeOptions } from "../home-options.ts"
import { passphraseFor } from "../passphrase.ts"
import { act, type Program, type Session } from "../session.ts"

interface CreateOptions extends HomeOptions {
  readonly origin?: string
  readonly transport: "noise" | "tls-pq"
  readonly twoPerson: boolean
}

export function networkCommand(program: Program): Command {
  const network = new Command("network")
  const create = withHomeOptions(
    network.command("create").argument("<name>", "name of the network"),
  )
    .description("make a network, with this machine as headquarters' node")
    .option("--origin <LINE>", "name of the ledger for auditors, such as ledger.example/tarbarta")
    .addOption(
      new Option("--transport <PROTOCOL>", "how links are encrypted, for the whole network")
        .choices(["noise", "tls-pq"])
        .default("noise"),
    )
    .option("--two-person", "cables that matter need a drafter and a releaser", false)
    .addHelpText(
      "after",
      `
The passphrase that will open the keys is asked for (or TARBARTA_PASSPHRASE_FILE).
Example:
  tarbarta network create "Bangladesh missions" --code DAC --name-en Dhaka \\
    --address /ip4/192.0.2.7/tcp/4001 --officer "A. Rahman=drafter,cipher"
`,
    )
  act(create, program, createNetwork)
  return network
}

async function createNetwork(
  session: Session,
  options: CreateOptions,
  name: string,
): Promise<void> {
  const { terminal, home } = session
  const passphrase = await passphraseFor(session, { isNew: true })
  const setup = await import("../../node/setup.ts")
  const created = await terminal.during(
    "busy.keys",
    setup.createNetwork({
      ...homeOptions(home, passphrase, options),
      name,
      origin: options.origin ?? `${options.code.toLowerCase()}.tarbarta`,
      transport: options.transport,
      twoPerson: options.twoPerson,
    }),
  )
  const { network, fingerprint, genesisFile } = created
  terminal.json({ network, fingerprint, genesisFile, home })
  terminal.tell("network.created", { name })
  terminal.fields([
    ["label.network", network],
    ["label.fingerprint", fingerprint],
    ["label.home", home],
    ["label.file", genesisFile],
  ])
  terminal.tell("network.next", { file: genesisFile })
}

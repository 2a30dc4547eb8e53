/**
 * The program `tarbarta`: its commands, its global options and its exit codes (OPERATIONS, "Command
 * line"). Each command loads what it needs when it runs, so that starting costs little.
 */

import { Command, CommanderError, Option } from "commander"
import { CliError, EXIT } from "./errors.ts"
import type { Environment, Program } from "./session.ts"
import { Terminal } from "./terminal.ts"
import { languageOf } from "./words.ts"

const EXAMPLES = `
Examples:
  tarbarta cable send --to LON,DEL letter.txt          send a file
  tarbarta cable inbox --unread                        what has come in
  tarbarta cable read 4f2a91                           read one, by part of its ID
  tarbarta hotline raise --event medical "Ambulance"   ring every desk
  tarbarta hotline watch                               be a desk: show and ring
  tarbarta ledger verify                               check the whole ledger

All but network, mission request and audit verify need a running node.
Exit codes: 0 done, 1 unexpected, 2 wrong usage, 3 no node answers,
            4 refused or verification failed, 5 timed out.
`

/** Runs one command line; the number is the exit code. */
export async function main(words: readonly string[], environment: Environment): Promise<number> {
  // A reader that has seen enough, such as `head`, is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
    process.exit(EXIT.done)
  })
  const terminal = new Terminal({
    isJson: words.includes("--json"),
    language: languageOf(optionOf(words, "--lang"), environment),
  })
  try {
    await (await programOf(words, { environment })).parseAsync(words, { from: "user" })
    return EXIT.done
  } catch (error) {
    if (!(error instanceof CommanderError)) return terminal.failure(error)
    // Help and version end this way; help that was not asked for is an answer to wrong usage.
    return error.exitCode === 0 ? EXIT.done : EXIT.usage
  }
}

/** The nouns: what each is about, and where its verbs are. Only the one that is meant is loaded. */
const NOUNS: readonly {
  readonly name: string
  readonly about: string
  readonly load: () => Promise<(program: Program) => Command>
}[] = [
  {
    name: "cable",
    about: "send, list, read and acknowledge cables",
    load: async () => (await import("./commands/cable.ts")).cableCommand,
  },
  {
    name: "hotline",
    about: "raise, watch and answer hotline signals",
    load: async () => (await import("./commands/hotline.ts")).hotlineCommand,
  },
  {
    name: "ledger",
    about: "the record that all missions keep, and proofs",
    load: async () => (await import("./commands/ledger.ts")).ledgerCommand,
  },
  {
    name: "audit",
    about: "check proofs and copies, offline",
    load: async () => (await import("./commands/audit.ts")).auditCommand,
  },
  {
    name: "mission",
    about: "who belongs to the network; join and leave",
    load: async () => (await import("./commands/mission.ts")).missionCommand,
  },
  {
    name: "network",
    about: "make a network, once, by one or several founding missions",
    load: async () => (await import("./commands/network.ts")).networkCommand,
  },
  {
    name: "node",
    about: "start, show and stop this mission's node",
    load: async () => (await import("./commands/node.ts")).nodeCommand,
  },
]

async function programOf(words: readonly string[], program: Program): Promise<Command> {
  const root = new Command("tarbarta")
    .description("Cables and hotline signals between missions, end to end encrypted.")
    .version("0.1.0")
    .option("--home <DIR>", "the node's folder (default: TARBARTA_HOME, then the XDG data folder)")
    .option("--json", "print the result as JSON")
    .addOption(
      new Option("--lang <LANGUAGE>", "language of what is printed (default: LANG)").choices([
        "en",
        "bn",
      ]),
    )
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError(true)
  for (const { name, about, load } of NOUNS) {
    // The value of an option may be a noun, too: one loaded for nothing does no harm.
    const command = words.includes(name) ? (await load())(program) : new Command(name)
    root.addCommand(command.description(about))
  }
  prepare(root)
  return root
}

/** What every command has: the global options in any place, errors in our form, no exits inside. */
function prepare(command: Command): void {
  command.exitOverride()
  command.configureHelp({ showGlobalOptions: true })
  command.configureOutput({
    outputError: (text) => {
      const message = text.replace(/^error: /, "").replace(/\. expected/, ": expected")
      throw new CliError("USAGE", message.trim().replace(/\n/g, " ").replace(/\.$/, ""), {
        hint: `\`${pathOf(command)} --help\` shows how it is used`,
      })
    },
  })
  for (const child of command.commands) prepare(child)
}

function pathOf(command: Command): string {
  const parent = command.parent
  return parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`
}

function optionOf(words: readonly string[], name: string): string | undefined {
  const index = words.indexOf(name)
  const joined = words.find((word) => word.startsWith(`${name}=`))
  return joined?.slice(name.length + 1) ?? (index >= 0 ? words[index + 1] : undefined)
}

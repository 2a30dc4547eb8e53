/** What every command has at hand: the terminal, the home, the node's client, files, passphrases. */

import { homedir } from "node:os"
import { join, resolve } from "node:path"
import type { Command } from "commander"
import type { NodeClient } from "../node/api/client.ts"
import { Terminal } from "./terminal.ts"
import { languageOf, type Say } from "./words.ts"

export type Environment = Readonly<Record<string, string | undefined>>

interface GlobalOptions {
  readonly home?: string
  readonly json?: boolean
  readonly lang?: string
}

export class Session {
  readonly terminal: Terminal
  /** Absolute path of the node's home. */
  readonly home: string
  readonly environment: Environment
  #client: NodeClient | undefined

  constructor(options: GlobalOptions, environment: Environment) {
    this.terminal = new Terminal({
      isJson: options.json === true,
      language: languageOf(options.lang, environment),
    })
    this.home = homeOf(options.home, environment)
    this.environment = environment
  }

  /** Loaded when it is first needed: help needs none. */
  async client(): Promise<NodeClient> {
    const { NodeClient } = await import("../node/api/client.ts")
    this.#client ??= new NodeClient(this.home)
    return this.#client
  }
}

/** What the commands are built with. */
export interface Program {
  readonly say: Say
  readonly environment: Environment
}

/** A command's work. Arguments are as commander has them; the last two are cut off. */
export type Action<Options, Arguments extends readonly unknown[]> = (
  session: Session,
  options: Options,
  ...words: Arguments
) => Promise<void>

/** Gives a command its work. */
export function act<Options, Arguments extends readonly unknown[]>(
  command: Command,
  program: Program,
  run: Action<Options, Arguments>,
): Command {
  return command.action(async (...parameters: unknown[]) => {
    const words = parameters.slice(0, -2) as unknown as Arguments
    const session = new Session(command.optsWithGlobals<GlobalOptions>(), program.environment)
    await run(session, command.opts() as Options, ...words)
  })
}

function homeOf(option: string | undefined, environment: Environment): string {
  const { TARBARTA_HOME, XDG_DATA_HOME } = environment
  const chosen = [option, TARBARTA_HOME].find((one) => one !== undefined && one !== "")
  if (chosen !== undefined) return resolve(chosen)
  // Relative paths in XDG variables are to be ignored (XDG base directory specification).
  const isUsable = XDG_DATA_HOME !== undefined && XDG_DATA_HOME.startsWith("/")
  return join(isUsable ? XDG_DATA_HOME : join(homedir(), ".local", "share"), "tarbarta")
}

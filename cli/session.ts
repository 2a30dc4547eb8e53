/**
 * What every command has at hand: the terminal, the home, the node's client, files, passphrases.
 */

import type { Command } from "commander"
import type { NodeClient } from "../node/api/client.ts"
import { homePath } from "../node/home.ts"
import { Terminal } from "./terminal.ts"
import { languageOf } from "./words.ts"

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
    this.home = homePath(environment, options.home)
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

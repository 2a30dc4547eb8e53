/** The command line as people use it: the real `cli/tarbarta.js` in a process of its own. */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const PROGRAM = fileURLToPath(new URL("../../cli/tarbarta.js", import.meta.url))

export interface Ran {
  readonly out: string
  readonly errors: string
  readonly exit: number | null
}

/** Environment in which everything printed is the same on every machine. */
export function commandEnvironment(home: string): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    TARBARTA_HOME: home,
    XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] ?? `${process.env["HOME"] ?? home}/.cache`,
    LANG: "C.UTF-8",
    TZ: "Asia/Dhaka",
  }
}

/** Starts the command; its output is collected by {@link finished}. */
export function startCommand(
  home: string,
  words: readonly string[],
  environment: Record<string, string> = {},
): ChildProcess {
  return spawn(process.execPath, [PROGRAM, ...words], {
    cwd: home,
    env: { ...commandEnvironment(home), ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  })
}

/** Waits for the end of a process. */
export async function finished(child: ChildProcess): Promise<Ran> {
  const [out, errors, [exit]] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ])
  return { out, errors, exit }
}

/** Runs one command to its end; `input` is its standard input. */
export async function runCommand(
  home: string,
  words: readonly string[],
  options: { readonly input?: string | Uint8Array; readonly env?: Record<string, string> } = {},
): Promise<Ran> {
  const child = startCommand(home, words, options.env)
  child.stdin?.end(options.input ?? "")
  return finished(child)
}

/** Runs one line of a shell, in which `tarbarta` is the command. */
export async function runLine(home: string, line: string): Promise<Ran> {
  const script = `tarbarta() { "$NODE" "$PROGRAM" "$@"; }\n${line}\n`
  const child = spawn("sh", ["-c", script], {
    cwd: home,
    env: { ...commandEnvironment(home), NODE: process.execPath, PROGRAM },
    stdio: ["pipe", "pipe", "pipe"],
  })
  child.stdin.end()
  return finished(child)
}

async function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = ""
  stream?.setEncoding("utf8")
  for await (const chunk of stream ?? []) text += String(chunk)
  return text
}

/**
 * The cast of the demo: homes, node processes and command lines of a few posts on this machine.
 *
 * Every process is remembered by its id and is gone at the end, however the end comes.
 */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { NodeClient } from "../../node/api/client.ts"

const PROGRAM = fileURLToPath(new URL("../../cli/tarbarta.js", import.meta.url))
/** Gives a node's process a switch for its network. */
const CUT = new URL("./cut.ts", import.meta.url).href

/** What a command printed, and how it ended. */
export interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface PostName {
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  readonly drafter: string
  readonly releaser: string
}

interface Named {
  readonly fingerprint: string
}

export class DemoPost {
  readonly name: PostName
  readonly home: string
  readonly port: number
  readonly client: NodeClient
  readonly #cast: Cast
  #process: ChildProcess | undefined

  constructor(cast: Cast, name: PostName, home: string, port: number) {
    this.#cast = cast
    this.name = name
    this.home = home
    this.port = port
    this.client = new NodeClient(home)
  }

  get code(): string {
    return this.name.code
  }

  /** Runs one command of this post to its end. */
  async run(...words: readonly string[]): Promise<Ended> {
    return this.#cast.run(["--home", this.home, ...words])
  }

  /** As {@link run} with `--json`; an error when the command fails. */
  async json<T>(...words: readonly string[]): Promise<T> {
    const { code, out, err } = await this.run("--json", ...words)
    if (code !== 0) throw new Error(`${this.code}: ${words.join(" ")} ended with ${code}: ${err}`)
    return JSON.parse(out) as T
  }

  /** Starts the node; resolves when it is ready. */
  async start(): Promise<void> {
    const words = ["--home", this.home, "--json", "node", "start"]
    const child = this.#cast.spawn(words, ["--import", CUT])
    this.#process = child
    await firstLine(child, `node of ${this.code}`)
  }

  /** Ends the node in order. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM")
  }

  /** Ends the node as a power cut would. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL")
  }

  /** Pulls the network cable, or plugs it in again; the node runs on. */
  switchNetwork(): void {
    this.#process?.kill("SIGUSR2")
  }

  /** A command that stays, such as the desk; ended with the cast. */
  stay(...words: readonly string[]): ChildProcess {
    return this.#cast.spawn(["--home", this.home, "--json", ...words])
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    child.kill(signal)
    await exited
    this.#process = undefined
  }
}

export class Cast {
  readonly folder: string
  readonly genesis: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #children = new Set<ChildProcess>()
  #isClosing = false

  private constructor(folder: string) {
    this.folder = folder
    this.genesis = join(folder, "dac", "network.genesis")
    this.#environment = {
      ...process.env,
      TARBARTA_PASSPHRASE_FILE: join(folder, "passphrase"),
      TARBARTA_KDF_PROFILE: "test",
    }
  }

  static async assemble(): Promise<Cast> {
    const folder = await mkdtemp(join(tmpdir(), "tarbarta-"))
    const cast = new Cast(folder)
    await writeFile(join(folder, "passphrase"), "only for this demo\n", { mode: 0o600 })
    return cast
  }

  async post(name: PostName): Promise<DemoPost> {
    return new DemoPost(this, name, join(this.folder, name.code.toLowerCase()), await freePort())
  }

  /**
   * Founds a network of these posts, headquarters first, all of them validators, by the ceremony for
   * several; the network's fingerprint. `words` are the options for a post's home.
   */
  async found(
    posts: readonly DemoPost[],
    rules: readonly string[],
    words: (post: DemoPost) => readonly string[],
  ): Promise<string> {
    const [headquarters, ...others] = posts
    if (headquarters === undefined) throw new Error("a network has headquarters")
    const own = [...rules, ...words(headquarters)]
    if (others.length === 0) {
      return (await headquarters.json<Named>("network", "create", ...own)).fingerprint
    }
    const invitation = await this.place("network.invitation")
    const codes = others.map(({ code }) => code).join(",")
    const invite = ["--founders", codes, "--out", invitation]
    await headquarters.json("network", "prepare", ...own, ...invite)
    const records = await Promise.all(
      others.map(async (post) => {
        const record = await this.place(`${post.code}.founding`)
        const answer = ["--invitation", invitation, "--out", record]
        await post.json("network", "found", ...answer, ...words(post))
        return record
      }),
    )
    const assemble = ["network", "assemble", ...records, "--yes"]
    const { fingerprint } = await headquarters.json<Named>(...assemble)
    await Promise.all(others.map(async (post) => post.json("network", "join", this.genesis)))
    return fingerprint
  }

  /** A place for files of the demo. */
  async place(name: string): Promise<string> {
    const folder = join(this.folder, "files")
    await mkdir(folder, { recursive: true })
    return join(folder, name)
  }

  /** Starts the command, with options for Node itself. */
  spawn(words: readonly string[], nodeOptions: readonly string[] = []): ChildProcess {
    if (this.#isClosing) throw new Error("the demo is ending")
    const child = spawn(process.execPath, [...nodeOptions, PROGRAM, ...words], {
      cwd: this.folder,
      env: this.#environment,
      stdio: ["ignore", "pipe", "pipe"],
    })
    this.#children.add(child)
    child.once("exit", () => this.#children.delete(child))
    return child
  }

  async run(words: readonly string[]): Promise<Ended> {
    const child = this.spawn(words)
    const [out, err, [code]] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      once(child, "exit") as Promise<[number | null]>,
    ])
    return { code: code ?? -1, out, err }
  }

  /** Ends every process and removes all files. */
  async close(): Promise<void> {
    this.#isClosing = true
    const endings = [...this.#children].map(async (child) => {
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
    })
    await Promise.all(endings)
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Resolves with the first line that a child prints; rejects with its errors when it ends first. */
async function firstLine(child: ChildProcess, what: string): Promise<string> {
  if (child.stdout === null) throw new Error(`${what} has no output`)
  const lines = createInterface({ input: child.stdout })
  const errors = textOf(child.stderr)
  const ended = once(child, "exit").then(async ([code]) => {
    throw new Error(`${what} ended with ${String(code)}: ${await errors}`)
  })
  // Whoever settles first decides; the end of a node that was ready is of no interest here.
  ended.catch(() => undefined)
  const [line] = (await Promise.race([once(lines, "line"), ended])) as [string]
  return line
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  if (stream === null) return ""
  let text = ""
  for await (const chunk of stream) text += String(chunk)
  return text
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no free port")
  return address.port
}

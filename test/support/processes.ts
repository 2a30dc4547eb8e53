/**
 * Real nodes for tests: homes in a temporary folder, one process a post, sockets on loopback.
 *
 * Homes are made in this process with the test profile of Argon2id; the nodes are the command
 * itself, as an officer would start it. Whatever happens to the test, its processes end with it:
 * when it is done, when it fails, on Ctrl-C, and at the latest when this process exits.
 */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { rmSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { NodeClient } from "../../node/api/client.ts"
import {
  assembleNetwork,
  createFoundingRecord,
  createNetwork,
  joinNetwork,
  prepareNetwork,
} from "../../node/founding.ts"
import type { HomeOptions } from "../../node/new-home.ts"
import { buildAdmission, buildRevocation, createRequest } from "../../node/setup.ts"

export const PROGRAM = fileURLToPath(new URL("../../cli/tarbarta.js", import.meta.url))
export const PASSPHRASE = "only for tests"

/** Below the ports that systems hand out for outgoing connections: nobody takes one meanwhile. */
const PORT_MIN = 20_000
const PORT_MAX = 32_000
const READY_MS = 60_000
const GONE_MS = 30_000
const POLL_MS = 25
/** Of what a process writes, the last so many characters are kept. */
const OUTPUT_CHARS = 64 * 1_024

/** How one command, or one life of a node, ended. */
export interface Ended {
  /** Exit code; undefined when a signal ended it. */
  readonly exit: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface ProcessNetworkOptions {
  readonly transport?: "noise" | "tls-pq"
  /** The first so many posts validate, and found the network together; default 1. */
  readonly validators?: number
  /** The first so many posts found the network together; default those that validate. */
  readonly founders?: number
  /** Gives the port that others are told for the one that a node listens on; default the same. */
  readonly publish?: (port: number, code: string) => Promise<number>
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Options for Node itself, such as `--import`. */
  readonly nodeOptions?: readonly string[]
  readonly input?: Uint8Array | string
}

const children = new Set<ChildProcess>()
const folders = new Set<string>()
let isWatched = false

/** A network of real processes; headquarters (the first code) is the desk, validators are relays. */
export class ProcessNetwork {
  readonly folder: string
  readonly posts: readonly ProcessPost[]
  readonly genesis: Uint8Array
  readonly #requests: ReadonlyMap<string, Uint8Array>

  private constructor(
    folder: string,
    posts: readonly ProcessPost[],
    genesis: Uint8Array,
    requests: ReadonlyMap<string, Uint8Array>,
  ) {
    this.folder = folder
    this.posts = posts
    this.genesis = genesis
    this.#requests = requests
  }

  /** Makes the homes; nothing runs yet. */
  static async create(
    codes: readonly string[],
    options: ProcessNetworkOptions = {},
  ): Promise<ProcessNetwork> {
    watchForEnd()
    // What governance signs here reads the profile from the environment of this process.
    process.env["TARBARTA_KDF_PROFILE"] = "test"
    const folder = await mkdtemp(join(tmpdir(), "tarbarta-"))
    folders.add(folder)
    const passphraseFile = join(folder, "passphrase")
    await writeFile(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o600 })
    const homes: HomeOptions[] = []
    const ports = new Map<string, number>()
    for (const code of codes) {
      const port = await freePort()
      ports.set(code, port)
      const made = homeOptionsOf(join(folder, code.toLowerCase()), code, port)
      const published = await options.publish?.(port, code)
      homes.push(published === undefined ? made : publishedAt(made, published))
    }
    const founding = foundersOf(options)
    const genesis = await found(homes.slice(0, founding), options)
    const requests = new Map<string, Uint8Array>()
    for (const made of homes.slice(founding)) {
      requests.set(made.code, (await createRequest({ ...made, genesis })).request)
    }
    const posts = homes.map(({ code, home }) => {
      const port = ports.get(code) ?? 0
      return new ProcessPost({ code, home, port, passphraseFile })
    })
    return new ProcessNetwork(folder, posts, genesis, requests)
  }

  /** Makes the homes, starts all nodes, admits the missions; everybody can send to everybody. */
  static async start(
    codes: readonly string[],
    options: ProcessNetworkOptions = {},
  ): Promise<ProcessNetwork> {
    const network = await ProcessNetwork.create(codes, options)
    await Promise.all(network.posts.map(async (post) => post.start()))
    for (const code of codes.slice(foundersOf(options))) await network.admit(code)
    await network.untilAcquainted()
    return network
  }

  at(code: string): ProcessPost {
    const found = this.posts.find((post) => post.code === code)
    if (found === undefined) throw new Error(`no post ${code} in this network`)
    return found
  }

  get headquarters(): ProcessPost {
    const [first] = this.posts
    if (first === undefined) throw new Error("a network has headquarters")
    return first
  }

  /** Headquarters' governance admits a mission. */
  async admit(code: string): Promise<void> {
    const { client, home } = this.headquarters
    const request = this.#requests.get(code)
    if (request === undefined) throw new Error(`no request of ${code}`)
    const ledger = await client.ledgerStatus()
    const access = { home, passphrase: PASSPHRASE, ledger }
    await client.submitGovernance(await buildAdmission({ ...access, request }))
  }

  /** Headquarters' governance revokes a mission. */
  async revoke(code: string): Promise<void> {
    const { client, home } = this.headquarters
    const [ledger, missions] = await Promise.all([client.ledgerStatus(), client.missions()])
    const mission = missions.find((one) => one.code === code)
    if (mission === undefined) throw new Error(`no mission ${code} on the ledger`)
    const access = { home, passphrase: PASSPHRASE, ledger }
    const payloads = await buildRevocation({ ...access, mission, reason: "test" })
    await client.submitGovernance(payloads)
  }

  /** Until every running node knows every mission and a key of it. */
  async untilAcquainted(): Promise<void> {
    await until("every node knows every mission", async () => {
      for (const { client, isRunning } of this.posts) {
        if (!isRunning) continue
        const missions = await client.missions()
        if (missions.length < this.posts.length) return false
        if (missions.some((one) => one.newestEpoch === undefined)) return false
      }
      return true
    })
  }

  /** Ends all nodes at once and removes the homes. */
  async remove(): Promise<void> {
    await Promise.all(this.posts.map(async (post) => post.kill()))
    await rm(this.folder, { recursive: true, force: true })
    folders.delete(this.folder)
  }
}

/** One post: its home, its client, and the process that runs its node, if any. */
export class ProcessPost {
  readonly code: string
  readonly home: string
  readonly port: number
  readonly passphraseFile: string
  readonly client: NodeClient
  #life: Life | undefined

  constructor(options: {
    readonly code: string
    readonly home: string
    readonly port: number
    readonly passphraseFile: string
  }) {
    this.code = options.code
    this.home = options.home
    this.port = options.port
    this.passphraseFile = options.passphraseFile
    this.client = new NodeClient(options.home)
  }

  get isRunning(): boolean {
    return this.#life?.isReady === true && this.#life.ended === undefined
  }

  /** What the newest life has written on standard error. */
  get log(): string {
    return this.#life?.stderr ?? ""
  }

  /** Undefined while the newest life goes on. */
  get ended(): Ended | undefined {
    return this.#life?.ended
  }

  /**
   * Starts the node; resolves when it has said that it is ready, with how long that took in
   * milliseconds. Rejects with what it wrote when it ends instead.
   */
  async start(options: RunOptions = {}): Promise<number> {
    const beforeMs = performance.now()
    const life = new Life(this.#spawn(["node", "start"], options))
    this.#life = life
    await within(READY_MS, `${this.code} ready`, life.ready)
    return performance.now() - beforeMs
  }

  /** SIGKILL, as a power cut would; resolves when the process is gone. */
  async kill(): Promise<void> {
    const life = this.#life
    if (life === undefined) return
    life.child.kill("SIGKILL")
    await within(GONE_MS, `${this.code} gone`, life.end)
  }

  /** The process stands still until {@link thaw}: its connections stay, nothing comes from it. */
  freeze(): void {
    this.#life?.child.kill("SIGSTOP")
  }

  thaw(): void {
    this.#life?.child.kill("SIGCONT")
  }

  /** Asks the node to stop, and waits until it is gone. */
  async stop(): Promise<Ended> {
    const life = this.#life
    if (life === undefined) throw new Error(`${this.code} does not run`)
    await this.client.stop()
    return within(GONE_MS, `${this.code} stopped`, life.end)
  }

  /** Runs one command of this post's to its end. */
  async run(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const child = this.#spawn(words, options)
    const life = new Life(child)
    life.ready.catch(() => undefined)
    child.stdin?.end(options.input ?? "")
    return within(READY_MS, `tarbarta ${words.join(" ")}`, life.end)
  }

  #spawn(words: readonly string[], options: RunOptions): ChildProcess {
    const globals = ["--home", this.home, "--json"]
    return spawnNode([...(options.nodeOptions ?? []), PROGRAM, ...globals, ...words], {
      TARBARTA_PASSPHRASE_FILE: this.passphraseFile,
      ...options.env,
    })
  }
}

/** Runs the command with these words alone: no home is named, nothing is `--json`. */
export async function runCommand(
  words: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  watchForEnd()
  const child = spawnNode([...(options.nodeOptions ?? []), PROGRAM, ...words], options.env ?? {})
  const life = new Life(child)
  life.ready.catch(() => undefined)
  child.stdin?.end(options.input ?? "")
  return within(READY_MS, `tarbarta ${words.join(" ")}`, life.end)
}

/** A port of loopback where nobody listens at this moment. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN))
    if (await isFree(port)) return port
  }
  throw new Error(`no free port in ${PORT_MIN} … ${PORT_MAX}`)
}

/** Asks again and again until `isDone`; a failure that says what was waited for after `withinMs`. */
export async function until(
  what: string,
  isDone: () => Promise<boolean>,
  withinMs = READY_MS,
): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!(await isDone())) {
    if (performance.now() >= endMs) throw new Error(`${what}: not within ${withinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Options of node/setup.ts for a post with one drafter and one releaser. */
export function homeOptionsOf(home: string, code: string, port: number): HomeOptions {
  return {
    home,
    passphrase: PASSPHRASE,
    code,
    nameEn: `Post ${code}`,
    nameBn: "মিশন",
    addresses: [`/ip4/127.0.0.1/tcp/${port}`],
    listen: [],
    officers: [
      { name: `${code} drafter`, roles: ["drafter", "duty", "cipher"] },
      { name: `${code} releaser`, roles: ["releaser", "administrator"] },
    ],
  }
}

/** Listens where it would, and tells others another port. */
function publishedAt(made: HomeOptions, port: number): HomeOptions {
  return { ...made, addresses: [`/ip4/127.0.0.1/tcp/${port}`], listen: made.addresses }
}

function foundersOf({ founders, validators = 1 }: ProcessNetworkOptions): number {
  return founders ?? validators
}

/** Founds a network of these homes, headquarters first. */
async function found(
  homes: readonly HomeOptions[],
  options: ProcessNetworkOptions,
): Promise<Uint8Array> {
  const [headquarters, ...others] = homes
  if (headquarters === undefined) throw new RangeError("a network has headquarters")
  const { transport = "noise", validators = 1 } = options
  const rules = { name: "Test ministry", origin: "test/processes", twoPerson: false, transport }
  const first = { ...headquarters, ...rules }
  if (others.length === 0) return (await createNetwork(first)).genesis
  const founders = others.map(({ code }) => code)
  const voters = founders.slice(0, validators - 1)
  const { invitation } = await prepareNetwork({ ...first, founders, validators: voters })
  const records: Uint8Array[] = []
  for (const made of others) {
    records.push((await createFoundingRecord({ ...made, invitation })).record)
  }
  const { home, passphrase } = headquarters
  const { genesis } = await assembleNetwork({ home, passphrase, records })
  for (const made of others) await joinNetwork(made.home, genesis)
  return genesis
}

/** One process from its start to its end. */
class Life {
  readonly child: ChildProcess
  readonly ready: Promise<void>
  readonly end: Promise<Ended>
  isReady = false
  ended: Ended | undefined
  stdout = ""
  stderr = ""

  constructor(child: ChildProcess) {
    this.child = child
    const ready = Promise.withResolvers<void>()
    this.ready = ready.promise
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout = (this.stdout + text).slice(-OUTPUT_CHARS)
      if (this.isReady || !this.stdout.includes('"ready":true')) return
      this.isReady = true
      ready.resolve()
    })
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-OUTPUT_CHARS)
    })
    this.end = once(child, "close").then(([code]: unknown[]): Ended => {
      children.delete(child)
      const exit = typeof code === "number" ? code : undefined
      this.ended = { exit, stdout: this.stdout, stderr: this.stderr }
      ready.reject(new Error(`ended with ${exit ?? "a signal"}: ${this.stderr.trim()}`))
      return this.ended
    })
  }
}

function spawnNode(words: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn(process.execPath, words, {
    env: { ...process.env, LANG: "C", TARBARTA_KDF_PROFILE: "test", ...env },
    stdio: ["pipe", "pipe", "pipe"],
  })
  children.add(child)
  return child
}

async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    timeout.reject(new Error(`${what}: not within ${limitMs} ms`))
  }, limitMs)
  try {
    return await Promise.race([work, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const listening = Promise.withResolvers<boolean>()
  server.once("error", () => listening.resolve(false))
  server.listen({ port, host: "127.0.0.1" }, () => listening.resolve(true))
  const free = await listening.promise
  if (free) {
    server.close()
    await once(server, "close")
  }
  return free
}

/** From here on no process of ours outlives this one, unless this one is killed with SIGKILL. */
function watchForEnd(): void {
  if (isWatched) return
  isWatched = true
  process.on("exit", () => {
    for (const child of children) child.kill("SIGKILL")
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => process.exit(130))
  }
}

/**
 * Kill -9 over sender, recipient and headquarters in mid-traffic (docs/ARCHITECTURE, "What an
 * acknowledgement promises").
 *
 *   npm run test:kill -- [--cycles N] [--seed TEXT] [--validators N]
 *
 * A sender that was told "queued" must find its cable at every addressee, once, whatever is killed
 * and whenever: a life may end while it sends, stores, answers, or is still starting. Nobody helps:
 * a node that does not start again by itself is a failure too. The exit code is 1 when a cable was
 * lost, shown twice or not registered, and when a node needed help.
 *
 * Headquarters alone validates, or the first so many posts do: then those that are killed are most
 * of the validators, and nothing is final while two of four are starting.
 */

import { parseArgs } from "node:util"
import type { NodeClient } from "../../node/api/client.ts"
import { RefusedByNode } from "../../node/api/client.ts"
import { API_LIST_LIMIT_MAX } from "../../protocol/limits.ts"
import { ProcessNetwork, until, type ProcessPost } from "../support/processes.ts"
import { randomInt, seededRandom } from "../support/rng.ts"

const CYCLES = 200
/** Those that are killed, then those that validate beside them. */
const POSTS = ["DAC", "LON", "DEL", "NBO", "PAR", "OTT", "TYO"]
const KILLED = 3
/** A kill comes this long after the one before, or after the victim was ready, at most. */
const PAUSE_MAX_MS = 2_000
/**
 * Lists of the local API end at their limit. A cable may be stored although its sender was killed
 * before it heard so: there are more of them than were acknowledged.
 */
const CABLES_MAX = API_LIST_LIMIT_MAX - 1_000
const SENDERS = 2
const SEND_PAUSE_MS = 30
const SETTLE_MS = 120_000
/** After the last cable, for copies that come late. */
const LINGER_MS = 2_000
const KIB = 1_024

interface Acknowledged {
  readonly id: string
  readonly subject: string
  readonly to: readonly string[]
  readonly textBytes: number
}

class KillRun {
  readonly #network: ProcessNetwork
  readonly #random: (below: number) => number
  readonly #acknowledged: Acknowledged[] = []
  readonly #refusals: string[] = []
  readonly #evidence: string[] = []
  readonly #restartsMs: number[] = []
  readonly #starting = new Map<ProcessPost, Promise<void>>()
  readonly #shown = new Map<string, number>()
  #handedIn = 0
  #kills = 0
  #repeated = 0
  #repairs = 0
  #isOver = false

  constructor(network: ProcessNetwork, seed: string) {
    this.#network = network
    const random = seededRandom(`kill ${seed}`)
    this.#random = (below) => randomInt(random, below)
  }

  /** Runs the cycles; true when nothing was lost, repeated or repaired. */
  async run(cycles: number): Promise<boolean> {
    for (const code of ["DEL", "DAC"]) this.#watch(this.#network.at(code))
    const senders = Array.from({ length: SENDERS }, async (_, index) => this.#send(index))
    for (let cycle = 1; cycle <= cycles; cycle++) {
      await this.#cycle()
      if (cycle % 20 === 0) {
        print(`${cycle} cycles, ${this.#acknowledged.length} cables acknowledged`)
      }
    }
    this.#isOver = true
    await Promise.all(senders)
    await Promise.all(this.#starting.values())
    // A node that is not there cannot be asked what it has.
    if (this.#repairs === 0) return this.#judge(cycles)
    this.#printEvidence()
    print(`${this.#repairs} manual repairs in ${cycles} cycles; nothing else was judged`)
    return false
  }

  /** One kill at a random moment; the next life begins at once, but nobody waits for it. */
  async #cycle(): Promise<void> {
    const draw = this.#random(10)
    const post = this.#network.at(draw < 4 ? "LON" : draw < 8 ? "DEL" : "DAC")
    // Most kills find a node at work; one in four may find it starting, from where it is.
    if (this.#random(4) > 0) await this.#starting.get(post)
    await sleep(this.#random(PAUSE_MAX_MS))
    await post.kill()
    this.#kills += 1
    await this.#starting.get(post)
    this.#starting.set(post, this.#restart(post, this.#kills))
  }

  async #restart(post: ProcessPost, life: number): Promise<void> {
    try {
      this.#restartsMs.push(await post.start())
      if (post.code !== "LON") this.#watch(post)
    } catch (error) {
      // Our next kill may have come before it was ready; then it had no chance to say anything.
      const { ended } = post
      if (ended !== undefined && ended.exit === undefined) return
      this.#repairs += 1
      this.#evidence.push(`life ${life} of ${post.code} did not start: ${String(error)}`)
    }
  }

  // --- traffic -------------------------------------------------------------------------------

  async #send(index: number): Promise<void> {
    const { client } = this.#network.at("LON")
    for (let round = 0; !this.#isOver && this.#acknowledged.length < CABLES_MAX; round++) {
      const subject = `cable ${index}-${round}`
      const to = this.#random(5) === 0 ? ["DEL", "DAC"] : ["DEL"]
      const text = `${subject} `.repeat(this.#repeats())
      this.#handedIn += 1
      try {
        const { id } = await client.sendCable({ to, subject, text })
        this.#acknowledged.push({ id, subject, to, textBytes: text.length })
      } catch (error) {
        // A node that was killed promised nothing; one that refuses is not what this run is about.
        if (error instanceof RefusedByNode) this.#refusals.push(error.code)
        await sleep(SEND_PAUSE_MS)
      }
      await sleep(this.#random(SEND_PAUSE_MS))
    }
  }

  /** Most cables are short, some are of many pieces. */
  #repeats(): number {
    const draw = this.#random(100)
    if (draw < 85) return 1 + this.#random(100)
    return draw < 97 ? 2 * KIB + this.#random(6 * KIB) : 32 * KIB + this.#random(32 * KIB)
  }

  /** Counts what one life of a recipient says it has received. */
  #watch(post: ProcessPost): void {
    const listen = async (): Promise<void> => {
      for await (const event of await post.client.events({})) {
        if (event.type !== "cable-received") continue
        const key = `${post.code} ${event.cable.id}`
        const times = (this.#shown.get(key) ?? 0) + 1
        this.#shown.set(key, times)
        if (times === 1) continue
        this.#repeated += 1
        this.#evidence.push(`${key} was announced ${times} times`)
      }
    }
    // The stream ends with its node, in whatever way.
    listen().catch(() => undefined)
  }

  // --- judgement -----------------------------------------------------------------------------

  async #judge(cycles: number): Promise<boolean> {
    const expected = (code: string): Acknowledged[] =>
      this.#acknowledged.filter(({ to }) => to.includes(code))
    let lost = 0
    let duplicates = this.#repeated
    for (const code of ["DEL", "DAC"]) {
      const { client } = this.#network.at(code)
      await settled(async () => {
        const subjects = new Set(await subjectsOf(client))
        return expected(code).every(({ subject }) => subjects.has(subject))
      })
      await sleep(LINGER_MS)
      const subjects = await subjectsOf(client)
      const unique = new Set(subjects)
      const missing = expected(code).filter(({ subject }) => !unique.has(subject))
      lost += missing.length
      duplicates += subjects.length - unique.size
      for (const { id, subject } of missing) {
        this.#evidence.push(`${code} never got "${subject}" ${id}`)
      }
      lost += await this.#damaged(client, expected(code))
    }
    const unregistered = await this.#unregistered()
    this.#report({ cycles, lost, duplicates, unregistered })
    return lost + duplicates + unregistered + this.#repairs + this.#refusals.length === 0
  }

  /** Cables at an addressee whose text is not the one that was handed in; a sample. */
  async #damaged(client: NodeClient, cables: readonly Acknowledged[]): Promise<number> {
    let damaged = 0
    for (let index = 0; index < Math.min(50, cables.length); index++) {
      const cable = cables[this.#random(cables.length)]
      if (cable === undefined) continue
      const { text } = await client.cable(cable.id, { mark: false })
      if (text.length === cable.textBytes && text.startsWith(cable.subject)) continue
      damaged += 1
      this.#evidence.push(`"${cable.subject}" arrived with ${text.length} characters`)
    }
    return damaged
  }

  /** Acknowledged cables without an entry in a final block, or not delivered by the sender's books. */
  async #unregistered(): Promise<number> {
    const { client } = this.#network.at("LON")
    const open = new Set(this.#acknowledged)
    await settled(async () => {
      for (const cable of open) {
        const { registered, delivered } = await client.cableStatus(cable.id)
        if (!registered || !delivered) return false
        open.delete(cable)
      }
      return true
    })
    for (const { id, subject } of open) {
      this.#evidence.push(`LON has "${subject}" ${id} as not registered or not delivered`)
    }
    return open.size
  }

  #printEvidence(): void {
    for (const line of this.#evidence.slice(0, 40)) print(`evidence: ${line}`)
  }

  #report(counts: {
    readonly cycles: number
    readonly lost: number
    readonly duplicates: number
    readonly unregistered: number
  }): void {
    this.#printEvidence()
    const sorted = this.#restartsMs.toSorted((a, b) => a - b)
    const at = (share: number): string =>
      (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(0)
    print(`${this.#kills} kills, ${sorted.length} restarts to ready`)
    print(`restart to ready: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
    print(`${this.#handedIn} cables handed in, ${this.#acknowledged.length} acknowledged`)
    print(`${this.#refusals.length} refused ${[...new Set(this.#refusals)].join(" ")}`.trim())
    print(
      `${counts.lost} acknowledged cables lost, ${counts.duplicates} duplicates displayed, ` +
        `${counts.unregistered} not registered, ${this.#repairs} manual repairs ` +
        `in ${counts.cycles} cycles`,
    )
  }
}

async function subjectsOf(client: NodeClient): Promise<string[]> {
  const cables = await client.cables({ box: "inbox", limit: API_LIST_LIMIT_MAX })
  if (cables.length === API_LIST_LIMIT_MAX) throw new Error("the list is cut: nothing can be said")
  return cables.map(({ subject }) => subject)
}

/** Waits for what should become true; what did not is counted by the caller. */
async function settled(isDone: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + SETTLE_MS
  while (!(await isDone()) && performance.now() < endMs) await sleep(200)
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

function print(line: string): void {
  process.stdout.write(`test:kill: ${line}\n`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cycles: { type: "string" },
      seed: { type: "string" },
      validators: { type: "string", default: "1" },
    },
  })
  const validators = Number(values.validators)
  if (!Number.isSafeInteger(validators) || validators < 1 || validators > POSTS.length) {
    process.stderr.write(`test:kill: error: --validators: expected 1 … ${POSTS.length}\n`)
    return 2
  }
  const cycles = Number(values.cycles ?? CYCLES)
  if (!Number.isSafeInteger(cycles) || cycles < 1) {
    process.stderr.write("test:kill: error: --cycles: expected a whole number from 1 on\n")
    return 2
  }
  const seed = values.seed ?? Date.now().toString(36)
  print(`seed ${seed}, ${cycles} cycles, ${validators} validating`)
  const posts = POSTS.slice(0, Math.max(KILLED, validators))
  const network = await ProcessNetwork.start(posts, { validators })
  try {
    await until("first contact", async () => {
      const { connected } = await network.at("LON").client.status()
      return connected.includes("DAC")
    })
    const isWell = await new KillRun(network, seed).run(cycles)
    const again = `--cycles ${cycles} --seed ${seed} --validators ${validators}`
    if (!isWell) print(`FAILED: run it again with ${again}`)
    return isWell ? 0 : 1
  } finally {
    await network.remove()
  }
}

process.exitCode = await main()

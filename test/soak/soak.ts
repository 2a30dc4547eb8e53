/**
 * Four validators and four followers over bad lines, killed again and again (LEDGER §8–9).
 *
 *   npm run test:soak -- [--seconds N] [--seed TEXT] [--full]
 *
 * Real processes; lines.ts stands between all of them. Every few seconds one is killed with SIGKILL
 * and started again at once, validators more often than the others, while all hand in cables and
 * signals. Whoever was told that something is queued must find it in a final block, with a proof
 * that verifies, once everything has been left in peace. Meanwhile everybody's publication is looked
 * at: what it showed once must be there at the end (history.ts). The exit code is 1 when an
 * acknowledged or published entry was lost, when a node published less than before or another
 * history, when the ledgers differ or do not verify, when a validator was accused or does not vote
 * any more, and when a node needed help.
 */

import { parseArgs } from "node:util"
import { RefusedByNode } from "../../node/api/client.ts"
import type { LedgerStatus } from "../../node/api/shapes.ts"
import { ProcessNetwork, until, type ProcessPost } from "../support/processes.ts"
import { randomInt, seededRandom } from "../support/rng.ts"
import { Judge, type Acknowledged } from "./judge.ts"
import { Lines } from "./lines.ts"
import { Pauses } from "./pauses.ts"

const SECONDS = 60
const FULL_SECONDS = 180
const VALIDATORS = ["DAC", "LON", "DEL", "NBO"]
const FOLLOWERS = ["PAR", "OTT", "TYO", "BRU"]
const KILL_EVERY_MS = 5_000
const SEND_PAUSE_MAX_MS = 1_000
const WATCH_MS = 250
const VOTING_POLL_MS = 25
/** Between two looks at what a node publishes. */
const LOOK_MS = 2_000
/** All eight start at once, and missions are admitted, before anything goes wrong. */
const START_MS = 120_000

interface Restarts {
  readonly readyMs: number[]
  readonly votingMs: number[]
  /** Killed again before they voted. */
  unfinished: number
}

class SoakRun {
  readonly #network: ProcessNetwork
  readonly #random: (below: number) => number
  readonly #judge: Judge
  readonly #acknowledged: Acknowledged[] = []
  readonly #restarts: Restarts = { readyMs: [], votingMs: [], unfinished: 0 }
  readonly #starting = new Map<ProcessPost, Promise<void>>()
  readonly #lives = new Map<ProcessPost, number>()
  #handedIn = 0
  #kills = 0
  #isOver = false
  #isWatchOver = false
  #pauses = new Pauses(VALIDATORS)

  constructor(network: ProcessNetwork, seed: string) {
    this.#network = network
    const random = seededRandom(`soak ${seed}`)
    this.#random = (below) => randomInt(random, below)
    this.#judge = new Judge(network)
  }

  /** Runs for so long; true when nothing was found. */
  async run(seconds: number, lines: Lines): Promise<boolean> {
    const endMs = performance.now() + seconds * 1_000
    lines.weather = "bad"
    this.#pauses = new Pauses(VALIDATORS)
    const senders = this.#network.posts.map(async (post) => this.#send(post))
    const watchers = this.#network.posts.flatMap((post) => [this.#watch(post), this.#look(post)])
    while (performance.now() + KILL_EVERY_MS < endMs) {
      await sleep(KILL_EVERY_MS)
      await this.#kill()
    }
    await sleep(Math.max(0, endMs - performance.now()))
    this.#isOver = true
    this.#pauses.end()
    await Promise.all(senders)
    lines.weather = "steady"
    await Promise.all(this.#starting.values())
    print(`${this.#kills} kills, ${this.#acknowledged.length} acknowledged; now left in peace`)
    const settledMs = await this.#judge.settle()
    this.#isWatchOver = true
    await Promise.all(watchers)
    // A proof may cost a question to a validator; how long that takes is not judged.
    lines.weather = "quick"
    const lost = await this.#judge.judge(this.#acknowledged)
    this.#report(lines, lost, settledMs)
    return this.#judge.isWell && lost === 0
  }

  // --- kills ---------------------------------------------------------------------------------

  /** One kill; the next life begins at once, but nobody waits for it. */
  async #kill(): Promise<void> {
    const codes = this.#random(4) > 0 ? VALIDATORS : FOLLOWERS
    const post = this.#network.at(codes[this.#random(codes.length)] ?? "")
    // Most kills find a node at work; one in four may find it starting.
    if (this.#random(4) > 0) await this.#starting.get(post)
    this.#judge.readLog(post)
    const killedMs = performance.now()
    this.#lives.set(post, (this.#lives.get(post) ?? 0) + 1)
    await post.kill()
    this.#pauses.tell(post.code, false)
    this.#kills += 1
    await this.#starting.get(post)
    this.#starting.set(post, this.#restart(post, killedMs))
  }

  async #restart(post: ProcessPost, killedMs: number): Promise<void> {
    const life = this.#lives.get(post)
    try {
      this.#restarts.readyMs.push(await post.start())
    } catch (error) {
      // Our next kill may have come before it was ready; then it had no chance to say anything.
      const { ended } = post
      if (ended !== undefined && ended.exit === undefined) return
      this.#judge.accuse(`life ${life} of ${post.code} did not start: ${String(error)}`)
      return
    }
    if (VALIDATORS.includes(post.code)) void this.#untilVoting(post, killedMs)
  }

  async #untilVoting(post: ProcessPost, killedMs: number): Promise<void> {
    const life = this.#lives.get(post)
    while (this.#lives.get(post) === life && !this.#isWatchOver) {
      const status = await statusOf(post)
      if (status?.vote?.state === "voting") {
        this.#restarts.votingMs.push(performance.now() - killedMs)
        return
      }
      await sleep(VOTING_POLL_MS)
    }
    this.#restarts.unfinished += 1
  }

  // --- traffic -------------------------------------------------------------------------------

  async #send(post: ProcessPost): Promise<void> {
    const others = this.#network.posts.filter((one) => one !== post)
    for (let round = 0; !this.#isOver; round++) {
      await sleep(this.#random(SEND_PAUSE_MAX_MS))
      const to = others[this.#random(others.length)]?.code ?? ""
      const subject = `cable ${round} of ${post.code}`
      const text = `${subject} `.repeat(1 + this.#random(100))
      const isSignal = this.#random(10) === 0
      this.#handedIn += 1
      try {
        const { id } = isSignal
          ? await post.client.raiseSignal({ to: [to], event: "other", text: subject })
          : await post.client.sendCable({ to: [to], subject, text })
        this.#acknowledged.push({ post, id })
      } catch (error) {
        // A node that was killed promised nothing; one that refuses is not what this run is about.
        if (error instanceof RefusedByNode) {
          this.#judge.accuse(`${post.code} refused: ${error.code} ${error.message}`)
        }
      }
    }
  }

  // --- what is seen meanwhile ----------------------------------------------------------------

  async #watch(post: ProcessPost): Promise<void> {
    while (!this.#isWatchOver) {
      const life = this.#lives.get(post)
      const status = await statusOf(post)
      if (status !== undefined && this.#lives.get(post) === life) {
        this.#judge.saw(post, status)
        this.#pauses.final(status.height)
        if (status.vote?.state === "voting") this.#pauses.tell(post.code, true)
      }
      await sleep(WATCH_MS)
    }
  }

  /** What it publishes, and the proof of one of its messages, again and again. */
  async #look(post: ProcessPost): Promise<void> {
    while (!this.#isWatchOver) {
      const own = this.#acknowledged.filter((one) => one.post === post)
      await this.#judge.look(post, own[this.#random(own.length + 1)]?.id)
      await sleep(LOOK_MS)
    }
  }

  #report(lines: Lines, lost: number, settledMs: number): void {
    const { readyMs, votingMs, unfinished } = this.#restarts
    const { counts } = lines
    this.#judge.print(print)
    print(
      `lines: ${counts.connections} connections, ${counts.chunks} chunks, ${counts.stalls} stalls, ` +
        `${counts.breaks} breaks, ${counts.silentEnds} ends not heard of`,
    )
    print(`${this.#kills} kills, ${readyMs.length} restarts to ready: ${spread(readyMs)}`)
    print(
      `kill to voting again: ${votingMs.length} times, ${spread(votingMs)}; ` +
        `${unfinished} killed again before`,
    )
    const { blocks, entries } = this.#judge
    const { longestMs, longestWithQuorumMs } = this.#pauses
    print(
      `${blocks} blocks, ${entries} entries; longest time without a final block ` +
        `${inSeconds(longestMs)}, with a quorum voting ${inSeconds(longestWithQuorumMs)}`,
    )
    const { publications, proofs, sizes } = this.#judge
    print(
      `${publications} publications and ${proofs} proofs looked at, ${sizes} sizes: each pair is ` +
        "one history unless there is a finding",
    )
    print(`in peace, all final and equal after ${inSeconds(settledMs)}`)
    print(
      `${this.#handedIn} handed in, ${this.#acknowledged.length} acknowledged, ${lost} lost, ` +
        `${this.#judge.findings} other findings`,
    )
  }
}

/** Undefined while the node does not answer. */
async function statusOf(post: ProcessPost): Promise<LedgerStatus | undefined> {
  try {
    return await post.client.ledgerStatus()
  } catch {
    // Killed, or starting: what it does not say is not judged.
    return undefined
  }
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(0)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`
}

function inSeconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

function print(line: string): void {
  process.stdout.write(`test:soak: ${line}\n`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string" },
      seed: { type: "string" },
      full: { type: "boolean", default: false },
    },
  })
  const seconds = Number(values.seconds ?? (values.full ? FULL_SECONDS : SECONDS))
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    process.stderr.write("test:soak: error: --seconds: expected a whole number from 1 on\n")
    return 2
  }
  const seed = values.seed ?? Date.now().toString(36)
  print(`seed ${seed}, ${seconds} s`)
  const lines = new Lines(seed)
  const network = await ProcessNetwork.start([...VALIDATORS, ...FOLLOWERS], {
    validators: VALIDATORS.length,
    publish: async (port, code) => lines.open(port, code),
  })
  try {
    await until("everybody in contact", async () => isConnected(network), START_MS)
    const isWell = await new SoakRun(network, seed).run(seconds, lines)
    if (!isWell) print(`FAILED: run it again with npm run test:soak -- ${again(seconds, seed)}`)
    return isWell ? 0 : 1
  } finally {
    await network.remove()
    lines.close()
  }
}

function again(seconds: number, seed: string): string {
  return `--seconds ${seconds} --seed ${seed}`
}

/** Nodes keep contact with validators; with others they have it when they need it. */
async function isConnected(network: ProcessNetwork): Promise<boolean> {
  for (const { client } of network.posts) {
    const { validators } = await client.ledgerStatus()
    if (validators.some(({ connected }) => !connected)) return false
  }
  return true
}

process.exitCode = await main()

/**
 * The chapter of validators that go: one is killed, one loses its network, headquarters is shut
 * down, one after another, while cables flow. What was registered meanwhile is counted, not assumed.
 */

import type { LedgerStatus } from "../../node/api/shapes.ts"
import type { DemoPost } from "./cast.ts"
import type { Absence } from "./report.ts"
import { tellTally, until, type Stage } from "./story.ts"
import type { Sent } from "./traffic.ts"

const AWAY_MS = 2_500
const PAUSE_MS = 120
const SETTLE_MS = 30_000

interface Leaving {
  readonly post: DemoPost
  readonly how: Absence["how"]
  /** What happens, in words. */
  readonly told: string
  readonly leave: () => Promise<void>
  readonly comeBack: () => Promise<void>
}

/**
 * Nothing where the loss of one validator stops the ledger: that is so for one and for two of them.
 */
export async function validatorsAway(stage: Stage): Promise<Absence[]> {
  const { teller, traffic, posts } = stage
  const [headquarters, london, delhi] = posts
  if (headquarters === undefined || london === undefined || delhi === undefined) return []
  const { quorum } = await headquarters.client.ledgerStatus()
  if (quorum.needed >= quorum.validators) return []
  const newYork = posts[Math.min(3, quorum.validators - 1)] ?? delhi
  const count = `${quorum.needed} of ${quorum.validators}`
  teller.chapter(`Validators go, one at a time; ${count} are enough to go on`)
  const leavings: Leaving[] = [
    {
      post: london,
      how: "killed",
      told: "killed (SIGKILL)",
      leave: async () => london.kill(),
      comeBack: async () => london.start(),
    },
    {
      post: newYork,
      how: "cut off",
      told: "cut off: its node runs, its network is gone",
      leave: async () => Promise.resolve(newYork.switchNetwork()),
      comeBack: async () => Promise.resolve(newYork.switchNetwork()),
    },
    {
      post: headquarters,
      how: "shut down",
      told: "headquarters, shut down",
      leave: async () => headquarters.stop(),
      comeBack: async () => headquarters.start(),
    },
  ]
  const sent: Sent[] = []
  const absences: Absence[] = []
  for (const leaving of leavings) absences.push(await oneAway(stage, leaving, sent))
  tellTally(teller, await traffic.settle(sent, SETTLE_MS))
  return absences
}

/** One validator away, in traffic, and back until it votes and has what the others have. */
async function oneAway(stage: Stage, leaving: Leaving, all: Sent[]): Promise<Absence> {
  const { teller, traffic, posts } = stage
  const { post, how, told } = leaving
  const present = posts.filter((one) => one !== post)
  const sent: Sent[] = []
  const sendNext = async (): Promise<void> => {
    const number = sent.length
    const from = present[number % present.length]
    // Every fifth cable is for the one that is away.
    const to = number % 5 === 4 ? post : present[(number + 1) % present.length]
    if (from === undefined || to === undefined) throw new Error("nobody is left to write")
    const subject = `While ${post.code} is away, ${number + 1}`
    sent.push(await traffic.send(from, { to: [to.code], subject, text: `${subject}. ${told}.` }))
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  // In mid-traffic: one is under way when it goes.
  await sendNext()
  await leaving.leave()
  if (how === "cut off") {
    await until(`${post.code} is cut off`, async () => {
      return (await post.client.status()).connected.length === 0
    })
    // Its officers go on writing; their cables wait at home.
    const subject = `${post.code} is cut off`
    sent.push(await traffic.send(post, { to: [otherCode(present)], subject, text: `${subject}.` }))
  }
  all.push(...sent.splice(0))
  const beforeMs = performance.now()
  let registered: readonly Sent[] = []
  const silent = (): DemoPost[] =>
    present.filter((one) => !registered.some(({ from }) => from === one))
  // A slow machine gets the time that it needs; that a mission gets nothing final is the failure.
  while (performance.now() < beforeMs + AWAY_MS || silent().length > 0) {
    if (performance.now() > beforeMs + SETTLE_MS) break
    await sendNext()
    if (performance.now() >= beforeMs + AWAY_MS) registered = await registeredOf(sent)
  }
  const submitted = sent.length
  const awayMs = Math.round(performance.now() - beforeMs)
  const returningMs = performance.now()
  await leaving.comeBack()
  const height = await untilVoting(post, present)
  const backMs = Math.round(performance.now() - returningMs)
  all.push(...sent)
  const away = (awayMs / 1_000).toFixed(1)
  const back = (backMs / 1_000).toFixed(1)
  teller.line(`${post.code} ${told}, away ${away} s`)
  const everyone = silent().length === 0 ? "of every other mission" : "NOT of every other mission"
  const counted = `${submitted} cables were submitted and ${registered.length} registered`
  teller.line(`  meanwhile ${counted}, ${everyone}`)
  if (how === "cut off")
    teller.line(`  ${post.code} took a cable for ${otherCode(present)} and kept it`)
  teller.line(`  back after ${back} s: it votes, at height ${height} as all others`)
  return {
    mission: post.code,
    how,
    submitted,
    registered: registered.length,
    withoutFinality: silent().map(({ code }) => code),
    awayMs,
    backMs,
    height,
  }
}

function otherCode([first]: readonly DemoPost[]): string {
  if (first === undefined) throw new Error("nobody else is there")
  return first.code
}

async function registeredOf(sent: readonly Sent[]): Promise<Sent[]> {
  const states = await Promise.all(sent.map(async ({ from, id }) => from.client.cableStatus(id)))
  return sent.filter((_, index) => states[index]?.registered === true)
}

/** Until the command itself says so: its own vote counts, and its height is everybody's. */
async function untilVoting(post: DemoPost, others: readonly DemoPost[]): Promise<number> {
  let height = 0
  await until(`${post.code} votes and has what the others have`, async () => {
    const quick = await post.client.ledgerStatus()
    if (quick.vote?.state !== "voting") return false
    const heights = await Promise.all(
      others.map(async ({ client }) => (await client.ledgerStatus()).height),
    )
    if (heights.some((one) => one !== quick.height)) return false
    const status = await post.json<LedgerStatus>("ledger", "status")
    height = status.height
    return status.vote?.state === "voting" && heights.every((one) => one === status.height)
  })
  return height
}

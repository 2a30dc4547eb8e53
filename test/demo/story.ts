/** The chapters of the demo, each on its own network state; what they count goes into the report. */

import { once } from "node:events"
import { readFile, writeFile } from "node:fs/promises"
import { createInterface } from "node:readline"
import type { CableDraft, Signal } from "../../node/api/shapes.ts"
import type { Cast, DemoPost, PostName } from "./cast.ts"
import { median, type DemoReport, type Teller } from "./report.ts"
import type { Sent, Tally, Traffic } from "./traffic.ts"

const POSTS: readonly PostName[] = [
  { code: "DAC", nameEn: "Dhaka", nameBn: "ঢাকা", drafter: "A. Rahman", releaser: "S. Akter" },
  { code: "LON", nameEn: "London", nameBn: "লন্ডন", drafter: "C. Islam", releaser: "D. Alam" },
  {
    code: "DEL",
    nameEn: "New Delhi",
    nameBn: "নয়াদিল্লি",
    drafter: "E. Khan",
    releaser: "F. Begum",
  },
  {
    code: "NYC",
    nameEn: "New York",
    nameBn: "নিউইয়র্ক",
    drafter: "G. Hasan",
    releaser: "H. Sultana",
  },
  { code: "RUH", nameEn: "Riyadh", nameBn: "রিয়াদ", drafter: "I. Karim", releaser: "J. Chowdhury" },
]

const BENGALI =
  "মিশন সংবাদ: স্থানীয় কর্তৃপক্ষ আজ বিকেলে নতুন নির্দেশনা জারি করেছে। প্রবাসী নাগরিকদের নিরাপত্তা নিশ্চিত করতে " +
  "দূতাবাস সার্বক্ষণিক যোগাযোগ রাখছে। বিস্তারিত প্রতিবেদন পরবর্তী তারবার্তায় পাঠানো হবে।"
const ENGLISH =
  "The Ministry's note was handed over at noon. The desk officer promised an answer by Thursday " +
  "and asked that the delegation list be confirmed before then."

const SETTLE_MS = 30_000
const SIGNALS = 20
const OFFLINE_CABLES = 5
const CRASH_CABLES = 40

export interface Stage {
  readonly cast: Cast
  readonly teller: Teller
  readonly posts: readonly DemoPost[]
  readonly traffic: Traffic
}

// --- 1. the network -------------------------------------------------------------------------

/**
 * Headquarters makes the network, or the first posts found it together and validate; the others ask
 * to join and are admitted through the ledger.
 */
export async function raiseNetwork(
  cast: Cast,
  teller: Teller,
  validators: number,
): Promise<DemoPost[]> {
  teller.chapter(
    validators === 1
      ? "Headquarters makes a network; four missions join through the ledger"
      : `${validators} missions found a network, and the others join through the ledger`,
  )
  const posts = await Promise.all(POSTS.map(async (name) => cast.post(name)))
  const [headquarters] = posts
  if (headquarters === undefined) throw new Error("the demo needs headquarters")
  const about = (post: DemoPost): string[] => [
    "--code",
    post.code,
    "--name-en",
    post.name.nameEn,
    "--name-bn",
    post.name.nameBn,
    "--address",
    `127.0.0.1:${post.port}`,
    "--officer",
    `${post.name.drafter}=drafter,duty,cipher`,
    "--officer",
    `${post.name.releaser}=releaser`,
  ]
  const founders = posts.slice(0, validators)
  const rules = ["Bangladesh missions (demo)", "--two-person"]
  const fingerprint = await cast.found(founders, rules, about)
  teller.line(`network fingerprint, read out by telephone: ${fingerprint}`)
  const applicants = posts.slice(validators)
  await Promise.all([
    ...founders.map(async (post) => post.start()),
    ...applicants.map(async (post) => {
      await post.json("mission", "request", "--network", cast.genesis, ...about(post))
      await post.start()
    }),
  ])
  for (const post of applicants) {
    const request = `${post.home}/${post.code}.request`
    const { height } = await headquarters.json<{ height: number }>(
      "mission",
      "admit",
      request,
      "--yes",
    )
    teller.line(
      `${post.code} ${post.name.nameEn} (${post.name.nameBn}) admitted at height ${height}`,
    )
  }
  await untilAllKnowAll(posts)
  return posts
}

/** Everybody knows everybody's keys: the first cable can go. */
async function untilAllKnowAll(posts: readonly DemoPost[]): Promise<void> {
  await until("all missions know each other", async () => {
    for (const post of posts) {
      const missions = await post.client.missions()
      const ready = missions.filter((one) => one.newestEpoch !== undefined)
      if (ready.length < posts.length) return false
    }
    return true
  })
}

// --- 2. cables ------------------------------------------------------------------------------

/** Cables of every size and both languages, to one and to all, a reply, and one for two officers. */
export async function exchangeCables(stage: Stage): Promise<Sent[]> {
  const { teller, traffic, posts } = stage
  teller.chapter("Cables of every size, in both languages, to one and to several")
  const [dac, lon, del, nyc, ruh] = fivePosts(posts)
  const sent: Sent[] = []
  const send = async (from: DemoPost, note: string, draft: CableDraft): Promise<Sent> => {
    const one = await traffic.send(from, draft)
    sent.push(one)
    const to = [...draft.to, ...(draft.info ?? [])].join(", ")
    teller.line(`${from.code} → ${to.padEnd(18)} ${note} (${one.id.slice(0, 8)})`)
    return one
  }
  const first = await send(lon, "English, routine", {
    to: ["DAC"],
    subject: "Note handed over",
    text: ENGLISH,
  })
  await send(del, "Bengali, priority", {
    to: ["DAC"],
    info: ["LON"],
    precedence: "priority",
    subject: "মিশন সংবাদ",
    text: BENGALI,
  })
  await send(dac, "circular, restricted", {
    to: ["LON", "DEL", "NYC", "RUH"],
    classification: "restricted",
    subject: "Circular 14",
    text: `${BENGALI}\n\n${ENGLISH}`,
  })
  await send(nyc, "FLASH, two officers", {
    to: ["DAC"],
    precedence: "flash",
    classification: "secret",
    subject: "Council vote at 1500Z",
    text: "Vote moved forward. Instructions needed by 1430Z.",
    drafter: nyc.name.drafter,
    releaser: nyc.name.releaser,
  })
  await send(ruh, "1 MiB", {
    to: ["DEL"],
    subject: "Annex in full",
    text: "সারণি ".repeat(2 ** 20 / 16),
  })
  await send(lon, "one character", { to: ["RUH"], subject: "", text: "ক" })
  await send(dac, "reply", {
    to: ["LON"],
    subject: "Re: Note handed over",
    text: "Seen. Confirm the list.",
    inReplyTo: first.id,
  })
  const tally = await traffic.settle(sent, SETTLE_MS)
  tellTally(teller, tally)
  return sent
}

// --- 3. a mission that is away --------------------------------------------------------------

/** Cables for a mission that is down, and what it has after its return. */
export async function missionAway(stage: Stage): Promise<DemoReport["offline"]> {
  const { teller, traffic, posts } = stage
  teller.chapter("New Delhi is down; its cables wait, and are there when it is back")
  const [, lon, del] = fivePosts(posts)
  await del.stop()
  const sent: Sent[] = []
  for (let number = 1; number <= OFFLINE_CABLES; number++) {
    const text = `${ENGLISH}\n${BENGALI}\n${number}`
    sent.push(await traffic.send(lon, { to: ["DEL"], subject: `While away ${number}`, text }))
  }
  await until("headquarters holds the copies", async () => {
    const states = await Promise.all(sent.map(async ({ id }) => lon.client.cableStatus(id)))
    return states.every(({ addressees }) => addressees[0]?.state === "relayed")
  })
  teller.line(`LON sent ${sent.length}; headquarters holds the ciphertext, DEL is still down`)
  await del.start()
  const tally = await traffic.settle(sent, SETTLE_MS)
  teller.line(`DEL is back: ${tally.delivered} of ${sent.length} delivered and receipted`)
  return { queued: sent.length, deliveredAfterReturn: tally.delivered - tally.lost }
}

// --- 4. a crash -----------------------------------------------------------------------------

/** SIGKILL for a recipient and a sender in the middle of traffic. */
export async function crashInTraffic(stage: Stage): Promise<DemoReport["crash"]> {
  const { teller, traffic, posts } = stage
  teller.chapter("Two nodes are killed in mid-traffic (SIGKILL) and come back")
  const [, lon, , nyc, ruh] = fivePosts(posts)
  const sent: Sent[] = []
  const stream = async (from: DemoPost, to: string): Promise<void> => {
    for (let number = 1; number <= CRASH_CABLES / 2; number++) {
      const draft = {
        to: [to],
        subject: `Traffic ${from.code} ${number}`,
        text: `${ENGLISH} ${number}`,
      }
      sent.push(await traffic.send(from, draft))
    }
  }
  const fromLondon = stream(lon, "NYC")
  // What Riyadh had not accepted when it was killed was never promised; the client sees an error.
  const fromRiyadh = stream(ruh, "NYC").catch(() => undefined)
  await until("traffic is under way", async () => Promise.resolve(sent.length >= CRASH_CABLES / 4))
  await nyc.kill()
  await ruh.kill()
  teller.line(`NYC (recipient) and RUH (sender) killed after ${sent.length} cables were accepted`)
  await fromLondon
  await fromRiyadh
  await Promise.all([nyc.start(), ruh.start()])
  const tally = await traffic.settle(sent, SETTLE_MS)
  tellTally(teller, tally)
  return { kills: 2, lost: tally.lost, duplicated: tally.duplicated }
}

// --- 5. the hotline -------------------------------------------------------------------------

/** The desk at headquarters shows signals; one of them is taken by an officer. */
export async function ringTheDesk(stage: Stage): Promise<DemoReport["hotline"]> {
  const { teller, posts } = stage
  teller.chapter("The hotline: signals ring at the desk in Dhaka")
  const [dac, ...missions] = fivePosts(posts)
  const desk = dac.stay("hotline", "watch", "--seat", "night desk")
  const shown = new Set<string>()
  if (desk.stdout === null) throw new Error("the desk has no output")
  createInterface({ input: desk.stdout }).on("line", (line) => {
    shown.add((JSON.parse(line) as { id: string }).id)
  })
  const times: number[] = []
  let acknowledged = 0
  let first: { id: string; caller: DemoPost } | undefined
  for (let number = 0; number < SIGNALS; number++) {
    const caller = missions[number % missions.length] ?? dac
    const { id } = await caller.client.raiseSignal({
      event: "unrest",
      text: number % 2 === 0 ? "Crowd at the gate, staff are safe." : "দূতাবাসের সামনে জনসমাবেশ।",
      place: caller.name.nameEn,
      kind: number === 0 ? "real" : "drill",
    })
    const signal = await untilSignal(caller, id, (one) => one.displayedAfterMs !== undefined)
    times.push(signal.displayedAfterMs ?? 0)
    first ??= { id, caller }
  }
  if (first !== undefined) {
    const { id, caller } = first
    await dac.json("hotline", "ack", id, "--officer", dac.name.drafter)
    const signal = await untilSignal(caller, id, (one) => one.acknowledgedAfterMs !== undefined)
    acknowledged += 1
    const taken = ((signal.acknowledgedAfterMs ?? 0) / 1_000).toFixed(1)
    teller.line(
      `${caller.code} raised "unrest": displayed after ${times[0] ?? 0} ms, ` +
        `taken by ${signal.desks[0]?.officer ?? "?"} after ${taken} s`,
    )
  }
  const medianMs = median(times)
  teller.line(`${times.length} signals, raise → displayed: median ${medianMs} ms`)
  desk.kill("SIGTERM")
  if (desk.exitCode === null && desk.signalCode === null) await once(desk, "exit")
  const displayed = times.length
  return { raised: SIGNALS, displayed, acknowledged, medianMs }
}

// --- 6. the ledger --------------------------------------------------------------------------

/** Proofs checked offline, and two flipped bytes found. */
export async function proveAndTamper(
  stage: Stage,
  cables: readonly Sent[],
): Promise<DemoReport["audit"]> {
  const { cast, teller, posts } = stage
  teller.chapter("Proofs are checked offline; one flipped byte is found at once")
  const [dac, lon, , nyc] = fivePosts(posts)
  const copy = await cast.place("ledger.copy")
  await nyc.json("ledger", "verify", "--save", copy)
  const audit = async (file: string): Promise<{ code: number; err: string; out: string }> =>
    cast.run(["--json", "audit", "verify", file, "--network", cast.genesis, "--ledger", copy])
  const files = await Promise.all(
    cables.map(async ({ from, id }) => {
      const file = await cast.place(`${id.slice(0, 12)}.proof`)
      await writeFile(file, await from.client.proof(id))
      return file
    }),
  )
  const audits = await Promise.all(files.map(audit))
  const verified = audits.filter(({ code }) => code === 0).length
  teller.line(`${verified} of ${files.length} proofs hold, with no node and no network`)
  const received = cables.find(({ addressees }) => addressees.includes(dac))
  if (received === undefined) throw new Error("no cable came to headquarters")
  const envelope = await cast.place("received.envelope")
  await dac.json("cable", "read", received.id, "--envelope", envelope)
  const isWhole = (await audit(copy)).code === 0 && (await audit(envelope)).code === 0
  const flippedLedger = await flip(copy, 0.6)
  const flippedEnvelope = await flip(envelope, 0.5)
  const [ledgerFound, envelopeFound] = [await audit(flippedLedger), await audit(flippedEnvelope)]
  teller.line(`flipped ledger:   ${whyOf(ledgerFound)}`)
  teller.line(`flipped envelope: ${whyOf(envelopeFound)}`)
  const { entries } = await lon.client.ledgerStatus()
  return {
    entries,
    proofs: files.length,
    verified,
    tamperDetected: isWhole && ledgerFound.code === 4 && envelopeFound.code === 4,
  }
}

/** A copy of the file with one byte flipped, at a share of its length. */
async function flip(path: string, share: number): Promise<string> {
  const bytes = await readFile(path)
  const place = Math.floor(bytes.length * share)
  bytes[place] = (bytes[place] ?? 0) ^ 1
  const flipped = `${path}.flipped`
  await writeFile(flipped, bytes)
  return flipped
}

function whyOf(ended: { code: number; err: string; out: string }): string {
  const report =
    ended.out === "" ? undefined : (JSON.parse(ended.out) as { error?: { message: string } })
  const why = report?.error?.message ?? ended.err.split("\n")[0] ?? ""
  return `exit ${ended.code}: ${why}`.slice(0, 110)
}

// --- shared ---------------------------------------------------------------------------------

export function tellTally(teller: Teller, tally: Tally): void {
  const { sent, delivered, registered, lost, duplicated } = tally
  teller.line(
    `${sent} sent, ${delivered} delivered, ${registered} registered, ` +
      `${lost} lost, ${duplicated} duplicated`,
  )
}

type Five = [DemoPost, DemoPost, DemoPost, DemoPost, DemoPost]

function fivePosts(posts: readonly DemoPost[]): Five {
  if (posts.length !== POSTS.length) throw new Error(`the demo has ${POSTS.length} posts`)
  return posts as Five
}

async function untilSignal(
  post: DemoPost,
  id: string,
  isDone: (signal: Signal) => boolean,
): Promise<Signal> {
  let signal = await post.client.signal(id)
  await until(`signal ${id.slice(0, 8)} comes on`, async () => {
    signal = await post.client.signal(id)
    return isDone(signal)
  })
  return signal
}

/** Asks every few milliseconds; an error names what never happened. */
export async function until(what: string, isDone: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + SETTLE_MS
  while (!(await isDone())) {
    if (performance.now() > endMs) throw new Error(`waited ${SETTLE_MS} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

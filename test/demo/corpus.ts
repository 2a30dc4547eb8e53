/**
 * Telegrams of a JSONL file as cables between the posts of the demo.
 *
 * Mapping: the Department, a Secretary of State and an unknown post are headquarters; every other
 * post is dealt to a mission in order of first sight, and never onto the sender.
 */

import { open } from "node:fs/promises"
import type { CableDraft, Classification, Precedence } from "../../node/api/shapes.ts"
import { CABLE_SUBJECT_BYTES_MAX, CABLE_CAVEATS_MAX } from "../../protocol/limits.ts"
import { cableTextBytesMax } from "../../protocol/cable.ts"
import type { DemoPost } from "./cast.ts"
import { inParallel, type Sent, type Traffic } from "./traffic.ts"

interface Telegram {
  readonly id: string
  readonly title: string
  readonly from: string | null
  readonly to: string | null
  readonly number: string | null
  readonly dtg: string | null
  readonly classification: string | null
  readonly precedence: string | null
  readonly handling: readonly string[] | null
  readonly subject: string | null
  readonly refs: readonly string[] | null
  readonly text: string
}

export interface CorpusReport {
  readonly sent: readonly Sent[]
  /** Texts above the cap of their level, sent with the next level that fits. */
  readonly lowered: number
}

const HEADQUARTERS = /department|secretary of state/i
const DATE_TIME_GROUP = /^\d{6}Z [A-Z]{3} \d{2}$/
const REFERENCE_BYTES_MAX = 200

/** Reads up to `count` telegrams. */
export async function readTelegrams(path: string, count: number): Promise<Telegram[]> {
  const telegrams: Telegram[] = []
  const file = await open(path, "r")
  try {
    for await (const line of file.readLines()) {
      if (telegrams.length >= count) break
      if (line.trim() !== "") telegrams.push(JSON.parse(line) as Telegram)
    }
  } finally {
    await file.close()
  }
  return telegrams
}

/** Sends them all; resolves when every node has its own on the disk. */
export async function sendCorpus(
  traffic: Traffic,
  headquarters: DemoPost,
  missions: readonly DemoPost[],
  telegrams: readonly Telegram[],
): Promise<CorpusReport> {
  const dealer = new Dealer(headquarters, missions)
  const sent: Sent[] = []
  let lowered = 0
  const drafts = telegrams.map((telegram) => {
    const from = dealer.postOf(telegram.from)
    const to = dealer.otherThan(from, dealer.postOf(telegram.to))
    const wanted = precedenceOf(telegram.precedence)
    const precedence = fitting(wanted, telegram.text)
    if (precedence !== wanted) lowered += 1
    return { from, draft: draftOf(telegram, from, to, precedence) }
  })
  await inParallel(drafts, async ({ from, draft }) => {
    sent.push(await traffic.send(from, draft))
  })
  return { sent, lowered }
}

class Dealer {
  readonly #headquarters: DemoPost
  readonly #missions: readonly DemoPost[]
  readonly #seen = new Map<string, DemoPost>()

  constructor(headquarters: DemoPost, missions: readonly DemoPost[]) {
    this.#headquarters = headquarters
    this.#missions = missions
  }

  postOf(name: string | null): DemoPost {
    if (name === null || HEADQUARTERS.test(name)) return this.#headquarters
    const known = this.#seen.get(name)
    if (known !== undefined) return known
    const post = this.#missions[this.#seen.size % this.#missions.length] ?? this.#headquarters
    this.#seen.set(name, post)
    return post
  }

  otherThan(sender: DemoPost, addressee: DemoPost): DemoPost {
    if (addressee !== sender) return addressee
    const all = [this.#headquarters, ...this.#missions]
    return all[(all.indexOf(sender) + 1) % all.length] ?? addressee
  }
}

function draftOf(
  telegram: Telegram,
  from: DemoPost,
  to: DemoPost,
  precedence: Precedence,
): CableDraft {
  const isNiact = telegram.precedence?.includes("NIACT") === true
  const caveats = [...(telegram.handling ?? []), ...(isNiact ? ["NIACT"] : [])]
  const dtg = telegram.dtg !== null && DATE_TIME_GROUP.test(telegram.dtg) ? telegram.dtg : undefined
  return {
    to: [to.code],
    precedence,
    classification: classificationOf(telegram.classification),
    caveats: caveats.map((caveat) => clip(caveat, 64)).slice(0, CABLE_CAVEATS_MAX),
    subject: clip(telegram.subject ?? telegram.title, CABLE_SUBJECT_BYTES_MAX),
    text: telegram.text,
    originRef: clip(telegram.id, 64),
    references: (telegram.refs ?? []).slice(0, 16).map((ref) => clip(ref, REFERENCE_BYTES_MAX)),
    drafter: from.name.drafter,
    releaser: from.name.releaser,
    ...(dtg === undefined ? {} : { dtg }),
  }
}

function precedenceOf(word: string | null): Precedence {
  if (word === null) return "routine"
  if (word === "FLASH") return "flash"
  if (word === "PRIORITY") return "priority"
  return word === "ROUTINE" ? "routine" : "immediate"
}

/** The level itself, or the next below that takes a text of this size. */
function fitting(wanted: Precedence, text: string): Precedence {
  const bytes = new TextEncoder().encode(text.normalize("NFC")).length
  const levels: readonly Precedence[] = ["flash", "immediate", "priority", "routine"]
  const from = Math.max(0, levels.indexOf(wanted))
  return levels.slice(from).find((level) => bytes <= cableTextBytesMax(level)) ?? "routine"
}

function classificationOf(word: string | null): Classification {
  switch (word) {
    case "TOP SECRET":
      return "top-secret"
    case "SECRET":
      return "secret"
    case "CONFIDENTIAL":
      return "confidential"
    case "RESTRICTED":
    case "LIMITED OFFICIAL USE":
    case "OFFICIAL USE ONLY":
      return "restricted"
    default:
      return "unclassified"
  }
}

/** At most `bytesMax` of UTF-8, cut between characters. */
function clip(text: string, bytesMax: number): string {
  let clipped = text.normalize("NFC")
  while (new TextEncoder().encode(clipped).length > bytesMax) clipped = clipped.slice(0, -1)
  return clipped.isWellFormed() ? clipped : clipped.slice(0, -1)
}

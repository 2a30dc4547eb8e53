/**
 * Cables of the demo: what was accepted, whether it came, once, with the very same text.
 */

import type { CableDraft } from "../../node/api/shapes.ts"
import type { DemoPost } from "./cast.ts"

export interface Sent {
  readonly from: DemoPost
  readonly id: string
  readonly addressees: readonly DemoPost[]
  readonly text: string
}

export interface Tally {
  sent: number
  delivered: number
  registered: number
  lost: number
  duplicated: number
}

const POLL_MS = 100
/** Status questions under way at once. */
const QUESTIONS_MAX = 16

export class Traffic {
  readonly sent: Sent[] = []
  readonly #posts: ReadonlyMap<string, DemoPost>

  constructor(posts: readonly DemoPost[]) {
    this.#posts = new Map(posts.map((post) => [post.code, post]))
  }

  /** Hands a cable to the node of a post; counts once the node has it on its disk. */
  async send(from: DemoPost, draft: CableDraft): Promise<Sent> {
    const { id } = await from.client.sendCable(draft)
    const codes = [...draft.to, ...(draft.info ?? [])]
    const addressees = codes.map((code) => this.#post(code))
    const sent = { from, id, addressees, text: draft.text.normalize("NFC") }
    this.sent.push(sent)
    return sent
  }

  /** Waits until all are delivered and registered; what is not by then counts as lost. */
  async settle(cables: readonly Sent[], withinMs: number): Promise<Tally> {
    const delivered = new Set<string>()
    const registered = new Set<string>()
    const endMs = performance.now() + withinMs
    let open = [...cables]
    while (open.length > 0 && performance.now() < endMs) {
      await inParallel(open, async ({ from, id }) => {
        const status = await from.client.cableStatus(id)
        if (status.delivered) delivered.add(id)
        if (status.registered) registered.add(id)
      })
      open = open.filter(({ id }) => !delivered.has(id) || !registered.has(id))
      if (open.length > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    const shown = await this.#shown()
    let lost = 0
    let duplicated = 0
    await inParallel(cables, async ({ id, addressees, text }) => {
      for (const post of addressees) {
        const times = shown.get(`${post.code} ${id}`) ?? 0
        if (times > 1) duplicated += 1
        const isSame = times > 0 && (await post.client.cable(id, { mark: false })).text === text
        if (!isSame) lost += 1
      }
    })
    return {
      sent: cables.length,
      delivered: delivered.size,
      registered: registered.size,
      lost,
      duplicated,
    }
  }

  /** How often each cable stands in each inbox. */
  async #shown(): Promise<Map<string, number>> {
    const shown = new Map<string, number>()
    for (const post of this.#posts.values()) {
      for (const { id } of await post.client.cables({ box: "inbox", limit: 10_000 })) {
        const key = `${post.code} ${id}`
        shown.set(key, (shown.get(key) ?? 0) + 1)
      }
    }
    return shown
  }

  #post(code: string): DemoPost {
    const post = this.#posts.get(code)
    if (post === undefined) throw new Error(`no post ${code} in the demo`)
    return post
  }
}

/** Runs `work` over all items, a bounded number at once. */
export async function inParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items]
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: QUESTIONS_MAX }, worker))
}

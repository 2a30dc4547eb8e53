/**
 * One node of the finality benches, in a thread of its own (delayed.ts): a ledger with its keys, its
 * sealed database and its log on the disk, at one end of a line.
 */

import { parentPort, workerData } from "node:worker_threads"
import { systemClock, type Clock } from "../../node/clock.ts"
import { DiskLedger } from "../support/disk-ledger.ts"
import { delayedMinistry, type DelayedOrder, type DelayedTold, type NodeData } from "./delayed.ts"
import { LineTransport } from "./line-transport.ts"
import { wallMs } from "./validator.ts"

const SHOWN_MAX = 10_000

const { index, missions, genesisBytes, folder, end } = workerData as NodeData
const ministry = delayedMinistry(missions, genesisBytes)
const post = ministry.posts[index]
if (post === undefined) throw new Error(`no post ${index}`)
const peers = ministry.posts.map(({ peer }) => peer)
const transport = new LineTransport(end, index, peers)
/** When the clock first showed each of the last milliseconds: a block is dated in whole ones. */
const shownMs = new Map<number, number>()
const clock: Clock = { ...systemClock, now }
const node = await DiskLedger.open({ ministry, post, folder, transport, clock })
await transport.start()
node.onFinal(({ leader, timeMs, entries }) => {
  const atMs = wallMs()
  const builtMs = leader === post.rid ? shownMs.get(timeMs) : undefined
  const serials = entries.map(({ entry }) => ({
    rid: entry.submitter,
    seq: entry.submitterSeq,
  }))
  const tookMs = transport.takeTimes()
  say({ type: "final", ...(builtMs !== undefined && { builtMs }), atMs, tookMs, serials })
})
parentPort?.on("message", (order: DelayedOrder) => {
  void perform(order)
})
say({ type: "open" })

async function perform(order: DelayedOrder): Promise<void> {
  if (order.type === "meet") transport.meet()
  else if (order.type === "submit") await node.submit(order.count)
  else {
    await node.stop()
    say({ type: "stopped" })
  }
}

function now(): number {
  const exactMs = wallMs()
  const ms = Math.floor(exactMs)
  if (!shownMs.has(ms)) shownMs.set(ms, exactMs)
  const [oldest = ms] = shownMs.keys()
  if (shownMs.size > SHOWN_MAX) shownMs.delete(oldest)
  return ms
}

function say(told: DelayedTold): void {
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a page
  parentPort?.postMessage(told)
}

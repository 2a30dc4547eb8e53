/**
 * One validator of the throughput bench, in a process of its own: a ledger with its disk, its log and
 * its libp2p host, as `tarbarta start` runs them, without the rest of a node.
 *
 * Told by its parent over the process channel which post it is and where its folder stands; says
 * `listening`, is told the addresses of the others, and answers `tell` with its head.
 */

import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { createHost } from "../../node/network/host.ts"
import { systemClock } from "../../node/clock.ts"
import { DiskLedger } from "../support/disk-ledger.ts"
import { loadMinistry, type Told, type Order } from "./load.ts"

const [folder = "", index = ""] = process.argv.slice(2)
const ministry = loadMinistry(await readFile(join(folder, "genesis")))
const post = ministry.posts[Number(index)]
if (post === undefined) throw new Error(`no post ${index}`)
const quiet = (): void => undefined
const host = createHost({
  transportSeed: post.transport.seed,
  listen: ["/ip4/127.0.0.1/tcp/0"],
  encryption: "noise",
  clock: systemClock,
  log: { info: quiet, warn: quiet, error: quiet },
})
const node = await DiskLedger.open({
  ministry,
  post,
  folder: join(folder, index),
  transport: host,
  clock: systemClock,
})
await host.start()
say({ type: "listening", addresses: host.addresses() })
process.on("message", (order: Order) => {
  if (order.type === "meet") {
    host.setMembers(order.members)
    return
  }
  if (order.type === "tell") {
    const { height, frontier } = node.ledger.head()
    const { user, system } = process.cpuUsage()
    const isVoting = node.ledger.validatorStatus()?.state === "voting"
    say({ type: "head", height, entries: frontier.size, cpuMs: (user + system) / 1_000, isVoting })
    return
  }
  void node.stop().then(() => process.exit(0))
})
process.on("disconnect", () => process.exit(1))

function say(told: Told): void {
  process.send?.(told)
}

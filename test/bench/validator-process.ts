/**
 * One validator of a bench, in a process of its own: a ledger with its disk, its log and its libp2p
 * host, as `tarbarta start` runs them, without the rest of a node.
 *
 * Told on its command line which post it is and where its folder stands. In its first life it listens
 * where there is room, says so, and is told when the others are known; in later ones it finds all that
 * beside its folder, and needs nobody. It says when it votes, and answers `tell` with its head.
 */

import { existsSync, readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { createHost, loadStack } from "../../node/network/host.ts"
import { systemClock } from "../../node/clock.ts"
import type { Member } from "../../node/network/transport.ts"
import { DiskLedger } from "../support/disk-ledger.ts"
import * as bench from "./validator.ts"

const ANYWHERE = "/ip4/127.0.0.1/tcp/0"
const POLL_MS = 1

const [folder = "", index = ""] = process.argv.slice(2)
const ministry = bench.validatorsMinistry(await readFile(join(folder, bench.GENESIS)))
const post = ministry.posts[Number(index)]
if (post === undefined) throw new Error(`no post ${index}`)
const members = knownMembers()
const former = members?.find(({ peer }) => peer === post.peer)?.addresses
const quiet = (): void => undefined
const host = createHost({
  transportSeed: post.transport.seed,
  // The peer id at the end is for who dials.
  listen: former?.map((address) => address.replace(/\/p2p\/.*/, "")) ?? [ANYWHERE],
  encryption: "noise",
  clock: systemClock,
  log: { info: quiet, warn: quiet, error: quiet },
})
// As a node does while other threads derive the key that opens its keys.
await loadStack("noise")
const keysMs = bench.wallMs()
const node = await DiskLedger.open({
  ministry,
  post,
  folder: join(folder, index),
  transport: host,
  clock: systemClock,
})
const openMs = bench.wallMs()
// As a node: its directory says who belongs, then it listens.
if (members !== undefined) host.setMembers(members)
await host.start()
say({ type: "listening", addresses: host.addresses() })
process.on("message", ({ type }: bench.Order) => {
  if (type === "meet") {
    host.setMembers(knownMembers() ?? [])
    return
  }
  if (type === "tell") {
    const { height, frontier } = node.ledger.head()
    const { user, system } = process.cpuUsage()
    const cpuMs = (user + system) / 1_000
    say({ type: "head", height, entries: frontier.size, cpuMs, isVoting: isVoting() })
    return
  }
  void node.stop().then(() => process.exit(0))
})
process.on("disconnect", () => process.exit(1))
while (!isVoting()) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
say({ type: "voting", keysMs, openMs, votingMs: bench.wallMs() })

function knownMembers(): Member[] | undefined {
  const path = join(folder, bench.MEMBERS)
  if (!existsSync(path)) return undefined
  return JSON.parse(readFileSync(path, "utf8")) as Member[]
}

function isVoting(): boolean {
  return node.ledger.validatorStatus()?.state === "voting"
}

function say(told: bench.Told): void {
  process.send?.(told)
}

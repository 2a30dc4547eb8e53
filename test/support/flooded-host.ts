/**
 * The node under attack in a process of its own, for measuring its memory on loopback.
 *
 * Run with --expose-gc. Prints its address, then for each line on standard input one line of JSON:
 * memory after a forced collection, its peak since the start, and what reached the handler.
 */

import { createInterface } from "node:readline"
import { createHost } from "../../node/network/host.ts"
import { systemClock } from "../../node/clock.ts"
import { party, RecordingLog, TCP } from "./hosts.ts"
import { echoProtocol } from "./echo-protocol.ts"

const MIB = 1_048_576
const log = new RecordingLog()
const host = createHost({
  transportSeed: party(1).seed,
  listen: [TCP],
  encryption: "noise",
  clock: systemClock,
  log,
})
const counts = { requests: 0, bytes: 0 }
const limits = { requestBytesMax: 20 * MIB, answerBytesMax: 20 * MIB, timeoutMs: 30_000 }
// Never answers: a slow reader holds each request's memory for as long as it can.
host.handle({ id: "/tarbarta/slow/1", lane: "bulk", ...limits }, (_from, request) => {
  counts.requests += 1
  counts.bytes += request.length
  return new Promise<Uint8Array>(() => {})
})
// Answers with 4 MiB each: for an attacker that asks and does not read.
host.handle({ id: "/tarbarta/large/1", lane: "bulk", ...limits }, () => {
  counts.requests += 1
  return Promise.resolve(new Uint8Array(4 * MIB))
})
host.handle(echoProtocol("bulk", 20 * MIB, 30_000), (_from, request) => {
  counts.requests += 1
  counts.bytes += request.length
  return Promise.resolve(request)
})
await host.start()
host.setMembers([{ peer: party(2).key, addresses: [], keep: false }])

/** Heap and external memory after a forced collection, in MiB. */
function collected(): number {
  // Twice: the second run waits until what the first one found is given back.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / MIB
}

const base = collected()
let peak = base
// The attack is measured while it runs, not only after it.
setInterval(() => {
  peak = Math.max(peak, collected())
}, 500).unref()

console.log(host.addresses()[0])
createInterface(process.stdin).on("line", () => {
  const now = collected()
  peak = Math.max(peak, now)
  const rss = process.memoryUsage().rss / MIB
  const warnings = log.lines.filter((line) => line.startsWith("warn")).length
  console.log(JSON.stringify({ base, now, peak, rss, warnings, ...counts }))
})
process.stdin.on("end", () => process.exit(0))

/**
 * A member gone bad sends up to 300 MiB of anything: the node stays small. Floods that break the
 * protocol are cut again and again. They are sent whole, and the one within it, only with
 * TARBARTA_FULL=1.
 */

import type { Connection, Libp2p, MessageStream, Stream } from "@libp2p/interface"
import { multiaddr } from "@multiformats/multiaddr"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { encodeFrame } from "../../../node/network/frames.ts"
import { FRAME_BYTES_MAX, REQUESTS_PER_STREAM_MAX } from "../../../protocol/limits.ts"
import { hostOf, party, rawGreeted, rawNode } from "../../support/hosts.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const MIB = 1_048_576
const FLOOD_BYTES = 300 * MIB
const isFull = process.env["TARBARTA_FULL"] === "1"
/**
 * A breach is answered by a cut, after which the attacker must connect anew, so that such a flood
 * takes long. The default run stops after this many cuts, well before all bytes are sent; with
 * TARBARTA_FULL=1 every flood is sent whole. The line that each prints says how much it was.
 */
const CUTS_MAX = isFull ? 20_000 : 60
/** Requests that break nothing are never cut. */
const WITHIN_BYTES = isFull ? FLOOD_BYTES : 128 * MIB
/** Growth that an attack may cost, in MiB (heapUsed + external after a forced collection). */
const GROWTH_MAX_MIB = 32
const program = new URL("../../support/flooded-host.ts", import.meta.url).pathname

interface Report {
  readonly base: number
  readonly now: number
  readonly peak: number
  readonly rss: number
  readonly warnings: number
  readonly requests: number
  readonly bytes: number
}

interface Target {
  readonly address: string
  report(): Promise<Report>
  end(): void
}

async function launch(): Promise<Target> {
  const child = spawn(process.execPath, ["--expose-gc", program], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const line = await lines.next()
    return line.done === true ? "" : line.value
  }
  return {
    address: await next(),
    async report() {
      child.stdin.write("\n")
      return JSON.parse(await next()) as Report
    },
    end: () => child.stdin.end(),
  }
}

/** Writes pieces until the flood is through or the target has cut us; returns the bytes sent. */
async function flood(
  node: Libp2p,
  address: string,
  { protocol, piece, bytes: floodBytes = FLOOD_BYTES }: Attack,
): Promise<{ sent: number; cuts: number }> {
  let sent = 0
  let cuts = 0
  let index = 0
  while (sent < floodBytes && cuts < CUTS_MAX) {
    const stream = await openStream(node, address, protocol)
    for (index = 0; sent < floodBytes && stream.writeStatus === "writable"; index++) {
      const bytes = piece(index)
      if (!stream.send(bytes)) await writable(stream)
      sent += bytes.length
    }
    if (sent < floodBytes) cuts += 1
    else stream.abort(new Error("flooded enough"))
  }
  return { sent, cuts }
}

let current: Connection | undefined

/** A stream on the connection at hand, or on a new one when that was cut. */
async function openStream(node: Libp2p, address: string, protocol: string): Promise<Stream> {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      if (current?.status !== "open") current = await rawGreeted(node, multiaddr(address), "bulk")
      return await current.newStream(protocol)
    } catch {
      // Cut while opening: that is what the target is for. The next attempt dials again.
      current = undefined
    }
  }
  throw new Error("the target no longer takes connections")
}

function writable(stream: MessageStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.removeEventListener("drain", done)
      stream.removeEventListener("close", done)
      resolve()
    }
    stream.addEventListener("drain", done)
    stream.addEventListener("close", done)
    if (stream.status !== "open") done()
  })
}

const full = new Uint8Array(FRAME_BYTES_MAX).fill(0x61)
const frame = (requestId: number, isLast: boolean, payload: Uint8Array): Uint8Array =>
  encodeFrame({ type: "request", requestId, isLast, payload })

interface Attack {
  readonly name: string
  readonly protocol: string
  readonly piece: (index: number) => Uint8Array
  /** Less than the whole flood where each request costs the target much work. */
  readonly bytes?: number
}

const attacks: readonly Attack[] = [
  {
    name: "one request without end",
    protocol: "/tarbarta/slow/1",
    piece: () => frame(1, false, full),
  },
  {
    name: "as many half requests as there are places, each just below its limit",
    protocol: "/tarbarta/slow/1",
    piece: (index) => {
      const pieces = REQUESTS_PER_STREAM_MAX
      return frame((index % pieces) + 1, false, full)
    },
  },
  {
    name: "many small requests to a handler that never answers",
    protocol: "/tarbarta/slow/1",
    piece: (index) => frame(index + 1, true, full.subarray(0, 1_000)),
  },
  {
    name: "many small requests whose answers are never read",
    protocol: "/tarbarta/echo/1",
    piece: (index) => frame(index + 1, true, full.subarray(0, 1_000)),
  },
  {
    name: "requests for large answers that are never read, padded with cancels",
    protocol: "/tarbarta/large/1",
    bytes: 60 * MIB,
    piece: (index) =>
      Buffer.concat([
        frame(index + 1, true, full),
        encodeFrame({ type: "cancel", requestId: index + 1 }),
      ]),
  },
  {
    name: "garbage",
    protocol: "/tarbarta/echo/1",
    piece: () => full,
  },
  {
    name: "garbage on the greeting stream",
    protocol: "/tarbarta/hello/1",
    piece: () => full,
  },
]

describe("a flood", () => {
  it.each(attacks)(
    "of $name costs at most 32 MiB",
    async (attack) => {
      const { name } = attack
      const target = await launch()
      const node = await rawNode(party(2))
      current = undefined
      const { sent, cuts } = await flood(node, target.address, attack)
      const report = await target.report()
      const mib = (bytes: number): string => bytes.toFixed(1)
      console.log(
        `${name}: sent ${mib(sent / MIB)} MiB, cut ${cuts} times, ` +
          `heap + external ${mib(report.base)} -> ${mib(report.now)} (peak ${mib(report.peak)}) MiB, ` +
          `rss ${mib(report.rss)} MiB, handled ${report.requests}`,
      )
      expect(report.peak - report.base).toBeLessThanOrEqual(GROWTH_MAX_MIB)
      await node.stop()
      target.end()
    },
    600_000,
  )

  it("of requests within the protocol, whose answers are read, costs at most 32 MiB", async () => {
    const target = await launch()
    const host = hostOf(party(2), { listen: [] })
    await host.start()
    host.setMembers([{ peer: party(1).key, addresses: [target.address], keep: false }])
    const protocol = echoProtocol("bulk", 20 * MIB, 30_000)
    const request = full.subarray(0, 16_384)
    let sent = 0
    const ask = async (): Promise<void> => {
      while (sent < WITHIN_BYTES) {
        sent += request.length
        await host.request(party(1).key, protocol, request)
      }
    }
    await Promise.all(Array.from({ length: REQUESTS_PER_STREAM_MAX }, ask))
    const report = await target.report()
    console.log(
      `within the protocol: sent ${(sent / MIB).toFixed(1)} MiB, heap + external ` +
        `${report.base.toFixed(1)} -> peak ${report.peak.toFixed(1)} MiB, ` +
        `rss ${report.rss.toFixed(1)} MiB, handled ${report.requests}`,
    )
    expect(report.bytes).toBeGreaterThanOrEqual(WITHIN_BYTES)
    expect(report.peak - report.base).toBeLessThanOrEqual(GROWTH_MAX_MIB)
    await host.stop()
    target.end()
  }, 120_000)

  it("of muxer pings whose answers are never read costs at most 32 MiB, and the connection", async () => {
    const target = await launch()
    const node = await rawNode(party(2))
    const connection = await rawGreeted(node, multiaddr(target.address), "bulk")
    // The layers under the streams, which the interface of a connection does not show.
    const layers = connection as Connection & {
      maConn: MessageStream
      muxer: { maConn: MessageStream }
    }
    const line = layers.muxer.maConn
    for (const layer of [line, layers.maConn]) layer.maxWriteBufferLength = FLOOD_BYTES
    layers.maConn.pause()
    const pings = muxerPings(5_000)
    let sent = 0
    while (sent < FLOOD_BYTES && connection.status === "open") {
      if (!line.send(pings)) await writable(line)
      sent += pings.length
      await setImmediate()
    }
    const report = await target.report()
    console.log(
      `muxer pings: sent ${(sent / MIB).toFixed(1)} MiB, then ${connection.status}, heap + external ` +
        `${report.base.toFixed(1)} -> peak ${report.peak.toFixed(1)} MiB, rss ${report.rss.toFixed(1)} MiB`,
    )
    expect(connection.status).not.toBe("open")
    expect(report.peak - report.base).toBeLessThanOrEqual(GROWTH_MAX_MIB)
    await node.stop()
    target.end()
  }, 120_000)
})

/** Yamux pings (type 2, flag SYN), each of which asks for an answer of 12 bytes. */
function muxerPings(count: number): Uint8Array {
  const bytes = Buffer.alloc(12 * count)
  for (let index = 0; index < count; index++) {
    bytes[index * 12 + 1] = 2
    bytes[index * 12 + 3] = 1
    bytes.writeUInt32BE(index, index * 12 + 8)
  }
  return bytes
}

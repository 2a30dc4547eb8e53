/** Who is no member gets nothing past the handshake; who misbehaves as a member is cut. */

import type { Connection, Libp2p } from "@libp2p/interface"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import type { Host } from "../../../node/network/host.ts"
import { encodeFrame } from "../../../node/network/frames.ts"
import { REQUESTS_PER_STREAM_MAX } from "../../../protocol/limits.ts"
import {
  addressOf,
  closed,
  contact,
  hostOf,
  member,
  party,
  rawAdmitted,
  rawNode,
  TCP,
  WS,
  type HostSetup,
} from "../../support/hosts.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const ECHO = echoProtocol("bulk", 100_000, 10_000)
const capital = party(1)
const lisbon = party(2)
const mallory = party(66)

const hosts: Host[] = []
const raws: Libp2p[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const raw of raws.splice(0)) await raw.stop()
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
})

interface Served {
  readonly host: Host
  /** Requests that reached the handler. */
  count: number
}

async function serve(setup: HostSetup = {}): Promise<Served> {
  const served: Served = { host: hostOf(capital, setup), count: 0 }
  hosts.push(served.host)
  served.host.handle(ECHO, (_from, request) => {
    served.count += 1
    return request[0] === 255 ? new Promise<Uint8Array>(() => {}) : Promise.resolve(request)
  })
  await served.host.start()
  served.host.setMembers([member(lisbon)])
  return served
}

async function raw(who: typeof capital): Promise<Libp2p> {
  const node = await rawNode(who)
  raws.push(node)
  return node
}

/** What is left of an attempt: the name of its failure, or "opened". */
async function failure(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt()
  } catch (error) {
    return error instanceof Error ? error.name : "failed"
  }
  return "opened"
}

/** A well-behaved member reaches the host and has an echo answered. */
async function expectService(served: Served): Promise<void> {
  const before = served.count
  const host = hostOf(lisbon)
  hosts.push(host)
  await host.start()
  host.setMembers([member(capital, served.host)])
  await contact(host, capital)
  expect((await host.request(capital.key, ECHO, Uint8Array.of(1))).length).toBe(1)
  expect(served.count).toBe(before + 1)
  await host.stop()
}

async function portOf(host: Host): Promise<number> {
  return Number((await addressOf(host)).toString().split("/")[4])
}

async function idleSocket(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1")
  sockets.push(socket)
  socket.on("error", () => {})
  await once(socket, "connect")
  return socket
}

describe("a stranger", () => {
  it.each([
    ["tcp", TCP],
    ["websocket", WS],
  ])("gets no stream and loses the connection over %s", async (_name, listen) => {
    const served = await serve({ listen: [listen] })
    const node = await raw(mallory)
    const ends: Promise<string>[] = []
    const outcomes: string[] = []
    for (const protocol of ["/tarbarta/hello/1", ECHO.id, "/ipfs/ping/1.0.0"]) {
      outcomes.push(
        await failure(async () => {
          const connection = await node.dial(await addressOf(served.host), { force: true })
          ends.push(closed(connection))
          const stream = await connection.newStream(protocol)
          const end = closed(stream)
          stream.send(new Uint8Array(100))
          throw new Error(await end)
        }),
      )
    }
    expect(outcomes).not.toContain("opened")
    await Promise.all(ends)
    expect(node.getConnections()).toEqual([])
    expect(served.host.connected()).toEqual([])
    expect(served.count).toBe(0)
    await expectService(served)
  })

  it("does not lock members out by idle sockets, eight a second for as long as it likes", async () => {
    for (const listen of [TCP, WS]) {
      const served = await serve({ listen: [listen] })
      const port = await portOf(served.host)
      // Eight a second for the 5 s of the upgrade timeout is the most that can be pending.
      const idle = await Promise.all(Array.from({ length: 40 }, () => idleSocket(port)))
      for (let round = 0; round < 8; round++) {
        idle.push(await idleSocket(port))
        await expectService(served)
      }
      expect(idle.every((socket) => !socket.destroyed)).toBe(true)
    }
  }, 30_000)

  it.each([
    ["tcp", TCP],
    ["websocket", WS],
  ])(
    "has an idle %s socket closed",
    async (_name, listen) => {
      const served = await serve({ listen: [listen] })
      const socket = await idleSocket(await portOf(served.host))
      socket.resume()
      await new Promise((resolve) => {
        socket.on("close", resolve)
      })
      expect(socket.destroyed).toBe(true)
    },
    15_000,
  )

  it("does not end the process by a malformed WebSocket frame, nor fill its memory", async () => {
    const served = await serve({ listen: [WS] })
    const port = await portOf(served.host)
    const upgrade =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    const malformed = Uint8Array.of(0xff, 0xff, 0xff, 0xff)
    // A binary frame that promises 64 MiB, masked as a client's must be.
    const huge = Uint8Array.of(0x82, 0xff, 0, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4)
    for (const bytes of [malformed, huge]) {
      const socket = await idleSocket(port)
      socket.write(upgrade)
      await once(socket, "data")
      socket.resume()
      socket.write(bytes)
      await once(socket, "close")
    }
    await expectService(served)
  })
})

describe("a member", () => {
  it("is cut at once when it is removed, and cannot come back", async () => {
    for (const listen of [TCP, WS]) {
      const served = await serve({ listen: [listen] })
      const host = hostOf(lisbon)
      hosts.push(host)
      await host.start()
      host.setMembers([member(capital, served.host)])
      await contact(host, capital)
      await contact(served.host, lisbon)
      const down = [contact(host, capital, "down"), contact(served.host, lisbon, "down")]
      const hanging = failure(() => host.request(capital.key, ECHO, Uint8Array.of(255)))
      served.host.setMembers([])
      expect(served.host.connected()).toEqual([])
      await Promise.all(down)
      expect(await hanging).toBe("NodeError")
      expect(await failure(() => host.request(capital.key, ECHO, Uint8Array.of(1)))).toBe(
        "NodeError",
      )
      expect(served.count).toBeLessThanOrEqual(1)
    }
  })

  it("gets no stream before its hello, in the wrong lane, or in an unknown protocol", async () => {
    const served = await serve()
    const node = await raw(lisbon)
    const bare = await node.dial(await addressOf(served.host), { force: true })
    const early = await bare.newStream(ECHO.id)
    expect(await closed(early)).not.toBe("opened")
    const urgent = await rawAdmitted(node, served.host, "urgent")
    const crossed = await urgent.newStream(ECHO.id)
    expect(await closed(crossed)).not.toBe("opened")
    expect(await failure(() => urgent.newStream("/tarbarta/none/1"))).toBe(
      "UnsupportedProtocolError",
    )
    expect(served.count).toBe(0)
  })

  it("loses a connection on which it never says hello", async () => {
    const served = await serve()
    const node = await raw(lisbon)
    const bare = await node.dial(await addressOf(served.host), { force: true })
    expect(await closed(bare)).not.toBe("open")
    await expectService(served)
  }, 15_000)

  const outstanding = Array.from({ length: REQUESTS_PER_STREAM_MAX + 1 }, (_, index) =>
    encodeFrame({
      type: "request",
      requestId: index + 1,
      isLast: true,
      payload: Uint8Array.of(255),
    }),
  )
  const breaches: readonly [string, Uint8Array][] = [
    ["garbage", new Uint8Array(1_000).fill(0xaa)],
    ["an oversize frame", Uint8Array.of(1, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff)],
    ["too many requests under way", Buffer.concat(outstanding)],
  ]
  it.each(breaches)(
    "has the stream reset for %s, and the connection when repeated",
    async (_what, bytes) => {
      const served = await serve()
      const node = await raw(lisbon)
      const connection: Connection = await rawAdmitted(node, served.host, "bulk")
      const end = closed(connection)
      for (let round = 0; round < 3; round++) {
        const stream = await connection.newStream(ECHO.id)
        const reset = closed(stream)
        stream.send(bytes)
        expect(await reset).toBe("StreamResetError")
      }
      expect(await end).not.toBe("open")
      await expectService(served)
    },
  )
})

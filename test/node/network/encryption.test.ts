/** What a wiretap on the line sees of the handshake, and what it gains by changing it. */

import { once } from "node:events"
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net"
import tls from "node:tls"
import { afterEach, describe, expect, it } from "vitest"
import type { Host } from "../../../node/network/host.ts"
import type { Encryption } from "../../../node/network/stack.ts"
import { contact, hostOf, member, party } from "../../support/hosts.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const X25519MLKEM768 = 0x11ec
const PROTOCOL = echoProtocol("urgent", 1_000, 3_000)
const capital = party(1)
const lisbon = party(2)

const hosts: Host[] = []
const servers: Server[] = []
const sockets: Socket[] = []
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) server.close()
})

type Tamper = (bytes: Buffer) => Buffer

/** A wire with an ear, and a hand, on it. Returns its port and what the server side said. */
async function wiretap(port: number, toServer: Tamper, toClient: Tamper) {
  const said: Buffer[] = []
  const counts = { connections: 0 }
  const server = createServer((client) => {
    counts.connections += 1
    const target = connect(port, "127.0.0.1")
    sockets.push(client, target)
    client.on("data", (bytes) => target.write(toServer(bytes)))
    target.on("data", (bytes) => {
      said.push(bytes)
      client.write(toClient(bytes))
    })
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.on("error", () => other.destroy())
      one.on("close", () => other.destroy())
    }
  }).listen(0, "127.0.0.1")
  servers.push(server)
  await once(server, "listening")
  return { port: (server.address() as AddressInfo).port, said, counts }
}

const untouched: Tamper = (bytes) => bytes

async function startCapital(encryption: Encryption): Promise<{ host: Host; port: number }> {
  const host = hostOf(capital, { encryption })
  hosts.push(host)
  host.handle(PROTOCOL, (_from, request) => Promise.resolve(request))
  await host.start()
  host.setMembers([member(lisbon)])
  return { host, port: Number(host.addresses()[0]?.split("/")[4]) }
}

async function startLisbon(encryption: Encryption, port: number): Promise<Host> {
  const host = hostOf(lisbon, { encryption, listen: [] })
  hosts.push(host)
  await host.start()
  const addresses = [`/ip4/127.0.0.1/tcp/${port}`]
  host.setMembers([{ peer: capital.key, addresses, keep: false }])
  return host
}

/** The group that a TLS 1.3 ServerHello chose (RFC 8446 §4.2.8). */
function groupOf(said: Buffer): number | undefined {
  for (let at = 0; at + 44 < said.length; at++) {
    if (said.readUInt16BE(at) !== 0x1603 || said[at + 2] !== 3 || said[at + 5] !== 2) continue
    // Record 5, handshake head 4, version 2, random 32, session id 1 + n, suite 2, compression 1.
    let extension = at + 5 + 4 + 2 + 32
    extension += 1 + (said[extension] ?? 0) + 2 + 1
    const end = extension + 2 + said.readUInt16BE(extension)
    for (extension += 2; extension + 4 <= end;) {
      const type = said.readUInt16BE(extension)
      if (type === 0x33) return said.readUInt16BE(extension + 4)
      extension += 4 + said.readUInt16BE(extension + 2)
    }
  }
  return undefined
}

/** The first bytes of a connection, as far as TLS: both sides agree on the encrypter. */
async function agreeOnTls(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1")
  sockets.push(socket)
  const agreed = "\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n"
  socket.write(agreed)
  for (let heard = 0; heard < agreed.length;) {
    const [bytes] = (await once(socket, "data")) as [Buffer]
    heard += bytes.length
  }
  return socket
}

describe("the handshake of tls-pq", () => {
  it("uses X25519MLKEM768, as the ServerHello on the wire says", async () => {
    const { port } = await startCapital("tls-pq")
    const tap = await wiretap(port, untouched, untouched)
    const host = await startLisbon("tls-pq", tap.port)
    expect((await host.request(capital.key, PROTOCOL, new Uint8Array(9))).length).toBe(9)
    const group = groupOf(Buffer.concat(tap.said))
    console.log(`negotiated group: 0x${(group ?? 0).toString(16)}`)
    expect(group).toBe(X25519MLKEM768)
  })

  it.each([
    ["X25519MLKEM768", true],
    ["X25519", false],
    ["P-256", false],
  ])("offered with %s alone is accepted: %s", async (ecdhCurve, isAccepted) => {
    const { port } = await startCapital("tls-pq")
    const socket = await agreeOnTls(port)
    const client = tls.connect({ socket, ecdhCurve, rejectUnauthorized: false })
    const outcome = await new Promise<string>((resolve) => {
      client.on("secureConnect", () => resolve("accepted"))
      client.on("error", () => resolve("refused"))
      client.on("close", () => resolve("refused"))
    })
    expect(outcome).toBe(isAccepted ? "accepted" : "refused")
    client.destroy()
  })
})

describe("a hand on the wire", () => {
  const swap = (from: string, to: string): Tamper => {
    const line = (name: string): Buffer =>
      Buffer.concat([Buffer.of(name.length + 1), Buffer.from(`${name}\n`)])
    return (bytes) => {
      const at = bytes.indexOf(line(from))
      if (at < 0) return bytes
      const rest = bytes.subarray(at + line(from).length)
      return Buffer.concat([bytes.subarray(0, at), line(to), rest])
    }
  }
  const names = { noise: "/noise", "tls-pq": "/tls/1.0.0" } as const
  const cases = (["noise", "tls-pq"] as const).flatMap((encryption) => {
    const mine = names[encryption]
    const other = encryption === "noise" ? names["tls-pq"] : names.noise
    return [
      { encryption, what: "offers the other encrypter", ask: swap(mine, other), say: untouched },
      {
        encryption,
        what: "changes one byte",
        ask: swap(mine, `${mine.slice(0, -1)}x`),
        say: untouched,
      },
      { encryption, what: "declines for the server", ask: untouched, say: swap(mine, "na") },
      { encryption, what: "plays both sides", ask: swap(mine, other), say: swap("na", mine) },
    ]
  })
  it.each(cases)(
    "that $what gets no connection with $encryption",
    async (one) => {
      const { encryption, ask, say } = one
      const capitalHost = await startCapital(encryption)
      const tap = await wiretap(capitalHost.port, ask, say)
      const host = await startLisbon(encryption, tap.port)
      await expect(host.request(capital.key, PROTOCOL, new Uint8Array(9))).rejects.toThrow(
        expect.objectContaining({
          code: expect.toBeOneOf(["PEER_UNREACHABLE", "STREAM_DEADLINE"]),
        }),
      )
      expect(tap.counts.connections).toBeGreaterThan(0)
      expect(host.connected()).toEqual([])
      expect(capitalHost.host.connected()).toEqual([])
    },
    15_000,
  )

  it.each(["noise", "tls-pq"] as const)(
    "that only listens disturbs nothing with %s",
    async (encryption) => {
      const { port, host: capitalHost } = await startCapital(encryption)
      const tap = await wiretap(port, untouched, untouched)
      const host = await startLisbon(encryption, tap.port)
      expect((await host.request(capital.key, PROTOCOL, new Uint8Array(9))).length).toBe(9)
      await contact(capitalHost, lisbon)
      expect(Buffer.concat(tap.said).includes(Buffer.from(PROTOCOL.id))).toBe(false)
    },
  )

  it("between hosts of different policy finds no connection to work on", async () => {
    const { port } = await startCapital("noise")
    const host = await startLisbon("tls-pq", port)
    await expect(host.request(capital.key, PROTOCOL, new Uint8Array(9))).rejects.toThrow(
      expect.objectContaining({ code: "PEER_UNREACHABLE" }),
    )
  })
})

/** Two real hosts on loopback: what a request may count on, over each transport and encryption. */

import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, type AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import { afterEach, describe, expect, it } from "vitest"
import { systemClock, type Clock } from "../../../node/clock.ts"
import { NodeError } from "../../../node/errors.ts"
import type { Host } from "../../../node/network/host.ts"
import type { ProtocolSpec, RequestHandler } from "../../../node/network/transport.ts"
import { ProtocolError } from "../../../protocol/errors.ts"
import {
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

const URGENT = echoProtocol("urgent", 6_000_000)
const BULK: ProtocolSpec = { ...URGENT, id: "/tarbarta/bulk/1", lane: "bulk" }
const capital = party(1)
const lisbon = party(2)

const hosts: Host[] = []
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
})

const echo: RequestHandler = (_from, request) => Promise.resolve(request)

/** Two hosts that know each other; Lisbon knows the address of the capital and dials it. */
async function couple(setup: HostSetup = {}, handler: RequestHandler = echo) {
  const a = hostOf(capital, setup)
  const b = hostOf(lisbon, setup)
  hosts.push(a, b)
  for (const host of [a, b]) {
    host.handle(URGENT, handler)
    host.handle(BULK, handler)
    await host.start()
  }
  a.setMembers([member(lisbon)])
  b.setMembers([member(capital, a)])
  await Promise.all([contact(a, lisbon), contact(b, capital)])
  return { a, b }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof NodeError) return error.refusal ?? error.code
    throw error
  }
  return "none"
}

function patterned(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + seed) & 0xff)
}

describe("two hosts", () => {
  const setups = [
    { name: "noise over tcp", listen: [TCP], encryption: "noise" },
    { name: "noise over websocket", listen: [WS], encryption: "noise" },
    { name: "tls-pq over tcp", listen: [TCP], encryption: "tls-pq" },
    { name: "tls-pq over websocket", listen: [WS], encryption: "tls-pq" },
  ] as const
  it.each(setups)(
    "exchange 0 B to 5 MiB both ways with $name",
    async (setup) => {
      const { a, b } = await couple(setup)
      const sizes = [0, 1, 65_535, 65_536, 65_537, 1_000_000, 5 * 1_048_576]
      const exchanges = sizes.flatMap((bytes, index) =>
        [URGENT, BULK].flatMap((protocol) => {
          const message = patterned(bytes, index)
          return [
            { message, answer: a.request(lisbon.key, protocol, message) },
            { message, answer: b.request(capital.key, protocol, message) },
          ]
        }),
      )
      for (const { message, answer } of exchanges) {
        expect(Buffer.compare(await answer, message)).toBe(0)
      }
    },
    30_000,
  )

  it("carry many requests at once in both directions", async () => {
    const { a, b } = await couple()
    const ask = (host: Host, to: string) =>
      Array.from({ length: 300 }, async (_, index) => {
        const message = patterned(index * 50, index)
        return Buffer.compare(await host.request(to, URGENT, message), message)
      })
    const all = await Promise.all([...ask(a, lisbon.key), ...ask(b, capital.key)])
    expect(all.every((difference) => difference === 0)).toBe(true)
  }, 30_000)

  it("deliver requests of one size in the order in which they were made", async () => {
    const order: number[] = []
    const { a } = await couple({}, (_from, request) => {
      order.push(request[0] ?? 0)
      return Promise.resolve(request)
    })
    await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        a.request(lisbon.key, URGENT, Uint8Array.of(index)),
      ),
    )
    expect(order).toEqual(Array.from({ length: 200 }, (_, index) => index))
  })

  it("tell the handler which member asks", async () => {
    const seen: string[] = []
    const { a, b } = await couple({}, (from, request) => {
      seen.push(from)
      return Promise.resolve(request)
    })
    await a.request(lisbon.key, URGENT, new Uint8Array(1))
    await b.request(capital.key, URGENT, new Uint8Array(1))
    expect(seen).toEqual([capital.key, lisbon.key])
  })

  it("bring refusals through by code, and keep the stream", async () => {
    const { a } = await couple({}, (_from, request) => {
      if (request.length === 1) throw new ProtocolError("ENVELOPE_SIGNATURE", "wrong signature")
      return Promise.resolve(request)
    })
    expect(await codeOf(a.request(lisbon.key, BULK, new Uint8Array(1)))).toBe("ENVELOPE_SIGNATURE")
    expect(await codeOf(a.request(lisbon.key, BULK, new Uint8Array(2)))).toBe("none")
  })

  it("reset the stream when a handler fails otherwise, and serve the next request", async () => {
    const { a } = await couple({}, (_from, request) => {
      if (request.length === 1) throw new TypeError("a bug")
      return Promise.resolve(request)
    })
    expect(await codeOf(a.request(lisbon.key, BULK, new Uint8Array(1)))).toBe("PEER_UNREACHABLE")
    expect(await codeOf(a.request(lisbon.key, BULK, new Uint8Array(2)))).toBe("none")
  })

  it("end a request at its deadline, and by its signal", async () => {
    const { a } = await couple({}, () => new Promise<Uint8Array>(() => {}))
    const one = new Uint8Array(1)
    const late = a.request(lisbon.key, URGENT, one, { timeoutMs: 50 })
    expect(await codeOf(late)).toBe("STREAM_DEADLINE")
    const signal = AbortSignal.abort(new Error("changed my mind"))
    await expect(a.request(lisbon.key, URGENT, one, { signal })).rejects.toThrow("changed my mind")
  })

  it("refuse what is too long, an unknown protocol, a stranger and themselves", async () => {
    const { a } = await couple()
    const long = new Uint8Array(URGENT.requestBytesMax + 1)
    expect(await codeOf(a.request(lisbon.key, URGENT, long))).toBe("STREAM_LIMIT")
    const other = { ...URGENT, id: "/tarbarta/other/1" }
    expect(await codeOf(a.request(lisbon.key, other, new Uint8Array(1)))).toBe("STREAM_PROTOCOL")
    const stranger = a.request(party(9).key, URGENT, new Uint8Array(1))
    expect(await codeOf(stranger)).toBe("PEER_DENIED")
    const self = a.request(capital.key, URGENT, new Uint8Array(1))
    expect(await codeOf(self)).toBe("PEER_DENIED")
  })

  it("refuse an answer that is above its limit with a code", async () => {
    const { a } = await couple({}, () => Promise.resolve(new Uint8Array(6_000_001)))
    expect(await codeOf(a.request(lisbon.key, BULK, new Uint8Array(1)))).toBe("STREAM_LIMIT")
  })

  it("agree on one connection for each lane when both dial at once", async () => {
    const a = hostOf(capital)
    const b = hostOf(lisbon)
    hosts.push(a, b)
    for (const host of [a, b]) {
      host.handle(URGENT, echo)
      host.handle(BULK, echo)
      await host.start()
    }
    a.setMembers([member(lisbon, b)])
    b.setMembers([member(capital, a)])
    await Promise.all([contact(a, lisbon), contact(b, capital)])
    for (let round = 0; round < 10; round++) {
      for (const protocol of [URGENT, BULK]) {
        const [one, two] = await Promise.all([
          a.request(lisbon.key, protocol, new Uint8Array(100)),
          b.request(capital.key, protocol, new Uint8Array(100)),
        ])
        expect(one.length + two.length).toBe(200)
      }
    }
  })

  it("dial on demand a member that is not kept", async () => {
    const a = hostOf(capital)
    const b = hostOf(lisbon)
    hosts.push(a, b)
    a.handle(BULK, echo)
    await a.start()
    await b.start()
    a.setMembers([member(lisbon, undefined, false)])
    b.setMembers([member(capital, a, false)])
    expect(b.connected()).toEqual([])
    expect((await b.request(capital.key, BULK, new Uint8Array(3))).length).toBe(3)
    // The other side has no address, but the connection serves both.
    b.setMembers([member(capital, a, false)])
    expect(b.connected()).toEqual([capital.key])
  })

  it("name the address when another process listens there", async () => {
    for (const suffix of ["", "/ws"]) {
      const server = createServer().listen(0, "127.0.0.1")
      await once(server, "listening")
      const { port } = server.address() as AddressInfo
      const listen = [`/ip4/127.0.0.1/tcp/${port}${suffix}`]
      const error: unknown = await hostOf(capital, { listen })
        .start()
        .catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(NodeError)
      expect((error as NodeError).code).toBe("PORT_IN_USE")
      expect((error as NodeError).message).toContain(listen[0])
      server.close()
    }
  })

  it("fail at once when nobody listens, and do not dial again for every request", async () => {
    const a = hostOf(capital)
    hosts.push(a)
    await a.start()
    const addresses = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1/ws", "no address at all"]
    a.setMembers([{ peer: lisbon.key, addresses, keep: false }])
    const codes = await Promise.all(
      Array.from({ length: 20 }, () => codeOf(a.request(lisbon.key, BULK, new Uint8Array(1)))),
    )
    expect(new Set(codes)).toEqual(new Set(["PEER_UNREACHABLE"]))
  })
})

describe("a host before its start", () => {
  it("keeps a request until then, and no longer than its time", async () => {
    const a = hostOf(capital)
    const b = hostOf(lisbon)
    hosts.push(a, b)
    for (const host of [a, b]) host.handle(URGENT, echo)
    const late = codeOf(b.request(capital.key, URGENT, new Uint8Array(1), { timeoutMs: 1 }))
    expect(await late).toBe("PEER_UNREACHABLE")
    const early = b.request(capital.key, URGENT, new Uint8Array(1))
    await a.start()
    a.setMembers([member(lisbon)])
    b.setMembers([member(capital, a)])
    await b.start()
    expect((await early).length).toBe(1)
    await b.stop()
    const after = codeOf(b.request(capital.key, URGENT, new Uint8Array(1)))
    expect(await after).toBe("PEER_UNREACHABLE")
  })
})

describe("a host whose peer goes away", () => {
  const program = new URL("../../support/echo-host.ts", import.meta.url).pathname

  /** Lisbon as a process of its own, which can be killed. */
  async function launch(a: Host, port: number) {
    const child = spawn(process.execPath, [program, String(port), a.addresses()[0] ?? ""], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    const [line] = (await once(createInterface(child.stdout), "line")) as [string]
    return { child, port: Number(line) }
  }

  it("fails what was under way, says so, and is in contact again by itself", async () => {
    const a = hostOf(capital)
    hosts.push(a)
    a.handle(URGENT, echo)
    await a.start()
    a.setMembers([member(lisbon)])
    const first = await launch(a, 0)
    await contact(a, lisbon)
    const hanging = codeOf(a.request(lisbon.key, URGENT, Uint8Array.of(255)))
    expect((await a.request(lisbon.key, URGENT, Uint8Array.of(1))).length).toBe(1)
    const down = contact(a, lisbon, "down")
    first.child.kill("SIGKILL")
    expect(await hanging).toBe("PEER_UNREACHABLE")
    await down
    expect(a.connected()).toEqual([])
    // Lisbon is kept and has an address now: the capital redials until it is back.
    const addresses = [`/ip4/127.0.0.1/tcp/${first.port}`]
    a.setMembers([{ peer: lisbon.key, addresses, keep: true }])
    const second = await launch(a, first.port)
    await contact(a, lisbon)
    expect((await a.request(lisbon.key, URGENT, Uint8Array.of(1))).length).toBe(1)
    second.child.kill("SIGKILL")
  }, 30_000)

  it("takes a peer's new connection for the end of the one that it had before", async () => {
    const a = hostOf(capital)
    hosts.push(a)
    a.handle(URGENT, echo)
    a.handle(BULK, echo)
    await a.start()
    a.setMembers([member(lisbon)])
    const states: string[] = []
    const [before, after] = [await rawNode(lisbon), await rawNode(lisbon)]
    try {
      const old = [await rawAdmitted(before, a, "urgent"), await rawAdmitted(before, a, "bulk")]
      await contact(a, lisbon)
      a.onContact((_, state) => states.push(state))
      // Nobody says that the old ones are gone, as after a power cut.
      const [urgent, bulk] = [
        await rawAdmitted(after, a, "urgent"),
        await rawAdmitted(after, a, "bulk"),
      ]
      await Promise.all(old.map(async (connection) => closed(connection)))
      expect([urgent.status, bulk.status]).toEqual(["open", "open"])
      expect(states).toEqual(["down", "up", "down", "up"])
    } finally {
      await Promise.all([before.stop(), after.stop()])
    }
  })

  it("notices a peer that falls silent without a word, by its link check", async () => {
    // Twenty times as fast, so that the 10 s of the link check are half a second.
    const clock: Clock = {
      now: () => systemClock.now(),
      monotonicMs: () => systemClock.monotonicMs() * 20,
      after: (delayMs, run) => systemClock.after(delayMs / 20, run),
    }
    const a = hostOf(capital, { clock })
    hosts.push(a)
    a.handle(URGENT, echo)
    await a.start()
    a.setMembers([member(lisbon)])
    const { child } = await launch(a, 0)
    await contact(a, lisbon)
    const down = contact(a, lisbon, "down")
    const hanging = codeOf(a.request(lisbon.key, URGENT, Uint8Array.of(255), { timeoutMs: 1e6 }))
    child.kill("SIGSTOP")
    await down
    expect(await hanging).toBe("PEER_UNREACHABLE")
    const up = contact(a, lisbon)
    child.kill("SIGCONT")
    await up
    child.kill("SIGKILL")
  }, 30_000)
})

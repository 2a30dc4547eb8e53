/** What a handler learns of the connection that a request came on, when that ends. */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { afterEach, describe, expect, it } from "vitest"
import { systemClock, type Clock } from "../../../node/clock.ts"
import type { Host } from "../../../node/network/host.ts"
import type { Carrier } from "../../../node/network/transport.ts"
import {
  contact,
  hostOf,
  member,
  party,
  rawAdmitted,
  rawNode,
  TCP,
  WS,
} from "../../support/hosts.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const ECHO = echoProtocol("urgent", 6_000_000)
const program = new URL("../../support/echo-host.ts", import.meta.url).pathname
const capital = party(1)
const lisbon = party(2)

const hosts: Host[] = []
const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
})

/** The capital, Lisbon as a process that has said a word, and the connection on which it came. */
async function scene(listen: string, clock: Clock = systemClock) {
  const host = hostOf(capital, { listen: [listen], clock })
  hosts.push(host)
  const first = Promise.withResolvers<Carrier>()
  host.handle(ECHO, (_from, request, carrier) => {
    first.resolve(carrier)
    return Promise.resolve(request)
  })
  await host.start()
  host.setMembers([member(lisbon)])
  const child = spawn(process.execPath, [program, "0", host.addresses()[0] ?? ""], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  children.push(child)
  await once(createInterface(child.stdout), "line")
  return { host, child, carrier: await first.promise }
}

describe.each([
  ["TCP", TCP],
  ["WebSocket", WS],
])("a connection over %s", (_, listen) => {
  it("is closed by the other side when its process is killed, and stands until then", async () => {
    const { child, carrier } = await scene(listen)
    expect(carrier.isClosed).toBe(false)
    child.kill("SIGKILL")
    // Contact may end with the other lane a moment before.
    await expect.poll(() => carrier.isClosed, { timeout: 20_000 }).toBe(true)
  }, 30_000)

  it("is closed by the other side when its node stops in good order", async () => {
    const { child, carrier } = await scene(listen)
    child.stdin?.end()
    await expect.poll(() => carrier.isClosed, { timeout: 20_000 }).toBe(true)
  }, 30_000)

  it("is not, as far as we know, when another machine with that key dials", async () => {
    const { host, child, carrier } = await scene(listen)
    child.kill("SIGSTOP")
    const other = await rawNode(lisbon)
    try {
      const down = contact(host, lisbon, "down")
      await rawAdmitted(other, host, "urgent")
      await down
      expect(carrier.isClosed).toBe(false)
      // What comes of it afterwards says nothing any more.
      child.kill("SIGKILL")
      await once(child, "exit")
      expect(carrier.isClosed).toBe(false)
    } finally {
      await other.stop()
    }
  }, 30_000)

  it("is not when its process stands still, and our link check ends it", async () => {
    // Twenty times as fast, so that the 10 s of the link check are half a second.
    const clock: Clock = {
      now: () => systemClock.now(),
      monotonicMs: () => systemClock.monotonicMs() * 20,
      after: (delayMs, run) => systemClock.after(delayMs / 20, run),
    }
    const { host, child, carrier } = await scene(listen, clock)
    const down = contact(host, lisbon, "down")
    child.kill("SIGSTOP")
    await down
    child.kill("SIGKILL")
    await once(child, "exit")
    expect(carrier.isClosed).toBe(false)
  }, 30_000)

  it("is not when we end it", async () => {
    const { host, carrier } = await scene(listen)
    const down = contact(host, lisbon, "down")
    host.setMembers([])
    await down
    expect(carrier.isClosed).toBe(false)
  }, 30_000)
})

/** The simulated network and clock keep the promises that others build on. */

import { describe, expect, it } from "vitest"
import type { Member, PeerKey } from "../../../node/network/transport.ts"
import { NodeError } from "../../../node/errors.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { createSimulatedNetwork, type SimulatedNetwork } from "../../support/network.ts"
import { echoProtocol } from "../../support/echo-protocol.ts"

const ECHO = echoProtocol("urgent", 1_000, 5_000)
const NAMES = ["aa", "bb", "cc", "dd"].map((name) => name.repeat(32))
const [CAPITAL = "", LISBON = "", NAIROBI = "", MALLORY = ""] = NAMES

function members(...peers: PeerKey[]): Member[] {
  return peers.map((peer) => ({ peer, addresses: [], keep: true }))
}

/** A small generator for these tests alone: mulberry32. */
function seeded(seed: number): (length: number) => Uint8Array {
  let state = seed
  return (length) =>
    Uint8Array.from({ length }, () => {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
      return (mixed ^ (mixed >>> 14)) & 0xff
    })
}

function world(seed = 1, peers: readonly PeerKey[] = [CAPITAL, LISBON, NAIROBI]) {
  const clock = createVirtualClock()
  const network = createSimulatedNetwork({
    clock,
    random: seeded(seed),
    link: { delayMs: 20, jitterMs: 30 },
  })
  const boot = (peer: PeerKey) => {
    const transport = network.transport(peer)
    transport.handle(ECHO, (_from, request) => Promise.resolve(request))
    transport.setMembers(members(...peers))
    void transport.start()
    return transport
  }
  return { clock, network, boot, nodes: new Map(peers.map((peer) => [peer, boot(peer)])) }
}

/** Starts a request and keeps how it ended. */
function send(node: ReturnType<SimulatedNetwork["transport"]>, to: PeerKey, text = "ping") {
  const outcome: { answer?: string; error?: NodeError } = {}
  void (async () => {
    try {
      const answer = await node.request(to, ECHO, new TextEncoder().encode(text))
      outcome.answer = new TextDecoder().decode(answer)
    } catch (error) {
      if (error instanceof NodeError) outcome.error = error
    }
  })()
  return outcome
}

function node(w: ReturnType<typeof world>, peer: PeerKey) {
  const found = w.nodes.get(peer)
  if (found === undefined) throw new Error("unknown party")
  return found
}

/** A run with loss, a partition, a crash and a return. */
async function story(seed: number): Promise<readonly string[]> {
  const w = world(seed)
  w.network.setDefaultLink({ requestLoss: 0.2, answerLoss: 0.2 })
  await w.clock.runFor(1_000)
  for (let round = 0; round < 20; round++) {
    for (const from of w.nodes.keys()) {
      for (const to of w.nodes.keys()) if (from !== to) send(node(w, from), to, `round ${round}`)
    }
    if (round === 5) w.network.partition([[CAPITAL]])
    if (round === 9) w.network.heal()
    if (round === 12) w.network.crash(NAIROBI)
    if (round === 15) w.nodes.set(NAIROBI, w.boot(NAIROBI))
    await w.clock.runFor(7_000)
  }
  return w.network.trace
}

describe("the virtual clock", () => {
  it("fires timers by time and then by making, and lets promises run between them", async () => {
    const clock = createVirtualClock(1_000)
    const seen: string[] = []
    clock.after(10, () => seen.push("b"))
    clock.after(10, () => {
      seen.push("c")
      void Promise.resolve().then(() => clock.after(0, () => seen.push("d")))
    })
    clock.after(5, () => seen.push("a"))
    const cancelled = clock.after(7, () => seen.push("never"))
    cancelled.cancel()
    clock.after(11, () => seen.push("e"))
    await clock.run(10)
    expect(seen.join("")).toBe("abcd")
    expect(clock.now()).toBe(1_010)
    expect(clock.pending).toBe(1)
    await clock.runFor(1)
    expect(seen.join("")).toBe("abcde")
  })

  it("keeps many timers in order", async () => {
    const clock = createVirtualClock()
    const random = seeded(7)
    const fired: number[] = []
    for (let count = 0; count < 500; count++) {
      const delay = random(1)[0] ?? 0
      clock.after(delay, () => fired.push(delay))
    }
    await clock.run(300)
    expect(fired).toEqual([...fired].sort((a, b) => a - b))
    expect(fired.length).toBe(500)
  })

  it("refuses to run on when what is awaited does not come", async () => {
    const clock = createVirtualClock()
    await expect(clock.runUntil(() => false, 100)).rejects.toThrow("not done within 100 ms")
  })
})

describe("the simulated network", () => {
  it("gives the same trace for the same seed, and another for another", async () => {
    const first = await story(11)
    expect(await story(11)).toEqual(first)
    expect(await story(12)).not.toEqual(first)
    expect(first.some((line) => line.includes("lost"))).toBe(true)
    expect(first.some((line) => line.includes("down"))).toBe(true)
    console.log(`simulated story: ${first.length} lines of trace`)
  }, 60_000)

  it("carries requests in order and tells both sides of contact", async () => {
    const w = world()
    const seen: string[] = []
    node(w, LISBON).onContact((peer, state) => seen.push(`${state} ${peer.slice(0, 2)}`))
    await w.clock.runFor(1_000)
    expect(seen.sort()).toEqual(["up aa", "up cc"])
    const order: string[] = []
    const capital = node(w, CAPITAL)
    for (let index = 0; index < 20; index++) {
      const text = String(index)
      void capital
        .request(LISBON, ECHO, new TextEncoder().encode(text))
        .then(() => order.push(text))
    }
    await w.clock.runFor(1_000)
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => String(index)))
  })

  it("denies a stranger, and cuts a member who is removed", async () => {
    const w = world(1, [CAPITAL, LISBON, NAIROBI, MALLORY])
    await w.clock.runFor(1_000)
    node(w, CAPITAL).setMembers(members(LISBON, NAIROBI))
    expect(node(w, CAPITAL).connected().sort()).toEqual([LISBON, NAIROBI])
    const fromCapital = send(node(w, CAPITAL), MALLORY)
    const fromMallory = send(node(w, MALLORY), CAPITAL)
    await w.clock.runFor(10_000)
    expect(fromCapital.error?.code).toBe("PEER_DENIED")
    expect(fromMallory.error?.code).toBe("PEER_UNREACHABLE")
  })

  it("loses requests in a partition and delivers again after it heals", async () => {
    const w = world()
    await w.clock.runFor(1_000)
    w.network.partition([[CAPITAL], [LISBON, NAIROBI]])
    const cut = send(node(w, CAPITAL), LISBON)
    const whole = send(node(w, LISBON), NAIROBI)
    await w.clock.runFor(6_000)
    expect(cut.error?.code).toBe("STREAM_DEADLINE")
    expect(whole.answer).toBe("ping")
    await w.clock.runFor(20_000)
    expect(node(w, CAPITAL).connected()).toEqual([])
    w.network.heal()
    await w.clock.runFor(6_000)
    expect(node(w, CAPITAL).connected().length).toBe(2)
  })

  it("fails what was under way to a peer that crashes, and finds it in its next life", async () => {
    const w = world()
    await w.clock.runFor(1_000)
    const lost = send(node(w, CAPITAL), LISBON)
    w.network.crash(LISBON)
    await w.clock.runFor(100)
    expect(lost.error?.code).toBe("PEER_UNREACHABLE")
    w.nodes.set(LISBON, w.boot(LISBON))
    await w.clock.runFor(1_000)
    const again = send(node(w, CAPITAL), LISBON)
    await w.clock.runFor(1_000)
    expect(again.answer).toBe("ping")
  })
})

/** Which of several connections to one member count, by who dialled them and when. */

import type { Connection } from "@libp2p/interface"
import { describe, expect, it } from "vitest"
import { MessageBudget } from "../../../node/network/credits.ts"
import { Peer } from "../../../node/network/peer.ts"
import { NodeError } from "../../../node/errors.ts"
import { DIAL_TIMEOUT_MS, EAGER_CONNECT_MS, REDIAL_MIN_MS } from "../../../protocol/limits.ts"
import { createVirtualClock } from "../../support/clock.ts"

const clock = createVirtualClock()

/** A member with a larger or smaller key than ours, and what became of its connections. */
function scene(self: string, other: string) {
  const ended: string[] = []
  const states: string[] = []
  const peer = new Peer(
    { peer: other, addresses: [], keep: true },
    {
      self,
      clock,
      budget: new MessageBudget(),
      dial: async () => Promise.resolve(),
      onContact: (state, lane) => states.push(lane === undefined ? state : `${lane} ${state}`),
      onBanished: () => undefined,
    },
  )
  const connection = (name: string): Connection =>
    ({ abort: () => ended.push(name) }) as unknown as Connection
  return { peer, ended, states, connection }
}

describe.each([
  ["smaller", "a", "b"],
  ["larger", "b", "a"],
])("a node with the %s key", (_, self, other) => {
  it("gives up what it had when the other side dials anew after a dial's time", async () => {
    const { peer, ended, states, connection } = scene(self, other)
    peer.admit(connection("our urgent"), "urgent", true)
    peer.admit(connection("our bulk"), "bulk", true)
    await clock.runFor(DIAL_TIMEOUT_MS + 1)
    const urgent = connection("their urgent")
    peer.admit(urgent, "urgent", false)
    expect(ended).toEqual(["our urgent"])
    expect(peer.laneOf(urgent)).toBe("urgent")
    const events = "urgent up, bulk up, up, urgent down, down, urgent up, up"
    expect(states.join(", ")).toBe(events)
  })

  it("keeps what it has just dialled when the other side dialled at the same time", async () => {
    const { peer, ended, states, connection } = scene(self, other)
    const ours = connection("our urgent")
    peer.admit(ours, "urgent", true)
    peer.admit(connection("our bulk"), "bulk", true)
    await clock.runFor(DIAL_TIMEOUT_MS)
    peer.admit(connection("their urgent"), "urgent", false)
    expect(ended).toEqual([])
    expect(peer.laneOf(ours)).toBe("urgent")
    expect(states).toEqual(["urgent up", "bulk up", "up"])
  })

  it("gives up what the other side dialled before, and nothing for a dial of its own", () => {
    const { peer, ended, connection } = scene(self, other)
    peer.admit(connection("first"), "urgent", false)
    peer.admit(connection("bulk"), "bulk", false)
    peer.admit(connection("ours"), "urgent", true)
    expect(ended).toEqual([])
    peer.admit(connection("second"), "urgent", false)
    expect(ended).toEqual(["first"])
  })
})

describe("a member that is kept and out of reach", () => {
  /** When it was dialled, and how long each dial would wait for a socket. */
  async function dials(eager: boolean, forMs: number): Promise<(number | undefined)[]> {
    const own = createVirtualClock()
    const waits: (number | undefined)[] = []
    const peer = new Peer(
      { peer: "b", addresses: ["/ip4/192.0.2.1/tcp/1"], keep: true, eager },
      {
        self: "a",
        clock: own,
        budget: new MessageBudget(),
        dial: async (_member, _lane, connectMs) => {
          waits.push(connectMs)
          await new Promise<void>((resolve) => {
            own.after(connectMs ?? DIAL_TIMEOUT_MS, resolve)
          })
          throw new Error("nobody there")
        },
        onContact: () => undefined,
        onBanished: () => undefined,
      },
    )
    peer.start()
    await own.runFor(forMs)
    peer.end(new NodeError("PEER_UNREACHABLE", "the test is over"))
    return waits
  }

  it("is dialled about once a second where it is eager, however long the line is down", async () => {
    const waits = await dials(true, 600_000)
    expect(waits.length).toBeGreaterThan(600_000 / (2 * (EAGER_CONNECT_MS + REDIAL_MIN_MS)))
    // A far address must be reached some time as well.
    expect(waits.filter((ms) => ms === undefined).length).toBeGreaterThan(10)
    expect(waits.every((ms) => ms === undefined || ms === EAGER_CONNECT_MS)).toBe(true)
  })

  it("is dialled ever more rarely where it is not, and patiently", async () => {
    const waits = await dials(false, 600_000)
    expect(waits.length).toBeLessThan(600_000 / DIAL_TIMEOUT_MS)
    expect(waits.every((ms) => ms === undefined)).toBe(true)
  })
})

import { once } from "node:events"
import { connect } from "node:net"
import { describe, expect, it } from "vitest"
import { EventLog } from "../../../node/api/events.ts"
import type { NodeEvent } from "../../../node/api/shapes.ts"
import { API_EVENTS_KEPT, API_STALL_MS } from "../../../protocol/limits.ts"
import { startApi } from "../../support/api.ts"
import { createVirtualClock } from "../../support/clock.ts"

function heights(events: readonly NodeEvent[]): (number | string)[] {
  return events.map((event) => (event.type === "block" ? event.height : event.type))
}

async function take(events: AsyncIterable<NodeEvent>, count: number): Promise<NodeEvent[]> {
  const taken: NodeEvent[] = []
  for await (const event of events) {
    taken.push(event)
    if (taken.length === count) break
  }
  return taken
}

function block(height: number) {
  return { type: "block", height, entries: 1, view: height, leader: "DAC" } as const
}

describe("the log of events", () => {
  const never = new AbortController().signal

  it("gives a reader what comes after its call, in order, with serials that grow by one", async () => {
    const log = new EventLog(createVirtualClock())
    log.publish(block(1))
    const reader = log.read(undefined, never)
    log.publish(block(2))
    log.publish(block(3))
    const events = await take(reader, 2)
    expect(heights(events)).toEqual([2, 3])
    expect((events[1]?.serial ?? 0) - (events[0]?.serial ?? 0)).toBe(1)
  })

  it("wakes a reader that waits, and ends it when it goes away", async () => {
    const log = new EventLog(createVirtualClock())
    const gone = new AbortController()
    const taken = take(log.read(undefined, gone.signal), 9)
    await Promise.resolve()
    log.publish(block(1))
    await expect.poll(() => log.serial).toBeGreaterThan(0)
    gone.abort()
    expect(heights(await taken).length).toBeLessThanOrEqual(1)
  })

  it("resumes after a serial, and says resync where events are gone", async () => {
    const log = new EventLog(createVirtualClock())
    log.publish(block(1))
    const { serial } = log
    log.publish(block(2))
    expect(heights(await take(log.read(serial, never), 1))).toEqual([2])
    for (let height = 3; height < 3 + 2 * API_EVENTS_KEPT; height++) log.publish(block(height))
    const [first, second] = heights(await take(log.read(serial, never), 2))
    expect(first).toBe("resync")
    expect(second).toBeGreaterThan(3)
  })

  it("says resync to a reader who comes with a serial of the future", async () => {
    const log = new EventLog(createVirtualClock())
    const reader = log.read(log.serial + 5, never)
    const taken = take(reader, 2)
    log.publish(block(1))
    expect(heights(await taken)[0]).toBe("resync")
  })

  it("keeps a bounded number however many are published", async () => {
    const log = new EventLog(createVirtualClock())
    const before = log.serial
    for (let height = 0; height < 5 * API_EVENTS_KEPT; height++) log.publish(block(height))
    const gone = new AbortController()
    let count = 0
    for await (const event of log.read(before, gone.signal)) {
      if (event.type === "block") count += 1
      if (event.serial === log.serial) break
    }
    expect(count).toBeLessThanOrEqual(2 * API_EVENTS_KEPT)
  })
})

describe("a stream of events", () => {
  it("misses nothing that happens after it has begun", async () => {
    const { client, service } = await startApi()
    const ending = new AbortController()
    const events = await client.events({ signal: ending.signal })
    service.receive("one", { text: "x" })
    service.ring("two", { event: "other", text: "y" })
    const [first, second] = await take(events, 2)
    expect([first?.type, second?.type]).toEqual(["cable-received", "signal-received"])
    const again = await client.events({ after: first?.serial, signal: ending.signal })
    expect(await take(again, 1)).toMatchObject([{ type: "signal-received" }])
    ending.abort()
  })

  it("to a reader who takes nothing holds a bounded amount, and ends after a time", async () => {
    const clock = createVirtualClock()
    const { socketPath, service, client } = await startApi(clock)
    const slow = connect(socketPath)
    slow.write("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await once(slow, "readable")
    slow.pause()
    const text = "x".repeat(2_000)
    for (let round = 0; round < 4 * API_EVENTS_KEPT; round++) {
      service.events.publish({ type: "alarm", code: "TEST", message: text })
    }
    // Others are served meanwhile.
    expect(await client.status()).toMatchObject({ mission: "DAC" })
    await expect.poll(() => clock.pending).toBeGreaterThan(0)
    await clock.runFor(API_STALL_MS)
    slow.resume()
    await once(slow, "close")
    expect(slow.bytesRead).toBeLessThan(2 * API_EVENTS_KEPT * text.length)
  })
})

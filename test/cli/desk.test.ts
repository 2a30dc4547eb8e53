import { describe, expect, it, onTestFinished } from "vitest"
import { Desk } from "../../cli/desk.ts"
import { Terminal } from "../../cli/terminal.ts"
import { NodeError } from "../../node/errors.ts"
import { startApi, type ApiUnderTest } from "../support/api.ts"
import { createVirtualClock } from "../support/clock.ts"
import { RecordedScreen } from "../support/screen.ts"

const BELL = "\u0007"
const REMIND_MS = 10_000
const RETRY_MS = 1_000

/** A desk of this process, with a clock that the test moves, at a node in memory. */
async function startDesk(api: ApiUnderTest, options: { isRinging?: boolean; isTTY?: boolean }) {
  const { isRinging = true, isTTY = true } = options
  const clock = createVirtualClock()
  const out = new RecordedScreen({ isTTY })
  const errors = new RecordedScreen({ isTTY })
  const terminal = new Terminal({ isJson: false, language: "en", out, errors })
  const desk = new Desk({ terminal, client: api.client, clock, seat: "one", isRinging })
  const ending = new AbortController()
  const watching = Promise.withResolvers<void>()
  const ended = desk.watch(ending.signal, watching.resolve)
  onTestFinished(async () => {
    ending.abort()
    await ended
  })
  await watching.promise
  const seen = async (screen: RecordedScreen, part: string, times = 1): Promise<void> => {
    await expect.poll(() => screen.count(part), { timeout: 20_000 }).toBe(times)
  }
  return { clock, out, errors, seen, ending, ended }
}

describe("the desk rings", () => {
  it("at once, and every 10 s until somebody has acknowledged, but shows the signal once", async () => {
    const api = await startApi()
    const { clock, out, errors, seen } = await startDesk(api, {})
    const id = api.service.ring("one", { event: "attack", text: "Shots" })
    await seen(out, "HOTLINE SIGNAL")
    expect(errors.count(BELL)).toBe(1)
    await expect.poll(() => api.service.seats).toEqual(["one"])

    await clock.runFor(REMIND_MS - 1)
    expect(errors.count(BELL)).toBe(1)
    await clock.runFor(1)
    expect(errors.count(BELL)).toBe(2)
    expect(out.text).toContain(`1 not acknowledged: ${id.slice(0, 8)}`)
    await clock.runFor(2 * REMIND_MS)
    expect(errors.count(BELL)).toBe(4)

    await api.service.acknowledgeSignal(id, "A. Rahman")
    await seen(out, `${id.slice(0, 8)} was acknowledged by A. Rahman`)
    await clock.runFor(6 * REMIND_MS)
    expect(errors.count(BELL)).toBe(4)
    expect(out.count("HOTLINE SIGNAL")).toBe(1)
    expect(api.service.seats).toEqual(["one"])
  })

  it("for the signals that are left when one of several is acknowledged", async () => {
    const api = await startApi()
    const first = api.service.ring("one", { event: "attack", text: "Shots" })
    const second = api.service.ring("two", { event: "medical", text: "Doctor" })
    const { clock, out, seen } = await startDesk(api, {})
    await seen(out, "HOTLINE SIGNAL", 2)
    await clock.runFor(REMIND_MS)
    expect(out.text).toContain(`2 not acknowledged: ${first.slice(0, 8)}, ${second.slice(0, 8)}`)
    await api.service.acknowledgeSignal(first, "A. Rahman")
    await seen(out, "was acknowledged")
    await clock.runFor(REMIND_MS)
    expect(out.text).toContain(`1 not acknowledged: ${second.slice(0, 8)}`)
  })

  it("not with --no-bell, and not into a file, but reminds all the same", async () => {
    for (const options of [{ isRinging: false }, { isTTY: false }]) {
      const api = await startApi()
      api.service.ring("one", { event: "attack", text: "Shots" })
      const { clock, out, errors, seen } = await startDesk(api, options)
      await seen(out, "HOTLINE SIGNAL")
      await clock.runFor(REMIND_MS)
      expect(out.count("1 not acknowledged")).toBe(1)
      expect(errors.count(BELL) + out.count(BELL)).toBe(0)
    }
  })
})

describe("a desk whose node goes", () => {
  it("says so, tries every second, and goes on where it was when the node is back", async () => {
    const api = await startApi()
    const { clock, out, errors, seen } = await startDesk(api, {})
    const before = api.service.ring("before", { event: "unrest", text: "Crowd" })
    await seen(out, "HOTLINE SIGNAL")
    await expect.poll(() => api.service.seats.length).toBe(1)
    await api.stop()
    await seen(errors, "NO CONTACT WITH THE NODE")
    for (let tries = 0; tries < 5; tries++) {
      await expect.poll(() => clock.pending).toBe(2)
      await clock.runFor(RETRY_MS)
    }
    expect(errors.count("contact with the node is back")).toBe(0)
    // It rings on for what it knows.
    await clock.runFor(REMIND_MS)
    expect(out.text).toContain("1 not acknowledged")

    const missed = api.service.ring("missed", { event: "attack", text: "Shots" })
    await api.service.acknowledgeSignal(before, "A. Rahman")
    await api.restart()
    await expect
      .poll(
        async () => {
          await clock.runFor(RETRY_MS)
          return errors.count("contact with the node is back")
        },
        { timeout: 20_000 },
      )
      .toBe(1)
    await seen(out, "HOTLINE SIGNAL", 2)
    expect(errors.count("NO CONTACT")).toBe(1)
    await expect.poll(() => api.service.seats.length).toBe(2)
    await clock.runFor(REMIND_MS)
    expect(out.text.trimEnd().split("\n").at(-1)).toBe(`1 not acknowledged: ${missed.slice(0, 8)}`)
  })

  it("reports what it has shown as soon as the node takes it", async () => {
    const api = await startApi()
    const { clock, out, errors, seen } = await startDesk(api, {})
    api.service.displayRefusal = new NodeError("STORE_FULL", "the disk is full")
    const first = api.service.ring("first", { event: "attack", text: "Shots" })
    await seen(out, "HOTLINE SIGNAL")
    await seen(errors, `warning: ${first.slice(0, 8)}: the disk is full`)
    // The next one is shown for all that.
    api.service.ring("second", { event: "medical", text: "Doctor" })
    await seen(out, "HOTLINE SIGNAL", 2)
    expect(api.service.seats).toEqual([])
    api.service.displayRefusal = undefined
    await clock.runFor(REMIND_MS)
    await expect.poll(() => api.service.seats).toEqual(["one", "one"])
    expect(out.count("HOTLINE SIGNAL")).toBe(2)
  })

  it("ends at once when it is told to while there is no node", async () => {
    const api = await startApi()
    const { clock, errors, seen, ending, ended } = await startDesk(api, {})
    await api.stop()
    await seen(errors, "NO CONTACT WITH THE NODE")
    ending.abort()
    await ended
    expect(clock.pending).toBe(0)
  })
})

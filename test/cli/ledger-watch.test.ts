import { describe, expect, it } from "vitest"
import { startApi } from "../support/api.ts"
import { finished, startCommand } from "../support/command.ts"

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const BLOCK = { type: "block", height: 8, entries: 3, view: 10, leader: "LON" } as const

describe("ledger watch", () => {
  it("prints a line for each block and each change of a validator, and ends on Ctrl-C", async () => {
    const { home, service } = await startApi()
    const lon = { mission: "LON", connected: true, heardAtMs: NOW_MS }
    const dac = { mission: "DAC", state: "self", connected: true } as const
    const quorum = { validators: 2, needed: 2, heard: 2, isMet: true }
    service.ledger = { validators: [dac, { ...lon, state: "voting" }], quorum }
    const watch = startCommand(home, ["ledger", "watch", "--json"])
    let out = ""
    watch.stdout?.setEncoding("utf8").on("data", (text) => (out += String(text)))
    const ended = finished(watch)
    await expect.poll(() => out, { timeout: 20_000 }).toContain('"quorum"')
    service.events.publish(BLOCK)
    // What was final before it began is not told again.
    service.events.publish({ ...BLOCK, height: 7 })
    const lost = { ...quorum, heard: 1, isMet: false }
    const down = { ...lon, state: "down", connected: false } as const
    service.ledger = { validators: [dac, down], quorum: lost }
    service.events.publish({ type: "contact", mission: "LON", up: false })
    await expect.poll(() => out, { timeout: 20_000 }).toContain('"isMet":false')
    watch.kill("SIGINT")
    expect((await ended).exit).toBe(0)
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object)
    expect(lines).toEqual([
      {
        type: "validator",
        atMs: NOW_MS,
        mission: "DAC",
        state: "self",
        heard: true,
        vote: "voting",
      },
      { type: "validator", atMs: NOW_MS, mission: "LON", state: "voting", heard: true },
      { type: "quorum", atMs: NOW_MS, ...quorum },
      { ...BLOCK, atMs: NOW_MS },
      { type: "validator", atMs: NOW_MS, mission: "LON", state: "down", heard: false },
      { type: "quorum", atMs: NOW_MS, ...lost },
    ])
  })

  it("says it in words, in Bengali too, with what it means for the quorum", async () => {
    const { home, service } = await startApi()
    const quorum = { validators: 4, needed: 3, heard: 3, isMet: true }
    service.ledger = { quorum }
    const watch = startCommand(home, ["ledger", "watch", "--lang", "bn"])
    let out = ""
    watch.stdout?.setEncoding("utf8").on("data", (text) => (out += String(text)))
    const ended = finished(watch)
    await expect.poll(() => out, { timeout: 20_000 }).toContain("আর একটিও হারালে চলবে না")
    service.events.publish(BLOCK)
    await expect.poll(() => out, { timeout: 20_000 }).toContain("প্রস্তাবক LON")
    watch.kill("SIGTERM")
    const { exit, errors } = await ended
    expect(exit).toBe(0)
    expect(errors).toContain("উচ্চতা ৭ থেকে")
    expect(out.split("\n").at(-2)).toBe("০৯:০৪:০৫  উচ্চতা ৮  পালা ১০  ভুক্তি ৩টি  প্রস্তাবক LON")
  })

  it("outlives the node, and names the heights that it did not see", async () => {
    const { home, service, restart } = await startApi()
    const watch = startCommand(home, ["ledger", "watch"])
    let shown = ""
    for (const stream of [watch.stdout, watch.stderr]) {
      stream?.setEncoding("utf8").on("data", (text) => (shown += String(text)))
    }
    const ended = finished(watch)
    await expect.poll(() => shown, { timeout: 20_000 }).toContain("DAC: this node, voting")
    service.ledger = { height: 11, heightSeen: 11 }
    await restart()
    await expect.poll(() => shown, { timeout: 20_000 }).toContain("heights 8 … 11 became final")
    expect(shown).toContain("NO CONTACT WITH THE NODE")
    watch.kill("SIGINT")
    expect((await ended).exit).toBe(0)
  })

  it("tells programs of lost contact and of missed heights in JSON alone, in either language", async () => {
    const { home, service, restart } = await startApi()
    const watch = startCommand(home, ["ledger", "watch", "--json", "--lang", "bn"])
    let [out, errors] = ["", ""]
    watch.stdout?.setEncoding("utf8").on("data", (text) => (out += String(text)))
    watch.stderr?.setEncoding("utf8").on("data", (text) => (errors += String(text)))
    const ended = finished(watch)
    await expect.poll(() => out, { timeout: 20_000 }).toContain('"quorum"')
    service.ledger = { height: 11, heightSeen: 11 }
    await restart()
    await expect.poll(() => out, { timeout: 20_000 }).toContain('"missed"')
    watch.kill("SIGINT")
    expect((await ended).exit).toBe(0)
    const missed = { type: "missed", atMs: NOW_MS, from: 8, to: 11 }
    expect(
      out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).toContainEqual(missed)
    expect(JSON.parse(errors)).toEqual({ warning: "NO CONTACT WITH THE NODE; trying again" })
  })

  it("does not begin where no node runs", async () => {
    const { home, stop } = await startApi()
    await stop()
    expect(await finished(startCommand(home, ["ledger", "watch"]))).toMatchObject({ exit: 3 })
  })
})

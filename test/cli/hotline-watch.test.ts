import { once } from "node:events"
import { describe, expect, it } from "vitest"
import { widthOf } from "../../cli/width.ts"
import { startApi } from "../support/api.ts"
import { finished, startCommand } from "../support/command.ts"

describe("the desk", () => {
  it("shows each signal once, says so to the node, and goes on until it is ended", async () => {
    const { home, service } = await startApi()
    const before = service.ring("before", { event: "unrest", text: "Crowd", place: "Chancery" })
    const desk = startCommand(home, ["hotline", "watch", "--json", "--seat", "one"])
    const ended = finished(desk)
    await expect.poll(() => service.seats.length, { timeout: 20_000 }).toBe(1)
    const later = service.ring("later", { event: "attack", text: "Shots", kind: "drill" })
    await expect.poll(() => service.seats.length, { timeout: 20_000 }).toBe(2)
    desk.kill("SIGINT")
    const { out, exit } = await ended
    const shown = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: string })
    expect(shown).toMatchObject([
      { id: before, desks: [{ state: "displayed" }] },
      { id: later, desks: [{ state: "displayed" }] },
    ])
    expect(service.seats).toEqual(["one", "one"])
    expect(exit).toBe(0)
  })

  it("draws a box that says what, from whom and how to answer, and tells when it is closed", async () => {
    const { home, service } = await startApi()
    const desk = startCommand(home, ["hotline", "watch", "--lang", "bn"])
    let out = ""
    let errors = ""
    desk.stdout?.setEncoding("utf8").on("data", (text) => (out += String(text)))
    desk.stderr?.setEncoding("utf8").on("data", (text) => (errors += String(text)))
    const id = service.ring("one", {
      event: "medical",
      text: "চিকিৎসক\u202e প্রয়োজন\u0007",
      place: "Chancery",
      kind: "drill",
    })
    await expect.poll(() => service.seats, { timeout: 20_000 }).toEqual(["desk"])
    await expect.poll(() => out, { timeout: 20_000 }).toContain("┛\n")
    await service.acknowledgeSignal(id, "A. Rahman")
    const closed = `${id.slice(0, 8)} স্বীকার করেছেন A. Rahman\n`
    await expect.poll(() => out, { timeout: 20_000 }).toContain(closed)
    desk.kill("SIGTERM")
    const [exit] = await once(desk, "close")
    const lines = out.trimEnd().split("\n")
    const box = lines.slice(0, -1)
    for (const line of box) expect(widthOf(line)).toBe(80)
    expect(box.map((line) => line.replace(/[┃━┏┓┗┛]/gu, "").trim())).toEqual([
      "হটলাইন সংকেত · LON · মহড়া",
      "medical · immediate · severe · observed · Chancery",
      `020304Z JAN 26  ${id.slice(0, 8)}`,
      "",
      "চিকিৎসক<U+202E> প্রয়োজন<U+0007>",
      "",
      `উত্তর দিন: tarbarta hotline ack ${id.slice(0, 8)} --officer NAME`,
      "",
    ])
    expect(`${lines.at(-1) ?? ""}\n`).toBe(closed)
    // Into a pipe no bell is rung.
    expect(out + errors).not.toContain("\u0007")
    expect(errors).toBe("tarbarta: দ্রষ্টব্য: DAC ডেস্ক পাহারায় আছে; Ctrl-C দিলে শেষ\n")
    expect(exit).toBe(0)
  })

  it("says that it is deaf when the node goes, and does not give up", async () => {
    const { home, service, stop } = await startApi()
    const desk = startCommand(home, ["hotline", "watch"])
    let errors = ""
    desk.stderr?.on("data", (text) => (errors += String(text)))
    await expect.poll(() => errors, { timeout: 20_000 }).toContain("on watch")
    service.ring("one", { event: "medical", text: "x" })
    await expect.poll(() => service.seats.length, { timeout: 20_000 }).toBe(1)
    await stop()
    await expect.poll(() => errors, { timeout: 20_000 }).toContain("NO CONTACT")
    desk.kill("SIGINT")
    const [exit] = await once(desk, "exit")
    expect(exit).toBe(0)
  })

  it("does not begin where no node runs", async () => {
    const { home, stop } = await startApi()
    await stop()
    expect(await finished(startCommand(home, ["hotline", "watch"]))).toMatchObject({ exit: 3 })
  })
})

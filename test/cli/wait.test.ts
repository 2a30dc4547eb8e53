import { describe, expect, it } from "vitest"
import { startApi } from "../support/api.ts"
import { runCommand } from "../support/command.ts"
import { idOf } from "../support/service.ts"

// Nothing here depends on time: the network goes one step further each time the command has looked.

const FIRST_CABLE = idOf("cable 1")
const FIRST_SIGNAL = idOf("signal 1")

describe("cable send --wait", () => {
  it("tells each step as it happens, and ends when all have it and the ledger too", async () => {
    const { home, service } = await startApi()
    service.isQuick = false
    service.steps.push(
      () => service.progress(FIRST_CABLE, "LON", "relayed"),
      () => service.progress(FIRST_CABLE, "LON", "delivered"),
      () => service.register(FIRST_CABLE, 41),
      () => service.progress(FIRST_CABLE, "DEL", "delivered"),
    )
    const words = ["cable", "send", "--to", "LON,DEL", "--text", "x", "--wait", "100"]
    expect(await runCommand(home, words)).toEqual({
      out:
        `queued      ${FIRST_CABLE.slice(0, 8)}  no. 1 to LON,DEL\n` +
        "with a relay  LON\n" +
        "delivered   LON\n" +
        "registered  ledger entry 41\n" +
        "delivered   DEL\n" +
        "delivered   to every addressee\n",
      errors: "",
      exit: 0,
    })
  })

  it("whose time is up names what it waits for: the addressee, or the ledger alone", async () => {
    const { home, service } = await startApi()
    service.isQuick = false
    const words = ["cable", "send", "--to", "LON", "--text", "x", "--wait"]
    const queued = await runCommand(home, [...words, "0.1"])
    expect(queued.errors).toContain("delivered to 0 of 1, not registered")
    expect(queued.errors).toContain("hint: it stays queued until it arrives")
    const second = idOf("cable 2")
    service.steps.push(() => service.progress(second, "LON", "delivered"))
    const delivered = await runCommand(home, [...words, "2"])
    expect(delivered.errors).toContain("delivered to 1 of 1, not registered")
    expect(delivered.errors).toContain("hint: it waits for the ledger alone")
    expect(delivered.errors).toContain("`tarbarta ledger status`")
    expect([queued.exit, delivered.exit]).toEqual([5, 5])
  })

  it("ends with 4 and the reason when an addressee refuses", async () => {
    const { home, service } = await startApi()
    service.isQuick = false
    service.steps.push(
      () => service.progress(FIRST_CABLE, "LON", "refused", "ENVELOPE_SIGNATURE"),
      () => service.register(FIRST_CABLE, 41),
    )
    const words = ["cable", "send", "--to", "LON", "--text", "x", "--wait", "100"]
    const { out, errors, exit } = await runCommand(home, words)
    expect(out).toContain("refused     LON\n")
    expect(errors).toMatch(/^tarbarta: error: cable \w{8}: refused by LON \(ENVELOPE_SIGNATURE\)\n/)
    expect(errors).toContain("tarbarta: hint: ")
    expect(exit).toBe(4)
  })

  it("ends with 3 when the node stops meanwhile, and says that nothing is lost", async () => {
    const { home, service, stop } = await startApi()
    service.isQuick = false
    service.steps.push(() => void stop())
    const words = ["cable", "send", "--to", "LON", "--text", "x", "--wait", "100"]
    const { errors, exit } = await runCommand(home, words)
    expect(errors).toContain("tarbarta: error: the node stopped\n")
    expect(errors).toContain("hint: what was handed in is kept")
    expect(exit).toBe(3)
  })
})

describe("hotline raise --wait", () => {
  it("tells when each desk displays it, and ends with the first acknowledgement", async () => {
    const { home, service } = await startApi()
    service.isQuick = false
    const atMs = (await service.status()).startedMs
    service.steps.push(
      () => service.desk(FIRST_SIGNAL, "DEL", { state: "displayed", displayedMs: atMs + 40 }),
      () => service.desk(FIRST_SIGNAL, "LON", { state: "displayed", displayedMs: atMs + 45 }),
      () =>
        service.desk(FIRST_SIGNAL, "LON", {
          state: "acknowledged",
          acknowledgedMs: atMs + 4_000,
          officer: "S. Akter",
        }),
    )
    const words = ["hotline", "raise", "--event", "attack", "--to", "LON,DEL", "--wait", "100", "x"]
    expect(await runCommand(home, words)).toEqual({
      out:
        `raised        ${FIRST_SIGNAL.slice(0, 8)}  attack to LON,DEL\n` +
        "displayed     at DEL after 40 ms\n" +
        "displayed     at LON after 45 ms\n" +
        "acknowledged  at LON by S. Akter after 4000 ms\n",
      errors: "",
      exit: 0,
    })
  })
})

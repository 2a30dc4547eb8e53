import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { startApi } from "../support/api.ts"
import { runCommand } from "../support/command.ts"

describe("--json", () => {
  it("prints one document on standard output, whatever the command, in either language", async () => {
    const { home, service } = await startApi()
    const id = service.receive("one", { text: "x", warnings: ["a warning"], kind: "drill" })
    const signal = service.ring("two", { event: "unrest", text: "Crowd" })
    const lines: string[][] = [
      ["cable", "inbox"],
      ["cable", "inbox", "--sent"],
      ["cable", "send", "--to", "LON", "--text", "e\u0301"],
      ["cable", "send", "--to", "LON", "--text", "x", "--wait"],
      ["cable", "read", id],
      ["cable", "read", id, "--envelope", "file"],
      ["cable", "ack", id],
      ["hotline", "list"],
      ["hotline", "raise", "--event", "medical", "x"],
      ["hotline", "raise", "--event", "medical", "--wait", "10", "x"],
      ["hotline", "ack", signal, "--officer", "A. Rahman"],
      ["ledger", "status"],
      ["ledger", "evidence"],
      ["ledger", "verify"],
      ["ledger", "verify", "--quick"],
      ["ledger", "verify", "--save", "file"],
      ["ledger", "proof", id, "--out", "file"],
      ["mission", "list"],
      ["mission", "revoke", "XXX", "--yes"],
      ["node", "status"],
      ["cable", "status", id],
      ["cable", "nonsense"],
    ]
    for (const words of lines) {
      for (const language of ["en", "bn"]) {
        const name = words.join(" ")
        const { out, errors, exit } = await runCommand(home, [
          ...words,
          "--json",
          "--lang",
          language,
        ])
        expect(out === "" ? 0 : out.trimEnd().split("\n").length, name).toBe(exit === 0 ? 1 : 0)
        expect(exit === 0 ? errors : out, name).toBe("")
        const document = JSON.parse(exit === 0 ? out : errors) as { exit?: number }
        expect(document.exit ?? 0, name).toBe(exit)
      }
    }
  })

  it("is on standard output and on standard error when a wait or a verification fails", async () => {
    const { home, service } = await startApi()
    service.isQuick = false
    const send = ["cable", "send", "--to", "DEL", "--text", "x", "--wait", "0.1", "--json"]
    const late = await runCommand(home, send)
    expect(JSON.parse(late.out)).toMatchObject({ status: { delivered: false } })
    expect(JSON.parse(late.errors)).toMatchObject({ error: { code: "TIMED_OUT" }, exit: 5 })
    const error = { code: "LEDGER_INVALID", message: "block 2: the tree head is another" }
    service.verification = {
      ok: false,
      blocks: 2,
      certificates: 0,
      entries: 0,
      rootHash: "",
      error,
    }
    const verified = await runCommand(home, ["ledger", "verify", "--json", "--save", "file"])
    expect(JSON.parse(verified.out)).toMatchObject({ ok: false, error })
    expect(JSON.parse(verified.errors)).toMatchObject({
      error: { code: "VERIFICATION_FAILED", message: expect.stringContaining("block 2") as string },
      exit: 4,
    })
  })

  it("may stand before the noun, between the words and at the end", async () => {
    const { home } = await startApi()
    for (const words of [
      ["--json", "mission", "list"],
      ["mission", "--json", "list"],
      ["mission", "list", "--json"],
    ]) {
      const { out } = await runCommand(home, words)
      expect(JSON.parse(out)).toMatchObject({ missions: [{ code: "DAC" }, {}, {}] })
    }
  })

  it("of an audit without a genesis is the error alone", async () => {
    const { home } = await startApi()
    await writeFile(join(home, "x"), "nothing")
    const words = ["audit", "verify", "x", "--network", "x", "--json"]
    const { out, errors, exit } = await runCommand(home, words)
    expect({ out, exit }).toEqual({ out: "", exit: 4 })
    const { error } = JSON.parse(errors) as { error: { message: string } }
    expect(error.message).toMatch(/^x: /)
  })
})

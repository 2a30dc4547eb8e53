import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { CABLE_TEXT_BYTES_MAX } from "../../protocol/limits.ts"
import { startApi } from "../support/api.ts"
import { runCommand, runLine } from "../support/command.ts"

const SEND = ["cable", "send", "--to", "LON"]

describe("the text of a cable is sent exactly as it stands:", () => {
  const text = "\ufeffপ্রিয় সহকর্মী,\r\n\ttabs, and no newline at the end"

  it("from a file, from standard input with - or nothing, and from --text", async () => {
    const { home, service } = await startApi()
    await writeFile(join(home, "letter.txt"), text)
    const runs = [
      await runCommand(home, [...SEND, "letter.txt"]),
      await runCommand(home, [...SEND, "-"], { input: text }),
      await runCommand(home, SEND, { input: text }),
      await runCommand(home, [...SEND, "--text", text]),
    ]
    for (const { exit, errors } of runs) expect({ exit, errors }).toEqual({ exit: 0, errors: "" })
    const sent = await service.cables({ box: "sent", unread: false, limit: 10 })
    const texts = await Promise.all(
      sent.map(async ({ id }) => (await service.cable(id, { mark: false })).text),
    )
    expect(texts).toEqual(
      [text.normalize("NFC"), text, text, text].map((one) => one.normalize("NFC")),
    )
  })

  it("with a note when bringing it into NFC changes it, and none when it does not", async () => {
    const { home } = await startApi()
    const changed = await runCommand(home, [...SEND, "--text", "e\u0301"])
    expect(changed.errors).toMatch(/^tarbarta: note: .*Unicode form NFC/)
    expect(changed.out).toMatch(/^queued /)
    const same = await runCommand(home, [...SEND, "--text", "\u00e9"])
    expect(same.errors).toBe("")
    const asJson = await runCommand(home, [...SEND, "--text", "e\u0301", "--json"])
    expect(JSON.parse(asJson.out)).toMatchObject({ textChanged: true })
    expect(asJson.errors).toBe("")
  })
})

describe("a text that cannot be sent", () => {
  it("names the first byte that is not UTF-8, wherever it is", async () => {
    const { home, service } = await startApi()
    const good = "ক".repeat(50_000)
    const cases: [Uint8Array, number][] = [
      [Uint8Array.of(0xff), 0],
      [Uint8Array.of(0x61, 0xc0, 0x80), 1],
      [Buffer.concat([Buffer.from(good), Uint8Array.of(0xe0, 0xa6)]), 150_000],
      [Buffer.concat([Buffer.from(good), Uint8Array.of(0xed, 0xa0, 0x80, 0x61)]), 150_000],
    ]
    for (const [bytes, offset] of cases) {
      const { out, errors, exit } = await runCommand(home, SEND, { input: bytes })
      expect(errors).toMatch(
        /^tarbarta: error: standard input: not UTF-8 at byte [0-9]+ of [0-9]+\n/,
      )
      expect(errors).toContain(` at byte ${offset} of ${bytes.length}\n`)
      expect({ out, exit }).toEqual({ out: "", exit: 4 })
    }
    expect(await service.cables({ box: "sent", unread: false, limit: 10 })).toEqual([])
  })

  it("is a folder, a file that is not there, nothing at all, or two things at once", async () => {
    const { home } = await startApi()
    await mkdir(join(home, "folder"))
    const cases: [string[], string, number][] = [
      [["folder"], "folder: expected a file, got a folder", 4],
      [["none.txt"], "none.txt: cannot be read: no such file or folder", 4],
      [[], "standard input: no text", 4],
      [["folder", "--text", "x"], "expected a file or --text, got both", 2],
    ]
    for (const [words, message, exit] of cases) {
      const ended = await runCommand(home, [...SEND, ...words])
      expect(ended).toMatchObject({ out: "", exit })
      expect(ended.errors).toContain(`tarbarta: error: ${message}\n`)
    }
  })

  it("is larger than any cable may be, in a file or in a stream without end", async () => {
    const { home } = await startApi()
    await writeFile(join(home, "big.txt"), new Uint8Array(CABLE_TEXT_BYTES_MAX + 1).fill(0x61))
    const file = await runCommand(home, [...SEND, "big.txt"])
    const message = `expected at most ${CABLE_TEXT_BYTES_MAX} bytes`
    expect(file.errors).toContain(`error: big.txt: ${message}\n`)
    const stream = await runLine(home, "yes | tarbarta cable send --to LON")
    expect(stream.errors).toContain(`error: standard input: ${message}\n`)
    expect([file.exit, stream.exit]).toEqual([4, 4])
  })
})

describe("files that commands write", () => {
  it("are there as a whole, and never in the place of a folder", async () => {
    const { home, service } = await startApi()
    const id = service.receive("one", { text: "x" })
    const words = [
      ["cable", "read", id, "--envelope"],
      ["ledger", "proof", id, "--out"],
      ["ledger", "verify", "--save"],
    ]
    await mkdir(join(home, "folder"))
    for (const line of words) {
      for (const place of [".", "folder", "folder/"]) {
        const ended = await runCommand(home, [...line, place])
        expect(ended.errors).toContain(`error: ${place}: expected a file, got a folder\n`)
        expect(ended).toMatchObject({ exit: 4, out: "" })
      }
      const nowhere = await runCommand(home, [...line, "nowhere/file"])
      expect(nowhere.errors).toContain("nowhere/file: cannot be written: no such file or folder")
      expect((await runCommand(home, [...line, "written"])).exit).toBe(0)
      expect((await readFile(join(home, "written"))).length).toBe(3)
    }
    expect((await service.cable(id, { mark: false })).read).toBe(true)
  })
})

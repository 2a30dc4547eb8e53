import { chmod, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PassThrough } from "node:stream"
import { describe, expect, it } from "vitest"
import { generatePassphrase, readPassphrase } from "../../node/passphrase.ts"
import { askHidden, askShown } from "../../node/prompt.ts"
import { temporaryFolder } from "../support/folder.ts"
import { seededRandom } from "../support/rng.ts"

async function fileOf(content: string | Uint8Array, mode = 0o600) {
  const path = join(await temporaryFolder(), "passphrase")
  await writeFile(path, content)
  await chmod(path, mode)
  return { TARBARTA_PASSPHRASE_FILE: path }
}

describe("a passphrase", () => {
  it("is the first line of its file, whole, in NFC", async () => {
    expect(await readPassphrase({ env: await fileOf("one two \r\nthree\n") })).toBe("one two ")
    expect(await readPassphrase({ env: await fileOf("cafe\u0301") })).toBe("caf\u00e9")
  })

  it("comes from the terminal where no file is named, and from the file before that", async () => {
    const ask = async (question: string) => `${question}!`
    expect(await readPassphrase({ env: {}, ask, question: "New?" })).toBe("New?!")
    expect(await readPassphrase({ env: await fileOf("file"), ask })).toBe("file")
  })

  it("is refused when there is none, or it cannot be read safely", async () => {
    const missing = { code: "PASSPHRASE_MISSING" }
    await expect(readPassphrase({ env: {} })).rejects.toMatchObject(missing)
    await expect(readPassphrase({ env: {}, ask: async () => "" })).rejects.toMatchObject(missing)
    await expect(readPassphrase({ env: await fileOf("\nx") })).rejects.toMatchObject(missing)
    const bad: [Record<string, string>, string][] = [
      [await fileOf("x", 0o640), "FILE_PERMISSIONS"],
      [await fileOf(Uint8Array.of(0x61, 0xff)), "FILE_TEXT"],
      [await fileOf("x".repeat(2_000)), "FILE_UNREADABLE"],
      [{ TARBARTA_PASSPHRASE_FILE: join(await temporaryFolder(), "none") }, "FILE_UNREADABLE"],
    ]
    for (const [env, code] of bad) {
      await expect(readPassphrase({ env })).rejects.toMatchObject({ code })
    }
  })

  it("is made of five words that carry 16 bits each", () => {
    const word = "[bdfghjklmnprstvz][aiou][bdfghjklmnprstvz][aiou][bdfghjklmnprstvz]"
    const random = seededRandom("passphrase")
    const made = new Set(Array.from({ length: 200 }, () => generatePassphrase(random)))
    expect(made.size).toBe(200)
    for (const one of made) expect(one).toMatch(new RegExp(`^${word}(-${word}){4}$`))
    const words = new Set<string>()
    for (let high = 0; high < 256; high++) {
      for (let low = 0; low < 256; low++) {
        const [first] = generatePassphrase(() => Uint8Array.of(high, low)).split("-")
        words.add(first ?? "")
      }
    }
    expect(words.size).toBe(65_536)
  })
})

describe("the hidden prompt", () => {
  /** A keyboard on which these pieces were typed, with a prompt for each question in turn. */
  function typing(...pieces: (string | Uint8Array)[]) {
    const modes: boolean[] = []
    const keyboard = Object.assign(new PassThrough(), {
      setRawMode: (isRaw: boolean) => modes.push(isRaw),
    })
    for (const piece of pieces) keyboard.write(piece)
    keyboard.end()
    let shown = ""
    const show = (text: string): void => {
      shown += text
    }
    const ask = async (question = "Passphrase: ") => askHidden(question, keyboard, show)
    const askAloud = async (question: string) => askShown(question, keyboard, show)
    return { ask, askAloud, modes, shown: () => shown }
  }

  it("returns the line without showing it, and restores the terminal", async () => {
    const { ask, modes, shown } = typing("sec", "ret\r")
    expect(await ask()).toBe("secret")
    expect(shown()).toBe("Passphrase: \n")
    expect(modes).toEqual([true, false])
  })

  it("takes back one character as people count them, and the whole line", async () => {
    expect(await typing("কি\u007fখ\r").ask()).toBe("খ")
    expect(await typing("wrong\u0015right\n").ask()).toBe("right")
    expect(await typing("\u007fa\u001bb\r").ask()).toBe("ab")
  })

  it("joins characters that arrive in two pieces", async () => {
    const bytes = new TextEncoder().encode("ক\r")
    expect(await typing(bytes.subarray(0, 1), bytes.subarray(1)).ask()).toBe("ক")
  })

  it("leaves what was typed ahead for the next prompt, whatever ends the lines", async () => {
    for (const end of ["\r", "\n", "\r\n"]) {
      const { ask, askAloud } = typing(`y${end}প্রথম${end}second${end}`)
      expect(await askAloud("Sure? ")).toBe("y")
      expect(await ask()).toBe("প্রথম")
      expect(await ask()).toBe("second")
      await expect(ask()).rejects.toMatchObject({ code: "PASSPHRASE_MISSING" })
    }
  })

  it("ends on Ctrl-C and at the end of the input, with the terminal restored", async () => {
    for (const { ask, modes } of [typing("abc\u0003"), typing("abc")]) {
      await expect(ask()).rejects.toMatchObject({ code: "PASSPHRASE_MISSING" })
      expect(modes).toEqual([true, false])
    }
  })

  it("that shows what is typed takes the end of the input for no answer", async () => {
    const { askAloud, modes, shown } = typing("")
    expect(await askAloud("Sure? [y/N] ")).toBe("")
    expect(shown()).toBe("Sure? [y/N] ")
    expect(modes).toEqual([])
  })
})

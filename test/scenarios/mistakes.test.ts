import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { once } from "node:events"
import { createServer } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  freePort,
  ProcessNetwork,
  runCommand,
  until,
  type Ended,
  type ProcessPost,
} from "../support/processes.ts"

let network: ProcessNetwork
let running: ProcessPost
let stopped: ProcessPost

beforeAll(async () => {
  network = await ProcessNetwork.create(["DAC", "LON"])
  running = network.at("DAC")
  stopped = network.at("LON")
  await running.start()
})

afterAll(async () => network.remove())

/** One failure on standard error, as `--json` writes it; nothing on standard output. */
function failureOf(ended: Ended): { exit: number | undefined; code: string; hint: string } {
  expect(ended.stdout).toBe("")
  const lines = ended.stderr.trim().split("\n")
  const last = JSON.parse(lines.at(-1) ?? "") as {
    error: { code: string; message: string; hint?: string }
  }
  expect(last.error.message).not.toContain("\n")
  return { exit: ended.exit, code: last.error.code, hint: last.error.hint ?? "" }
}

/** The same for people: one line of error, then perhaps one of hint. */
function linesOf(ended: Ended): string[] {
  expect(ended.stdout).toBe("")
  return ended.stderr.trim().split("\n")
}

/** A copy of a post's start with something else in the place of its configuration. */
async function startWithConfig(
  change: (config: Record<string, unknown>) => string,
): Promise<Ended> {
  const path = join(stopped.home, "config.json")
  const before = await readFile(path, "utf8")
  await writeFile(path, change(JSON.parse(before) as Record<string, unknown>))
  try {
    return await stopped.run(["node", "start"])
  } finally {
    await writeFile(path, before)
  }
}

describe("a node that cannot start says why, and nothing is lost", () => {
  it("wrong passphrase", async () => {
    const file = join(network.folder, "wrong")
    await writeFile(file, "not the passphrase\n", { mode: 0o600 })
    const env = { TARBARTA_PASSPHRASE_FILE: file }
    const ended = await stopped.run(["node", "start"], { env })
    expect(failureOf(ended)).toMatchObject({ exit: 4, code: "KEYSTORE_PASSPHRASE" })
  })

  it("no passphrase, an empty one, one that others can read, one that is not UTF-8", async () => {
    const none = await stopped.run(["node", "start"], { env: { TARBARTA_PASSPHRASE_FILE: "" } })
    const missing = failureOf(none)
    expect(missing).toMatchObject({ exit: 4, code: "PASSPHRASE_MISSING" })
    expect(missing.hint).toContain("TARBARTA_PASSPHRASE_FILE")
    const file = join(network.folder, "bad-passphrase")
    const env = { TARBARTA_PASSPHRASE_FILE: file }
    await writeFile(file, "\n", { mode: 0o600 })
    const empty = await stopped.run(["node", "start"], { env })
    expect(failureOf(empty)).toMatchObject({ exit: 4, code: "PASSPHRASE_MISSING" })
    await writeFile(file, Uint8Array.of(0xff, 0xfe, 0x0a))
    const garbled = await stopped.run(["node", "start"], { env })
    expect(failureOf(garbled)).toMatchObject({ exit: 4, code: "FILE_TEXT" })
    await chmod(file, 0o644)
    const open = await stopped.run(["node", "start"], { env })
    expect(failureOf(open)).toMatchObject({ exit: 4, code: "FILE_PERMISSIONS" })
  })

  it("no home there, a home that is a file, a home that others can read", async () => {
    const nowhere = join(network.folder, "nowhere")
    const missing = await runCommand(["--home", nowhere, "node", "start"], {
      env: { TARBARTA_PASSPHRASE_FILE: stopped.passphraseFile },
    })
    expect(missing.exit).toBe(4)
    const [error, hint, ...more] = linesOf(missing)
    expect(error).toBe(`tarbarta: error: no home at ${nowhere}`)
    expect(hint).toContain("tarbarta: hint: ")
    expect(more).toEqual([])
    const isFile = await runCommand(["--home", stopped.passphraseFile, "--json", "node", "start"], {
      env: { TARBARTA_PASSPHRASE_FILE: stopped.passphraseFile },
    })
    expect(failureOf(isFile)).toMatchObject({ exit: 4, code: "HOME_LAYOUT" })
    await chmod(stopped.home, 0o755)
    const isOpen = await stopped.run(["node", "start"])
    await chmod(stopped.home, 0o700)
    const failure = failureOf(isOpen)
    expect(failure).toMatchObject({ exit: 4, code: "HOME_PERMISSIONS" })
    expect(failure.hint).toBe(`chmod 700 ${stopped.home}`)
  })

  it("configuration damaged, incomplete, mistyped", async () => {
    const cut = await startWithConfig((config) => JSON.stringify(config).slice(0, -9))
    expect(failureOf(cut)).toMatchObject({ exit: 4, code: "CONFIG_INVALID" })
    const unknown = await startWithConfig((config) => JSON.stringify({ ...config, lisen: [] }))
    expect(failureOf(unknown)).toMatchObject({ exit: 4, code: "CONFIG_INVALID" })
    expect(unknown.stderr).toContain("lisen")
    const range = await startWithConfig((config) =>
      JSON.stringify({ ...config, freeSpace: { percent: 99 } }),
    )
    expect(failureOf(range)).toMatchObject({ exit: 4, code: "CONFIG_INVALID" })
    expect(range.stderr).toContain("freeSpace.percent")
  })

  it("port in use", async () => {
    const port = await freePort()
    const other = createServer()
    other.listen({ port, host: "127.0.0.1" })
    await once(other, "listening")
    const listen = [`/ip4/127.0.0.1/tcp/${port}`]
    const ended = await startWithConfig((config) => JSON.stringify({ ...config, listen }))
    other.close()
    const failure = failureOf(ended)
    expect(failure).toMatchObject({ exit: 4, code: "PORT_IN_USE" })
    expect(failure.hint).not.toBe("")
  })

  it("a second node on the same home; the first goes on", async () => {
    const failure = failureOf(await running.run(["node", "start"]))
    expect(failure).toMatchObject({ exit: 4, code: "STORE_LOCKED" })
    expect(failure.hint).not.toBe("")
    expect((await running.client.status()).mission).toBe("DAC")
  })

  it("starts as if nothing had happened once all is in order", async () => {
    await stopped.start()
    await network.admit("LON")
    await network.untilAcquainted()
    await until("contact", async () => {
      return (await running.client.status()).connected.includes("LON")
    })
    const { id } = await stopped.client.sendCable({ to: ["DAC"], subject: "s", text: "at last" })
    await until("delivered", async () => (await stopped.client.cableStatus(id)).delivered)
  })
})

describe("a command that cannot be carried out says why", () => {
  it("exits with 3 and a hint where no node runs", async () => {
    const home = join(network.folder, "quiet")
    await mkdir(home, { mode: 0o700 })
    const ended = await runCommand(["--home", home, "cable", "inbox"])
    expect(ended.exit).toBe(3)
    const [error, hint, ...more] = linesOf(ended)
    expect(error).toBe(`tarbarta: error: no node is running in ${home}`)
    expect(hint).toContain("tarbarta node start")
    expect(more).toEqual([])
  })

  it("exits with 2 on wrong usage, with 4 on what is refused, and sends nothing", async () => {
    const before = await running.client.cables({ box: "sent" })
    const usage = await running.run(["cable", "send", "--text", "whom to?"])
    expect(usage.exit).toBe(2)
    const unknown = await running.run(["cable", "send", "--to", "XYZ", "--text", "t"])
    expect(failureOf(unknown)).toMatchObject({ exit: 4, code: "MISSION_UNKNOWN" })
    const self = await running.run(["cable", "send", "--to", "DAC", "--text", "t"])
    expect(failureOf(self)).toMatchObject({ exit: 4 })
    expect(await running.client.cables({ box: "sent" })).toEqual(before)
  })

  it("refuses text that is not UTF-8, a folder, and a file that is not there", async () => {
    const before = await running.client.cables({ box: "sent" })
    const file = join(network.folder, "latin1.txt")
    await writeFile(file, Uint8Array.of(0x63, 0x61, 0x66, 0xe9))
    const send = ["cable", "send", "--to", "LON", "--subject", "s"]
    const garbled = failureOf(await running.run([...send, file]))
    expect(garbled).toMatchObject({ exit: 4, code: "TEXT_NOT_UTF8" })
    expect(garbled.hint).toContain("nothing was sent")
    const piped = failureOf(await running.run(send, { input: Uint8Array.of(0xe0, 0xa6) }))
    expect(piped).toMatchObject({ exit: 4, code: "TEXT_NOT_UTF8" })
    const folder = failureOf(await running.run([...send, network.folder]))
    expect(folder).toMatchObject({ exit: 4, code: "FILE_DIRECTORY" })
    const missing = failureOf(await running.run([...send, join(network.folder, "none.txt")]))
    expect(missing).toMatchObject({ exit: 4, code: "FILE_UNREADABLE" })
    expect(await running.client.cables({ box: "sent" })).toEqual(before)
  })

  it("exits with 5 when the time is up, and the cable stays queued", async () => {
    await stopped.kill()
    const words = ["cable", "send", "--to", "LON", "--subject", "late", "--text", "t"]
    const ended = await running.run([...words, "--wait", "1"])
    expect(ended.exit).toBe(5)
    expect(ended.stderr).toContain("TIMED_OUT")
    const [newest] = await running.client.cables({ box: "sent" })
    expect(newest?.subject).toBe("late")
    await stopped.start()
    const id = newest?.id ?? ""
    await until("delivered", async () => (await running.client.cableStatus(id)).delivered)
  })
})

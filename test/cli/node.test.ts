import { once } from "node:events"
import { chmod, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { runCommand } from "../support/command.ts"
import { temporaryFolder } from "../support/folder.ts"

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

async function passphraseFile(folder: string, name: string, passphrase: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `${passphrase}\n`)
  await chmod(path, 0o600)
  return path
}

describe("the life of a node, from the command line:", () => {
  it("made, started in the background, told apart from a second one, and stopped", async () => {
    const folder = await temporaryFolder()
    const env = {
      TARBARTA_HOME: join(folder, "dac"),
      TARBARTA_KDF_PROFILE: "test",
      TARBARTA_PASSPHRASE_FILE: await passphraseFile(folder, "right", "five good words"),
    }
    const run = (...words: string[]) => runCommand(folder, [...words, "--json"], { env })
    const address = `/ip4/127.0.0.1/tcp/${await freePort()}`
    const place = ["--code", "DAC", "--name-en", "Dhaka", "--address", address]
    const create = ["network", "create", "Test", ...place, "--officer", "A. Rahman=drafter,cipher"]

    // Whatever fails below, no process is left behind; a node that is gone already is no news.
    onTestFinished(async () => {
      await run("node", "stop")
    })
    expect(await run(...create)).toMatchObject({ exit: 0 })
    expect(await run(...create)).toMatchObject({ exit: 4 })

    const wrong = await passphraseFile(folder, "wrong", "something else")
    const refused = await runCommand(folder, ["--json", "node", "start", "--background"], {
      env: { ...env, TARBARTA_PASSPHRASE_FILE: wrong },
    })
    expect(refused).toMatchObject({ exit: 4, out: "" })
    expect(refused.errors).toContain("KEYSTORE_PASSPHRASE")

    const started = await run("node", "start", "--background")
    expect(started).toMatchObject({ exit: 0 })
    const ready = JSON.parse(started.out) as { ready: boolean; mission: string; pid: number }
    expect(ready).toMatchObject({ ready: true, mission: "DAC", admitted: true })
    expect(await run("node", "start")).toMatchObject({ exit: 4, out: "" })
    const status = await run("node", "status")
    expect(JSON.parse(status.out)).toMatchObject({ mission: "DAC", pid: ready.pid })

    expect(await run("node", "stop")).toMatchObject({ exit: 0 })
    expect(await run("node", "status")).toMatchObject({ exit: 3 })
    // Gone with its locks: the next one finds the home free.
    expect(await run("node", "start", "--background")).toMatchObject({ exit: 0 })
    expect(await run("node", "stop")).toMatchObject({ exit: 0 })
  })
})

import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  freePort,
  PASSPHRASE,
  ProcessNetwork,
  runCommand,
  type Ended,
  type ProcessPost,
} from "../support/processes.ts"

const TERMINAL = new URL("../support/terminal.js", import.meta.url).href

let network: ProcessNetwork
let dac: ProcessPost
let genesisFile: string

beforeAll(async () => {
  network = await ProcessNetwork.create(["DAC"])
  dac = network.headquarters
  genesisFile = join(dac.home, "network.genesis")
  await dac.start()
})

afterAll(async () => network.remove())

/** `mission request` as a mission runs it; the path of its request. */
async function request(code: string, genesis = genesisFile): Promise<{ file: string; ran: Ended }> {
  const home = join(network.folder, `home-${code}`)
  const file = join(network.folder, `${code}.request`)
  const names = ["--code", code, "--name-en", `Post ${code}`, "--name-bn", "মিশন"]
  const address = ["--address", `127.0.0.1:${await freePort()}`, "--officer", "S. Akter=drafter"]
  const words = ["mission", "request", ...names, ...address, "--network", genesis, "--out", file]
  const env = { TARBARTA_PASSPHRASE_FILE: dac.passphraseFile }
  const ran = await runCommand(["--home", home, "--json", ...words], { env })
  return { file, ran }
}

function failureOf(ended: Ended): { exit: number | undefined; code: string; message: string } {
  expect(ended.stdout).toBe("")
  const last = ended.stderr.trim().split("\n").at(-1) ?? ""
  const { error } = JSON.parse(last) as { error: { code: string; message: string } }
  return { exit: ended.exit, ...error }
}

/** A command for people at a terminal, on which this is typed. */
async function typed(words: readonly string[], input: string): Promise<Ended> {
  return runCommand(["--home", dac.home, ...words], {
    input,
    nodeOptions: ["--import", TERMINAL],
    env: { TARBARTA_PASSPHRASE_FILE: "" },
  })
}

async function codes(): Promise<string[]> {
  const { stdout } = await dac.run(["mission", "list"])
  const { missions } = JSON.parse(stdout) as { missions: { code: string }[] }
  return missions.map(({ code }) => code)
}

describe("a mission", () => {
  it("asks, is admitted once, is listed, and is revoked for good", async () => {
    const { file, ran } = await request("LON")
    expect(ran).toMatchObject({ exit: 0, stderr: "" })
    const asked = JSON.parse(ran.stdout) as Record<string, string>
    const { fingerprint } = await dac.client.status()
    expect(asked).toMatchObject({ code: "LON", file, networkFingerprint: fingerprint })

    const admitted = await dac.run(["mission", "admit", file, "--yes"])
    expect(admitted.exit).toBe(0)
    const { fingerprint: own } = asked
    expect(JSON.parse(admitted.stdout)).toMatchObject({ code: "LON", fingerprint: own })
    expect(await codes()).toEqual(["DAC", "LON"])

    const twice = failureOf(await dac.run(["mission", "admit", file, "--yes"]))
    expect(twice).toMatchObject({ exit: 4, code: "GOVERNANCE_REFUSED" })
    expect(twice.message).toContain("LON")

    const words = ["mission", "revoke", "lon", "--reason", "hélas", "--yes"]
    const revoked = await dac.run(words)
    expect(JSON.parse(revoked.stdout)).toMatchObject({ code: "LON" })
    const { stdout } = await runCommand(["--home", dac.home, "mission", "list"])
    expect(stdout).toMatch(/^LON +Post LON +revoked +0 +S\. Akter$/m)
    const again = failureOf(await dac.run(["mission", "admit", file, "--yes"]))
    expect(again).toMatchObject({ exit: 4, code: "GOVERNANCE_REFUSED" })
  })

  it("that is the only validator is not revoked, and an unknown one cannot be", async () => {
    const self = failureOf(await dac.run(["mission", "revoke", "DAC", "--yes"]))
    expect(self).toMatchObject({ exit: 4, code: "GOVERNANCE_REFUSED" })
    expect(self.message).toContain("validator")
    const unknown = failureOf(await dac.run(["mission", "revoke", "XYZ", "--yes"]))
    expect(unknown).toMatchObject({ exit: 4, code: "MISSION_UNKNOWN" })
    expect(await dac.client.status()).toMatchObject({ admitted: true })
  })
})

describe("a request that does not hold", () => {
  it("is refused by the name of its file, and nobody is admitted", async () => {
    const { file } = await request("DEL")
    const good = await readFile(file)
    const flipped = Uint8Array.from(good)
    const last = flipped.length - 40
    flipped[last] = (flipped[last] ?? 0) ^ 1
    const other = await ProcessNetwork.create(["DAC"])
    const foreignGenesis = join(other.headquarters.home, "network.genesis")
    const foreign = await request("RUH", foreignGenesis)
    const files: [string, Uint8Array, RegExp][] = [
      ["cut", good.subarray(0, -1), /^CODEC_/],
      ["longer", Buffer.concat([good, Uint8Array.of(0)]), /^CODEC_/],
      ["empty", new Uint8Array(0), /^CODEC_/],
      ["text", Buffer.from("please admit us"), /^CODEC_/],
      ["flipped", flipped, /^(CERTIFICATE|SIGNATURE)_|^CODEC_/],
      ["foreign", await readFile(foreign.file), /^(CERTIFICATE|GOVERNANCE|SIGNATURE)_/],
      ["huge", new Uint8Array(1 << 20), /^FILE_TOO_LARGE$/],
    ]
    const before = await codes()
    for (const [name, bytes, code] of files) {
      const path = join(network.folder, name)
      await writeFile(path, bytes)
      const failure = failureOf(await dac.run(["mission", "admit", path, "--yes"]))
      expect(failure, name).toMatchObject({ exit: 4, code: expect.stringMatching(code) as string })
      expect(failure.message, name).toContain(path)
    }
    expect(await codes()).toEqual(before)
    await other.remove()
  })
})

describe("what cannot be undone is asked about:", () => {
  it("nothing happens when nobody is there", async () => {
    const { file } = await request("NYC")
    for (const words of [
      ["mission", "admit", file],
      ["mission", "revoke", "DAC"],
    ]) {
      const asJson = failureOf(await dac.run(words))
      expect(asJson).toMatchObject({ exit: 4, code: "NOT_CONFIRMED" })
      const ended = await runCommand(["--home", dac.home, ...words])
      expect(ended.exit).toBe(4)
      expect(ended.stderr).toContain("error: nobody is there to be asked; nothing was changed")
      expect(ended.stderr).toContain("--yes")
    }
  })

  it("a no, an empty line and the end of the input are no; a yes is followed by the passphrase", async () => {
    const file = join(network.folder, "NYC.request")
    for (const answer of ["n\n", "\n", "", "yess\n"]) {
      const ended = await typed(["mission", "admit", file], answer)
      expect(ended.exit).toBe(4)
      expect(ended.stderr).toContain("Does the mission itself name this fingerprint? Admit NYC?")
      expect(ended.stderr).toContain("error: not confirmed; nothing was changed")
    }
    expect(await codes()).not.toContain("NYC")
    // Both lines at once, as somebody types who does not wait.
    const ended = await typed(["mission", "admit", file], `y\n${PASSPHRASE}\n`)
    expect(ended.stderr).toContain("Passphrase: ")
    expect(ended.stderr).not.toContain(PASSPHRASE)
    expect(ended.stdout).toMatch(/^NYC is admitted at height [0-9]+$/m)
    const bengali = await typed(
      ["--lang", "bn", "mission", "revoke", "NYC"],
      `হ্যাঁ\n${PASSPHRASE}\n`,
    )
    expect(bengali.stdout).toMatch(/^NYC বাতিল হয়েছে, উচ্চতা [০-৯]+\n$/)
    expect(bengali.exit).toBe(0)
  })

  it("a wrong passphrase changes nothing and says so", async () => {
    const { file } = await request("KUL")
    const ended = await typed(["mission", "admit", file], "y\nsomething else\n")
    expect(ended.exit).toBe(4)
    expect(ended.stderr).toContain("wrong passphrase")
    expect(ended.stderr).toContain("tarbarta: hint: try again")
    expect(await codes()).not.toContain("KUL")
  })

  it("two passphrases for new keys that differ make no home", async () => {
    const home = join(network.folder, "unequal")
    const place = ["--code", "PAR", "--name-en", "Paris", "--address", "127.0.0.1:4001"]
    const ended = await runCommand(
      ["--home", home, "mission", "request", ...place, "--network", genesisFile],
      {
        input: "one passphrase\nanother one\n",
        nodeOptions: ["--import", TERMINAL],
        env: { TARBARTA_PASSPHRASE_FILE: "" },
      },
    )
    expect(ended.exit).toBe(4)
    expect(ended.stderr).toContain("the two passphrases differ; nothing was made")
    await expect(readFile(join(home, "config.json"))).rejects.toMatchObject({ code: "ENOENT" })
  })
})

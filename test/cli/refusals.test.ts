import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { CABLE_TEXT_BYTES_MAX_FLASH } from "../../protocol/limits.ts"
import { ProcessNetwork, runCommand, type Ended, type ProcessPost } from "../support/processes.ts"

let network: ProcessNetwork
let dac: ProcessPost
let lon: ProcessPost

beforeAll(async () => {
  network = await ProcessNetwork.create(["DAC", "LON"])
  dac = network.headquarters
  lon = network.at("LON")
  await Promise.all([dac.start(), lon.start()])
})

afterAll(async () => network.remove())

/** A command for people at one post: its two lines on standard error. */
async function refused(post: ProcessPost, ...words: string[]): Promise<string[]> {
  const ended: Ended = await runCommand(["--home", post.home, ...words])
  expect(ended).toMatchObject({ exit: 4, stdout: "" })
  return ended.stderr.trimEnd().split("\n")
}

describe("a node refuses, and the command says what to do:", () => {
  it("a mission that is not admitted sends nothing, and may ask for its state", async () => {
    const [error, hint] = await refused(lon, "cable", "send", "--to", "DAC", "--text", "x")
    expect(error).toBe("tarbarta: error: this mission is not admitted to the network yet")
    expect(hint).toMatch(/^tarbarta: hint: headquarters admits it/)
    const { stdout } = await runCommand(["--home", lon.home, "node", "status"])
    expect(stdout).toMatch(/^Admitted +no$/m)
  })

  it("a text above what its precedence allows", async () => {
    await network.admit("LON")
    await network.untilAcquainted()
    const file = join(network.folder, "long.txt")
    await writeFile(file, "a".repeat(CABLE_TEXT_BYTES_MAX_FLASH + 1))
    const send = ["cable", "send", "--to", "LON", file]
    const [error, hint] = await refused(dac, ...send, "--precedence", "flash")
    expect(error).toContain(`at most ${CABLE_TEXT_BYTES_MAX_FLASH} bytes`)
    expect(hint).toMatch(/^tarbarta: hint: nothing was sent/)
    expect(await dac.client.cables({ box: "sent" })).toEqual([])
    expect((await dac.run([...send, "--precedence", "immediate"])).exit).toBe(0)
  })

  it("an id that is short, unknown, no id at all, or of a cable that went the other way", async () => {
    const [cable] = await dac.client.cables({ box: "sent" })
    const id = cable?.id ?? ""
    for (const words of [
      ["cable", "read", id.slice(0, 5)],
      ["ledger", "proof", "zzzz"],
      ["cable", "send", "--to", "LON", "--text", "x", "--reply-to", "no-such-id"],
    ]) {
      const { exit, stderr } = await runCommand(["--home", dac.home, ...words])
      expect(exit).toBe(2)
      expect(stderr).toContain(`${words.at(-1)}: expected an ID, its first 6 digits`)
      expect(stderr).toContain("hint: `tarbarta cable inbox`")
    }
    const unknown = id.startsWith("000000") ? "111111" : "000000"
    for (const noun of [
      ["cable", "read"],
      ["cable", "status"],
      ["ledger", "proof"],
    ]) {
      const [error, hint] = await refused(dac, ...noun, unknown)
      const kinds = noun[0] === "ledger" ? "cable or signal" : "cable"
      expect(error).toBe(`tarbarta: error: no ${kinds} ${unknown}`)
      expect(hint).toContain("`tarbarta cable inbox`")
      expect(hint).toContain("`tarbarta hotline list`")
    }
    const [error, hint] = await refused(dac, "cable", "ack", id)
    expect(error).toContain("no received cable")
    expect(hint).toContain("`tarbarta cable inbox`")
  })

  it("an officer and a mission that are not there", async () => {
    const send = ["cable", "send", "--text", "x"]
    const officer = await refused(dac, ...send, "--to", "LON", "--drafter", "Nobody")
    expect(officer[1]).toContain("names the officers")
    const mission = await refused(dac, ...send, "--to", "LON,XYZ")
    expect(mission).toEqual([
      "tarbarta: error: no mission XYZ",
      "tarbarta: hint: `tarbarta mission list` names them",
    ])
  })

  it("counts the first delivery among the tries", async () => {
    const words = ["cable", "send", "--to", "LON", "--text", "once", "--wait", "30"]
    const { stdout } = await dac.run(words)
    const { status } = JSON.parse(stdout) as { status: { addressees: { attempts: number }[] } }
    expect(status.addressees.map(({ attempts }) => attempts)).toEqual([1])
  })
})

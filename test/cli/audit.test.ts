import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ProcessNetwork, runCommand, until, type Ended } from "../support/processes.ts"

interface Report {
  readonly kind: string
  readonly ok: boolean
  readonly facts: Readonly<Record<string, string | number | boolean>>
  readonly error?: { readonly code: string; readonly message: string }
}

let network: ProcessNetwork
let folder: string
let id: string

/** One cable from LON to DAC, and what headquarters can give an auditor of it. */
beforeAll(async () => {
  network = await ProcessNetwork.start(["DAC", "LON"])
  folder = network.folder
  const dac = network.headquarters
  const draft = { to: ["DAC"], subject: "Audit", text: "শুভেচ্ছা\n".repeat(2_000) }
  id = (await network.at("LON").client.sendCable(draft)).id
  await until("registered at headquarters", async () => {
    const cables = await dac.client.cables({ box: "inbox" })
    return cables.length === 1 && (await dac.client.cable(id, { mark: false })).registered
  })
  const written = [
    await dac.run(["ledger", "proof", id, "--out", join(folder, "good.proof")]),
    await dac.run(["cable", "read", id, "--envelope", join(folder, "good.envelope")]),
    await dac.run(["ledger", "verify", "--save", join(folder, "good.ledger")]),
  ]
  const failed = written.find(({ exit }) => exit !== 0)
  if (failed !== undefined) throw new Error(`nothing to audit: ${failed.stderr}`)
  // An auditor needs no node.
  for (const post of network.posts) await post.stop()
})

afterAll(async () => network.remove())

async function audit(file: string, ...more: string[]): Promise<Ended> {
  const genesis = join(network.headquarters.home, "network.genesis")
  return runCommand(["audit", "verify", join(folder, file), "--network", genesis, ...more])
}

async function report(file: string, ...more: string[]): Promise<Report> {
  return JSON.parse((await audit(file, "--json", ...more)).stdout) as Report
}

const withLedger = (): string[] => ["--ledger", join(folder, "good.ledger")]

describe("audit verify holds for", () => {
  it("a proof, which tells who entered what and when; the codes come from a ledger copy", async () => {
    const alone = await audit("good.proof")
    expect(alone).toMatchObject({ exit: 0, stderr: "" })
    expect(alone.stdout).toMatch(/^the proof holds\n/)
    expect(alone.stdout).toMatch(/^Submitted by +mission 2 \(its code needs --ledger\)$/m)
    expect(alone.stdout).toMatch(/^Network fingerprint( +\d{5}){5}$/m)
    expect(alone.stdout).toMatch(/^Final by +\d{6}Z [A-Z]{3} \d\d$/m)
    expect(alone.stdout).toMatch(/^Cosigned by +\S+\/DAC(, \S+\/DAC \(ML-DSA-44\))?$/m)
    const bengali = await audit("good.proof", "--lang", "bn")
    expect(bengali.stdout).toMatch(/মিশন ২ \(এর কোড জানতে --ledger লাগবে\)$/m)
    expect((await report("good.proof")).facts).toMatchObject({ submitter: "#2" })
    const { ok, kind, facts } = await report("good.proof", ...withLedger())
    expect({ ok, kind }).toEqual({ ok: true, kind: "proof" })
    expect(facts).toMatchObject({ submitter: "LON", cable: id })
  })

  it("a ledger copy", async () => {
    const { ok, kind, facts } = await report("good.ledger")
    expect({ ok, kind }).toEqual({ ok: true, kind: "ledger" })
    expect(facts["missions"]).toBe(2)
    const bengali = await audit("good.ledger", "--lang", "bn")
    expect(bengali.stdout).toMatch(/^লেজারের অনুলিপি অক্ষত\n/)
    expect(bengali.stdout).toMatch(/^মিশন +২$/m)
  })

  it("an envelope with a ledger copy; without one it says what is wanting", async () => {
    const { ok, kind, facts } = await report("good.envelope", ...withLedger())
    expect({ ok, kind }).toEqual({ ok: true, kind: "envelope" })
    expect(facts).toMatchObject({ sender: "LON", addressee: "DAC", cable: id })
    const alone = await audit("good.envelope")
    expect(alone).toMatchObject({ exit: 4, stdout: "" })
    expect(alone.stderr).toContain("DIRECTORY_UNKNOWN: envelope: no such key of mission 2")
    expect(alone.stderr).toContain("hint: its sender came after the genesis")
    expect(alone.stderr).toContain("--ledger")
  })
})

describe("audit verify finds one flipped bit", () => {
  /** A copy of a file with one bit flipped, at a part of its length. */
  async function flipped(file: string, part: number): Promise<string> {
    const bytes = await readFile(join(folder, file))
    const at = Math.min(bytes.length - 1, Math.floor(part * bytes.length))
    bytes[at] = (bytes[at] ?? 0) ^ 0x10
    const name = `flipped.${file}`
    await writeFile(join(folder, name), bytes)
    return name
  }

  for (const file of ["good.proof", "good.ledger", "good.envelope"]) {
    it(`anywhere in ${file}: exit 4, and a line that says what and where`, async () => {
      for (const part of [0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 1]) {
        const name = await flipped(file, part)
        const more = file === "good.ledger" ? [] : withLedger()
        const ended = await audit(name, ...more)
        expect(ended, `${file} at ${part}`).toMatchObject({ exit: 4, stdout: "" })
        const [error, hint, ...rest] = ended.stderr.trim().split("\n")
        expect(error).toMatch(/flipped\.good\.[a-z]+: [A-Z]+_[A-Z_]+: [a-z].*\w.*/)
        expect(hint).toMatch(/^tarbarta: hint: /)
        expect(rest).toEqual([])
        const { ok, error: reported } = await report(name, ...more)
        expect(ok).toBe(false)
        expect(reported?.code).toMatch(/^[A-Z_]+$/)
      }
    })
  }

  it("in the ledger copy beside an envelope, and blames that copy", async () => {
    const name = await flipped("good.ledger", 0.5)
    const ended = await audit("good.envelope", "--ledger", join(folder, name))
    expect(ended.exit).toBe(4)
    expect(ended.stderr).toContain(`ledger copy ${name}: `)
    expect(ended.stderr).toContain("hint: nothing is said of the file itself")
  })
})

describe("audit verify is asked about files that are not what it takes them for:", () => {
  it("each gets one clear line and exit 4", async () => {
    const genesis = join(network.headquarters.home, "network.genesis")
    const good = join(folder, "good.proof")
    const none = join(folder, "none")
    const cases: [string[], string][] = [
      [[none, "--network", genesis], `${none}: cannot be read: no such file or folder`],
      [[folder, "--network", genesis], `${folder}: expected a file, got a folder`],
      [[good, "--network", none], `${none}: cannot be read: no such file or folder`],
      [[good, "--network", folder], `${folder}: expected a file`],
      [[good, "--network", good], `${good}: `],
      [[good, "--network", genesis, "--ledger", none], `${none}: cannot be read`],
      [[good, "--network", genesis, "--ledger", genesis], "ledger copy network.genesis: "],
    ]
    for (const [words, message] of cases) {
      const ended = await runCommand(["audit", "verify", ...words])
      expect(ended).toMatchObject({ exit: 4, stdout: "" })
      expect(ended.stderr).toContain(message)
      expect(ended.stderr).not.toContain("    at ")
    }
  })

  it("a file of no known kind is not called altered", async () => {
    await writeFile(join(folder, "letter.txt"), "Dear colleague,\n")
    await writeFile(join(folder, "empty"), "")
    for (const file of ["letter.txt", "empty", "dac/network.genesis"]) {
      const ended = await audit(file)
      expect(ended).toMatchObject({ exit: 4, stdout: "" })
      expect(ended.stderr).toContain("FILE_KIND: this is no proof, ledger copy or envelope")
      expect(ended.stderr).toContain("hint: name what `ledger proof`")
      expect(await report(file)).toMatchObject({ kind: "unknown", ok: false })
    }
  })

  it("a copy cut short is not a copy", async () => {
    const bytes = await readFile(join(folder, "good.ledger"))
    for (const cut of [1, 12, 1_000]) {
      await writeFile(join(folder, "cut.ledger"), bytes.subarray(0, -cut))
      const ended = await audit("cut.ledger")
      expect(ended.exit).toBe(4)
      expect(ended.stderr).toContain("LEDGER_COPY_INVALID")
    }
  })
})

import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  homeOptionsOf,
  PASSPHRASE,
  ProcessNetwork,
  runCommand,
  type Ended,
} from "../support/processes.ts"
import { readConfig } from "../../node/config.ts"
import { createFoundingRecord } from "../../node/founding.ts"
import { readKdfProfile } from "../../node/kdf.ts"
import { KEY_NAMES } from "../../node/keys.ts"
import { openKeystore } from "../../node/keystore.ts"
import { CONSENSUS_DELTA_MS_MAX } from "../../protocol/limits.ts"
import { verifyGenesis } from "../../protocol/governance.ts"
import { seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const TERMINAL = new URL("../support/terminal.js", import.meta.url).href

// The ceremony as people hold it: each step is a command of its own, in a folder where files are
// carried about. The network beside it lends passphrase and folder, and is the stranger.
let elsewhere: ProcessNetwork
let folder: string

beforeAll(async () => {
  elsewhere = await ProcessNetwork.create(["DAC"])
  folder = elsewhere.folder
  demandDone(await prepare("hq", "LON,DEL", ["--validators", "LON"]))
  for (const code of ["LON", "DEL"]) demandDone(await found(code))
})

afterAll(async () => elsewhere.remove())

const at = (name: string): string => join(folder, name)

/** A command at this home, for programs. */
async function run(home: string, ...words: string[]): Promise<Ended> {
  const env = { TARBARTA_PASSPHRASE_FILE: elsewhere.headquarters.passphraseFile }
  return runCommand(["--home", at(home), "--json", ...words], { env })
}

function about(code: string): string[] {
  const names = ["--code", code, "--name-en", `Post ${code}`, "--name-bn", "মিশন"]
  return [...names, "--address", "127.0.0.1:4001", "--officer", "S. Akter=drafter"]
}

async function prepare(home: string, founders: string, rest: string[] = []): Promise<Ended> {
  const words = ["--founders", founders, "--out", at(`${home}.invitation`), ...rest]
  return run(home, "network", "prepare", "Our network", ...about("DAC"), ...words)
}

async function found(
  code: string,
  invitation = at("hq.invitation"),
  home = code.toLowerCase(),
): Promise<Ended> {
  const files = ["--invitation", invitation, "--out", at(`${home}.founding`)]
  return run(home, "network", "found", ...about(code), ...files)
}

function failureOf(ended: Ended): { exit: number | undefined; code: string; message: string } {
  expect(ended.stdout).toBe("")
  const last = ended.stderr.trim().split("\n").at(-1) ?? ""
  const { error } = JSON.parse(last) as { error: { code: string; message: string } }
  return { exit: ended.exit, ...error }
}

function demandDone({ exit, stderr }: Ended): void {
  if (exit !== 0) throw new Error(`ended with ${String(exit)}: ${stderr}`)
}

/** Runs `network assemble` with these files; what it fails with. Nothing was made then. */
async function refusedAssembly(...files: string[]): Promise<ReturnType<typeof failureOf>> {
  const failure = failureOf(await run("hq", "network", "assemble", ...files, "--yes"))
  expect(await readdir(at("hq"))).not.toContain("network.genesis")
  return failure
}

/** The same for `network join` at London. */
async function refusedJoin(file: string): Promise<ReturnType<typeof failureOf>> {
  const before = await readdir(at("lon"))
  const failure = failureOf(await run("lon", "network", "join", file))
  expect(await readdir(at("lon"))).toEqual(before)
  return failure
}

async function write(name: string, bytes: Uint8Array): Promise<string> {
  await writeFile(at(name), bytes)
  return at(name)
}

describe("an invitation that cannot be made", () => {
  it("is refused, and no home is left", async () => {
    const wrong: [string, string[], RegExp][] = [
      ["LON,LON", [], /LON is named twice/],
      ["LON,DAC", [], /DAC is named twice/],
      ["LON,1X", [], /mission code "1X"/],
      ["LON", ["--validators", "DEL"], /DEL is not a founding mission/],
      [Array.from({ length: 16 }, (_, index) => `M${index}`).join(), [], /at most 16 validators/],
    ]
    for (const [founders, rest, message] of wrong) {
      const failure = failureOf(await prepare("never", founders, rest))
      expect(failure).toMatchObject({ exit: 4, code: "SETUP_INVALID" })
      expect(failure.message).toMatch(message)
    }
    const tooLong = failureOf(await prepare("never", "LON", ["--origin", "a".repeat(257)]))
    expect(tooLong).toMatchObject({ exit: 4, code: "SETUP_INVALID" })
    for (const delta of ["249", String(CONSENSUS_DELTA_MS_MAX + 1), "x"]) {
      const failure = failureOf(await prepare("never", "LON", ["--delta", delta]))
      expect(failure).toMatchObject({ exit: 2, code: "USAGE" })
    }
    expect(await readdir(folder)).not.toContain("never")
  })

  it("is refused in a home that exists, which stays as it is", async () => {
    const before = await readFile(at("hq/keys/keystore"))
    expect(failureOf(await prepare("hq", "LON"))).toMatchObject({ exit: 4, code: "HOME_EXISTS" })
    expect(await readFile(at("hq/keys/keystore"))).toEqual(before)
  })
})

describe("an answer that cannot be given", () => {
  it("is refused for a mission that is not invited, and for headquarters", async () => {
    const stranger = failureOf(await found("PAR"))
    expect(stranger).toMatchObject({ exit: 4, code: "SETUP_INVALID" })
    expect(stranger.message).toContain("PAR is not invited")
    const self = failureOf(await found("DAC"))
    expect(self).toMatchObject({ exit: 4, code: "SETUP_INVALID" })
    expect(await readdir(folder)).not.toContain("par")
  })

  it("is refused to an invitation that is cut, huge, missing or something else", async () => {
    const good = await readFile(at("hq.invitation"))
    const files: [string, RegExp][] = [
      [await write("cut", good.subarray(0, -1)), /^CODEC_TRUNCATED$/],
      [await write("longer", Buffer.concat([good, Uint8Array.of(0)])), /^CODEC_TRAILING$/],
      [await write("huge", new Uint8Array(1 << 20)), /^FILE_TOO_LARGE$/],
      [at("lon.founding"), /^CODEC_/],
      [at("nothing"), /^FILE_UNREADABLE$/],
    ]
    for (const [file, code] of files) {
      const failure = failureOf(await found("LON", file, "new"))
      expect(failure, file).toMatchObject({ exit: 4, code: expect.stringMatching(code) as string })
      expect(failure.message).toContain(file)
    }
    expect(await readdir(folder)).not.toContain("new")
  })

  it("is refused in a home that exists", async () => {
    expect(failureOf(await found("LON"))).toMatchObject({ exit: 4, code: "HOME_EXISTS" })
  })
})

describe("a network is not assembled", () => {
  it("from a record that is cut, longer, huge, flipped or something else", async () => {
    const good = await readFile(at("lon.founding"))
    const flipped = Uint8Array.from(good)
    flipped[good.length - 40] = (flipped[good.length - 40] ?? 0) ^ 1
    const files: [string, RegExp][] = [
      [await write("cut", good.subarray(0, -1)), /^CODEC_TRUNCATED$/],
      [await write("longer", Buffer.concat([good, Uint8Array.of(0)])), /^CODEC_TRAILING$/],
      [await write("empty", new Uint8Array(0)), /^CODEC_TRUNCATED$/],
      [await write("huge", new Uint8Array(1 << 20)), /^FILE_TOO_LARGE$/],
      [await write("flipped", flipped), /^CERTIFICATE_INVALID$/],
      [at("hq.invitation"), /^CODEC_/],
    ]
    for (const [file, code] of files) {
      const failure = await refusedAssembly(file, at("del.founding"))
      expect(failure, file).toMatchObject({ exit: 4, code: expect.stringMatching(code) as string })
      expect(failure.message).toContain(file)
    }
  })

  it("from a record that answers another invitation", async () => {
    expect((await prepare("other", "LON,DEL")).exit).toBe(0)
    expect((await found("LON", at("other.invitation"), "lon2")).exit).toBe(0)
    const failure = await refusedAssembly(at("lon2.founding"), at("del.founding"))
    expect(failure).toMatchObject({ exit: 4, code: "FOUNDING_INVALID" })
    expect(failure.message).toContain("answers another invitation")
  })

  it("with one code twice, and with a mission missing", async () => {
    const twice = await refusedAssembly(at("lon.founding"), at("lon.founding"), at("del.founding"))
    expect(twice).toMatchObject({ exit: 4, code: "FOUNDING_INVALID" })
    expect(twice.message).toContain("two records of LON")
    const missing = await refusedAssembly(at("lon.founding"))
    expect(missing).toMatchObject({ exit: 4, code: "FOUNDING_INVALID" })
    expect(missing.message).toContain("no record of DEL")
  })

  it("where nothing was prepared, and where there is a network already", async () => {
    const files = [at("lon.founding"), at("del.founding"), "--yes"]
    const none = failureOf(await run("nothing", "network", "assemble", ...files))
    expect(none).toMatchObject({ exit: 4, code: "HOME_MISSING" })
    const done = failureOf(await run("dac", "network", "assemble", ...files))
    expect(done).toMatchObject({ exit: 4, code: "GENESIS_EXISTS" })
    // A founder's home has an invitation, but not the key that governs.
    const lent = failureOf(await run("lon", "network", "assemble", at("del.founding"), "--yes"))
    expect(lent).toMatchObject({ exit: 4, code: "FOUNDING_INVALID" })
  })

  it("while nobody says that the fingerprints were compared, and by a wrong passphrase", async () => {
    const files = [at("lon.founding"), at("del.founding")]
    const nobody = failureOf(await run("hq", "network", "assemble", ...files))
    expect(nobody).toMatchObject({ exit: 4, code: "NOT_CONFIRMED" })
    const asked = await runCommand(["--home", at("hq"), "network", "assemble", ...files], {
      input: "n\n",
      nodeOptions: ["--import", TERMINAL],
    })
    expect(asked.exit).toBe(4)
    expect(asked.stderr).toContain("Does every mission itself name the fingerprint shown for it?")
    expect(asked.stderr).toContain("error: not confirmed; nothing was changed")
    const mistyped = await runCommand(["--home", at("hq"), "network", "assemble", ...files], {
      input: "y\nsomething else\n",
      nodeOptions: ["--import", TERMINAL],
      env: { TARBARTA_PASSPHRASE_FILE: "" },
    })
    expect(mistyped.exit).toBe(4)
    expect(mistyped.stderr).toContain("wrong passphrase")
    expect(await readdir(at("hq"))).not.toContain("network.genesis")
  })
})

describe("a home between invitation and network", () => {
  it("does not start, and says what is missing", async () => {
    const failure = failureOf(await run("lon", "node", "start"))
    expect(failure).toMatchObject({ exit: 4, code: "GENESIS_MISSING" })
  })
})

describe("a ceremony of three missions, two of them validators", () => {
  it("shows each fingerprint, asks, and makes the network that was invited to", async () => {
    const files = [at("lon.founding"), at("del.founding")]
    const ended = await runCommand(["--home", at("hq"), "network", "assemble", ...files], {
      input: `y\n${PASSPHRASE}\n`,
      nodeOptions: ["--import", TERMINAL],
      env: { TARBARTA_PASSPHRASE_FILE: "" },
    })
    expect(ended).toMatchObject({ exit: 0 })
    expect(ended.stdout).toMatch(/^Mission +LON +Post LON +মিশন\nFingerprint +(\d{5} ?){5}$/m)
    expect(ended.stdout).toMatch(/^network Our network created$/m)
    expect(ended.stderr).not.toContain(PASSPHRASE)
    const genesis = verifyGenesis(suite, await readFile(at("hq/network.genesis")))
    expect(genesis.missions.map(({ code }) => code)).toEqual(["DAC", "LON", "DEL"])
    expect(genesis.validators.map(({ rid }) => rid)).toEqual([1, 2])
    expect(genesis.policy.consensusDeltaMs).toBe(500)
  })

  it("is not joined by a file that is cut, altered, huge or of another network", async () => {
    const good = await readFile(at("hq/network.genesis"))
    const altered = Uint8Array.from(good)
    const place = good.indexOf("Our network")
    altered[place] = "o".charCodeAt(0)
    const swapped = Uint8Array.from(good)
    swapped[good.length - 40] = (swapped[good.length - 40] ?? 0) ^ 1
    const files: [string, RegExp][] = [
      [await write("cut", good.subarray(0, -1)), /^CODEC_TRUNCATED$/],
      [await write("huge", new Uint8Array(5 << 20)), /^FILE_TOO_LARGE$/],
      [await write("altered", altered), /^FOUNDING_INVALID$/],
      [await write("swapped", swapped), /^CERTIFICATE_INVALID$/],
      [at("dac/network.genesis"), /^FOUNDING_INVALID$/],
    ]
    for (const [file, code] of files) {
      const failure = await refusedJoin(file)
      expect(failure, file).toMatchObject({ exit: 4, code: expect.stringMatching(code) as string })
      expect(failure.message).toContain(file)
    }
  })

  it("is not joined where another record was made than the genesis holds", async () => {
    const invitation = await readFile(at("hq.invitation"))
    await createFoundingRecord({ ...homeOptionsOf(at("lon3"), "LON", 4_001), invitation })
    const other = failureOf(await run("lon3", "network", "join", at("hq/network.genesis")))
    expect(other).toMatchObject({ exit: 4, code: "FOUNDING_INVALID" })
    expect(other.message).toContain("the keys of LON in the genesis are not its own")
    const never = failureOf(await run("dac", "network", "join", at("hq/network.genesis")))
    expect(never).toMatchObject({ exit: 4, code: "GENESIS_EXISTS" })
  })

  it("is joined by both founders, who see headquarters' fingerprint, and once is enough", async () => {
    for (const home of ["lon", "del", "del"]) {
      const ended = await run(home, "network", "join", at("hq/network.genesis"))
      expect(ended).toMatchObject({ exit: 0, stderr: "" })
      expect(await readFile(at(`${home}/network.genesis`))).toEqual(
        await readFile(at("hq/network.genesis")),
      )
    }
    const again = failureOf(await run("hq", "network", "assemble", at("lon.founding"), "--yes"))
    expect(again).toMatchObject({ exit: 4, code: "GENESIS_EXISTS" })
    const joins = ["network", "join", at("hq/network.genesis")]
    const bengali = await runCommand(["--home", at("lon"), "--lang", "bn", ...joins])
    expect(bengali.stdout).toMatch(/^এই হোম এখন Our network নেটওয়ার্কের অংশ$/m)
  })

  it("leaves relays where there are validators", async () => {
    const relays: Record<string, unknown> = {}
    for (const home of ["hq", "lon", "del"]) {
      relays[home] = (await readConfig(at(`${home}/config.json`))).relay
    }
    expect(relays).toEqual({ hq: true, lon: true, del: false })
  })

  it("lets no secret leave a mission", async () => {
    const path = at("lon/keys/keystore")
    const { profile } = readKdfProfile({ TARBARTA_KDF_PROFILE: "test" })
    const access = { path, passphrase: PASSPHRASE, profile, suite, random: seededRandom("unused") }
    const keystore = await openKeystore(access)
    const record = await readFile(at("lon.founding"))
    for (const name of [KEY_NAMES.transport, KEY_NAMES.store]) {
      expect(record.includes(Buffer.from(keystore.secret(name))), name).toBe(false)
    }
    const seen = [keystore.publicKey(KEY_NAMES.consensus), keystore.publicKey(KEY_NAMES.identity)]
    for (const key of seen) expect(record.includes(Buffer.from(key))).toBe(true)
    keystore.close()
  })
})

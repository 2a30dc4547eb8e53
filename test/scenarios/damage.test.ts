import { cp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { writeHalt } from "../../node/halt.ts"
import { ProcessNetwork, ProcessPost, until } from "../support/processes.ts"
import { randomInt, seededRandom } from "../support/rng.ts"

let network: ProcessNetwork
let copies = 0
const sent: string[] = []

/** Headquarters with some traffic of its own behind it, stopped in good order. */
beforeAll(async () => {
  network = await ProcessNetwork.start(["DAC", "LON"])
  const { client } = network.headquarters
  for (let index = 0; index < 30; index++) {
    const text = `${index} `.repeat(500)
    sent.push((await client.sendCable({ to: ["LON"], subject: `${index}`, text })).id)
  }
  await until("delivered", async () => {
    for (const id of sent) {
      const { delivered, registered } = await client.cableStatus(id)
      if (!delivered || !registered) return false
    }
    return true
  })
  for (const post of network.posts) await post.stop()
})

afterAll(async () => network.remove())

/** A copy of headquarters' home that a test may spoil. */
async function copyOfHome(): Promise<ProcessPost> {
  const { home, port, passphraseFile } = network.headquarters
  const copy = join(network.folder, `copy-${++copies}`)
  await cp(home, copy, { recursive: true })
  return new ProcessPost({ code: "DAC", home: copy, port, passphraseFile })
}

async function flip(path: string, at: number, mask = 1): Promise<void> {
  const bytes = await readFile(path)
  bytes[at] = (bytes[at] ?? 0) ^ mask
  await writeFile(path, bytes)
}

/** The largest file with this ending under a folder. */
async function largest(folder: string, pattern: RegExp): Promise<{ path: string; size: number }> {
  const names = await readdir(folder, { recursive: true })
  let found = { path: "", size: 0 }
  for (const name of names.filter((one) => pattern.test(one))) {
    const { size } = await stat(join(folder, name))
    if (size > found.size) found = { path: join(folder, name), size }
  }
  expect(found.size).toBeGreaterThan(0)
  return found
}

/** Starts a spoiled home: the code of its refusal, or of the first thing that cannot be read. */
async function damageOf(post: ProcessPost): Promise<string> {
  try {
    await post.start()
  } catch {
    const line = post.log.trim().split("\n").at(-1) ?? ""
    const { error, exit } = JSON.parse(line) as { error: { code: string }; exit: number }
    return exit === 4 ? error.code : `${error.code} with exit ${exit}`
  }
  try {
    for (const id of sent) await post.client.cable(id, { mark: false })
    const report = await post.client.verifyLedger(() => undefined)
    return report.error?.code ?? "none"
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  } finally {
    await post.kill()
  }
}

describe("a consensus log that is gone", () => {
  it("with its whole folder costs the validator its vote: the node follows and delivers", async () => {
    const post = await copyOfHome()
    await rm(join(post.home, "wal"), { recursive: true })
    await post.start()
    const { vote } = await post.client.ledgerStatus()
    expect(vote).toMatchObject({ state: "refused", code: "VALIDATOR_KEY_DEAD" })
    for (const id of sent) await post.client.cable(id, { mark: false })
    await post.kill()
  })
})

describe("one flipped bit on the disk", () => {
  it("is not found where there is none", async () => {
    expect(await damageOf(await copyOfHome())).toBe("none")
  })

  it("in the store is found at the start or when the row is read, wherever it is", async () => {
    const random = seededRandom("flipped bits")
    for (let round = 0; round < 6; round++) {
      const post = await copyOfHome()
      const { path, size } = await largest(join(post.home, "store"), /\.(log|ldb)$/)
      await flip(path, randomInt(random, size), 1 << randomInt(random, 8))
      const damage = await damageOf(post)
      // What the newest rows of the ledger lost comes back from the consensus log, and is told.
      const isTold = damage === "none" && /LEDGER_(REBUILT|HEALED)/.test(post.log)
      expect(isTold || damage === "STORE_DAMAGED" || damage === "STORE_FAILED").toBe(true)
    }
  })

  it("in the key file is found at the start", async () => {
    const post = await copyOfHome()
    await flip(join(post.home, "keys", "keystore"), 400)
    expect(["KEYSTORE_DAMAGED", "KEYSTORE_PASSPHRASE"]).toContain(await damageOf(post))
  })

  it("in the network file is found at the start", async () => {
    const post = await copyOfHome()
    await flip(join(post.home, "network.genesis"), 900)
    expect(await damageOf(post)).toMatch(/^(GENESIS_INVALID|CODEC_|SIGNATURE_INVALID|LEDGER_)/)
  })

  it("in the consensus log is found at the start: the node follows and does not vote", async () => {
    const post = await copyOfHome()
    const { path } = await largest(join(post.home, "wal"), /./)
    await flip(path, 60)
    await post.start()
    const { vote } = await post.client.ledgerStatus()
    expect(vote?.state).toBe("refused")
    expect(["WAL_DAMAGED", "VALIDATOR_KEY_DEAD"]).toContain(vote?.code)
    for (const id of sent) await post.client.cable(id, { mark: false })
    await post.kill()
  })

  it("is not looked for in a validator that halted: it follows, and votes when it is released", async () => {
    const post = await copyOfHome()
    const path = join(post.home, "keys", "halted")
    await writeHalt(path, { code: "CONSENSUS_FORK", message: "two chains" })
    await post.start()
    const { vote } = await post.client.ledgerStatus()
    expect(vote).toMatchObject({ state: "refused", code: "CONSENSUS_FORK" })
    await post.stop()
    await rm(path)
    await post.start()
    expect((await post.client.ledgerStatus()).vote?.state).toBe("voting")
    await post.kill()
  })

  it("leaves the undamaged home as it was: it starts and has everything", async () => {
    const post = network.headquarters
    await post.start()
    const cables = await post.client.cables({ box: "sent" })
    expect(cables.map(({ id }) => id)).toEqual(expect.arrayContaining(sent))
    await post.stop()
  })
})

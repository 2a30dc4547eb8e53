import { cp, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { LedgerStatus } from "../../node/api/shapes.ts"
import { freePort, ProcessNetwork, ProcessPost, until } from "../support/processes.ts"

const CODES = ["DAC", "LON", "DEL", "NYC", "RUH"]

let network: ProcessNetwork
let clones = 0
let dac: ProcessPost
let lon: ProcessPost
let del: ProcessPost
let nyc: ProcessPost
let ruh: ProcessPost

beforeAll(async () => {
  network = await ProcessNetwork.start(CODES, { validators: 4 })
  dac = network.at("DAC")
  lon = network.at("LON")
  del = network.at("DEL")
  nyc = network.at("NYC")
  ruh = network.at("RUH")
})

afterAll(async () => network.remove())

/** What `ledger status --json` says. */
async function statusOf(post: ProcessPost): Promise<LedgerStatus> {
  const { stdout, stderr } = await post.run(["ledger", "status"])
  expect(stderr).toBe("")
  return JSON.parse(stdout) as LedgerStatus
}

async function untilVoting(post: ProcessPost): Promise<void> {
  await until(`${post.code} votes`, async () => {
    return (await post.client.ledgerStatus()).vote?.state === "voting"
  })
}

/** A cable that is delivered and becomes final. */
async function carry(from: ProcessPost, to: ProcessPost): Promise<void> {
  const draft = { to: [to.code], subject: `${from.code} to ${to.code}`, text: "তারবার্তা" }
  const { id } = await from.client.sendCable(draft)
  await until(`a cable of ${from.code} is delivered and registered`, async () => {
    const { delivered, registered } = await from.client.cableStatus(id)
    return delivered && registered
  })
}

/** A second machine with all of a post's home as it is now; it listens elsewhere. */
async function cloneOf(post: ProcessPost): Promise<ProcessPost> {
  const { code, passphraseFile } = post
  const home = join(network.folder, `clone-${++clones}`)
  await cp(post.home, home, { recursive: true, filter: (path) => !path.endsWith(".sock") })
  const port = await freePort()
  const config = join(home, "config.json")
  const listen = (await readFile(config, "utf8")).replaceAll(`/${post.port}`, `/${port}`)
  await writeFile(config, listen)
  return new ProcessPost({ code, home, port, passphraseFile })
}

function stateOf(status: LedgerStatus, code: string): string | undefined {
  return status.validators.find(({ mission }) => mission === code)?.state
}

describe("four validators in processes of their own", () => {
  it("say that all is well while nothing waits: an idle ledger warns of nothing", async () => {
    await Promise.all([dac, lon, del, nyc].map(untilVoting))
    for (const post of [lon, ruh]) {
      await until(`${post.code} is in contact with all validators`, async () => {
        return (await post.client.ledgerStatus()).quorum.heard === 4
      })
    }
    const status = await statusOf(lon)
    expect(status.vote).toEqual({ state: "voting" })
    expect(status.quorum).toEqual({ validators: 4, needed: 3, heard: 4, isMet: true })
    expect(status.validators.map(({ mission, state }) => [mission, state])).toEqual([
      ["DAC", "voting"],
      ["LON", "self"],
      ["DEL", "voting"],
      ["NYC", "voting"],
    ])
    for (const post of [lon, ruh]) {
      const { warnings } = await post.client.status()
      expect(warnings.filter((one) => /validator|evidence/.test(one))).toEqual([])
    }
    const mission = await statusOf(ruh)
    expect(mission.vote).toBeUndefined()
    expect(mission.validators.map(({ state }) => state)).toEqual(["up", "up", "up", "up"])
    expect(mission.evidence).toBe(0)
  })

  it("go on without one that was killed, and stand still without a second that is frozen", async () => {
    await del.kill()
    await until("its loss is seen", async () => {
      return stateOf(await lon.client.ledgerStatus(), "DEL") === "down"
    })
    expect((await statusOf(lon)).quorum).toEqual({
      validators: 4,
      needed: 3,
      heard: 3,
      isMet: true,
    })
    await carry(ruh, lon)
    nyc.freeze()
    const { id } = await ruh.client.sendCable({ to: ["LON"], subject: "s", text: "t" })
    await until("delivered all the same", async () => (await ruh.client.cableStatus(id)).delivered)
    expect((await ruh.client.cableStatus(id)).registered).toBe(false)
    expect((await ruh.client.ledgerStatus()).pending).toBeGreaterThan(0)
    nyc.thaw()
    await until("registered", async () => (await ruh.client.cableStatus(id)).registered)
    await del.start()
    await untilVoting(del)
    await until("it has what the others have", async () => {
      const heights = await Promise.all(
        [del, lon].map(async ({ client }) => (await client.ledgerStatus()).height),
      )
      return heights[0] === heights[1]
    })
  })

  it("warn, on every node, when fewer than a quorum are in reach", async () => {
    await del.kill()
    await nyc.kill()
    for (const post of [lon, ruh]) {
      await until(`${post.code} warns`, async () => {
        const { warnings, ledger } = await post.client.status()
        return !ledger.quorum.isMet && warnings.some((one) => one.includes("validators in reach"))
      })
    }
    const { stdout } = await ruh.run(["ledger", "status"], { env: { LANG: "C" } })
    expect(JSON.parse(stdout)).toMatchObject({ quorum: { heard: 2, needed: 3, isMet: false } })
    await Promise.all([del.start(), nyc.start()])
    await Promise.all([del, nyc].map(untilVoting))
    await until("no warning is left", async () => {
      const { warnings } = await ruh.client.status()
      return !warnings.some((one) => one.includes("validators in reach"))
    })
  })
})

describe("a validator's key", () => {
  it("is refused to a second process with a copy of the home; the first votes on", async () => {
    await nyc.stop()
    const twin = await cloneOf(nyc)
    await nyc.start()
    await untilVoting(nyc)
    try {
      await twin.start()
      await until("the twin is refused", async () => {
        return (await twin.client.ledgerStatus()).vote?.state === "refused"
      })
      expect((await twin.client.ledgerStatus()).vote).toMatchObject({ code: "VALIDATOR_KEY_DEAD" })
    } finally {
      await twin.kill()
    }
    await untilVoting(nyc)
    await carry(nyc, lon)
  })

  it("does not vote on a copy of a home that was made while the first ran, and votes on in that", async () => {
    const twin = await cloneOf(nyc)
    try {
      await twin.start()
      await until("the twin waits for the end of the first", async () => {
        return Promise.resolve(twin.log.includes("VALIDATOR_WAITS"))
      })
      await carry(ruh, lon)
      await until("the twin is refused", async () => {
        return (await twin.client.ledgerStatus()).vote?.state === "refused"
      })
      const { vote } = await twin.client.ledgerStatus()
      expect(vote?.code).toMatch(/^(VALIDATOR|CONSENSUS)_KEY_DEAD$/)
      // Without one of the others the ledger needs the vote of the first.
      await del.kill()
      await carry(ruh, lon)
      const { warnings } = await nyc.client.status()
      expect(warnings.some((one) => one.includes("a copy of this home was started"))).toBe(true)
    } finally {
      await twin.kill()
    }
    await del.start()
    await Promise.all([del, nyc].map(untilVoting))
    expect((await lon.client.ledgerStatus()).evidence).toBe(0)
  })

  it("votes again at once after its process was killed, and after it was stopped", async () => {
    await until("nothing of the twin is left", async () => {
      return stateOf(await lon.client.ledgerStatus(), "NYC") === "voting"
    })
    for (const end of ["kill", "stop"] as const) {
      await nyc[end]()
      await nyc.start()
      await untilVoting(nyc)
      expect(nyc.log).not.toContain("VALIDATOR_WAITS")
    }
  })

  it("is dead after its home was restored: the node follows, says so, and carries cables", async () => {
    await del.stop()
    const saved = join(network.folder, "saved")
    await cp(del.home, saved, { recursive: true })
    await del.start()
    await untilVoting(del)
    await carry(ruh, lon)
    await del.stop()
    await rm(del.home, { recursive: true })
    await cp(saved, del.home, { recursive: true })
    await del.start()
    await until("it is refused", async () => {
      return (await del.client.ledgerStatus()).vote?.state === "refused"
    })
    await until("it follows", async () => {
      const [own, other] = await Promise.all([del.client.ledgerStatus(), lon.client.ledgerStatus()])
      return own.height === other.height
    })
    const status = await statusOf(del)
    // By the newest run, or by the newest vote, that the first peer to answer has of it.
    expect(status.vote?.code).toMatch(/^(VALIDATOR|CONSENSUS)_KEY_DEAD$/)
    expect(status.quorum).toEqual({ validators: 4, needed: 3, heard: 3, isMet: true })
    const { warnings } = await del.client.status()
    expect(warnings.some((one) => one.includes("does not vote"))).toBe(true)
    await carry(ruh, del)
    await carry(del, ruh)
    // The next start knows it by itself.
    await del.stop()
    await del.start()
    expect((await del.client.ledgerStatus()).vote).toMatchObject({ state: "refused" })
  })
})

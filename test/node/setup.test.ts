import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { beforeEach, describe, expect, it, vi } from "vitest"
import { createNetwork, type NetworkOptions } from "../../node/founding.ts"
import { verifyGenesis } from "../../protocol/governance.ts"
import { temporaryFolder } from "../support/folder.ts"
import { suite } from "../support/suites.ts"

// Light Argon2id: setup reads the profile from the environment of this process.
process.env["TARBARTA_KDF_PROFILE"] = "test"

function optionsIn(folder: string, change: Partial<NetworkOptions> = {}): NetworkOptions {
  return {
    home: join(folder, "home"),
    passphrase: "only for this test",
    code: "DAC",
    nameEn: "Dhaka",
    nameBn: "ঢাকা",
    addresses: ["127.0.0.1:9000"],
    listen: [],
    officers: [],
    name: "Test ministry",
    origin: "test.example/ledger",
    transport: "noise",
    twoPerson: true,
    ...change,
  }
}

// Key files of a test: light Argon2id.
beforeEach(() => {
  vi.stubEnv("TARBARTA_KDF_PROFILE", "test")
  return () => vi.unstubAllEnvs()
})

describe("a new network", () => {
  it("has the origin and the rules that were asked for, and its name in NFC", async () => {
    const options = optionsIn(await temporaryFolder(), { name: "Ministe\u0301re" })
    const { genesis } = await createNetwork(options)
    const { origin, name, policy } = verifyGenesis(suite, genesis)
    expect({ origin, name }).toEqual({ origin: options.origin, name: "Minist\u00e9re" })
    expect(policy).toMatchObject({ twoPersonFromPrecedence: 3, twoPersonFromClassification: 2 })
  })

  it("is refused with an origin that no checkpoint can carry, before a home is made", async () => {
    const folder = await temporaryFolder()
    for (const origin of ["", "our ledger", "a+b", "a\nb"]) {
      await expect(createNetwork(optionsIn(folder, { origin }))).rejects.toMatchObject({
        code: "SETUP_INVALID",
      })
    }
    expect(await readdir(folder)).toEqual([])
  })
})

import { readFileSync } from "node:fs"
import { hexToBytes } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { decodeBatch, verifyBatch } from "../../protocol/entry.ts"
import { decodeFinalBlock } from "../../ledger/block.ts"
import { acceptBlock, genesisHead } from "../../ledger/chain.ts"
import { makeLedgerVectors } from "../support/ledger-vectors.ts"
import { RULES } from "../support/ledger.ts"
import { suites } from "../support/suites.ts"

const file = new URL("../vectors/ledger.json", import.meta.url)
const frozen = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>
const bytesOf = (name: string): Uint8Array => hexToBytes(frozen[name] ?? "")

describe("the frozen vectors of the ledger", () => {
  const count = Object.keys(frozen).length

  it(`ledger.json: all ${count} values are what the formats give today`, () => {
    expect(makeLedgerVectors()).toEqual(frozen)
    expect(count).toBe(29)
  })

  it("verify on both suites from their bytes alone: batch, final block", () => {
    const chainId = bytesOf("chainId")
    for (const suite of suites) {
      const batch = decodeBatch(suite, bytesOf("batch"))
      verifyBatch(suite, chainId, batch, bytesOf("submitKeyOfLisbon"))
      for (const name of ["finalBlock", "finalBlockLinked"]) {
        const final = decodeFinalBlock(suite, bytesOf(name))
        expect(acceptBlock(suite, genesisHead(chainId), final, RULES).height).toBe(1)
      }
    }
  })
})

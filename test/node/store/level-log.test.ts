import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { examineLog } from "../../../node/store/level-log.ts"
import { openDatabase } from "../../../node/store/level.ts"
import { temporaryFolder } from "../../support/folder.ts"

/** The engine's log after one write for each size. */
async function logOf(sizes: readonly number[]): Promise<Uint8Array> {
  const path = join(await temporaryFolder(), "store")
  const reserve = { ballastBytes: 0, bulkFreePercent: 0, freePercent: 0 }
  const database = await openDatabase({ path, reserve })
  for (const [index, size] of sizes.entries()) {
    const value = new Uint8Array(size).fill(index + 1)
    await database.write([{ type: "put", key: `k${index}`, value }])
  }
  await database.close()
  const names = (await readdir(join(path, "level"))).filter((name) => name.endsWith(".log"))
  expect(names).toHaveLength(1)
  return new Uint8Array(await readFile(join(path, "level", names[0] ?? "")))
}

describe("a log of the engine", () => {
  it("passes whole, over many blocks", async () => {
    const log = await logOf([10, 40_000, 100_000, 5])
    expect(log.length).toBeGreaterThan(4 * 32_768)
    expect(examineLog(log)).toEqual({ hasBatch: true, damagedAt: undefined, tornAt: undefined })
  })

  it("is torn, not damaged, wherever its last batch is cut", async () => {
    const log = await logOf([50, 50, 50])
    const before = (await logOf([50, 50])).length
    for (let length = before + 1; length < log.length; length++) {
      const found = examineLog(log.subarray(0, length))
      expect(found).toEqual({ hasBatch: true, damagedAt: undefined, tornAt: before })
    }
  })

  it("is damaged by any flipped bit before its last batch", async () => {
    const log = await logOf([30, 30])
    const before = (await logOf([30])).length
    for (let at = 0; at < before; at++) {
      const bad = log.slice()
      bad[at] = (bad[at] ?? 0) ^ (1 << (at % 8))
      expect(examineLog(bad).damagedAt, `byte ${at}`).toBeDefined()
    }
  })

  it("may be any bytes at all", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const found = examineLog(bytes)
        expect(found.hasBatch && found.damagedAt === undefined && bytes.length < 7).toBe(false)
      }),
    )
  })
})

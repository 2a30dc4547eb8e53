import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { openDatabase } from "../../../node/store/level.ts"
import { sealDatabase } from "../../../node/store/sealed.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { seededRandom } from "../../support/rng.ts"
import { suite } from "../../support/suites.ts"

const random = seededRandom("sealed")
const sealing = { suite, random, key: random(32) }
const put = (key: string, value: Uint8Array) => ({ type: "put", key, value }) as const

/** How many pieces of `canary` stand in the files of a folder, and how many bytes were looked at. */
async function scan(path: string, canary: Uint8Array) {
  const names = await readdir(path, { recursive: true, withFileTypes: true })
  let scanned = 0
  let hits = 0
  for (const name of names.filter((one) => one.isFile())) {
    const content = await readFile(join(name.parentPath, name.name))
    for (let at = 0; at + 12 <= canary.length; at += 6) {
      if (content.includes(Buffer.from(canary.subarray(at, at + 12)))) hits += 1
    }
    scanned += content.length
  }
  return { scanned, hits }
}

describe("a sealed database", () => {
  it("gives back what was written, one by one and in a range", async () => {
    const sealed = sealDatabase(new SimulatedDisk().open(), sealing)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (value) => {
        await sealed.write([put("a", value)])
        expect(await sealed.get("a")).toEqual(value)
        for await (const pair of sealed.range({ prefix: "" })) expect(pair).toEqual(["a", value])
      }),
    )
    await sealed.write([{ type: "delete", key: "a" }])
    expect(await sealed.get("a")).toBeUndefined()
    await sealed.close()
  })

  it("leaves no plaintext anywhere in its folder", async () => {
    const path = join(await temporaryFolder(), "store")
    const reserve = { ballastBytes: 1_048_576, bulkFreePercent: 0, freePercent: 0 }
    const canary = new TextEncoder().encode("গোপন তারবার্তা: the ambassador dines at eight")
    for (const run of [1, 2]) {
      const sealed = sealDatabase(await openDatabase({ path, reserve }), sealing)
      for (let index = 0; index < 100; index++) await sealed.write([put(`k${run}${index}`, canary)])
      await sealed.close()
    }
    const sealedScan = await scan(path, canary)
    expect(sealedScan.scanned).toBeGreaterThan(1_048_576 + 100 * canary.length)
    expect(sealedScan.hits).toBe(0)

    const open = await openDatabase({ path, reserve })
    await open.write([put("clear", canary)])
    await open.close()
    expect((await scan(path, canary)).hits).toBeGreaterThan(0)
  })

  it("refuses every flipped byte, another key name and another key, naming the value", async () => {
    const disk = new SimulatedDisk()
    const database = disk.open()
    const sealed = sealDatabase(database, sealing)
    await sealed.write([put("a", Uint8Array.of(1, 2, 3))])
    const stored = (await database.get("a")) ?? new Uint8Array(0)
    expect(stored).toHaveLength(12 + 3 + 16)
    for (let at = 0; at < stored.length; at++) {
      const bad = stored.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      await database.write([put("a", bad)])
      await expect(sealed.get("a")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    }
    for (let length = 0; length < stored.length; length++) {
      await database.write([put("a", stored.subarray(0, length))])
      await expect(sealed.get("a")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    }
    await database.write([put("a", stored), put("b", stored)])
    expect(await sealed.get("a")).toEqual(Uint8Array.of(1, 2, 3))
    await expect(sealed.get("b")).rejects.toThrow(/value of b/)
    const other = sealDatabase(database, { ...sealing, key: random(32) })
    await expect(other.get("a")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
  })
})

import { execFile } from "node:child_process"
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { Level } from "level"
import { describe, expect, it } from "vitest"
import { AssertionError } from "../../../protocol/assert.ts"
import type { Database, Range } from "../../../node/store/database.ts"
import { openDatabase } from "../../../node/store/level.ts"
import type { Reserve } from "../../../node/store/space.ts"
import { sealValue } from "../../../node/store/value.ts"
import { temporaryFolder } from "../../support/folder.ts"

const reserve = { ballastBytes: 0, bulkFreePercent: 0, freePercent: 0 }
const bytes = (...values: number[]) => Uint8Array.from(values)
const put = (key: string, value: Uint8Array) => ({ type: "put", key, value }) as const
const remove = (key: string) => ({ type: "delete", key }) as const

async function keys(database: Database, range: Range): Promise<string[]> {
  const found: string[] = []
  for await (const [key] of database.range(range)) found.push(key)
  return found
}

async function newStore(): Promise<{ path: string; database: Database }> {
  const path = join(await temporaryFolder(), "store")
  return { path, database: await openDatabase({ path, reserve }) }
}

/** The engine without our checks, to do damage with. */
async function tamper(path: string, change: (level: Level<string, Uint8Array>) => Promise<void>) {
  const level = new Level<string, Uint8Array>(join(path, "level"), { valueEncoding: "view" })
  await level.open()
  await change(level)
  await level.close()
}

describe("a database", () => {
  it("gives back what was written, after reopening too", async () => {
    const { path, database } = await newStore()
    await database.write([put("a", bytes(1)), put("b", bytes(2)), put("c", bytes())])
    await database.write([remove("b")])
    expect(await database.get("a")).toEqual(bytes(1))
    await database.close()
    const again = await openDatabase({ path, reserve })
    expect(await again.get("a")).toEqual(bytes(1))
    expect(await again.get("b")).toBeUndefined()
    expect(await again.get("c")).toEqual(bytes())
    await again.close()
  })

  it("ranges in key order, forward and back, within bounds and limit", async () => {
    const { database } = await newStore()
    const names = ["a/1", "a/2", "a/3", "a0", "b/1", "~"]
    await database.write(names.map((name) => put(name, bytes(0))))
    expect(await keys(database, { prefix: "a/" })).toEqual(["a/1", "a/2", "a/3"])
    expect(await keys(database, { prefix: "a/", reverse: true })).toEqual(["a/3", "a/2", "a/1"])
    expect(await keys(database, { prefix: "a/", from: "a/2" })).toEqual(["a/2", "a/3"])
    expect(await keys(database, { prefix: "a/", until: "a/3", limit: 1 })).toEqual(["a/1"])
    expect(await keys(database, { prefix: "a/", from: "A", until: "z" })).toHaveLength(3)
    expect(await keys(database, { prefix: "" })).toEqual(names)
    expect(await keys(database, { prefix: "c" })).toEqual([])
    await database.close()
  })

  it("ranges over many slices, of what was there at the start", async () => {
    const { database } = await newStore()
    const names = Array.from({ length: 1_000 }, (_, index) => `k${String(index).padStart(4, "0")}`)
    await database.write(names.map((name) => put(name, new Uint8Array(5_000))))
    const found: string[] = []
    for await (const [key] of database.range({ prefix: "k" })) {
      found.push(key)
      if (found.length === 10) await database.write([remove("k0999"), put("k1000", bytes())])
    }
    expect(found).toEqual(names)
    await database.close()
  })

  it("keeps the order of writes that share a sync, and each whole", async () => {
    const { database } = await newStore()
    const order: number[] = []
    const writes = Array.from({ length: 200 }, async (_, index) => {
      await database.write([put("last", bytes(index)), put(`n${index}`, bytes(index))])
      order.push(index)
    })
    await Promise.all(writes)
    expect(order).toEqual(Array.from({ length: 200 }, (_, index) => index))
    expect(await database.get("last")).toEqual(bytes(199))
    expect(await keys(database, { prefix: "n" })).toHaveLength(200)
    await database.close()
  })

  it("takes a copy of what is written", async () => {
    const { database } = await newStore()
    const value = bytes(1)
    const written = database.write([put("a", value)])
    value[0] = 9
    await written
    expect(await database.get("a")).toEqual(bytes(1))
    await database.close()
  })

  it("asserts keys of printable ASCII", async () => {
    const { database } = await newStore()
    for (const key of ["", "é", "a\0", "k".repeat(513)]) {
      await expect(database.get(key)).rejects.toBeInstanceOf(AssertionError)
      expect(() => database.write([remove(key)])).toThrow(AssertionError)
    }
    await database.close()
  })

  it("finishes what waits before it closes, and takes nothing afterwards", async () => {
    const { path, database } = await newStore()
    const written = database.write([put("a", bytes(1))])
    await database.close()
    await written
    await expect(database.write([remove("a")])).rejects.toMatchObject({ code: "STORE_FAILED" })
    await expect(database.get("a")).rejects.toMatchObject({ code: "STORE_FAILED" })
    const again = await openDatabase({ path, reserve })
    expect(await again.get("a")).toEqual(bytes(1))
    await again.close()
  })
})

describe("a damaged or foreign store", () => {
  it("names the key of a value that does not match its checksum, and gives the others", async () => {
    const { path, database } = await newStore()
    await database.write([put("bad", bytes(1, 2, 3)), put("good", bytes(4))])
    await database.close()
    await tamper(path, async (level) => {
      const value = await level.get("bad")
      value[1] = 7
      await level.put("bad", value)
    })
    const again = await openDatabase({ path, reserve })
    await expect(again.get("bad")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    await expect(again.get("bad")).rejects.toThrow(/bad/)
    await expect(keys(again, { prefix: "b" })).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    expect(await again.get("good")).toEqual(bytes(4))
    await again.close()
  })

  it("refuses a value under another key, and one too short to be ours", async () => {
    const { path, database } = await newStore()
    await database.write([put("a", bytes(1))])
    await database.close()
    await tamper(path, async (level) => {
      await level.put("b", await level.get("a"))
      await level.put("c", bytes(1, 2, 3))
    })
    const again = await openDatabase({ path, reserve })
    await expect(again.get("b")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    await expect(again.get("c")).rejects.toMatchObject({ code: "STORE_DAMAGED" })
    await again.close()
  })

  it("refuses another format, and a store without one", async () => {
    const { path, database } = await newStore()
    await database.close()
    const former = sealValue("\0format", Uint8Array.of(1))
    await tamper(path, async (level) => level.put("\0format", former))
    await expect(openDatabase({ path, reserve })).rejects.toMatchObject({ code: "STORE_VERSION" })
    await tamper(path, async (level) => level.put("\0format", Uint8Array.of(1, 2, 3, 4, 5)))
    await expect(openDatabase({ path, reserve })).rejects.toMatchObject({
      code: "STORE_DAMAGED",
      message: 'value of "format": it does not match its checksum',
    })
    await tamper(path, async (level) => {
      await level.del("\0format")
    })
    await expect(openDatabase({ path, reserve })).rejects.toMatchObject({ code: "STORE_DAMAGED" })
  })

  it("does not take a store that lost its CURRENT file for a new one", async () => {
    const { path, database } = await newStore()
    await database.write([put("a", bytes(1))])
    await database.close()
    await rm(join(path, "level", "CURRENT"))
    await expect(openDatabase({ path, reserve })).rejects.toMatchObject({ code: "STORE_DAMAGED" })
  })

  it("finds a flipped bit in the engine's log, which the engine itself drops in silence", async () => {
    const { path, database } = await newStore()
    for (let index = 0; index < 20; index++) {
      await database.write([put(`k${index}`, new Uint8Array(100).fill(index))])
    }
    await database.close()
    const names = await readdir(join(path, "level"))
    const name = names.find((one) => one.endsWith(".log")) ?? "none"
    const log = join(path, "level", name)
    const content = await readFile(log)
    content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1
    await writeFile(log, content)
    await expect(openDatabase({ path, reserve })).rejects.toMatchObject({ code: "STORE_DAMAGED" })
  })

  it("refuses a store that another process has, and opens when that one is killed", async () => {
    const { path, database } = await newStore()
    const error = await openDatabase({ path, reserve }).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ code: "STORE_LOCKED" })
    await database.close()
    const url = new URL("../../../node/store/level.ts", import.meta.url).href
    const script = `
      const { openDatabase } = await import(${JSON.stringify(url)})
      const reserve = { ballastBytes: 0, bulkFreePercent: 0, freePercent: 0 }
      const path = ${JSON.stringify(path)}
      const database = await openDatabase({ path, reserve })
      await database.write([{ type: "put", key: "a", value: new Uint8Array(1) }])
      process.kill(process.pid, "SIGKILL")`
    const child = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script])
    await expect(child).rejects.toMatchObject({ signal: "SIGKILL" })
    const again = await openDatabase({ path, reserve })
    expect(await again.get("a")).toEqual(bytes(0))
    await again.close()
  })

  it("refuses a path that is a file, and one whose parent is missing", async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, "file"), "x")
    for (const path of [join(folder, "file"), join(folder, "none", "store")]) {
      await expect(openDatabase({ path, reserve })).rejects.toMatchObject({ code: "STORE_FAILED" })
    }
  })
})

describe("free space", () => {
  const total = 1_000 * 1_048_576
  const percent = total / 100

  async function storeOn(disk: { freeBytes: number }, more: Reserve = {}) {
    const measure = async () => ({ freeBytes: disk.freeBytes, totalBytes: total })
    const path = join(await temporaryFolder(), "store")
    const options = { path, reserve: { ballastBytes: 4_096, checkMs: 0, measure, ...more } }
    return { path, database: await openDatabase(options) }
  }

  it("refuses bulk below 10 %, and all but urgent writes and deletions below 5 %", async () => {
    const disk = { freeBytes: 20 * percent }
    const { database } = await storeOn(disk)
    const bulk = [put("bulk", new Uint8Array(100_000))]
    const small = [put("small", new Uint8Array(1_000))]
    await database.write(bulk)

    disk.freeBytes = 9 * percent
    await expect(database.write(bulk)).rejects.toMatchObject({ code: "STORE_FULL" })
    await database.write(small)
    await database.write(bulk, { urgent: true })

    disk.freeBytes = 4 * percent
    await expect(database.write(small)).rejects.toMatchObject({ code: "STORE_FULL" })
    await database.write([put("signal", bytes(1))], { urgent: true })
    await database.write([remove("bulk")])
    expect(await database.get("bulk")).toBeUndefined()

    disk.freeBytes = 20 * percent
    await database.write(bulk)
    await database.close()
  })

  it("refuses one write among those that wait, and keeps the others in order", async () => {
    const disk = { freeBytes: 9 * percent }
    const { database } = await storeOn(disk)
    const answers = await Promise.allSettled([
      database.write([put("a", bytes(1))]),
      database.write([put("b", new Uint8Array(100_000))]),
      database.write([put("a", bytes(2))]),
    ])
    expect(answers.map((answer) => answer.status)).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect(await database.get("a")).toEqual(bytes(2))
    expect(await database.get("b")).toBeUndefined()
    await database.close()
  })

  it("measures at most once an interval, and counts what it wrote meanwhile", async () => {
    let measured = 0
    let nowMs = 0
    const measure = async () => {
      measured += 1
      return { freeBytes: 10 * percent + 150_000, totalBytes: total }
    }
    const { database } = await storeOn(
      { freeBytes: 0 },
      { measure, checkMs: 1_000, ballastBytes: 0, monotonicMs: () => nowMs },
    )
    await database.write([put("a", new Uint8Array(100_000))])
    const second = database.write([put("b", new Uint8Array(100_000))])
    await expect(second).rejects.toMatchObject({ code: "STORE_FULL" })
    expect(measured).toBe(1)
    nowMs = 1_000
    await database.write([put("b", new Uint8Array(100_000))])
    expect(measured).toBe(2)
    await database.close()
  })

  it("loads its ballast only where there is room", async () => {
    const rich = await storeOn({ freeBytes: 20 * percent })
    expect((await stat(join(rich.path, "ballast"))).size).toBe(4_096)
    await rich.database.close()
    const poor = await storeOn({ freeBytes: 9 * percent })
    await expect(stat(join(poor.path, "ballast"))).rejects.toThrow("ENOENT")
    await poor.database.close()
  })
})

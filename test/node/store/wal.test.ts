import { appendFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../../protocol/bytes.ts"
import { TarbartaError } from "../../../protocol/errors.ts"
import {
  encodeAppend,
  encodeHeader,
  readLog,
  type WalRecord,
} from "../../../node/store/wal-format.ts"
import { openWal } from "../../../node/store/wal.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { seededRandom } from "../../support/rng.ts"

const random = seededRandom("wal")
const record = (kind: number, ...payload: number[]): WalRecord => {
  return { epoch: 1, kind, payload: Uint8Array.from(payload) }
}
const kinds = (records: readonly WalRecord[]) => records.map((one) => one.kind)

async function content(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path))
}

async function newPath(): Promise<string> {
  return join(await temporaryFolder(), "epoch-1")
}

describe("a consensus log", () => {
  it("gives back its records, and counts its openings", async () => {
    const path = await newPath()
    const first = await openWal(path, random)
    expect(first.records).toEqual([])
    expect(first.wal.identity.bootCounter).toBe(1)
    await first.wal.append([record(1, 1, 2), record(2)])
    await first.wal.append([record(3, 9)])
    await first.wal.close()
    const second = await openWal(path, random)
    expect(second.records).toEqual([record(1, 1, 2), record(2), record(3, 9)])
    expect(second.tornBytes).toBe(0)
    expect(second.wal.identity).toEqual({ walId: first.wal.identity.walId, bootCounter: 2 })
    await second.wal.close()
    await expect(second.wal.append([])).rejects.toMatchObject({ code: "STORE_FAILED" })
  })

  it("keeps the order of appends that share a sync", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        await wal.append([record(index + 1)])
        order.push(index + 1)
      }),
    )
    await wal.close()
    const { records, wal: again } = await openWal(path, random)
    expect(kinds(records)).toEqual(order)
    expect(order).toEqual(order.toSorted((a, b) => a - b))
    await again.close()
  })

  it("drops a last append that is cut at any byte, and goes on behind the one before", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1, 1), record(2, 2)])
    const before = wal.size
    await wal.append([record(3, 3, 3, 3), record(4, 4)])
    const whole = (await content(path)).subarray(0, wal.size)
    await wal.close()
    for (let length = before; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length))
      const opened = await openWal(path, random)
      expect(kinds(opened.records), `cut at ${length}`).toEqual([1, 2])
      expect(opened.tornBytes).toBe(length - before)
      await opened.wal.append([record(5)])
      await opened.wal.close()
      const again = await openWal(path, random)
      expect(kinds(again.records)).toEqual([1, 2, 5])
      await again.wal.close()
    }
  })

  it("drops a last append whose bytes came to the disk as zeros or in part", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1)])
    const before = wal.size
    await wal.append([record(2, 2, 2), record(3)])
    const whole = (await content(path)).subarray(0, wal.size)
    await wal.close()
    for (let at = before; at < whole.length; at++) {
      for (const holed of [whole.slice(), whole.slice()].entries()) {
        const [variant, bytes] = holed
        if (variant === 0) bytes.fill(0, at)
        else bytes.fill(0xff, before, at + 1)
        await writeFile(path, bytes)
        const opened = await openWal(path, random)
        expect([[1], [1, 2, 3]]).toContainEqual(kinds(opened.records))
        await opened.wal.close()
      }
    }
  })

  it("refuses every flipped bit before the tail, and changes nothing then", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1, 1, 2, 3), record(2)])
    await wal.append([record(3, 7)])
    const acted = wal.size
    await wal.close()
    const whole = await content(path)
    for (let at = 0; at < acted; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bad = Uint8Array.from(whole)
        bad[at] = (bad[at] ?? 0) ^ (1 << bit)
        expect(() => readLog(bad, path), `byte ${at} bit ${bit}`).toThrow(/damaged before its end/)
      }
    }
    const bad = Uint8Array.from(whole)
    bad[acted - 1] = (bad[acted - 1] ?? 0) ^ 1
    await writeFile(path, bad)
    await expect(openWal(path, random)).rejects.toMatchObject({ code: "WAL_DAMAGED" })
    expect(await content(path)).toEqual(bad)
  })

  it("protects what a killed run wrote, as soon as the next one has opened", async () => {
    const path = await newPath()
    const first = await openWal(path, random)
    await first.wal.append([record(1)])
    const killed = await content(path)
    const end = first.wal.size
    await first.wal.close()
    await writeFile(path, killed)
    const second = await openWal(path, random)
    await second.wal.close()
    const bad = await content(path)
    bad[end - 1] = (bad[end - 1] ?? 0) ^ 1
    await writeFile(path, bad)
    await expect(openWal(path, random)).rejects.toMatchObject({ code: "WAL_DAMAGED" })
  })

  it("is not fooled by another log's records behind its own", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1)])
    await wal.close()
    const other = encodeAppend(random(16), 7, wal.size, [record(2)])
    await appendFile(path, other)
    const opened = await openWal(path, random)
    expect(kinds(opened.records)).toEqual([1])
    await opened.wal.close()
  })

  it("trims to the records above a mark, and keeps id and counter", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1), record(2), record(3)])
    const size = wal.size
    const during = [wal.trim((one) => one.kind > 2), wal.append([record(4)])]
    await Promise.all(during)
    expect(wal.size).toBeLessThan(size + 200)
    await wal.append([record(5)])
    await wal.close()
    const again = await openWal(path, random)
    expect(kinds(again.records)).toEqual([3, 4, 5])
    expect(again.wal.identity).toEqual({ walId: wal.identity.walId, bootCounter: 2 })
    await again.wal.close()
  })

  it("trims nothing when its last append has rotted, and takes nothing more", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1)])
    await wal.append([record(2, 7, 7)])
    const bad = await content(path)
    const last = wal.size - 1
    bad[last] = (bad[last] ?? 0) ^ 1
    await writeFile(path, bad)
    await expect(wal.trim(() => true)).rejects.toMatchObject({ code: "WAL_DAMAGED" })
    await expect(wal.append([record(3)])).rejects.toMatchObject({ code: "WAL_DAMAGED" })
    await wal.close()
    expect(await content(path)).toEqual(bad)
  })

  it("removes what a crash during trimming left, and keeps the old log", async () => {
    const path = await newPath()
    const { wal } = await openWal(path, random)
    await wal.append([record(1)])
    await wal.close()
    await writeFile(`${path}.partial`, "half")
    const opened = await openWal(path, random)
    expect(kinds(opened.records)).toEqual([1])
    await opened.wal.trim(() => true)
    await opened.wal.close()
  })

  it("says so when its place is a folder", async () => {
    await expect(openWal(await temporaryFolder(), random)).rejects.toMatchObject({
      code: "FILE_UNREADABLE",
    })
  })
})

describe("the bytes of a log", () => {
  const walId = random(16)
  const header = encodeHeader(walId)
  const records = fc.array(
    fc.record({
      epoch: fc.nat(0xffff_ffff),
      kind: fc.integer({ min: 1, max: 255 }),
      payload: fc.uint8Array({ maxLength: 40 }),
    }),
    { maxLength: 5 },
  )

  it("are those of LEDGER §9.2", () => {
    const id = Uint8Array.from({ length: 16 }, (_, byte) => byte)
    const head = encodeHeader(id)
    const opening = encodeAppend(id, 1, head.length, [])
    const behind = head.length + opening.length
    const payload = Uint8Array.of(0xaa, 0xbb)
    const append = encodeAppend(id, 1, behind, [{ epoch: 0, kind: 1, payload }])
    expect(bytesToHex(concatBytes(head, opening, append))).toBe(
      [
        "5442312f77616c01",
        "000102030405060708090a0b0c0d0e0f81009111",
        "00000028667486620000000000",
        "000102030405060708090a0b0c0d0e0f",
        "000000000000001c00000000000000010000000000000000",
        "00000028577756890000000000",
        "000102030405060708090a0b0c0d0e0f",
        "00000000000000510000000000000001000000000000000f",
        "00000002886ded970000000001aabb",
      ].join(""),
    )
  })

  it("read back to what was written, and encode to themselves", () => {
    fc.assert(
      fc.property(records, (written) => {
        const bytes = concatBytes(header, encodeAppend(walId, 3, header.length, written))
        const found = readLog(bytes, "log")
        expect(found).toMatchObject({ walId, bootCounter: 3, end: bytes.length })
        const again = encodeAppend(found.walId, 3, header.length, found.records)
        expect(concatBytes(header, again)).toEqual(bytes)
      }),
    )
  })

  it("give records or a coded error, whatever they are", () => {
    const tails = fc.uint8Array({ maxLength: 200 })
    fc.assert(
      fc.property(tails, records, fc.boolean(), (tail, written, isHeaded) => {
        const append = encodeAppend(walId, 1, header.length, written)
        const bytes = isHeaded ? concatBytes(header, append, tail) : tail
        let end = 0
        try {
          end = readLog(bytes, "log").end
        } catch (error) {
          if (!(error instanceof TarbartaError)) throw error
        }
        expect(end).toBeLessThanOrEqual(bytes.length)
      }),
    )
  })
})

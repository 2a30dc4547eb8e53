import { describe, expect, it } from "vitest"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

/** More than two bundles of 256, so that full bundles and tiles are there. */
const ENTRIES = 600

async function filled(seed: string): Promise<{ world: LedgerWorld; node: LedgerNode }> {
  const world = new LedgerWorld(2, seed)
  await world.start()
  const node = world.node(1)
  for (let done = 0; done < ENTRIES; done += 20) {
    await world.during(Promise.all(Array.from({ length: 20 }, async () => node.submit())))
    await world.untilQuiet()
  }
  return { world, node }
}

/** Names of a node's rows that begin so. */
function rowsOf(node: LedgerNode, prefix: string): string[] {
  return [...node.disk.snapshot().keys()].filter((key) => key.startsWith(prefix)).sort()
}

describe("verification of a stored ledger", () => {
  it("finds in a quick run all but forged certificates below the newest", async () => {
    const { world, node } = await filled("quick")
    const verify = async (isQuick: boolean): Promise<unknown> =>
      world.during(node.ledger.verifyAll({ isQuick })).catch((error: unknown) => error)
    const change = async (key: string, value: Uint8Array, at: number): Promise<void> => {
      const bad = value.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      await world.during(node.database.write([{ type: "put", key, value: bad }]))
    }
    const read = async (key: string): Promise<Uint8Array> => {
      const value = await world.during(node.database.get(key))
      if (value === undefined) throw new Error(`no row ${key}`)
      return value
    }
    const all = { entries: ENTRIES }
    expect(await verify(true)).toMatchObject({ ...all, certificates: 1 })
    const blocks = rowsOf(node, "ledger/b/")
    expect(await verify(false)).toMatchObject({ ...all, certificates: blocks.length })
    const refused = { code: expect.stringMatching(/^(LEDGER_INVALID|STORE_DAMAGED)$/) as string }
    // The last byte of a block's row is of a batch's signature, which the block's hash covers.
    for (const prefix of ["ledger/b/", "ledger/e/", "ledger/s/", "ledger/t/0/"]) {
      const [key = ""] = rowsOf(node, prefix)
      const value = await read(key)
      await change(key, value, value.length - 1)
      expect(await verify(true), key).toMatchObject(refused)
      await world.during(node.database.write([{ type: "put", key, value }]))
    }
    // length u16, kind, epoch, view, hash, bitmap: then the signature of the only validator.
    const signatureAt = 2 + 1 + 4 + 8 + 32 + 2
    const [first = "", newest = ""] = [blocks[0], blocks.at(-1)]
    const value = await read(first)
    await change(first, value, signatureAt + 40)
    expect(await verify(true)).toMatchObject({ ...all, certificates: 1 })
    expect(await verify(false)).toMatchObject({ code: "LEDGER_INVALID" })
    await world.during(node.database.write([{ type: "put", key: first, value }]))
    await change(newest, await read(newest), signatureAt + 40)
    expect(await verify(true)).toMatchObject({ code: "LEDGER_INVALID" })
  })

  it("finds every row that says something else, although it can be read", async () => {
    const { world, node } = await filled("tampered rows")
    const verify = async (): Promise<unknown> => world.during(node.ledger.verifyAll())
    expect(await verify()).toMatchObject({ entries: ENTRIES })
    const blocks = rowsOf(node, "ledger/b/")
    const cases = [
      [blocks[0], "LEDGER_INVALID"],
      [blocks[Math.floor(blocks.length / 2)], "LEDGER_INVALID"],
      [blocks.at(-1), "LEDGER_INVALID"],
      [rowsOf(node, "ledger/e/")[0], "LEDGER_INVALID"],
      [rowsOf(node, "ledger/e/").at(-1), "LEDGER_INVALID"],
      [rowsOf(node, "ledger/s/")[0], "STORE_DAMAGED"],
      [rowsOf(node, "ledger/s/").at(-1), "STORE_DAMAGED"],
      [rowsOf(node, "ledger/t/0/").at(-1), "STORE_DAMAGED"],
    ] as const
    for (const [key = "", usual] of cases) {
      const value = await world.during(node.database.get(key))
      if (value === undefined) throw new Error(`no row ${key}`)
      const codes = new Set<unknown>()
      // Bytes from all over the row, among them its last.
      for (let step = 0; step <= 12; step++) {
        const at = Math.floor(((value.length - 1) * step) / 12)
        const bad = value.slice()
        bad[at] = (bad[at] ?? 0) ^ (1 << (step % 8))
        await world.during(node.database.write([{ type: "put", key, value: bad }]))
        const found = await verify().catch((error: unknown) => error)
        expect(found, `${key}, byte ${at}`).toMatchObject({
          code: expect.stringMatching(/^(LEDGER_INVALID|STORE_DAMAGED)$/) as string,
        })
        codes.add((found as { code: unknown }).code)
      }
      expect(codes, key).toContain(usual)
      await world.during(node.database.write([{ type: "put", key, value }]))
    }
    expect(await verify()).toMatchObject({ entries: ENTRIES })
  })

  it("names the batch whose signature does not verify", async () => {
    const { world, node } = await filled("tampered signature")
    const key = rowsOf(node, "ledger/b/")[4] ?? ""
    const value = await world.during(node.database.get(key))
    if (value === undefined) throw new Error("no fifth block")
    // A row ends with the signature of its last batch. The block's hash of its batches covers it too,
    // and is checked before.
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
    await world.during(node.database.write([{ type: "put", key, value }]))
    await expect(world.during(node.ledger.verifyAll())).rejects.toThrow(
      /block 5, batch 1 \(submitter 2, serials \d+ … \d+\): BLOCK_BATCHES/,
    )
  })
})

import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { verifyLedgerCopy } from "../../../node/consensus/verify.ts"
import { readLedgerCopy, writeLedgerCopy } from "../../../node/store/copy.ts"
import { TarbartaError } from "../../../protocol/errors.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { LedgerWorld } from "../../support/ledgers.ts"

async function* each(items: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, void> {
  for (const item of items) yield await Promise.resolve(item)
}

async function read(path: string): Promise<Uint8Array[]> {
  const blocks: Uint8Array[] = []
  for await (const block of readLedgerCopy(path)) blocks.push(block)
  return blocks
}

/** A ledger with an admission, epoch-less and short, so that every byte of its copy can be tried. */
async function smallLedger() {
  const world = new LedgerWorld(2, "copy")
  await world.start()
  for (const node of [world.node(1), world.headquarters, world.node(1)]) {
    await world.during(Promise.all([node.submit(), node.submit()]))
    await world.clock.runFor(100)
  }
  await world.untilQuiet()
  return { world, blocks: await world.blocksOf(world.node(1)) }
}

describe("a copy of the ledger", () => {
  it("holds any blocks, and gives back the same", async () => {
    const path = join(await temporaryFolder(), "copy")
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 })),
        async (blocks) => {
          await writeLedgerCopy(path, each(blocks))
          expect(await read(path)).toEqual(blocks.map((block) => new Uint8Array(block)))
        },
      ),
      { numRuns: 50 },
    )
  })

  it("verifies, and any flipped bit in it or its end is found, with the place", async () => {
    const { world, blocks } = await smallLedger()
    const path = join(await temporaryFolder(), "copy")
    await writeLedgerCopy(path, each(blocks))
    const { suite, genesisBytes } = world.ministry
    const verified = await verifyLedgerCopy(suite, genesisBytes, readLedgerCopy(path))
    expect(verified.head).toMatchObject({ height: blocks.length })
    expect(verified.entries).toBe(6)
    const whole = new Uint8Array(await readFile(path))
    const ends = [0, whole.length - 1, whole.length - 12]
    const places = Array.from({ length: 120 }, (_, i) => Math.floor((i * whole.length) / 120))
    for (const at of [...ends, ...places]) {
      const flipped = whole.slice()
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
      await writeFile(path, flipped)
      const verifying = verifyLedgerCopy(suite, genesisBytes, readLedgerCopy(path))
      const error: unknown = await verifying.then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (!(error instanceof TarbartaError)) throw new Error(`byte ${at} passed`)
      expect(["LEDGER_INVALID", "LEDGER_COPY_INVALID"]).toContain(error.code)
      expect(error.message, `byte ${at}`).toMatch(/block|copy/)
    }
  })

  it("names the batch whose entry was changed", async () => {
    const { world, blocks } = await smallLedger()
    const { suite, genesisBytes } = world.ministry
    const third = blocks[2]?.slice() ?? new Uint8Array(1)
    third[third.length - 70] = (third.at(-70) ?? 0) ^ 4
    const copy = each([...blocks.slice(0, 2), third, ...blocks.slice(3)])
    await expect(verifyLedgerCopy(suite, genesisBytes, copy)).rejects.toMatchObject({
      code: "LEDGER_INVALID",
      message: expect.stringMatching(/block 3, batch 1 \(submitter 2, serials 3 … 4\)/) as string,
      cause: { code: "BLOCK_BATCHES" },
    })
  })

  it("is refused when it is cut short at any byte, or goes on after its end", async () => {
    const { blocks } = await smallLedger()
    const path = join(await temporaryFolder(), "copy")
    await writeLedgerCopy(path, each(blocks))
    const whole = new Uint8Array(await readFile(path))
    for (let length = 0; length < whole.length; length += 17) {
      await writeFile(path, whole.subarray(0, length))
      await expect(read(path)).rejects.toMatchObject({ code: "LEDGER_COPY_INVALID" })
    }
    await writeFile(path, Buffer.concat([whole, Uint8Array.of(0)]))
    await expect(read(path)).rejects.toMatchObject({ code: "LEDGER_COPY_INVALID" })
  })

  it("is refused without a block read when a length is above the limit", async () => {
    const path = join(await temporaryFolder(), "copy")
    await writeLedgerCopy(path, each([new Uint8Array(10)]))
    const whole = new Uint8Array(await readFile(path))
    whole[whole.length - 12 - 10 - 4] = 0xff
    await writeFile(path, whole)
    await expect(read(path)).rejects.toMatchObject({ code: "LEDGER_COPY_INVALID" })
  })

  it("that is not there, or is a folder, gives one coded error", async () => {
    const folder = await temporaryFolder()
    for (const path of [join(folder, "none"), folder]) {
      await expect(read(path)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
    }
  })
})

import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { TarbartaError } from "../../protocol/errors.ts"
import { decodeBoot, encodeBoot, recordBoot } from "../../node/boot.ts"
import { openWal } from "../../node/store/wal.ts"
import { temporaryFolder } from "../support/folder.ts"
import { seededRandom } from "../support/rng.ts"
import { suite } from "../support/suites.ts"

const random = seededRandom("boot")
const key = random(32)

/** One start of a validator: what its key says of its log. */
async function start(folder: string, wal = "wal") {
  const opened = await openWal(join(folder, wal), random)
  await opened.wal.close()
  return recordBoot(join(folder, "boot"), opened.wal.identity, suite, key)
}

describe("a boot record", () => {
  it("follows its log from start to start", async () => {
    const folder = await temporaryFolder()
    expect(await start(folder)).toBe("first")
    expect(await start(folder)).toBe("continued")
    expect(await start(folder)).toBe("continued")
  })

  it("agrees after a crash between the log's count and its own", async () => {
    const folder = await temporaryFolder()
    await start(folder)
    const { wal } = await openWal(join(folder, "wal"), random)
    await wal.close()
    expect(await start(folder)).toBe("continued")
  })

  it("finds a log that was put back, at every start from then on", async () => {
    const folder = await temporaryFolder()
    await start(folder)
    const backup = await readFile(join(folder, "wal"))
    await start(folder)
    await writeFile(join(folder, "wal"), backup)
    expect(await start(folder)).toBe("log-rolled-back")
    await writeFile(join(folder, "wal"), backup)
    expect(await start(folder)).toBe("log-rolled-back")
  })

  it("finds a log that is another one, and a log without a record", async () => {
    const folder = await temporaryFolder()
    await start(folder)
    expect(await start(folder, "new-wal")).toBe("log-replaced")
    expect(await start(folder, "new-wal")).toBe("log-replaced")
    const other = await temporaryFolder()
    const { wal } = await openWal(join(other, "wal"), random)
    await wal.close()
    expect(await start(other)).toBe("record-missing")
  })

  it("is refused when a byte is flipped, or under another key", async () => {
    const folder = await temporaryFolder()
    await start(folder)
    const path = join(folder, "boot")
    const whole = Uint8Array.from(await readFile(path))
    const identity = decodeBoot(whole, suite, key)
    for (let at = 0; at < whole.length; at++) {
      await writeFile(path, whole.with(at, (whole[at] ?? 0) ^ 1))
      await expect(recordBoot(path, identity, suite, key)).rejects.toMatchObject({
        code: "KEYSTORE_DAMAGED",
      })
    }
    await writeFile(path, whole)
    await expect(recordBoot(path, identity, suite, random(32))).rejects.toMatchObject({
      code: "KEYSTORE_DAMAGED",
    })
  })

  it("reads back, or gives a coded error, whatever its bytes are", () => {
    const good = encodeBoot({ walId: random(16), bootCounter: 7 }, suite, key)
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, value]) => good.with(at, value)),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          expect(encodeBoot(decodeBoot(bytes, suite, key), suite, key)).toEqual(bytes)
        } catch (error) {
          if (!(error instanceof TarbartaError)) throw error
        }
      }),
    )
  })
})

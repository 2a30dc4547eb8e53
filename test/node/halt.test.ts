import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { readHalt, writeHalt } from "../../node/halt.ts"
import { temporaryFolder } from "../support/folder.ts"

const WHY = { code: "CONSENSUS_FORK", message: "view 9: a chain without our block 3" }

describe("what halted a validator", () => {
  it("is kept as it was said, until its file is removed", async () => {
    const path = join(await temporaryFolder(), "halted")
    expect(await readHalt(path)).toBeUndefined()
    await writeHalt(path, WHY)
    expect(await readHalt(path)).toEqual(WHY)
    await rm(path)
    expect(await readHalt(path)).toBeUndefined()
  })

  it.each(["", "CONSENSUS_FORK", "nobody knows: why"])(
    "halts it whatever stands in the file (%j)",
    async (text) => {
      const path = join(await temporaryFolder(), "halted")
      await writeFile(path, text)
      expect((await readHalt(path))?.code).toMatch(/^CONSENSUS_(FORK|DIVERGED)$/)
    },
  )
})

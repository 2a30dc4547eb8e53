import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { startApi } from "../support/api.ts"
import { runCommand, runLine } from "../support/command.ts"

const HOOK = new URL("../support/loaded-modules.js", import.meta.url)
const ROOT = new URL("../../", import.meta.url).href

// Codes, limits, words and the client. Anything more costs start time: think before you add to it.
const LIGHT = [
  "protocol/date-time-group.ts",
  "protocol/errors.ts",
  "protocol/limits.ts",
  "protocol/words.ts",
  "node/api/client.ts",
  "node/api/socket.ts",
  "node/errors.ts",
  "node/home.ts",
  "node/store/file.ts",
]

describe("a command that talks to the node", () => {
  it("loads commander and small files of ours, nothing else", async () => {
    const { home, service } = await startApi()
    service.receive("one", { text: "x" })
    const list = join(home, "loaded.txt")
    for (const words of [
      ["cable", "inbox"],
      ["hotline", "list"],
      ["ledger", "status"],
    ]) {
      const ran = await runCommand(home, words, {
        env: { NODE_OPTIONS: `--import ${HOOK.href}`, LOADED_MODULES: list },
      })
      expect(ran).toMatchObject({ exit: 0, errors: "" })
      const loaded = (await readFile(list, "utf8")).trim().split("\n")
      const ours = loaded.filter((url) => url.startsWith(ROOT)).map((url) => url.slice(ROOT.length))
      expect(ours).toContain("node/api/client.ts")
      const packages = ours.filter((path) => path.startsWith("node_modules/"))
      expect(packages.filter((path) => !path.startsWith("node_modules/commander/"))).toEqual([])
      const files = ours.filter((path) => !path.startsWith("node_modules/"))
      const others = files.filter((path) => !path.startsWith("cli/") && !LIGHT.includes(path))
      expect(others).toEqual([])
    }
  })

  it("is one clear line on a Node that is too old", async () => {
    const program = await readFile(new URL("cli/tarbarta.js", ROOT), "utf8")
    const old = program.replace("process.versions.node.split", '"20.20.2".split')
    expect(old).not.toBe(program)
    const { home } = await startApi()
    await writeFile(join(home, "old.mjs"), old)
    const { errors, exit } = await runLine(home, '"$NODE" old.mjs cable inbox')
    expect(errors).toMatch(/^tarbarta: error: expected Node 24 or newer/)
    expect(errors).toContain("tarbarta: hint: `npx tarbarta …`")
    expect(exit).toBe(1)
  })
})

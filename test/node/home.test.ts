import { chmod, chown, mkdir, rm, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { createHome, homePath, lockHome, openHome } from "../../node/home.ts"
import { temporaryFolder } from "../support/folder.ts"

async function newHome() {
  return createHome(join(await temporaryFolder(), "home"))
}

describe("a home", () => {
  it("is where the flag, the environment or the data directory says", () => {
    const env = { TARBARTA_HOME: "/a/home", XDG_DATA_HOME: "/data", HOME: "/user" }
    expect(homePath(env, "/flag")).toBe("/flag")
    expect(homePath(env)).toBe("/a/home")
    expect(homePath({ ...env, TARBARTA_HOME: "" })).toBe("/data/tarbarta")
    expect(homePath({ XDG_DATA_HOME: "not/absolute" })).toMatch(/\.local\/share\/tarbarta$/)
  })

  it("is made closed to others, and opens", async () => {
    const home = await newHome()
    for (const path of [home.root, home.keys, home.store, home.wal, home.run]) {
      expect((await stat(path)).mode & 0o777).toBe(0o700)
    }
    expect(await openHome(home.root)).toEqual(home)
  })

  it("is made in an empty folder, and nowhere else", async () => {
    const folder = await temporaryFolder()
    await mkdir(join(folder, "empty"), { mode: 0o755 })
    const home = await createHome(join(folder, "empty"))
    expect((await stat(home.root)).mode & 0o777).toBe(0o700)
    await expect(createHome(home.root)).rejects.toMatchObject({ code: "HOME_EXISTS" })
    await writeFile(join(folder, "file"), "x")
    for (const path of [join(folder, "file"), join(folder, "file", "home")]) {
      await expect(createHome(path)).rejects.toMatchObject({ code: "HOME_LAYOUT" })
    }
    const long = join(folder, "l".repeat(100))
    await expect(createHome(long)).rejects.toMatchObject({ code: "HOME_LAYOUT" })
  })

  it("is missing where there is none", async () => {
    const path = join(await temporaryFolder(), "none")
    await expect(openHome(path)).rejects.toMatchObject({ code: "HOME_MISSING" })
  })

  it("is refused when a folder is a file, a file is a folder, or a part is missing", async () => {
    const one = await newHome()
    await rm(one.store, { recursive: true })
    await expect(openHome(one.root)).rejects.toMatchObject({
      code: "HOME_LAYOUT",
      hint: expect.stringMatching(/do not start the node with an older copy/) as string,
    })
    await mkdir(one.store, { mode: 0o700 })
    await rm(one.wal, { recursive: true })
    await writeFile(one.wal, "x")
    await expect(openHome(one.root)).rejects.toThrow(/expected a folder, found a file/)
    const two = await newHome()
    await mkdir(two.config)
    await expect(openHome(two.root)).rejects.toThrow(/expected a file, found a folder/)
    await expect(openHome(join(two.root, "config.json", "x"))).rejects.toMatchObject({
      code: "HOME_MISSING",
    })
  })

  it("gets its folders for the consensus log and for the socket anew where they are missing", async () => {
    const home = await newHome()
    for (const path of [home.wal, home.run]) await rm(path, { recursive: true })
    expect(await openHome(home.root)).toEqual(home)
    for (const path of [home.wal, home.run]) expect((await stat(path)).mode & 0o777).toBe(0o700)
  })

  it("is refused when others may enter or read it", async () => {
    const home = await newHome()
    await chmod(home.keys, 0o750)
    await expect(openHome(home.root)).rejects.toMatchObject({
      code: "HOME_PERMISSIONS",
      hint: `chmod 700 ${home.keys}`,
    })
    await chmod(home.keys, 0o700)
    await writeFile(home.keystore, "x", { mode: 0o644 })
    await expect(openHome(home.root)).rejects.toMatchObject({
      hint: `chmod 600 ${home.keystore}`,
    })
  })

  const isRoot = process.getuid?.() === 0
  it.skipIf(!isRoot)("is refused when it belongs to somebody else (needs root)", async () => {
    const home = await newHome()
    await chown(home.store, 12_345, 12_345)
    await expect(openHome(home.root)).rejects.toThrow(/belongs to user 12345/)
  })

  it("is for one process at a time", async () => {
    const home = await newHome()
    const lock = await lockHome(home)
    await expect(lockHome(home)).rejects.toMatchObject({ code: "STORE_LOCKED" })
    await lock.release()
    const again = await lockHome(home)
    await again.release()
  })
})

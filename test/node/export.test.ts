import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { prepareFolder, publishedIn, writePublication, type Exported } from "../../node/export.ts"
import { publicationChunks, publishedFiles } from "../../node/store/publication.ts"
import type { Tiles } from "../../node/store/tiles.ts"
import {
  makeTiles,
  namedValidators,
  noteOf,
  ORIGIN,
  validatorLines,
} from "../support/publication.ts"
import { temporaryFolder } from "../support/folder.ts"

const validators = namedValidators(4)

async function signedAt(tiles: Tiles, size: number): Promise<{ size: number; text: string }> {
  const checkpoint = { origin: ORIGIN, size, root: await tiles.root(size) }
  const lines = validators.flatMap((one) => validatorLines(checkpoint, one, ["cosigner"]))
  return { size, text: noteOf(checkpoint, lines) }
}

async function filesOf(tiles: Tiles, size: number, have: number, missionsSize?: number) {
  const publication = {
    checkpoint: await signedAt(tiles, size),
    missions: missionsSize === undefined ? undefined : await signedAt(tiles, missionsSize),
    policy: "quorum none\n",
    missionPolicy: "quorum none\n",
  }
  return publishedFiles(tiles, publication, have)
}

async function publish(
  folder: string,
  tiles: Tiles,
  size: number,
  missionsSize?: number,
): Promise<Exported> {
  const before = await publishedIn(folder)
  const files = await filesOf(tiles, size, before?.bundles ?? 0, missionsSize)
  return writePublication(folder, publicationChunks(files), () => undefined)
}

/** Every file of a folder, by path. */
async function contentsOf(folder: string): Promise<Map<string, string>> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = found.filter((entry) => entry.isFile()).map((one) => join(one.parentPath, one.name))
  const read = files.map(async (path) => {
    return [path.slice(folder.length + 1), (await readFile(path)).toString("hex")] as const
  })
  return new Map(await Promise.all(read))
}

describe("an export", () => {
  it("again into the same folder writes what is new, and equals one into an empty folder", async () => {
    const tiles = await makeTiles(3_000)
    const folder = await temporaryFolder()
    const [grown, fresh] = [join(folder, "grown"), join(folder, "fresh")]
    const first = await publish(grown, tiles, 1_000)
    const second = await publish(grown, tiles, 3_000)
    const whole = await publish(fresh, tiles, 3_000)
    expect(second.files).toBe(whole.files - 6)
    expect([first.size, second.size]).toEqual([1_000, 3_000])
    const { files } = await publish(grown, tiles, 3_000)
    expect(files).toBe(whole.files - 22)
    const [a, b] = [await contentsOf(grown), await contentsOf(fresh)]
    for (const [path, bytes] of b) expect(a.get(path), path).toBe(bytes)
    // The right edge of the former checkpoint stays, unless its tile is full now.
    const more = [...a.keys()].filter((path) => !b.has(path))
    expect(more.toSorted()).toEqual(["tile/1/000.p/3"])
  })

  it("has the right edge of the missions' checkpoint also where its tile is full by then", async () => {
    const tiles = await makeTiles(600)
    const folder = await temporaryFolder()
    const partsIn = async (): Promise<string[]> => {
      const paths = [...(await contentsOf(folder)).keys()]
      return paths.filter((path) => path.includes(".p/")).toSorted()
    }
    await publish(folder, tiles, 270)
    await publish(folder, tiles, 600, 300)
    const edgeOf300 = ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"]
    const edgeOf600 = ["tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"]
    expect(await partsIn()).toEqual([...edgeOf300, ...edgeOf600].toSorted())
  })

  it("gives a file that both checkpoints need once", async () => {
    const tiles = await makeTiles(350)
    const paths: string[] = []
    for await (const { path } of await filesOf(tiles, 350, 0, 300)) paths.push(path)
    expect(paths).toContain("tile/1/000.p/1")
    expect(paths.toSorted()).toEqual([...new Set(paths)].toSorted())
  })

  it("takes no missions' checkpoint back, and keeps the right edge of the one that stays", async () => {
    const tiles = await makeTiles(800)
    const folder = await temporaryFolder()
    const missionsSize = async (): Promise<string | undefined> =>
      (await readFile(join(folder, "checkpoint.missions"), "utf8")).split("\n")[1]
    const edgeOf300 = ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"]
    await publish(folder, tiles, 350, 300)
    // Of other nodes, which have an older one or none.
    for (const older of [260, undefined]) {
      await publish(folder, tiles, 800, older)
      expect(await missionsSize()).toBe("300")
      for (const path of edgeOf300) expect((await contentsOf(folder)).has(path), path).toBe(true)
    }
    await publish(folder, tiles, 800, 700)
    expect(await missionsSize()).toBe("700")
  })

  it("repairs one that was interrupted, or whose files are cut or gone", async () => {
    const tiles = await makeTiles(2_000)
    const folder = await temporaryFolder()
    const [place, fresh] = [join(folder, "place"), join(folder, "fresh")]
    await publish(fresh, tiles, 2_000)
    await publish(place, tiles, 1_000)
    async function* broken(): AsyncGenerator<Uint8Array> {
      let count = 0
      for await (const chunk of publicationChunks(await filesOf(tiles, 2_000, 3))) {
        if (count++ === 9) throw new Error("the power went")
        yield chunk
      }
    }
    await expect(writePublication(place, broken(), () => undefined)).rejects.toThrow("the power")
    expect(await publishedIn(place)).toMatchObject({ size: 1_000, bundles: 3 })
    await writeFile(join(place, "tile/0/001"), "cut")
    await rm(join(place, "tile/entries/002"))
    expect(await publishedIn(place)).toMatchObject({ bundles: 1 })
    await publish(place, tiles, 2_000)
    const [a, b] = [await contentsOf(place), await contentsOf(fresh)]
    for (const [path, bytes] of b) expect(a.get(path), path).toBe(bytes)
  })

  it("whose stream is cut short or names another file writes no checkpoint", async () => {
    const folder = await temporaryFolder()
    const tiles = await makeTiles(300)
    async function* cut(): AsyncGenerator<Uint8Array> {
      const chunks = []
      for await (const chunk of publicationChunks(await filesOf(tiles, 300, 0))) chunks.push(chunk)
      yield* chunks.slice(0, -3)
    }
    const code = { code: "API_BODY_SIZE" }
    await expect(writePublication(folder, cut(), () => undefined)).rejects.toMatchObject(code)
    async function* foreign(): AsyncGenerator<{ path: string; bytes: Uint8Array }> {
      yield { path: "../escape", bytes: new Uint8Array(1) }
    }
    const chunks = publicationChunks(foreign())
    await expect(writePublication(folder, chunks, () => undefined)).rejects.toMatchObject(code)
    expect(await publishedIn(folder)).toBeUndefined()
    await mkdir(join(folder, "checkpoint"))
    await expect(publishedIn(folder)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
  })

  it("makes its folder and none above it, and says why where it cannot be written", async () => {
    const folder = await temporaryFolder()
    await prepareFolder(join(folder, "new"))
    await prepareFolder(join(folder, "new"))
    expect(await readdir(folder)).toEqual(["new"])
    await writeFile(join(folder, "file"), "x")
    const asFile = join(folder, "file")
    const cases: [string, string][] = [
      [asFile, "expected a folder, got a file"],
      [join(asFile, "below"), "expected a folder, got a file"],
      [join(folder, "none", "below"), "there is no folder above it"],
      // A folder that is there, in which the system says there is none.
      ["/proc/export", "there is no folder above it"],
    ]
    const tiles = await makeTiles(300)
    for (const [path, why] of cases) {
      const refusal = {
        code: "FILE_UNWRITABLE",
        message: expect.stringContaining(`: cannot be written: ${why}`) as string,
        hint: expect.stringMatching(/^(name|make) /) as string,
      }
      await expect(prepareFolder(path)).rejects.toMatchObject(refusal)
      const chunks = publicationChunks(await filesOf(tiles, 300, 0))
      const writing = writePublication(path, chunks, () => undefined)
      await expect(writing).rejects.toMatchObject(refusal)
    }
  })

  it("names a file called checkpoint that is none", async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, "checkpoint"), "a page of somebody else's site")
    await expect(publishedIn(folder)).rejects.toMatchObject({
      code: "NOTE_INVALID",
      message: expect.stringContaining(join(folder, "checkpoint")) as string,
      hint: expect.stringContaining("earlier export") as string,
    })
  })
})

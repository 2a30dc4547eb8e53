import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { hintFor } from "../../../cli/hints.ts"
import { refusalInBengali } from "../../../cli/refusals.ts"
import {
  publishedIn,
  writePublication,
  type Exported,
  type Published,
} from "../../../node/export.ts"
import { publicationChunks, type PublishedFile } from "../../../node/store/publication.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { LedgerWorld, type LedgerNode } from "../../support/ledgers.ts"

/** Makes the files in virtual time, and then writes them to a real disk, which has its own. */
async function exportTo(folder: string, world: LedgerWorld, node: LedgerNode): Promise<Exported> {
  const have = await publishedIn(folder)
  const files = await world.during(readAll(node, have))
  const chunks = publicationChunks(
    (async function* () {
      yield* files
    })(),
  )
  return writePublication(folder, chunks, () => undefined)
}

async function readAll(node: LedgerNode, have: Published | undefined): Promise<PublishedFile[]> {
  const files: PublishedFile[] = []
  for await (const file of await node.ledger.publisher.publication(have)) files.push(file)
  return files
}

async function contentsOf(folder: string): Promise<Map<string, string>> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = found.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
  return new Map(
    await Promise.all(paths.map(async (path) => [path, await readFile(path, "hex")] as const)),
  )
}

async function record(world: LedgerWorld, entries: number): Promise<void> {
  for (let i = 0; i < entries; i++) {
    await world.during(world.node(1).submit())
    await world.clock.runFor(60)
  }
  await world.clock.runFor(10_000)
}

describe("a publication that two missions write", () => {
  it("is not taken back by the one whose newest checkpoint is older", async () => {
    const world = new LedgerWorld(4, "taken back", { validators: 1 })
    await world.start()
    const [ahead, behind] = [world.node(1), world.node(2)]
    await record(world, 101)
    await world.during(behind.ledger.publisher.checkpoints.newest())
    await record(world, 199)
    const folder = await temporaryFolder()
    expect(await exportTo(folder, world, ahead)).toMatchObject({ size: 300 })
    const before = await contentsOf(folder)
    // It has all entries through the others, but asks no validator for a checkpoint.
    world.network.partition([[world.headquarters.post.peer]])
    await world.clock.runFor(120_000)
    expect(behind.ledger.head().frontier.size).toBe(300)
    await expect(exportTo(folder, world, behind)).rejects.toMatchObject({
      code: "CHECKPOINT_PENDING",
      message: "what was published there before has 300 entries, the newest checkpoint here 101",
      hint: expect.stringContaining("export again once this node has caught up") as string,
    })
    expect(await contentsOf(folder)).toEqual(before)
    world.network.heal()
    await world.clock.runFor(60_000)
    expect(await exportTo(folder, world, behind)).toMatchObject({ size: 300 })
  })

  it("is not called another ledger's by a node that has fewer entries", async () => {
    const world = new LedgerWorld(4, "fewer entries", { validators: 1 })
    await world.start()
    await record(world, 5)
    await world.during(world.node(2).ledger.publisher.checkpoints.newest())
    world.network.partition([[world.node(2).post.peer]])
    await record(world, 5)
    const folder = await temporaryFolder()
    await exportTo(folder, world, world.node(1))
    const outcome = exportTo(folder, world, world.node(2))
    await expect(outcome).rejects.toMatchObject({ code: "CHECKPOINT_PENDING" })
    const other = new LedgerWorld(2, "another ledger", { validators: 1 })
    await other.start()
    await record(other, 12)
    await expect(exportTo(folder, other, other.node(1))).rejects.toMatchObject({
      code: "PUBLICATION_OTHER",
    })
  })

  it("says in Bengali too that nothing was changed, and when to try again", () => {
    const sentence = refusalInBengali("CHECKPOINT_PENDING")
    expect(sentence).toContain("কিছুই বদলায়নি")
    expect(sentence).toContain("আবার চেষ্টা করুন")
    expect(hintFor("CHECKPOINT_PENDING")).toContain("try again")
  })
})

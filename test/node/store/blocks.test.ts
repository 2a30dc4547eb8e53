import { describe, expect, it } from "vitest"
import { encodeFinalBlock } from "../../../ledger/block.ts"
import { encodeBundle } from "../../../ledger/bundle.ts"
import { acceptBlock, type ChainHead } from "../../../ledger/chain.ts"
import { leafHash, treeRoot, verifyInclusion } from "../../../ledger/merkle.ts"
import { encodeEntry, type Batch } from "../../../protocol/entry.ts"
import { BATCH_ENTRIES_MAX, JUMP_ENTRIES_MAX } from "../../../protocol/limits.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { Tiles } from "../../../node/store/tiles.ts"
import { SimulatedDisk } from "../../support/database.ts"
import {
  batch,
  CHAIN_ID,
  chainOf,
  governance,
  linkedBlocksOn,
  LISBON,
  message,
  NAIROBI,
  RULES,
  signed,
} from "../../support/ledger.ts"
import { randomInt, seededRandom } from "../../support/rng.ts"
import { suite } from "../../support/suites.ts"

/** A chain of 60 blocks with batches of mixed sizes by two posts: over 1,500 entries. */
function sampleChain() {
  const random = seededRandom("block store")
  const next = new Map([
    [LISBON, 1],
    [NAIROBI, 1],
  ])
  const cut = (rid: number): Batch => {
    const first = next.get(rid) ?? 1
    const count = 1 + randomInt(random, 40)
    next.set(rid, first + count)
    if (count % 7 !== 0) return batch(rid, first, count)
    const entries = Array.from({ length: count }, (_, i) =>
      i === 3 ? governance(rid, first + i, random(500)) : message(rid, first + i),
    )
    return signed(entries)
  }
  return chainOf(Array.from({ length: 60 }, () => [cut(LISBON), cut(NAIROBI)]))
}

async function filled(disk: SimulatedDisk, windows: readonly number[]) {
  const { blocks, heads, head } = sampleChain()
  const database = disk.open()
  const store = await BlockStore.open(database, suite, CHAIN_ID)
  let done = 0
  for (const window of windows) {
    const finals = blocks.slice(done, done + window)
    done += finals.length
    const after: ChainHead = heads[done] ?? head
    await store.append(finals, after)
  }
  return { store, database, blocks: blocks.slice(0, done), head: heads[done] ?? head }
}

describe("the block store", () => {
  it("is empty at the genesis", async () => {
    const store = await BlockStore.open(new SimulatedDisk().open(), suite, CHAIN_ID)
    expect(store.head).toMatchObject({ height: 0, hash: CHAIN_ID })
    expect(await store.find(LISBON, 1)).toBeUndefined()
    expect(await store.blocks(1, 10, 1_000_000)).toEqual([])
  })

  it.each([[[60]], [Array.from({ length: 60 }, () => 1)], [[1, 2, 3, 5, 8, 13, 21, 7]]])(
    "gives back what was put in, after a restart too, in windows of %j",
    async (windows) => {
      const disk = new SimulatedDisk()
      const { store, database, blocks, head } = await filled(disk, windows)
      await database.close()
      const again = await BlockStore.open(disk.open(), suite, CHAIN_ID)
      for (const one of [store, again]) expect(one.head).toEqual(head)
      const encoded = blocks.map(encodeFinalBlock)
      expect(await again.blocks(1, 60, 10_000_000)).toEqual(encoded)
      expect(await again.blocks(7, 3, 10_000_000)).toEqual(encoded.slice(6, 9))
      expect(await again.blocks(7, 3, 1)).toEqual(encoded.slice(6, 7))
      expect(await again.blocks(61, 3, 1_000)).toEqual([])
    },
  )

  it("finds every entry by its serial and proves it under its block's root", async () => {
    const { store, blocks, head } = await filled(new SimulatedDisk(), [20, 20, 20])
    let index = 0
    for (const { block } of blocks) {
      for (const entry of block.batches.flatMap((one) => one.entries)) {
        const place = await store.find(entry.submitter, entry.submitterSeq)
        expect(place).toEqual({ index, height: block.header.height })
        expect(await store.entry(index)).toEqual(entry)
        index += 1
        // Every ninth, and all that stand beside the edge of a tile.
        if (index % 9 !== 0 && (index + 2) % 256 > 3) continue
        const leaf = leafHash(encodeEntry(entry))
        for (const { treeSize, treeRoot } of [block.header, last(blocks).block.header]) {
          const path = await store.tiles.inclusion(index - 1, treeSize)
          verifyInclusion(leaf, index - 1, treeSize, path, treeRoot)
        }
      }
    }
    expect(index).toBe(head.frontier.size)
    const serial = store.lastSeq(LISBON)
    expect(await store.find(LISBON, serial + 1)).toBeUndefined()
    expect(await store.find(LISBON, 0)).toBeUndefined()
  })

  it("keeps entries once, packed, and tail rows for the rest only", async () => {
    const disk = new SimulatedDisk()
    const { head } = await filled(
      disk,
      Array.from({ length: 60 }, () => 1),
    )
    const keys = [...disk.snapshot().keys()]
    const count = (prefix: string) => keys.filter((key) => key.startsWith(prefix)).length
    const { size } = head.frontier
    expect(count("ledger/e/")).toBe(Math.floor(size / 256))
    expect(count("ledger/t/0/")).toBe(Math.floor(size / 256))
    expect(count("ledger/l/")).toBe(size % 256)
    expect(count("ledger/b/")).toBe(60)
  })

  it("changes nothing when a write fails", async () => {
    const disk = new SimulatedDisk()
    const { blocks, heads } = sampleChain()
    const database = disk.open()
    const store = await BlockStore.open(database, suite, CHAIN_ID)
    await store.append(blocks.slice(0, 5), heads[5] ?? store.head)
    database.failNextWrite()
    const failing = store.append(blocks.slice(5, 6), heads[6] ?? store.head)
    await expect(failing).rejects.toMatchObject({ code: "STORE_FAILED" })
    expect(store.head).toEqual(heads[5])
    disk.crash()
    expect((await BlockStore.open(disk.open(), suite, CHAIN_ID)).head).toEqual(heads[5])
  })

  it("opens whole after a crash in any write, whether the write survived or not", async () => {
    const { blocks, heads, head } = sampleChain()
    for (const inFlight of ["lost", "kept"] as const) {
      const disk = new SimulatedDisk()
      let store = await BlockStore.open(disk.open(), suite, CHAIN_ID)
      for (let height = 0; height < 60; height++) {
        const final = blocks[height]
        if (final === undefined) break
        disk.onSync = () => disk.crash(inFlight)
        void store.append([final], heads[height + 1] ?? head)
        await Promise.resolve().then(() => undefined)
        disk.onSync = undefined
        store = await BlockStore.open(disk.open(), suite, CHAIN_ID)
        const expected = inFlight === "kept" ? (heads[height + 1] ?? head) : heads[height]
        expect(store.head).toEqual(expected)
        if (inFlight === "lost") await store.append([final], heads[height + 1] ?? head)
      }
    }
  })
})

describe("blocks that are final through a closing one", () => {
  it("come back with their links, after a restart too", async () => {
    const start = chainOf([[batch(LISBON, 1, 256)]])
    const linked = linkedBlocksOn(start.head, [[batch(LISBON, 257)], [], []])
    const disk = new SimulatedDisk()
    let database = disk.open()
    const store = await BlockStore.open(database, suite, CHAIN_ID)
    await store.append(start.blocks, start.head)
    let { head } = start
    for (const final of linked) head = acceptBlock(suite, head, final, RULES)
    await store.append(linked, head)
    await database.close()
    database = disk.open()
    const again = await BlockStore.open(database, suite, CHAIN_ID)
    expect(again.head).toEqual(head)
    const encoded = [...start.blocks, ...linked].map(encodeFinalBlock)
    expect(await again.blocks(1, 10, 1_000_000)).toEqual(encoded)
    expect((await again.row(4)).firstIndex).toBe(257)
    await again.restore(linked)
    expect(await again.blocks(1, 10, 1_000_000)).toEqual(encoded)
  })
})

describe("a damaged right edge", () => {
  const damages: [what: string, prefix: string, byte: number][] = [
    ["a tail entry", "ledger/l/", 53],
    ["the hashes of full tiles", "ledger/p/1", 31],
    ["the newest block's header", "ledger/b/0000000000003c", 200],
    ["the head", "ledger/head", 39],
  ]

  it.each(damages)("is refused at opening, when %s changed or is gone", async (_, prefix, at) => {
    const disk = new SimulatedDisk()
    const { database } = await filled(disk, [60])
    await database.close()
    const whole = disk.snapshot()
    const key = [...whole.keys()]
      .filter((one) => one.startsWith(prefix))
      .sort()
      .at(-1)
    if (key === undefined) throw new Error(`no ${prefix}`)
    const value = whole.get(key)?.slice() ?? new Uint8Array(0)
    value[at] = (value[at] ?? 0) ^ 1
    for (const damaged of [value, undefined]) {
      const content = new Map(whole)
      if (damaged === undefined) content.delete(key)
      else content.set(key, damaged)
      disk.restore(content)
      const opened = BlockStore.open(disk.open(), suite, CHAIN_ID)
      await expect(opened).rejects.toMatchObject({ code: "STORE_DAMAGED" })
      disk.crash()
    }
    disk.restore(whole)
    expect((await BlockStore.open(disk.open(), suite, CHAIN_ID)).head.height).toBe(60)
  })
})

describe("a count in a row", () => {
  it("has two bytes, enough for every batch and every run of a jump", () => {
    expect(BATCH_ENTRIES_MAX).toBeLessThanOrEqual(0xffff)
    expect(JUMP_ENTRIES_MAX).toBeLessThanOrEqual(0xffff)
  })
})

describe("tiles", () => {
  it("give entries as their bundles have them, across bundles and at the end", async () => {
    const database = new SimulatedDisk().open()
    const tiles = await Tiles.open(database, 0)
    const random = seededRandom("encoded entries")
    const entries = Array.from({ length: 700 }, (_, i) =>
      encodeEntry(i % 50 === 7 ? governance(LISBON, i + 1, random(90)) : message(LISBON, i + 1)),
    )
    const extension = tiles.extend(entries)
    await database.write(extension.operations)
    tiles.adopt(extension)
    for (const [start, count] of [
      [0, 700],
      [0, 0],
      [255, 2],
      [256, 256],
      [513, 187],
      [699, 1],
    ] as const) {
      const own = entries.slice(start, start + count)
      expect(await tiles.entries(start, count)).toEqual(own)
      expect(await tiles.encodedEntries(start, count)).toEqual(encodeBundle(own))
    }
    await database.close()
  })

  it("prove leaves of a tree of more than two levels of tiles, before and after a restart", async () => {
    const disk = new SimulatedDisk()
    const database = disk.open()
    const tiles = await Tiles.open(database, 0)
    const random = seededRandom("tiles")
    const entryOf = (index: number): Uint8Array => encodeEntry(message(LISBON, index + 1))
    const total = 66_000
    for (let done = 0; done < total;) {
      const count = Math.min(total - done, 1 + randomInt(random, 5_000))
      const entries = Array.from({ length: count }, (_, i) => entryOf(done + i))
      const extension = tiles.extend(entries)
      await database.write(extension.operations)
      tiles.adopt(extension)
      done += count
    }
    const { frontier } = tiles
    expect(frontier.size).toBe(total)
    await database.close()
    const again = await Tiles.open(disk.open(), total)
    expect(again.frontier).toEqual(frontier)
    for (const size of [total, 65_536, 65_537, 65_535, 300, 257, 256, 255, 1]) {
      const root = await again.withHashes((source) => treeRoot(source, size))
      for (let round = 0; round < 20; round++) {
        const index = round === 0 ? size - 1 : randomInt(random, size)
        const path = await again.inclusion(index, size)
        verifyInclusion(leafHash(entryOf(index)), index, size, path, root)
        expect(await again.entries(index, 1)).toEqual([entryOf(index)])
      }
    }
    expect(await again.repairTiles()).toEqual([])
  })
})

function last<T>(items: readonly T[]): T {
  const item = items.at(-1)
  if (item === undefined) throw new Error("nothing there")
  return item
}

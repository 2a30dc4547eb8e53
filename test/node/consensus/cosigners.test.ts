import { describe, expect, it } from "vitest"
import { signCheckpoint } from "../../../ledger/cosignature.ts"
import { formatCheckpoint, type Checkpoint } from "../../../ledger/checkpoint.ts"
import { frontierRoot } from "../../../ledger/merkle.ts"
import { formatNote } from "../../../ledger/note.ts"
import { validatorKeys } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { Cosigners } from "../../../node/consensus/cosigners.ts"
import { BlockStore } from "../../../node/store/blocks.ts"
import { Directory } from "../../../protocol/directory.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { batch, CHAIN_ID, chainOf, named, NAIROBI } from "../../support/ledger.ts"
import { LedgerWorld } from "../../support/ledgers.ts"
import { createMinistry } from "../../support/ministry.ts"
import { refusal } from "../../support/refusal.ts"
import { suite } from "../../support/suites.ts"

const ministry = createMinistry(4, "cosigners", { validators: 4 })
const chain = chainOf([[batch(NAIROBI, 1, 5)], [batch(NAIROBI, 6, 200)]])

/** What a node knows that has 205 entries. */
async function known(): Promise<Cosigners> {
  const directory = new Directory(suite, ministry.genesisBytes)
  const store = await BlockStore.open(new SimulatedDisk().open(), suite, CHAIN_ID)
  await store.append(chain.blocks, chain.head)
  const set = createValidatorSet(suite, 0, directory.genesis.validators)
  return new Cosigners({ suite, directory, store, validators: () => set })
}

/** A checkpoint that the first validator cosigned. */
function cosigned(cosigners: Cosigners, checkpoint: Checkpoint): string {
  const [facts] = cosigners.validators()
  const [keys] = ministry.validators
  if (facts === undefined || keys === undefined) throw new Error("no validator")
  const key = validatorKeys(cosigners.origin, facts).cosigner
  const signature = signCheckpoint(suite, key, checkpoint, 1, keys.cosigner.sign)
  return formatNote({ body: formatCheckpoint(checkpoint), signatures: [signature] })
}

describe("a checkpoint that somebody brings", () => {
  it("is refused when it is of another log, though one of our validators signed it", async () => {
    const cosigners = await known()
    const root = named("root")
    const own = cosigned(cosigners, { origin: cosigners.origin, size: 9, root })
    expect(cosigners.read(own).signed).toHaveLength(1)
    const other = cosigned(cosigners, { origin: "test/another", size: 9, root })
    expect(refusal(() => cosigners.read(other))).toBe("CHECKPOINT_INVALID")
  })

  it("is ours up to the size of our tree, not beyond it, and a fork with another root", async () => {
    const cosigners = await known()
    const at = async (size: number, root: Uint8Array): Promise<boolean> =>
      cosigners.isOurs({ checkpoint: { origin: cosigners.origin, size, root }, signed: [] })
    const first = chain.heads[1]
    if (first === undefined) throw new Error("no second head")
    expect(await at(5, frontierRoot(first.frontier))).toBe(true)
    expect(await at(205, frontierRoot(chain.head.frontier))).toBe(true)
    expect(await at(206, frontierRoot(chain.head.frontier))).toBe(false)
    for (const size of [5, 205]) {
      await expect(at(size, named("other"))).rejects.toMatchObject({ code: "CHECKPOINT_FORK" })
    }
  })
})

describe("missions that may cosign", () => {
  it("are those on the ledger without the revoked ones", async () => {
    const world = new LedgerWorld(3, "revoked witness")
    await world.start()
    const { headquarters, ministry: own } = world
    const { publisher, directory } = headquarters.ledger
    const members = async (): Promise<string> => {
      const files = new Map<string, string>()
      for await (const { path, bytes } of await publisher.publication(undefined)) {
        files.set(path, new TextDecoder().decode(bytes))
      }
      return /^group missions .*$/mu.exec(files.get("policy.missions") ?? "")?.[0] ?? ""
    }
    await world.during(world.node(1).submit())
    await world.untilQuiet()
    expect(await world.during(members())).toBe(
      "group missions 2 mission-DAC mission-LON mission-DEL",
    )
    const payloads = own.revocation(3, directory.stateHash)
    for (const payload of payloads) {
      await world.during(headquarters.submit(headquarters.governance(payload)))
    }
    await world.clock.runFor(60_000)
    expect(await world.during(members())).toBe("group missions 2 mission-DAC mission-LON")
  })
})

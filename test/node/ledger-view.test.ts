import { beforeEach, describe, expect, it } from "vitest"
import {
  adviceLine,
  quorumLine,
  stateLine,
  validatorWord,
  voteLine,
} from "../../cli/ledger-state.ts"
import { Terminal } from "../../cli/terminal.ts"
import { decodeEvidence } from "../../ledger/evidence.ts"
import { encodeMessage, encodePacket } from "../../ledger/message.ts"
import { signVote } from "../../ledger/vote.ts"
import type { LedgerStatus } from "../../node/api/shapes.ts"
import { LedgerView } from "../../node/ledger-view.ts"
import { ledgerWarnings } from "../../node/ledger-warnings.ts"
import type { Transport } from "../../node/network/transport.ts"
import { PROTOCOLS } from "../../protocol/wire.ts"
import { named } from "../support/ledger.ts"
import { LedgerWorld } from "../support/ledgers.ts"
import { RecordedScreen } from "../support/screen.ts"

const [out, errors] = [new RecordedScreen(), new RecordedScreen()]
const english = new Terminal({ isJson: false, language: "en", out, errors })
const bengali = new Terminal({ isJson: false, language: "bn", out, errors })
const POSTS = 5
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

let world: LedgerWorld

beforeEach(async () => {
  world = new LedgerWorld(POSTS, "view", { validators: 4, link: { delayMs: 20 } })
  await world.start()
  await world.clock.runFor(20 * SECOND_MS)
})

/** What the node of a post would show. */
function viewOf(index: number): LedgerView {
  const { ledger, post, transport } = world.node(index)
  const { directory } = ledger
  return new LedgerView({ ledger, directory, transport, clock: world.clock, rid: () => post.rid })
}

async function statusAt(index: number): Promise<LedgerStatus> {
  return world.during(viewOf(index).status())
}

function statesOf({ validators }: LedgerStatus): string[] {
  return validators.map(({ state }) => state)
}

/** The post is on the network and says nothing, as a process that stands still. */
async function freeze(index: number): Promise<Transport> {
  world.node(index).crash()
  const transport = world.network.transport(world.node(index).post.peer)
  transport.setMembers(
    world.nodes.map(({ post }) => ({ peer: post.peer, addresses: [], keep: true })),
  )
  await transport.start()
  return transport
}

describe("the ledger's state", () => {
  it("is well on an idle ledger, hours after the last block", async () => {
    await world.during(world.node(4).submit())
    await world.untilQuiet(MINUTE_MS)
    await world.clock.runFor(180 * MINUTE_MS)
    const status = await statusAt(1)
    expect(statesOf(status)).toEqual(["voting", "self", "voting", "voting"])
    expect(status).toMatchObject({ vote: { state: "voting" }, quorum: { heard: 4, isMet: true } })
    expect(status.view).toBe(status.finalView + 1)
    expect(ledgerWarnings(status)).toEqual([])
    const mission = await statusAt(4)
    expect(statesOf(mission)).toEqual(["up", "up", "up", "up"])
    expect(mission).toMatchObject({ isValidator: false, finalView: status.finalView })
    expect([mission.vote, mission.view]).toEqual([undefined, undefined])
    expect(quorumLine(english, status)).toContain("the ledger goes on, and can bear the loss of 1")
    // Links are all that it knows of, whether its own entries become final or not.
    for (const one of [mission, { ...mission, pending: 1 }]) {
      expect(quorumLine(english, one)).toMatch(
        /^4 of 4 .* enough if they vote; this node hears no votes/,
      )
      expect(quorumLine(bengali, one)).not.toContain("লেজার চলছে")
    }
    expect(ledgerWarnings(mission)).toEqual([])
  })

  it("is not called well while views pass with a quorum and nothing becomes final", async () => {
    await world.during(world.node(4).submit())
    await world.untilQuiet(MINUTE_MS)
    const idle = await statusAt(1)
    const round = { ...idle, viewsInVain: 4, pending: 3 }
    expect(stateLine(english, round)).toContain("nothing becomes final though a quorum votes: 4")
    expect(quorumLine(english, round)).toBe(
      "4 of 4 validators are heard; 3 are needed: enough, but nothing has become final in 4 views",
    )
    expect(stateLine(bengali, round)).toContain("কিছুই চূড়ান্ত হচ্ছে না")
    const less = { ...round, viewsInVain: 3 }
    expect(stateLine(english, less)).toBe("entries of this node that wait for the next block: 3")
    expect(quorumLine(english, less)).toContain("the ledger goes on")
    const alone = { ...round, quorum: { ...idle.quorum, heard: 2, isMet: false } }
    // The number is this node's own: it says nothing of what waits elsewhere.
    expect(stateLine(english, alone)).toMatch(/^stands still.*Entries of this node that wait: 3$/)
    expect(stateLine(bengali, alone)).toMatch(/এই নোডের অপেক্ষমাণ ভুক্তি: ৩$/)
  })

  it("is called idle after a night in which one validator after another was away", async () => {
    await world.during(world.node(4).submit())
    await world.untilQuiet(MINUTE_MS)
    const { finalView } = await statusAt(1)
    const peers = world.nodes.map(({ post }) => post.peer)
    for (let absence = 0; absence < 8; absence++) {
      const away = peers.slice(absence % 4, (absence % 4) + 1)
      world.network.partition([away, peers.filter((peer) => !away.includes(peer))])
      await world.clock.runFor(MINUTE_MS)
      world.network.heal()
      await world.clock.runFor(MINUTE_MS)
    }
    for (const index of [0, 1, 2, 3]) {
      const status = await statusAt(index)
      expect(status.view).toBeGreaterThan(finalView + 4)
      expect(status).toMatchObject({ viewsInVain: 0, quorum: { heard: 4 } })
      expect(stateLine(english, status)).toBe("final and idle: nothing of this node waits")
      expect(quorumLine(english, status)).toContain("the ledger goes on")
    }
  })

  it("tells that the disk of its log does not answer, and counts itself out of the quorum", async () => {
    world.node(1).wal.hang()
    await world.during(world.node(4).submit())
    await world.clock.runFor(MINUTE_MS)
    const status = await statusAt(1)
    expect(status).toMatchObject({ vote: { state: "stalled" }, quorum: { heard: 3, isMet: true } })
    expect(voteLine(english, status)).toBe(
      "CANNOT VOTE: the disk of its consensus log does not answer",
    )
    expect(adviceLine(english, status)).toContain('"A disk that does not answer"')
    expect(ledgerWarnings(status)).toEqual([expect.stringContaining("cannot vote")])
    expect(statesOf(await statusAt(0))).toEqual(["self", "silent", "voting", "voting"])
    world.node(1).wal.answer()
    await world.clock.runFor(MINUTE_MS)
    expect((await statusAt(1)).vote).toEqual({ state: "voting" })
    expect(statesOf(await statusAt(0))).toEqual(["self", "voting", "voting", "voting"])
  })

  it("tells one that has no link from one that is linked and silent, on a validator alone", async () => {
    world.node(2).crash()
    await freeze(3)
    await world.clock.runFor(15 * SECOND_MS)
    expect(statesOf(await statusAt(0))).toEqual(["self", "voting", "down", "voting"])
    await world.clock.runFor(30 * SECOND_MS)
    const status = await statusAt(0)
    expect(statesOf(status)).toEqual(["self", "voting", "down", "silent"])
    expect(status.quorum).toEqual({ validators: 4, needed: 3, heard: 2, isMet: false })
    expect(adviceLine(english, status)).toMatch(/^find out why .* nothing is to be done at this/)
    const words = status.validators.map((one) => validatorWord(english, one, status))
    expect(words).toEqual(["this node, voting", "voting", "DOWN", "SILENT"])
    expect(ledgerWarnings(status)).toEqual([
      "validators in reach: 2 of 4, and 3 needed: nothing new becomes final here meanwhile; " +
        "cables are delivered all the same",
    ])
    const heardMs = status.atMs - (status.validators[3]?.heardAtMs ?? 0)
    expect(heardMs).toBeGreaterThan(30 * SECOND_MS)
    expect(heardMs).toBeLessThan(60 * SECOND_MS)
    expect(statesOf(await statusAt(4))).toEqual(["up", "up", "down", "up"])
  })

  it("does not take it for a vote that a silent one is in reach again and again", async () => {
    await freeze(3)
    const peers = world.nodes.map(({ post }) => post.peer)
    for (let round = 0; round < 3; round++) {
      world.network.partition([peers.slice(3, 4), peers.filter((_, index) => index !== 3)])
      await world.clock.runFor(20 * SECOND_MS)
      world.network.heal()
      await world.clock.runFor(20 * SECOND_MS)
    }
    expect(statesOf(await statusAt(0))).toEqual(["self", "voting", "voting", "silent"])
  })

  it("says that a validator asks before its first vote, and goes by links until then", async () => {
    for (const index of [0, 1, 2]) world.node(index).crash()
    await world.during(world.node(1).start())
    await world.clock.runFor(SECOND_MS)
    const status = await statusAt(1)
    expect(status.vote).toEqual({ state: "asking" })
    expect(status.view).toBeUndefined()
    // How many have answered is not known here, so no number is told that never counts down.
    expect(voteLine(english, status)).toMatch(/^does not vote yet: .*enough have answered$/)
    expect(statesOf(status)).toEqual(["down", "self", "down", "up"])
  })

  it("does not count this node when its key is refused, and says why", async () => {
    const node = world.node(2)
    await world.during(node.stop())
    const image = { disk: node.disk.snapshot(), log: node.wal.copy() }
    await world.during(node.start())
    await world.clock.runFor(SECOND_MS)
    node.crash()
    node.disk.restore(image.disk)
    node.wal.restore(image.log)
    await world.during(node.start())
    await world.clock.runUntil(() => node.refusal !== undefined, MINUTE_MS)
    const status = await statusAt(2)
    expect(status.vote).toMatchObject({ state: "refused", code: "VALIDATOR_KEY_DEAD" })
    expect(statesOf(status)).toEqual(["up", "up", "self", "up"])
    expect(status.quorum).toMatchObject({ heard: 3, isMet: true })
    expect(ledgerWarnings(status)).toEqual([
      expect.stringMatching(/^this validator does not vote .*VALIDATOR_KEY_DEAD.*OPERATIONS/),
    ])
    await world.clock.runFor(MINUTE_MS)
    // Elsewhere its link is up, but it says nothing any more.
    expect(statesOf(await statusAt(0))).toEqual(["self", "voting", "silent", "voting"])
  })
})

describe("a copy of this node's disk", () => {
  it("is warned of while this node votes on", async () => {
    const clone = world.node(2).clone("elsewhere")
    await world.during(clone.start())
    await world.clock.runFor(15 * SECOND_MS)
    // While it runs, the two take each other's links.
    clone.crash()
    await world.clock.runFor(15 * SECOND_MS)
    const status = await statusAt(2)
    expect(status.vote).toEqual({ state: "voting", isCopied: true })
    expect(ledgerWarnings(status)).toEqual([
      expect.stringMatching(/^a copy of this home .*stop it/),
    ])
    expect((await statusAt(1)).vote).toEqual({ state: "voting" })
  })
})

describe("evidence", () => {
  it("names who signed what twice, where it is recorded, and proves it; none where there is none", async () => {
    expect(await world.during(viewOf(4).evidence())).toEqual([])
    const view = (world.node(0).ledger.validatorStatus()?.view ?? 0) + 1
    const { net, suite, validators } = world.ministry
    const from = await freeze(3)
    await world.clock.runFor(SECOND_MS)
    const hashes = ["one", "other"].map(named)
    for (const blockHash of hashes) {
      const body = { kind: "notarize", epoch: 0, view, blockHash } as const
      const sign = validators[3]?.consensus.sign
      if (sign === undefined) throw new Error("no fourth validator")
      const message = encodeMessage({ type: "vote", vote: signVote(net, body, 3, sign) })
      const run = new Uint8Array(16)
      const packet = encodePacket({ epoch: 0, finalView: 0, run }, [message])
      const { peer } = world.node(0).post
      await world.during(from.request(peer, PROTOCOLS.consensus, packet))
    }
    await world.clock.runFor(MINUTE_MS)
    const [found, ...others] = await world.during(viewOf(4).evidence())
    expect(others).toEqual([])
    const code = world.node(3).post.code
    const signed = {
      kind: "notarize",
      blockHash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    }
    expect(found).toMatchObject({ epoch: 0, view, mission: code, first: signed, second: signed })
    expect(found?.index).toBeTypeOf("number")
    const proof = decodeEvidence(Buffer.from(found?.proof ?? "", "hex"), net)
    expect(suite.sha256(proof.first.blockHash)).not.toEqual(suite.sha256(proof.second.blockHash))
    const status = await statusAt(4)
    expect(status).toMatchObject({ evidence: 1, accused: [code] })
    expect(ledgerWarnings(status)).toContain(
      `evidence stands against ${code}: see \`tarbarta ledger evidence\``,
    )
  })
})

import { describe, expect, it } from "vitest"
import { buildBlock, genesisHead } from "../../../ledger/chain.ts"
import type { Message } from "../../../ledger/message.ts"
import { Packets } from "../../../node/consensus/packets.ts"
import type { Lane } from "../../../node/network/transport.ts"
import { FRAME_BYTES_MAX } from "../../../protocol/limits.ts"
import { encodeNumber } from "../../../protocol/wire.ts"
import { batch, CHAIN_ID, LISBON, named, NOON_MS, voteOf } from "../../support/ledger.ts"
import { suite } from "../../support/suites.ts"

const PEER = "02".repeat(32)
const VOTE = new Uint8Array(111)
const LARGE_BLOCK = new Uint8Array(FRAME_BYTES_MAX)

function proposal(view: number): Message {
  const block = buildBlock(suite, genesisHead(CHAIN_ID), view, [batch(LISBON, 1)], NOON_MS)
  return { type: "proposal", block, vote: voteOf(0, "notarize", view, named("a block")) }
}

/** What leaves for one other validator while these lanes to it stand. */
function scene(
  lanes: readonly Lane[],
  answer: () => Promise<Uint8Array> = async () => Promise.resolve(encodeNumber(0)),
) {
  const sent: string[] = []
  const packets = new Packets({
    transport: {
      connected: (lane) => (lane !== undefined && lanes.includes(lane) ? [PEER] : []),
      request: async (_, { lane }, packet) => {
        sent.push(lane === "bulk" ? `bulk ${packet.at(-1)}` : lane)
        return answer()
      },
    },
    epoch: 0,
    finalView: () => 0,
    run: new Uint8Array(16),
    peers: [undefined, PEER],
    onAnswer: (peer) => expect(peer).toBe(PEER),
    onBug: (error) => {
      throw error
    },
  })
  return { packets, sent }
}

describe("packets to a validator", () => {
  it("do not hold a proposal beside itself, nor one behind which a newer one waits", async () => {
    const [first, second, third] = [1, 2, 3].map(proposal)
    const answers: (() => void)[] = []
    const { packets, sent } = scene(["urgent", "bulk"], async () => {
      return new Promise((resolve) => answers.push(() => resolve(encodeNumber(0))))
    })
    const propose = (message: Message | undefined, fill: number): void => {
      packets.add(LARGE_BLOCK.slice().fill(fill), message === undefined ? {} : { message })
      packets.flush()
    }
    for (const [message, fill] of [
      [first, 1],
      [first, 1],
      [second, 2],
      [third, 3],
    ] as const) {
      propose(message, fill)
    }
    expect(sent).toEqual(["bulk 1"])
    for (let turn = 0; turn < 4; turn++) {
      answers.shift()?.()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sent).toEqual(["bulk 1", "bulk 3"])
    // It has arrived, and may be asked for again.
    propose(third, 3)
    expect(sent).toEqual(["bulk 1", "bulk 3", "bulk 3"])
  })

  it("carry votes as soon as the urgent lane stands, and blocks once the bulk lane does", () => {
    const { packets, sent } = scene(["urgent"])
    packets.add(VOTE, {})
    packets.add(LARGE_BLOCK, {})
    packets.flush()
    expect(sent).toEqual(["urgent"])
    const both = scene(["urgent", "bulk"])
    both.packets.add(VOTE, {})
    both.packets.add(LARGE_BLOCK, {})
    both.packets.flush()
    expect(both.sent).toEqual(["urgent", "bulk 0"])
  })

  it("are not kept for one that is out of contact", () => {
    const lanes: Lane[] = []
    const { packets, sent } = scene(lanes)
    packets.add(VOTE, {})
    packets.flush()
    lanes.push("urgent")
    packets.flush()
    expect(sent).toEqual([])
  })
})

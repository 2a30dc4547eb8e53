import { describe, expect, it } from "vitest"
import { Packets } from "../../../node/consensus/packets.ts"
import type { Lane } from "../../../node/network/transport.ts"
import { FRAME_BYTES_MAX } from "../../../protocol/limits.ts"
import { encodeNumber } from "../../../protocol/wire.ts"

const PEER = "02".repeat(32)
const VOTE = new Uint8Array(111)
const LARGE_BLOCK = new Uint8Array(FRAME_BYTES_MAX)

/** What leaves for one other validator while these lanes to it stand. */
function scene(lanes: readonly Lane[]) {
  const sent: string[] = []
  const packets = new Packets({
    transport: {
      connected: (lane) => (lane !== undefined && lanes.includes(lane) ? [PEER] : []),
      request: async (_, { lane }) => {
        sent.push(lane)
        return Promise.resolve(encodeNumber(0))
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
    expect(both.sent).toEqual(["urgent", "bulk"])
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

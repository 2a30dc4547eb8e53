/**
 * What one validator of four sends for a block, in virtual time: the bytes of its packets on the
 * consensus protocol and of the proposals among them, less the batches that the leader's proposals
 * hold. Heartbeats that come meanwhile count. Answers to the others' packets, and what all protocols
 * add on the line, do not; the answers have a row of their own.
 */

import { batchesBytes, decodeFinalBlock } from "../../ledger/block.ts"
import { PROTOCOLS } from "../../protocol/wire.ts"
import { createWorld, DELAY_MS } from "./delayed.ts"
import { spreadOf, type Figure } from "./figures.ts"
import { VALIDATORS } from "./validator.ts"

const BLOCKS = 40
const GOAL_BYTES = 2_500
const VOTE_BYTES = 111
const PACKETS: readonly string[] = [PROTOCOLS.consensus.id, PROTOCOLS.proposal.id]

export async function benchTraffic(): Promise<Figure[]> {
  const world = createWorld(VALIDATORS + 1, "traffic", { delayMs: DELAY_MS })
  await world.start()
  const record = async (): Promise<void> => {
    await world.during(world.node(VALIDATORS).submit())
    await world.untilQuiet()
  }
  await record()
  const from = world.network.trace.length
  const before = world.node(0).height
  for (let block = 0; block < BLOCKS; block++) await record()
  const found = (await world.blocksOf(world.node(0))).slice(before)
  const { suite } = world.ministry
  // Each proposal goes to three others.
  const payload = found
    .map((bytes) => batchesBytes(decodeFinalBlock(suite, bytes).block.batches))
    .reduce((sum, bytes) => sum + (VALIDATORS - 1) * bytes, 0)
  const said = bytesOf(world.network.trace.slice(from))
  const each = VALIDATORS * found.length
  const packets = (said.request - payload) / each
  const floor = 2 * (VALIDATORS - 1) * VOTE_BYTES
  return [
    {
      name: `packets of one validator for a block without payload, ${found.length} blocks of one entry`,
      unit: "B",
      measured: spreadOf([packets]),
      against: { name: "two votes to three others", value: spreadOf([floor]) },
      ratio: packets / floor,
      goal: { text: `at most ${GOAL_BYTES} B`, isMet: packets <= GOAL_BYTES },
    },
    {
      name: "its answers to the packets of the others",
      unit: "B",
      measured: spreadOf([said.answer / each]),
    },
  ]
}

/** Bytes of all packets, and of the answers to them. */
function bytesOf(trace: readonly string[]): { request: number; answer: number } {
  const bytes = { request: 0, answer: 0 }
  for (const line of trace) {
    const [, what, protocol = "", , length] = line.split(" ")
    if (what !== "request" && what !== "answer") continue
    if (PACKETS.includes(protocol)) bytes[what] += Number(length)
  }
  return bytes
}

import { describe, expect, it } from "vitest"
import { Submitter } from "../../../node/consensus/submitter.ts"
import { decodeBatch, messageEntry, type Entry } from "../../../protocol/entry.ts"
import { BATCH_ENTRIES_MAX, ENTRY_BYTES_MAX } from "../../../protocol/limits.ts"
import { decodeSubmitRequest, encodeNumber, PROTOCOLS } from "../../../protocol/wire.ts"
import { payloadEntry } from "../../../protocol/entry.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk } from "../../support/database.ts"
import { createSimulatedNetwork } from "../../support/network.ts"
import { seededRandom } from "../../support/rng.ts"
import { suite } from "../../support/suites.ts"

const POST = "01".repeat(32)
const VALIDATOR = "02".repeat(32)
const SEED = new Uint8Array(32).fill(7)
const CHAIN_ID = new Uint8Array(32).fill(3)

/** A submitter, and a validator that only writes down what comes. */
async function scene() {
  const clock = createVirtualClock()
  const network = createSimulatedNetwork({ clock, random: seededRandom("submitter") })
  const disk = new SimulatedDisk()
  const database = disk.open()
  const received: { first: number; count: number; atMs: number }[] = []
  const requests: number[] = []
  const answers: ((expected: number) => number)[] = []
  let expected = 1
  const validator = network.transport(VALIDATOR)
  validator.handle(PROTOCOLS.submit, async (_, request) => {
    requests.push(request.length)
    for (const bytes of decodeSubmitRequest(request)) {
      const batch = decodeBatch(suite, bytes)
      const count = batch.entries.length
      received.push({ first: batch.firstSeq, count, atMs: clock.monotonicMs() })
      if (batch.firstSeq <= expected) expected = Math.max(expected, batch.firstSeq + count)
    }
    const answer = answers.shift()
    return Promise.resolve(encodeNumber(answer === undefined ? expected : answer(expected)))
  })
  validator.setMembers([{ peer: POST, addresses: [], keep: true }])
  await validator.start()
  const transport = network.transport(POST)
  transport.setMembers([{ peer: VALIDATOR, addresses: [], keep: true }])
  await transport.start()
  const warnings: string[] = []
  const submitter = new Submitter({
    suite,
    chainId: CHAIN_ID,
    database,
    transport,
    clock,
    log: { warn: (event) => warnings.push(event) },
    sign: (message) => suite.ed25519Sign(SEED, message),
    validators: () => [VALIDATOR],
  })
  const put = async (...entries: Entry[]): Promise<void> => {
    await database.write(entries.map((entry) => submitter.entryOperation(entry)))
  }
  await clock.runFor(10_000)
  return { clock, network, database, received, requests, answers, submitter, warnings, put }
}

function entry(seq: number): Entry {
  return messageEntry(1, seq, 1_000, new Uint8Array(32).fill(seq % 256))
}

function entries(from: number, to: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i))
}

describe("the submitter", () => {
  it("sends a lone entry at once and a burst behind it together", async () => {
    const { clock, submitter, put, received } = await scene()
    await submitter.start(0)
    const startMs = clock.monotonicMs()
    for (const one of entries(1, 10)) {
      await put(one)
      await submitter.poke()
    }
    await clock.runFor(1_000)
    expect(received.map(({ first, count }) => [first, count])).toEqual([
      [1, 1],
      [2, 9],
    ])
    expect((received[0]?.atMs ?? 0) - startMs).toBeLessThan(10)
    expect((received[1]?.atMs ?? 0) - startMs).toBeLessThan(60)
  })

  it("cuts a long queue into batches within the limits of count and bytes", async () => {
    const { clock, submitter, put, received, requests } = await scene()
    const large = Array.from({ length: 40 }, (_, i) =>
      payloadEntry(suite, "governance", 1, 601 + i, 1, new Uint8Array(ENTRY_BYTES_MAX - 54)),
    )
    await put(...entries(1, 600), ...large)
    await submitter.start(0)
    await clock.runFor(1_000)
    expect(received[0]).toMatchObject({ first: 1, count: BATCH_ENTRIES_MAX })
    expect(received.reduce((sum, { count }) => sum + count, 0)).toBe(640)
    // What is small goes together, what is large alone.
    expect(requests.length).toBeLessThan(received.length)
    const { requestBytesMax } = PROTOCOLS.submit
    expect(requests.every((bytes) => bytes <= requestBytesMax)).toBe(true)
  })

  it("begins again where the validator says, and waits when it makes no progress", async () => {
    const { clock, submitter, put, received, answers, warnings } = await scene()
    await put(...entries(1, 5))
    // It lost what it had: expects 3, then 3 again, then takes all.
    answers.push(
      () => 3,
      () => 3,
    )
    await submitter.start(0)
    await clock.runFor(5_000)
    expect(received.map(({ first, count }) => [first, count])).toEqual([
      [1, 5],
      [3, 3],
      [3, 3],
    ])
    expect(warnings).toEqual(["SUBMIT_EXPECTS"])
  })

  it("sends again what does not become final, ever more rarely, and stops when it does", async () => {
    const { clock, submitter, put, received } = await scene()
    await put(...entries(1, 2))
    await submitter.start(0)
    await clock.runFor(3_600_000)
    expect(received.length).toBeGreaterThan(5)
    expect(received.length).toBeLessThan(25)
    submitter.settle(entries(1, 2))
    const { length } = received
    await clock.runFor(24 * 3_600_000)
    expect(received).toHaveLength(length)
    expect(submitter.pending()).toEqual([])
  })

  it("cuts a batch once: who is sent it later gets the same, whatever came behind it", async () => {
    const { clock, submitter, put, received } = await scene()
    await submitter.start(0)
    await put(...entries(1, 3))
    await submitter.poke()
    await clock.runFor(1_000)
    await put(...entries(4, 5))
    await submitter.poke()
    await clock.runFor(20_000)
    // Validators whose batches end elsewhere than those of a block drop what waits.
    expect(received.map(({ first, count }) => [first, count])).toEqual([
      [1, 3],
      [4, 2],
      [1, 3],
      [4, 2],
    ])
  })

  it("sends nothing behind a hole until the hole is filled", async () => {
    const { clock, submitter, put, received } = await scene()
    await submitter.start(0)
    await put(entry(2))
    await submitter.poke()
    await clock.runFor(1_000)
    expect(received).toEqual([])
    await put(entry(1))
    await submitter.poke()
    await clock.runFor(1_000)
    expect(received.map(({ first, count }) => [first, count])).toEqual([[1, 2]])
  })

  it("drops rows of entries that are final, at the start and with their block", async () => {
    const { clock, database, submitter, put, received } = await scene()
    await put(...entries(1, 6))
    await submitter.start(4)
    expect(submitter.pending().map((one) => one.submitterSeq)).toEqual([5, 6])
    expect(submitter.finalOperations(entries(4, 5))).toEqual([
      { type: "delete", key: "ledger/w/00000000000005" },
    ])
    await clock.runFor(1_000)
    expect(received[0]).toMatchObject({ first: 5, count: 2 })
    const keys: string[] = []
    for await (const [key] of database.range({ prefix: "ledger/w/" })) keys.push(key)
    expect(keys).toHaveLength(2)
  })

  it("says so when another entry became final at a serial of ours", async () => {
    const { submitter, put, warnings } = await scene()
    await put(...entries(1, 2))
    await submitter.start(0)
    submitter.settle([entry(1), { ...entry(2), timeMs: 5 }])
    expect(warnings).toEqual(["SUBMIT_CONFLICT"])
    expect(submitter.pending()).toEqual([])
  })

  it("waits for a validator that is away, and sends on contact", async () => {
    const { clock, network, submitter, put, received } = await scene()
    network.partition([[VALIDATOR]])
    await clock.runFor(60_000)
    await put(...entries(1, 3))
    await submitter.start(0)
    await clock.runFor(2 * 3_600_000)
    expect(received).toEqual([])
    network.heal()
    await clock.runFor(10_000)
    expect(received[0]).toMatchObject({ first: 1, count: 3 })
  })
})

import { describe, expect, it } from "vitest"
import {
  KEYS,
  putRow,
  toHex,
  type AddresseeRow,
  type SentRow,
} from "../../../node/delivery/rows.ts"
import { Sent, type SentEvent } from "../../../node/delivery/sent.ts"
import { NO_PRIOR_RECEIPT, type Receipt } from "../../../protocol/receipt.ts"
import { createVirtualClock } from "../../support/clock.ts"
import { SimulatedDisk } from "../../support/database.ts"

const CABLE = new Uint8Array(32).fill(7)
const ID = toHex(CABLE)
const RID = 3

/** One cable on its way to mission 3. */
async function queued(): Promise<{ sent: Sent; events: SentEvent[]; disk: SimulatedDisk }> {
  const disk = new SimulatedDisk()
  const database = disk.open()
  const row = { id: ID, seq: 1, secret: "00" } as SentRow
  const addressee: AddresseeRow = {
    rid: RID,
    role: "action",
    precedence: "routine",
    state: "queued",
    atMs: 0,
    relays: [],
    attempts: 0,
  }
  await database.write([
    putRow(KEYS.sent(ID), row),
    putRow(KEYS.sentContent(ID), {}),
    putRow(KEYS.sentState(ID, RID), addressee),
    putRow(KEYS.queue(RID, "routine", 1, ID), { id: ID }),
  ])
  const events: SentEvent[] = []
  const emit = (event: SentEvent): void => void events.push(event)
  const sent = new Sent({ database, clock: createVirtualClock(), emit })
  await sent.load()
  return { sent, events, disk }
}

describe("what a crash left behind", () => {
  it("lets go of body and secret at the next start, when all had decrypted before", async () => {
    const { sent, disk } = await queued()
    await sent.receive([receipt("decrypted")], [])
    disk.crash()
    const database = disk.open()
    const body = { type: "put", key: KEYS.sentBody(ID), value: Uint8Array.of(1) } as const
    await database.write([body, putRow(KEYS.sent(ID), { id: ID, seq: 1, secret: "00" })])
    const next = new Sent({ database, clock: createVirtualClock(), emit: () => undefined })
    await next.load()
    expect(await database.get(KEYS.sentBody(ID))).toBeUndefined()
    expect((await next.find(ID))?.row.secret).toBe("")
  })

  it("keeps both while an addressee has not decrypted", async () => {
    const { disk } = await queued()
    disk.crash()
    const database = disk.open()
    const body = { type: "put", key: KEYS.sentBody(ID), value: Uint8Array.of(1) } as const
    await database.write([body])
    const next = new Sent({ database, clock: createVirtualClock(), emit: () => undefined })
    await next.load()
    expect(await database.get(KEYS.sentBody(ID))).toEqual(Uint8Array.of(1))
    expect((await next.find(ID))?.row.secret).toBe("00")
  })
})

function receipt(stage: Receipt["stage"], reason: Receipt["reason"] = "none"): Receipt {
  return {
    net: new Uint8Array(32),
    cableId: CABLE,
    issuer: RID,
    stage,
    reason,
    atMs: 1,
    priorHash: NO_PRIOR_RECEIPT,
    officer: undefined,
  }
}

async function stateOf(sent: Sent): Promise<string | undefined> {
  return (await sent.find(ID))?.addressees[0]?.state
}

describe("a sent cable", () => {
  it("stays delivered when news of a relay and the receipt come together, in either order", async () => {
    for (const isNewsFirst of [true, false]) {
      const { sent, disk } = await queued()
      const news = (): Promise<void> => sent.note(ID, RID, { state: "relayed", relay: 1 })
      const receipts = (): Promise<void> => sent.receive([receipt("decrypted")], [])
      await Promise.all(isNewsFirst ? [news(), receipts()] : [receipts(), news()])
      expect(await stateOf(sent)).toBe("delivered")
      expect(sent.waiting(RID)).toBe(0)
      expect([...disk.snapshot().keys()].filter((key) => key.startsWith("queue/"))).toEqual([])
    }
  })

  it("is counted off once when its receipt comes twice at the same time", async () => {
    const { sent, events } = await queued()
    sent.queued([RID])
    await Promise.all([
      sent.receive([receipt("decrypted")], []),
      sent.receive([receipt("decrypted")], []),
    ])
    expect(sent.waiting(RID)).toBe(1)
    expect(events.filter(({ type }) => type === "delivered")).toHaveLength(1)
  })

  it("never goes back a stage, and a late refusal does not undo a delivery", async () => {
    const { sent } = await queued()
    await sent.receive([receipt("read")], [])
    await sent.receive([receipt("decrypted")], [])
    await sent.receive([receipt("nack", "expired")], [])
    expect(await stateOf(sent)).toBe("read")
  })

  it("ends as refused by a signed refusal, with its reason", async () => {
    const { sent, events } = await queued()
    await sent.receive([receipt("nack", "expired")], [])
    expect((await sent.find(ID))?.addressees[0]).toMatchObject({
      state: "refused",
      reason: "expired",
    })
    expect(sent.waiting()).toBe(0)
    expect(events.some(({ type }) => type === "delivered")).toBe(false)
  })
})

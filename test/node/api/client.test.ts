import { describe, expect, it } from "vitest"
import { NodeClient } from "../../../node/api/client.ts"
import { startApi } from "../../support/api.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { idOf } from "../../support/service.ts"

describe("the client and the server", () => {
  it("carry a cable in, list it, read it, mark it and acknowledge it", async () => {
    const { client, service } = await startApi()
    const id = service.receive("one", { text: "বাংলা\n\u202e", subject: "Visit" })
    expect(await client.cables({ unread: true })).toMatchObject([{ id, subject: "Visit" }])
    expect(await client.cable(id.slice(0, 6), { mark: false })).toMatchObject({ read: false })
    expect((await client.cable(id, { mark: true })).text).toBe("বাংলা\n\u202e")
    expect(await client.cables({ box: "inbox", unread: true, limit: 5 })).toEqual([])
    await client.acknowledgeCable(id, { stage: "acted", officer: "A. Rahman" })
    expect(await client.cable(id, { mark: false })).toMatchObject({ acted: true })
    expect([...(await client.cableEnvelope(id))]).toEqual([1, 2, 3])
  })

  it("send a cable and follow it to its proof", async () => {
    const { client, service } = await startApi()
    service.isQuick = false
    const { id, textChanged } = await client.sendCable({
      to: ["LON"],
      subject: "",
      text: "e\u0301",
    })
    expect(textChanged).toBe(true)
    await expect(client.proof(id)).rejects.toMatchObject({ code: "PROOF_PENDING" })
    service.progress(id, "LON", "delivered")
    service.register(id, 9)
    expect(await client.cableStatus(id)).toMatchObject({ delivered: true, registered: true })
    expect([...(await client.proof(id))]).toEqual([9, 9, 9])
  })

  it("carry a text of the largest size", async () => {
    const { client } = await startApi()
    const text = "ক".repeat(16 * 1_024 * 341)
    const { id } = await client.sendCable({ to: ["LON"], subject: "", text })
    expect((await client.cable(id, { mark: false })).text).toBe(text)
  })

  it("raise, display and acknowledge signals", async () => {
    const { client, service } = await startApi()
    service.isQuick = false
    const raised = await client.raiseSignal({ event: "medical", text: "help" })
    expect(await client.signal(raised.id)).toMatchObject({ id: raised.id, direction: "raised" })
    const rung = service.ring("ring", { event: "attack", text: "now" })
    expect(await client.signals({ open: true })).toHaveLength(2)
    expect(await client.markDisplayed(rung, "desk 1")).toMatchObject({
      desks: [{ mission: "DAC", state: "displayed" }],
    })
    await client.acknowledgeSignal(rung, "A. Rahman")
    expect(await client.signals({ open: true })).toMatchObject([{ id: raised.id }])
    expect(service.seats).toEqual(["desk 1"])
  })

  it("hand in governance, verify the ledger with progress, and copy it", async () => {
    const { client, service } = await startApi()
    const payloads = [Uint8Array.of(1, 2), Uint8Array.of(255)]
    expect(await client.submitGovernance(payloads)).toEqual({ height: 8, indices: [50, 51] })
    expect(service.governance.map((one) => [...one])).toEqual([[1, 2], [255]])
    const steps: number[] = []
    expect(await client.verifyLedger(({ done }) => steps.push(done))).toMatchObject({ ok: true })
    expect(steps.at(-1)).toBe(2)
    expect(await client.verifyLedger(() => {}, { isQuick: true })).toMatchObject({ ok: true })
    expect(service.quickVerifications).toEqual([false, true])
    const chunks: number[] = []
    for await (const chunk of await client.ledgerCopy()) chunks.push(...chunk)
    expect(chunks).toEqual([0x54, 0x42, 0x31])
    service.verification = {
      ...service.verification,
      ok: false,
      error: { code: "BLOCK_HASH", message: "at height 2" },
    }
    expect(await client.verifyLedger(() => {})).toMatchObject({ error: { code: "BLOCK_HASH" } })
    expect(await client.missions()).toHaveLength(3)
    expect(await client.ledgerStatus()).toMatchObject({ height: 7, evidence: 0 })
    expect(await client.ledgerEvidence()).toEqual([])
    const first = { kind: "nullify" } as const
    const second = { kind: "finalize", blockHash: "3c".repeat(32) } as const
    const evidence = { epoch: 0, view: 9, mission: "LON", first, second, index: 44, proof: "83" }
    service.evidence = [evidence]
    expect(await client.ledgerEvidence()).toEqual([evidence])
  })

  it("say what a short, a wrong and an unknown id is", async () => {
    const { client, service } = await startApi()
    service.receive("one", { text: "x" })
    const request = { code: "API_REQUEST" }
    await expect(client.cable("abc", { mark: false })).rejects.toMatchObject(request)
    await expect(client.cable("xyzxyz", { mark: false })).rejects.toMatchObject(request)
    const unknown = { code: "CABLE_UNKNOWN" }
    await expect(client.cable("000000", { mark: false })).rejects.toMatchObject(unknown)
    await expect(client.cable(idOf("none"), { mark: false })).rejects.toMatchObject(unknown)
    await expect(client.signal("000000")).rejects.toMatchObject({ code: "SIGNAL_UNKNOWN" })
  })

  it("say so when several ids begin alike", async () => {
    const { client, service } = await startApi()
    service.findIds = async () => [idOf("a"), idOf("b")]
    await expect(client.cable("abcdef", { mark: false })).rejects.toThrow("several begin so")
  })

  it("pass on a refusal with its code and hint", async () => {
    const { client, bugs } = await startApi()
    const sent = client.sendCable({ to: ["XXX"], subject: "", text: "x" })
    await expect(sent).rejects.toMatchObject({
      code: "MISSION_UNKNOWN",
      hint: "`tarbarta mission list` names them",
    })
    expect(bugs).toEqual([])
  })

  it("report an error without a code as a bug, and tell the caller nothing of it", async () => {
    const { client, service, bugs } = await startApi()
    service.missions = async () => {
      throw new TypeError("secret detail")
    }
    await expect(client.missions()).rejects.toMatchObject({
      code: "UNEXPECTED",
      message: "the node met an error of its own",
    })
    expect(bugs).toMatchObject([{ message: "secret detail" }])
  })
})

describe("without a node", () => {
  it("the client says that none is running, and how to start one", async () => {
    const client = new NodeClient(await temporaryFolder())
    const unreachable = { code: "NODE_UNREACHABLE", hint: expect.stringContaining("node start") }
    await expect(client.status()).rejects.toMatchObject(unreachable)
    await expect(client.events({})).rejects.toMatchObject({ code: "NODE_UNREACHABLE" })
  })

  it("a home whose path is too long for a socket is refused at once", () => {
    expect(() => new NodeClient(`/${"x".repeat(100)}`)).toThrow("at most 103 bytes")
  })
})

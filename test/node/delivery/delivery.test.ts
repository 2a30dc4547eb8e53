import { bytesToHex } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { decodeProof, verifyProof } from "../../../ledger/proof.ts"
import { validatorPolicy } from "../../../ledger/policy.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { namedValidators } from "../../../node/consensus/cosigners.ts"
import { nativeSuite } from "../../../node/suite.ts"
import { Directory } from "../../../protocol/directory.ts"
import { NodeWorld } from "../../support/world.ts"

describe("delivery in virtual time", () => {
  it("carries a cable to several missions, registers it, and tells the sender", async () => {
    const world = new NodeWorld(4, "several")
    await world.start()
    const id = await world.send("LON", { to: ["DEL"], info: ["NYC", "DAC"], text: "এক দুই তিন" })
    await world.untilDelivered("LON", id)
    for (const code of ["DEL", "NYC", "DAC"]) {
      const cable = await world.node(code).service.cable(id, { mark: false })
      expect(cable.text).toBe("এক দুই তিন")
      expect(cable.from).toBe("LON")
    }
    await world.until(async () => (await world.node("LON").service.cableStatus(id)).registered)
    await world.until(async () => {
      return (await world.node("DEL").service.cable(id, { mark: false })).registered
    })
  })

  it("shows a cable once, however often answers are lost", async () => {
    const world = new NodeWorld(3, "lossy")
    await world.start()
    world.network.setDefaultLink({ requestLoss: 0.3, answerLoss: 0.3 })
    const ids: string[] = []
    for (let index = 0; index < 20; index++) {
      ids.push(await world.send("LON", { to: ["DEL"], subject: `${index}` }))
    }
    for (const id of ids) await world.untilDelivered("LON", id, 3_600_000)
    expect((await world.inbox("DEL")).toSorted()).toEqual(ids.toSorted())
  })

  it("hands a cable to headquarters for a mission that is away, and it is there on return", async () => {
    const world = new NodeWorld(3, "relay")
    await world.start()
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    await world.until(async () => {
      const [addressee] = (await world.node("LON").service.cableStatus(id)).addressees
      return addressee?.state === "relayed"
    })
    world.crash("LON")
    await world.boot("DEL")
    await world.until(async () => (await world.inbox("DEL")).includes(id))
    await world.boot("LON")
    await world.untilDelivered("LON", id)
    expect(await world.inbox("DEL")).toEqual([id])
  })

  it("keeps trying without a relay while headquarters is dark", async () => {
    const world = new NodeWorld(3, "dark")
    await world.start()
    world.crash("DAC")
    world.crash("DEL")
    const id = await world.send("LON", { to: ["DEL"] })
    await world.clock.runFor(7 * 86_400_000)
    await world.boot("DEL")
    await world.untilDelivered("LON", id, 600_000)
    expect((await world.node("LON").service.cableStatus(id)).registered).toBe(false)
    await world.boot("DAC")
    await world.until(async () => (await world.node("LON").service.cableStatus(id)).registered)
  })

  it("loses nothing when sender and recipient crash at any moment", async () => {
    const world = new NodeWorld(3, "crash")
    await world.start()
    const ids: string[] = []
    for (let round = 0; round < 12; round++) {
      ids.push(await world.send("LON", { to: ["DEL"], subject: `${round}` }))
      await world.clock.runFor(round * 3)
      const victim = round % 2 === 0 ? "LON" : "DEL"
      world.crash(victim, round % 3 === 0 ? "kept" : "lost")
      await world.clock.runFor(1_000)
      await world.boot(victim)
    }
    for (const id of ids) await world.untilDelivered("LON", id, 3_600_000)
    expect((await world.inbox("DEL")).toSorted()).toEqual(ids.toSorted())
  })

  it("refuses an unknown mission, an empty text and a second person who is missing", async () => {
    const world = new NodeWorld(2, "refuse", { policy: { twoPersonFromPrecedence: 3 } })
    await world.start()
    const service = world.node("LON").service
    const draft = { to: ["DAC"], subject: "s", text: "t" }
    await expect(service.sendCable({ ...draft, to: ["XXX"] })).rejects.toMatchObject({
      code: "MISSION_UNKNOWN",
    })
    await expect(service.sendCable({ ...draft, text: "" })).rejects.toMatchObject({
      code: "CABLE_INVALID",
    })
    await expect(service.sendCable({ ...draft, precedence: "flash" })).rejects.toMatchObject({
      code: "RELEASE_REQUIRED",
    })
    const sent = await service.sendCable({
      ...draft,
      precedence: "flash",
      releaser: "LON releaser",
    })
    await world.untilDelivered("LON", sent.id)
  })

  it("raises a signal, shows it, and brings display and acknowledgement back", async () => {
    const world = new NodeWorld(2, "signal")
    await world.start()
    const raiser = world.node("LON").service
    const desk = world.node("DAC").service
    const { id } = await raiser.raiseSignal({ event: "unrest", text: "crowd at the gate" })
    await world.until(async () => (await desk.signals({ open: true, limit: 10 })).length === 1)
    await desk.markDisplayed(id, "seat 1")
    await world.until(async () => (await raiser.signal(id)).displayedAfterMs !== undefined)
    await desk.acknowledgeSignal(id, "DAC drafter")
    await world.until(async () => (await raiser.signal(id)).desks[0]?.state === "acknowledged")
    expect((await raiser.signal(id)).desks[0]?.officer).toBe("DAC drafter")
  })
})

describe("proofs in virtual time", () => {
  it("proves cables and signals for sender and addressee, once they are final", async () => {
    const world = new NodeWorld(2, "proofs")
    await world.start()
    const { service: london } = world.node("LON")
    const { service: dhaka } = world.node("DAC")
    const cable = await world.send("LON", { to: ["DAC"] })
    const signal = (await london.raiseSignal({ event: "other", text: "line check" })).id
    await expect(london.proof("00".repeat(32))).rejects.toMatchObject({ code: "CABLE_UNKNOWN" })
    for (const service of [london, dhaka]) {
      for (const id of [cable, signal]) {
        let proof: Uint8Array | undefined
        for (let tries = 0; proof === undefined && tries < 100; tries++) {
          await world.clock.runFor(50)
          proof = await world.during(service.proof(id).catch(() => undefined))
        }
        const decoded = decodeProof(proof ?? new Uint8Array(0))
        const directory = new Directory(nativeSuite, world.ministry.genesisBytes)
        const { origin, validators } = directory.genesis
        const set = createValidatorSet(nativeSuite, 0, validators)
        const policy = validatorPolicy(origin, namedValidators(directory, set))
        expect(bytesToHex(verifyProof(nativeSuite, policy, decoded).cableId)).toBe(id)
      }
    }
  })
})

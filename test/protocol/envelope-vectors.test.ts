import { readFileSync, writeFileSync } from "node:fs"
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { encodeCable } from "../../protocol/cable.ts"
import { decodeCopy, encodeCopy } from "../../protocol/copy.ts"
import { encodeCore } from "../../protocol/core.ts"
import { sealEnvelope } from "../../protocol/envelope.ts"
import { entryCommitment } from "../../protocol/entry.ts"
import { hashCore } from "../../protocol/header.ts"
import { encodeInner } from "../../protocol/inner.ts"
import { keyId } from "../../protocol/keys.ts"
import { openCopy, type OpenLookups } from "../../protocol/open.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { buildReceipts, splitFor, verifyReceipts } from "../../protocol/receipt-batch.ts"
import { encodeReceipt, NO_PRIOR_RECEIPT, signReceipt } from "../../protocol/receipt.ts"
import { wrapPositions } from "../../protocol/wraps.ts"
import { NOON_MS, sampleCable } from "../support/contents.ts"
import { cableInput, copyOf, POLICY, sealSignal, World } from "../support/posts.ts"
import { refusal } from "../support/refusal.ts"
import { suites } from "../support/suites.ts"

// TARBARTA_WRITE_VECTORS=1 writes the file anew: a change of format, to be made on purpose only.
const FILE = new URL("../vectors/envelope.json", import.meta.url)
const SEED = "tarbarta frozen vectors 1"

type Vectors = ReturnType<typeof makeVectors>

function makeReceipts(world: World, cableId: Uint8Array) {
  const { dhaka } = world
  const receipt = signReceipt(
    {
      net: world.net,
      cableId: cableId,
      issuer: dhaka.rid,
      stage: "read",
      reason: "none",
      atMs: NOON_MS + 60_000,
      priorHash: NO_PRIOR_RECEIPT,
    },
    dhaka.duty.kid,
    dhaka.duty.sign,
  )
  const stored = { ...receipt, stage: "stored" as const, officer: undefined }
  const batch = buildReceipts(portableSuite, {
    net: world.net,
    issuer: dhaka.rid,
    incarnation: 0,
    createdMs: NOON_MS + 60_000,
    receipts: [stored, receipt],
    signerKid: dhaka.kid,
    sign: dhaka.sign,
  })
  return { stored, receipt, batch }
}

/** Everything in the file, from one seed on the portable suite, in a fixed order of draws. */
function makeVectors() {
  const suite = portableSuite
  const world = new World(suite, SEED)
  const { dhaka, lisbon, nairobi } = world
  const input = cableInput(world, { from: lisbon, to: [dhaka, nairobi], precedence: "immediate" })
  const sealed = sealEnvelope(suite, input, world.random)
  const coreHash = hashCore(suite, sealed.core)
  const opened = openCopy(suite, copyOf(sealed, dhaka), world.lookups(dhaka))
  const signal = sealSignal(world, lisbon, [dhaka])
  const { stored, receipt, batch } = makeReceipts(world, sealed.cableId)
  const hex = bytesToHex
  const officer = (post: typeof lisbon, role: "drafter" | "releaser" | "duty") => ({
    rid: post.rid,
    roles: post[role].key.roles,
    publicKey: hex(post[role].publicKey),
  })
  return {
    about:
      "Made by test/protocol/envelope-vectors.test.ts on the portable suite. All bytes in hex.",
    seed: SEED,
    net: hex(world.net),
    missions: [lisbon, dhaka].map((post) => ({ rid: post.rid, publicKey: hex(post.publicKey) })),
    officers: [officer(lisbon, "drafter"), officer(lisbon, "releaser"), officer(dhaka, "duty")],
    recipient: {
      rid: dhaka.rid,
      epoch: dhaka.epoch,
      epochSeed: hex(dhaka.epochSeed),
      epochKeySha256: hex(suite.sha256(dhaka.epochKey)),
    },
    cable: {
      content: hex(encodeCable(sampleCable())),
      core: hex(encodeCore(sealed.core)),
      coreHash: hex(coreHash),
      secret: hex(sealed.secret),
      positions: wrapPositions(suite, sealed.secret, coreHash),
      salt: hex(sealed.salt),
      header: hex(sealed.header),
      cableId: hex(sealed.cableId),
      commitment: hex(entryCommitment(suite, sealed.salt, sealed.cableId)),
      releaseSha256: hex(suite.sha256(opened.inner.release)),
      innerSha256: hex(suite.sha256(encodeInner(opened.inner))),
      copy: hex(encodeCopy(copyOf(sealed, dhaka))),
    },
    signal: {
      header: hex(signal.header),
      cableId: hex(signal.cableId),
      copySha256: hex(suite.sha256(encodeCopy(copyOf(signal, dhaka)))),
    },
    receipts: {
      stored: hex(encodeReceipt(stored)),
      readSha256: hex(suite.sha256(encodeReceipt(receipt))),
      statement: hex(batch.statement),
      batch: hex(splitFor(batch, [0, 1])),
    },
  }
}

function frozen(): Vectors {
  if (process.env["TARBARTA_WRITE_VECTORS"] === "1") {
    writeFileSync(FILE, `${JSON.stringify(makeVectors(), undefined, 1)}\n`)
  }
  return JSON.parse(readFileSync(FILE, "utf8")) as Vectors
}

const vectors = frozen()

function lookups(suite: (typeof suites)[number]): OpenLookups {
  const find = <T extends { publicKey: string }>(list: readonly T[], kid: Uint8Array) => {
    const wanted = bytesToHex(kid)
    return list.find((one) => bytesToHex(keyId(suite, hexToBytes(one.publicKey))) === wanted)
  }
  return {
    net: hexToBytes(vectors.net),
    rid: vectors.recipient.rid,
    policy: POLICY,
    epochSeedOf: (epoch) =>
      epoch === vectors.recipient.epoch ? hexToBytes(vectors.recipient.epochSeed) : undefined,
    senderKeyOf: (kid) => {
      const mission = find(vectors.missions, kid)
      return mission && { rid: mission.rid, publicKey: hexToBytes(mission.publicKey) }
    },
    officerKeyOf: (kid) => {
      const officer = find(vectors.officers, kid)
      return officer && { ...officer, publicKey: hexToBytes(officer.publicKey) }
    },
  }
}

describe("the frozen vectors vectors/envelope.json", () => {
  it("are what the portable suite makes of their seed, byte for byte", () => {
    expect(JSON.parse(JSON.stringify(makeVectors()))).toEqual(vectors)
  })

  it.each(suites)("open on the $name suite from the file alone", (suite) => {
    const copy = decodeCopy(hexToBytes(vectors.cable.copy))
    const opened = openCopy(suite, copy, lookups(suite))
    expect(opened.content).toEqual({ type: "cable", cable: sampleCable() })
    expect(bytesToHex(opened.cableId)).toBe(vectors.cable.cableId)
    expect(bytesToHex(opened.secret)).toBe(vectors.cable.secret)
    expect(bytesToHex(opened.salt)).toBe(vectors.cable.salt)
    const last = copy.body.length - 1
    const bent = { ...copy, body: copy.body.with(last, (copy.body[last] ?? 0) ^ 1) }
    expect(refusal(() => openCopy(suite, bent, lookups(suite)))).toBe("ENVELOPE_BODY")
  })

  it.each(suites)("hold receipts that verify on the $name suite", (suite) => {
    const verified = verifyReceipts(suite, hexToBytes(vectors.receipts.batch), lookups(suite))
    expect(verified.receipts.map((one) => one.stage)).toEqual(["stored", "read"])
    const other = { ...lookups(suite), net: new Uint8Array(32) }
    const bytes = hexToBytes(vectors.receipts.batch)
    expect(refusal(() => verifyReceipts(suite, bytes, other))).toBe("ENVELOPE_NETWORK")
  })
})

/** One cable sealed for 1 and for 81 recipients, against the bare primitives that it takes. */

import { randomFillSync } from "node:crypto"
import { encodeCable } from "../../protocol/cable.ts"
import { compositePublicKey, compositeSign } from "../../protocol/composite.ts"
import { sealEnvelope, type SealInput } from "../../protocol/envelope.ts"
import { kemPublicKey, openBase } from "../../protocol/hpke.ts"
import { keyId } from "../../protocol/keys.ts"
import { nativeSuite } from "../../node/suite.ts"
import { NOON_MS, sampleCable } from "../support/contents.ts"
import {
  interleave,
  millisecondsEach,
  ratioOf,
  spreadOf,
  type Figure,
  type Progress,
} from "./figures.ts"
import {
  bareChunkSeal,
  bareCompositeSign,
  bareHpkeSeal,
  bareRecipient,
  bareSigner,
} from "./primitives.ts"

const ROUNDS = 7
const TEXT_BYTES = 2_048
const RATIO_MAX = 1.3
/** Length of what a wrap binds: label, core hash, recipient, epoch, hash of the key. */
const INFO_BYTES = 80
const RELEASE_BYTES = 3_500

const random = (length: number): Uint8Array => randomFillSync(new Uint8Array(length))

export async function benchSeal(progress: Progress): Promise<Figure[]> {
  checkFloor()
  const figures: Figure[] = []
  for (const [count, each] of [
    [1, 60],
    [81, 4],
  ] as const) {
    const { sealOne, bareOne } = contenders(count)
    const found = await interleave(
      ROUNDS,
      {
        sealed: () => millisecondsEach(each, sealOne),
        bare: () => millisecondsEach(each, bareOne),
      },
      (text) => progress(`${count} recipients, ${text}`),
    )
    const ratio = ratioOf(found.sealed, found.bare)
    figures.push({
      name: `${TEXT_BYTES / 1_024} KiB for ${count} recipient${count === 1 ? "" : "s"}`,
      unit: "ms",
      measured: spreadOf(found.sealed),
      against: { name: `${count} × HPKE, signature, AES`, value: spreadOf(found.bare) },
      ratio,
      goal: { text: `at most ${RATIO_MAX} ×`, isMet: ratio <= RATIO_MAX },
    })
  }
  return figures
}

/** The same cable by our own function and by bare primitives. */
function contenders(count: number): { sealOne: () => void; bareOne: () => void } {
  const seed = random(64)
  const keys = Array.from({ length: count }, () => kemPublicKey(nativeSuite, random(32)))
  const input = inputFor(keys, seed)
  const padded = random(sealEnvelope(nativeSuite, input, random).core.paddedLen)
  const signer = bareSigner(seed)
  const recipients = keys.map(bareRecipient)
  const info = random(INFO_BYTES)
  return {
    sealOne: () => {
      sealEnvelope(nativeSuite, input, random)
    },
    bareOne: () => {
      const secret = random(32)
      for (const recipient of recipients) bareHpkeSeal(recipient, info, secret)
      bareChunkSeal(secret, padded)
      bareCompositeSign(signer, "TB1/cable/real", secret)
    },
  }
}

function inputFor(epochKeys: readonly Uint8Array[], seed: Uint8Array): SealInput {
  const cable = { ...sampleCable(), text: "x".repeat(TEXT_BYTES) }
  return {
    net: random(32),
    bodyType: "cable",
    kind: "real",
    sender: 200,
    signerKid: keyId(nativeSuite, compositePublicKey(nativeSuite, seed)),
    incarnation: 0,
    seq: 7,
    prevHash: new Uint8Array(32),
    flags: { breakGlass: false, courier: false },
    createdMs: NOON_MS,
    expiresMs: NOON_MS + 86_400_000,
    recipients: epochKeys.map((epochKey, index) => ({
      rid: index,
      role: index === 0 ? "action" : "info",
      precedence: "routine",
      pairSeq: 3,
      epoch: 20_655,
      epochKey,
    })),
    exempted: [],
    content: encodeCable(cable),
    release: random(RELEASE_BYTES),
    sign: (context, message) => compositeSign(nativeSuite, seed, context, message, random),
  }
}

/** A floor that computes something else would be none. */
function checkFloor(): void {
  const [seed, info, secret] = [random(32), random(INFO_BYTES), random(32)]
  const sealed = bareHpkeSeal(bareRecipient(kemPublicKey(nativeSuite, seed)), info, secret)
  const opened = openBase(nativeSuite, seed, info, new Uint8Array(0), sealed)
  if (!Buffer.from(opened).equals(secret)) throw new Error("the bare HPKE seals something else")
}

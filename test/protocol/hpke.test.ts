/** HPKE: published vectors of the KEM and the key schedule, frozen ones, every wrong opening. */

import { shake128 } from "@noble/hashes/sha3.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import {
  HPKE_SUITE_1,
  hpkeSuiteId,
  kemDecapsulate,
  kemEncapsulate,
  kemPublicKey,
  keySchedule,
  labeledExpand,
  labeledExtract,
  openBase,
  sealBase,
  type HpkeAlgorithms,
} from "../../protocol/hpke.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import { nativeSuite } from "../../node/suite.ts"
import { refusal } from "../support/refusal.ts"
import { seededRandom } from "../support/rng.ts"
import { hex, readFrozen, publishedVectors } from "../support/vectors.ts"

interface XWingCase {
  readonly eseed: string
  readonly sk: string
  readonly pk: string
  readonly ct: string
  readonly ss: string
}

interface HpkeCase {
  readonly mode: number
  readonly kem_id: number
  readonly kdf_id: number
  readonly aead_id: number
  readonly info: string
  readonly ikmE: string
  readonly skRm: string
  readonly pkRm: string
  readonly enc: string
}

interface ScheduleCase extends HpkeCase {
  readonly shared_secret: string
  readonly key_schedule_context?: string
  readonly secret?: string
  readonly key: string
  readonly base_nonce: string
  readonly exporter_secret: string
  readonly encryptions: readonly EncryptionCase[]
  readonly exports: readonly {
    readonly exporter_context: string
    readonly L: number
    readonly exported_value: string
  }[]
}

interface EncryptionCase {
  readonly aad: string
  readonly nonce: string
  readonly ct?: string
  readonly ciphertext?: string
  readonly pt?: string
  readonly plaintext?: string
}

interface AccumulatedCase extends HpkeCase {
  readonly encryptions_accumulated?: string
  readonly exports_accumulated: string
}

interface FrozenCase {
  readonly seed: string
  readonly info: string
  readonly associatedData: string
  readonly plaintext: string
  readonly randomSeed: string
  readonly publicKey: string
  readonly sealed: string
}

const [AES_128_GCM, AES_256_GCM, EXPORT_ONLY] = [1, 2, 0xffff]
const X25519_KEM = 0x0020
const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()
const frozen = readFrozen("hpke.json") as readonly FrozenCase[]

const isXWing = (one: HpkeCase): boolean => one.kem_id === HPKE_SUITE_1.kemId
/** Base mode with a KDF that we have; only the KEM and the AEAD may be others. */
const isBase = (one: HpkeCase): boolean =>
  one.mode === 0 && one.kdf_id === 1 && one.kem_id === X25519_KEM

describe.each([portableSuite, nativeSuite])("HPKE on the $name suite", (suite) => {
  const xWing = publishedVectors<readonly XWingCase[]>({
    file: "xwing/test-vectors.json",
    count: (cases) => cases.length,
  })
  it(xWing.name("has the KEM of the X-Wing draft"), (task) => {
    const cases = xWing.read(task)
    for (const one of cases) {
      expect(kemPublicKey(suite, hex(one.sk))).toEqual(hex(one.pk))
      expect(kemDecapsulate(suite, hex(one.sk), hex(one.ct))).toEqual(hex(one.ss))
      const random = script(hex(one.eseed))
      const made = kemEncapsulate(portableSuite, hex(one.pk), random)
      expect(made.ciphertext).toEqual(hex(one.ct))
      expect(made.sharedSecret).toEqual(hex(one.ss))
      const fresh = kemEncapsulate(suite, hex(one.pk), seededRandom(one.eseed))
      const secret = kemDecapsulate(suite, hex(one.sk), fresh.ciphertext)
      expect(secret).toEqual(fresh.sharedSecret)
    }
  })

  const hpkePq = publishedVectors<readonly ScheduleCase[]>({
    file: "hpke/hpke-pq.json",
    count: (cases) => cases.filter(isXWing).length,
  })
  it(hpkePq.name("is MLKEM768-X25519 with ChaCha20-Poly1305 of the HPKE working group"), (task) => {
    const cases = hpkePq.read(task)
    for (const one of cases.filter(isXWing)) {
      const [seed, key, info] = [hex(one.skRm), hex(one.pkRm), hex(one.info)]
      expect(kemPublicKey(suite, seed)).toEqual(key)
      const secret = kemDecapsulate(suite, seed, hex(one.enc))
      expect(bytesToHex(secret)).toBe(one.shared_secret)
      checkSchedule(suite, one, HPKE_SUITE_1)
      const [first] = one.encryptions
      if (first === undefined) throw new Error("a case without encryptions")
      const [aad, plaintext] = [hex(first.aad), hex(first.pt)]
      const sealed = concatBytes(hex(one.enc), hex(first.ct))
      expect(openBase(suite, seed, info, aad, sealed)).toEqual(plaintext)
      const random = script(hex(one.ikmE))
      expect(sealBase(portableSuite, key, info, aad, plaintext, random)).toEqual(sealed)
    }
  })

  const allModes = publishedVectors<readonly ScheduleCase[]>({
    file: "hpke/x25519-hkdfsha256-all-modes.json",
    count: (cases) => cases.filter(isBase).length,
  })
  it(allModes.name("has the key schedule of RFC 9180 in base mode"), (task) => {
    const cases = allModes.read(task)
    for (const one of cases.filter(isBase)) checkSchedule(suite, one, algorithmsOf(one))
  })

  const rfc9180 = publishedVectors<readonly AccumulatedCase[]>({
    file: "hpke/rfc9180-base-accumulated.json",
    count: (cases) => cases.filter(isBase).length,
  })
  it(rfc9180.name("accumulates the messages and exports of RFC 9180 with X25519"), (task) => {
    const cases = rfc9180.read(task)
    for (const one of cases.filter(isBase)) {
      const algorithms = algorithmsOf(one)
      const schedule = keySchedule(suite, algorithms, dhkem(suite, one), hex(one.info))
      expect(accumulateSeals(suite, one, schedule)).toBe(one.encryptions_accumulated)
      expect(accumulateExports(suite, algorithms, schedule)).toBe(one.exports_accumulated)
    }
  })

  it(`matches ${frozen.length} frozen messages`, () => {
    for (const one of frozen) {
      const [seed, info, aad] = [hex(one.seed), hex(one.info), hex(one.associatedData)]
      const plaintext = hex(one.plaintext)
      const key = kemPublicKey(suite, seed)
      expect(bytesToHex(key)).toBe(one.publicKey)
      expect(openBase(suite, seed, info, aad, hex(one.sealed))).toEqual(plaintext)
      const made = sealBase(suite, key, info, aad, plaintext, seededRandom(one.randomSeed))
      expect(suite.name === "portable" ? bytesToHex(made) : one.sealed).toBe(one.sealed)
      expect(openBase(portableSuite, seed, info, aad, made)).toEqual(plaintext)
    }
  })

  const random = seededRandom("hpke refusals")
  const seed = random(32)
  const key = kemPublicKey(suite, seed)
  const [info, aad, plaintext] = [random(20), random(20), random(32)]
  const sealed = sealBase(suite, key, info, aad, plaintext, random)

  it("opens nothing under another key, info or associated data", () => {
    expect(openBase(suite, seed, info, aad, sealed)).toEqual(plaintext)
    for (const action of [
      () => openBase(suite, random(32), info, aad, sealed),
      () => openBase(suite, seed, aad, aad, sealed),
      () => openBase(suite, seed, info, info, sealed),
      () => openBase(suite, seed, NOTHING, aad, sealed),
    ]) {
      expect(refusal(action)).toBe("HPKE_OPEN")
    }
  })

  it("opens nothing that was damaged, cut or made up", () => {
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const damaged = Uint8Array.from(sealed)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        // X25519 ignores the topmost bit of a key, but the combiner hashes all bytes of it.
        expect(refusal(() => openBase(suite, seed, info, aad, damaged))).toBe("HPKE_OPEN")
      }),
      { seed: 1, numRuns: 60 },
    )
    for (const length of [0, 1, 1_119, 1_120, 1_135, 1_136, sealed.length - 1]) {
      const cut = sealed.subarray(0, length)
      expect(
        refusal(() => openBase(suite, seed, info, aad, cut)),
        `${length}`,
      ).toBe("HPKE_OPEN")
    }
    const lowOrder = Uint8Array.from(sealed)
    lowOrder.fill(0, 1_088, 1_120)
    expect(refusal(() => openBase(suite, seed, info, aad, lowOrder))).toBe("HPKE_OPEN")
  })

  it("seals to no key that is not one", () => {
    const lowOrder = Uint8Array.from(key)
    lowOrder.fill(0, 1_184)
    const notReduced = Uint8Array.from(key)
    notReduced.fill(0xff, 0, 1_184)
    for (const wrong of [NOTHING, key.subarray(1), lowOrder, notReduced]) {
      const seal = () => sealBase(suite, wrong, info, aad, plaintext, random)
      expect(refusal(seal)).toBe("SUITE_KEY")
    }
  })
})

/** Gives out fixed bytes, in order, and no more than there are. */
function script(bytes: Uint8Array): RandomSource {
  let offset = 0
  return (length) => {
    if (offset + length > bytes.length) throw new Error("the script of random bytes ran out")
    offset += length
    return bytes.subarray(offset - length, offset)
  }
}

function algorithmsOf(one: HpkeCase): HpkeAlgorithms {
  const keyBytes = one.aead_id === AES_128_GCM ? 16 : 32
  return { kemId: one.kem_id, aeadId: one.aead_id, keyBytes }
}

/** Checks everything that follows from the shared secret of a published case. */
function checkSchedule(suite: Suite, one: ScheduleCase, algorithms: HpkeAlgorithms): void {
  const schedule = keySchedule(suite, algorithms, hex(one.shared_secret), hex(one.info))
  // Not every file prints these two.
  const [context, secret] = [bytesToHex(schedule.context), bytesToHex(schedule.secret)]
  expect(context).toBe(one.key_schedule_context ?? context)
  expect(secret).toBe(one.secret ?? secret)
  const id = hpkeSuiteId(algorithms)
  const exporter = labeledExpand(suite, id, schedule.secret, "exp", schedule.context, 32)
  expect(bytesToHex(exporter)).toBe(one.exporter_secret)
  for (const { exporter_context, L, exported_value } of one.exports) {
    const value = labeledExpand(suite, id, exporter, "sec", hex(exporter_context), L)
    expect(bytesToHex(value)).toBe(exported_value)
  }
  if (algorithms.aeadId === EXPORT_ONLY) return
  expect(bytesToHex(schedule.key)).toBe(one.key)
  expect(bytesToHex(schedule.baseNonce)).toBe(one.base_nonce)
  if (algorithms.aeadId === AES_128_GCM) return
  for (const encryption of one.encryptions) {
    const [nonce, aad] = [hex(encryption.nonce), hex(encryption.aad)]
    const plaintext = hex(encryption.pt ?? encryption.plaintext)
    const made = seal(suite, algorithms.aeadId, schedule.key, nonce, aad, plaintext)
    expect(bytesToHex(made)).toBe(encryption.ct ?? encryption.ciphertext)
  }
}

function seal(
  suite: Suite,
  aeadId: number,
  ...inputs: Parameters<Suite["aes256GcmSeal"]>
): Uint8Array {
  return aeadId === AES_256_GCM
    ? suite.aes256GcmSeal(...inputs)
    : suite.chacha20Poly1305Seal(...inputs)
}

/** DHKEM(X25519, HKDF-SHA256) of RFC 9180 §4.1, the receiving side. */
function dhkem(suite: Suite, one: HpkeCase): Uint8Array {
  const id = concatBytes(encoder.encode("KEM"), Uint8Array.of(0, X25519_KEM))
  const agreed = suite.x25519SharedSecret(hex(one.skRm), hex(one.enc))
  const key = labeledExtract(suite, id, NOTHING, "eae_prk", agreed)
  const context = concatBytes(hex(one.enc), hex(one.pkRm))
  return labeledExpand(suite, id, key, "shared_secret", context, 32)
}

/** Over the AEADs of the suites; for others, what the file says. */
function accumulateSeals(
  suite: Suite,
  one: AccumulatedCase,
  { key, baseNonce }: { readonly key: Uint8Array; readonly baseNonce: Uint8Array },
): string | undefined {
  const { aead_id: aeadId } = one
  if (aeadId === EXPORT_ONLY || aeadId === AES_128_GCM) return one.encryptions_accumulated
  const source = shake128.create()
  const accumulated = shake128.create()
  const draw = (): Uint8Array => source.xof(source.xof(1)[0] ?? 0)
  for (let sequence = 0; sequence < 1_000; sequence++) {
    const [aad, plaintext] = [draw(), draw()]
    const nonce = Uint8Array.from(baseNonce)
    const view = new DataView(nonce.buffer)
    view.setUint32(8, view.getUint32(8) ^ sequence)
    accumulated.update(seal(suite, aeadId, key, nonce, aad, plaintext))
  }
  return bytesToHex(accumulated.xof(16))
}

function accumulateExports(
  suite: Suite,
  algorithms: HpkeAlgorithms,
  schedule: { readonly secret: Uint8Array; readonly context: Uint8Array },
): string {
  const id = hpkeSuiteId(algorithms)
  const exporter = labeledExpand(suite, id, schedule.secret, "exp", schedule.context, 32)
  const source = shake128.create()
  const accumulated = shake128.create()
  for (let length = 0; length < 1_000; length++) {
    const context = source.xof(source.xof(1)[0] ?? 0)
    accumulated.update(labeledExpand(suite, id, exporter, "sec", context, length))
  }
  return bytesToHex(accumulated.xof(16))
}

/** HPKE against two libraries of others, in both directions. */

import { chacha20poly1305 } from "@noble/ciphers/chacha.js"
import { AeadId, CipherSuite as HpkeJs, HkdfSha256, type AeadInterface } from "@hpke/core"
import { XWing } from "@hpke/hybridkem-x-wing"
import {
  AEAD_ChaCha20Poly1305,
  CipherSuite as Panva,
  KDF_HKDF_SHA256,
  KEM_MLKEM768_X25519,
} from "hpke"
import { describe, expect, it } from "vitest"
import { concatBytes } from "../../protocol/bytes.ts"
import { kemPublicKey, openBase, sealBase } from "../../protocol/hpke.ts"
import { KEM_CIPHERTEXT_BYTES } from "../../protocol/limits.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { nativeSuite } from "../../node/suite.ts"
import { seededRandom } from "../support/rng.ts"

const ROUNDS = 10

/** What a library must be able to do with bytes. */
interface Other {
  readonly name: string
  seal(key: Uint8Array, info: Uint8Array, aad: Uint8Array, text: Uint8Array): Promise<Uint8Array>
  open(seed: Uint8Array, info: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Promise<Uint8Array>
}

/** That library's own ChaCha20-Poly1305 is a package apart; this gives it the portable one. */
const chachaForHpkeJs: AeadInterface = {
  id: AeadId.Chacha20Poly1305,
  keySize: 32,
  nonceSize: 12,
  tagSize: 16,
  createEncryptionContext(key) {
    const run = (iv: Bytes, data: Bytes, aad: Bytes, what: "encrypt" | "decrypt") => {
      const cipher = chacha20poly1305(bytesOf(key), bytesOf(iv), bytesOf(aad))
      return Promise.resolve(exactBuffer(cipher[what](bytesOf(data))))
    }
    return {
      seal: (iv, data, aad) => run(iv, data, aad, "encrypt"),
      open: (iv, data, aad) => run(iv, data, aad, "decrypt"),
    }
  },
}

const hpkeJs = new HpkeJs({ kem: new XWing(), kdf: new HkdfSha256(), aead: chachaForHpkeJs })
const panva = new Panva(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_ChaCha20Poly1305)

const others: readonly Other[] = [
  {
    name: "@hpke/core with @hpke/hybridkem-x-wing",
    async seal(key, info, aad, text) {
      const recipientPublicKey = await hpkeJs.kem.deserializePublicKey(exactBuffer(key))
      const sender = await hpkeJs.createSenderContext({
        recipientPublicKey,
        info: exactBuffer(info),
      })
      const sealed = await sender.seal(exactBuffer(text), exactBuffer(aad))
      return concatBytes(new Uint8Array(sender.enc), new Uint8Array(sealed))
    },
    async open(seed, info, aad, sealed) {
      const recipientKey = await hpkeJs.kem.deserializePrivateKey(exactBuffer(seed))
      const recipient = await hpkeJs.createRecipientContext({
        recipientKey,
        enc: exactBuffer(sealed.subarray(0, KEM_CIPHERTEXT_BYTES)),
        info: exactBuffer(info),
      })
      const text = sealed.subarray(KEM_CIPHERTEXT_BYTES)
      return new Uint8Array(await recipient.open(exactBuffer(text), exactBuffer(aad)))
    },
  },
  {
    name: "hpke",
    async seal(key, info, aad, text) {
      const publicKey = await panva.DeserializePublicKey(key)
      const sealed = await panva.Seal(publicKey, text, { aad, info })
      return concatBytes(sealed.encapsulatedSecret, sealed.ciphertext)
    },
    async open(seed, info, aad, sealed) {
      const privateKey = await panva.DeserializePrivateKey(seed)
      const [enc, text] = [
        sealed.subarray(0, KEM_CIPHERTEXT_BYTES),
        sealed.subarray(KEM_CIPHERTEXT_BYTES),
      ]
      return panva.Open(privateKey, enc, text, { aad, info })
    },
  },
]

describe.each([portableSuite, nativeSuite])("HPKE on the $name suite", (suite) => {
  it.each(others)("opens what $name seals, and seals what it opens", async (other) => {
    const random = seededRandom(`interop ${other.name}`)
    for (let round = 0; round < ROUNDS; round++) {
      const seed = random(32)
      const key = kemPublicKey(suite, seed)
      const [info, aad, text] = [random(round * 9 + 1), random(round * 5), random(round * 100)]
      const theirs = await other.seal(key, info, aad, text)
      expect(openBase(suite, seed, info, aad, theirs), `round ${round}`).toEqual(text)
      const ours = sealBase(suite, key, info, aad, text, random)
      const opened = new Uint8Array(await other.open(seed, info, aad, ours))
      expect(opened, `round ${round}`).toEqual(text)
      await expect(
        other.open(seed, aad, concatBytes(info, aad, text), ours),
      ).rejects.toBeInstanceOf(Error)
    }
  })
})

type Bytes = ArrayBufferLike | ArrayBufferView

function bytesOf(bytes: Bytes): Uint8Array {
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes)
}

/** An `ArrayBuffer` of exactly these bytes. */
function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}

/**
 * Makes the frozen vectors of composite signatures, HPKE and chunked encryption, from the portable
 * suite and a seeded generator: `node test/vectors/freeze-primitives.ts`.
 *
 * Tests compare against the files, never against this script; running it again must change nothing.
 */

import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { bytesToHex } from "@noble/hashes/utils.js"
import { sealChunked } from "../../protocol/chunked.ts"
import { compositePublicKey, compositeSign } from "../../protocol/composite.ts"
import { kemPublicKey, sealBase } from "../../protocol/hpke.ts"
import { portableSuite } from "../../protocol/portable.ts"
import { seededRandom } from "../support/rng.ts"

const CHUNK = 16_384

function freeze(name: string, content: unknown): void {
  const path = new URL(name, import.meta.url)
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`)
}

/** Long fields stand by their SHA-256: the test makes them again from the inputs. */
function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex")
}

function compositeCases(): readonly unknown[] {
  return ["", "TB1/cable/real", "x".repeat(255)].map((context, index) => {
    const random = seededRandom(`composite ${index}`)
    const seed = random(64)
    const message = random(index * 100)
    return {
      seed: bytesToHex(seed),
      context,
      message: bytesToHex(message),
      randomSeed: `composite signature ${index}`,
      publicKey: bytesToHex(compositePublicKey(portableSuite, seed)),
      signature: bytesToHex(
        compositeSign(
          portableSuite,
          seed,
          context,
          message,
          seededRandom(`composite signature ${index}`),
        ),
      ),
    }
  })
}

function hpkeCases(): readonly unknown[] {
  return [0, 32, 300].map((length, index) => {
    const random = seededRandom(`hpke ${index}`)
    const seed = random(32)
    const info = random(index * 40)
    const associatedData = random(index * 7)
    const plaintext = random(length)
    const publicKey = kemPublicKey(portableSuite, seed)
    const randomSeed = `hpke seal ${index}`
    const sealed = sealBase(
      portableSuite,
      publicKey,
      info,
      associatedData,
      plaintext,
      seededRandom(randomSeed),
    )
    return {
      seed: bytesToHex(seed),
      info: bytesToHex(info),
      associatedData: bytesToHex(associatedData),
      plaintext: bytesToHex(plaintext),
      randomSeed,
      publicKey: bytesToHex(publicKey),
      sealed: bytesToHex(sealed),
    }
  })
}

function chunkedCases(): readonly unknown[] {
  return [0, 1, 200, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 77].map((length) => {
    const random = seededRandom(`chunked ${length}`)
    const key = random(32)
    const context = random(length % 50)
    const plaintextSeed = `chunked plaintext ${length}`
    const plaintext = seededRandom(plaintextSeed)(length)
    const randomSeed = `chunked seal ${length}`
    const body = sealChunked(portableSuite, key, context, plaintext, seededRandom(randomSeed))
    return {
      key: bytesToHex(key),
      context: bytesToHex(context),
      length,
      plaintextSeed,
      randomSeed,
      header: bytesToHex(body.subarray(0, 56)),
      bodyLength: body.length,
      bodySha256: digest(body),
    }
  })
}

freeze("composite.json", compositeCases())
freeze("hpke.json", hpkeCases())
freeze("chunked.json", chunkedCases())

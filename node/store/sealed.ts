/**
 * A database whose values are sealed: everything secret that a node stores goes through here.
 *
 * Values only. Keys stay readable on the disk, so they must be ids, serials and states and never
 * hold content; lengths of values show as well. A sealed value is bound to its key's name and
 * cannot be moved, but an older value of the same key can be put back by whoever can write to the
 * disk: what must not go back is checked against the ledger.
 */

import { TarbartaError } from "../../protocol/errors.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import { NodeError } from "../errors.ts"
import type { Database, Operation, Range } from "./database.ts"

const NONCE_BYTES = 12
const encoder = new TextEncoder()

/** What is needed to seal: AES-256-GCM, a 32-byte key used for nothing else, randomness. */
export interface Sealing {
  readonly suite: Pick<Suite, "aes256GcmSeal" | "aes256GcmOpen">
  readonly key: Uint8Array
  readonly random: RandomSource
}

/**
 * Wraps `database`. A stored value is nonce(12, random) ‖ ciphertext ‖ tag(16) under AES-256-GCM
 * with the key's name as associated data. Random nonces hold for 2^32 values under one key, which
 * is forty years at three a second.
 *
 * A value that does not open (another key, tampering) is `STORE_DAMAGED` and names the key. Closing
 * closes the database underneath.
 */
export function sealDatabase(database: Database, sealing: Sealing): Database {
  return new SealedDatabase(database, sealing)
}

class SealedDatabase implements Database {
  readonly #database: Database
  readonly #sealing: Sealing

  constructor(database: Database, sealing: Sealing) {
    this.#database = database
    this.#sealing = sealing
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const stored = await this.#database.get(key)
    return stored === undefined ? undefined : this.#open(key, stored)
  }

  async *range(range: Range): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    for await (const [key, stored] of this.#database.range(range)) {
      yield [key, this.#open(key, stored)]
    }
  }

  async write(operations: readonly Operation[], options?: { urgent?: boolean }): Promise<void> {
    const sealed = operations.map((operation) =>
      operation.type === "put"
        ? { ...operation, value: this.#seal(operation.key, operation.value) }
        : operation,
    )
    await this.#database.write(sealed, options)
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  #seal(key: string, value: Uint8Array): Uint8Array {
    const { suite, random } = this.#sealing
    const nonce = random(NONCE_BYTES)
    const ciphertext = suite.aes256GcmSeal(this.#sealing.key, nonce, encoder.encode(key), value)
    const stored = new Uint8Array(NONCE_BYTES + ciphertext.length)
    stored.set(nonce)
    stored.set(ciphertext, NONCE_BYTES)
    return stored
  }

  #open(key: string, stored: Uint8Array): Uint8Array {
    const nonce = stored.subarray(0, NONCE_BYTES)
    const ciphertext = stored.subarray(NONCE_BYTES)
    if (nonce.length < NONCE_BYTES) {
      const why = `${stored.length} bytes are no sealed value`
      throw new NodeError("STORE_DAMAGED", `value of ${key}: ${why}`)
    }
    const { suite } = this.#sealing
    try {
      return suite.aes256GcmOpen(this.#sealing.key, nonce, encoder.encode(key), ciphertext)
    } catch (cause) {
      if (!(cause instanceof TarbartaError)) throw cause
      throw new NodeError("STORE_DAMAGED", `value of ${key} does not open with the store's key`, {
        cause,
      })
    }
  }
}

/**
 * Private keys at rest, and their use: a keystore hands out signers, not keys.
 *
 * One file holds the secrets of a node (or of an officer), sealed with AES-256-GCM under a key from
 * the passphrase (kdf.ts). It changes rarely and always as a whole. What grows or changes daily,
 * such as epoch keys, goes into the database under the store key that is kept here.
 */

import { stat } from "node:fs/promises"
import { assert } from "../protocol/assert.ts"
import { compositePublicKey, compositeSign } from "../protocol/composite.ts"
import { TarbartaError } from "../protocol/errors.ts"
import type { CompositeSigner } from "../protocol/keys.ts"
import { KEYSTORE_BYTES_MAX } from "../protocol/limits.ts"
import type { RandomSource, Suite } from "../protocol/suite.ts"
import { NodeError } from "./errors.ts"
import { checkKdfParameters, deriveKey, KDF_PROFILES, KDF_SALT_BYTES } from "./kdf.ts"
import type { KdfProfile } from "./kdf.ts"
import {
  decodeKeyFile,
  decodeSecrets,
  encodeHead,
  encodeKeyFile,
  encodeSecrets,
  KDF_ARGON2ID,
  KEY_FILE_NONCE_BYTES,
  KEY_FILE_VERSION,
  type KeyFile,
  type NamedSecret,
  type SecretKind,
} from "./keystore-file.ts"
import { readFileUpTo, replaceFile, systemCode, systemReason } from "./store/file.ts"

/** What every operation on a key file needs. */
export interface KeystoreAccess {
  readonly path: string
  readonly passphrase: string
  /** The profile in force: what new files get, and whether files of tests open (kdf.ts). */
  readonly profile: KdfProfile
  readonly suite: Suite
  readonly random: RandomSource
}

/**
 * Makes a new key file (mode 0600), durably, and opens it.
 *
 * @throws NodeError `HOME_EXISTS` when there is one already, `PASSPHRASE_MISSING` for an empty
 * passphrase, `FILE_UNREADABLE` when it cannot be written.
 */
export async function createKeystore(
  access: KeystoreAccess,
  secrets: readonly NamedSecret[],
): Promise<Keystore> {
  const isThere = await stat(access.path).then(
    () => true,
    () => false,
  )
  if (isThere) throw new NodeError("HOME_EXISTS", `key file ${access.path} exists already`)
  await writeKeyFile(access, access.passphrase, secrets)
  return new Keystore(access, secrets)
}

/**
 * Opens a key file.
 *
 * @throws NodeError `KEYSTORE_MISSING`, `KEYSTORE_DAMAGED`, `KEYSTORE_PARAMETERS` (refused before any
 * work is done), `KEYSTORE_PASSPHRASE`, `FILE_PERMISSIONS` when others may read it.
 */
export async function openKeystore(access: KeystoreAccess): Promise<Keystore> {
  const file = await readKeyFile(access)
  const key = await deriveKey(access.passphrase, file.salt, file.parameters)
  const secrets = openSecrets(access, file, key)
  key.fill(0)
  return new Keystore(access, secrets)
}

/** Changes to a key file; a name that is put replaces the secret of that name. */
export interface KeystoreChange {
  readonly put?: readonly NamedSecret[]
  readonly remove?: readonly string[]
  readonly newPassphrase?: string
}

/**
 * Opens a key file, applies a change, and puts the new file in its place, with fresh salt and the
 * parameters of the profile in force. A crash leaves the old file or the new one.
 *
 * @throws NodeError as {@link openKeystore}.
 */
export async function rewriteKeystore(
  access: KeystoreAccess,
  change: KeystoreChange,
): Promise<Keystore> {
  const former = await openKeystore(access)
  const secrets = former.changed(change)
  await writeKeyFile(access, change.newPassphrase ?? access.passphrase, secrets)
  former.close()
  return new Keystore(access, secrets)
}

/** The opened secrets of one key file. */
export class Keystore {
  readonly #suite: Suite
  readonly #random: RandomSource
  readonly #path: string
  readonly #secrets: ReadonlyMap<string, NamedSecret>
  #isClosed = false

  /** Takes copies of the secrets. */
  constructor(
    access: Pick<KeystoreAccess, "suite" | "random" | "path">,
    secrets: readonly NamedSecret[],
  ) {
    this.#suite = access.suite
    this.#random = access.random
    this.#path = access.path
    this.#secrets = new Map(
      secrets.map((secret) => [secret.name, { ...secret, bytes: secret.bytes.slice() }]),
    )
  }

  has(name: string): boolean {
    return this.#secrets.has(name)
  }

  /** In alphabetical order. */
  names(): readonly string[] {
    return [...this.#secrets.keys()].toSorted()
  }

  /** Signs with a composite key: `(context, message)` → 3,373 bytes. */
  signer(name: string): CompositeSigner {
    this.#find(name, "composite")
    return (context, message) => {
      const seed = this.#find(name, "composite")
      return compositeSign(this.#suite, seed, context, message, this.#random)
    }
  }

  /** Signs with an Ed25519 key: `message` → 64 bytes. */
  ed25519Signer(name: string): (message: Uint8Array) => Uint8Array {
    this.#find(name, "ed25519")
    return (message) => this.#suite.ed25519Sign(this.#find(name, "ed25519"), message)
  }

  /** Signs with an ML-DSA-44 key: `(context, message)` → 2,420 bytes. */
  mldsa44Signer(name: string): (context: Uint8Array, message: Uint8Array) => Uint8Array {
    this.#find(name, "mldsa44")
    return (context, message) => {
      const seed = this.#find(name, "mldsa44")
      return this.#suite.mldsaSign(44, seed, message, context, this.#random)
    }
  }

  /** Public key of a key that signs. */
  publicKey(name: string): Uint8Array {
    const kind = this.#secrets.get(name)?.kind
    if (kind === "ed25519") return this.#suite.ed25519PublicKey(this.#find(name, kind))
    if (kind === "mldsa44") return this.#suite.mldsaPublicKey(44, this.#find(name, kind))
    return compositePublicKey(this.#suite, this.#find(name, "composite"))
  }

  /** Bytes of a KEM seed, transport seed or store key: 32. Never those of a key that signs. */
  secret(name: string): Uint8Array {
    return this.#find(name, "secret")
  }

  /** The secrets as a change would leave them; for {@link rewriteKeystore}. */
  changed(change: KeystoreChange): readonly NamedSecret[] {
    const after = new Map(this.#secrets)
    for (const name of change.remove ?? []) after.delete(name)
    for (const secret of change.put ?? []) after.set(secret.name, secret)
    return [...after.values()].map((secret) => ({ ...secret, bytes: secret.bytes.slice() }))
  }

  /** Overwrites the secrets in memory; signers made before fail an assertion from then on. */
  close(): void {
    this.#isClosed = true
    for (const { bytes } of this.#secrets.values()) bytes.fill(0)
  }

  #find(name: string, kind: SecretKind): Uint8Array {
    assert(!this.#isClosed, "a closed keystore signs nothing")
    const found = this.#secrets.get(name)
    if (found === undefined) {
      throw new NodeError("KEYSTORE_MISSING", `key file ${this.#path} holds no key named ${name}`)
    }
    assert(found.kind === kind, `the key ${name} is of kind ${found.kind}, not ${kind}`)
    return found.bytes
  }
}

async function readKeyFile(access: KeystoreAccess): Promise<KeyFile> {
  const { path, suite } = access
  let file: KeyFile
  try {
    await checkPrivate(path)
    file = decodeKeyFile(suite, await readFileUpTo(path, KEYSTORE_BYTES_MAX))
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") {
      const hint = "make keys first: network create (headquarters) or mission request"
      throw new NodeError("KEYSTORE_MISSING", `no key file at ${path}`, { cause, hint })
    }
    if (cause instanceof NodeError || !(cause instanceof TarbartaError)) throw cause
    throw damaged(path, cause)
  }
  if (file.version !== KEY_FILE_VERSION || file.kdf !== KDF_ARGON2ID) {
    const found = `version ${file.version}, kdf ${file.kdf}`
    throw new NodeError("KEYSTORE_PARAMETERS", `key file ${path}: unknown ${found}`)
  }
  checkKdfParameters(file.parameters, access.profile)
  return file
}

/** @throws NodeError `FILE_PERMISSIONS` when anyone but the owner may read or write the file. */
async function checkPrivate(path: string): Promise<void> {
  const status = await stat(path)
  if (process.platform === "win32" || (status.mode & 0o077) === 0) return
  const mode = (status.mode & 0o777).toString(8)
  throw new NodeError("FILE_PERMISSIONS", `key file ${path} is open to others: mode ${mode}`, {
    hint: `chmod 600 ${path}`,
  })
}

function openSecrets(access: KeystoreAccess, file: KeyFile, key: Uint8Array): NamedSecret[] {
  let content: Uint8Array
  try {
    content = access.suite.aes256GcmOpen(key, file.nonce, encodeHead(file), file.sealed)
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    const message = `wrong passphrase for key file ${access.path}`
    throw new NodeError("KEYSTORE_PASSPHRASE", message, { cause })
  }
  try {
    return decodeSecrets(content)
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    throw damaged(access.path, cause)
  } finally {
    content.fill(0)
  }
}

async function writeKeyFile(
  access: KeystoreAccess,
  passphrase: string,
  secrets: readonly NamedSecret[],
): Promise<void> {
  if (passphrase === "") {
    throw new NodeError("PASSPHRASE_MISSING", "a key file needs a passphrase, got an empty one")
  }
  const parameters = KDF_PROFILES[access.profile]
  checkKdfParameters(parameters, access.profile)
  const salt = access.random(KDF_SALT_BYTES)
  const nonce = access.random(KEY_FILE_NONCE_BYTES)
  const head = { version: KEY_FILE_VERSION, kdf: KDF_ARGON2ID, parameters, salt, nonce }
  const content = encodeSecrets(secrets)
  const key = await deriveKey(passphrase, salt, parameters)
  const sealed = access.suite.aes256GcmSeal(key, nonce, encodeHead(head), content)
  key.fill(0)
  content.fill(0)
  try {
    await replaceFile(access.path, encodeKeyFile(access.suite, { ...head, sealed }))
  } catch (cause) {
    const message = `cannot write key file ${access.path}: ${systemReason(cause)}`
    throw new NodeError("FILE_UNREADABLE", message, { cause })
  }
}

function damaged(path: string, cause: TarbartaError): NodeError {
  return new NodeError("KEYSTORE_DAMAGED", `key file ${path} is damaged: ${cause.message}`, {
    cause,
    hint: "take the key file from a backup",
  })
}

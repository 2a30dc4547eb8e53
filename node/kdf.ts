/**
 * From a passphrase to a key: Argon2id with parameters that are bounded before they are used.
 *
 * The parameters stand in the key file, so whoever can write that file chooses them: too much
 * memory would stop the machine, too little would make guessing cheap. Both are refused.
 */

import { argon2 } from "node:crypto"
import { promisify } from "node:util"
import { KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX } from "../protocol/limits.ts"
import { NodeError } from "./errors.ts"

export interface KdfParameters {
  readonly memoryKiB: number
  readonly passes: number
  readonly lanes: number
}

export type KdfProfile = "default" | "floor" | "test"

const MIB = 1_024

/**
 * What new key files get. `default` takes 1 GiB; `floor` is for machines that lack it; `test` is no
 * protection and exists so that tests and demos do not wait.
 */
export const KDF_PROFILES: Readonly<Record<KdfProfile, KdfParameters>> = {
  default: { memoryKiB: 1_024 * MIB, passes: 1, lanes: 4 },
  floor: { memoryKiB: 256 * MIB, passes: 3, lanes: 4 },
  test: { memoryKiB: 8 * MIB, passes: 1, lanes: 1 },
}

export const KDF_SALT_BYTES = 16
const KEY_BYTES = 32
const argon2Async = promisify(argon2)

/**
 * The profile that `TARBARTA_KDF_PROFILE` asks for, and the line that a caller prints when it is
 * weak.
 *
 * @throws NodeError `CONFIG_INVALID` for a profile that does not exist.
 */
export function readKdfProfile(env: Readonly<Record<string, string | undefined>>): {
  readonly profile: KdfProfile
  readonly warning: string | undefined
} {
  const name = env["TARBARTA_KDF_PROFILE"] ?? "default"
  if (name === "test") {
    const warning = "TARBARTA_KDF_PROFILE=test: keys are hardly protected; never in service"
    return { profile: name, warning }
  }
  if (name === "default" || name === "floor") return { profile: name, warning: undefined }
  const message = "TARBARTA_KDF_PROFILE: expected default, floor or test"
  throw new NodeError("CONFIG_INVALID", message)
}

/**
 * Refuses parameters above the bounds, and those below the floor (256 MiB with 3 passes, or 1 GiB)
 * unless the test profile is in force.
 *
 * @throws NodeError `KEYSTORE_PARAMETERS`.
 */
export function checkKdfParameters(parameters: KdfParameters, profile: KdfProfile): void {
  const { memoryKiB, passes, lanes } = parameters
  const isBounded =
    isWithin(memoryKiB, 8 * lanes, KDF_MEMORY_KIB_MAX) &&
    isWithin(passes, 1, KDF_PASSES_MAX) &&
    isWithin(lanes, 1, KDF_LANES_MAX)
  const found = `${memoryKiB} KiB, ${passes} passes, ${lanes} lanes`
  if (!isBounded) {
    const most = `${KDF_MEMORY_KIB_MAX} KiB, ${KDF_PASSES_MAX} passes, ${KDF_LANES_MAX} lanes`
    const message = `key file asks for ${found}; at most ${most} are allowed`
    throw new NodeError("KEYSTORE_PARAMETERS", message, {
      hint: "this is not a key file that tarbarta wrote; take it from a backup",
    })
  }
  const isStrong = [KDF_PROFILES.default, KDF_PROFILES.floor].some(
    (least) => memoryKiB >= least.memoryKiB && passes >= least.passes,
  )
  if (!isStrong && profile !== "test") {
    const message = `key file is protected by ${found} only, which is below the floor`
    throw new NodeError("KEYSTORE_PARAMETERS", message, {
      hint: "a key file of a test opens with TARBARTA_KDF_PROFILE=test; make new keys for service",
    })
  }
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most
}

/**
 * Argon2id (RFC 9106), 32 bytes, off the main thread. Takes 1 to 4 s with the default profile.
 * `parameters` have passed {@link checkKdfParameters}.
 *
 * @throws NodeError `KEYSTORE_PARAMETERS` when the machine cannot give that much memory.
 */
export async function deriveKey(
  passphrase: string,
  salt: Uint8Array,
  parameters: KdfParameters,
): Promise<Uint8Array> {
  const message = new TextEncoder().encode(passphrase.normalize("NFC"))
  const { memoryKiB: memory, passes, lanes: parallelism } = parameters
  const request = { message, nonce: salt, parallelism, tagLength: KEY_BYTES, memory, passes }
  try {
    const key = await argon2Async("argon2id", request)
    return new Uint8Array(key.buffer, key.byteOffset, key.length)
  } catch (cause) {
    const why = `argon2id with ${memory} KiB failed on this machine`
    throw new NodeError("KEYSTORE_PARAMETERS", why, {
      cause,
      hint: "free memory; a machine under 2 GiB wants TARBARTA_KDF_PROFILE=floor",
    })
  } finally {
    message.fill(0)
  }
}

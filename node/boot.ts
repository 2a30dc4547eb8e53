/**
 * The key's own record of its consensus log: id and boot counter (LEDGER §9.2).
 *
 * A validator whose log was lost, or replaced by an older copy, has forgotten what it signed and
 * must not sign with that key again. The log alone cannot show it; so the key remembers which log
 * it belongs to. The record is a small file beside the key file, not inside it: it changes at every
 * start, and the key file should not be rewritten, nor its passphrase be at hand, for a counter.
 * It is bound to the key by a MAC under a key derived from the keystore.
 *
 * Copies of a whole home (a cloned machine) look right to themselves; peers find those, who are
 * asked for the highest boot counter they have seen.
 */

import { equalBytes } from "../protocol/bytes.ts"
import { decode, encode } from "../protocol/codec.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { labelBytes, LABELS } from "../protocol/labels.ts"
import type { Suite } from "../protocol/suite.ts"
import { NodeError } from "./errors.ts"
import { readFileUpTo, replaceFile, systemCode, systemReason } from "./store/file.ts"
import { WAL_ID_BYTES } from "./store/wal-format.ts"
import type { WalIdentity } from "./store/wal.ts"

const VERSION = 1
const MAC_BYTES = 32
const FILE_BYTES_MAX = 256

/**
 * `first`: a new key with a new log. `continued`: the log that this key wrote last. With any other
 * answer the validator must not sign: `log-replaced` (another log, or a lost one made anew),
 * `log-rolled-back` (an older copy), `record-missing` (a log, but no record of it).
 */
export type BootVerdict =
  "first" | "continued" | "log-replaced" | "log-rolled-back" | "record-missing"

type BootSuite = Pick<Suite, "hkdfExpand" | "hkdfExtract">

/**
 * Compares an opened log with the key's record and, where they agree, brings the record up to date,
 * durably. Where they disagree nothing is written, so that the next start finds it too.
 *
 * `key` is a 32-byte secret of the keystore.
 *
 * @throws NodeError `KEYSTORE_DAMAGED` when the record is damaged or belongs to another key,
 * `STORE_FAILED` when it cannot be written.
 */
export async function recordBoot(
  path: string,
  identity: WalIdentity,
  suite: BootSuite,
  key: Uint8Array,
): Promise<BootVerdict> {
  const former = await readRecord(path, suite, key)
  const verdict = compare(former, identity)
  if (verdict === "first" || verdict === "continued") {
    try {
      await replaceFile(path, encodeBoot(identity, suite, key))
    } catch (cause) {
      const message = `cannot write boot record ${path}: ${systemReason(cause)}`
      throw new NodeError("STORE_FAILED", message, { cause })
    }
  }
  return verdict
}

function compare(former: WalIdentity | undefined, identity: WalIdentity): BootVerdict {
  if (former === undefined) return identity.bootCounter === 1 ? "first" : "record-missing"
  if (!equalBytes(former.walId, identity.walId)) return "log-replaced"
  // The log counts first. A crash between the two, or an older record, leaves the log ahead: its
  // votes are all there. A log that is not ahead has been put back.
  return identity.bootCounter > former.bootCounter ? "continued" : "log-rolled-back"
}

async function readRecord(
  path: string,
  suite: BootSuite,
  key: Uint8Array,
): Promise<WalIdentity | undefined> {
  try {
    return decodeBoot(await readFileUpTo(path, FILE_BYTES_MAX), suite, key)
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined
    if (cause instanceof NodeError || !(cause instanceof TarbartaError)) throw cause
    const message = `boot record ${path} is damaged: ${cause.message}`
    throw new NodeError("KEYSTORE_DAMAGED", message, { cause })
  }
}

/** ["TB1/boot", version, walId(16), bootCounter, mac(32)]. */
export function encodeBoot(identity: WalIdentity, suite: BootSuite, key: Uint8Array): Uint8Array {
  const items = [LABELS.boot, VERSION, identity.walId, identity.bootCounter]
  return encode([...items, macOf(encode(items), suite, key)])
}

/** @throws ProtocolError `CODEC_*`. */
export function decodeBoot(bytes: Uint8Array, suite: BootSuite, key: Uint8Array): WalIdentity {
  return decode(bytes, "boot record", FILE_BYTES_MAX, (reader) => {
    reader.array("record", 5)
    reader.label(LABELS.boot)
    const version = reader.uint("version")
    if (version !== VERSION) reader.fail("CODEC_VERSION", "version", `got ${version}`)
    const walId = reader.bytes("walId", WAL_ID_BYTES)
    const bootCounter = reader.uint("bootCounter")
    const mac = reader.bytes("mac", MAC_BYTES)
    const items = [LABELS.boot, VERSION, walId, bootCounter]
    const isOurs = equalBytes(mac, macOf(encode(items), suite, key))
    if (!isOurs) reader.fail("CODEC_RANGE", "mac", "does not match this key")
    return { walId, bootCounter }
  })
}

/** HKDF-Extract is HMAC-SHA256 of its second argument under the first. */
function macOf(message: Uint8Array, suite: BootSuite, key: Uint8Array): Uint8Array {
  const macKey = suite.hkdfExpand(key, labelBytes(LABELS.boot), MAC_BYTES)
  return suite.hkdfExtract(macKey, message)
}

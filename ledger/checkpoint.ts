/**
 * A checkpoint: size and root of the tree in three lines of text (C2SP tlog-checkpoint; LEDGER
 * §15.1), the body of the note that validators and missions sign.
 *
 * It never has a fourth line: readers of others differ on whether a cosignature covers one.
 */

import { decodeBase64, encodeBase64 } from "../protocol/base64.ts"
import { isOrigin } from "../protocol/governance.ts"
import { HASH_BYTES } from "../protocol/limits.ts"
import { LedgerError } from "./errors.ts"

export interface Checkpoint {
  /** Names the log; from the genesis. */
  readonly origin: string
  /** Entries in the tree. */
  readonly size: number
  readonly root: Uint8Array
}

const DECIMAL = /^(0|[1-9][0-9]{0,15})$/

/** origin, size, base64(root), each with a line feed. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${encodeBase64(root)}\n`
}

/** @throws {@link LedgerError} `CHECKPOINT_INVALID`; ProtocolError `CODEC_RANGE`. */
export function parseCheckpoint(body: string): Checkpoint {
  const [origin = "", sizeText = "", rootText = "", end, ...rest] = body.split("\n")
  if (end !== "" || rest.length > 0) invalid("expected three lines")
  if (!isOrigin(origin)) invalid("its first line is no origin")
  const size = parseDecimal(sizeText)
  if (size === undefined) return invalid("its second line is no size")
  const root = decodeBase64(rootText, "root of a checkpoint")
  if (root.length !== HASH_BYTES) invalid(`expected a root of ${HASH_BYTES} bytes`)
  return { origin, size, root }
}

/** A number below 2^53 without leading zeroes; undefined for any other text. */
export function parseDecimal(text: string): number | undefined {
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}

function invalid(why: string): never {
  throw new LedgerError("CHECKPOINT_INVALID", `checkpoint: ${why}`)
}

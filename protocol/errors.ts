/**
 * Coded errors: one base for the whole program, one class and one union of codes per top folder.
 *
 * Codes are stable and listed in docs/PROTOCOL.md. A message is lower case, has no full stop, names
 * the thing, what was expected and what came; it holds ids and sizes, never content or keys.
 */

/** Base of every refusal and failure that this program reports. */
export class TarbartaError<Code extends string = string> extends Error {
  readonly code: Code
  /** What the user can do about it, where the place that failed knows best; one line. */
  readonly hint: string | undefined

  constructor(code: Code, message: string, options?: { cause?: unknown; hint?: string }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.hint = options?.hint
  }
}

/** Why bytes or values were refused by `protocol/`. */
export type ProtocolCode =
  // decoding (codec.ts): what the bytes are
  | "CODEC_TRUNCATED"
  | "CODEC_TRAILING"
  | "CODEC_TYPE"
  | "CODEC_NON_CANONICAL"
  | "CODEC_LENGTH"
  | "CODEC_RANGE"
  | "CODEC_LABEL"
  | "CODEC_VERSION"
  | "CODEC_ORDER"
  | "CODEC_TEXT"
  // primitives (suite.ts, composite.ts, hpke.ts, chunked.ts)
  | "SUITE_KEY"
  | "SUITE_OPEN"
  | "SIGNATURE_INVALID"
  | "HPKE_OPEN"
  | "CHUNKED_OPEN"
  | "CHUNKED_COMMITMENT"
  // identities and directory
  | "CERTIFICATE_INVALID"
  | "DIRECTORY_UNKNOWN"
  | "DIRECTORY_REVOKED"
  | "GOVERNANCE_INVALID"
  | "INVITATION_INVALID"
  | "FOUNDING_INVALID"
  | "GENESIS_INVALID"
  | "EPOCH_KEYS_INVALID"
  | "EPOCH_KEY_MISSING"
  // envelope
  | "ENVELOPE_SUITE"
  | "ENVELOPE_NETWORK"
  | "ENVELOPE_HEADER"
  | "ENVELOPE_SIGNATURE"
  | "ENVELOPE_PATH"
  | "ENVELOPE_WRAP"
  | "ENVELOPE_COMMITMENT"
  | "ENVELOPE_BODY"
  | "ENVELOPE_PADDING"
  | "ENVELOPE_WRAPS_ROOT"
  | "ENVELOPE_RECIPIENTS"
  | "ENVELOPE_EXPIRED"
  | "RELEASE_INVALID"
  // contents
  | "CABLE_INVALID"
  | "CABLE_TOO_LARGE"
  | "SIGNAL_INVALID"
  | "RECEIPT_INVALID"
  | "ENTRY_INVALID"
  | "BATCH_INVALID"
  | "BATCH_SIGNATURE"
  | "WIRE_INVALID"

/** A refusal by the pure protocol code: bad bytes, a bad signature, a broken rule. */
export class ProtocolError extends TarbartaError<ProtocolCode> {}

/**
 * The core of an envelope: what is fixed before anything is sealed (PROTOCOL §5.1).
 *
 * It names the sender and the place in the sender's sequence, and nothing of recipients,
 * classification or key epochs. Its hash binds every sealed part to it.
 */

import { decode, encode, type Encodable, type Reader } from "./codec.ts"
import { ProtocolError } from "./errors.ts"
import { LABELS } from "./labels.ts"
import {
  ENVELOPE_PLAINTEXT_BYTES_MAX,
  HASH_BYTES,
  HEADER_BYTES_MAX,
  PADDED_BYTES_MIN,
  SIGNAL_PLAINTEXT_BYTES,
} from "./limits.ts"
import { SUITE_ID } from "./suite.ts"
import {
  BODY_TYPES,
  KINDS,
  PRECEDENCES,
  type BodyType,
  type Kind,
  type Precedence,
} from "./words.ts"

export const U16_MAX = 0xffff
export const U32_MAX = 0xffff_ffff

const FLAG_BREAK_GLASS = 1
const FLAG_COURIER = 2
const FLAGS_MAX = FLAG_BREAK_GLASS | FLAG_COURIER

/** Marks that everybody on the way may see. */
export interface EnvelopeFlags {
  /** Released by one officer where policy asks for two. */
  readonly breakGlass: boolean
  /** Made to be carried in a bag. */
  readonly courier: boolean
}

export interface Core {
  /** Chain id of the network, 32 bytes. */
  readonly net: Uint8Array
  readonly bodyType: BodyType
  readonly kind: Kind
  /** Sending mission, u16. */
  readonly sender: number
  /** Key id of the duty key that signs the envelope, 32 bytes. */
  readonly signerKid: Uint8Array
  /** Grows when the sender was restored from a backup, u32. */
  readonly incarnation: number
  /** The sender's serial, from 1 on; also the serial of the entry that anchors the envelope. */
  readonly seq: number
  /** cableId of the sender's envelope before this one; 32 zero bytes for the first. */
  readonly prevHash: Uint8Array
  /** The highest precedence of any addressee. */
  readonly highestPrecedence: Precedence
  readonly flags: EnvelopeFlags
  /** Unix time, ms. */
  readonly createdMs: number
  /** Unix time, ms; later than `createdMs`. */
  readonly expiresMs: number
  /** Length of the padded plaintext, in bytes. */
  readonly paddedLen: number
}

/** The core's fields, ready to stand alone or inside a header. */
export function coreFields(core: Core): Encodable {
  return [
    LABELS.core,
    SUITE_ID,
    core.net,
    BODY_TYPES.code(core.bodyType),
    KINDS.code(core.kind),
    core.sender,
    core.signerKid,
    core.incarnation,
    core.seq,
    core.prevHash,
    PRECEDENCES.code(core.highestPrecedence),
    (core.flags.breakGlass ? FLAG_BREAK_GLASS : 0) | (core.flags.courier ? FLAG_COURIER : 0),
    core.createdMs,
    core.expiresMs,
    core.paddedLen,
  ]
}

/** About 150 bytes. */
export function encodeCore(core: Core): Uint8Array {
  return encode(coreFields(core))
}

/**
 * Reads a core and checks what can be checked without keys.
 *
 * @throws {@link ProtocolError} `CODEC_*`, `ENVELOPE_SUITE` for another suite, `ENVELOPE_HEADER` for
 * serial 0, an expiry that is not after the making, or a padded length that no envelope of its type
 * has.
 */
export function decodeCore(bytes: Uint8Array): Core {
  return decode(bytes, "envelope core", HEADER_BYTES_MAX, (reader) => {
    reader.array("core", 15)
    reader.label(LABELS.core)
    const suite = reader.uint("suite")
    if (suite !== SUITE_ID) {
      throw new ProtocolError(
        "ENVELOPE_SUITE",
        `envelope suite: expected ${SUITE_ID}, got ${suite}`,
      )
    }
    const core: Core = {
      net: reader.bytes("net", HASH_BYTES),
      bodyType: BODY_TYPES.read(reader, "bodyType"),
      kind: KINDS.read(reader, "kind"),
      sender: reader.uint("sender", U16_MAX),
      signerKid: reader.bytes("signerKid", HASH_BYTES),
      incarnation: reader.uint("incarnation", U32_MAX),
      seq: reader.uint("seq"),
      prevHash: reader.bytes("prevHash", HASH_BYTES),
      highestPrecedence: PRECEDENCES.read(reader, "highestPrecedence"),
      flags: readFlags(reader),
      createdMs: reader.uint("createdMs"),
      expiresMs: reader.uint("expiresMs"),
      paddedLen: reader.uint("paddedLen", ENVELOPE_PLAINTEXT_BYTES_MAX),
    }
    checkCore(core)
    return core
  })
}

function readFlags(reader: Reader): EnvelopeFlags {
  const flags = reader.uint("flags", FLAGS_MAX)
  return {
    breakGlass: (flags & FLAG_BREAK_GLASS) !== 0,
    courier: (flags & FLAG_COURIER) !== 0,
  }
}

/** The rules of a core that hold whoever made it; see {@link decodeCore} for the errors. */
export function checkCore(core: Core): void {
  if (core.seq === 0) {
    throw new ProtocolError("ENVELOPE_HEADER", "envelope core: expected a serial from 1 on, got 0")
  }
  if (core.expiresMs <= core.createdMs) {
    throw new ProtocolError("ENVELOPE_HEADER", "envelope core: expires before it is made")
  }
  const { paddedLen } = core
  if (core.bodyType === "signal" && paddedLen !== SIGNAL_PLAINTEXT_BYTES) {
    throw new ProtocolError(
      "ENVELOPE_HEADER",
      `signal: expected a padded length of ${SIGNAL_PLAINTEXT_BYTES}, got ${paddedLen}`,
    )
  }
  if (paddedLen < PADDED_BYTES_MIN || paddedLen > ENVELOPE_PLAINTEXT_BYTES_MAX) {
    const range = `${PADDED_BYTES_MIN} … ${ENVELOPE_PLAINTEXT_BYTES_MAX}`
    throw new ProtocolError(
      "ENVELOPE_HEADER",
      `envelope core: expected a padded length of ${range}, got ${paddedLen}`,
    )
  }
}

/**
 * The plaintext of an envelope: who gets it, who must not, the content, and the officers' release
 * (PROTOCOL §5.4).
 *
 * The list of recipients is inside, under the sender's signature by way of the wraps' root, so that
 * every recipient knows all the others and nobody can be added or passed off as one.
 */

import { decode, encode } from "./codec.ts"
import { U16_MAX } from "./core.ts"
import { ProtocolError } from "./errors.ts"
import { LABELS } from "./labels.ts"
import {
  CABLE_RECIPIENTS_MAX,
  ENVELOPE_PLAINTEXT_BYTES_MAX,
  EXEMPTED_MAX,
  HASH_BYTES,
  RELEASE_BYTES_MAX,
  SIGNAL_PLAINTEXT_BYTES,
  SIGNAL_RECIPIENTS_MAX,
} from "./limits.ts"
import { LENGTH_PREFIX_BYTES, paddedLength } from "./padding.ts"
import {
  PRECEDENCES,
  RECIPIENT_ROLES,
  type BodyType,
  type Precedence,
  type RecipientRole,
} from "./words.ts"

/** One addressee as the sender names it. */
export interface Recipient {
  /** Mission, u16. */
  readonly rid: number
  readonly role: RecipientRole
  readonly precedence: Precedence
}

/** One addressee as the plaintext lists it. */
export interface ListedRecipient extends Recipient {
  /** Serial of this envelope among all from this sender to this addressee. */
  readonly pairSeq: number
  /** Hash of the addressee's wrap, 32 bytes. */
  readonly leaf: Uint8Array
}

export interface Inner {
  readonly coreHash: Uint8Array
  /** Sorted by rid, each once; at least one. */
  readonly recipients: readonly ListedRecipient[]
  /** Missions that an address list would have added and the sender left out; sorted. */
  readonly exempted: readonly number[]
  /** The encoded content. */
  readonly content: Uint8Array
  /** The encoded release record; empty for receipts and service messages. */
  readonly release: Uint8Array
}

/** How many addressees an envelope of this type may have. */
function recipientsMax(bodyType: BodyType): number {
  return bodyType === "signal" ? SIGNAL_RECIPIENTS_MAX : CABLE_RECIPIENTS_MAX
}

/** The plaintext before padding. */
export function encodeInner(inner: Inner): Uint8Array {
  return encode([
    LABELS.inner,
    inner.coreHash,
    inner.recipients.map((one) => [
      one.rid,
      RECIPIENT_ROLES.code(one.role),
      PRECEDENCES.code(one.precedence),
      one.pairSeq,
      one.leaf,
    ]),
    inner.exempted,
    inner.content,
    inner.release,
  ])
}

/**
 * Reads an unpadded plaintext.
 *
 * @throws {@link ProtocolError} `CODEC_*` (`CODEC_ORDER` for lists that are not strictly sorted) and
 * `ENVELOPE_RECIPIENTS` for an addressee who is exempted or too many addressees.
 */
export function decodeInner(bytes: Uint8Array, bodyType: BodyType): Inner {
  return decode(bytes, "envelope plaintext", ENVELOPE_PLAINTEXT_BYTES_MAX, (reader) => {
    reader.array("inner", 6)
    reader.label(LABELS.inner)
    const coreHash = reader.bytes("coreHash", HASH_BYTES)
    let previous = -1
    const ascending = (what: string): number => {
      const rid = reader.uint(what, U16_MAX)
      if (rid <= previous) reader.fail("CODEC_ORDER", what, `${rid} follows ${previous}`)
      previous = rid
      return rid
    }
    const readRecipient = (): ListedRecipient => {
      reader.array("recipient", 5)
      return {
        rid: ascending("recipient rid"),
        role: RECIPIENT_ROLES.read(reader, "recipient role"),
        precedence: PRECEDENCES.read(reader, "recipient precedence"),
        pairSeq: reader.uint("recipient pairSeq"),
        leaf: reader.bytes("recipient leaf", HASH_BYTES),
      }
    }
    const recipients = reader.list("recipients", CABLE_RECIPIENTS_MAX, readRecipient, 1)
    previous = -1
    const exempted = reader.list("exempted", EXEMPTED_MAX, () => ascending("exempted rid"))
    checkAddresses(bodyType, recipients, exempted)
    return {
      coreHash,
      recipients,
      exempted,
      content: reader.bytesUpTo("content", ENVELOPE_PLAINTEXT_BYTES_MAX),
      release: reader.bytesUpTo("release", RELEASE_BYTES_MAX),
    }
  })
}

/**
 * The rules of a list of addressees, for sender and recipient alike.
 *
 * @throws {@link ProtocolError} `ENVELOPE_RECIPIENTS` for none, too many, one twice, or one who is
 * exempted.
 */
export function checkAddresses(
  bodyType: BodyType,
  recipients: readonly Recipient[],
  exempted: readonly number[],
): void {
  const max = recipientsMax(bodyType)
  if (recipients.length === 0 || recipients.length > max) {
    const why = `expected 1 … ${max} recipients, got ${recipients.length}`
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `${bodyType}: ${why}`)
  }
  const seen = new Set<number>(exempted)
  if (seen.size !== exempted.length || exempted.length > EXEMPTED_MAX) {
    throw new ProtocolError("ENVELOPE_RECIPIENTS", `${bodyType}: exempted twice or too many`)
  }
  for (const { rid } of recipients) {
    if (seen.has(rid)) {
      const why = `mission ${rid} is named twice, or addressed and exempted`
      throw new ProtocolError("ENVELOPE_RECIPIENTS", `${bodyType}: ${why}`)
    }
    seen.add(rid)
  }
}

/**
 * Padded length of a plaintext of `length` bytes: one size for signals, Padmé for the rest.
 *
 * @throws {@link ProtocolError} `ENVELOPE_PADDING` for a signal that does not fit in its size.
 */
export function paddedInnerLength(bodyType: BodyType, length: number): number {
  const prefixed = length + LENGTH_PREFIX_BYTES
  if (bodyType !== "signal") return paddedLength(prefixed)
  if (prefixed > SIGNAL_PLAINTEXT_BYTES) {
    const why = `expected at most ${SIGNAL_PLAINTEXT_BYTES} bytes, got ${prefixed}`
    throw new ProtocolError("ENVELOPE_PADDING", `signal plaintext: ${why}`)
  }
  return SIGNAL_PLAINTEXT_BYTES
}

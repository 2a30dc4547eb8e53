/**
 * The content of a cable: what is sealed inside an envelope of type `cable`, and its rules
 * (PROTOCOL §7).
 *
 * Text is brought to NFC once, when it enters ({@link normaliseText}); from then on hashes and
 * signatures cover the bytes as they are, and decoders refuse text that is not NFC.
 */

import { decode, encode, encodeText, type Reader } from "./codec.ts"
import { formatDateTimeGroup, isDateTimeGroup } from "./date-time-group.ts"
import { ProtocolError } from "./errors.ts"
import { LABELS } from "./labels.ts"
import {
  CABLE_CAVEAT_BYTES_MAX,
  CABLE_CAVEATS_MAX,
  CABLE_DTG_BYTES,
  CABLE_ORIGIN_REF_BYTES_MAX,
  CABLE_REFERENCE_BYTES_MAX,
  CABLE_REFERENCES_MAX,
  CABLE_SUBJECT_BYTES_MAX,
  CABLE_SUBJECT_CODE_CHARS_MAX,
  CABLE_SUBJECT_CODES_MAX,
  CABLE_TEXT_BYTES_MAX,
  CABLE_TEXT_BYTES_MAX_FLASH,
  CABLE_TEXT_BYTES_MAX_IMMEDIATE,
  ENVELOPE_PLAINTEXT_BYTES_MAX,
  HASH_BYTES,
} from "./limits.ts"
import { CLASSIFICATIONS, type Classification, type Precedence } from "./words.ts"

const VERSION = 1

export interface CableContent {
  readonly classification: Classification
  /** Handling caveats, in the order in which they are shown. */
  readonly caveats: readonly string[]
  /** Date-time group as the drafter gives it ("211935Z JUL 67"), or "" to use `filedMs`. */
  readonly dateTimeGroup: string
  /** Unix time of filing, ms. */
  readonly filedMs: number
  /** The originator's own reference, such as MEA-WAS/123/26; may be empty. */
  readonly originRef: string
  readonly subject: string
  /** What this cable refers to, as text. */
  readonly references: readonly string[]
  /** Subject codes for distribution inside a post (SIC, TAGS), 1 … 8 characters each. */
  readonly subjectCodes: readonly string[]
  /** cableId of the cable that this one answers. */
  readonly inReplyTo: Uint8Array | undefined
  /** Not empty. */
  readonly text: string
}

/** Bytes of the content as they are sealed. Check it with {@link validateCable} first. */
export function encodeCable(cable: CableContent): Uint8Array {
  return encode([
    LABELS.cableContent,
    VERSION,
    CLASSIFICATIONS.code(cable.classification),
    cable.caveats,
    cable.dateTimeGroup,
    cable.filedMs,
    cable.originRef,
    cable.subject,
    cable.references,
    cable.subjectCodes,
    cable.inReplyTo ?? new Uint8Array(0),
    cable.text,
    [], // extensions: empty in version 1
  ])
}

/**
 * Reads a cable's content and checks the rules that do not depend on precedence.
 *
 * @throws {@link ProtocolError} `CODEC_*` (`CODEC_VERSION` for a later version), `CABLE_INVALID`.
 */
export function decodeCable(bytes: Uint8Array): CableContent {
  return decode(bytes, "cable content", ENVELOPE_PLAINTEXT_BYTES_MAX, (reader) => {
    reader.array("content", 13)
    reader.label(LABELS.cableContent)
    const version = reader.uint("version")
    if (version !== VERSION) {
      reader.fail("CODEC_VERSION", "version", `expected ${VERSION}, got ${version}`)
    }
    const cable = readFields(reader)
    reader.array("extensions", 0)
    checkFields(cable)
    return cable
  })
}

function readFields(reader: Reader): CableContent {
  return {
    classification: CLASSIFICATIONS.read(reader, "classification"),
    caveats: reader.list("caveats", CABLE_CAVEATS_MAX, () =>
      reader.text("caveat", CABLE_CAVEAT_BYTES_MAX, 1),
    ),
    dateTimeGroup: reader.text("dateTimeGroup", CABLE_DTG_BYTES),
    filedMs: reader.uint("filedMs"),
    originRef: reader.text("originRef", CABLE_ORIGIN_REF_BYTES_MAX),
    subject: reader.text("subject", CABLE_SUBJECT_BYTES_MAX),
    references: reader.list("references", CABLE_REFERENCES_MAX, () =>
      reader.text("reference", CABLE_REFERENCE_BYTES_MAX, 1),
    ),
    subjectCodes: reader.list("subjectCodes", CABLE_SUBJECT_CODES_MAX, () =>
      reader.text("subject code", 4 * CABLE_SUBJECT_CODE_CHARS_MAX, 1),
    ),
    inReplyTo: readReply(reader),
    text: reader.text("text", CABLE_TEXT_BYTES_MAX),
  }
}

function readReply(reader: Reader): Uint8Array | undefined {
  const id = reader.bytesUpTo("inReplyTo", HASH_BYTES)
  if (id.length !== 0 && id.length !== HASH_BYTES) {
    reader.fail("CODEC_LENGTH", "inReplyTo", `expected 0 or ${HASH_BYTES} bytes, got ${id.length}`)
  }
  return id.length === 0 ? undefined : id
}

/** The drafter's date-time group, or the one of the filing time. */
export function dateTimeGroupOf(cable: Pick<CableContent, "dateTimeGroup" | "filedMs">): string {
  return cable.dateTimeGroup === "" ? formatDateTimeGroup(cable.filedMs) : cable.dateTimeGroup
}

/** Largest text at a precedence, in bytes of UTF-8 after NFC. */
export function cableTextBytesMax(precedence: Precedence): number {
  if (precedence === "override" || precedence === "flash") return CABLE_TEXT_BYTES_MAX_FLASH
  if (precedence === "immediate") return CABLE_TEXT_BYTES_MAX_IMMEDIATE
  return CABLE_TEXT_BYTES_MAX
}

/**
 * Checks a cable before it is sealed, and after it is opened. `precedence` is the highest of its
 * addressees.
 *
 * @throws {@link ProtocolError} `CABLE_TOO_LARGE` for a field above its cap, with both sizes;
 * `CABLE_INVALID` for anything else that cannot be sent; `CODEC_TEXT` for text that is not NFC.
 */
export function validateCable(cable: CableContent, precedence: Precedence): void {
  checkFields(cable)
  const cap = cableTextBytesMax(precedence)
  checkSize(`${precedence} text`, cable.text, cap)
  checkSize("subject", cable.subject, CABLE_SUBJECT_BYTES_MAX)
  checkSize("originRef", cable.originRef, CABLE_ORIGIN_REF_BYTES_MAX)
  checkList("references", cable.references, CABLE_REFERENCES_MAX, CABLE_REFERENCE_BYTES_MAX)
  checkList("caveats", cable.caveats, CABLE_CAVEATS_MAX, CABLE_CAVEAT_BYTES_MAX)
  const codeBytesMax = 4 * CABLE_SUBJECT_CODE_CHARS_MAX
  checkList("subjectCodes", cable.subjectCodes, CABLE_SUBJECT_CODES_MAX, codeBytesMax)
}

function checkFields(cable: CableContent): void {
  if (cable.text === "") throw new ProtocolError("CABLE_INVALID", "cable: the text is empty")
  if (cable.dateTimeGroup !== "" && !isDateTimeGroup(cable.dateTimeGroup)) {
    const why = "no such date-time group, expected the form 211935Z JUL 67"
    throw new ProtocolError("CABLE_INVALID", `cable: ${why}`)
  }
  for (const code of cable.subjectCodes) {
    const characters = Array.from(code).length
    if (characters > CABLE_SUBJECT_CODE_CHARS_MAX) {
      const why = `expected at most ${CABLE_SUBJECT_CODE_CHARS_MAX} characters, got ${characters}`
      throw new ProtocolError("CABLE_INVALID", `cable subject code: ${why}`)
    }
  }
  if (cable.inReplyTo !== undefined && cable.inReplyTo.length !== HASH_BYTES) {
    const why = `expected ${HASH_BYTES} bytes, got ${cable.inReplyTo.length}`
    throw new ProtocolError("CABLE_INVALID", `cable inReplyTo: ${why}`)
  }
}

function checkList(
  name: string,
  list: readonly string[],
  countMax: number,
  bytesMax: number,
): void {
  if (list.length > countMax) {
    const why = `expected at most ${countMax}, got ${list.length}`
    throw new ProtocolError("CABLE_TOO_LARGE", `cable ${name}: ${why}`)
  }
  for (const item of list) {
    if (item === "") throw new ProtocolError("CABLE_INVALID", `cable ${name}: an item is empty`)
    checkSize(name, item, bytesMax)
  }
}

function checkSize(name: string, text: string, bytesMax: number): void {
  const size = encodeText(text).length
  if (size > bytesMax) {
    const why = `expected at most ${bytesMax} bytes, got ${size}`
    throw new ProtocolError("CABLE_TOO_LARGE", `cable ${name}: ${why}`)
  }
}

/**
 * Brings text to NFC, once, where it enters; `changed` is shown to the sender.
 *
 * @throws {@link ProtocolError} `CODEC_TEXT` for a lone surrogate, which no UTF-8 can hold.
 */
export function normaliseText(input: string): { text: string; changed: boolean } {
  if (!input.isWellFormed()) throw new ProtocolError("CODEC_TEXT", "text holds a lone surrogate")
  const text = input.normalize("NFC")
  return { text, changed: text !== input }
}

/**
 * The auditor's check of a file, offline: a proof, a copy of the ledger, or a received envelope.
 *
 * Nothing is asked of any node, and nothing secret is needed: the genesis of the network is the one
 * thing that the auditor must have from a source of trust.
 */

import { open } from "node:fs/promises"
import { basename } from "node:path"
import { medianTime } from "../ledger/cosignature.ts"
import { frontierRoot } from "../ledger/merkle.ts"
import type { NoteKey } from "../ledger/note.ts"
import { validatorPolicy } from "../ledger/policy.ts"
import { decodeProof, PROOF_START, verifyProof } from "../ledger/proof.ts"
import { createValidatorSet } from "../ledger/validators.ts"
import { decodeCopy, verifyCopy, type EnvelopeCopy, type VerifiedHeader } from "../protocol/copy.ts"
import { Directory } from "../protocol/directory.ts"
import { ProtocolError, TarbartaError } from "../protocol/errors.ts"
import { fingerprint } from "../protocol/keys.ts"
import { LABELS, labelBytes } from "../protocol/labels.ts"
import * as limits from "../protocol/limits.ts"
import { namedValidators } from "./consensus/cosigners.ts"
import { verifyLedgerCopy, type VerifiedLedger } from "./consensus/verify.ts"
import { NodeError } from "./errors.ts"
import { keyLookups } from "./delivery/lookups.ts"
import { toHex } from "./delivery/rows.ts"
import { readLedgerCopy } from "./store/copy.ts"
import { readFileUpTo, systemCode, systemReason } from "./store/file.ts"
import { nativeSuite } from "./suite.ts"

export interface VerifyFileOptions {
  /** All three are paths. */
  readonly file: string
  readonly genesis: string
  /** A copy of the ledger, for what only it knows: missions that were admitted later. */
  readonly ledger?: string
  onProgress(done: number, total: number): void
}

export interface VerifiedFile {
  /** What the file begins as. */
  readonly kind: "proof" | "ledger" | "envelope" | "unknown"
  readonly ok: boolean
  readonly network: string
  /** What the file shows, in the order in which it is told. */
  readonly facts: Readonly<Record<string, string | number | boolean>>
  /** What is wrong and where. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string }
}

type Facts = Record<string, string | number | boolean>

const suite = nativeSuite
/** Of a copy (PROTOCOL §5.8): an array of ten, and a byte string that needs two bytes of length. */
const ENVELOPE_START = [0x8a, 0x59]
const KIND_HINT = {
  hint: "name what `ledger proof`, `ledger verify --save` or `cable read --envelope` wrote",
}

/**
 * Verifies a file against a network.
 *
 * @throws NodeError `FILE_UNREADABLE` when a file cannot be read; ProtocolError `GENESIS_INVALID`
 * or `CODEC_*` when the genesis is none. Whatever is wrong inside the file itself is in the report.
 */
export async function verifyFile(options: VerifyFileOptions): Promise<VerifiedFile> {
  const genesis = await readNamed(options.genesis, limits.GENESIS_BYTES_MAX)
  const founding = foundingOf(options.genesis, genesis)
  const kind = await kindOf(options.file)
  const report = { kind, network: toHex(founding.net) }
  const facts: Facts = { file: basename(options.file), fingerprint: fingerprint(founding.net) }
  try {
    if (kind === "ledger") await checkLedger(options, options.file, genesis, facts)
    else if (kind === "proof") await checkProof(options, genesis, founding, facts)
    else if (kind === "envelope") await checkEnvelope(options, genesis, founding, facts)
    else throw new NodeError("FILE_KIND", "this is no proof, ledger copy or envelope", KIND_HINT)
    return { ...report, ok: true, facts }
  } catch (error) {
    if (!(error instanceof TarbartaError) || error.code === "FILE_UNREADABLE") throw error
    const { code, hint } = error
    const message = reasonOf(error)
    return {
      ...report,
      ok: false,
      facts,
      error: { code, message, ...(hint === undefined ? {} : { hint }) },
    }
  }
}

async function kindOf(path: string): Promise<VerifiedFile["kind"]> {
  const head = await readHead(path)
  const opening = new TextDecoder("latin1").decode(head)
  if (opening.startsWith(new TextDecoder("latin1").decode(labelBytes(LABELS.ledgerCopy)))) {
    return "ledger"
  }
  if (opening.startsWith(PROOF_START)) return "proof"
  return ENVELOPE_START.every((byte, index) => head[index] === byte) ? "envelope" : "unknown"
}

/** The first bytes of a file. */
async function readHead(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, "r")
    try {
      const { buffer, bytesRead } = await file.read(new Uint8Array(64), 0, 64, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

/** As {@link readFileUpTo}; a file that is not there is a coded error as everywhere. */
async function readNamed(path: string, bytesMax: number): Promise<Uint8Array> {
  try {
    return await readFileUpTo(path, bytesMax)
  } catch (cause) {
    throw cause instanceof TarbartaError ? cause : unreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown): NodeError {
  const code = systemCode(cause)
  const why =
    code === "EISDIR"
      ? "expected a file, got a folder"
      : `cannot be read: ${code === "ENOENT" ? "no such file or folder" : systemReason(cause)}`
  return new NodeError("FILE_UNREADABLE", `${path}: ${why}`, { cause })
}

function foundingOf(path: string, genesis: Uint8Array): Directory {
  try {
    return new Directory(suite, genesis)
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    throw new TarbartaError(cause.code, `${path}: ${cause.message}`, {
      cause,
      hint: "--network wants the genesis file that headquarters gave out",
    })
  }
}

async function checkLedger(
  options: VerifyFileOptions,
  path: string,
  genesis: Uint8Array,
  facts: Facts,
): Promise<VerifiedLedger> {
  const verified = await verifyLedgerCopy(suite, genesis, readLedgerCopy(path), {
    onProgress: (blocks) => options.onProgress(blocks, 0),
  })
  facts["blocks"] = verified.head.height
  facts["entries"] = verified.entries
  facts["rootHash"] = toHex(frontierRoot(verified.head.frontier))
  facts["missions"] = verified.directory.missions().length
  return verified
}

async function checkProof(
  options: VerifyFileOptions,
  genesis: Uint8Array,
  founding: Directory,
  facts: Facts,
): Promise<void> {
  const proof = decodeProof(await readNamed(options.file, limits.PROOF_BYTES_MAX))
  const { origin, validators } = founding.genesis
  const set = createValidatorSet(suite, 0, validators)
  const policy = validatorPolicy(origin, namedValidators(founding, set))
  const { entry, index, checkpoint, cableId, signed } = verifyProof(suite, policy, proof)
  const directory = await directoryOf(options, genesis, founding)
  facts["submitter"] = nameOf(directory, entry.submitter)
  facts["serial"] = entry.submitterSeq
  facts["cable"] = toHex(cableId)
  facts["entryIndex"] = index
  facts["treeSize"] = checkpoint.size
  facts["rootHash"] = toHex(checkpoint.root)
  const timeS = medianTime(signed)
  if (timeS !== undefined) facts["finalBy"] = new Date(timeS * 1_000).toISOString()
  const cosigned = signed.filter(({ key }) => key.type !== "log")
  facts["cosigners"] = cosigned.map(({ key }) => nameOfKey(key)).join(", ")
}

/** Who signed, and with what if it is not what everybody can verify. */
function nameOfKey({ name, type }: NoteKey): string {
  return type === "cosignerPq" ? `${name} (ML-DSA-44)` : name
}

async function directoryOf(
  options: VerifyFileOptions,
  genesis: Uint8Array,
  founding: Directory,
): Promise<Directory> {
  if (options.ledger === undefined) return founding
  try {
    return (await checkLedger(options, options.ledger, genesis, {})).directory
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    if (cause.code === "FILE_UNREADABLE") throw unreadable(options.ledger, cause.cause ?? cause)
    throw new TarbartaError(cause.code, `ledger copy ${basename(options.ledger)}`, {
      cause,
      hint: "nothing is said of the file itself: verify the ledger copy first",
    })
  }
}

async function checkEnvelope(
  options: VerifyFileOptions,
  genesis: Uint8Array,
  founding: Directory,
  facts: Facts,
): Promise<void> {
  const copy = decodeCopy(await readNamed(options.file, limits.ENVELOPE_BYTES_MAX))
  const directory = await directoryOf(options, genesis, founding)
  const { header, cableId } = verifiedCopy(options, copy, directory)
  const { core } = header
  facts["cable"] = toHex(cableId)
  facts["sender"] = nameOf(directory, core.sender)
  facts["addressee"] = nameOf(directory, copy.rid)
  facts["serial"] = core.seq
  facts["kind"] = core.kind
  facts["created"] = new Date(core.createdMs).toISOString()
  facts["bytes"] = copy.body.length
}

function verifiedCopy(
  options: VerifyFileOptions,
  copy: EnvelopeCopy,
  directory: Directory,
): VerifiedHeader {
  try {
    return verifyCopy(suite, copy, keyLookups(directory))
  } catch (cause) {
    if (!(cause instanceof ProtocolError) || cause.code !== "DIRECTORY_UNKNOWN") throw cause
    if (options.ledger !== undefined) throw cause
    throw new ProtocolError(cause.code, cause.message, {
      cause,
      hint: "its sender came after the genesis: give a ledger copy with --ledger",
    })
  }
}

/** A mission by its code; one that only the ledger knows, by its number, as `#5`. */
function nameOf(directory: Directory, rid: number): string {
  return directory.mission(rid)?.facts.code ?? `#${rid}`
}

/** The whole chain of reasons: the last one says what, the first says where. */
function reasonOf(error: TarbartaError): string {
  const reasons = [error.message]
  let cause: unknown = error.cause
  while (cause instanceof Error) {
    // Some errors repeat what the one below them said.
    const { message } = cause
    if (!reasons.some((reason) => reason.includes(message))) reasons.push(message)
    cause = cause.cause
  }
  return reasons.join(": ")
}

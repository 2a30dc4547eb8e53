/**
 * Receipts in batches: one root, one signature, and to every sender only the receipts that concern
 * it, each with its path (PROTOCOL §9.2).
 *
 * The hash of the signed statement is also what the ledger commits to, so that a receipt can be
 * proven later to have been there in time.
 */

import { assert } from "./assert.ts"
import { equalBytes } from "./bytes.ts"
import { decode, encode } from "./codec.ts"
import { verifyComposite } from "./composite.ts"
import type { SenderKey } from "./copy.ts"
import { U16_MAX, U32_MAX } from "./core.ts"
import { ProtocolError } from "./errors.ts"
import type { CompositeSigner } from "./keys.ts"
import { LABELS } from "./labels.ts"
import {
  COMPOSITE_SIGNATURE_BYTES,
  HASH_BYTES,
  RECEIPT_BYTES_MAX,
  RECEIPTS_BYTES_MAX,
  RECEIPTS_PATH_HASHES_MAX,
  RECEIPTS_PER_BATCH_MAX,
  RECEIPTS_STATEMENT_BYTES_MAX,
} from "./limits.ts"
import {
  checkReceipt,
  decodeReceipt,
  encodeReceipt,
  verifyReceiptOfficer,
  type Receipt,
} from "./receipt.ts"
import type { OfficerKey } from "./release.ts"
import type { Suite } from "./suite.ts"
import { buildTree, hashLeaf, isInTree } from "./tree.ts"

/** What one signature says about a whole batch. */
export interface ReceiptsStatement {
  readonly net: Uint8Array
  readonly issuer: number
  readonly incarnation: number
  /** Receipts under the root, 1 … 256. */
  readonly count: number
  readonly root: Uint8Array
  readonly createdMs: number
}

/** A signed batch as its issuer keeps it. */
export interface SignedReceipts {
  /** Bytes of the statement; SHA-256 of them is what is signed and anchored. */
  readonly statement: Uint8Array
  readonly signerKid: Uint8Array
  readonly signature: Uint8Array
  readonly receipts: readonly PlacedReceipt[]
}

/** One receipt's bytes and its place under the root. */
export interface PlacedReceipt {
  readonly index: number
  readonly receipt: Uint8Array
  readonly path: Uint8Array
}

export interface ReceiptsInput {
  readonly net: Uint8Array
  readonly issuer: number
  readonly incarnation: number
  readonly createdMs: number
  /** 1 … 256, all of this net and issuer. */
  readonly receipts: readonly Receipt[]
  readonly signerKid: Uint8Array
  /** Signs with the duty key that `signerKid` names. */
  readonly sign: CompositeSigner
}

/**
 * Puts receipts under one root and signs it.
 *
 * @throws {@link ProtocolError} `RECEIPT_INVALID` for none, too many, another's, or a broken rule.
 */
export function buildReceipts(suite: Suite, input: ReceiptsInput): SignedReceipts {
  const { net, issuer, incarnation, createdMs, receipts } = input
  if (receipts.length === 0 || receipts.length > RECEIPTS_PER_BATCH_MAX) {
    refuse(`expected 1 … ${RECEIPTS_PER_BATCH_MAX} receipts in a batch, got ${receipts.length}`)
  }
  for (const receipt of receipts) {
    checkReceipt(receipt)
    checkOwner(receipt, net, issuer)
  }
  const encoded = receipts.map((receipt) => encodeReceipt(receipt))
  const tree = buildTree(
    suite,
    encoded.map((bytes) => hashLeaf(suite, bytes)),
  )
  const statement = encodeStatement({
    net,
    issuer,
    incarnation,
    count: receipts.length,
    root: tree.root,
    createdMs,
  })
  return {
    statement,
    signerKid: input.signerKid,
    signature: input.sign(LABELS.receiptsReal, hashStatement(suite, statement)),
    receipts: encoded.map((receipt, index) => ({ index, receipt, path: tree.pathOf(index) })),
  }
}

/** The batch as one sender gets it: only the receipts at these indices. */
export function splitFor(batch: SignedReceipts, indices: readonly number[]): Uint8Array {
  const chosen = indices
    .toSorted((a, b) => a - b)
    .map((index) => {
      const placed = batch.receipts[index]
      assert(placed !== undefined, `receipt ${index} stands in the batch`)
      return [placed.index, placed.receipt, placed.path]
    })
  return encode([LABELS.receiptsBatch, batch.statement, batch.signerKid, batch.signature, chosen])
}

/** The id of an anchored root, which entry.ts `entryCommitment` takes: SHA-256 of the statement. */
export function hashStatement(suite: Suite, statement: Uint8Array): Uint8Array {
  return suite.sha256(statement)
}

function encodeStatement(statement: ReceiptsStatement): Uint8Array {
  return encode([
    LABELS.receiptsRoot,
    statement.net,
    statement.issuer,
    statement.incarnation,
    statement.count,
    statement.root,
    statement.createdMs,
  ])
}

/**
 * Reads the statement of a batch.
 *
 * @throws {@link ProtocolError} `CODEC_*`.
 */
export function decodeStatement(bytes: Uint8Array): ReceiptsStatement {
  return decode(bytes, "receipts statement", RECEIPTS_STATEMENT_BYTES_MAX, (reader) => {
    reader.array("statement", 7)
    reader.label(LABELS.receiptsRoot)
    const net = reader.bytes("net", HASH_BYTES)
    const issuer = reader.uint("issuer", U16_MAX)
    const incarnation = reader.uint("incarnation", U32_MAX)
    const count = reader.uint("count", RECEIPTS_PER_BATCH_MAX)
    if (count === 0) reader.fail("CODEC_RANGE", "count", "expected at least 1, got 0")
    const root = reader.bytes("root", HASH_BYTES)
    const createdMs = reader.uint("createdMs")
    return { net, issuer, incarnation, count, root, createdMs }
  })
}

/**
 * Reads a batch as it travels; nothing is verified yet.
 *
 * @throws {@link ProtocolError} `CODEC_*`; `CODEC_ORDER` when the indices do not rise.
 */
export function decodeReceipts(bytes: Uint8Array): SignedReceipts {
  return decode(bytes, "receipts batch", RECEIPTS_BYTES_MAX, (reader) => {
    reader.array("batch", 5)
    reader.label(LABELS.receiptsBatch)
    const statement = reader.bytesUpTo("statement", RECEIPTS_STATEMENT_BYTES_MAX)
    const signerKid = reader.bytes("signerKid", HASH_BYTES)
    const signature = reader.bytes("signature", COMPOSITE_SIGNATURE_BYTES)
    let previous = -1
    const readPlaced = (): PlacedReceipt => {
      reader.array("placed receipt", 3)
      const index = reader.uint("index", RECEIPTS_PER_BATCH_MAX - 1)
      if (index <= previous) {
        reader.fail("CODEC_ORDER", "index", `${index} follows ${previous}`)
      }
      previous = index
      return {
        index,
        receipt: reader.bytesUpTo("receipt", RECEIPT_BYTES_MAX),
        path: reader.bytesUpTo("path", RECEIPTS_PATH_HASHES_MAX * HASH_BYTES),
      }
    }
    const receipts = reader.list("receipts", RECEIPTS_PER_BATCH_MAX, readPlaced, 1)
    return { statement, signerKid, signature, receipts }
  })
}

/** What a check of receipts needs to know of the world. */
export interface ReceiptChecks {
  /** Chain id of this network. */
  readonly net: Uint8Array
  /** The duty key with this id, at the height that the caller judges by. */
  readonly senderKeyOf: (kid: Uint8Array) => SenderKey | undefined
  /** The officer with this key id, at that height. */
  readonly officerKeyOf: (kid: Uint8Array) => OfficerKey | undefined
}

/** A batch that its issuer signed, and the receipts of it that came along. */
export interface VerifiedReceipts extends ReceiptsStatement {
  /** SHA-256 of the statement: the id under the ledger's commitment. */
  readonly statementHash: Uint8Array
  readonly receipts: readonly Receipt[]
}

/**
 * Reads and checks a batch: signature, every receipt's path, and officers' signatures.
 *
 * That a receipt is about an envelope of ours, and follows its prior one, is for the caller.
 *
 * @throws {@link ProtocolError} `CODEC_*`, `ENVELOPE_NETWORK`, `DIRECTORY_UNKNOWN`,
 * `SIGNATURE_INVALID`, `RECEIPT_INVALID`.
 */
export function verifyReceipts(
  suite: Suite,
  bytes: Uint8Array,
  checks: ReceiptChecks,
): VerifiedReceipts {
  const batch = decodeReceipts(bytes)
  const statement = decodeStatement(batch.statement)
  const { net, issuer, count, root } = statement
  if (!equalBytes(net, checks.net)) {
    throw new ProtocolError("ENVELOPE_NETWORK", "receipts batch: made for another network")
  }
  const placed = batch.receipts.map((one) => {
    const receipt = decodeReceipt(one.receipt)
    checkOwner(receipt, net, issuer)
    if (!isInTree(suite, hashLeaf(suite, one.receipt), one.index, count, one.path, root)) {
      refuse(`the path of receipt ${one.index} of ${count} does not lead to the root`)
    }
    return receipt
  })
  const key = checks.senderKeyOf(batch.signerKid)
  if (key === undefined) {
    throw new ProtocolError("DIRECTORY_UNKNOWN", `receipts batch: no such key of mission ${issuer}`)
  }
  if (key.rid !== issuer) refuse(`issued by mission ${issuer}, signed by mission ${key.rid}`)
  const statementHash = hashStatement(suite, batch.statement)
  verifyComposite(suite, key.publicKey, LABELS.receiptsReal, statementHash, batch.signature)
  for (const receipt of placed) {
    verifyReceiptOfficer(suite, receipt, checks.officerKeyOf)
  }
  return { ...statement, statementHash, receipts: placed }
}

function checkOwner(receipt: Receipt, net: Uint8Array, issuer: number): void {
  if (!equalBytes(receipt.net, net) || receipt.issuer !== issuer) {
    refuse(`a receipt of mission ${receipt.issuer} in a batch of mission ${issuer}`)
  }
}

function refuse(why: string): never {
  throw new ProtocolError("RECEIPT_INVALID", `receipt: ${why}`)
}

/**
 * Rows of blocks (LEDGER §12): `ledger/b/<height>` → finality ‖ header ‖ the batches without their
 * entries, which are in the tiles.
 */

import {
  decodeHeader,
  encodeFinality,
  encodeHeader,
  readFinality,
  type BlockFinality,
  type FinalBlock,
  type Header,
} from "../../ledger/block.ts"
import { TarbartaError } from "../../protocol/errors.ts"
import { FieldReader, FieldWriter } from "../../protocol/fields.ts"
import {
  BATCH_ENTRIES_MAX,
  BLOCK_HEADER_BYTES,
  ED25519_SIGNATURE_BYTES,
} from "../../protocol/limits.ts"
import { NodeError } from "../errors.ts"
import type { Database } from "./database.ts"
import { numberKey } from "./tiles.ts"

/** A batch of a stored block; its entries are in the tiles. */
interface BatchHead {
  readonly submitter: number
  readonly firstSeq: number
  readonly count: number
  readonly signature: Uint8Array
}

/** A stored block without its entries. */
export interface BlockRow extends BlockFinality {
  readonly header: Header
  readonly batches: readonly BatchHead[]
  /** Leaf of its first entry. */
  readonly firstIndex: number
}

const BATCH_HEAD_BYTES = 2 + 8 + 2 + ED25519_SIGNATURE_BYTES

/** @throws NodeError `STORE_DAMAGED` naming the height. */
export async function readRow(database: Database, height: number): Promise<BlockRow> {
  const bytes = await database.get(blockKey(height))
  if (bytes === undefined) {
    throw new NodeError("STORE_DAMAGED", `ledger store: block ${height}: its row is missing`)
  }
  try {
    return decodeRow(bytes)
  } catch (cause) {
    if (!(cause instanceof TarbartaError)) throw cause
    throw new NodeError("STORE_DAMAGED", `ledger store: block ${height}: broken row`, { cause })
  }
}

/** finality ‖ header[166] ‖ (submitter u16 ‖ first u64 ‖ count u16 ‖ sig[64]) … */
export function encodeRow(final: FinalBlock): Uint8Array {
  const finality = encodeFinality(final)
  const { header, batches } = final.block
  const length = finality.length + BLOCK_HEADER_BYTES + batches.length * BATCH_HEAD_BYTES
  const writer = new FieldWriter(length).bytes(finality).bytes(encodeHeader(header))
  for (const { submitter, firstSeq, entries, signature } of batches) {
    writer.u16(submitter).u64(firstSeq).u16(entries.length).bytes(signature)
  }
  return writer.finish()
}

function decodeRow(bytes: Uint8Array): BlockRow {
  const reader = new FieldReader(bytes, "block row")
  const { certificate, links } = readFinality(reader)
  const header = decodeHeader(reader.view("header", BLOCK_HEADER_BYTES))
  const batches: BatchHead[] = []
  let firstIndex = header.treeSize
  while (reader.left > 0) {
    const submitter = reader.u16("submitter")
    const firstSeq = reader.u64("first serial")
    const count = reader.u16("count", BATCH_ENTRIES_MAX)
    const signature = reader.bytes("signature", ED25519_SIGNATURE_BYTES)
    batches.push({ submitter, firstSeq, count, signature })
    firstIndex -= count
  }
  if (firstIndex < 0) reader.fail("CODEC_RANGE", "count", "more entries than the tree has")
  return { certificate, links, header, batches, firstIndex }
}

export function blockKey(height: number): string {
  return `ledger/b/${numberKey(height)}`
}

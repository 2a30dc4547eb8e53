/**
 * A published log for tests and benches: entries in tiles, and checkpoints over them signed by the
 * keys of a few validators and missions. Everything comes from seeds; certificates are not needed.
 */

import { sha256 } from "@noble/hashes/sha2.js"
import { utf8ToBytes } from "@noble/hashes/utils.js"
import { formatCheckpoint, type Checkpoint } from "../../ledger/checkpoint.ts"
import { signCheckpoint } from "../../ledger/cosignature.ts"
import { formatNote, type NoteKey, type NoteSignature } from "../../ledger/note.ts"
import {
  validatorKeys,
  witnessKeys,
  type NamedValidator,
  type Witness,
} from "../../ledger/policy.ts"
import { Tiles } from "../../node/store/tiles.ts"
import { encodeEntry, entryCommitment, messageEntry } from "../../protocol/entry.ts"
import type { Suite } from "../../protocol/suite.ts"
import { SimulatedDisk } from "./database.ts"
import { suite } from "./suites.ts"

export const ORIGIN = "ledger.example/tarbarta"
export const SIGNED_S = 1_750_000_000
const CODES = ["DAC", "LON", "NBO", "CCU", "DEL", "GVA", "JKT", "KTM", "NYC"]
/** Entries that go into the tiles at once. */
const CHUNK = 8_192

/** 32 bytes that depend on the name alone. */
function seedOf(name: string): Uint8Array {
  return sha256(utf8ToBytes(`tarbarta test publication ${name}`))
}

export function codeOf(index: number): string {
  return CODES[index] ?? `P${index}`
}

export function namedValidators(count: number): NamedValidator[] {
  return Array.from({ length: count }, (_, index) => {
    const code = codeOf(index)
    const ed25519 = (use: string): Uint8Array => suite.ed25519PublicKey(seedOf(`${code} ${use}`))
    const facts = {
      rid: index + 1,
      consensusKey: ed25519("consensus"),
      logKey: ed25519("log"),
      cosignerKey: ed25519("cosigner"),
      cosignerPqKey: suite.mldsaPublicKey(44, seedOf(`${code} cosignerPq`)),
    }
    return { code, facts }
  })
}

export function witnesses(count: number): Witness[] {
  return Array.from({ length: count }, (_, index) => {
    const code = codeOf(index)
    return {
      code,
      witnessKey: suite.ed25519PublicKey(seedOf(`${code} witness`)),
      witnessPqKey: suite.mldsaPublicKey(44, seedOf(`${code} witnessPq`)),
    }
  })
}

/** What a validator or mission of this file signs with. */
export function signAs(
  code: string,
  use: "log" | "cosigner" | "cosignerPq" | "witness" | "witnessPq",
  by: Suite = suite,
): (message: Uint8Array) => Uint8Array {
  const seed = seedOf(`${code} ${use}`)
  return use === "cosignerPq" || use === "witnessPq"
    ? (message) => by.mldsaSign(44, seed, message, new Uint8Array(0), (n) => new Uint8Array(n))
    : (message) => by.ed25519Sign(seed, message)
}

/** Signature lines of one validator, in the order log, cosigner, ML-DSA-44. */
export function validatorLines(
  checkpoint: Checkpoint,
  validator: NamedValidator,
  uses: readonly ("log" | "cosigner" | "cosignerPq")[],
  timeS = SIGNED_S,
): NoteSignature[] {
  const keys: Readonly<Record<string, NoteKey>> = validatorKeys(checkpoint.origin, validator)
  return uses.flatMap((use) => {
    const key = keys[use]
    const sign = signAs(validator.code, use)
    return key === undefined ? [] : [signCheckpoint(suite, key, checkpoint, timeS, sign)]
  })
}

/** Both lines of a mission. */
export function witnessLines(checkpoint: Checkpoint, witness: Witness): NoteSignature[] {
  const { cosigner, cosignerPq } = witnessKeys(checkpoint.origin, witness)
  const { code } = witness
  return [
    signCheckpoint(suite, cosigner, checkpoint, SIGNED_S, signAs(code, "witness")),
    signCheckpoint(suite, cosignerPq, checkpoint, SIGNED_S, signAs(code, "witnessPq")),
  ]
}

export function noteOf(checkpoint: Checkpoint, signatures: readonly NoteSignature[]): string {
  return formatNote({ body: formatCheckpoint(checkpoint), signatures })
}

/** Salt and id of the message that entry `index` stands for. */
export function openingOf(index: number): { salt: Uint8Array; cableId: Uint8Array } {
  return { salt: seedOf(`salt ${index}`), cableId: seedOf(`cable ${index}`) }
}

export function entryBytes(index: number): Uint8Array {
  const { salt, cableId } = openingOf(index)
  const commitment = entryCommitment(suite, salt, cableId)
  const timeMs = SIGNED_S * 1_000 + index
  return encodeEntry(messageEntry(1 + (index % 4), 1 + Math.floor(index / 4), timeMs, commitment))
}

/** Tiles of `size` entries, in memory. */
export async function makeTiles(size: number): Promise<Tiles> {
  const database = new SimulatedDisk().open()
  const tiles = await Tiles.open(database, 0)
  for (let start = 0; start < size; start += CHUNK) {
    const count = Math.min(CHUNK, size - start)
    const extension = tiles.extend(Array.from({ length: count }, (_, i) => entryBytes(start + i)))
    await database.write(extension.operations)
    tiles.adopt(extension)
  }
  return tiles
}

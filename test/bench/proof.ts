/**
 * A proof under a tree of a million entries: its bytes, and how long a reader takes to verify it
 * offline, against the native verification of as many signatures.
 */

import { nativeSuite as suite } from "../../node/suite.ts"
import type { VerifiedCheckpoint } from "../../ledger/cosignature.ts"
import {
  appendLeaves,
  EMPTY_FRONTIER,
  frontierRoot,
  hashPackedLeaves,
} from "../../ledger/merkle.ts"
import { inclusionProof, type HashSource } from "../../ledger/merkle.ts"
import { validatorKeys, validatorPolicy } from "../../ledger/policy.ts"
import { decodeProof, encodeProof, verifyProof } from "../../ledger/proof.ts"
import { ENTRY_HEAD_BYTES, HASH_BYTES } from "../../protocol/limits.ts"
import { entryBytes, namedValidators, noteOf, openingOf } from "../support/publication.ts"
import { ORIGIN, signAs, validatorLines } from "../support/publication.ts"
import { interleave, millisecondsEach, ratioOf, spreadOf } from "./figures.ts"
import type { Figure, Progress } from "./figures.ts"

const ENTRIES = 1_000_000
const CHUNK = 10_000
const INDEX = 654_321
const ROUNDS = 21
const EACH = 50

/** Who has signed the proven tree, a quorum of so many validators, and what that may cost. */
interface Signed {
  readonly name: string
  readonly validators: number
  readonly cosigners: number
  readonly isPq: boolean
  readonly bytesMax: number
  readonly msMax: number
}

const FOUR = { validators: 4, cosigners: 3 }
const THIRTEEN = { validators: 13, cosigners: 9 }
const GOALS: readonly Signed[] = [
  { ...FOUR, name: "1 log line, 3 cosignatures", isPq: false, bytesMax: 1_700, msMax: 2 },
  { ...FOUR, name: "the same and one of ML-DSA-44", isPq: true, bytesMax: 5_000, msMax: 3 },
  {
    ...THIRTEEN,
    name: "1 log line, 9 cosignatures of 13 validators",
    isPq: false,
    bytesMax: 2_900,
    msMax: 2,
  },
]

export async function benchProof(progress: Progress): Promise<Figure[]> {
  const tree = growTree(progress)
  const figures: Figure[] = []
  for (const signed of GOALS) {
    const { name, validators, bytesMax, msMax } = signed
    const file = proofFile(tree, signed)
    const policy = validatorPolicy(ORIGIN, namedValidators(validators))
    verifyProof(suite, policy, decodeProof(file))
    const floor = bareVerification(signed)
    const found = await interleave(
      ROUNDS,
      {
        proof: () =>
          millisecondsEach(EACH, () => void verifyProof(suite, policy, decodeProof(file))),
        bare: () => millisecondsEach(EACH, floor),
      },
      (text) => progress(`${name}, ${text}`),
    )
    const measured = spreadOf(found.proof)
    figures.push(
      {
        name: `size: ${name}`,
        unit: "B",
        measured: spreadOf([file.length]),
        goal: { text: `at most ${bytesMax} bytes`, isMet: file.length <= bytesMax },
      },
      {
        name: `verified: ${name}`,
        unit: "ms",
        measured,
        against: { name: "signatures alone, native", value: spreadOf(found.bare) },
        ratio: ratioOf(found.proof, found.bare),
        goal: { text: `at most ${msMax} ms`, isMet: measured.median <= msMax },
      },
    )
  }
  return figures
}

interface Tree {
  readonly root: Uint8Array
  readonly path: readonly Uint8Array[]
}

/** All hashes of the tree, long enough to take one path. */
function growTree(progress: Progress): Tree {
  const rows: Uint8Array[] = []
  let frontier = EMPTY_FRONTIER
  for (let start = 0; start < ENTRIES; start += CHUNK) {
    const leaves = hashPackedLeaves(packedEntries(start), ENTRY_HEAD_BYTES)
    frontier = appendLeaves(frontier, leaves, (level, first, hashes) => {
      rows[level] ??= new Uint8Array((ENTRIES >> level) * HASH_BYTES)
      rows[level].set(
        hashes.subarray(0, rows[level].length - first * HASH_BYTES),
        first * HASH_BYTES,
      )
    })
    progress(`${start + CHUNK} of ${ENTRIES} entries`)
  }
  const source: HashSource = (level, index) => {
    return (rows[level] ?? new Uint8Array(0)).subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
  }
  return { root: frontierRoot(frontier), path: inclusionProof(source, INDEX, ENTRIES) }
}

/** Messages of {@link CHUNK} numbers; one is proven, the others need no more than to differ. */
function packedEntries(start: number): Uint8Array {
  const packed = new Uint8Array(CHUNK * ENTRY_HEAD_BYTES)
  const view = new DataView(packed.buffer)
  for (let i = 0; i < CHUNK; i++) view.setUint32(i * ENTRY_HEAD_BYTES, start + i)
  const at = INDEX - start
  if (at >= 0 && at < CHUNK) packed.set(entryBytes(INDEX), at * ENTRY_HEAD_BYTES)
  return packed
}

function proofFile({ root, path }: Tree, { cosigners, isPq }: Signed): Uint8Array {
  const checkpoint: VerifiedCheckpoint["checkpoint"] = { origin: ORIGIN, size: ENTRIES, root }
  const lines = namedValidators(cosigners).flatMap((validator, index) =>
    validatorLines(checkpoint, validator, index === 0 ? ["log", "cosigner"] : ["cosigner"]),
  )
  const [first] = namedValidators(1)
  const pq = first && isPq ? validatorLines(checkpoint, first, ["cosignerPq"]) : []
  return encodeProof({
    opened: { entry: entryBytes(INDEX), ...openingOf(INDEX) },
    index: INDEX,
    path,
    checkpoint: noteOf(checkpoint, [...lines, ...pq]),
  })
}

/** The same number of signatures over messages of a like length, and nothing else. */
function bareVerification({ cosigners, isPq }: Signed): () => void {
  const message = new Uint8Array(120)
  const signed = namedValidators(1 + cosigners).map((validator) => ({
    key: validatorKeys(ORIGIN, validator).cosigner.publicKey,
    signature: signAs(validator.code, "cosigner")(message),
  }))
  const pq = namedValidators(1).map((validator) => ({
    key: validatorKeys(ORIGIN, validator).cosignerPq.publicKey,
    signature: signAs(validator.code, "cosignerPq")(message),
  }))
  const context = new Uint8Array(0)
  return () => {
    for (const { key, signature } of signed) suite.ed25519Verify(key, message, signature)
    if (!isPq) return
    for (const { key, signature } of pq) suite.mldsaVerify(44, key, message, context, signature)
  }
}

/**
 * The frozen vectors of checkpoints, cosignatures, policies and proofs (LEDGER §10, §15); run this
 * file to print them.
 */

import { bytesToHex } from "@noble/hashes/utils.js"
import { signCheckpoint } from "../../ledger/cosignature.ts"
import { formatVkey } from "../../ledger/note.ts"
import { leafHash, nodeHash } from "../../ledger/merkle.ts"
import { formatPolicy, validatorKeys, validatorPolicy } from "../../ledger/policy.ts"
import { encodeProof } from "../../ledger/proof.ts"
import { entryBytes, namedValidators, noteOf, openingOf, ORIGIN } from "./publication.ts"
import { SIGNED_S, signAs, validatorLines } from "./publication.ts"
import { portableSuite } from "../../protocol/portable.ts"

export function makePublicationVectors(): Record<string, string> {
  const [validator, ...others] = namedValidators(4)
  if (validator === undefined) throw new Error("no validator")
  const [left, right] = [leafHash(entryBytes(0)), leafHash(entryBytes(1))]
  const checkpoint = { origin: ORIGIN, size: 2, root: nodeHash(left, right) }
  const lines = [
    ...validatorLines(checkpoint, validator, ["log", "cosigner"]),
    ...others.slice(0, 2).flatMap((one) => validatorLines(checkpoint, one, ["cosigner"])),
  ]
  const note = noteOf(checkpoint, lines)
  const opened = { entry: entryBytes(1), ...openingOf(1) }
  const keys = validatorKeys(ORIGIN, validator)
  const signPq = signAs(validator.code, "cosignerPq", portableSuite)
  return {
    checkpoint: note,
    checkpointPq: noteOf(checkpoint, [
      // The native suite draws its own randomness; vectors must be the same twice.
      signCheckpoint(portableSuite, keys.cosignerPq, checkpoint, SIGNED_S, signPq),
    ]),
    vkeyLog: formatVkey(portableSuite, keys.log),
    vkeyCosigner: formatVkey(portableSuite, keys.cosigner),
    policy: formatPolicy(portableSuite, validatorPolicy(ORIGIN, [validator, ...others])),
    entry: bytesToHex(opened.entry),
    salt: bytesToHex(opened.salt),
    cableId: bytesToHex(opened.cableId),
    proof: new TextDecoder().decode(
      encodeProof({ opened, index: 1, path: [left], checkpoint: note }),
    ),
  }
}

if (import.meta.main) console.log(JSON.stringify(makePublicationVectors(), null, 2))

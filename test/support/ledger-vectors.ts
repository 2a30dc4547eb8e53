/**
 * Makes test/vectors/ledger.json: one example of every format of the ledger, from fixed seeds.
 *
 * Run it with Node to print the file. The test compares the frozen file with what this makes, so a
 * change of any format shows.
 */

import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"
import { encodeBatch, encodeEntry, entryCommitment, messageEntry } from "../../protocol/entry.ts"
import {
  blockHash,
  encodeBlock,
  encodeFinalBlock,
  encodeHeader,
  leavesOf,
} from "../../ledger/block.ts"
import { encodeCertificate } from "../../ledger/certificate.ts"
import { encodeHead, genesisHead } from "../../ledger/chain.ts"
import { encodeFrontier, leafHash } from "../../ledger/merkle.ts"
import { encodeRecord } from "../../ledger/record.ts"
import { leaderOf } from "../../ledger/validators.ts"
import { encodeVote, voteSignedBytes } from "../../ledger/vote.ts"
import { ALONE, CAPITAL, CHAIN_ID, chainOf, consensusSeed, finalize, governance } from "./ledger.ts"
import {
  batch,
  linkedBlocksOn,
  LISBON,
  message,
  named,
  NOON_MS,
  signed,
  submitKeyOf,
  validatorSet,
} from "./ledger.ts"
import { voteOf } from "./ledger.ts"
import { suite } from "./suites.ts"

/** Every value in hex, or a number. */
export function makeLedgerVectors(): Record<string, string | number> {
  const header = utf8ToBytes("the header of a message")
  const salt = named("salt")
  const commitment = entryCommitment(suite, salt, suite.sha256(header))
  const entry = messageEntry(LISBON, 1, NOON_MS, commitment)
  const proposal = governance(CAPITAL, 1, utf8ToBytes("a proposal"))
  const batches = [signed([entry, message(LISBON, 2)]), signed([proposal])]
  const chain = chainOf([batches, [batch(LISBON, 3)]])
  const [first] = chain.blocks
  const [, second] = chain.heads
  if (first === undefined || second === undefined) throw new Error("the chain is empty")
  const [linked] = linkedBlocksOn(genesisHead(CHAIN_ID), [batches, []])
  if (linked === undefined) throw new Error("no blocks")
  const { block, certificate } = first
  const hash = blockHash(suite, block.header)
  const notarize = voteOf(0, "notarize", 1, hash)
  const nullify = voteOf(0, "nullify", 1, hash)
  const finalizeVote = voteOf(0, "finalize", 1, hash)
  const [leaf0] = leavesOf(block.batches).map(leafHash)
  if (leaf0 === undefined) throw new Error("no leaves")
  const bytes = {
    chainId: CHAIN_ID,
    consensusSeed: consensusSeed(CAPITAL),
    consensusKey: ALONE.validators[0]?.consensusKey ?? hash,
    submitKeyOfLisbon: submitKeyOf(LISBON) ?? hash,
    messageHeader: header,
    salt,
    commitment,
    entryMessage: encodeEntry(entry),
    entryGovernance: encodeEntry(proposal),
    leafHash: leaf0,
    batch: encodeBatch(batches[0] ?? signed([entry])),
    header: encodeHeader(block.header),
    blockHash: hash,
    block: encodeBlock(block),
    treeRoot: block.header.treeRoot,
    frontier: encodeFrontier(second.frontier),
    head: encodeHead(second),
    voteNotarizeSigned: voteSignedBytes(CHAIN_ID, notarize),
    voteNotarize: encodeVote(notarize),
    voteNullify: encodeVote(nullify),
    voteFinalize: encodeVote(finalizeVote),
    certificate: encodeCertificate(certificate),
    certificateOfFour: encodeCertificate(finalize(block, validatorSet(4))),
    finalBlock: encodeFinalBlock(first),
    finalBlockLinked: encodeFinalBlock(linked),
    recordNotarize: encodeRecord({ kind: "notarize", epoch: 0, vote: notarize, block }).payload,
    recordFinalize: encodeRecord({
      kind: "finalize",
      epoch: 0,
      vote: finalizeVote,
      certificate: { ...certificate, kind: "notarize", signatures: [notarize.signature] },
    }).payload,
    validatorSetOfFourHash: validatorSet(4).hash,
  }
  const hex = Object.entries(bytes).map(([name, value]) => [name, bytesToHex(value)] as const)
  const leaders = { leaderOfFourInView1: leaderOf(validatorSet(4), 1) }
  return { ...Object.fromEntries(hex), ...leaders }
}

if (import.meta.main) console.log(JSON.stringify(makeLedgerVectors(), null, 2))

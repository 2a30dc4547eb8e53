/**
 * Why `ledger/` refuses blocks, certificates, votes, checkpoints, proofs and records. Codes are
 * stable.
 */

import { TarbartaError } from "../protocol/errors.ts"

export type LedgerCode =
  // tree (merkle.ts)
  | "TREE_FRONTIER"
  | "TREE_INCLUSION"
  | "TREE_CONSISTENCY"
  // validators and votes
  | "VALIDATORS_INVALID"
  | "EPOCH_UNKNOWN"
  | "VOTE_INVALID"
  | "VOTE_SIGNATURE"
  | "VOTE_STALE"
  | "CERTIFICATE_INVALID"
  | "CERTIFICATE_SIGNATURE"
  | "CERTIFICATE_BELOW_QUORUM"
  // blocks and the chain
  | "BLOCK_INVALID"
  | "BLOCK_BATCHES"
  | "BLOCK_PARENT"
  | "BLOCK_CERTIFICATE"
  | "BLOCK_SUBMITTER"
  | "BLOCK_SERIAL"
  | "BLOCK_TREE"
  | "BLOCK_TIME"
  // mempool
  | "MEMPOOL_FULL"
  | "MEMPOOL_SERIAL"
  | "MEMPOOL_CONFLICT"
  // consensus
  | "CONSENSUS_KEY"
  | "CONSENSUS_KEY_DEAD"
  | "CONSENSUS_DIVERGED"
  | "CONSENSUS_FORK"
  | "MESSAGE_INVALID"
  | "EVIDENCE_INVALID"
  | "RECORD_INVALID"
  | "RUN_INVALID"
  // checkpoints and proofs
  | "NOTE_INVALID"
  | "NOTE_SIGNATURE"
  | "CHECKPOINT_INVALID"
  | "CHECKPOINT_FORK"
  | "TILE_PATH"
  | "POLICY_INVALID"
  | "POLICY_UNMET"
  | "PROOF_INVALID"
  | "PROOF_OPENING"
  // catch-up
  | "SYNC_ANSWER"

/** A refusal by the pure ledger code. */
export class LedgerError extends TarbartaError<LedgerCode> {}

/** Coded errors of the node: refusals at its doors, and failures of disk and network. */

import { TarbartaError } from "../protocol/errors.ts"

export type NodeCode =
  // home, keys, configuration
  | "HOME_MISSING"
  | "HOME_EXISTS"
  | "HOME_PERMISSIONS"
  | "HOME_LAYOUT"
  | "CONFIG_INVALID"
  | "SETUP_INVALID"
  | "GENESIS_MISSING"
  | "GENESIS_EXISTS"
  | "INVITATION_MISSING"
  | "KEYSTORE_MISSING"
  | "KEYSTORE_PASSPHRASE"
  | "KEYSTORE_DAMAGED"
  | "KEYSTORE_PARAMETERS"
  | "PASSPHRASE_MISSING"
  | "FILE_UNREADABLE"
  | "FILE_UNWRITABLE"
  | "FILE_PERMISSIONS"
  | "FILE_TEXT"
  | "FILE_KIND"
  // store
  | "STORE_LOCKED"
  | "STORE_DAMAGED"
  | "STORE_GAP"
  | "STORE_FAILED"
  | "STORE_FULL"
  | "STORE_VERSION"
  | "WAL_DAMAGED"
  | "VALIDATOR_KEY_DEAD"
  // network
  | "PORT_IN_USE"
  | "PEER_UNREACHABLE"
  | "PEER_DENIED"
  | "STREAM_DEADLINE"
  | "STREAM_LIMIT"
  | "STREAM_PROTOCOL"
  | "REQUEST_REFUSED"
  | "NODE_BUSY"
  // delivery, hotline
  | "MISSION_UNKNOWN"
  | "MISSION_REVOKED"
  | "NOT_ADMITTED"
  | "NO_EPOCH_KEY"
  | "CABLE_UNKNOWN"
  | "CABLE_REFUSED"
  | "SIGNAL_UNKNOWN"
  | "OUTBOX_FULL"
  | "RELEASE_REQUIRED"
  | "OFFICER_UNKNOWN"
  // ledger
  | "PROOF_PENDING"
  | "CHECKPOINT_PENDING"
  | "PUBLICATION_OTHER"
  | "LEDGER_COPY_INVALID"
  | "LEDGER_INVALID"
  | "GOVERNANCE_KEY_MISSING"
  | "GOVERNANCE_REFUSED"
  // local API
  | "NODE_UNREACHABLE"
  | "NODE_RUNNING"
  | "API_REQUEST"
  | "API_NOT_FOUND"
  | "API_BODY_SIZE"
  | "CLOCK_SKEW"

/** A refusal at one of the node's doors, or a failure of disk or network. */
export class NodeError extends TarbartaError<NodeCode> {
  /** With `REQUEST_REFUSED`: the code that the other side gave. */
  readonly refusal: string | undefined

  constructor(
    code: NodeCode,
    message: string,
    options?: { cause?: unknown; refusal?: string; hint?: string },
  ) {
    super(code, message, options)
    this.refusal = options?.refusal
  }
}

/** What to do about a refusal, for codes whose place of origin does not say it itself. */

const HINTS: Readonly<Record<string, string>> = {
  CABLE_UNKNOWN:
    "`tarbarta cable inbox` lists what came in, with --sent what went out; " +
    "`tarbarta hotline list` shows the signals",
  CABLE_REFUSED:
    "the others get it; if the reason can be mended, send it anew to those who refused",
  CABLE_TOO_LARGE: "nothing was sent; send it in parts, or with a lower precedence",
  MISSION_UNKNOWN: "`tarbarta mission list` names them",
  HOME_LAYOUT: "name the node's folder with --home",
  SIGNAL_UNKNOWN: "`tarbarta hotline list` shows the signals and their IDs",
  OFFICER_UNKNOWN: "`tarbarta mission list` names the officers; spell the name as it stands there",
  NOT_ADMITTED:
    "headquarters admits it with `tarbarta mission admit`; until then nothing can go out",
  NO_EPOCH_KEY: "its node has not published a key yet; wait until it has started, then send again",
  KEYSTORE_PASSPHRASE: "try again; nothing is locked",
  KEYSTORE_MISSING: "restore the folder keys/ from its copy",
  // An older copy would say a second time what other missions have heard from this one.
  STORE_DAMAGED:
    "keep the home as it is for inspection, and do not start an older copy of it; " +
    'see docs/OPERATIONS.md, "Damaged store"',
  PROOF_PENDING:
    "the next checkpoint takes seconds; try again. If it stays: `tarbarta ledger status`",
  CHECKPOINT_PENDING:
    "it needs a first block, and a validator in reach; try again. " +
    "If it stays: `tarbarta ledger status`",
  GOVERNANCE_REFUSED: "nothing was changed; `tarbarta mission list` shows the missions as they are",
  GENESIS_INVALID: "take the genesis file that headquarters gave out",
  FOUNDING_INVALID: "nothing was made; every invited mission brings one founding record",
  NODE_BUSY: "wait a little and try again; nothing was changed",
  FILE_DIRECTORY: "name a file in it",
}

/** Undefined where there is no advice. */
export function hintFor(code: string): string | undefined {
  return HINTS[code]
}

/**
 * Every label that separates one use of a key or a hash from another (PROTOCOL §2.4).
 *
 * No label is a prefix of another; a test holds that. Changing one is a breaking change.
 */

export const LABELS = {
  // envelope
  core: "TB1/core",
  header: "TB1/hdr",
  inner: "TB1/inner",
  wrap: "TB1/wrap",
  body: "TB1/body",
  anchor: "TB1/anchor",
  salt: "TB1/salt",
  release: "TB1/release",
  wrapPositions: "TB1/positions",
  wrapDummy: "TB1/dummy",
  // contents
  cableContent: "TB1/content/cable",
  signalContent: "TB1/content/signal",
  // receipts
  receipt: "TB1/rcpt/one",
  receiptsRoot: "TB1/rcpt/root",
  receiptsBatch: "TB1/rcpt/batch",
  // signature contexts of envelopes: TB1/<bodyType>/<kind>
  cableReal: "TB1/cable/real",
  cableExercise: "TB1/cable/exercise",
  cableDrill: "TB1/cable/drill",
  cableTest: "TB1/cable/test",
  signalReal: "TB1/signal/real",
  signalExercise: "TB1/signal/exercise",
  signalDrill: "TB1/signal/drill",
  signalTest: "TB1/signal/test",
  receiptsReal: "TB1/receipts/real",
  receiptsExercise: "TB1/receipts/exercise",
  receiptsDrill: "TB1/receipts/drill",
  receiptsTest: "TB1/receipts/test",
  serviceReal: "TB1/service/real",
  serviceExercise: "TB1/service/exercise",
  serviceDrill: "TB1/service/drill",
  serviceTest: "TB1/service/test",
  // keys, identities, governance
  keyId: "TB1/kid",
  epochKeyHash: "TB1/ek",
  missionRequest: "TB1/mission-request",
  possession: "TB1/possession",
  officer: "TB1/officer",
  epochKeys: "TB1/epoch-keys",
  invitation: "TB1/invitation",
  founding: "TB1/founding",
  genesis: "TB1/genesis",
  validator: "TB1/validator",
  proposal: "TB1/proposal",
  ballot: "TB1/ballot",
  evidence: "TB1/evidence",
  // files
  ledgerCopy: "TB1/ledger-copy",
  keystore: "TB1/keystore",
  boot: "TB1/boot",
  store: "TB1/store",
  governanceState: "TB1/state",
  // ledger (LEDGER §1; each ends in NUL so that none is a prefix of another)
  commit: "tarbarta/commit/v1\0",
  batch: "tarbarta/batch/v1\0",
  vote: "tarbarta/vote/v1\0",
  block: "tarbarta/block/v1\0",
  leader: "tarbarta/leader/v1\0",
  validatorSet: "tarbarta/validator-set/v1\0",
  run: "tarbarta/run/v1\0",
} as const

export type Label = (typeof LABELS)[keyof typeof LABELS]

const encoder = new TextEncoder()

const encoded = new Map<Label, Uint8Array>()

/** A label's bytes as they stand in front of hashed or signed data; not to be changed. */
export function labelBytes(label: Label): Uint8Array {
  // Every vote that is checked begins with one: encoding it each time shows in profiles.
  const known = encoded.get(label)
  if (known !== undefined) return known
  const bytes = encoder.encode(label)
  encoded.set(label, bytes)
  return bytes
}

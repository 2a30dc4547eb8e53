/**
 * What the operator must know of the ledger's state; an idle ledger is none of it (OPERATIONS,
 * "Reading the ledger's state").
 */

import type { LedgerStatus } from "./api/shapes.ts"

/** In English; the command line says the same in Bengali from the same facts. */
export function ledgerWarnings({ vote, quorum, evidence, accused }: LedgerStatus): string[] {
  const warnings: string[] = []
  if (vote?.state === "refused") {
    const { code = "unknown", message = "no reason given" } = vote
    warnings.push(
      `this validator does not vote and follows only (${code}: ${message}); ` +
        'see OPERATIONS, "Lost or restored validator"',
    )
  }
  if (vote?.state === "stalled") {
    warnings.push(
      "this validator cannot vote: the disk of its consensus log does not answer; " +
        'see OPERATIONS, "A disk that does not answer"',
    )
  }
  if (vote?.isCopied === true) {
    warnings.push(
      "a copy of this home was started elsewhere with this validator's key, and was not let vote: " +
        'find and stop it; see OPERATIONS, "Lost or restored validator"',
    )
  }
  if (evidence > 0) {
    const whom = accused.join(", ")
    warnings.push(`evidence stands against ${whom}: see \`tarbarta ledger evidence\``)
  }
  if (!quorum.isMet) {
    const { heard, validators, needed } = quorum
    warnings.push(
      `validators in reach: ${heard} of ${validators}, and ${needed} needed: nothing new becomes ` +
        "final here meanwhile; cables are delivered all the same",
    )
  }
  return warnings
}

/** The network's policy, in the words that release checks use. */

import type { Policy } from "../../protocol/governance.ts"
import type { ReleasePolicy } from "../../protocol/release.ts"
import { CLASSIFICATIONS, PRECEDENCES } from "../../protocol/words.ts"

/** Thresholds beyond the highest word mean that two officers are never asked for. */
export function releasePolicyOf(policy: Policy): ReleasePolicy {
  return {
    twoPersonFromPrecedence: PRECEDENCES.list[policy.twoPersonFromPrecedence] ?? "never",
    twoPersonFromClassification:
      CLASSIFICATIONS.list[policy.twoPersonFromClassification] ?? "never",
  }
}

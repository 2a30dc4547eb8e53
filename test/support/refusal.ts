/** How tests look at refusals: the code, or nothing. */

import { TarbartaError } from "../../protocol/errors.ts"

/** Runs `action`; its error's code, or undefined when it passes. An uncoded error goes on up. */
export function refusal(action: () => unknown): string | undefined {
  try {
    action()
  } catch (error) {
    if (error instanceof TarbartaError) return error.code
    throw error
  }
  return undefined
}

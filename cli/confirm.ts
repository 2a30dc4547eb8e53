/** Asking before something that cannot be undone. */

import { CliError } from "./errors.ts"
import type { Session } from "./session.ts"

/**
 * Goes on when the person says yes, or said so before with `--yes`.
 *
 * @throws {@link CliError} `NOT_CONFIRMED` for any other answer, and when nobody can be asked; the
 * hint is then `advice`.
 */
export async function confirm(
  session: Session,
  question: string,
  options: { readonly yes: boolean | undefined; readonly advice: string },
): Promise<void> {
  if (options.yes === true) return
  // With --json nobody is shown what is asked about.
  if (!session.terminal.isAttended || session.terminal.isJson) {
    throw new CliError("NOT_CONFIRMED", "nobody is there to be asked; nothing was changed", {
      hint: options.advice,
    })
  }
  if (!(await session.terminal.confirm(question))) {
    throw new CliError("NOT_CONFIRMED", "not confirmed; nothing was changed")
  }
}

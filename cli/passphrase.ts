/** The passphrase that opens a node's keys: from a file, or from the person at the terminal. */

import { CliError } from "./errors.ts"
import { readInput } from "./files.ts"
import type { Session } from "./session.ts"
import { PASSPHRASE_BYTES_MAX } from "../protocol/limits.ts"

/**
 * The passphrase from the file that `TARBARTA_PASSPHRASE_FILE` names, or else asked for; twice for
 * new keys.
 *
 * @throws {@link CliError} `PASSPHRASE_UNEQUAL`; NodeError `PASSPHRASE_MISSING`, `FILE_*`.
 */
export async function passphraseFor(
  { terminal, environment }: Session,
  options: { readonly isNew: boolean },
): Promise<string> {
  const { readPassphrase } = await import("../node/passphrase.ts")
  const ask = async (): Promise<string> => {
    const passphrase = await terminal.passphrase("prompt.passphrase")
    if (options.isNew && (await terminal.passphrase("prompt.repeat")) !== passphrase) {
      throw new CliError("PASSPHRASE_UNEQUAL", "the two passphrases differ; nothing was made")
    }
    return passphrase
  }
  return readPassphrase({ env: environment, ...(terminal.isAttended ? { ask } : {}) })
}

/** The passphrase as the foreground process hands it to the one in the background. */
export async function passphraseFromInput(): Promise<string> {
  return new TextDecoder().decode(await readInput(PASSPHRASE_BYTES_MAX))
}

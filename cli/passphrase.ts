/** Where the passphrase that opens a node's keys comes from: a file, or the person at the terminal. */

import { stat } from "node:fs/promises"
import { PASSPHRASE_BYTES_MAX } from "../protocol/limits.ts"
import { CliError } from "./errors.ts"
import { decodeText, readBytes, readInput } from "./files.ts"
import type { Session } from "./session.ts"

/**
 * The passphrase from the file that `TARBARTA_PASSPHRASE_FILE` names, or else asked for.
 *
 * @throws {@link CliError} `PASSPHRASE_MISSING`, `PASSPHRASE_UNEQUAL`, and those of files.
 */
export async function passphraseFor(
  session: Session,
  options: { readonly isNew: boolean },
): Promise<string> {
  const { terminal, environment } = session
  const path = environment["TARBARTA_PASSPHRASE_FILE"]
  if (path !== undefined && path !== "") return await fromFile(session, path)
  if (!terminal.isAttended) {
    throw new CliError("PASSPHRASE_MISSING", "no passphrase, and nobody to ask for it", {
      hint: "name a file that holds it with TARBARTA_PASSPHRASE_FILE",
    })
  }
  const passphrase = await terminal.passphrase("prompt.passphrase")
  if (options.isNew && (await terminal.passphrase("prompt.repeat")) !== passphrase) {
    throw new CliError("PASSPHRASE_UNEQUAL", "the two passphrases differ; nothing was made")
  }
  return checked(passphrase)
}

/** The passphrase as the foreground process hands it to the one in the background. */
export async function passphraseFromInput(): Promise<string> {
  return checked(decodeText(await readInput(PASSPHRASE_BYTES_MAX), "passphrase"))
}

async function fromFile(session: Session, path: string): Promise<string> {
  const text = decodeText(await readBytes(path, PASSPHRASE_BYTES_MAX), "passphrase file")
  if (((await stat(path)).mode & 0o077) !== 0) {
    session.terminal.warn(`${path}: other users may read the passphrase; chmod 600 it`)
  }
  return checked(text.replace(/\r?\n$/, ""))
}

function checked(passphrase: string): string {
  if (passphrase === "") throw new CliError("PASSPHRASE_MISSING", "the passphrase is empty")
  return passphrase
}

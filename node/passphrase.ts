/** Passphrases: where a node gets its own from, and how good ones are made. */

import { stat } from "node:fs/promises"
import { PASSPHRASE_BYTES_MAX } from "../protocol/limits.ts"
import type { RandomSource } from "../protocol/suite.ts"
import { NodeError } from "./errors.ts"
import { readFileUpTo, systemCode, systemReason } from "./store/file.ts"

/** Asks a person for a line without showing it, as node/prompt.ts does on a terminal. */
export type AskHidden = (question: string) => Promise<string>

const CONSONANTS = "bdfghjklmnprstvz"
const VOWELS = "aiou"
const WORDS = 5

/**
 * The passphrase, in NFC: the first line of the file that `TARBARTA_PASSPHRASE_FILE` names, else
 * what `ask` brings. Nothing is cut off it but the end of the line.
 *
 * @throws NodeError `PASSPHRASE_MISSING` when there is no way to get one, or it is empty;
 * `FILE_UNREADABLE`, `FILE_PERMISSIONS` (others may read the file), `FILE_TEXT` (not UTF-8).
 */
export async function readPassphrase(options: {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Left out where there is no terminal. */
  readonly ask?: AskHidden
  readonly question?: string
}): Promise<string> {
  const path = options.env["TARBARTA_PASSPHRASE_FILE"]
  if (path !== undefined && path !== "") return readPassphraseFile(path)
  if (options.ask === undefined) {
    throw new NodeError("PASSPHRASE_MISSING", "no passphrase and no terminal to ask for one", {
      hint: "set TARBARTA_PASSPHRASE_FILE to a file of mode 600 whose first line it is",
    })
  }
  return checkPassphrase(await options.ask(options.question ?? "Passphrase: "), "the answer")
}

async function readPassphraseFile(path: string): Promise<string> {
  const what = `passphrase file ${path}`
  let bytes: Uint8Array
  try {
    const { mode } = await stat(path)
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      const message = `${what} is open to others: mode ${(mode & 0o777).toString(8)}`
      throw new NodeError("FILE_PERMISSIONS", message, { hint: `chmod 600 ${path}` })
    }
    bytes = await readFileUpTo(path, PASSPHRASE_BYTES_MAX)
  } catch (cause) {
    if (cause instanceof NodeError) throw cause
    const reason = systemCode(cause) === "ENOENT" ? "there is no such file" : systemReason(cause)
    throw new NodeError("FILE_UNREADABLE", `${what}: ${reason}`, { cause })
  }
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new NodeError("FILE_TEXT", `${what}: invalid UTF-8`, { cause })
  } finally {
    bytes.fill(0)
  }
  return checkPassphrase(text.split(/\r?\n/, 1)[0] ?? "", what)
}

function checkPassphrase(text: string, where: string): string {
  if (text === "") throw new NodeError("PASSPHRASE_MISSING", `${where} holds an empty passphrase`)
  return text.normalize("NFC")
}

/**
 * A new passphrase of five speakable words, such as `zoral-dinut-…`: 80 bits, 16 a word.
 *
 * Each word is made of consonant, vowel, consonant, vowel, consonant, from 16 consonants and 4
 * vowels.
 */
export function generatePassphrase(random: RandomSource): string {
  const bytes = random(2 * WORDS)
  const words: string[] = []
  for (let at = 0; at < bytes.length; at += 2) {
    const bits = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    const letters = [
      CONSONANTS.charAt(bits >>> 12),
      VOWELS.charAt((bits >>> 10) & 3),
      CONSONANTS.charAt((bits >>> 6) & 15),
      VOWELS.charAt((bits >>> 4) & 3),
      CONSONANTS.charAt(bits & 15),
    ]
    words.push(letters.join(""))
  }
  return words.join("-")
}

/** Coded errors of the command line, and the exit code that each error of the program means. */

import { TarbartaError } from "../protocol/errors.ts"

export type CliCode =
  | "USAGE"
  | "FILE_DIRECTORY"
  | "FILE_UNREADABLE"
  | "FILE_UNWRITABLE"
  | "FILE_TOO_LARGE"
  | "TEXT_NOT_UTF8"
  | "TEXT_MISSING"
  | "PASSPHRASE_UNEQUAL"
  | "NOT_CONFIRMED"
  | "VERIFICATION_FAILED"
  | "TIMED_OUT"
  | "INTERRUPTED"
  | "CABLE_REFUSED"
  | "NODE_ENDED"

/** A refusal by the command line itself. */
export class CliError extends TarbartaError<CliCode> {}

/** The exit codes of every command (OPERATIONS, "Exit codes"). */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  timedOut: 5,
} as const

/** What a command that failed with this error exits with. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof TarbartaError)) return EXIT.unexpected
  switch (error.code) {
    case "USAGE":
      return EXIT.usage
    case "NODE_UNREACHABLE":
      return EXIT.unreachable
    case "TIMED_OUT":
      return EXIT.timedOut
    case "UNEXPECTED":
    case "INTERRUPTED":
      return EXIT.unexpected
    default:
      return EXIT.refused
  }
}

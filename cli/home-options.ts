/**
 * Options of the commands that make a node's home: `network create`, `prepare` and `found`, and
 * `mission request`.
 */

import type { Command } from "commander"
import { list, officers, type OfficerOption } from "./options.ts"

export interface HomeOptions {
  readonly code: string
  readonly nameEn: string
  readonly nameBn?: string
  readonly address: readonly string[]
  readonly listen?: readonly string[]
  readonly officer?: readonly OfficerOption[]
}

/** Adds them to a command. */
export function withHomeOptions(command: Command): Command {
  return command
    .requiredOption("--code <CODE>", "short code of the mission, such as LON: its address")
    .requiredOption("--name-en <NAME>", "name of the mission in English")
    .option("--name-bn <NAME>", "name of the mission in Bengali (default: the English one)")
    .requiredOption(
      "--address <ADDRESS>",
      "where others reach this node, such as /ip4/192.0.2.7/tcp/4001; may be repeated",
      list,
    )
    .option("--listen <ADDRESS>", "where the node listens (default: the addresses)", list)
    .option(
      "--officer <NAME=ROLES>",
      "an officer; roles: drafter, releaser, cipher, duty, auditor, administrator; may be repeated",
      officers,
    )
}

/** As node/setup.ts wants them. */
export function homeOptions(
  home: string,
  passphrase: string,
  options: HomeOptions,
): {
  readonly home: string
  readonly passphrase: string
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  readonly addresses: readonly string[]
  readonly listen: readonly string[]
  readonly officers: readonly OfficerOption[]
} {
  return {
    home,
    passphrase,
    code: options.code.toUpperCase(),
    nameEn: options.nameEn.normalize("NFC"),
    nameBn: (options.nameBn ?? options.nameEn).normalize("NFC"),
    addresses: options.address,
    listen: options.listen ?? [],
    officers: options.officer ?? [],
  }
}

/**
 * A home that is being made: what its maker must say, what of it is checked before, and the files
 * of the beginning. When the making fails, nothing of the home is left.
 */

import { rm } from "node:fs/promises"
import { join } from "node:path"
import { isMissionCode, OFFICER_ROLES, type OfficerRole } from "../protocol/identity.ts"
import * as limits from "../protocol/limits.ts"
import type { Classification } from "../protocol/words.ts"
import { listenAddress } from "./addresses.ts"
import { DEFAULT_CONFIG, type Config } from "./config.ts"
import { NodeError } from "./errors.ts"
import { createHome, type Home } from "./home.ts"
import { readFileUpTo, systemCode } from "./store/file.ts"

export interface OfficerOption {
  readonly name: string
  readonly roles: readonly string[]
  readonly clearance?: Classification
}

/** What headquarters and missions have in common when they make their homes. */
export interface HomeOptions {
  readonly home: string
  readonly passphrase: string
  readonly code: string
  readonly nameEn: string
  readonly nameBn: string
  /** What others dial: multiaddrs, or HOST:PORT for TCP. */
  readonly addresses: readonly string[]
  /** What the node listens on; empty: as `addresses`. */
  readonly listen: readonly string[]
  readonly officers: readonly OfficerOption[]
}

/** Where the genesis lies in a home. */
export function genesisPath(home: Home): string {
  return join(home.root, "network.genesis")
}

/** Where the governance key lies, at the member that has one. */
export function governancePath(home: Home): string {
  return join(home.keys, "governance")
}

/** @throws NodeError `SETUP_INVALID`, or what {@link listenAddress} says. */
export function checkOptions(options: HomeOptions): void {
  demandCode(options.code)
  if (options.officers.length > limits.OFFICERS_PER_REQUEST_MAX) {
    const most = `at most ${limits.OFFICERS_PER_REQUEST_MAX} officers, got ${options.officers.length}`
    throw new NodeError("SETUP_INVALID", most)
  }
  for (const officer of options.officers) officerRoles(officer)
  for (const address of [...options.addresses, ...options.listen]) listenAddress(address)
}

/** @throws NodeError `SETUP_INVALID` for what cannot be a mission's code. */
export function demandCode(code: string): void {
  if (isMissionCode(code)) return
  const message = `mission code "${code}": expected a capital, then 1 … 7 capitals, digits`
  throw new NodeError("SETUP_INVALID", message, { hint: "such as LON, DEL or UNNY" })
}

/** @throws NodeError `SETUP_INVALID` for a role that does not exist. */
export function officerRoles(officer: OfficerOption): readonly OfficerRole[] {
  return officer.roles.map((name) => {
    const role = OFFICER_ROLES.find((one) => one === name)
    if (role !== undefined) return role
    const message = `officer "${officer.name}": no role "${name}"`
    throw new NodeError("SETUP_INVALID", message, { hint: `roles: ${OFFICER_ROLES.join(", ")}` })
  })
}

/** Configuration of a new home; validators relay for others. */
export function configOf(options: HomeOptions, relay: boolean): Config {
  const listen = options.listen.length > 0 ? options.listen : options.addresses
  return {
    ...DEFAULT_CONFIG,
    mission: options.code,
    listen: listen.map(listenAddress),
    relay,
  }
}

/**
 * Makes a home and fills it by `make`; removes it again when that fails.
 *
 * @throws NodeError `HOME_EXISTS`, `HOME_LAYOUT`, `HOME_PERMISSIONS`, and what `make` throws.
 */
export async function makeHome<T>(root: string, make: (home: Home) => Promise<T>): Promise<T> {
  const home = await createHome(root)
  try {
    return await make(home)
  } catch (error) {
    await rm(root, { recursive: true, force: true })
    throw error
  }
}

/**
 * A file that a home may have; undefined when it is not there.
 *
 * @throws NodeError `FILE_UNREADABLE`.
 */
export async function readIfThere(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    return await readFileUpTo(path, bytesMax)
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined
    throw error
  }
}

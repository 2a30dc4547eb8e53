/**
 * The configuration file of a node: JSON → checked values with their defaults (OPERATIONS §3).
 *
 * It holds no secrets and binds its own node alone. A key that we do not know is refused rather
 * than ignored: a typing error should not leave a default in force.
 */

import { isMissionCode } from "../protocol/identity.ts"
import {
  CONFIG_BYTES_MAX,
  MISSION_ADDRESSES_MAX,
  MISSION_ADDRESS_BYTES_MAX,
  STORE_BULK_FREE_PERCENT,
  STORE_FREE_PERCENT,
} from "../protocol/limits.ts"
import type { SyncMode } from "./consensus/follower.ts"
import { NodeError } from "./errors.ts"
import { readFileUpTo, replaceFile, systemCode, systemReason } from "./store/file.ts"

export type LogLevel = "debug" | "info" | "warn" | "error"

export interface Config {
  /** Code of this mission. */
  readonly mission: string
  /** Multiaddrs that the node listens on: `/ip4/…/tcp/PORT`, with `/ws` for WebSocket. */
  readonly listen: readonly string[]
  readonly logLevel: LogLevel
  /** Keep envelopes for missions that are away. Validators do by default. */
  readonly relay: boolean
  readonly freeSpace: FreeSpaceFloors
  /** How the ledger is fetched by a node that is behind. */
  readonly ledgerSync: SyncMode
}

/** Shares of the disk in percent (store/space.ts). */
export interface FreeSpaceFloors {
  readonly bulkPercent: number
  readonly percent: number
}

/** What keys that are left out stand for; `mission` must be there. */
export const DEFAULT_CONFIG: Omit<Config, "mission"> = {
  listen: ["/ip4/127.0.0.1/tcp/4610"],
  logLevel: "warn",
  relay: false,
  freeSpace: { bulkPercent: STORE_BULK_FREE_PERCENT, percent: STORE_FREE_PERCENT },
  ledgerSync: "auto",
}

const ADDRESS_PATTERN =
  /^\/(ip4|ip6|dns|dns4|dns6)\/([0-9a-zA-Z.:-]+)\/tcp\/(0|[1-9][0-9]{0,4})(\/wss?)?$/
const PORT_MAX = 65_535

/**
 * Reads a configuration file.
 *
 * @throws NodeError `CONFIG_INVALID`, naming the key; `FILE_UNREADABLE`.
 */
export async function readConfig(path: string): Promise<Config> {
  let bytes: Uint8Array
  try {
    bytes = await readFileUpTo(path, CONFIG_BYTES_MAX)
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error
    throw new NodeError("CONFIG_INVALID", `${path} is missing`, { cause: error })
  }
  return parseConfig(bytes, path)
}

/** Writes a configuration file, whole and durably. @throws NodeError `FILE_UNREADABLE`. */
export async function writeConfig(path: string, config: Config): Promise<void> {
  try {
    await replaceFile(path, new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`))
  } catch (cause) {
    const message = `cannot write ${path}: ${systemReason(cause)}`
    throw new NodeError("FILE_UNREADABLE", message, { cause })
  }
}

/**
 * Checks the bytes of a configuration file; `path` is for messages. Keys that are left out have
 * their defaults.
 *
 * @throws NodeError `CONFIG_INVALID`, naming the key.
 */
export function parseConfig(bytes: Uint8Array, path: string): Config {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch (cause) {
    const why = cause instanceof SyntaxError ? "not JSON" : "invalid UTF-8"
    throw new NodeError("CONFIG_INVALID", `${path}: ${why}`, { cause })
  }
  const top = new Section(path, "", value, ["mission", ...Object.keys(DEFAULT_CONFIG)])
  const freeSpace = top.section("freeSpace", DEFAULT_CONFIG.freeSpace)
  const config: Config = {
    listen: top.list("listen", DEFAULT_CONFIG.listen, MISSION_ADDRESSES_MAX, checkAddress),
    logLevel: top.choice("logLevel", DEFAULT_CONFIG.logLevel, ["debug", "info", "warn", "error"]),
    relay: top.flag("relay", DEFAULT_CONFIG.relay),
    freeSpace: {
      bulkPercent: freeSpace.integer("bulkPercent", DEFAULT_CONFIG.freeSpace.bulkPercent, 0, 50),
      percent: freeSpace.integer("percent", DEFAULT_CONFIG.freeSpace.percent, 0, 50),
    },
    ledgerSync: top.choice("ledgerSync", DEFAULT_CONFIG.ledgerSync, ["auto", "blocks", "bundles"]),
    mission: top.text("mission", checkMission),
  }
  if (config.freeSpace.percent > config.freeSpace.bulkPercent) {
    freeSpace.fail("percent", "expected at most bulkPercent")
  }
  return config
}

/** One JSON object, read key by key. */
class Section {
  readonly #path: string
  readonly #name: string
  readonly #values: ReadonlyMap<string, unknown>

  constructor(path: string, name: string, value: unknown, known: readonly string[]) {
    this.#path = path
    this.#name = name
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new NodeError("CONFIG_INVALID", `${path}: ${name || "file"}: expected an object`)
    }
    this.#values = new Map(Object.entries(value))
    for (const key of this.#values.keys()) {
      if (!known.includes(key)) this.fail(printable(key), "unknown key")
    }
  }

  #get(key: string, byDefault: unknown): unknown {
    return this.#values.has(key) ? this.#values.get(key) : byDefault
  }

  section(key: string, defaults: object): Section {
    return new Section(this.#path, key, this.#get(key, {}), Object.keys(defaults))
  }

  integer(key: string, byDefault: number, min: number, max: number): number {
    const value = this.#get(key, byDefault)
    const isRight = typeof value === "number" && Number.isInteger(value)
    if (isRight && value >= min && value <= max) return value
    return this.fail(key, `expected an integer in ${min} … ${max}, got ${describe(value)}`)
  }

  flag(key: string, byDefault: boolean): boolean {
    const value = this.#get(key, byDefault)
    if (typeof value === "boolean") return value
    return this.fail(key, `expected true or false, got ${describe(value)}`)
  }

  choice<T extends string>(key: string, byDefault: T, choices: readonly T[]): T {
    const value = this.#get(key, byDefault)
    const found = choices.find((choice) => choice === value)
    if (found !== undefined) return found
    return this.fail(key, `expected ${choices.join(", ")}, got ${describe(value)}`)
  }

  /** A text that must be there and that `check` finds nothing wrong with. */
  text(key: string, check: (text: string) => string | undefined): string {
    const value = this.#values.get(key)
    if (typeof value !== "string") return this.fail(key, `expected text, got ${describe(value)}`)
    const wrong = check(value)
    return wrong === undefined ? value : this.fail(key, `${wrong}, got ${describe(value)}`)
  }

  /** Texts, each of which `check` finds nothing wrong with. */
  list(
    key: string,
    byDefault: readonly string[],
    max: number,
    check: (text: string) => string | undefined,
  ): readonly string[] {
    const value = this.#get(key, byDefault)
    if (!Array.isArray(value)) return this.fail(key, `expected a list, got ${describe(value)}`)
    if (value.length > max) this.fail(key, `expected at most ${max} items, got ${value.length}`)
    return value.map((item: unknown, index) => {
      const name = `${key}[${index}]`
      if (typeof item !== "string") return this.fail(name, `expected text, got ${describe(item)}`)
      const wrong = check(item)
      return wrong === undefined ? item : this.fail(name, `${wrong}, got ${describe(item)}`)
    })
  }

  fail(key: string, why: string): never {
    const place = this.#name === "" ? key : `${this.#name}.${key}`
    throw new NodeError("CONFIG_INVALID", `${this.#path}: ${place}: ${why}`)
  }
}

function checkAddress(text: string): string | undefined {
  const parts = ADDRESS_PATTERN.exec(text)
  const isRight = text.length <= MISSION_ADDRESS_BYTES_MAX && Number(parts?.[3]) <= PORT_MAX
  return isRight ? undefined : "expected a multiaddr such as /ip4/192.0.2.1/tcp/4610"
}

function checkMission(text: string): string | undefined {
  return isMissionCode(text) ? undefined : "expected a mission's code"
}

/** A value as a message may show it: configuration is no secret, but it may be long or odd. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing"
  if (value === null) return "null"
  return typeof value === "object"
    ? "an object or list"
    : printable(JSON.stringify(value) ?? "nothing")
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 60)
}

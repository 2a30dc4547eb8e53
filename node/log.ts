/**
 * The structured log: one JSON object a line, on standard error or wherever the caller says.
 *
 * Fields are ids, codes, counts and names of missions. Content, subjects, keys and passphrases have
 * no way in: callers hand over numbers, booleans and short texts of their own, never user input.
 */

import type { Clock } from "./clock.ts"

export type LogLevel = "debug" | "info" | "warn" | "error"
export type LogFields = Readonly<Record<string, string | number | boolean>>

const RANKS: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
/** A field that is longer was not meant for a log. */
const FIELD_CHARACTERS_MAX = 200

export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

export function createLog(level: LogLevel, clock: Clock, write: (line: string) => void): Log {
  const at =
    (rank: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (RANKS[rank] < RANKS[level]) return
      const time = new Date(clock.now()).toISOString()
      const short = Object.entries(fields).map(([name, value]) => [
        name,
        typeof value === "string" ? value.slice(0, FIELD_CHARACTERS_MAX) : value,
      ])
      write(JSON.stringify({ time, level: rank, event, ...Object.fromEntries(short) }))
    }
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}

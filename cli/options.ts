/** Values of options: lists, numbers, words of a set, officers. A wrong one is a usage error. */

import { InvalidArgumentError } from "commander"
import { ID_PREFIX_DIGITS_MIN } from "../protocol/limits.ts"
import { CliError } from "./errors.ts"

const ID_DIGITS = 64

/** `LON,DEL` or the option given several times. */
export function list(value: string, before: readonly string[] | undefined): readonly string[] {
  const items = value.split(",").map((item) => item.trim())
  return [...(before ?? []), ...items.filter((item) => item !== "")]
}

/** Mission codes: as {@link list}, in capitals. */
export function missions(value: string, before: readonly string[] | undefined): readonly string[] {
  return list(value.toUpperCase(), before)
}

/** The option given several times; commas stay. */
export function several(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

/**
 * The beginning of an ID. Commander would name the argument; an officer knows it as the ID that
 * lists show.
 */
export function idDigits(value: string): string {
  const isHex = /^[0-9a-f]+$/i.test(value)
  if (isHex && value.length >= ID_PREFIX_DIGITS_MIN && value.length <= ID_DIGITS) return value
  const message = `${value}: expected an ID, its first ${ID_PREFIX_DIGITS_MIN} digits (0-9, a-f) or more`
  throw new CliError("USAGE", message, {
    hint: "`tarbarta cable inbox`, with --sent too, and `tarbarta hotline list` show the IDs",
  })
}

/** A whole number from 1 on. */
export function count(value: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(value)) {
    throw new InvalidArgumentError("expected a whole number above 0")
  }
  return Number(value)
}

/** A whole number within bounds. */
export function wholeNumber(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = /^[0-9]{1,9}$/.test(value) ? Number(value) : -1
    if (number >= min && number <= max) return number
    throw new InvalidArgumentError(`expected a whole number in ${min} … ${max}`)
  }
}

/** Seconds, above 0. */
export function seconds(value: string): number {
  const number = /^[0-9]{1,7}(\.[0-9]{1,3})?$/.test(value) ? Number(value) : 0
  if (number <= 0) throw new InvalidArgumentError("expected a number of seconds above 0")
  return number
}

/** One word of a set, in any case. */
export function oneOf<W extends string>(words: readonly W[]): (value: string) => W {
  return (value) => {
    const given = value.toLowerCase().replace(/[ _]/g, "-")
    const word = words.find((one) => one === given)
    if (word === undefined) throw new InvalidArgumentError(`expected one of: ${words.join(", ")}`)
    return word
  }
}

export interface OfficerOption {
  readonly name: string
  readonly roles: readonly string[]
}

/** `"A. Rahman=drafter,cipher"`: a name and what the officer may do. */
export function officers(
  value: string,
  before: readonly OfficerOption[] | undefined,
): readonly OfficerOption[] {
  const at = value.lastIndexOf("=")
  const name = value.slice(0, at).trim()
  const roles = at < 0 ? [] : list(value.slice(at + 1).toLowerCase(), undefined)
  if (name === "" || roles.length === 0) {
    throw new InvalidArgumentError('expected NAME=ROLE,ROLE such as "A. Rahman=drafter,cipher"')
  }
  return [...(before ?? []), { name, roles }]
}

/** The fields of an object that are there; absent and undefined are the same to us. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

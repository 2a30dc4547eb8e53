/**
 * Names of the files that a log is published as (C2SP tlog-tiles; LEDGER §15.4).
 *
 * `tile/<L>/<N>` holds up to 256 hashes of complete subtrees of 256^L leaves, `tile/entries/<N>` up
 * to 256 entries, each as u16 length and bytes. N stands in groups of three digits, all but the
 * last with an x: 1234067 is `x001/x234/067`. What is not full ends in `.p/<W>`, W of them being there.
 */

import { assert } from "../protocol/assert.ts"
import { TILE_WIDTH } from "../protocol/limits.ts"
import { LedgerError } from "./errors.ts"

/** One published file of the tree. */
export interface TileName {
  /** Level of tiles, or the entries below them. */
  readonly level: number | "entries"
  readonly number: number
  /** Hashes or entries in it, 1 … 256. */
  readonly width: number
}

const LEVEL_MAX = 63
const PATH = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** The path of a tile below the place of publication, without a slash before it. */
export function formatTilePath({ level, number, width }: TileName): string {
  assert(width >= 1 && width <= TILE_WIDTH, "a tile holds 1 … 256 hashes")
  assert(Number.isSafeInteger(number) && number >= 0, "a tile has a number of ours")
  const digits = String(number)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0")
  const groups = padded.match(/.{3}/g) ?? []
  const last = groups.pop() ?? ""
  const path = [...groups.map((group) => `x${group}`), last].join("/")
  return `tile/${level}/${path}${width === TILE_WIDTH ? "" : `.p/${width}`}`
}

/** @throws {@link LedgerError} `TILE_PATH` for anything that {@link formatTilePath} does not write. */
export function parseTilePath(path: string): TileName {
  const [, levelText = "", groups = "", widthText] = PATH.exec(path) ?? []
  const number = Number(groups.replaceAll(/[x/]/g, ""))
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText)
  const level = levelText === "entries" ? levelText : Number(levelText)
  const isSound =
    groups !== "" &&
    Number.isSafeInteger(number) &&
    width <= TILE_WIDTH &&
    (level === "entries" || level <= LEVEL_MAX)
  // One tile has one path: leading zeroes and a partial tile of 256 are refused by this.
  if (isSound && formatTilePath({ level, number, width }) === path) return { level, number, width }
  throw new LedgerError("TILE_PATH", "tile: its path is none")
}

/** The files of a tree of `size` leaves at one level: full ones, then at most one that is not. */
export function tilesOf(level: TileName["level"], size: number): { full: number; partial: number } {
  const count = level === "entries" ? size : Math.floor(size / TILE_WIDTH ** level)
  return { full: Math.floor(count / TILE_WIDTH), partial: count % TILE_WIDTH }
}

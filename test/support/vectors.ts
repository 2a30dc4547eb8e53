/**
 * Published vectors: third-party data that is not part of the project.
 *
 * They are looked for in `TARBARTA_DATA`, then beside the project. Where they are missing, the test
 * is skipped and says which file it wanted; where they are there, its name says how many cases ran.
 */

import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { hexToBytes } from "@noble/hashes/utils.js"
import { it } from "vitest"

const BESIDE = fileURLToPath(new URL("../../../shared/data", import.meta.url))
const ROOT = `${process.env["TARBARTA_DATA"] ?? BESIDE}/vectors`
const FROZEN = fileURLToPath(new URL("../vectors", import.meta.url))

/** One published file and what to do with it. */
export interface PublishedVectors<T> {
  /** Path under the folder `vectors`, such as `xwing/test-vectors.json`. */
  readonly file: string
  /** What holds for all cases; the test's name. */
  readonly title: string
  /** From the file's bytes; JSON when absent. */
  readonly parse?: (bytes: Uint8Array) => T
  /** How many cases are about to run. */
  readonly count: (data: T) => number
  readonly run: (data: T) => void | Promise<void>
}

/** Declares one test over a published file, or a visible skip. */
export function testVectors<T>(vectors: PublishedVectors<T>): void {
  const path = `${ROOT}/${vectors.file}`
  if (!existsSync(path)) {
    it(`${vectors.title} (${vectors.file})`, (context) => {
      context.skip(`published vectors not found: ${vectors.file}`)
    })
    return
  }
  const data = (vectors.parse ?? parseJson<T>)(readFileSync(path))
  it(`${vectors.title} (${vectors.file}: ${vectors.count(data)} cases)`, async () => {
    await vectors.run(data)
  })
}

/** The project's own frozen vectors, `test/vectors/<name>`. They are always there. */
export function readFrozen<T>(name: string): T {
  return parseJson<T>(readFileSync(`${FROZEN}/${name}`))
}

/** Reads `name = hex` lines; other lines, such as matrices, are left as they are. */
export function parseAssignments(bytes: Uint8Array): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {}
  for (const line of new TextDecoder().decode(bytes).split("\n")) {
    const at = line.indexOf(" = ")
    if (at > 0) fields[line.slice(0, at)] ??= line.slice(at + 3).trim()
  }
  return fields
}

/** Bytes of a hexadecimal field; a missing field is a fault of the file. */
export function hex(text: string | undefined): Uint8Array {
  if (text === undefined) throw new Error("a field is missing in a file of vectors")
  return hexToBytes(text)
}

/** Wycheproof's frame: groups of tests. */
export interface Wycheproof<Group> {
  readonly testGroups: readonly Group[]
}

/** One Wycheproof case; `acceptable` means that a strict implementation may refuse. */
export interface WycheproofCase {
  readonly tcId: number
  readonly comment?: string
  readonly flags: readonly string[]
  readonly result: "valid" | "invalid" | "acceptable"
}

/** Number of cases in all groups. */
export function countCases(data: Wycheproof<{ readonly tests: readonly unknown[] }>): number {
  return data.testGroups.reduce((sum, group) => sum + group.tests.length, 0)
}

function parseJson<T>(bytes: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(bytes)) as T
}

/**
 * Published vectors: third-party data that is not part of the project.
 *
 * They are looked for in `TARBARTA_DATA`, then beside the project. Where they are missing, the test
 * is skipped and says which file it wanted; where they are there, its name says how many cases ran.
 */

import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import type { TestContext } from "vitest"
import { AssertionError } from "../../protocol/assert.ts"
import { refusal } from "./refusal.ts"

const BESIDE = fileURLToPath(new URL("../../../shared/data", import.meta.url))
const ROOT = `${process.env["TARBARTA_DATA"] ?? BESIDE}/vectors`
const FROZEN = fileURLToPath(new URL("../vectors", import.meta.url))

/** One published file. */
export interface PublishedVectors<T> {
  /** A test's name: what it holds, with the file and the count of cases. */
  name(claim: string): string
  /** The contents; skips the test, saying why, where the file is missing. */
  read(context: TestContext): T
}

/**
 * Looks for a published file. `file` is a path under the folder `vectors`; its contents are JSON
 * unless `parse` says otherwise, and `count` tells how many cases a test is about to run.
 */
export function publishedVectors<T>(source: {
  readonly file: string
  readonly parse?: (bytes: Uint8Array) => T
  readonly count: (data: T) => number
}): PublishedVectors<T> {
  const path = `${ROOT}/${source.file}`
  if (!existsSync(path)) {
    return {
      name: (claim) => `${claim} (${source.file})`,
      read: (context) => context.skip(`published vectors not found: ${source.file}`),
    }
  }
  const bytes = readFileSync(path)
  const data = source.parse === undefined ? (parseJson(bytes) as T) : source.parse(bytes)
  const counted = `${source.file}: ${source.count(data)} cases`
  return { name: (claim) => `${claim} (${counted})`, read: () => data }
}

/** The project's own frozen vectors, `test/vectors/<name>`. They are always there. */
export function readFrozen(name: string): unknown {
  return parseJson(readFileSync(`${FROZEN}/${name}`))
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

/** The outcome of an action that breaks a promise which callers must keep. */
export const BROKEN_PROMISE = "assertion"

/** What an action gives, in one word: bytes in hex, the code of a refusal, a broken promise. */
export function outcome(action: () => Uint8Array): string {
  let bytes = ""
  try {
    return refusal(() => (bytes = bytesToHex(action()))) ?? bytes
  } catch (error) {
    if (error instanceof AssertionError) return BROKEN_PROMISE
    throw error
  }
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

function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes))
}

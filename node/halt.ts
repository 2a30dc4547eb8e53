/**
 * Why a validator has ended its votes until its operator has looked: `keys/halted` (LEDGER §8.5).
 *
 * Two final chains, or a final block that our check refuses, do not go away when a process starts
 * again; so this is kept beside the keys, and nothing but its removal by hand lets the key vote. It
 * is a file and no option of a command: an option in a service's unit is given at each start.
 */

import { NodeError } from "./errors.ts"
import { isHalting, type Refusal } from "./consensus/voting.ts"
import { readFileUpTo, replaceFile, systemCode, systemReason } from "./store/file.ts"

const FILE_BYTES_MAX = 4_096

/**
 * Undefined when there is no such file; whatever stands in one, the key does not vote.
 *
 * @throws NodeError `FILE_UNREADABLE`.
 */
export async function readHalt(path: string): Promise<Refusal | undefined> {
  try {
    const text = new TextDecoder().decode(await readFileUpTo(path, FILE_BYTES_MAX)).trim()
    const [code = ""] = text.split(": ", 1)
    if (isHalting(code)) return { code, message: text.slice(code.length + 2) }
    return { code: "CONSENSUS_DIVERGED", message: `${path} is there: ${text}` }
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined
    throw error
  }
}

/** @throws NodeError `STORE_FAILED`. */
export async function writeHalt(path: string, { code, message }: Refusal): Promise<void> {
  try {
    await replaceFile(path, new TextEncoder().encode(`${code}: ${message}\n`))
  } catch (cause) {
    throw new NodeError("STORE_FAILED", `cannot write ${path}: ${systemReason(cause)}`, { cause })
  }
}

/** Files that a person names: read within limits and written whole, with one clear error each. */

import { open, rename, stat, unlink } from "node:fs/promises"
import { CliError, type CliCode } from "./errors.ts"

/**
 * The whole content of a file.
 *
 * @throws {@link CliError} `FILE_DIRECTORY`, `FILE_TOO_LARGE`, `FILE_UNREADABLE`.
 */
export async function readBytes(path: string, bytesMax: number): Promise<Uint8Array> {
  try {
    const file = await open(path, "r")
    try {
      const stat = await file.stat()
      if (stat.isDirectory()) throw isDirectory(path)
      if (stat.size > bytesMax) throw tooLarge(path, bytesMax)
      return await collect(path, file.createReadStream({ autoClose: false }), bytesMax)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw coded(error, path, "FILE_UNREADABLE", "cannot be read")
  }
}

/** All that comes on standard input. */
export async function readInput(bytesMax: number): Promise<Uint8Array> {
  return collect("standard input", process.stdin, bytesMax)
}

/**
 * A text, exactly as it stands.
 *
 * @throws {@link CliError} `TEXT_NOT_UTF8`, naming the first byte that is not.
 */
export function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    const offset = firstInvalid(bytes)
    throw new CliError("TEXT_NOT_UTF8", `${what}: not UTF-8 at byte ${offset} of ${bytes.length}`, {
      cause,
      hint: "nothing was sent; save the text as UTF-8 and try again",
    })
  }
}

/**
 * Writes a file that is there as a whole or not at all. An older one of that name is replaced.
 *
 * @returns How many bytes were written.
 * @throws {@link CliError} `FILE_DIRECTORY`, `FILE_UNWRITABLE`.
 */
export async function writeBytes(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<number> {
  await refuseFolder(path)
  const unfinished = `${path}.part`
  let total = 0
  try {
    const file = await open(unfinished, "w", 0o600)
    try {
      for await (const piece of content instanceof Uint8Array ? [content] : content) {
        await file.writeFile(piece)
        total += piece.length
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(unfinished, path)
    return total
  } catch (error) {
    await unlink(unfinished).catch(() => undefined)
    throw coded(error, path, "FILE_UNWRITABLE", "cannot be written")
  }
}

/**
 * Refuses a path at which {@link writeBytes} would find a folder, for work that takes long before
 * it writes.
 *
 * @throws {@link CliError} `FILE_DIRECTORY`.
 */
export async function refuseFolder(path: string): Promise<void> {
  // What cannot be looked at is told of when it is written.
  const status = await stat(path).catch(() => undefined)
  if (status?.isDirectory() === true) throw isDirectory(path)
}

async function collect(
  what: string,
  stream: AsyncIterable<unknown>,
  bytesMax: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    total += chunk.length
    if (total > bytesMax) throw tooLarge(what, bytesMax)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Where the first sequence that is not UTF-8 begins. */
function firstInvalid(bytes: Uint8Array): number {
  const isText = (length: number, isCut: boolean): boolean => {
    const decoder = new TextDecoder("utf-8", { fatal: true })
    try {
      decoder.decode(bytes.subarray(0, length), { stream: isCut })
      return true
    } catch (error) {
      if (error instanceof TypeError) return false
      throw error
    }
  }
  // Longest beginning that may be a text cut within a character, by halving …
  let valid = 0
  let invalid = bytes.length + 1
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >>> 1
    if (isText(middle, true)) valid = middle
    else invalid = middle
  }
  // … and the beginning of that character.
  while (!isText(valid, false)) valid -= 1
  return valid
}

function isDirectory(path: string): CliError {
  return new CliError("FILE_DIRECTORY", `${path}: expected a file, got a folder`)
}

function tooLarge(what: string, bytesMax: number): CliError {
  return new CliError("FILE_TOO_LARGE", `${what}: expected at most ${bytesMax} bytes`)
}

function coded(error: unknown, path: string, code: CliCode, what: string): unknown {
  const reason = (error as NodeJS.ErrnoException).code
  if (error instanceof CliError || typeof reason !== "string") return error
  switch (reason) {
    case "EISDIR":
      return isDirectory(path)
    case "ENOENT":
      return new CliError(code, `${path}: ${what}: no such file or folder`, { cause: error })
    case "EACCES":
    case "EPERM":
      return new CliError(code, `${path}: ${what}: not permitted`, { cause: error })
    case "ENOSPC":
      return new CliError(code, `${path}: ${what}: the disk is full`, { cause: error })
    default:
      // Errors of the node and of this program have codes of their own, in capitals as well.
      if (!(error instanceof Error) || !("syscall" in error)) return error
      return new CliError(code, `${path}: ${what} (${reason})`, { cause: error })
  }
}

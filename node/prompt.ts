/** Asks for a passphrase on a terminal without showing what is typed. */

import { PASSPHRASE_BYTES_MAX } from "../protocol/limits.ts"
import { NodeError } from "./errors.ts"

/** The keyboard side of a terminal: what `process.stdin` is on one. */
export interface Keyboard {
  setRawMode(isRaw: boolean): unknown
  resume(): unknown
  pause(): unknown
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown
  on(event: "end", listener: () => void): unknown
  off(event: "data", listener: (bytes: Uint8Array) => void): unknown
  off(event: "end", listener: () => void): unknown
}

const ENTER = new Set(["\r", "\n", "\u0004"])
const BACKSPACE = new Set(["\b", "\u007f"])
const INTERRUPT = "\u0003"
const CLEAR_LINE = "\u0015"

/**
 * Shows `question` and returns the line that is typed, without echo. The terminal is back in its
 * former mode when this settles. Backspace removes one character as people count them, and Ctrl-U
 * the line.
 *
 * @throws NodeError `PASSPHRASE_MISSING` on Ctrl-C or when the input ends.
 */
export async function askHidden(
  question: string,
  keyboard: Keyboard,
  show: (text: string) => void,
): Promise<string> {
  const decoder = new TextDecoder()
  const segmenter = new Intl.Segmenter()
  let line = ""
  show(question)
  keyboard.setRawMode(true)
  let stop = (): void => undefined
  try {
    return await new Promise<string>((resolve, reject) => {
      const type = (character: string): boolean => {
        if (ENTER.has(character)) {
          resolve(line)
          return false
        }
        if (character === INTERRUPT) {
          reject(new NodeError("PASSPHRASE_MISSING", "interrupted while asking for the passphrase"))
          return false
        }
        if (character === CLEAR_LINE) line = ""
        else if (BACKSPACE.has(character)) line = withoutLast(line, segmenter)
        else if (character >= " " && line.length < PASSPHRASE_BYTES_MAX) line += character
        return true
      }
      const onData = (bytes: Uint8Array): void => {
        for (const character of decoder.decode(bytes, { stream: true })) {
          if (!type(character)) return
        }
      }
      const onEnd = (): void => {
        reject(new NodeError("PASSPHRASE_MISSING", "input ended before the passphrase"))
      }
      keyboard.on("data", onData)
      keyboard.on("end", onEnd)
      stop = () => {
        keyboard.off("data", onData)
        keyboard.off("end", onEnd)
      }
      keyboard.resume()
    })
  } finally {
    stop()
    keyboard.pause()
    keyboard.setRawMode(false)
    show("\n")
  }
}

function withoutLast(line: string, segmenter: Intl.Segmenter): string {
  const last = [...segmenter.segment(line)].at(-1)
  return last === undefined ? "" : line.slice(0, last.index)
}

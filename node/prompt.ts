/** Asks for a line on a terminal: a passphrase without showing it, or an answer to a question. */

import { PASSPHRASE_BYTES_MAX } from "../protocol/limits.ts"
import { NodeError } from "./errors.ts"

/** The keyboard side of a terminal: what `process.stdin` is on one. */
export interface Keyboard {
  /** True when `end` was told already and will not be told again. */
  readonly readableEnded: boolean
  setRawMode(isRaw: boolean): unknown
  resume(): unknown
  pause(): unknown
  /** Takes back what was read too far, to be read again. */
  unshift(bytes: Uint8Array): unknown
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown
  on(event: "end", listener: () => void): unknown
  off(event: "data", listener: (bytes: Uint8Array) => void): unknown
  off(event: "end", listener: () => void): unknown
}

const RETURN = 0x0d
const LINE_FEED = 0x0a
const INTERRUPT = 0x03
const END_OF_INPUT = 0x04
const ENDS = new Set([RETURN, LINE_FEED, INTERRUPT, END_OF_INPUT])
const BACKSPACE = new Set(["\b", "\u007f"])
const CLEAR_LINE = "\u0015"

/**
 * Shows `question` and returns the line that is typed, without echo. The terminal is back in its
 * former mode when this settles. Backspace removes one character as people count them, and Ctrl-U
 * the line. What was typed ahead, behind the end of the line, waits for the next prompt.
 *
 * @throws NodeError `PASSPHRASE_MISSING` on Ctrl-C or when the input ends.
 */
export async function askHidden(
  question: string,
  keyboard: Keyboard,
  show: (text: string) => void,
): Promise<string> {
  // Before anybody is invited to type, or the first letters would be shown.
  keyboard.setRawMode(true)
  try {
    show(question)
    const line = await readLine(keyboard)
    if (line !== undefined) return line
    throw new NodeError("PASSPHRASE_MISSING", "no passphrase: interrupted, or the input ended")
  } finally {
    keyboard.setRawMode(false)
    show("\n")
  }
}

/**
 * Shows `question` and returns the line that is typed, as the terminal shows and edits it; an empty
 * one when the input ends. What was typed ahead waits for the next prompt.
 */
export async function askShown(
  question: string,
  keyboard: Keyboard,
  show: (text: string) => void,
): Promise<string> {
  show(question)
  return (await readLine(keyboard)) ?? ""
}

/** One line; undefined when there is none: Ctrl-C, or the end of the input. */
async function readLine(keyboard: Keyboard): Promise<string | undefined> {
  if (keyboard.readableEnded) return undefined
  const line = new Line()
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const onData = (bytes: Uint8Array): void => {
    const end = bytes.findIndex((byte) => ENDS.has(byte))
    line.type(end < 0 ? bytes : bytes.subarray(0, end))
    if (end < 0) return
    stop()
    const isPair = bytes[end] === RETURN && bytes[end + 1] === LINE_FEED
    const ahead = bytes.subarray(isPair ? end + 2 : end + 1)
    if (ahead.length > 0) keyboard.unshift(ahead)
    resolve(bytes[end] === INTERRUPT ? undefined : line.text)
  }
  const onEnd = (): void => {
    stop()
    resolve(undefined)
  }
  const stop = (): void => {
    keyboard.off("data", onData)
    keyboard.off("end", onEnd)
    keyboard.pause()
  }
  keyboard.on("data", onData)
  keyboard.on("end", onEnd)
  keyboard.resume()
  return promise
}

/** A line that is being typed. */
class Line {
  readonly #decoder = new TextDecoder()
  readonly #segmenter = new Intl.Segmenter()
  text = ""

  type(bytes: Uint8Array): void {
    for (const character of this.#decoder.decode(bytes, { stream: true })) {
      if (character === CLEAR_LINE) this.text = ""
      else if (BACKSPACE.has(character)) {
        const last = [...this.#segmenter.segment(this.text)].at(-1)
        this.text = this.text.slice(0, last?.index ?? 0)
      } else if (character >= " " && this.text.length < PASSPHRASE_BYTES_MAX) {
        this.text += character
      }
    }
  }
}

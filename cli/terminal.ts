/**
 * All output and all prompts: results on standard output, everything else on standard error, for
 * people or, with `--json`, for programs (OPERATIONS, "Command line").
 *
 * With `--json` the result is JSON and nothing else is on standard output; a failure is one JSON
 * object on standard error, and so is a warning.
 */

import { TarbartaError } from "../protocol/errors.ts"
import { formatDateTimeGroup } from "../protocol/date-time-group.ts"
import { exitCodeOf } from "./errors.ts"
import { cut, pad, visible, visibleLine, widthOf, wrap } from "./width.ts"
import { digits, sayIn, type Language, type Say, type Word } from "./words.ts"

const COLUMNS = 80
const COLUMNS_MIN = 40
const GAP = "  "
const FLEXIBLE_MIN = 12
/** What takes longer is accompanied by a progress line. */
const PROGRESS_AFTER_MS = 1_000
const PROGRESS_EVERY_MS = 200
const PROGRESS_CELLS_MAX = 60
const BAR_CELLS_MIN = 5
const BAR_CELLS_MAX = 10

export interface Column {
  readonly head: Word
  /** Gets what the others leave; one column at most. */
  readonly isFlexible?: boolean
  readonly side?: "left" | "right"
}

/** A line on standard error that comes when something takes long, and goes when it is done. */
export interface Progress {
  update(done: number, total: number): void
  end(): void
}

/** Where a terminal writes: what `process.stdout` and `process.stderr` are. */
export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export class Terminal {
  readonly isJson: boolean
  readonly language: Language
  readonly say: Say
  readonly #out: Screen
  readonly #errors: Screen

  constructor(options: {
    readonly isJson: boolean
    readonly language: Language
    readonly out?: Screen
    readonly errors?: Screen
  }) {
    this.isJson = options.isJson
    this.language = options.language
    // What programs read is the same in both languages.
    this.say = sayIn(options.isJson ? "en" : options.language)
    this.#out = options.out ?? process.stdout
    this.#errors = options.errors ?? process.stderr
  }

  /** A result for programs; nothing for people. */
  json(value: unknown): void {
    if (this.isJson) this.#out.write(`${JSON.stringify(value)}\n`)
  }

  /** A line of a result for people; control characters in it are shown as code points. */
  line(text = ""): void {
    if (!this.isJson) this.#out.write(`${visible(text)}\n`)
  }

  /** A saying of the catalogue as a line of a result. */
  tell(...saying: Parameters<Say>): void {
    this.line(this.say(...saying))
  }

  /** Something to know, which is not the result. */
  note(text: string): void {
    if (!this.isJson) this.#errors.write(`tarbarta: ${this.say("note")}: ${visibleLine(text)}\n`)
  }

  warn(text: string): void {
    if (this.isJson) this.#errors.write(`${JSON.stringify({ warning: text })}\n`)
    else this.#errors.write(`tarbarta: ${this.say("warning")}: ${visibleLine(text)}\n`)
  }

  /** A line of the node's log. */
  log(line: string): void {
    this.#errors.write(`${line}\n`)
  }

  number(value: number): string {
    return digits(value, this.language)
  }

  yesNo(value: boolean): string {
    return this.say(value ? "yes" : "no")
  }

  /** A time in Zulu, as cables are dated. */
  zulu(timeMs: number): string {
    return formatDateTimeGroup(timeMs)
  }

  /** A time in the zone of this machine. */
  local(timeMs: number): string {
    return new Intl.DateTimeFormat(this.language === "bn" ? "bn-BD" : "en-GB", {
      dateStyle: "medium",
      timeStyle: "long",
    }).format(timeMs)
  }

  /** The time of day in the zone of this machine. */
  timeOfDay(timeMs: number): string {
    return new Intl.DateTimeFormat(this.language === "bn" ? "bn-BD" : "en-GB", {
      timeStyle: "medium",
      hourCycle: "h23",
    }).format(timeMs)
  }

  /** Labels and values, one a line, values aligned; empty values are left out. */
  fields(fields: readonly (readonly [Word, string | undefined])[]): void {
    this.pairs(fields.map(([word, value]) => [this.say(word), value ?? ""]))
  }

  /** As {@link fields}, with labels that need not be of the catalogue. */
  pairs(pairs: readonly (readonly [string, string])[]): void {
    const shown = pairs.filter(([, value]) => value !== "")
    const cells = Math.max(0, ...shown.map(([label]) => widthOf(label)))
    const room = this.#columns() - cells - GAP.length
    for (const [label, value] of shown) {
      const text = visibleLine(value)
      if (text.split(" ").some((word) => widthOf(word) > room)) {
        this.#below(label, text)
        continue
      }
      const [first = "", ...others] = wrap(text, room)
      this.line(pad(label, cells) + GAP + first)
      for (const other of others) this.line(" ".repeat(cells) + GAP + other)
    }
  }

  /**
   * A value with a word that has no room beside its label, such as a hash: it stands below, whole,
   * so that it can be copied and compared. What is wider than the terminal is the terminal's to
   * break, which leaves no line break in what is copied.
   */
  #below(label: string, text: string): void {
    const columns = this.#columns()
    this.line(label)
    for (const line of wrap(text, columns - GAP.length, "whole")) {
      this.line(widthOf(line) + GAP.length <= columns ? GAP + line : line)
    }
  }

  /** Rows under heads, never wider than the terminal; the flexible column is cut to fit. */
  table(heads: readonly Column[], rows: readonly (readonly string[])[]): void {
    const cells = rows.map((row) => row.map(visibleLine))
    const titles = heads.map((column) => this.say(column.head))
    const widths = titles.map((title, index) =>
      Math.max(widthOf(title), ...cells.map((row) => widthOf(row[index] ?? ""))),
    )
    shrink(widths, heads, this.#columns())
    for (const row of [titles, ...cells]) {
      const parts = row.map((cell, index) => {
        const width = widths[index] ?? 0
        return pad(cut(cell, width), width, heads[index]?.side === "right" ? "left" : "right")
      })
      this.line(parts.join(GAP).trimEnd())
    }
  }

  /** Lines in a frame, as wide as the terminal: nobody overlooks it. */
  box(title: string, lines: readonly string[]): void {
    const inner = this.#columns() - 4
    const top = `┏━ ${title} `
    this.line(`${top}${"━".repeat(Math.max(0, this.#columns() - 1 - widthOf(top)))}┓`)
    for (const text of lines.flatMap((line) => wrap(visible(line).replaceAll("\t", "  "), inner))) {
      this.line(`┃ ${pad(text, inner)} ┃`)
    }
    this.line(`┗${"━".repeat(this.#columns() - 2)}┛`)
  }

  /** Rings: the one control character that we send on purpose. */
  bell(): void {
    if (this.#errors.isTTY === true) this.#errors.write("\u0007")
  }

  /** Says on a terminal, after a second, that something is under way; of what, where it counts. */
  progress(word: Word, unit?: Word): Progress {
    if (this.#errors.isTTY !== true || this.isJson) return { update: () => {}, end: () => {} }
    const startedMs = performance.now()
    let counted: readonly [done: number, total: number] | undefined
    let isShown = false
    const timer = setInterval(() => {
      const elapsedMs = performance.now() - startedMs
      if (elapsedMs < PROGRESS_AFTER_MS) return
      isShown = true
      const time = this.say("time.seconds", { count: Math.floor(elapsedMs / 1_000) })
      const text =
        counted === undefined || unit === undefined
          ? `${this.say(word)} … ${time}`
          : this.#counted(this.say(word), this.say(unit), time, ...counted)
      // A line that the terminal breaks could not be wiped away.
      this.#errors.write(`\r\u001b[K${cut(text, this.#progressCells())}`)
    }, PROGRESS_EVERY_MS)
    timer.unref()
    return {
      update: (done, total) => {
        counted = [done, total]
      },
      end: () => {
        clearInterval(timer)
        if (!isShown) return
        isShown = false
        this.#errors.write("\r\u001b[K")
      },
    }
  }

  /** Work that is counted, with a bar as long as there is room, where its end is known. */
  #counted(work: string, unit: string, time: string, done: number, total: number): string {
    // Of a file that is read to its end nobody knows how much there is.
    if (total === 0) return `${work} ${this.say("progress.count", { done, unit, time })}`
    const part = Math.min(1, done / total)
    const values = { done: Math.min(done, total), total, unit, time }
    const count = this.say("progress.part", values)
    const room = this.#progressCells() - widthOf(`${work} [] ${count}`)
    if (room < BAR_CELLS_MIN) return `${work} ${count}`
    const cells = Math.min(BAR_CELLS_MAX, room)
    const full = Math.floor(part * cells)
    return `${work} [${"#".repeat(full)}${".".repeat(cells - full)}] ${count}`
  }

  #progressCells(): number {
    const { columns = 0 } = this.#errors
    return columns > 0 ? Math.min(PROGRESS_CELLS_MAX, columns - 1) : PROGRESS_CELLS_MAX
  }

  /** {@link progress} around one piece of work. */
  async during<T>(word: Word, work: Promise<T>): Promise<T> {
    const progress = this.progress(word)
    try {
      return await work
    } finally {
      progress.end()
    }
  }

  /** Reports a failure; the number is what to exit with. */
  async failure(error: unknown): Promise<number> {
    const exit = exitCodeOf(error)
    const isCoded = error instanceof TarbartaError
    const code = isCoded ? error.code : "UNEXPECTED"
    const message = error instanceof Error ? error.message : String(error)
    const { hintFor } = await import("./hints.ts")
    const hint = isCoded ? (error.hint ?? hintFor(error.code)) : undefined
    if (this.isJson) {
      const failure = { code, message, ...(hint === undefined ? {} : { hint }) }
      this.#errors.write(`${JSON.stringify({ error: failure, exit })}\n`)
      return exit
    }
    const sentence = await this.#sentence(code)
    const detail = sentence === undefined ? message : `${sentence} (${code}: ${message})`
    this.#errors.write(`tarbarta: ${this.say("error")}: ${visibleLine(detail)}\n`)
    if (hint !== undefined) {
      this.#errors.write(`tarbarta: ${this.say("hint")}: ${visibleLine(hint)}\n`)
    }
    // A bug: who reports it needs the place.
    if (!isCoded && error instanceof Error) this.#errors.write(`${error.stack ?? ""}\n`)
    return exit
  }

  /** A code with its detail, behind the sentence for it where the language has one. */
  async reason(code: string, detail: string): Promise<string> {
    const sentence = await this.#sentence(code)
    const reason = `${code}: ${detail}`
    return sentence === undefined ? reason : `${sentence} (${reason})`
  }

  async #sentence(code: string): Promise<string | undefined> {
    if (this.language === "en" || this.isJson) return undefined
    const { refusalInBengali } = await import("./refusals.ts")
    return refusalInBengali(code)
  }

  /** True when somebody sits there who can be asked. */
  get isAttended(): boolean {
    return process.stdin.isTTY && this.#errors.isTTY === true
  }

  /** Asks a question that is answered with y or something else. */
  async confirm(question: string): Promise<boolean> {
    const { askShown } = await import("../node/prompt.ts")
    const answer = await askShown(visibleLine(question), process.stdin, this.#show)
    return /^(y|yes|হ্যাঁ)$/iu.test(answer.trim())
  }

  /** Asks for a passphrase; nothing of it is shown. */
  async passphrase(prompt: Word): Promise<string> {
    const { askHidden } = await import("../node/prompt.ts")
    return askHidden(this.say(prompt), process.stdin, this.#show)
  }

  readonly #show = (text: string): void => {
    this.#errors.write(text)
  }

  #columns(): number {
    // Some terminals do not know their width and say 0.
    const { isTTY, columns = 0 } = this.#out
    return isTTY === true && columns > 0 ? Math.max(COLUMNS_MIN, columns) : COLUMNS
  }
}

/** Takes from the flexible column first, then from the widest, until the table fits. */
function shrink(widths: number[], heads: readonly Column[], columns: number): void {
  const room = columns - GAP.length * (widths.length - 1)
  const flexible = heads.findIndex((column) => column.isFlexible === true)
  const excess = (): number => widths.reduce((sum, width) => sum + width, 0) - room
  if (flexible >= 0 && excess() > 0) {
    const width = widths[flexible] ?? 0
    widths[flexible] = Math.max(Math.min(FLEXIBLE_MIN, width), width - excess())
  }
  while (excess() > 0) {
    const widest = widths.indexOf(Math.max(...widths))
    widths[widest] = (widths[widest] ?? 0) - 1
  }
}

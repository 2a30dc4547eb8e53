/** A terminal that keeps what is written on it. */

import type { Screen } from "../../cli/terminal.ts"

export class RecordedScreen implements Screen {
  readonly isTTY: boolean
  readonly columns: number
  text = ""

  constructor(options: { readonly isTTY?: boolean; readonly columns?: number } = {}) {
    this.isTTY = options.isTTY ?? true
    this.columns = options.columns ?? 80
  }

  write(text: string): void {
    this.text += text
  }

  /** How often this stands in what was written. */
  count(part: string): number {
    return this.text.split(part).length - 1
  }
}

/** How figures are shown: a table for a terminal, and the same for docs/BENCHMARKS.md. */

import type { Figure, Spread } from "./figures.ts"

const HEAD = ["figure", "measured", "floor or peer", "ratio", "goal", ""]

export interface Group {
  readonly bench: string
  readonly figures: readonly Figure[]
}

/** One line a figure, with the floor's own figure where there is one. */
export function tableOf(groups: readonly Group[]): string {
  const rows = groups.flatMap(({ bench, figures }) => figures.map((figure) => rowOf(bench, figure)))
  const widths = HEAD.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`
  return [line(HEAD), rule, ...rows.map(line)].join("\n")
}

function rowOf(bench: string, figure: Figure): string[] {
  const { name, unit, measured, against, ratio, goal } = figure
  return [
    `${bench}: ${name}`,
    shown(measured, unit),
    against === undefined ? "" : `${against.name}: ${shown(against.value, unit)}`,
    ratio === undefined ? "" : `${digits(ratio)} ×`,
    goal?.text ?? "",
    goal === undefined ? "" : goal.isMet ? "met" : "NOT MET",
  ]
}

function shown(value: Spread, unit: string): string {
  return `${digits(value.median)} ${unit} (${digits(value.low)} … ${digits(value.high)})`
}

/** Three digits that count. */
function digits(value: number): string {
  if (!Number.isFinite(value)) return "-"
  if (value >= 100) return value.toFixed(0)
  return value.toPrecision(3)
}

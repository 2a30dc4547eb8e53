/** Cold start of the command line, against a Node that does nothing, in the same run. */

import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const PROGRAM = fileURLToPath(new URL("../../cli/tarbarta.js", import.meta.url))

export interface ColdStart {
  readonly rounds: number
  /** Medians, in milliseconds. */
  readonly bareMs: number
  readonly commandMs: number
  /** What the command costs above a bare Node. */
  readonly aboveMs: number
}

/**
 * Measures `tarbarta cable inbox` against the node of a home, interleaved with `node -e 0`. The
 * first round, which fills the caches, is not counted.
 */
export async function measureColdStart(home: string, rounds = 11): Promise<ColdStart> {
  const bare: number[] = []
  const command: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const bareMs = await timed(["-e", "0"], home)
    const commandMs = await timed([PROGRAM, "cable", "inbox"], home)
    if (round === 0) continue
    bare.push(bareMs)
    command.push(commandMs)
  }
  const [bareMs, commandMs] = [median(bare), median(command)]
  return { rounds, bareMs, commandMs, aboveMs: commandMs - bareMs }
}

async function timed(words: readonly string[], home: string): Promise<number> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, words, {
    env: { ...process.env, TARBARTA_HOME: home },
    stdio: "ignore",
  })
  const [exit] = (await once(child, "exit")) as [number | null]
  if (exit !== 0) throw new Error(`${words.join(" ")}: exit code ${String(exit)}`)
  return performance.now() - startedMs
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

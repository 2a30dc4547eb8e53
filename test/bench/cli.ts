/** Cold start of the command line, against a Node that does nothing, in the same run. */

import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { interleave, ratioOf, spreadOf, type Figure, type Progress } from "./figures.ts"
import type { Stage } from "./stage.ts"

const PROGRAM = fileURLToPath(new URL("../../cli/tarbarta.js", import.meta.url))
const ROUNDS = 11
const ABOVE_MAX_MS = 150

/** `tarbarta cable inbox` against the running node of a home, in turn with `node -e 0`. */
export async function benchCli(progress: Progress, stage: Stage): Promise<Figure[]> {
  progress("starting two nodes")
  const { home } = (await stage.network()).headquarters
  const { bare, command } = await interleave(
    ROUNDS,
    {
      bare: async () => timed(["-e", "0"], home),
      command: async () => timed([PROGRAM, "cable", "inbox"], home),
    },
    progress,
  )
  const above = spreadOf(command.map((value, round) => value - (bare[round] ?? Number.NaN)))
  return [
    {
      name: "tarbarta cable inbox, cold",
      unit: "ms",
      measured: spreadOf(command),
      against: { name: "node -e 0", value: spreadOf(bare) },
      ratio: ratioOf(command, bare),
    },
    {
      name: "what it costs above a bare Node",
      unit: "ms",
      measured: above,
      goal: { text: `at most ${ABOVE_MAX_MS} ms`, isMet: above.median <= ABOVE_MAX_MS },
    },
  ]
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

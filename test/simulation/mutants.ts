/**
 * Bugs that others had, or that we might have, put into a copy of the code one at a time: the
 * simulator must find each of them within so many seeds. A mutant that lives says that an
 * invariant, or a mix, is missing.
 *
 * Nothing in the code knows of this: a mutant is an exact text that occurs once, and another.
 */

import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { MUTANTS, type Mutant } from "./mutations.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
const SEEDS_MAX = 1_000

/** Why a mutant cannot be made of the code as it is now; one line for each wrong edit. */
export function faultsOfMutants(): string[] {
  return MUTANTS.flatMap(({ name, edits }) =>
    edits.flatMap(([file, from]) => {
      const count = readFileSync(join(ROOT, file), "utf8").split(from).length - 1
      return count === 1 ? [] : [`${name}: ${file} has its text ${count} times`]
    }),
  )
}

/** A copy of what is simulated, with one bug; removes it afterwards. */
function inCopy<T>(mutant: Mutant, use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "tarbarta-mutant-"))
  try {
    for (const part of ["protocol", "ledger", "node", "test/simulation"]) {
      cpSync(join(ROOT, part), join(folder, part), { recursive: true })
    }
    cpSync(join(ROOT, "package.json"), join(folder, "package.json"))
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"))
    for (const [file, from, to] of mutant.edits) {
      const path = join(folder, file)
      const text = readFileSync(path, "utf8")
      writeFileSync(
        path,
        text.replace(from, () => to),
      )
    }
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export interface Hunt {
  readonly name: string
  readonly isKilled: boolean
  /** What the simulator said. */
  readonly said: string
}

/** Lets the simulator look for one mutant. */
export function huntMutant(name: string): Hunt {
  const mutant = MUTANTS.find((one) => one.name === name)
  if (mutant === undefined) throw new Error(`no mutant is called ${name}`)
  const fault = faultsOfMutants().find((one) => one.startsWith(`${name}: `))
  if (fault !== undefined) return { name, isKilled: false, said: fault }
  return inCopy(mutant, (folder) => {
    const hunts = mutant.hunts.map((hunt) => hunt.join(":")).join(",")
    const seeds = String(Math.floor(SEEDS_MAX / mutant.hunts.length))
    const script = join(folder, "test/simulation/simulation.ts")
    const run = spawnSync(process.execPath, [script, "--hunt", hunts, "--seeds", seeds], {
      encoding: "utf8",
    })
    const said = `${run.stdout}${run.stderr}`.trim()
    if (run.status !== 0 && run.status !== 1) throw new Error(`${name}: ${said}`)
    const isKilled = run.status === 1 && said.startsWith("red:")
    return { name, isKilled, said }
  })
}

/**
 * Bugs that others made, or that one could make here, put into a copy of the code: each must be
 * found by the simulation within so many seeds, or the simulation is not worth its time.
 *
 * A mutant is an exact piece of source and what stands in its place. Each piece must occur once, so
 * that a change of the code that makes a mutant void is noticed.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { runCase } from "./mixes.ts"

interface Edit {
  readonly file: string
  readonly find: string
  readonly put: string
}

export interface Mutant {
  readonly name: string
  readonly edits: readonly Edit[]
  /** Where it should show: kinds of trouble, and numbers of validators. */
  readonly mixes: readonly string[]
  readonly counts: readonly number[]
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
/** What a copy needs. */
const FOLDERS = ["ledger", "protocol", "test/simulation", "test/support"]
const SEEDS_MAX = 1_000

const CRASHES = ["all-crash", "crash", "disk", "everything"]
const LOSSES = ["loss-30", "loss-50", "quiet-50", "quiet-30"]
const QUIET = ["quiet-50", "quiet-30", "quiet-dead", "quiet-dead-2"]
const CUTS = ["partition", "everything", "flapping"]
const ALL = ["everything", "partition", "loss-50", "all-crash", "reorder", "quiet-50"]

function mutant(
  name: string,
  file: string,
  find: string,
  put: string,
  mixes: readonly string[] = ALL,
  counts: readonly number[] = [4],
): Mutant {
  return { name, edits: [{ file: `ledger/${file}.ts`, find, put }], mixes, counts }
}

export const MUTANTS: readonly Mutant[] = [
  mutant(
    "finalizes what it has nullified",
    "view",
    "if (own.nullify === undefined && own.finalize === undefined) {",
    "if (own.finalize === undefined) {",
    ["loss-50", "everything", "partition"],
  ),
  mutant(
    "sends its notarize vote before it is on the disk",
    "view",
    `message: isLeader ? { type: "proposal", block, vote } : { type: "vote", vote },
    after: seq,`,
    `message: isLeader ? { type: "proposal", block, vote } : { type: "vote", vote },
    after: 0,`,
  ),
  mutant(
    "sends its nullify vote before it is on the disk",
    "view",
    `state.resentMs = nowMs
  state.out.push({ type: "send", message: { type: "vote", vote }, after: seq })`,
    `state.resentMs = nowMs
  state.out.push({ type: "send", message: { type: "vote", vote }, after: 0 })`,
  ),
  mutant(
    "counts votes that are not on the disk yet",
    "consensus",
    "if (number > seq) continue",
    "",
    ["disk", "crash", "everything", "clean"],
  ),
  mutant(
    "forgets its log when it restarts",
    "restore",
    "for (const record of records) {",
    "for (const record of records.slice(0, 0)) {",
    CRASHES,
  ),
  mutant(
    "remembers no nullify vote when it restarts",
    "restore",
    "  for (const record of records) {\n",
    '  for (const record of records.filter(({ kind }) => kind !== "nullify")) {\n',
    CRASHES,
  ),
  mutant(
    "remembers no finalize vote when it restarts",
    "restore",
    "  for (const record of records) {\n",
    '  for (const record of records.filter(({ kind }) => kind !== "finalize")) {\n',
    CRASHES,
  ),
  mutant(
    "decides by one vote less than a quorum",
    "validators",
    "return Math.ceil((count + faultsOf(count) + 1) / 2)",
    "return Math.ceil((count + faultsOf(count) + 1) / 2) - 1",
    CUTS,
  ),
  mutant(
    "decides by 2f+1 where that is too few",
    "validators",
    "return Math.ceil((count + faultsOf(count) + 1) / 2)",
    "return 2 * faultsOf(count) + 1",
    CUTS,
    [6],
  ),
  mutant(
    "wants one vote more than a quorum",
    "validators",
    "return Math.ceil((count + faultsOf(count) + 1) / 2)",
    "return count",
    ["dead", "dead-most"],
  ),
  mutant(
    "never pursues a tip that stays unfinal",
    "quiescence",
    "const isArmed = isTipLate(state, nowMs) || state.config.hasWork(state.certified.hash)",
    "const isArmed = state.config.hasWork(state.certified.hash)",
    QUIET,
  ),
  mutant(
    "stays armed for ever",
    "quiescence",
    "if (!isArmed) state.armedMs = undefined",
    "if (!isArmed) return",
    QUIET,
  ),
  mutant(
    "does not help who is behind",
    "consensus",
    "if (certificate === undefined || finalView >= view) return",
    "if (certificate === undefined || finalView <= view) return",
    QUIET,
  ),
  mutant(
    "never proposes a closing block",
    "view",
    "if (isClosing && parent.view <= state.final.view) return",
    "if (isClosing) return",
    QUIET,
  ),
  mutant(
    "never repeats a nullify vote that was lost",
    "quiescence",
    "if (state.armedMs !== undefined && own.nullify !== undefined && isRetryDue) {",
    "if (state.armedMs !== undefined && own.nullify !== undefined && isRetryDue && nowMs < 0) {",
    [...LOSSES, ...CUTS],
  ),
  mutant(
    "does not repeat what makes the tip final",
    "quiescence",
    "repeatTip(state, nowMs)\n",
    "\n",
    QUIET,
  ),
  mutant(
    "waits for ever for a leader that is gone",
    "quiescence",
    "if (nowMs >= startMs + deltas * deltaMs) nullify(state, nowMs)",
    "",
    ["dead", "dead-most", "partition"],
  ),
  mutant(
    "asks for no certificates that it lacks",
    "ancestry",
    "if (to !== undefined) state.out.push({ type: \"send\", message, after: 0, to })\n    }\n    nextMs = state.fetchedMs + retryMs",
    "}\n    nextMs = state.fetchedMs + retryMs",
    [...LOSSES, ...CUTS, "crash", "reorder"],
    [4, 7],
  ),
  mutant(
    "delivers final blocks in the wrong order",
    "delivery",
    "blocks.unshift({ block, certificate: finality, links })",
    "blocks.push({ block, certificate: finality, links })",
    [...LOSSES, ...CUTS],
  ),
  mutant(
    "gives a block the links of another",
    "delivery",
    "links = [header, ...links]",
    "links = [...links, header]",
    [...LOSSES, ...CUTS, "everything"],
    [4, 7, 10],
  ),
  mutant(
    "takes a legal pair of votes for evidence",
    "evidence",
    'return a.kind !== "notarize" && b.kind !== "notarize"',
    "return true",
    LOSSES,
  ),
  mutant(
    "takes a later final block back for an older one",
    "view",
    "if (view > state.final.view) {\n    state.final",
    "if (view !== state.final.view) {\n    state.final",
    [...LOSSES, "reorder", "jitter"],
  ),
  mutant(
    "does not pass certificates on, nor its own",
    "view",
    'type: "send",\n    message: { type: "certificate", certificate },\n    after: 0,\n    ...(from',
    'type: "send",\n    message: { type: "heartbeat" },\n    after: 0,\n    ...(from',
    [...LOSSES, ...CUTS],
    [4, 7],
  ),
  mutant(
    "does not enter the next view on a nullify certificate",
    "view",
    "logCertificate(state, certificate)\n  enter(state, view + 1, certificate, nowMs)",
    "logCertificate(state, certificate)",
    ["dead", ...LOSSES],
  ),
  mutant(
    "leads every view",
    "view",
    "if (leaderOf(config.validators, view) !== config.self) return\n",
    "",
    ["clean"],
  ),
  mutant(
    "forgets votes and certificates as soon as a view is past",
    "delivery",
    "for (const at of state.views.keys()) if (at < oldest) state.views.delete(at)",
    "for (const at of state.views.keys()) if (at < state.view) state.views.delete(at)",
    [...LOSSES, ...CUTS, ...CRASHES],
  ),
  mutant(
    "drops batches that wait instead of passing them on",
    "quiescence",
    'state.out.push({ type: "resubmit" })',
    "",
    [...LOSSES, ...CUTS],
    [4, 7],
  ),
]

export interface Hunt {
  readonly name: string
  /** Seeds that were run. */
  readonly seeds: number
  /** What gave it away; undefined: it lives. */
  readonly red: string | undefined
}

/** Puts a mutant into a copy of the code and runs seeds until it is found. */
export async function huntMutant({ name, edits, mixes, counts }: Mutant): Promise<Hunt> {
  const folder = mkdtempSync(join(tmpdir(), "tarbarta-mutant-"))
  try {
    for (const one of FOLDERS) cpSync(join(ROOT, one), join(folder, one), { recursive: true })
    cpSync(join(ROOT, "package.json"), join(folder, "package.json"))
    cpSync(join(ROOT, "node"), join(folder, "node"), { recursive: true })
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"))
    for (const { file, find, put } of edits) {
      const path = join(folder, file)
      const source = readFileSync(path, "utf8")
      const parts = source.split(find)
      if (parts.length !== 2) throw new Error(`mutant "${name}": its piece stands ${parts.length - 1} times`)
      writeFileSync(path, parts.join(put))
    }
    const url = pathToFileURL(join(folder, "test/simulation/mixes.ts"))
    const { runCase: run } = (await import(url.href)) as { readonly runCase: typeof runCase }
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      const mix = mixes[seed % mixes.length] ?? "clean"
      const count = counts[Math.floor(seed / mixes.length) % counts.length] ?? 4
      const { red } = run({ mix, count, seed })
      if (red !== undefined) return { name, seeds: seed, red: `${mix}: ${red.split("\n")[0] ?? ""}` }
    }
    return { name, seeds: SEEDS_MAX, red: undefined }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

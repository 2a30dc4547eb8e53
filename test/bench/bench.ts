/**
 * The benches: every figure beside its floor, measured in the same run and in turn with it, because
 * absolute times on shared machines mean little (docs/BENCHMARKS.md).
 *
 *   npm run bench                              all of them, five minutes on a busy machine
 *   npm run bench -- --only NAME               one of seal, tree, ledger, proof, sync, roundtrip,
 *                                              deliver, hotline, cli, finality, throughput, disk,
 *                                              restart
 *   npm run bench -- --full                    the sizes that the goals are stated for
 *   npm run bench -- --json FILE               writes the figures to a file as well
 *
 * The exit code is 0 when every bench ran, goals met or not; the table says which.
 */

import { writeFile } from "node:fs/promises"
import { availableParallelism, cpus, loadavg } from "node:os"
import { Command, Option } from "commander"
import { benchCli } from "./cli.ts"
import { benchDeliver } from "./deliver.ts"
import type { Figure, Options, Progress } from "./figures.ts"
import { benchDisk } from "./disk.ts"
import { benchFinality } from "./finality.ts"
import { benchHotline } from "./hotline.ts"
import { benchLedger } from "./ledger.ts"
import { benchProof } from "./proof.ts"
import { benchRestart } from "./restart.ts"
import { benchRoundtrip } from "./roundtrip.ts"
import { benchSeal } from "./seal.ts"
import { Stage } from "./stage.ts"
import { tableOf, type Group } from "./table.ts"
import { benchSync } from "./sync.ts"
import { benchThroughput } from "./throughput.ts"
import { benchTree } from "./tree.ts"

type Bench = (progress: Progress, options: Options, stage: Stage) => Promise<Figure[]>

const BENCHES: Readonly<Record<string, Bench>> = {
  seal: benchSeal,
  tree: benchTree,
  ledger: benchLedger,
  proof: async (progress) => benchProof(progress),
  sync: async (progress) => benchSync(progress),
  roundtrip: async (progress) => benchRoundtrip(progress),
  deliver: async (progress, _, stage) => benchDeliver(progress, stage),
  hotline: async (progress, _, stage) => benchHotline(progress, stage),
  cli: async (progress, _, stage) => benchCli(progress, stage),
  finality: benchFinality,
  throughput: benchThroughput,
  disk: benchDisk,
  restart: benchRestart,
}

const NAMES = Object.keys(BENCHES)
/** How often a log file, which cannot be overwritten line by line, hears of progress. */
const LOG_EVERY_MS = 5_000

const options: { readonly only?: string; readonly json?: string; readonly full?: true } =
  new Command("bench")
    .description("measures this machine and this code, each figure beside its floor")
    .addOption(new Option("--only <NAME>", "run one bench").choices(NAMES))
    .option("--full", "the sizes that the goals are stated for; takes much longer")
    .option("--json <FILE>", "write the figures to a file as well")
    .parse()
    .opts()

const startedMs = performance.now()
const loadBefore = load()
const groups: Group[] = []
const failed: string[] = []
const stage = new Stage()
try {
  for (const [bench, run] of Object.entries(BENCHES)) {
    if (options.only !== undefined && options.only !== bench) continue
    try {
      groups.push({
        bench,
        figures: await run(progressOf(bench), { isFull: options.full === true }, stage),
      })
    } catch (error) {
      failed.push(bench)
      console.error(`\n${bench} failed:`, error)
    }
  }
} finally {
  await stage.close()
}
const tookS = (performance.now() - startedMs) / 1_000
const machine = `${cpus()[0]?.model.trim() ?? "?"}, ${availableParallelism()} cores, Node ${process.version}, load ${loadBefore} … ${load()}`
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K")
console.log(`${tableOf(groups)}\n\n${machine}; ${tookS.toFixed(0)} s`)
if (failed.length > 0) console.log(`did not run: ${failed.join(", ")}`)
if (options.json !== undefined) {
  const report = { machine, tookS, benches: groups, failed }
  await writeFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`)
}
process.exit(failed.length > 0 ? 1 : 0)

/** Programs that wanted a core in the last minute, ours among them. */
function load(): string {
  return (loadavg()[0] ?? Number.NaN).toFixed(1)
}

/** One line that moves on in a terminal, a line now and then in a log. */
function progressOf(bench: string): Progress {
  let saidMs = Number.NEGATIVE_INFINITY
  return (text) => {
    const atS = ((performance.now() - startedMs) / 1_000).toFixed(0).padStart(3)
    const line = `${atS} s  ${bench}: ${text}`
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\x1b[K${line}`)
      return
    }
    if (performance.now() - saidMs < LOG_EVERY_MS) return
    saidMs = performance.now()
    process.stderr.write(`${line}\n`)
  }
}

/**
 * Publishes a ledger and lets tools of others verify it: `npm run test:interop`.
 *
 * 70,000 entries and two checkpoints of four validators, written by the code that writes a node's
 * publication, then checked by verify.go with Go's own packages for notes and tiles. Without Go it
 * says so in one line and ends well.
 */

import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { formatPolicy, missionPolicy, validatorPolicy } from "../../ledger/policy.ts"
import { publishedFiles } from "../../node/store/publication.ts"
import type { Tiles } from "../../node/store/tiles.ts"
import { CHECKPOINT_LINES_MAX } from "../../protocol/limits.ts"
import { makeTiles, namedValidators, noteOf, ORIGIN } from "../support/publication.ts"
import { validatorLines, witnesses, witnessLines } from "../support/publication.ts"
import { suite } from "../support/suites.ts"

const ENTRIES = 70_000
const EARLIER = 50_001
/** Where Debian's packages golang-go and golang-golang-x-mod-dev put their sources. */
const GO_PATH = "/usr/share/gocode"
const VERIFIER = fileURLToPath(new URL("verify.go", import.meta.url))

const validators = namedValidators(4)
const missions = witnesses(9)

const environment = { ...process.env, GO111MODULE: "off", GOPATH: GO_PATH }
const go = spawnSync("go", ["version"], { encoding: "utf8", env: environment })
if (go.status !== 0 || !existsSync(`${GO_PATH}/src/golang.org/x/mod/sumdb/note`)) {
  console.log("skipped: verification with Go (golang-go or golang-golang-x-mod-dev is not there)")
} else {
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-interop-"))
  try {
    await publish(folder)
    console.log(go.stdout.trim())
    process.exitCode = verify(folder, "inherit")
    await flip(join(folder, "tile/entries/000"))
    if (verify(folder, "ignore") === 0) throw new Error("a changed entry was not noticed")
    console.log("one changed bit in the entries is noticed")
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The exit code of Go's verification. */
function verify(folder: string, stdio: "inherit" | "ignore"): number {
  const run = ["run", VERIFIER, folder, join(folder, `checkpoint.${EARLIER}`)]
  return spawnSync("go", run, { env: environment, stdio }).status ?? 1
}

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[10] = (bytes[10] ?? 0) ^ 1
  await writeFile(path, bytes)
}

async function publish(folder: string): Promise<void> {
  const tiles = await makeTiles(ENTRIES)
  const publication = {
    checkpoint: { size: ENTRIES, text: await signed(tiles, ENTRIES) },
    missions: { size: EARLIER, text: await signed(tiles, EARLIER, true) },
    policy: formatPolicy(suite, validatorPolicy(ORIGIN, validators)),
    missionPolicy: formatPolicy(suite, missionPolicy(ORIGIN, validators, missions)),
  }
  let count = 0
  for await (const { path, bytes } of publishedFiles(tiles, publication, 0)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), bytes)
    count += 1
  }
  await writeFile(join(folder, `checkpoint.${EARLIER}`), await signed(tiles, EARLIER))
  console.log(`published ${ENTRIES} entries in ${count} files`)
}

/** Two log lines, a quorum, one line of ML-DSA-44; with `isHourly` the missions' lines too. */
async function signed(tiles: Tiles, size: number, isHourly = false): Promise<string> {
  const checkpoint = { origin: ORIGIN, size, root: await tiles.root(size) }
  const lines = validators.flatMap((validator, index) => {
    if (index === 0) return validatorLines(checkpoint, validator, ["log", "cosigner", "cosignerPq"])
    return validatorLines(checkpoint, validator, index === 1 ? ["log", "cosigner"] : ["cosigner"])
  })
  if (isHourly) lines.push(...missions.flatMap((one) => witnessLines(checkpoint, one)))
  return noteOf(checkpoint, isHourly ? lines : lines.slice(0, CHECKPOINT_LINES_MAX))
}

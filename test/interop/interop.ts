/**
 * Publishes a ledger and lets tools of others verify it: `npm run test:interop`.
 *
 * 70,000 entries, published by `tarbarta ledger export` at 50,001 of them and again at the end into
 * the same folder, are checked by verify.go with Go's own packages for notes and tiles. Then each of
 * the things that it must notice is done to them, and it must say what it found. Without Go it says
 * so in one line and ends well.
 */

import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseCheckpoint } from "../../ledger/checkpoint.ts"
import { formatNote, parseNote } from "../../ledger/note.ts"
import { PublishedLedger, type Line } from "./ledger.ts"

const ENTRIES = 70_000
const EARLIER = 50_001
/** Where Debian's packages golang-go and golang-golang-x-mod-dev put their sources. */
const GO_PATH = "/usr/share/gocode"
const VERIFIER = fileURLToPath(new URL("verify.go", import.meta.url))
const LOG: Line = { validator: 0, use: "log" }
const COSIGNED: readonly Line[] = [0, 1, 2].map((validator) => ({ validator, use: "cosigner" }))

const environment = { ...process.env, GO111MODULE: "off", GOPATH: GO_PATH }

/** Something that must be noticed: what becomes of a file, and what is said then. */
interface Harm {
  readonly what: string
  /** In the folder of the publication, or beside it. */
  readonly file: string
  readonly harm: (bytes: Buffer) => string | Uint8Array
  readonly said: RegExp
}

class Interop {
  readonly #folder: string
  readonly #ledger: PublishedLedger

  constructor(folder: string, ledger: PublishedLedger) {
    this.#folder = folder
    this.#ledger = ledger
  }

  async run(): Promise<void> {
    await this.#publish()
    const { status, output } = this.#verify()
    console.log(output.trim())
    if (status !== 0) throw new Error("the publication does not verify")
    for (const harm of this.#harms()) await this.#mustNotice(harm)
    // What was done was undone each time: nothing was noticed for another reason.
    if (this.#verify().status !== 0) throw new Error("the publication does not verify any more")
  }

  async #publish(): Promise<void> {
    const [published, ledger] = [this.#at("published"), this.#ledger]
    await ledger.growTo(EARLIER)
    await ledger.untilWitnessed()
    await ledger.exportTo(published)
    await copyFile(join(published, "checkpoint"), this.#at("checkpoint.earlier"))
    await ledger.growTo(ENTRIES)
    await ledger.exportTo(published)
    await ledger.proveTo(this.#at("first.tlog-proof"))
    if (!existsSync(join(published, "checkpoint.missions"))) throw new Error("nobody witnessed")
    const options = { env: environment, stdio: "inherit" } as const
    const built = spawnSync("go", ["build", "-o", this.#at("verify"), VERIFIER], options)
    if (built.status !== 0) throw new Error("verify.go does not compile")
  }

  /** Go's judgement of the publication, of the earlier checkpoint and of a proof. */
  #verify(): { status: number; output: string } {
    const files = ["checkpoint.earlier", "first.tlog-proof"].map((name) => this.#at(name))
    const ran = spawnSync(this.#at("verify"), [this.#at("published"), ...files])
    return { status: ran.status ?? 1, output: `${String(ran.stdout)}${String(ran.stderr)}` }
  }

  async #mustNotice({ what, file, harm, said }: Harm): Promise<void> {
    const path = this.#at(file)
    const before = await readFile(path)
    await writeFile(path, harm(Buffer.from(before)))
    const { status, output } = this.#verify()
    await writeFile(path, before)
    if (status === 0) throw new Error(`not noticed: ${what}`)
    if (!said.test(output)) throw new Error(`${what}: noticed for another reason: ${output}`)
    console.log(`noticed: ${what}`)
  }

  #harms(): Harm[] {
    const [edge, checkpoint] = [ENTRIES % 256, "published/checkpoint"]
    return [
      {
        what: "two log lines and two cosignatures, where three must have cosigned",
        file: checkpoint,
        harm: this.#signedBy([LOG, { validator: 1, use: "log" }, ...COSIGNED.slice(0, 2)]),
        said: /2 known cosignatures are not the quorum/u,
      },
      {
        what: "three cosignatures, two of them of one validator",
        file: checkpoint,
        harm: this.#signedBy([LOG, ...COSIGNED.slice(0, 2), again(1)]),
        said: /2 known cosignatures are not the quorum/u,
      },
      {
        what: "no line of the log under three cosignatures",
        file: checkpoint,
        harm: this.#signedBy(COSIGNED),
        said: /no log signed it/u,
      },
      {
        what: "a signature with one changed bit",
        file: checkpoint,
        harm: changedSignature,
        said: /invalid signature/u,
      },
      {
        what: "missions' cosignatures that are missing under their checkpoint",
        file: "published/checkpoint.missions",
        harm: (bytes) => String(bytes).replaceAll(/^— \S+\/witness\/(?!DAC).*\n/gmu, ""),
        said: /checkpoint\.missions: .* are not the quorum "both"/u,
      },
      flipped("published/tile/entries/000", 10, /root is not that of the 70000 entries/u),
      flipped(`published/tile/entries/273.p/${edge}`, 60, /root is not that of the 70000 entries/u),
      flipped(
        "published/tile/entries/195.p/81",
        60,
        /missions: its root is not that of the 50001/u,
      ),
      flipped("published/tile/0/000", 10, /tile\/8\/0\/000: not the hashes/u),
      flipped(`published/tile/0/273.p/${edge}`, 10, /tile\/8\/0\/273\S+: not the hashes/u),
      flipped("published/tile/1/000", 8_000, /tile\/8\/1\/000: not the hashes/u),
      {
        what: "a fork: an earlier root that all validators signed, of another history",
        file: "checkpoint.earlier",
        harm: this.#signedBy([LOG, ...COSIGNED], (root) => root.toReversed()),
        said: /invalid transparency proof/u,
      },
      {
        what: "a proof for another entry",
        file: "first.tlog-proof",
        harm: (bytes) => String(bytes).replace(/^index 0$/mu, "index 1"),
        said: /invalid transparency proof/u,
      },
    ]
  }

  /** The same checkpoint, or one with another root, under other lines. */
  #signedBy(
    lines: readonly Line[],
    rootOf: (root: Uint8Array) => Uint8Array = (root) => root,
  ): Harm["harm"] {
    return (bytes) => {
      const { size, root } = parseCheckpoint(parseNote(String(bytes)).body)
      return this.#ledger.sign({ size, root: rootOf(root) }, lines)
    }
  }

  #at(name: string): string {
    return join(this.#folder, name)
  }
}

/** A later cosignature of the same validator. */
function again(validator: number): Line {
  return { validator, use: "cosigner", timeS: 2 }
}

function flipped(file: string, at: number, said: RegExp): Harm {
  const harm = (bytes: Buffer): Buffer => {
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return bytes
  }
  return { what: `one changed bit in ${file.replace("published/", "")}`, file, harm, said }
}

/** Of the second line: the first is the log's, which any validator could have signed. */
function changedSignature(bytes: Buffer): string {
  const { body, signatures } = parseNote(String(bytes))
  const changed = signatures.map((one, index) => {
    const blob = one.blob.slice()
    if (index === 1) blob[20] = (blob[20] ?? 0) ^ 1
    return { ...one, blob }
  })
  return formatNote({ body, signatures: changed })
}

async function main(): Promise<void> {
  const go = spawnSync("go", ["version"], { encoding: "utf8", env: environment })
  if (go.status !== 0 || !existsSync(`${GO_PATH}/src/golang.org/x/mod/sumdb/note`)) {
    console.log("skipped: verification with Go (golang-go or golang-golang-x-mod-dev is not there)")
    return
  }
  console.log(go.stdout.trim())
  const folder = await mkdtemp(join(tmpdir(), "tarbarta-interop-"))
  const ledger = await PublishedLedger.start(join(folder, "home"))
  try {
    await new Interop(folder, ledger).run()
  } finally {
    await ledger.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

await main()

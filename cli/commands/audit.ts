/** `tarbarta audit`: checks on files, without a node and without a network. */

import { Command } from "commander"
import { CliError } from "../errors.ts"
import { act, type Program, type Session } from "../session.ts"
import type { Terminal } from "../terminal.ts"
import type { Word } from "../words.ts"

interface VerifyOptions {
  readonly network: string
  readonly ledger?: string
}

/** What a verification tells, in the words of the catalogue. */
const FACTS = {
  file: "label.file",
  fingerprint: "label.networkFingerprint",
  submitter: "fact.submitter",
  serial: "fact.serial",
  entryIndex: "fact.entryIndex",
  height: "label.height",
  treeSize: "fact.treeSize",
  finalBy: "fact.finalBy",
  cable: "fact.cable",
  cosigners: "fact.cosigners",
  blocks: "fact.blocks",
  entries: "label.entries",
  rootHash: "label.rootHash",
  missions: "fact.missions",
  sender: "label.from",
  addressee: "label.to",
  kind: "label.kind",
  created: "label.date",
  bytes: "fact.bytes",
} as const satisfies Record<string, Word>

/** Facts that are times: in JSON as ISO 8601, for people as on cables. */
const TIMES: readonly string[] = ["finalBy", "created"]

function isFact(name: string): name is keyof typeof FACTS {
  return Object.hasOwn(FACTS, name)
}

export function auditCommand(program: Program): Command {
  const audit = new Command("audit")
  const verify = audit
    .command("verify")
    .argument("<file>", "what `ledger proof`, `ledger verify --save` or `cable read` wrote")
    .description("check a proof, a ledger copy or an envelope; nothing is sent anywhere")
    .requiredOption("--network <GENESIS>", "the genesis file of the network")
    .option(
      "--ledger <COPY>",
      "a ledger copy, for missions admitted later: their keys (envelopes) and codes (proofs)",
    )
    .addHelpText(
      "after",
      `
Examples:
  tarbarta audit verify 4f2a91c0.tlog-proof --network network.genesis
  tarbarta audit verify ledger.copy --network network.genesis
  tarbarta audit verify got.envelope --network network.genesis --ledger ledger.copy
Exit code 0: it holds. Exit code 4: the line says what is wrong and where.
`,
    )
  act(verify, program, verifyFile)
  return audit
}

async function verifyFile(session: Session, options: VerifyOptions, file: string): Promise<void> {
  const { terminal } = session
  const { verifyFile: verify } = await import("../../node/verify.ts")
  const progress = terminal.progress("busy.verify", "unit.blocks")
  const verified = await verify({
    file,
    genesis: options.network,
    ...(options.ledger === undefined ? {} : { ledger: options.ledger }),
    onProgress: (done: number, total: number) => progress.update(done, total),
  }).finally(() => progress.end())
  terminal.json(verified)
  if (!verified.ok) {
    const { code = "VERIFICATION_FAILED", message = "no reason given", hint } = verified.error ?? {}
    throw new CliError("VERIFICATION_FAILED", `${file}: ${await terminal.reason(code, message)}`, {
      hint: hint ?? "the file was altered, or it belongs to another network",
    })
  }
  if (verified.kind !== "unknown") terminal.tell(`audit.${verified.kind}`)
  terminal.pairs(
    Object.entries(verified.facts).map(([name, value]) => [
      isFact(name) ? terminal.say(FACTS[name]) : name,
      factIn(terminal, name, value),
    ]),
  )
}

function factIn(terminal: Terminal, name: string, value: string | number | boolean): string {
  if (typeof value === "number") return terminal.number(value)
  if (typeof value === "boolean") return terminal.yesNo(value)
  const rid = /^#(\d+)$/.exec(value)?.[1]
  if (rid !== undefined) return terminal.say("fact.unnamed", { rid: Number(rid) })
  return TIMES.includes(name) ? terminal.zulu(Date.parse(value)) : value
}

/** `tarbarta ledger`: the record that all missions keep, and proofs from it. */

import { Command, Option } from "commander"
import { TILE_WIDTH } from "../../protocol/limits.ts"
import { CliError } from "../errors.ts"
import { refuseFolder, writeBytes } from "../files.ts"
import { idDigits } from "../options.ts"
import { act, type Program, type Session } from "../session.ts"
import { evidenceCommand, statusCommand } from "./ledger-status.ts"
import { watchCommand } from "./ledger-watch.ts"

export function ledgerCommand(program: Program): Command {
  const ledger = new Command("ledger")
  ledger.addCommand(statusCommand(program))
  ledger.addCommand(watchCommand(program))
  ledger.addCommand(evidenceCommand(program))
  const verify = ledger
    .command("verify")
    .description("check every block of this node's copy, from the first on")
    .option("--save <FILE>", "write the verified copy, for an auditor")
    .addOption(
      new Option(
        "--quick",
        "hashes and the newest certificate only: no missions' signatures, no older certificates",
      ).conflicts("save"),
    )
  act(verify, program, verifyLedger)
  const proof = ledger
    .command("proof")
    .argument("<id>", "its ID, or the first 6 digits or more", idDigits)
    .description("write the proof that a cable or signal stands on the ledger")
    .option("--out <FILE>", "where to write it (default: the ID's beginning with .tlog-proof)")
    .addHelpText(
      "after",
      `
The file shows when a cable was registered and by whom; nothing of its content.
Check it on any machine: tarbarta audit verify 4f2a91c0.tlog-proof --network network.genesis
`,
    )
  act(proof, program, writeProof)
  const exported = ledger
    .command("export")
    .argument("<dir>", "the folder to publish; made where there is none, not those above it")
    .description("write the ledger as static files that tools of others verify")
    .addHelpText(
      "after",
      `
Again into the same folder, it writes what is new; the checkpoint comes last.
The files hold no content and no key: put them on any web server.
`,
    )
  act(exported, program, exportLedger)
  return ledger
}

async function verifyLedger(
  session: Session,
  options: { readonly save?: string; readonly quick?: true },
): Promise<void> {
  const { terminal } = session
  const { save } = options
  const isQuick = options.quick === true
  if (save !== undefined) await refuseFolder(save)
  const client = await session.client()
  const progress = terminal.progress("busy.verify", "unit.blocks")
  const report = await client
    .verifyLedger(({ done, total }) => progress.update(done, total), { isQuick })
    .finally(() => progress.end())
  if (!report.ok) {
    terminal.json(report)
    const { code = "VERIFICATION_FAILED", message = "no reason given" } = report.error ?? {}
    throw new CliError("VERIFICATION_FAILED", await terminal.reason(code, message), {
      hint: "keep this node's folder for the auditor; other missions hold copies of the ledger",
    })
  }
  const bytes =
    save === undefined
      ? undefined
      : await terminal.during("busy.save", writeBytes(save, await client.ledgerCopy()))
  terminal.json({ ...report, ...(save === undefined ? {} : { file: save, bytes }) })
  const { blocks, entries, certificates } = report
  terminal.tell(isQuick ? "ledger.verifiedQuick" : "ledger.verified", { blocks, entries })
  if (isQuick) terminal.tell("ledger.unchecked")
  else terminal.tell("ledger.certificates", { certificates })
  terminal.fields([["label.rootHash", report.rootHash]])
  if (save !== undefined && bytes !== undefined) {
    terminal.tell("ledger.saved", { file: save, bytes })
    terminal.tell("ledger.check", { file: save })
  }
}

async function writeProof(
  session: Session,
  options: { readonly out?: string },
  id: string,
): Promise<void> {
  const { terminal } = session
  const proof = await (await session.client()).proof(id)
  const file = options.out ?? `${id.slice(0, 8).toLowerCase()}.tlog-proof`
  const bytes = await writeBytes(file, proof)
  terminal.json({ file, bytes })
  terminal.tell("ledger.proofSaved", { file, bytes })
  terminal.tell("ledger.check", { file })
}

async function exportLedger(session: Session, _: object, folder: string): Promise<void> {
  const { terminal } = session
  const { prepareFolder, publishedIn, writePublication } = await import("../../node/export.ts")
  await prepareFolder(folder)
  const before = await publishedIn(folder)
  const client = await session.client()
  const { entries } = await client.ledgerStatus()
  const progress = terminal.progress("busy.export", "unit.entries")
  const exported = await writePublication(folder, await client.publication(before), (bundle) =>
    progress.update((bundle + 1) * TILE_WIDTH, entries),
  ).finally(() => progress.end())
  const { size, files, bytes } = exported
  terminal.json({ folder, entries: size, files, bytes, rootHash: exported.root })
  terminal.tell("ledger.exported", { entries: size, folder, files })
  terminal.fields([["label.rootHash", exported.root]])
}

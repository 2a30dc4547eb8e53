/**
 * `tarbarta network`: the beginning of a network, made once. Headquarters alone needs `create`;
 * several founding missions need `prepare`, `found`, `assemble` and `join`, in this order
 * (OPERATIONS, "Key ceremony").
 */

import { Command, Option } from "commander"
import {
  CONSENSUS_DELTA_MS,
  CONSENSUS_DELTA_MS_MAX,
  CONSENSUS_DELTA_MS_MIN,
  FOUNDING_BYTES_MAX,
  GENESIS_BYTES_MAX,
  INVITATION_BYTES_MAX,
} from "../../protocol/limits.ts"
import { ProtocolError, TarbartaError } from "../../protocol/errors.ts"
import type { FounderFacts, NetworkCreated, NetworkOptions } from "../../node/founding.ts"
import { confirm } from "../confirm.ts"
import { readBytes, refuseFolder, writeBytes } from "../files.ts"
import { homeOptions, withHomeOptions, type HomeOptions } from "../home-options.ts"
import { missions, wholeNumber } from "../options.ts"
import { passphraseFor } from "../passphrase.ts"
import { act, type Program, type Session } from "../session.ts"

interface RuleOptions extends HomeOptions {
  readonly origin?: string
  readonly transport: "noise" | "tls-pq"
  readonly twoPerson: boolean
  readonly delta: number
}

interface PrepareOptions extends RuleOptions {
  readonly founders: readonly string[]
  readonly validators?: readonly string[]
  readonly out: string
}

interface FoundOptions extends HomeOptions {
  readonly invitation: string
  readonly out?: string
}

interface AssembleOptions {
  readonly yes?: boolean
}

export function networkCommand(program: Program): Command {
  const network = new Command("network")
  const create = withRules(network.command("create"))
    .description("make a network, with this machine as headquarters' node")
    .addHelpText(
      "after",
      `
The passphrase that will open the keys is asked for (or TARBARTA_PASSPHRASE_FILE).
Headquarters is then the only validator. For several, see network prepare.
Example:
  tarbarta network create "Bangladesh missions" --code DAC --name-en Dhaka \\
    --address /ip4/192.0.2.7/tcp/4001 --officer "A. Rahman=drafter,cipher"
`,
    )
  act(create, program, createNetwork)
  act(prepareCommand(network), program, prepareNetwork)
  act(foundCommand(network), program, foundMission)
  act(assembleCommand(network), program, assembleNetwork)
  act(joinCommand(network), program, joinNetwork)
  return network
}

/** Options of the two commands that fix the rules of a network. */
function withRules(command: Command): Command {
  return withHomeOptions(command.argument("<name>", "name of the network"))
    .option("--origin <LINE>", "name of the ledger for auditors, such as ledger.example/tarbarta")
    .addOption(
      new Option("--transport <PROTOCOL>", "how links are encrypted, for the whole network")
        .choices(["noise", "tls-pq"])
        .default("noise"),
    )
    .option("--two-person", "cables that matter need a drafter and a releaser", false)
    .option(
      "--delta <MS>",
      "how long validators wait for each other's messages, in ms",
      wholeNumber(CONSENSUS_DELTA_MS_MIN, CONSENSUS_DELTA_MS_MAX),
      CONSENSUS_DELTA_MS,
    )
}

function prepareCommand(network: Command): Command {
  return withRules(network.command("prepare"))
    .description("begin a network of several founding missions (step 1, headquarters)")
    .requiredOption(
      "--founders <CODES>",
      "the other founding missions, such as LON,DEL,NYC; this order is kept",
      missions,
    )
    .option(
      "--validators <CODES>",
      "those of them that vote on the ledger beside headquarters (default: all)",
      missions,
    )
    .option("--out <FILE>", "where to write the invitation", "network.invitation")
    .addHelpText(
      "after",
      `
Makes headquarters' home and keys, and the invitation: a public file that fixes the
rules, the founding missions and who of them votes. Six or seven validators are a good
number: the network bears the loss of two.
Example:
  tarbarta network prepare "Bangladesh missions" --founders LON,DEL,NYC,RUH,KUL \\
    --code DAC --name-en Dhaka --address /ip4/192.0.2.7/tcp/4001 \\
    --officer "A. Rahman=drafter,cipher"
Then give the invitation to each of them, for: tarbarta network found
`,
    )
}

function foundCommand(network: Command): Command {
  return withHomeOptions(network.command("found"))
    .description("answer an invitation with this mission's keys (step 2, founding mission)")
    .requiredOption("--invitation <FILE>", "the invitation from headquarters")
    .option("--out <FILE>", "where to write the founding record (default: CODE.founding)")
    .addHelpText(
      "after",
      `
Makes this mission's home and keys. No secret leaves this machine: the founding record
holds public keys and signatures.
Example:
  tarbarta network found --invitation network.invitation --code LON \\
    --name-en London --address /ip4/192.0.2.9/tcp/4001 --officer "S. Akter=drafter,cipher"
Then carry LON.founding to headquarters, and tell the fingerprint by telephone.
`,
    )
}

function assembleCommand(network: Command): Command {
  return network
    .command("assemble")
    .argument("<records...>", "the founding records of all invited missions")
    .description("make the network from all founding records (step 3, headquarters)")
    .option("--yes", "the fingerprints were compared already; do not ask")
    .addHelpText(
      "after",
      `
Shows the fingerprint of each record, to compare with what the mission itself names by
telephone, and asks. Example:
  tarbarta network assemble LON.founding DEL.founding NYC.founding
Then give the genesis file to every founding mission, for: tarbarta network join
`,
    )
}

function joinCommand(network: Command): Command {
  return network
    .command("join")
    .argument("<genesis>", "the genesis file from headquarters")
    .description("take the network over into this home (step 4, founding mission)")
    .addHelpText(
      "after",
      `
The genesis must be what the invitation said, with this mission's own keys in it.
Missions that were not invited do not join this way: see mission request.
`,
    )
}

async function createNetwork(session: Session, options: RuleOptions, name: string): Promise<void> {
  const { terminal } = session
  const passphrase = await passphraseFor(session, { isNew: true })
  const founding = await import("../../node/founding.ts")
  const made = networkOptions(session, passphrase, options, name)
  showCreated(session, await terminal.during("busy.keys", founding.createNetwork(made)))
}

async function prepareNetwork(
  session: Session,
  options: PrepareOptions,
  name: string,
): Promise<void> {
  const { terminal, home } = session
  await refuseFolder(options.out)
  const passphrase = await passphraseFor(session, { isNew: true })
  const founding = await import("../../node/founding.ts")
  const { founders, validators, out } = options
  const work = founding.prepareNetwork({
    ...networkOptions(session, passphrase, options, name),
    founders,
    ...(validators !== undefined && { validators }),
  })
  const { invitation, seats } = await terminal.during("busy.keys", work)
  await writeBytes(out, invitation)
  const voters = seats.filter(({ validates }) => validates).map(({ code }) => code)
  terminal.json({
    name,
    founders: seats.map(({ code }) => code),
    validators: voters,
    file: out,
    home,
  })
  terminal.tell("network.prepared", { file: out })
  terminal.fields([
    ["label.founders", seats.map(({ code }) => code).join(", ")],
    ["label.validators", voters.join(", ")],
    ["label.home", home],
  ])
  terminal.tell("network.nextFound", { file: out })
}

async function foundMission(session: Session, options: FoundOptions): Promise<void> {
  const { terminal, home } = session
  if (options.out !== undefined) await refuseFolder(options.out)
  const invitation = await readBytes(options.invitation, INVITATION_BYTES_MAX)
  const passphrase = await passphraseFor(session, { isNew: true })
  const founding = await import("../../node/founding.ts")
  const made = homeOptions(home, passphrase, options)
  const { code } = made
  const work = founding.createFoundingRecord({ ...made, invitation })
  const answer = await terminal.during("busy.keys", work).catch((error: unknown) => {
    throw naming(
      options.invitation,
      error,
      "it is cut, altered, or no invitation; ask for it again",
    )
  })
  const { name, rid, validates, fingerprint, record } = answer
  const file = options.out ?? `${code}.founding`
  await writeBytes(file, record)
  terminal.json({ code, name, rid, validator: validates, fingerprint, file, home })
  terminal.tell("network.answered", { code, file })
  terminal.fields([
    ["label.network", name],
    ["label.fingerprint", fingerprint],
    ["label.validator", terminal.yesNo(validates)],
    ["label.home", home],
  ])
  terminal.tell("network.nextAssemble", { file })
}

async function assembleNetwork(
  session: Session,
  options: AssembleOptions,
  files: readonly string[],
): Promise<void> {
  const { terminal, home } = session
  const founding = await import("../../node/founding.ts")
  const records: Uint8Array[] = []
  for (const file of files) {
    const record = await readBytes(file, FOUNDING_BYTES_MAX)
    await founding.inspectRecord(home, record).catch((error: unknown) => {
      const advice =
        "it is cut, altered, or answers another invitation; let the mission send it again"
      throw naming(file, error, advice)
    })
    records.push(record)
  }
  const founders = await founding.inspectFounders(home, records)
  // Headquarters' own record was made here: there is nothing to compare.
  for (const founder of founders.slice(1)) showFounder(session, founder)
  await confirm(session, terminal.say("network.ask"), {
    yes: options.yes,
    advice: "compare the fingerprints first, then give --yes",
  })
  const passphrase = await passphraseFor(session, { isNew: false })
  const work = founding.assembleNetwork({ home, passphrase, records })
  showCreated(session, await terminal.during("busy.open", work), founders)
}

async function joinNetwork(session: Session, _: object, file: string): Promise<void> {
  const { terminal, home } = session
  const genesis = await readBytes(file, GENESIS_BYTES_MAX)
  const founding = await import("../../node/founding.ts")
  const joined = await founding.joinNetwork(home, genesis).catch((error: unknown) => {
    throw naming(file, error, "do not use it; ask headquarters by another channel what it made")
  })
  const { name, network, fingerprint } = joined
  terminal.json({ name, network, fingerprint, home })
  terminal.tell("network.joined", { name })
  terminal.fields([
    ["label.network", network],
    ["label.fingerprint", fingerprint],
    ["label.home", home],
  ])
  terminal.tell("network.nextStart")
}

// --- parts ----------------------------------------------------------------------------------

function networkOptions(
  { home }: Session,
  passphrase: string,
  options: RuleOptions,
  name: string,
): NetworkOptions {
  return {
    ...homeOptions(home, passphrase, options),
    name,
    origin: options.origin ?? `${options.code.toLowerCase()}.tarbarta`,
    transport: options.transport,
    twoPerson: options.twoPerson,
    consensusDeltaMs: options.delta,
  }
}

function showCreated(
  { terminal, home }: Session,
  created: NetworkCreated,
  founders?: readonly FounderFacts[],
): void {
  const { name, network, fingerprint, genesisFile } = created
  const codes = founders && { founders: founders.map(({ code }) => code) }
  terminal.json({ network, fingerprint, genesisFile, home, ...codes })
  terminal.tell("network.created", { name })
  terminal.fields([
    ["label.network", network],
    ["label.fingerprint", fingerprint],
    ["label.home", home],
    ["label.file", genesisFile],
  ])
  terminal.tell(founders === undefined ? "network.next" : "network.nextJoin", { file: genesisFile })
}

function showFounder({ terminal }: Session, founder: FounderFacts): void {
  const { code, nameEn, nameBn, validates, fingerprint, addresses, officers } = founder
  terminal.fields([
    ["label.mission", `${code}  ${nameEn}  ${nameBn}`],
    ["label.fingerprint", fingerprint],
    ["label.validator", terminal.yesNo(validates)],
    ["label.addresses", addresses.join(" ")],
    [
      "label.officers",
      officers.map(({ name, roles }) => `${name} (${roles.join(", ")})`).join("; "),
    ],
  ])
  terminal.line()
}

/** A refusal of what stands in a file, with the file's name; anything else as it is. */
function naming(file: string, error: unknown, hint: string): unknown {
  if (!(error instanceof ProtocolError)) return error
  return new TarbartaError(error.code, `${file}: ${error.message}`, { cause: error, hint })
}

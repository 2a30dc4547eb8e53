/** `tarbarta mission`: who belongs to the network, and how a mission joins and leaves. */

import { Command } from "commander"
import type { MissionInfo } from "../../node/api/shapes.ts"
import { GENESIS_BYTES_MAX, REQUEST_BYTES_MAX } from "../../protocol/limits.ts"
import { NodeError } from "../../node/errors.ts"
import { ProtocolError, TarbartaError } from "../../protocol/errors.ts"
import { confirm } from "../confirm.ts"
import { readBytes, refuseFolder, writeBytes } from "../files.ts"
import { homeOptions, withHomeOptions, type HomeOptions } from "../home-options.ts"
import { passphraseFor } from "../passphrase.ts"
import { act, type Program, type Session } from "../session.ts"

interface RequestOptions extends HomeOptions {
  readonly network: string
  readonly out?: string
}

interface AdmitOptions {
  readonly yes?: boolean
}

interface RevokeOptions {
  readonly yes?: boolean
  readonly reason: string
}

export function missionCommand(program: Program): Command {
  const mission = new Command("mission")
  const request = withHomeOptions(mission.command("request"))
    .description("make this machine's keys and a request to be admitted")
    .requiredOption("--network <GENESIS>", "the genesis file that headquarters gave out")
    .option("--out <FILE>", "where to write the request (default: CODE.request)")
    .addHelpText(
      "after",
      `
Example:
  tarbarta mission request --network network.genesis --code LON --name-en London \\
    --address /ip4/192.0.2.9/tcp/4001 --officer "S. Akter=drafter,cipher,duty"
Then carry LON.request to headquarters, and tell the fingerprint by telephone.
`,
    )
  act(request, program, requestAdmission)
  const admit = mission
    .command("admit")
    .argument("<file>", "the request that the mission has sent")
    .description("admit a mission by its request (headquarters)")
    .option("--yes", "the fingerprint was compared already; do not ask")
  act(admit, program, admitMission)
  const revoke = mission
    .command("revoke")
    .argument("<code>", "code of the mission, such as LON")
    .description("end a mission's keys for good, such as after a seizure (headquarters)")
    .option("--reason <TEXT>", "why; it stands on the ledger for all to read", "not given")
    .option("--yes", "do not ask")
  act(revoke, program, revokeMission)
  act(
    mission.command("list").description("list the missions of the network"),
    program,
    listMissions,
  )
  return mission
}

async function requestAdmission(session: Session, options: RequestOptions): Promise<void> {
  const { terminal, home } = session
  if (options.out !== undefined) await refuseFolder(options.out)
  const genesis = await readBytes(options.network, GENESIS_BYTES_MAX)
  const passphrase = await passphraseFor(session, { isNew: true })
  const setup = await import("../../node/setup.ts")
  const made = homeOptions(home, passphrase, options)
  const created = await terminal.during("busy.keys", setup.createRequest({ ...made, genesis }))
  const file = options.out ?? `${made.code}.request`
  await writeBytes(file, created.request)
  const { network, networkFingerprint, fingerprint } = created
  terminal.json({ code: made.code, network, networkFingerprint, fingerprint, file, home })
  terminal.tell("mission.requested", { code: made.code, file })
  terminal.fields([
    ["label.networkFingerprint", networkFingerprint],
    ["label.fingerprint", fingerprint],
    ["label.home", home],
  ])
  terminal.tell("mission.next")
}

async function admitMission(session: Session, options: AdmitOptions, file: string): Promise<void> {
  const { terminal, home } = session
  const request = await readBytes(file, REQUEST_BYTES_MAX)
  const client = await session.client()
  const ledger = await client.ledgerStatus()
  const setup = await import("../../node/setup.ts")
  const facts = await setup.inspectRequest({ home, request }).catch((error: unknown) => {
    throw notAdmissible(file, error)
  })
  terminal.fields([
    ["label.mission", `${facts.code}  ${facts.nameEn}  ${facts.nameBn}`],
    ["label.fingerprint", facts.fingerprint],
    ["label.addresses", facts.addresses.join(" ")],
    [
      "label.officers",
      facts.officers.map((one) => `${one.name} (${one.roles.join(", ")})`).join("; "),
    ],
  ])
  await confirm(session, terminal.say("mission.ask", { code: facts.code }), {
    yes: options.yes,
    advice: "compare the fingerprint first, then give --yes",
  })
  const passphrase = await passphraseFor(session, { isNew: false })
  const payloads = await terminal.during(
    "busy.open",
    setup.buildAdmission({ home, passphrase, request, ledger }),
  )
  const final = await terminal.during("busy.ledger", client.submitGovernance(payloads))
  terminal.json({ code: facts.code, fingerprint: facts.fingerprint, ...final })
  terminal.tell("mission.admitted", { code: facts.code, height: final.height })
}

/** A request that cannot be read or does not hold; anything else is passed on as it is. */
function notAdmissible(file: string, error: unknown): unknown {
  if (!(error instanceof ProtocolError)) return error
  return new TarbartaError(error.code, `${file}: ${error.message}`, {
    cause: error,
    hint: "it is cut, altered, or no request to this network; let the mission send it again",
  })
}

async function revokeMission(
  session: Session,
  options: RevokeOptions,
  code: string,
): Promise<void> {
  const { terminal, home } = session
  const reason = options.reason.normalize("NFC")
  const client = await session.client()
  const [ledger, missions] = await Promise.all([client.ledgerStatus(), client.missions()])
  const mission = missions.find((one) => one.code === code.toUpperCase())
  if (mission === undefined) {
    throw new NodeError("MISSION_UNKNOWN", `no mission ${code}`, {
      hint: "`tarbarta mission list` names them",
    })
  }
  const question = { code: mission.code, name: mission.nameEn }
  await confirm(session, terminal.say("mission.askRevoke", question), {
    yes: options.yes,
    advice: "it cannot be undone; if it is meant, give --yes",
  })
  const passphrase = await passphraseFor(session, { isNew: false })
  const setup = await import("../../node/setup.ts")
  const payloads = await terminal.during(
    "busy.open",
    setup.buildRevocation({ home, passphrase, mission, ledger, reason }),
  )
  const final = await terminal.during("busy.ledger", client.submitGovernance(payloads))
  terminal.json({ code: mission.code, ...final })
  terminal.tell("mission.revoked", { code: mission.code, height: final.height })
}

async function listMissions(session: Session): Promise<void> {
  const { terminal } = session
  const missions = await (await session.client()).missions()
  terminal.json({ missions })
  terminal.table(
    [
      { head: "head.mission" },
      { head: "head.name", isFlexible: true },
      { head: "head.link" },
      { head: "head.waiting", side: "right" },
      { head: "head.officers" },
    ],
    missions.map((mission) => [
      mission.code,
      terminal.language === "bn" ? mission.nameBn : mission.nameEn,
      linkOf(session, mission),
      terminal.number(mission.waiting),
      mission.officers.map((officer) => officer.name).join(", "),
    ]),
  )
}

function linkOf({ terminal }: Session, mission: MissionInfo): string {
  if (mission.revokedHeight !== undefined) return terminal.say("link.revoked")
  if (mission.isSelf) return terminal.say("link.self")
  return terminal.say(mission.connected ? "link.up" : "link.down")
}

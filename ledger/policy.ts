/**
 * Whose signatures make a checkpoint good (C2SP tlog-policy; LEDGER §15.5): any one of the logs,
 * and cosigners according to a rule over groups.
 *
 * Two policies follow from a network's own facts. `val` wants a quorum of validators, under every
 * checkpoint. `both` wants a majority of missions as well, hourly: enough of them that no two such
 * checkpoints exclude each other even if all validators lie together.
 */

import type { MissionFacts, ValidatorFacts } from "../protocol/identity.ts"
import * as limits from "../protocol/limits.ts"
import type { Suite } from "../protocol/suite.ts"
import { verifyCheckpoint, type VerifiedCheckpoint } from "./cosignature.ts"
import { LedgerError } from "./errors.ts"
import { formatVkey, isNoteName, parseVkey, type NoteKey } from "./note.ts"
import { quorumOf } from "./validators.ts"

export interface Policy {
  /** One of them must have signed; their name is the origin. */
  readonly logs: readonly NoteKey[]
  /** Names in groups, and nowhere else. */
  readonly witnesses: readonly { readonly name: string; readonly key: NoteKey }[]
  readonly groups: readonly Group[]
  /** A witness, a group, or `none`. */
  readonly quorum: string
}

interface Group {
  readonly name: string
  /** Members that must have cosigned. */
  readonly threshold: number
  readonly members: readonly string[]
}

/** A mission as a witness. */
export type Witness = Pick<MissionFacts, "code" | "witnessKey" | "witnessPqKey">

/** A validator, by the code of its mission. */
export interface NamedValidator {
  readonly code: string
  readonly facts: ValidatorFacts
}

const NO_QUORUM = "none"
const DECIMAL = /^[1-9][0-9]{0,3}$/

/** Missions out of `count` that may lie without two histories getting past the others. */
export function corruptMissionsOf(count: number): number {
  return Math.floor(count / limits.MISSIONS_PER_CORRUPT)
}

/** Missions that must cosign: ⌈(m+c+1)/2⌉, so that any two such sets share an honest one. */
export function missionThreshold(count: number): number {
  return Math.ceil((count + corruptMissionsOf(count) + 1) / 2)
}

/** The first part of the origin: what all cosigners' names begin with. */
function placeOf(origin: string): string {
  return origin.split("/")[0] ?? origin
}

/** The keys of a validator under the names that its lines carry. */
export function validatorKeys(
  origin: string,
  { code, facts }: NamedValidator,
): { readonly log: NoteKey; readonly cosigner: NoteKey; readonly cosignerPq: NoteKey } {
  const name = `${placeOf(origin)}/${code}`
  return {
    log: { name: origin, type: "log", publicKey: facts.logKey },
    cosigner: { name, type: "cosigner", publicKey: facts.cosignerKey },
    cosignerPq: { name, type: "cosignerPq", publicKey: facts.cosignerPqKey },
  }
}

/** The keys of a mission that cosigns as a witness. */
export function witnessKeys(
  origin: string,
  { code, witnessKey, witnessPqKey }: Witness,
): { readonly cosigner: NoteKey; readonly cosignerPq: NoteKey } {
  const name = `${placeOf(origin)}/witness/${code}`
  return {
    cosigner: { name, type: "cosigner", publicKey: witnessKey },
    cosignerPq: { name, type: "cosignerPq", publicKey: witnessPqKey },
  }
}

/** A quorum of validators, Ed25519; their ML-DSA-44 keys stand by in a group of their own. */
export function validatorPolicy(origin: string, validators: readonly NamedValidator[]): Policy {
  const keys = validators.map((one) => ({ code: one.code, ...validatorKeys(origin, one) }))
  const threshold = quorumOf(validators.length)
  return {
    logs: keys.map(({ log }) => log),
    witnesses: [
      ...keys.map(({ code, cosigner }) => ({ name: `val-${code}`, key: cosigner })),
      ...keys.map(({ code, cosignerPq }) => ({ name: `val-${code}-pq`, key: cosignerPq })),
    ],
    groups: [
      { name: "val", threshold, members: keys.map(({ code }) => `val-${code}`) },
      { name: "val-pq", threshold, members: keys.map(({ code }) => `val-${code}-pq`) },
    ],
    quorum: "val",
  }
}

/** {@link validatorPolicy}, and a majority of missions beside it. */
export function missionPolicy(
  origin: string,
  validators: readonly NamedValidator[],
  missions: readonly Witness[],
): Policy {
  const base = validatorPolicy(origin, validators)
  const keys = missions.map((one) => ({ code: one.code, ...witnessKeys(origin, one) }))
  const members = keys.map(({ code }) => `mission-${code}`)
  return {
    logs: base.logs,
    witnesses: [
      ...base.witnesses,
      ...keys.map(({ code, cosigner }) => ({ name: `mission-${code}`, key: cosigner })),
      ...keys.map(({ code, cosignerPq }) => ({ name: `mission-${code}-pq`, key: cosignerPq })),
    ],
    groups: [
      ...base.groups,
      { name: "missions", threshold: missionThreshold(members.length), members },
      { name: "both", threshold: 2, members: ["val", "missions"] },
    ],
    quorum: "both",
  }
}

/** Every key that a policy knows. */
export function policyKeys(policy: Policy): NoteKey[] {
  return [...policy.logs, ...policy.witnesses.map(({ key }) => key)]
}

/**
 * Verifies a signed checkpoint and that it has what the policy asks for.
 *
 * @throws {@link LedgerError} as verifyCheckpoint; `POLICY_UNMET` when no log signed it, or too few
 * cosigners.
 */
export function verifyAgainst(suite: Suite, policy: Policy, text: string): VerifiedCheckpoint {
  const verified = verifyCheckpoint(suite, policyKeys(policy), text)
  const signed = new Set(verified.signed.map(({ key }) => key))
  const { origin } = verified.checkpoint
  if (!policy.logs.some((log) => log.name === origin && signed.has(log))) {
    throw new LedgerError("POLICY_UNMET", `checkpoint of ${origin}: no log of the policy signed it`)
  }
  if (isQuorum(policy, signed)) return verified
  const count = [...signed].filter(({ type }) => type !== "log").length
  const why = `expected ${policy.quorum}, got ${count} known cosignatures`
  throw new LedgerError("POLICY_UNMET", `checkpoint of ${origin}: too few cosigned it: ${why}`)
}

/** True when these keys are enough for the quorum. */
export function isQuorum(policy: Policy, signed: ReadonlySet<NoteKey>): boolean {
  const met = new Set<string>([NO_QUORUM])
  for (const { name, key } of policy.witnesses) if (signed.has(key)) met.add(name)
  for (const { name, threshold, members } of policy.groups) {
    if (members.filter((member) => met.has(member)).length >= threshold) met.add(name)
  }
  return met.has(policy.quorum)
}

/** Lines of a policy file, each ending in a line feed. */
export function formatPolicy(suite: Suite, policy: Policy): string {
  const lines = [
    ...policy.logs.map((key) => `log ${formatVkey(suite, key)}`),
    ...policy.witnesses.map(({ name, key }) => `witness ${name} ${formatVkey(suite, key)}`),
    ...policy.groups.map(({ name, threshold, members }) => {
      return `group ${name} ${threshold} ${members.join(" ")}`
    }),
    `quorum ${policy.quorum}`,
  ]
  return lines.map((line) => `${line}\n`).join("")
}

/**
 * Reads a policy file. Comments, blank lines and addresses behind keys are passed over.
 *
 * @throws {@link LedgerError} `POLICY_INVALID`, `NOTE_INVALID`; ProtocolError `CODEC_RANGE`.
 */
export function parsePolicy(suite: Suite, text: string): Policy {
  if (text.length > limits.POLICY_BYTES_MAX) {
    invalid(0, `expected at most ${limits.POLICY_BYTES_MAX} bytes`)
  }
  const draft = new PolicyDraft(suite)
  for (const [index, line] of text.split("\n").entries()) {
    const items = line.split(/[ \t]+/).filter((item) => item !== "")
    if (items.length > 0 && items[0]?.startsWith("#") === false) draft.take(index + 1, items)
  }
  return draft.finish()
}

/** What the lines above have defined; a line may use no other names. */
class PolicyDraft {
  readonly #suite: Suite
  readonly #logs: NoteKey[] = []
  readonly #witnesses: { name: string; key: NoteKey }[] = []
  readonly #groups: Group[] = []
  readonly #names = new Set<string>([NO_QUORUM])
  readonly #publicKeys = new Set<string>()
  readonly #taken = new Set<string>()
  #quorum: string | undefined

  constructor(suite: Suite) {
    this.#suite = suite
  }

  take(line: number, items: readonly string[]): void {
    const [keyword = "", ...rest] = items
    if (keyword === "log") this.#log(line, rest)
    else if (keyword === "witness") this.#witness(line, rest)
    else if (keyword === "group") this.#group(line, rest)
    else if (keyword === "quorum") this.#setQuorum(line, rest)
    else invalid(line, "it begins with none of log, witness, group, quorum")
  }

  finish(): Policy {
    const quorum = this.#quorum ?? invalid(0, "no quorum")
    return { logs: this.#logs, witnesses: this.#witnesses, groups: this.#groups, quorum }
  }

  #log(line: number, [vkey = "", , ...more]: readonly string[]): void {
    if (more.length > 0) invalid(line, "expected log KEY [ADDRESS]")
    const key = this.#key(line, vkey)
    if (key.type !== "log") invalid(line, "the key is not a log's")
    this.#logs.push(key)
  }

  #witness(line: number, [name = "", vkey = "", , ...more]: readonly string[]): void {
    if (more.length > 0) invalid(line, "expected witness NAME KEY [ADDRESS]")
    this.#define(line, name)
    const key = this.#key(line, vkey)
    if (key.type === "log") invalid(line, "the key is not a cosigner's")
    this.#witnesses.push({ name, key })
  }

  #group(line: number, [name = "", size = "", ...members]: readonly string[]): void {
    if (members.length === 0) invalid(line, "a group without members")
    for (const member of members) {
      if (member === NO_QUORUM || !this.#names.has(member)) {
        invalid(line, "a member is not defined above")
      }
      if (this.#taken.has(member)) invalid(line, "a member is in two groups, or twice in one")
      this.#taken.add(member)
    }
    const threshold =
      size === "any" ? 1 : size === "all" ? members.length : DECIMAL.test(size) ? Number(size) : 0
    if (threshold < 1 || threshold > members.length) {
      invalid(line, `expected 1 … ${members.length} of its members`)
    }
    this.#define(line, name)
    this.#groups.push({ name, threshold, members })
  }

  #setQuorum(line: number, [name = "", ...more]: readonly string[]): void {
    if (this.#quorum !== undefined) invalid(line, "a second quorum")
    if (more.length > 0 || !this.#names.has(name)) invalid(line, "it is not defined above")
    this.#quorum = name
  }

  #define(line: number, name: string): void {
    if (!isNoteName(name) || this.#names.has(name)) invalid(line, "a name is empty or taken")
    this.#names.add(name)
  }

  #key(line: number, vkey: string): NoteKey {
    const key = parseVkey(this.#suite, vkey)
    const mark = key.publicKey.join()
    if (this.#publicKeys.has(mark)) invalid(line, "its key stands above")
    this.#publicKeys.add(mark)
    return key
  }
}

function invalid(line: number, why: string): never {
  throw new LedgerError("POLICY_INVALID", `policy${line === 0 ? "" : `, line ${line}`}: ${why}`)
}

/** A directory with 2-of-3 governance, and the short words in which its tests speak. */

import { bytesToHex } from "@noble/hashes/utils.js"
import { Directory, type Outcome } from "../../protocol/directory.ts"
import type { Entry } from "../../protocol/entry.ts"
import { epochAt } from "../../protocol/epoch.ts"
import type { MissionFacts } from "../../protocol/identity.ts"
import { EPOCH_MS } from "../../protocol/limits.ts"
import { drawApplicant, Founding, NEW_YEAR_MS, requestFor, type Applicant } from "./identities.ts"
import { compositeKey, type CompositeKey } from "./ministry.ts"
import { randomInt } from "./rng.ts"
import { suite } from "./suites.ts"

export const founding: Founding = new Founding(suite, "directory tests")
const { random, net, genesisBytes, dhaka, london } = founding
export const minister: CompositeKey = founding.member(0)
export const secretary: CompositeKey = founding.member(1)
export const registrar: CompositeKey = founding.member(2)
export const paris: Applicant = drawApplicant(suite, random, "PAR")
export const stranger: CompositeKey = compositeKey(suite, random)
export const TODAY: number = epochAt(NEW_YEAR_MS)

export type Item = Pick<Entry, "type" | "payload">
export const governance = (payload: Uint8Array): Item => ({ type: "governance", payload })
export const epochKeys = (payload: Uint8Array): Item => ({ type: "epochKeys", payload })

export function fresh(): Directory {
  return new Directory(suite, genesisBytes)
}

/** The code of a refusal, or what the entry did. */
export function told(outcome: Outcome): string {
  return outcome.type === "refused" ? outcome.code : outcome.type
}

export function govern(directory: Directory, payload: Uint8Array, height: number): string {
  return told(directory.apply(governance(payload), height))
}

export function publish(directory: Directory, payload: Uint8Array, height = 1): string {
  return told(directory.apply(epochKeys(payload), height))
}

/** Proposes, and casts the ballots of these members; what the last entry did. */
export function decide(
  directory: Directory,
  proposed: { readonly id: Uint8Array; readonly payload: Uint8Array },
  height: number,
  voters: readonly CompositeKey[] = [minister, registrar],
): string {
  let last = govern(directory, proposed.payload, height)
  for (const voter of voters) last = govern(directory, founding.ballot(proposed.id, voter), height)
  return last
}

export function admission(
  directory: Directory,
  applicant: Applicant = paris,
  change: Partial<MissionFacts> = {},
): { id: Uint8Array; payload: Uint8Array } {
  const request = requestFor(suite, applicant, net, change)
  return founding.propose({ type: "admit", request }, directory.stateHash)
}

export function revocation(
  directory: Directory,
  rid: number,
): { id: Uint8Array; payload: Uint8Array } {
  return founding.propose({ type: "revoke", rid, reason: "closed" }, directory.stateHash)
}

/** Everything that a directory answers, in a form that compares. */
export function snapshot(directory: Directory): unknown {
  return {
    stateHash: bytesToHex(directory.stateHash),
    missions: directory.missions(),
    keys: directory
      .missions()
      .map(({ rid }) => [
        directory.newestEpoch(rid),
        ...[0, 1, 2].map((day) => directory.epochKeyFor(rid, NEW_YEAR_MS + day * EPOCH_MS)),
      ]),
  }
}

/** Entries good and bad, in the order of a ledger; heights count up. */
export function history(): Item[] {
  const directory = fresh()
  const items: Item[] = []
  const add = (item: Item): void => {
    items.push(item)
    directory.apply(item, items.length)
  }
  const settle = (proposed: { id: Uint8Array; payload: Uint8Array }): void => {
    add(governance(proposed.payload))
    add(governance(founding.ballot(proposed.id, stranger)))
    for (const index of [2, 0]) {
      add(governance(founding.ballot(proposed.id, founding.member(index))))
      add(governance(random(randomInt(random, 200) + 1)))
    }
  }
  add(epochKeys(founding.publish(1, dhaka.signing, [TODAY, TODAY + 1])))
  add(epochKeys(founding.publish(1, stranger, [TODAY, TODAY + 2])))
  const stale = admission(directory, drawApplicant(suite, random, "TYO"))
  settle(admission(directory))
  settle(stale)
  add(epochKeys(founding.publish(3, paris.signing, [TODAY])))
  settle(revocation(directory, 1))
  settle(revocation(directory, 2))
  add(epochKeys(founding.publish(2, london.signing, [TODAY])))
  return items
}

/** What verification asks of the directory: signing keys, officers, and who is still a member. */

import type { CopyChecks, SenderKey } from "../../protocol/copy.ts"
import type { Directory, Mission } from "../../protocol/directory.ts"
import type { OfficerKey } from "../../protocol/release.ts"

/** Keys as the newest final block has them, those of revoked missions included. */
export interface KeyLookups extends CopyChecks {
  officerKeyOf(kid: Uint8Array): OfficerKey | undefined
}

/**
 * Lookups for verification. A revocation does not un-sign what came before it, so whether a revoked
 * signer counts is judged by the caller, who knows the anchor.
 */
export function keyLookups(directory: Directory): KeyLookups {
  return {
    net: directory.net,
    senderKeyOf: (kid): SenderKey | undefined => {
      const mission = directory.missionBySigner(kid)
      return mission === undefined ? undefined : senderKey(mission)
    },
    officerKeyOf: (kid): OfficerKey | undefined => {
      const found = directory.officer(kid)
      if (found === undefined) return undefined
      const { officer, mission } = found
      return { publicKey: officer.publicKey, rid: mission.rid, roles: officer.roles }
    },
  }
}

function senderKey(mission: Mission): SenderKey {
  return { publicKey: mission.facts.signingKey, rid: mission.rid }
}

/** The mission whose node has this transport key, unless it is revoked. */
export function memberOfPeer(
  directory: Directory,
  peer: string,
  height: number,
): Mission | undefined {
  const mission = directory.missionByPeer(peer)
  if (mission === undefined || directory.isRevoked(mission, height)) return undefined
  return mission
}

/**
 * Frozen encodings of identities, genesis, governance and epoch keys. The file holds inputs as seeds
 * and results as hashes and short bytes; signatures are the portable suite's, which are
 * deterministic under a seeded source.
 */

import { writeFileSync } from "node:fs"
import { bytesToHex } from "@noble/hashes/utils.js"
import { describe, expect, it } from "vitest"
import { decodeEpochKeys, verifyEpochKeys } from "../../protocol/epoch.ts"
import { decodeGovernance, isGovernanceSigned, verifyGenesis } from "../../protocol/governance.ts"
import {
  officerStatement,
  possessionMessage,
  signValidator,
  verifyMissionRequest,
} from "../../protocol/identity.ts"
import {
  encodeFounding,
  encodeInvitation,
  invitationNonce,
  verifyFounding,
} from "../../protocol/founding.ts"
import { epochKeyHash, fingerprint, keyId } from "../../protocol/keys.ts"
import { portableSuite } from "../../protocol/portable.ts"
import type { Suite } from "../../protocol/suite.ts"
import {
  drawApplicant,
  drawValidator,
  factsFor,
  Founding,
  requestFor,
} from "../support/identities.ts"
import { suites } from "../support/suites.ts"
import { readFrozen } from "../support/vectors.ts"

// TARBARTA_WRITE_VECTORS=1 writes the file anew: a change of format, to be made on purpose only.
const FILE = new URL("../vectors/identity.json", import.meta.url)
const SEED = "tarbarta frozen identities 1"

type Made = ReturnType<typeof makeAll>

/** Everything, from one seed on the portable suite, in a fixed order of draws. */
function makeAll() {
  const suite = portableSuite
  const founding = new Founding(suite, SEED)
  const { net, random } = founding
  const paris = drawApplicant(suite, random, "PAR")
  const request = requestFor(suite, paris, net)
  const admit = founding.propose({ type: "admit", request }, net)
  const revoke = founding.propose({ type: "revoke", rid: 2, reason: "বন্ধ" }, net)
  const ballot = founding.ballot(revoke.id, founding.member(1))
  const epochKeys = founding.publish(2, founding.london.signing, [20_454, 20_455])
  const ceremony = makeCeremony(founding)
  return { suite, founding, paris, request, admit, revoke, ballot, epochKeys, ceremony }
}

/** An invitation of two, and what the second answers. */
function makeCeremony({ suite, parts, members, random }: Founding) {
  const [minister] = members
  if (minister === undefined) throw new RangeError("a member expected")
  const invitation = encodeInvitation({
    name: parts.name,
    origin: parts.origin,
    salt: random(32),
    policy: parts.policy,
    thresholds: { revoke: 1, admit: 1, policy: 1, upgrade: 1, recover: 1 },
    members: [{ name: minister.name, publicKey: minister.publicKey }],
    seats: [
      { code: "DAC", validates: true },
      { code: "DEL", validates: true },
    ],
  })
  const nonce = invitationNonce(suite, invitation)
  const request = requestFor(suite, drawApplicant(suite, random, "DEL"), nonce)
  const { facts, signers } = drawValidator(suite, random, 2)
  const validator = signValidator(suite, nonce, facts, signers)
  return { invitation, nonce, record: encodeFounding({ nonce, request, validator }) }
}

function vectorsOf(made: Made): Record<string, Record<string, string | number>> {
  const { suite, founding, paris, request, admit, revoke, ballot, epochKeys, ceremony } = made
  const hash = (bytes: Uint8Array): string => bytesToHex(suite.sha256(bytes))
  const [officer] = factsFor(paris, founding.net).officers
  const [epochKey] = decodeEpochKeys(epochKeys).keys
  if (officer === undefined || epochKey === undefined) throw new RangeError("one of each expected")
  const revocation = decodeGovernance(suite, revoke.payload)
  const cast = decodeGovernance(suite, ballot)
  return {
    keys: {
      seed: `founding ${SEED}`,
      signingKeySha256: hash(paris.signing.publicKey),
      signingKeyId: bytesToHex(keyId(suite, paris.signing.publicKey)),
      transportKey: bytesToHex(paris.transport.publicKey),
      transportKeyId: bytesToHex(keyId(suite, paris.transport.publicKey)),
      epochKeySha256: hash(epochKey.publicKey),
      epochKeyHash: bytesToHex(epochKeyHash(suite, epochKey.publicKey)),
      fingerprintOfNet: fingerprint(founding.net),
      possessionOfSubmit: bytesToHex(possessionMessage("submit", new Uint8Array(32).fill(7))),
    },
    request: {
      bytes: request.length,
      sha256: hash(request),
      fingerprint: fingerprint(suite.sha256(request)),
      head: bytesToHex(request.subarray(0, 64)),
      officerStatementSha256: hash(officerStatement(founding.net, "PAR", officer)),
    },
    genesis: {
      bytes: founding.genesisBytes.length,
      net: bytesToHex(founding.net),
      head: bytesToHex(founding.genesisBytes.subarray(0, 160)),
    },
    admission: {
      bytes: admit.payload.length,
      proposalId: bytesToHex(admit.id),
      payloadSha256: hash(admit.payload),
    },
    revocation: {
      statement: bytesToHex(revocation.statement),
      proposalId: bytesToHex(revoke.id),
      payloadSha256: hash(revoke.payload),
    },
    ballot: {
      statement: bytesToHex(cast.statement),
      memberId: bytesToHex(cast.memberId),
      payloadSha256: hash(ballot),
    },
    epochKeys: {
      bytes: epochKeys.length,
      head: bytesToHex(epochKeys.subarray(0, 80)),
      payloadSha256: hash(epochKeys),
    },
    invitation: {
      bytes: ceremony.invitation.length,
      nonce: bytesToHex(ceremony.nonce),
      head: bytesToHex(ceremony.invitation.subarray(0, 96)),
      tail: bytesToHex(ceremony.invitation.subarray(-47)),
    },
    foundingRecord: {
      bytes: ceremony.record.length,
      sha256: hash(ceremony.record),
      fingerprint: fingerprint(suite.sha256(ceremony.record)),
      head: bytesToHex(ceremony.record.subarray(0, 64)),
    },
  }
}

const made = makeAll()
if (process.env["TARBARTA_WRITE_VECTORS"] === "1") {
  writeFileSync(FILE, `${JSON.stringify(vectorsOf(made), null, 2)}\n`)
}

describe("frozen identities", () => {
  it("come out of their seeds, byte for byte", () => {
    expect(vectorsOf(made)).toEqual(readFrozen("identity.json"))
  })

  it.each(suites.map((suite): [string, Suite] => [suite.name, suite]))(
    "verify on the %s suite",
    (_, suite) => {
      const { founding, request, revoke, ballot, epochKeys } = made
      const genesis = verifyGenesis(suite, founding.genesisBytes)
      expect(verifyMissionRequest(suite, request, founding.net).code).toBe("PAR")
      const [minister, secretary] = genesis.members
      if (minister === undefined || secretary === undefined) throw new RangeError("two expected")
      const proposal = decodeGovernance(suite, revoke.payload)
      expect(isGovernanceSigned(suite, proposal, minister)).toBe(true)
      expect(isGovernanceSigned(suite, decodeGovernance(suite, ballot), secretary)).toBe(true)
      const { invitation, record } = made.ceremony
      expect(verifyFounding(suite, record, invitation).rid).toBe(2)
      const signingKey = founding.london.signing.publicKey
      const publication = decodeEpochKeys(epochKeys)
      expect(() => verifyEpochKeys(suite, publication, signingKey)).not.toThrow()
    },
  )
})

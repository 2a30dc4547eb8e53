/**
 * Named parties for tests of sealed things: posts with keys and officers, the directory that knows
 * them, and envelopes from one to others. Everything comes from seeds.
 */

import { encodeCable, type CableContent } from "../../protocol/cable.ts"
import { compositePublicKey, compositeSign } from "../../protocol/composite.ts"
import {
  copyFor,
  sealEnvelope,
  type SealedEnvelope,
  type SealInput,
} from "../../protocol/envelope.ts"
import type { EnvelopeCopy } from "../../protocol/copy.ts"
import { encodeSignal, type SignalContent } from "../../protocol/hotline.ts"
import { kemPublicKey } from "../../protocol/hpke.ts"
import type { OfficerRole } from "../../protocol/identity.ts"
import type { Recipient } from "../../protocol/inner.ts"
import { epochKeyHash, keyId, type CompositeSigner } from "../../protocol/keys.ts"
import type { OpenLookups } from "../../protocol/open.ts"
import {
  draftRelease,
  encodeRelease,
  releaseRecord,
  signRelease,
  type OfficerKey,
  type ReleaseFacts,
  type ReleasePolicy,
} from "../../protocol/release.ts"
import type { RandomSource, Suite } from "../../protocol/suite.ts"
import type { Precedence, ReleaseRole } from "../../protocol/words.ts"
import { NOON_MS, sampleCable, sampleSignal } from "./contents.ts"
import { seededRandom } from "./rng.ts"

/** Any holder of a composite key. */
export interface Signing {
  readonly kid: Uint8Array
  readonly publicKey: Uint8Array
  readonly sign: CompositeSigner
}

export interface TestOfficer extends Signing {
  readonly key: OfficerKey
}

export interface Post extends Signing {
  readonly rid: number
  readonly drafter: TestOfficer
  readonly releaser: TestOfficer
  readonly duty: TestOfficer
  readonly epoch: number
  readonly epochSeed: Uint8Array
  readonly epochKey: Uint8Array
}

/** The default of the ministry: IMMEDIATE or CONFIDENTIAL and above need two. */
export const POLICY: ReleasePolicy = {
  twoPersonFromPrecedence: "immediate",
  twoPersonFromClassification: "confidential",
}

/** A small network: Dhaka, Lisbon and Nairobi belong to it, Mallory's officers serve elsewhere. */
export class World {
  readonly suite: Suite
  readonly random: RandomSource
  readonly net: Uint8Array
  readonly dhaka: Post
  readonly lisbon: Post
  readonly nairobi: Post
  readonly mallory: Post
  readonly posts: readonly Post[]

  constructor(suite: Suite, seed: string) {
    this.suite = suite
    this.random = seededRandom(seed)
    this.net = this.random(32)
    this.dhaka = this.#post(1)
    this.lisbon = this.#post(2)
    this.nairobi = this.#post(3)
    this.mallory = this.#post(66)
    this.posts = [this.dhaka, this.lisbon, this.nairobi, this.mallory]
  }

  /** What `post` knows when it opens something. */
  lookups(post: Post): OpenLookups {
    return {
      net: this.net,
      rid: post.rid,
      policy: POLICY,
      senderKeyOf: (kid) => this.posts.find((one) => same(one.kid, kid)),
      officerKeyOf: (kid) => this.officers().find((one) => same(one.kid, kid))?.key,
      epochSeedOf: (epoch, hash) =>
        epoch === post.epoch && same(epochKeyHash(this.suite, post.epochKey), hash)
          ? post.epochSeed
          : undefined,
    }
  }

  officers(): TestOfficer[] {
    return this.posts.flatMap((post) => [post.drafter, post.releaser, post.duty])
  }

  #post(rid: number): Post {
    const epochSeed = this.random(32)
    return {
      ...this.#signing(),
      rid,
      drafter: this.#officer(rid, ["drafter"]),
      releaser: this.#officer(rid, ["releaser"]),
      duty: this.#officer(rid, ["duty", "cipher"]),
      epoch: 20_655,
      epochSeed,
      epochKey: kemPublicKey(this.suite, epochSeed),
    }
  }

  #officer(rid: number, roles: readonly OfficerRole[]): TestOfficer {
    const signing = this.#signing()
    return { ...signing, key: { publicKey: signing.publicKey, rid, roles } }
  }

  #signing(): Signing {
    const seed = this.random(64)
    const publicKey = compositePublicKey(this.suite, seed)
    return {
      kid: keyId(this.suite, publicKey),
      publicKey,
      sign: (context, message) => compositeSign(this.suite, seed, context, message, this.random),
    }
  }
}

export interface Sending {
  readonly from: Post
  readonly to: readonly Post[]
  readonly precedence?: Precedence
  readonly cable?: CableContent
  /** Who signs the release; a drafter and a releaser of the sender when absent. */
  readonly signers?: readonly (readonly [ReleaseRole, TestOfficer])[]
  /** Last changes to what is sealed. */
  readonly change?: Partial<SealInput>
}

/** What a sender hands to `sealEnvelope` for a cable, with its release. */
export function cableInput(world: World, sending: Sending): SealInput {
  const { from, to, precedence = "routine", cable = sampleCable() } = sending
  const input = baseInput(world, from, to, precedence)
  const content = encodeCable(cable)
  const signers = sending.signers ?? [
    ["drafter", from.drafter],
    ["releaser", from.releaser],
  ]
  const facts = { ...factsOf(input), content }
  const draft = draftRelease(cable.classification, world.random)
  const release = releaseRecord(
    draft,
    signers.map(([role, officer]) =>
      signRelease(world.suite, draft, facts, role, officer.kid, officer.sign),
    ),
  )
  return { ...input, content, release: encodeRelease(release), ...sending.change }
}

/** A sealed cable. */
export function sealCable(world: World, sending: Sending): SealedEnvelope {
  return sealEnvelope(world.suite, cableInput(world, sending), world.random)
}

/** A sealed signal, raised by the sender's duty officer. */
export function sealSignal(
  world: World,
  from: Post,
  to: readonly Post[],
  signal: SignalContent = sampleSignal(),
): SealedEnvelope {
  const content = encodeSignal(signal)
  const input: SealInput = {
    ...baseInput(world, from, to, "override"),
    bodyType: "signal",
    content,
  }
  const draft = draftRelease("restricted", world.random)
  const signature = signRelease(
    world.suite,
    draft,
    factsOf(input),
    "releaser",
    from.duty.kid,
    from.duty.sign,
  )
  const release = encodeRelease(releaseRecord(draft, [signature]))
  return sealEnvelope(world.suite, { ...input, release }, world.random)
}

/** The copy of one post. */
export function copyOf(sealed: SealedEnvelope, post: Post): EnvelopeCopy {
  return copyFor(sealed, post.rid)
}

function baseInput(
  world: World,
  from: Post,
  to: readonly Post[],
  precedence: Precedence,
): SealInput {
  return {
    net: world.net,
    bodyType: "cable",
    kind: "real",
    sender: from.rid,
    signerKid: from.kid,
    incarnation: 0,
    seq: 7,
    prevHash: new Uint8Array(32),
    flags: { breakGlass: false, courier: false },
    createdMs: NOON_MS,
    expiresMs: NOON_MS + 86_400_000,
    recipients: to.map((post, index) => ({
      rid: post.rid,
      role: index === 0 ? "action" : "info",
      precedence,
      pairSeq: 3 + index,
      epoch: post.epoch,
      epochKey: post.epochKey,
    })),
    exempted: [],
    content: new Uint8Array(0),
    release: new Uint8Array(0),
    sign: from.sign,
  }
}

function factsOf(input: SealInput): ReleaseFacts {
  const recipients = input.recipients.map(({ rid, role, precedence }): Recipient => ({
    rid,
    role,
    precedence,
  }))
  return { ...input, recipients }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

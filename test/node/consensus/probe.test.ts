/** The question before the first vote: whom it goes to, and when again. */

import { beforeEach, describe, expect, it } from "vitest"
import { encodeRunAnswer, signRun, type Run, type RunAnswer } from "../../../ledger/run.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { signVote, type Vote } from "../../../ledger/vote.ts"
import { Probe } from "../../../node/consensus/probe.ts"
import { NodeError } from "../../../node/errors.ts"
import type { PeerKey } from "../../../node/network/transport.ts"
import { Directory } from "../../../protocol/directory.ts"
import { REDIAL_MAX_MS, RETRY_MIN_MS } from "../../../protocol/limits.ts"
import { encodeBlob } from "../../../protocol/wire.ts"
import { createVirtualClock, type VirtualClock } from "../../support/clock.ts"
import { createMinistry } from "../../support/ministry.ts"

const ministry = createMinistry(4, "runs", { validators: 4 })
const validators = createValidatorSet(
  ministry.suite,
  0,
  new Directory(ministry.suite, ministry.genesisBytes).genesis.validators,
)
const others = ["one", "two", "three"]

/** Validator 0's run; `counter` counts the openings of its log. */
function run(counter: number): Run {
  const body = {
    epoch: 0,
    signer: 0,
    logId: new Uint8Array(16),
    counter,
    nonce: new Uint8Array(16),
  }
  return signRun(ministry.net, body, signerOf(0))
}

function signerOf(index: number) {
  const keys = ministry.validators[index]
  if (keys === undefined) throw new Error(`no validator ${index}`)
  return keys.consensus.sign
}

/** A vote in a view, by the key of validator 0 unless it is said otherwise. */
function vote(view: number, signer = 0, key = signer): Vote {
  const body = { kind: "nullify", epoch: 0, view, blockHash: new Uint8Array(32) } as const
  return signVote(ministry.net, body, signer, signerOf(key))
}

/** A peer that has kept a run of ours and knows of nothing against it. */
function kept(counter: number, more: Partial<RunAnswer> = {}): RunAnswer {
  return { state: "clear", kept: run(counter), vote: undefined, ...more }
}

let clock: VirtualClock
let asked: PeerKey[]
let answers: Map<PeerKey, RunAnswer>
let outcome: string
let waits: number
let meet: (peer: PeerKey) => void
let probe: Probe

beforeEach(() => {
  clock = createVirtualClock()
  asked = []
  answers = new Map()
  outcome = "asking"
  waits = 0
  meet = () => undefined
  probe = new Probe({
    suite: ministry.suite,
    chainId: ministry.net,
    validators,
    clock,
    peers: others,
    run: run(2),
    transport: {
      request: async (peer) => {
        asked.push(peer)
        const answer = answers.get(peer)
        if (answer === undefined) throw new NodeError("PEER_UNREACHABLE", "no line")
        return Promise.resolve(encodeBlob(encodeRunAnswer(answer)))
      },
      onContact: (listener) => {
        meet = (peer) => listener(peer, "up")
        return () => undefined
      },
    },
    onClear: () => {
      outcome = "clear"
    },
    isOwnVote: ({ view }) => view <= 7,
    onLive: () => {
      waits += 1
    },
    onDead: (code) => {
      outcome = code
    },
    onBug: (error) => {
      throw error
    },
  })
})

describe("a validator before its first vote", () => {
  it("asks all others at once, and votes when a quorum with itself has answered", async () => {
    for (const peer of ["one", "three"]) answers.set(peer, kept(2))
    probe.start()
    await clock.settle()
    expect(asked).toEqual(others)
    expect(outcome).toBe("clear")
    await clock.runFor(60_000)
    expect(asked).toHaveLength(3)
  })

  it("goes on asking those that it cannot reach, no more rarely than they are dialled", async () => {
    answers.set("one", kept(2))
    probe.start()
    await clock.runFor(600_000)
    expect(outcome).toBe("asking")
    asked = []
    answers.set("two", kept(2))
    await clock.runFor(REDIAL_MAX_MS)
    expect(asked.filter((peer) => peer === "two")).toHaveLength(1)
    expect(outcome).toBe("clear")
  })

  it("asks one that comes into contact without waiting for its turn", async () => {
    answers.set("one", kept(2))
    probe.start()
    await clock.runFor(RETRY_MIN_MS / 2)
    answers.set("three", kept(2))
    meet("three")
    await clock.settle()
    expect(outcome).toBe("clear")
  })

  it("never votes when one of them has seen a later run, whatever the others say", async () => {
    answers.set("one", kept(3))
    probe.start()
    await clock.settle()
    for (const peer of others) answers.set(peer, kept(2))
    for (const peer of others) meet(peer)
    await clock.runFor(60_000)
    expect(outcome).toBe("VALIDATOR_KEY_DEAD")
  })

  it("waits while others have just heard another run, says so once, and votes when it is over", async () => {
    for (const peer of others) answers.set(peer, kept(1, { state: "live" }))
    probe.start()
    await clock.runFor(60_000)
    expect([outcome, waits]).toEqual(["asking", 1])
    for (const peer of ["one", "two"]) answers.set(peer, kept(2))
    await clock.runFor(REDIAL_MAX_MS)
    expect(outcome).toBe("clear")
  })

  it("is neither killed nor kept away by one liar, and dead when two know of a twin", async () => {
    for (const peer of others) answers.set(peer, kept(1, { state: "live" }))
    answers.set("three", kept(1, { state: "twin" }))
    probe.start()
    await clock.runFor(600_000)
    expect(outcome).toBe("asking")
    answers.set("two", kept(1, { state: "twin" }))
    await clock.runFor(REDIAL_MAX_MS)
    expect(outcome).toBe("VALIDATOR_KEY_DEAD")
  })

  it("votes against the word of one liar alone", async () => {
    answers.set("one", kept(1, { state: "twin" }))
    for (const peer of ["two", "three"]) answers.set(peer, kept(2))
    probe.start()
    await clock.settle()
    expect(outcome).toBe("clear")
  })

  it("is dead at once when one of them holds a vote by its key that its log does not have", async () => {
    answers.set("one", kept(2, { vote: vote(7) }))
    probe.start()
    await clock.settle()
    expect(outcome).toBe("asking")
    answers.set("two", kept(2, { vote: vote(8) }))
    await clock.runFor(REDIAL_MAX_MS)
    expect(outcome).toBe("CONSENSUS_KEY_DEAD")
  })

  it("believes no vote and no run but those of its own key, and asks again", async () => {
    answers.set("one", kept(2, { vote: vote(8, 0, 1) }))
    answers.set("two", kept(2, { vote: vote(8, 1) }))
    answers.set("three", { ...kept(2), kept: { ...run(3), signature: new Uint8Array(64) } })
    probe.start()
    await clock.runFor(60_000)
    expect(outcome).toBe("asking")
    for (const peer of others) answers.set(peer, kept(2))
    await clock.runFor(REDIAL_MAX_MS)
    expect(outcome).toBe("clear")
  })
})

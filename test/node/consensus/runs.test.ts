/** The question before the first vote: whom it goes to, and when again. */

import { beforeEach, describe, expect, it } from "vitest"
import { encodeRun, signRun, type Run } from "../../../ledger/run.ts"
import { createValidatorSet } from "../../../ledger/validators.ts"
import { Probe } from "../../../node/consensus/runs.ts"
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
  const keys = ministry.validators[0]
  if (keys === undefined) throw new Error("a ministry has a validator")
  const body = {
    epoch: 0,
    signer: 0,
    logId: new Uint8Array(16),
    counter,
    nonce: new Uint8Array(16),
  }
  return signRun(ministry.net, body, keys.consensus.sign)
}

let clock: VirtualClock
let asked: PeerKey[]
let answers: Map<PeerKey, Run>
let outcome: string
let meet: (peer: PeerKey) => void
let probe: Probe

beforeEach(() => {
  clock = createVirtualClock()
  asked = []
  answers = new Map()
  outcome = "asking"
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
        return Promise.resolve(encodeBlob(encodeRun(answer)))
      },
      onContact: (listener) => {
        meet = (peer) => listener(peer, "up")
        return () => undefined
      },
    },
    onClear: () => {
      outcome = "clear"
    },
    onContradiction: () => {
      outcome = "contradicted"
    },
    onBug: (error) => {
      throw error
    },
  })
})

describe("a validator before its first vote", () => {
  it("asks all others at once, and votes when a quorum with itself has answered", async () => {
    for (const peer of ["one", "three"]) answers.set(peer, run(2))
    probe.start()
    await clock.settle()
    expect(asked).toEqual(others)
    expect(outcome).toBe("clear")
    await clock.runFor(60_000)
    expect(asked).toHaveLength(3)
  })

  it("goes on asking those that it cannot reach, no more rarely than they are dialled", async () => {
    answers.set("one", run(2))
    probe.start()
    await clock.runFor(600_000)
    expect(outcome).toBe("asking")
    asked = []
    answers.set("two", run(2))
    await clock.runFor(REDIAL_MAX_MS)
    expect(asked.filter((peer) => peer === "two")).toHaveLength(1)
    expect(outcome).toBe("clear")
  })

  it("asks one that comes into contact without waiting for its turn", async () => {
    answers.set("one", run(2))
    probe.start()
    await clock.runFor(RETRY_MIN_MS / 2)
    answers.set("three", run(2))
    meet("three")
    await clock.settle()
    expect(outcome).toBe("clear")
  })

  it("never votes when one of them has seen a later run, whatever the others say", async () => {
    answers.set("one", run(3))
    probe.start()
    await clock.settle()
    for (const peer of others) answers.set(peer, run(2))
    for (const peer of others) meet(peer)
    await clock.runFor(60_000)
    expect(outcome).toBe("contradicted")
  })
})

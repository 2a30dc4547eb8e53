import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  contradiction,
  decodeRun,
  decodeRunAnswer,
  encodeRun,
  encodeRunAnswer,
  newerRun,
  signRun,
  verifyRun,
  type Run,
  type RunAnswer,
  type RunBody,
} from "../../ledger/run.ts"
import { decoding } from "../support/canonical.ts"
import { CHAIN_ID, flipped, named, signAs, validatorSet, voteOf } from "../support/ledger.ts"
import { refusal } from "../support/refusal.ts"
import { suite } from "../support/suites.ts"

const four = validatorSet(4)

function body(changes: Partial<RunBody> = {}): RunBody {
  const logId = named("log").slice(0, 16)
  return { epoch: 0, signer: 2, logId, counter: 7, nonce: named("run").slice(0, 16), ...changes }
}

function run(changes: Partial<RunBody> = {}): Run {
  return signRun(CHAIN_ID, body(changes), signAs(3))
}

describe("the statement of a run", () => {
  it("comes back as it was and verifies", () => {
    const made = run()
    expect(decodeRun(encodeRun(made))).toEqual(made)
    verifyRun(suite, CHAIN_ID, made, four)
  })

  it("is refused unless the validator that it names signed it", () => {
    const check = (changed: Run, net = CHAIN_ID): unknown =>
      refusal(() => verifyRun(suite, net, changed, four))
    expect(check({ ...run(), counter: 8 })).toBe("RUN_INVALID")
    expect(check({ ...run(), signer: 1 })).toBe("RUN_INVALID")
    expect(check({ ...run(), signer: 9 })).toBe("RUN_INVALID")
    expect(check({ ...run(), signature: flipped(run().signature, 1) })).toBe("RUN_INVALID")
    expect(check(run(), named("another chain"))).toBe("RUN_INVALID")
    expect(check(run({ epoch: 1 }))).toBe("RUN_INVALID")
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const { length } = encodeRun(run())
    fc.assert(
      fc.property(fc.uint8Array({ minLength: length - 2, maxLength: length + 2 }), (bytes) => {
        expect(decoding(bytes, decodeRun, encodeRun)).toMatch(/^(canonical$|CODEC_)/)
      }),
    )
  })
})

describe("what a peer answers to it", () => {
  const vote = voteOf(2, "finalize", 5, named("a block"))
  const answers: readonly RunAnswer[] = (["clear", "live", "twin"] as const).flatMap((state) => [
    { state, kept: undefined, vote: undefined },
    { state, kept: run(), vote: undefined },
    { state, kept: undefined, vote },
    { state, kept: run(), vote },
  ])

  it("comes back as it was, with or without a run and a vote", () => {
    for (const answer of answers) {
      expect(decodeRunAnswer(encodeRunAnswer(answer))).toEqual(answer)
    }
    const unknown = encodeRunAnswer(answers[0] ?? { state: "clear", kept: undefined, vote })
    expect(refusal(() => decodeRunAnswer(unknown.with(1, 0)))).toBe("RUN_INVALID")
    expect(refusal(() => decodeRunAnswer(unknown.with(1, 4)))).toBe("CODEC_RANGE")
  })

  it("decodes canonically from any bytes or is refused with a code", () => {
    const encoded = answers.map(encodeRunAnswer)
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 240 }),
      fc
        .constantFrom(...encoded)
        .chain((bytes) => fc.nat(bytes.length * 8 - 1).map((bit) => flipped(bytes, bit))),
      fc
        .constantFrom(...encoded)
        .chain((bytes) => fc.nat(bytes.length).map((end) => bytes.subarray(0, end))),
    )
    fc.assert(
      fc.property(anything, (bytes) => {
        const outcome = decoding(bytes, decodeRunAnswer, encodeRunAnswer)
        expect(outcome).toMatch(/^(canonical$|CODEC_|RUN_|VOTE_)/)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe("what a peer keeps", () => {
  it("is the first, then any of the same log with a higher count", () => {
    const first = run()
    const next = run({ counter: 8 })
    expect(newerRun(undefined, first)).toBe(first)
    expect(newerRun(first, next)).toBe(next)
    expect(newerRun(next, first)).toBe(next)
    expect(newerRun(first, run({ nonce: named("twin").slice(0, 16) }))).toBe(first)
    expect(newerRun(first, run({ counter: 9, logId: named("new").slice(0, 16) }))).toBe(first)
  })
})

describe("a validator that is shown what a peer has kept", () => {
  it("may vote when it is itself, or its own past", () => {
    expect(contradiction(body(), body())).toBeUndefined()
    expect(contradiction(body(), body({ counter: 6, nonce: new Uint8Array(16) }))).toBeUndefined()
  })

  it("must not when its disk was put back, cloned, or has another log", () => {
    expect(contradiction(body(), body({ counter: 8 }))).toContain("8 times")
    const twin = body({ nonce: named("twin").slice(0, 16) })
    expect(contradiction(body(), twin)).toContain("another machine")
    const log = body({ logId: named("new").slice(0, 16), counter: 1 })
    expect(contradiction(body(), log)).toContain("another log")
  })
})

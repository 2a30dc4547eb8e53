import { describe, expect, it } from "vitest"
import { signEpochKeys } from "../../protocol/epoch.ts"
import { epochKeyHash } from "../../protocol/keys.ts"
import { EPOCH_MS } from "../../protocol/limits.ts"
import {
  decide,
  fresh,
  founding,
  paris,
  publish,
  revocation,
  stranger,
  TODAY,
} from "../support/directories.ts"
import { NEW_YEAR_MS } from "../support/identities.ts"
import { type CompositeKey } from "../support/ministry.ts"
import { suite } from "../support/suites.ts"

const { random, net, dhaka, london } = founding

describe("epoch keys", () => {
  it("are found for today, else the newest that are published", () => {
    const directory = fresh()
    const payload = founding.publish(2, london.signing, [TODAY, TODAY + 1, TODAY + 3])
    expect(publish(directory, payload)).toBe("epoch-keys")
    const at = (day: number): number | undefined =>
      directory.epochKeyFor(2, NEW_YEAR_MS + day * EPOCH_MS)?.epoch
    expect(at(0)).toBe(TODAY)
    expect(at(1)).toBe(TODAY + 1)
    expect(at(2)).toBe(TODAY + 3)
    expect(at(3)).toBe(TODAY + 3)
    expect(at(400)).toBe(TODAY + 3)
    expect(at(-5)).toBe(TODAY + 3)
    expect(directory.newestEpoch(2)).toBe(TODAY + 3)
    const key = directory.epochKeyFor(2, NEW_YEAR_MS)
    expect(key?.hash).toEqual(key && epochKeyHash(suite, key.publicKey))
  })

  it("are refused from anybody but the mission, and for another network", () => {
    const directory = fresh()
    const forged: CompositeKey = { ...london.signing, sign: dhaka.signing.sign }
    for (const by of [dhaka.signing, london.identity, stranger, forged]) {
      expect(publish(directory, founding.publish(2, by, [TODAY]))).toBe("EPOCH_KEYS_INVALID")
    }
    const elsewhere = founding.publish(2, london.signing, [TODAY], { net: random(32) })
    expect(publish(directory, elsewhere)).toBe("EPOCH_KEYS_INVALID")
    expect(publish(directory, founding.publish(3, paris.signing, [TODAY]))).toBe(
      "EPOCH_KEYS_INVALID",
    )
    expect(directory.epochKeyFor(2, NEW_YEAR_MS)).toBeUndefined()
  })

  it("are refused out of order, and further ahead than sixty epochs", () => {
    const directory = fresh()
    const check = (epochs: readonly number[]): string =>
      publish(directory, founding.publish(2, london.signing, epochs))
    expect(check([TODAY + 1, TODAY])).toBe("CODEC_ORDER")
    expect(check([TODAY, TODAY + 61])).toBe("EPOCH_KEYS_INVALID")
    expect(directory.newestEpoch(2)).toBeUndefined()
    expect(check([TODAY, TODAY + 60])).toBe("epoch-keys")
  })

  it("are refused when they claim to be made long after their block, and not for a day", () => {
    const directory = fresh()
    const dayMs = 24 * 3_600_000
    const made = (aheadMs: number): Uint8Array => {
      const epochs = [TODAY + Math.floor(aheadMs / dayMs)]
      const options = { createdMs: NEW_YEAR_MS + aheadMs }
      return founding.publish(2, london.signing, epochs, options)
    }
    const judge = (payload: Uint8Array): string => {
      const entry = { type: "epochKeys", payload } as const
      return directory.apply(entry, 1, { blockTimeMs: NEW_YEAR_MS }).type
    }
    expect(judge(made(14 * 365 * dayMs))).toBe("refused")
    expect(judge(made(3 * dayMs))).toBe("refused")
    expect(judge(made(dayMs))).toBe("epoch-keys")
  })

  it("are refused from a revoked mission, from the height of its revocation on", () => {
    const directory = fresh()
    expect(decide(directory, revocation(directory, 2), 20)).toBe("revoked")
    const payload = founding.publish(2, london.signing, [TODAY])
    expect(publish(directory, payload, 20)).toBe("EPOCH_KEYS_INVALID")
    expect(publish(directory, payload, 19)).toBe("epoch-keys")
  })

  it("are superseded by later publications, and never by an old one that comes again", () => {
    const directory = fresh()
    const old = founding.publish(2, london.signing, [TODAY, TODAY + 1])
    const later = founding.publish(2, london.signing, [TODAY + 1, TODAY + 2], {
      createdMs: NEW_YEAR_MS + 1,
    })
    publish(directory, old)
    const superseded = directory.epochKeyFor(2, NEW_YEAR_MS + EPOCH_MS)?.hash
    expect(publish(directory, later)).toBe("epoch-keys")
    const current = directory.epochKeyFor(2, NEW_YEAR_MS + EPOCH_MS)?.hash
    expect(current).not.toEqual(superseded)
    expect(publish(directory, old)).toBe("EPOCH_KEYS_INVALID")
    expect(publish(directory, later)).toBe("epoch-keys")
    expect(directory.epochKeyFor(2, NEW_YEAR_MS + EPOCH_MS)?.hash).toEqual(current)
  })

  it("keep their age when an older publication holds the same key", () => {
    const directory = fresh()
    const key = { epoch: TODAY, publicKey: random(1_216) }
    const holding = (createdMs: number, publicKey = key.publicKey): Uint8Array => {
      const publication = { net, rid: 2, keys: [{ ...key, publicKey }], createdMs }
      return signEpochKeys(suite, publication, london.signing.publicKey, london.signing.sign)
    }
    expect(publish(directory, holding(NEW_YEAR_MS + 9))).toBe("epoch-keys")
    expect(publish(directory, holding(NEW_YEAR_MS))).toBe("epoch-keys")
    expect(publish(directory, holding(NEW_YEAR_MS + 5, random(1_216)))).toBe("EPOCH_KEYS_INVALID")
  })

  it("are forgotten when they are more than sixty epochs behind the newest", () => {
    const directory = fresh()
    publish(directory, founding.publish(2, london.signing, [TODAY, TODAY + 1]))
    const createdMs = NEW_YEAR_MS + 61 * EPOCH_MS
    publish(directory, founding.publish(2, london.signing, [TODAY + 61], { createdMs }))
    expect(directory.epochKeyFor(2, NEW_YEAR_MS)?.epoch).toBe(TODAY + 61)
    expect(directory.epochKeyFor(2, NEW_YEAR_MS + EPOCH_MS)?.epoch).toBe(TODAY + 1)
  })
})

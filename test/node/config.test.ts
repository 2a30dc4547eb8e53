import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { DEFAULT_CONFIG, parseConfig, readConfig, writeConfig } from "../../node/config.ts"
import { NodeError } from "../../node/errors.ts"
import { temporaryFolder } from "../support/folder.ts"

const parse = (text: string) => parseConfig(new TextEncoder().encode(text), "config.json")

describe("a configuration", () => {
  it("has its defaults where a key is left out, and must be there", async () => {
    const path = join(await temporaryFolder(), "config.json")
    await expect(readConfig(path)).rejects.toMatchObject({ code: "CONFIG_INVALID" })
    expect(parse(`{"mission": "LIS"}`)).toEqual({ ...DEFAULT_CONFIG, mission: "LIS" })
    const given = parse(`{"mission": "LIS", "listen": [], "freeSpace": {"percent": 1}}`)
    expect(given).toEqual({
      ...DEFAULT_CONFIG,
      mission: "LIS",
      listen: [],
      freeSpace: { bulkPercent: 10, percent: 1 },
    })
  })

  it("reads back as it was written", async () => {
    const path = join(await temporaryFolder(), "config.json")
    const config = {
      mission: "LIS",
      listen: ["/ip4/0.0.0.0/tcp/0", "/ip6/::1/tcp/443/ws"],
      logLevel: "debug",
      relay: true,
      freeSpace: { bulkPercent: 20, percent: 0 },
      ledgerSync: "bundles",
    } as const
    await writeConfig(path, config)
    expect(await readConfig(path)).toEqual(config)
  })

  it("is refused with the name of the key that is wrong", () => {
    const bad: [string, RegExp][] = [
      ["", /not JSON/],
      ["[]", /file: expected an object/],
      [`{"listens": []}`, /listens: unknown key/],
      [`{"__proto__": {}}`, /__proto__: unknown key/],
      [`{"listen": "/ip4/1.2.3.4/tcp/1"}`, /listen: expected a list/],
      [`{"listen": ["/ip4/1.2.3.4/tcp/65536"]}`, /listen\[0\]: expected a multiaddr/],
      [`{"listen": ["/ip4/1.2.3.4/udp/1"]}`, /listen\[0\]/],
      [`{"mission": "lis"}`, /mission: expected a mission's code, got "lis"/],
      [`{"listen": []}`, /mission: expected text, got nothing/],
      [`{"mission": "LIS", "listen": [7]}`, /listen\[0\]: expected text, got 7/],
      [`{"logLevel": null}`, /logLevel: expected .* got null/],
      [`{"ledgerSync": "tiles"}`, /ledgerSync: expected auto, blocks, bundles/],
      [`{"relay": "yes"}`, /relay: expected true or false/],
      [
        `{"mission": "LIS", "freeSpace": {"percent": 11}}`,
        /freeSpace\.percent: expected at most bulkPercent/,
      ],
      [`{"freeSpace": {"bulkPercent": 1.5}}`, /freeSpace\.bulkPercent: expected an integer/],
    ]
    for (const [text, message] of bad) {
      expect(() => parse(text)).toThrow(message)
      expect(() => parse(text)).toThrow(NodeError)
    }
    expect(() => parseConfig(Uint8Array.of(0x22, 0xff, 0x22), "c")).toThrow(/invalid UTF-8/)
  })

  it("is refused when it is a folder", async () => {
    const path = join(await temporaryFolder(), "config.json")
    await mkdir(path)
    await expect(readConfig(path)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
  })

  it("is read or refused with a code, whatever the JSON is", () => {
    const keys = fc.constantFrom(...Object.keys(DEFAULT_CONFIG))
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.dictionary(keys, fc.jsonValue())), (value) => {
        const text = typeof value === "string" ? value : JSON.stringify(value)
        try {
          const config = parse(text)
          expect(parse(JSON.stringify(config))).toEqual(config)
        } catch (error) {
          if (!(error instanceof NodeError) || error.code !== "CONFIG_INVALID") throw error
        }
      }),
    )
  })
})

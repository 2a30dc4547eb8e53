import { readFile, writeFile, mkdir } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import type { LedgerStatus } from "../../node/api/shapes.ts"
import { startApi, type ApiUnderTest } from "../support/api.ts"
import { runLine } from "../support/command.ts"
import { widthOf } from "../../cli/width.ts"

// A transcript is a story: lines that begin with `$ ` are typed, the others are what came back, with
// `! ` before what was on standard error and `= ` before the exit code.
// A short `--wait` here is no race: by then all has happened that will, and what it shows is how a
// time that is up looks.
// TARBARTA_TRANSCRIPTS=write writes them anew, to be read before they are kept.
const isWriting = process.env["TARBARTA_TRANSCRIPTS"] === "write"
const FOLDER = new URL("transcripts/", import.meta.url)

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const FOUR: Partial<LedgerStatus> = {
  validators: [
    { mission: "DAC", state: "self", connected: true },
    { mission: "LON", state: "voting", connected: true, heardAtMs: NOW_MS - 4_000 },
    { mission: "DEL", state: "silent", connected: true, heardAtMs: NOW_MS - 95_000 },
    { mission: "NYC", state: "voting", connected: true, heardAtMs: NOW_MS - 1_000 },
    { mission: "PAR", state: "down", connected: false, heardAtMs: NOW_MS - 7_300_000 },
  ],
  quorum: { validators: 5, needed: 4, heard: 3, isMet: false },
}

const STORIES: Record<string, (api: ApiUnderTest) => Promise<void>> = {
  async cable({ home, service }) {
    service.receive("first", { text: "The ship sails at dawn.\n", subject: "Sailing" })
    service.receive("second", {
      text: "Harmless\u202eelbisiver\u001b[31m line\r\nনমস্কার, ঢাকা।\n",
      subject: "সফরের সূচি ও আনুষঙ্গিক বিষয়াদি সম্পর্কে বিস্তারিত প্রতিবেদন প্রেরণ",
      precedence: "immediate",
      classification: "secret",
      kind: "drill",
      caveats: ["EYES ONLY"],
      references: ["DAC 12"],
      dtg: "020300Z JAN 26",
      releaser: "S. Akter",
      registered: true,
      warnings: ["the sender's clock is 6 minutes ahead"],
    })
    await writeFile(join(home, "letter.txt"), "Dear colleague,\n")
    await writeFile(join(home, "bad.txt"), Uint8Array.of(0x61, 0x62, 0xe0, 0xa6, 0x21))
    await mkdir(join(home, "folder"))
  },
  async bengali({ service }) {
    service.receive("first", { text: "ঢাকা থেকে শুভেচ্ছা\n", subject: "শুভেচ্ছা বার্তা" })
  },
  async hotline({ service }) {
    service.ring("before", { event: "unrest", text: "Crowd at the gate", place: "Chancery" })
  },
  async ledger({ service }) {
    service.receive("first", { text: "x" })
  },
  async validators({ service }) {
    service.pid = 4_321
    service.evidence = [
      {
        epoch: 0,
        view: 61,
        mission: "NYC",
        first: { kind: "notarize", blockHash: "1a".repeat(32) },
        second: { kind: "notarize", blockHash: "2b".repeat(32) },
        index: 44,
        proof: "83",
      },
      {
        epoch: 0,
        view: 63,
        mission: "NYC",
        first: { kind: "nullify" },
        second: { kind: "finalize", blockHash: "3c".repeat(32) },
        proof: "83",
      },
    ]
    service.ledger = FOUR
  },
  async refused({ service }) {
    service.pid = 4_321
    service.warnings = ["CHECKPOINT_FORK: two roots of size 7; nothing is cosigned here any more"]
    service.ledger = {
      ...FOUR,
      validators: [
        { mission: "DAC", state: "self", connected: true },
        { mission: "LON", state: "up", connected: true },
        { mission: "DEL", state: "up", connected: true },
        { mission: "NYC", state: "up", connected: true },
      ],
      quorum: { validators: 4, needed: 3, heard: 3, isMet: true },
      vote: {
        state: "refused",
        code: "VALIDATOR_KEY_DEAD",
        message: "another run of this key is newer",
      },
    }
  },
  async follower({ service }) {
    service.ledger = {
      ...FOUR,
      validators: [
        { mission: "LON", state: "up", connected: true },
        { mission: "DEL", state: "down", connected: false },
        { mission: "NYC", state: "down", connected: false },
        { mission: "PAR", state: "up", connected: true },
      ],
      quorum: { validators: 4, needed: 3, heard: 2, isMet: false },
      isValidator: false,
      pending: 3,
    }
    service.forgetVote()
  },
  async missions({ service }) {
    service.pid = 4_321
  },
  async usage() {},
}

describe("a transcript of the command line", () => {
  for (const [name, prepare] of Object.entries(STORIES)) {
    it(`tells the story of ${name}`, async () => {
      const api = await startApi()
      await prepare(api)
      const file = new URL(`${name}.txt`, FOLDER)
      const expected = await readFile(file, "utf8")
      let written = ""
      for (const line of expected.split("\n")) {
        if (line.startsWith("# ")) written += `${line}\n`
        if (!line.startsWith("$ ")) continue
        const { out, errors, exit } = await runLine(api.home, line.slice(2))
        const shown = [
          ...lines(out),
          ...lines(errors).map((one) => `! ${one}`),
          `= ${String(exit)}`,
        ]
        written += `${line}\n${shown.join("\n")}\n\n`
        if (line.includes("--help")) continue
        const wide = lines(out).filter((one) => !one.startsWith("{") && widthOf(one) > 80)
        expect(wide).toEqual([])
      }
      // Where the home lies differs from run to run.
      written = written.replaceAll(api.home, "HOME")
      if (isWriting) await writeFile(file, written)
      expect(written).toBe(isWriting ? written : expected)
    })
  }
})

function lines(text: string): readonly string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n")
}

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { refusalInBengali } from "../../cli/refusals.ts"
import { Terminal } from "../../cli/terminal.ts"
import { NodeError } from "../../node/errors.ts"
import { widthOf } from "../../cli/width.ts"
import { RecordedScreen } from "../support/screen.ts"

function terminalOn(options: {
  isTTY?: boolean
  isJson?: boolean
  language?: "en" | "bn"
  columns?: number
}) {
  const { isTTY = true, isJson = false, language = "en", columns = 80 } = options
  const out = new RecordedScreen({ isTTY, columns })
  const errors = new RecordedScreen({ isTTY, columns })
  return { out, errors, terminal: new Terminal({ isJson, language, out, errors }) }
}

describe("a progress line", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it("comes after a second, draws how far it is, and is wiped away", () => {
    const { out, errors, terminal } = terminalOn({})
    const progress = terminal.progress("busy.verify", "unit.blocks")
    vi.advanceTimersByTime(999)
    expect(errors.text).toBe("")
    progress.update(230, 459)
    vi.advanceTimersByTime(1_001)
    const bar = "[#####.....]"
    expect(errors.text).toContain(`\r\u001b[Kverifying ${bar} 230 of 459 blocks, 1 s so far`)
    expect(errors.text).toContain(`\r\u001b[Kverifying ${bar} 230 of 459 blocks, 2 s so far`)
    progress.end()
    expect(errors.text.endsWith("\r\u001b[K")).toBe(true)
    const { length } = errors.text
    vi.advanceTimersByTime(10_000)
    expect(errors.text.length).toBe(length)
    expect(out.text).toBe("")
  })

  it("stays on one line of a narrow terminal, with a shorter bar or none", () => {
    for (const language of ["en", "bn"] as const) {
      for (const columns of [40, 50, 60, 61, 80, 200]) {
        for (const done of [0, 7, 459, 1_000_000, 2_000_000]) {
          const { errors, terminal } = terminalOn({ columns, language })
          const progress = terminal.progress("busy.export", "unit.entries")
          progress.update(done, 1_000_000)
          vi.advanceTimersByTime(1_000)
          progress.end()
          const line = errors.text.split("\r\u001b[K")[1] ?? ""
          expect(widthOf(line)).toBeLessThanOrEqual(Math.min(60, columns - 1))
          expect(line.includes("[") || columns <= 50).toBe(true)
        }
      }
    }
  })

  it("counts alone where nobody knows how much there is", () => {
    const { errors, terminal } = terminalOn({})
    const progress = terminal.progress("busy.verify", "unit.blocks")
    progress.update(1_234, 0)
    vi.advanceTimersByTime(1_000)
    progress.end()
    expect(errors.text).toContain("verifying 1234 blocks, 1 s so far")
    expect(errors.text).not.toMatch(/%|\[[#.]/)
  })

  it("tells the time alone of work that is not counted", () => {
    const { errors, terminal } = terminalOn({})
    const progress = terminal.progress("busy.keys")
    vi.advanceTimersByTime(1_000)
    progress.end()
    expect(errors.text).toContain("making keys … 1 s")
  })

  it("is not there for work that is done within a second", async () => {
    const { errors, terminal } = terminalOn({})
    expect(await terminal.during("busy.keys", Promise.resolve(7))).toBe(7)
    expect(errors.text).toBe("")
  })

  it("has Bengali words and digits", () => {
    const { errors, terminal } = terminalOn({ language: "bn" })
    const progress = terminal.progress("busy.verify", "unit.blocks")
    progress.update(3, 12)
    vi.advanceTimersByTime(1_200)
    progress.end()
    expect(errors.text).toContain("যাচাই চলছে [##........] ১২ ব্লক-এর ৩, ১ সেকেন্ড")
  })

  it("never comes into a file, nor with --json", () => {
    for (const options of [{ isTTY: false }, { isJson: true }]) {
      const { out, errors, terminal } = terminalOn(options)
      const progress = terminal.progress("busy.verify", "unit.blocks")
      progress.update(1, 2)
      vi.advanceTimersByTime(5_000)
      progress.end()
      expect(out.text + errors.text).toBe("")
    }
  })
})

describe("a failure", () => {
  it("of the store advises against older copies, as OPERATIONS does", async () => {
    const { errors, terminal } = terminalOn({})
    expect(await terminal.failure(new NodeError("STORE_DAMAGED", "block 2 is wrong"))).toBe(4)
    expect(errors.text.split("\n").slice(0, 2)).toEqual([
      "tarbarta: error: block 2 is wrong",
      "tarbarta: hint: keep the home as it is for inspection, and do not start an older copy of " +
        'it; see docs/OPERATIONS.md, "Damaged store"',
    ])
  })
})

describe("a failure in Bengali", () => {
  it("has Bengali labels, and a sentence before the English detail", async () => {
    const { errors, terminal } = terminalOn({ language: "bn" })
    await terminal.failure(new NodeError("STORE_FAILED", "EIO", { hint: "look at the disk" }))
    expect(errors.text).toBe(
      "tarbarta: ত্রুটি: ডিস্কে পড়া বা লেখা ব্যর্থ হয়েছে (STORE_FAILED: EIO)\n" +
        "tarbarta: পরামর্শ: look at the disk\n",
    )
    expect(await terminal.reason("NOTE_SIGNATURE", "1 of 3")).toMatch(
      /^চেক.* \(NOTE_SIGNATURE: 1 of 3\)$/,
    )
  })

  it("has a sentence for what an officer meets of the ledger's troubles", () => {
    const codes =
      "CONSENSUS_FORK CONSENSUS_DIVERGED CONSENSUS_KEY CONSENSUS_KEY_DEAD VALIDATOR_KEY_DEAD " +
      "WAL_DAMAGED CHECKPOINT_FORK NOTE_SIGNATURE NOTE_INVALID TREE_INCLUSION LEDGER_INVALID " +
      "STORE_FAILED STORE_VERSION STORE_DAMAGED FILE_KIND"
    expect(codes.split(" ").filter((code) => refusalInBengali(code) === undefined)).toEqual([])
  })

  it("is the same as in English with --json", async () => {
    const { errors, terminal } = terminalOn({ language: "bn", isJson: true })
    const reason = await terminal.reason("NOTE_SIGNATURE", "1 of 3")
    await terminal.failure(new NodeError("STORE_FAILED", reason))
    expect(errors.text).toBe(
      '{"error":{"code":"STORE_FAILED","message":"NOTE_SIGNATURE: 1 of 3"},"exit":4}\n',
    )
  })
})

describe("a table", () => {
  const heads = [
    { head: "head.mission" },
    { head: "head.name", isFlexible: true },
    { head: "head.officers" },
  ] as const
  const long = "লন্ডনে বাংলাদেশ হাই কমিশন, যুক্তরাজ্য ও আয়ারল্যান্ড"

  it("is never wider than the terminal, whatever is in it and however narrow it is", () => {
    for (const columns of [40, 80, 132]) {
      const { out, terminal } = terminalOn({ columns })
      terminal.table(heads, [
        ["LON", long, `${long}, ${long}`],
        ["DAC", "Dhaka", ""],
      ])
      for (const line of out.text.split("\n")) expect(widthOf(line)).toBeLessThanOrEqual(columns)
    }
  })

  it("is 80 columns wide at most when it goes into a file", () => {
    const { out, terminal } = terminalOn({ isTTY: false, columns: 200 })
    terminal.table(heads, [["LON", long.repeat(4), "S. Akter"]])
    for (const line of out.text.split("\n")) expect(widthOf(line)).toBeLessThanOrEqual(80)
  })

  it("takes no more room than its content needs", () => {
    const { out, terminal } = terminalOn({})
    terminal.table(heads, [["LON", "Rome", "S. Akter"]])
    expect(out.text).toBe("MISSION  NAME  OFFICERS\nLON      Rome  S. Akter\n")
  })
})

describe("labels and values", () => {
  const hash = "0123456789abcdef".repeat(4)

  it("keep a hash on one line however narrow the terminal is, below its label if need be", () => {
    for (const language of ["en", "bn"] as const) {
      for (const columns of [40, 60, 65, 72, 80, 132]) {
        const { out, terminal } = terminalOn({ columns, language })
        terminal.fields([
          ["label.networkFingerprint", "61167 38548 43911 50480 01259"],
          ["label.rootHash", hash],
          ["label.todo", "find out why the missing validators are away, and call them"],
        ])
        const lines = out.text.trimEnd().split("\n")
        expect(lines.filter((line) => line.includes(hash)).length).toBe(1)
        const others = lines.filter((line) => !line.includes(hash))
        for (const line of others) expect(widthOf(line)).toBeLessThanOrEqual(columns)
      }
    }
    const { out, terminal } = terminalOn({ columns: 66 })
    terminal.fields([["label.rootHash", hash]])
    expect(out.text).toBe(`Root hash\n  ${hash}\n`)
  })
})

describe("a box", () => {
  it("keeps its frame around Bengali, long words and what would deceive", () => {
    const { out, terminal } = terminalOn({ columns: 60 })
    terminal.box("হটলাইন সংকেত · LON", [
      "ক্ষ".repeat(100),
      "a\tb\u001b[2J\u202e",
      "",
      "x".repeat(99),
    ])
    const lines = out.text.trimEnd().split("\n")
    for (const line of lines) expect(widthOf(line)).toBe(60)
    expect(out.text).not.toContain("\u001b")
  })
})

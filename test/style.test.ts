/**
 * The house style as a test (docs/STYLE.md): sizes, names, purity, dead code, and that the documents
 * say what the code says. It reads files only, so it is quick and knows no more than a reader would.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const ROOT = fileURLToPath(new URL("..", import.meta.url))
const FILE_LINES_MAX = 500
const FUNCTION_LINES_MAX = 70
const README_LINES_MAX = 150
const COLUMNS_MAX = 100
/** Marks of unfinished work, in halves, so that this file does not hold them. */
const UNFINISHED = [
  ["TO", "DO"],
  ["FIX", "ME"],
  ["X", "XX"],
].map((halves) => halves.join(""))

const SHIPPED = ["protocol", "ledger", "node", "cli"]
const sources = [...SHIPPED, "test"].flatMap((folder) => filesUnder(folder, /\.(ts|js)$/))
const shipped = sources.filter((path) => !path.startsWith("test/"))
const pure = sources.filter((path) => /^(protocol|ledger)\//.test(path))
const documents = ["README.md", "CHANGELOG.md", "SECURITY.md", "test/vectors/README.md"].concat(
  filesUnder("docs", /\.md$/),
)
const texts = new Map([...sources, ...documents].map((path) => [path, read(path)]))

describe("a source file", () => {
  it("has at most 500 lines", () => {
    expect(sources.filter((path) => linesOf(path).length > FILE_LINES_MAX)).toEqual([])
  })

  it("has functions of at most 70 lines", () => {
    expect(sources.flatMap(longFunctions)).toEqual([])
  })

  it("has lines of at most 100 columns, unless a string or pattern cannot be cut", () => {
    const isLong = (line: string): boolean =>
      line.length > COLUMNS_MAX && !/["`]|\/\^?\[/.test(line)
    expect(shipped.filter((path) => linesOf(path).some(isLong))).toEqual([])
  })

  it("is named after what it holds, not after where things are put", () => {
    const banned = /(^|\/)(utils?|helpers?|common|types|manager|misc|index)(\/|\.[a-z.]+$)/
    expect(sources.filter((path) => banned.test(path))).toEqual([])
  })

  it("opens with a comment that says what it decides", () => {
    const opens = /^(#!.*\n)?(\/\*\*|\/\/ )/
    expect(shipped.filter((path) => !opens.test(textOf(path)))).toEqual([])
  })

  it("leaves nothing for later", () => {
    const words = new RegExp(`\\b(${UNFINISHED.join("|")})\\b`)
    expect([...texts.keys()].filter((path) => words.test(unquoted(textOf(path))))).toEqual([])
  })

  it("is imported by something, or is where something starts", () => {
    const imported = new Set(sources.flatMap(importsOf))
    const scripts = readJson("package.json")["scripts"]
    const isStart = (path: string): boolean =>
      path.endsWith(".test.ts") ||
      path.startsWith("test/vectors/") ||
      path === "cli/tarbarta.js" ||
      JSON.stringify(scripts).includes(path)
    expect(sources.filter((path) => !imported.has(path) && !isStart(path))).toEqual([])
  })

  it("exports nothing that no other file names", () => {
    expect(shipped.flatMap(unusedExports)).toEqual([])
  })
})

describe("a test", () => {
  it("is never the only one", () => {
    const only = /\b(it|test|describe)(\.\w+)*\.only\b/
    expect(sources.filter((path) => only.test(codeOf(path)))).toEqual([])
  })

  it("is skipped for a reason that the output shows", () => {
    expect(sources.flatMap(silentSkips)).toEqual([])
  })
})

describe("the folders", () => {
  it("import one way: cli, node, ledger, protocol", () => {
    const ranks = ["protocol", "ledger", "node", "cli", "test"]
    const rankOf = (path: string): number => ranks.indexOf(path.split("/")[0] ?? "")
    const isBack = (path: string): boolean =>
      importsOf(path).some((other) => rankOf(other) > rankOf(path))
    expect(sources.filter(isBack)).toEqual([])
  })

  it("protocol and ledger import themselves and @noble alone", () => {
    const foreign = (path: string): string[] =>
      specifiersOf(path)
        .filter((name) => !name.startsWith(".") && !name.startsWith("@noble/"))
        .map((name) => `${path}: ${name}`)
    expect(pure.flatMap(foreign)).toEqual([])
  })

  it("protocol and ledger know no clock, no timers, no randomness and no process", () => {
    const impure =
      /\b(?:(?:Date|setTimeout|setInterval|setImmediate|queueMicrotask|performance|process|Buffer|Math\.random|globalThis)\b|fetch\(|crypto\.)/
    expect(pure.filter((path) => impure.test(codeOf(path)))).toEqual([])
  })

  it("store, network, consensus, delivery and hotline know nothing of the local API", () => {
    const parts = /^node\/(store|network|consensus|delivery|hotline)\//
    const seesApi = (path: string): boolean =>
      importsOf(path).some((other) => other.startsWith("node/api/"))
    expect(shipped.filter((path) => parts.test(path) && seesApi(path))).toEqual([])
  })

  it("native cryptography is named in node/ and in tests alone", () => {
    const isNative = (path: string): boolean => specifiersOf(path).includes("node:crypto")
    expect(shipped.filter((path) => isNative(path) && !path.startsWith("node/"))).toEqual([])
  })
})

describe("the documents", () => {
  it("are all there", () => {
    const names = ["ARCHITECTURE", "PROTOCOL", "LEDGER", "THREAT-MODEL", "OPERATIONS", "GLOSSARY"]
    const wanted = [...names, "STYLE"].map((name) => `docs/${name}.md`)
    expect(wanted.filter((path) => !documents.includes(path))).toEqual([])
  })

  it("link to what is there", () => {
    expect(documents.flatMap(deadLinks)).toEqual([])
  })

  it("name files that are there", () => {
    const quoted = /`((?:protocol|ledger|node|cli|test|docs)\/[\w./-]+\.(?:ts|js|md|json|txt))`/g
    const missing = (path: string): string[] =>
      [...textOf(path).matchAll(quoted)]
        .map(([, name = ""]) => name)
        .filter((name) => !existsSync(join(ROOT, name)))
        .map((name) => `${path}: ${name}`)
    expect(documents.flatMap(missing)).toEqual([])
  })

  it("that comments name are there", () => {
    const missing = (path: string): string[] =>
      matches(textOf(path), /\b(docs\/[\w-]+\.md)\b/g)
        .filter((name) => !existsSync(join(ROOT, name)))
        .map((name) => `${path}: ${name}`)
    expect(sources.flatMap(missing)).toEqual([])
  })

  it("have the sections that comments and other documents refer to", () => {
    expect([...texts.keys()].flatMap(deadReferences)).toEqual([])
  })

  it("list every error code in PROTOCOL, and no other", () => {
    const errors = ["protocol", "ledger", "node", "cli"].map((folder) => `${folder}/errors.ts`)
    const codes = errors.flatMap((path) => matches(textOf(path), /^ {2}\| "([A-Z_]+)"/gm))
    const listed = matches(sectionOf("docs/PROTOCOL.md", "14"), /^\| `([A-Z_]+)` \|/gm)
    expect(listed.toSorted()).toEqual([...new Set(codes)].toSorted())
  })

  it("explain every environment variable in OPERATIONS, and no other", () => {
    const pattern = /\b(TARBARTA_[A-Z_]*[A-Z])\b/g
    const used = new Set(sources.flatMap((path) => matches(textOf(path), pattern)))
    const explained = new Set(matches(textOf("docs/OPERATIONS.md"), pattern))
    expect([...explained].toSorted()).toEqual([...used].toSorted())
  })

  it("explain every key of the configuration in OPERATIONS", () => {
    const config = /export interface Config \{([\s\S]*?)\n\}/.exec(textOf("node/config.ts"))?.[1]
    const keys = matches(config ?? "", /^ {2}readonly (\w+)/gm)
    const operations = textOf("docs/OPERATIONS.md")
    expect(keys.length).toBeGreaterThan(0)
    expect(keys.filter((key) => !operations.includes(`\`${key}`))).toEqual([])
  })

  it("show every route of the local API in OPERATIONS", () => {
    const routes = [...textOf("node/api/routes.ts").matchAll(/^ {2}(get|post)\("([^"]+)"/gm)]
    const operations = textOf("docs/OPERATIONS.md")
    const shown = ([, method = "", path = ""]: RegExpExecArray | RegExpMatchArray): boolean =>
      operations.includes(`\`${method.toUpperCase()} ${path}\``)
    expect(routes.length).toBeGreaterThan(0)
    expect(routes.filter((route) => !shown(route)).map(([line]) => line)).toEqual([])
  })

  it("list every field of the ledger's JSON, and what the watch prints", () => {
    const listed = textOf("docs/JSON.md")
    const names = ["LedgerStatus", "ValidatorInfo", "OwnVote", "EvidenceInfo", "SignedVote"]
    const fields = [...names, "VerifyReport"].flatMap((name) => {
      const shape = new RegExp(`export interface ${name} \\{([\\s\\S]*?)\\n\\}`)
      return matches(shape.exec(textOf("node/api/shapes.ts"))?.[1] ?? "", /\breadonly (\w+)\??:/g)
    })
    const types = matches(textOf("cli/ledger-follower.ts"), /\.json\(\{ type: "(\w+)"/g)
    expect(fields.length).toBeGreaterThan(30)
    expect(types.length).toBe(4)
    expect([...fields, ...types].filter((name) => !listed.includes(`\`${name}\``))).toEqual([])
  })

  it("name tests that exist beside each cannot of the threat model", () => {
    const text = textOf("docs/THREAT-MODEL.md").replace(/\s+/g, " ")
    const cited = [...text.matchAll(/`(test\/[^`]+)`(?: \(((?:"[^"]+"(?:, )?)+)\))?/g)]
    expect(cited.length).toBeGreaterThan(0)
    const missing = cited.flatMap(([, path = "", names = ""]) =>
      matches(names, /"([^"]+)"/g)
        .filter((name) => !textOf(path).includes(name))
        .map((name) => `${path}: ${name}`),
    )
    expect(missing).toEqual([])
  })

  it("name commands that the program has", () => {
    const commands = sources.filter((path) => path.startsWith("cli/commands/"))
    const pattern = /(?:\.command\(|new Command\()\s*"(\w+)/g
    const words = new Set(commands.flatMap((path) => matches(textOf(path), pattern)))
    const noun = "cable|hotline|ledger|audit|mission|network|node"
    const typed = new RegExp(`\\btarbarta (?:--home \\S+ )?(?:${noun}) ([a-z]+)`, "g")
    const named = documents.flatMap((path) => matches(textOf(path), typed))
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter((verb) => !words.has(verb))).toEqual([])
  })

  it("name scripts that package.json has", () => {
    const scripts = Object.keys(readJson("package.json")["scripts"] as object)
    const named = documents.flatMap((path) => matches(textOf(path), /npm run ([\w:]+)/g))
    expect(named.filter((name) => !scripts.includes(name))).toEqual([])
  })
})

describe("the way in", () => {
  it("is a README of at most 150 lines with exactly two lines of set-up", () => {
    const lines = linesOf("README.md")
    expect(lines.length).toBeLessThanOrEqual(README_LINES_MAX)
    const setUp = lines.filter((line) => line.startsWith("npm "))
    expect(setUp).toEqual(["npm ci && npm run demo", "npm ci && npm test"])
  })

  it("is a lock file that names no registry and pins every package by its hash", () => {
    const lock = read("package-lock.json")
    expect(lock.includes('"resolved"')).toBe(false)
    const packages = Object.entries(JSON.parse(lock).packages as Record<string, object>)
    const unpinned = packages.filter(([path, facts]) => path !== "" && !("integrity" in facts))
    expect(unpinned.map(([path]) => path)).toEqual([])
  })
})

// --- what a file says ------------------------------------------------------------------------

function filesUnder(folder: string, pattern: RegExp): string[] {
  const found = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length).replaceAll("\\", "/"))
    .toSorted()
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8")
}

function readJson(path: string): Record<string, unknown> {
  return JSON.parse(read(path)) as Record<string, unknown>
}

function textOf(path: string): string {
  return texts.get(path) ?? ""
}

function linesOf(path: string): string[] {
  return textOf(path).replace(/\n$/, "").split("\n")
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, found = ""]) => found)
}

/** Without comments and without what stands in quotes: what is left is code. */
function codeOf(path: string): string {
  const code = textOf(path)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "")
  return unquoted(code)
}

function unquoted(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
}

function specifiersOf(path: string): string[] {
  return matches(textOf(path), /(?:from|import)\s*\(?\s*"([^"\n]+)"/g)
}

/** Files of the project that this one imports, loads when it runs, or starts. */
function importsOf(path: string): string[] {
  const named = matches(textOf(path), /new URL\(\s*"([^"\n]+\.(?:ts|js))"/g)
  return [...specifiersOf(path), ...named]
    .filter((name) => !name.startsWith("node:") && /\.(ts|js)$/.test(name))
    .map((name) => normalize(join(dirname(path), name)).replaceAll("\\", "/"))
}

const STARTS = [
  /^(\s*)(?:export )?(?:async )?function\*? ?(\w+)/,
  /^( {2})(?:(?:private|static|async|get|set) |\*)*(#?\w+|\[Symbol\.\w+\])(?:<[^(]*>)?\(/,
  /^(\s*)(?:export )?const (\w+) = (?:async )?\(.*$/,
]
const NO_FUNCTIONS = ["if", "for", "while", "switch", "catch", "return", "describe", "super"]

/** By indentation, which the formatter guarantees: a body ends at a brace below its first letter. */
function longFunctions(path: string): string[] {
  const lines = linesOf(path)
  return lines.flatMap((line, start) => {
    const [, indent, name = ""] = STARTS.map((one) => one.exec(line)).find(Boolean) ?? []
    if (indent === undefined || NO_FUNCTIONS.includes(name)) return []
    const end = lines.findIndex((later, at) => at > start && later.startsWith(`${indent}}`))
    const next = lines.findIndex(
      (later, at) =>
        at > start &&
        later.startsWith(indent) &&
        /^[\w#@/]/.test(later.trimStart()) &&
        !later.startsWith(`${indent} `),
    )
    // Another statement at the same depth first: a call or a value, and no body.
    if (end < 0 || (next >= 0 && next < end)) return []
    const length = end - start + 1
    return length > FUNCTION_LINES_MAX ? [`${path}: ${name} has ${length} lines`] : []
  })
}

/** Functions, classes and constants; types may be there for those who read a signature. */
function unusedExports(path: string): string[] {
  const pattern = /^export (?:abstract )?(?:async )?(?:function\*?|class|const) (\w+)/gm
  return matches(textOf(path), pattern)
    .filter((name) => {
      const word = new RegExp(`\\b${name}\\b`)
      return !sources.some((other) => other !== path && word.test(textOf(other)))
    })
    .map((name) => `${path}: ${name}`)
}

/** A skip says why: `context.skip("…")` in its argument, `skipIf` and `runIf` in the test's name. */
function silentSkips(path: string): string[] {
  if (path === "test/style.test.ts") return []
  const code = textOf(path).replace(/\/\*[\s\S]*?\*\//g, "")
  const skips = [...code.matchAll(/(\w+)(?:\.\w+)*\.(skipIf|runIf|skip|todo)\(([\s\S]{0,240})/g)]
  return skips
    .filter(([, owner = "", verb = "", rest = ""]) => {
      const isForGood = verb === "todo" || (verb === "skip" && /^(it|test|describe)$/.test(owner))
      if (isForGood) return true
      if (verb === "skip") return !/^\s*["`][^"`]{8,}/.test(rest)
      return !/["`][^"`]*(\(|\$\{|\.json)[^"`]*["`]/.test(rest)
    })
    .map(([found]) => `${path}: ${found.split("\n")[0] ?? ""}`)
}

// --- what the documents say ------------------------------------------------------------------

const HEADING = /^#{1,6} (.+)$/gm

function headingsOf(path: string): string[] {
  return matches(textOf(path).replace(/^```[\s\S]*?^```/gm, ""), HEADING)
}

/** Links inside the project, and their anchors. */
function deadLinks(path: string): string[] {
  const links = matches(textOf(path).replace(/^```[\s\S]*?^```/gm, ""), /\]\(([^)\s]+)\)/g)
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [file = "", anchor] = link.split("#")
      const target = file === "" ? path : normalize(join(dirname(path), file))
      if (!existsSync(join(ROOT, target))) return true
      if (anchor === undefined) return false
      return !headingsOf(target).some((heading) => slugOf(heading) === anchor)
    })
    .map((link) => `${path}: ${link}`)
}

function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-")
}

/** One numbered section of a document, with what is below it. */
function sectionOf(path: string, number: string): string {
  const text = textOf(path)
  const start = text.search(new RegExp(`^## ${number}\\. `, "m"))
  const rest = text.slice(start + 3)
  const end = rest.search(/^## /m)
  return start < 0 ? "" : rest.slice(0, end < 0 ? rest.length : end)
}

function hasSection(document: string, number: string): boolean {
  const pattern = new RegExp(`^${number.replaceAll(".", "\\.")}\\.? `)
  return headingsOf(`docs/${document}.md`).some((heading) => pattern.test(heading))
}

/** `PROTOCOL §5.9` and `OPERATIONS, "Local API"`, wherever they stand. */
function deadReferences(path: string): string[] {
  if (path === "test/style.test.ts") return []
  const text = textOf(path).replace(/\n\s*\*? ?/g, " ")
  const numbered = [
    ...text.matchAll(/\b(PROTOCOL|LEDGER)(?:\.md)? (§[\d.]+\d|§\d+)((?:(?:, |–)§?\d[\d.]*\b)*)/g),
  ]
  const missing = numbered.flatMap(([, document = "", first = "", more = ""]) => {
    const numbers = `${first}${more}`.match(/\d+(\.\d+)*/g) ?? []
    return numbers
      .filter((number) => !hasSection(document, number))
      .map((number) => `${path}: ${document} §${number}`)
  })
  const named = [...text.matchAll(/\b(ARCHITECTURE|OPERATIONS|THREAT-MODEL)(?:\.md)?, "([^"]+)"/g)]
  const unnamed = named
    .filter(([, document = "", title = ""]) => {
      const headings = headingsOf(`docs/${document}.md`).map((heading) => heading.toLowerCase())
      return !headings.some((heading) => heading.includes(title.toLowerCase()))
    })
    .map(([found]) => `${path}: ${found}`)
  return [...missing, ...unnamed, ...deadOwnReferences(path)]
}

/** `§5.9` inside of PROTOCOL or LEDGER means their own; other standards' sections carry a name. */
function deadOwnReferences(path: string): string[] {
  const document = /^docs\/(PROTOCOL|LEDGER)\.md$/.exec(path)?.[1]
  if (document === undefined) return []
  const own = [...textOf(path).matchAll(/(?<!(?:RFC \d+|LEDGER|PROTOCOL|and) )§(\d+(?:\.\d+)*)/g)]
  return own
    .map(([, number = ""]) => number)
    .filter((number) => !hasSection(document, number))
    .map((number) => `${path}: §${number}`)
}

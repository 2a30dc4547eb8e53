#!/usr/bin/env node
// The command. Plain JavaScript that old Nodes can read: they get one clear line. The right one
// loads main.ts, with its compiled form kept in a folder that only this user can write to.

const NODE_MAJOR_MIN = 24

const major = Number(process.versions.node.split(".")[0])
if (major < NODE_MAJOR_MIN) {
  process.stderr.write(
    `tarbarta: error: expected Node ${NODE_MAJOR_MIN} or newer, got ${process.versions.node}\n` +
      "tarbarta: hint: `npx tarbarta …` in the project's folder uses the Node that came with it\n",
  )
  process.exit(1)
}

const { lstatSync, mkdirSync } = await import("node:fs")
const { enableCompileCache } = await import("node:module")

const cacheFolder = compileCacheFolder()
if (cacheFolder !== undefined) enableCompileCache(cacheFolder)
const { main } = await import("./main.ts")
process.exitCode = await main(process.argv.slice(2), process.env)

/**
 * A private folder for compiled code; undefined where there is none: then we are only slower.
 *
 * @returns {string | undefined}
 */
function compileCacheFolder() {
  const { XDG_CACHE_HOME = "", HOME = "" } = process.env
  const base = String(XDG_CACHE_HOME !== "" ? XDG_CACHE_HOME : `${HOME}/.cache`)
  if (!base.startsWith("/") || base === "/.cache") return undefined
  const folder = `${base}/tarbarta`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = lstatSync(folder)
    const isFolder = (mode & 0o170000) === 0o040000
    const isOurs = process.getuid === undefined || uid === process.getuid()
    return isFolder && isOurs && (mode & 0o077) === 0 ? folder : undefined
  } catch (error) {
    // A read-only or full disk is no reason not to run.
    if (error instanceof Error && "code" in error) return undefined
    throw error
  }
}

/**
 * The home directory of a node: where everything lies that it keeps.
 *
 * ```
 * config.json     configuration, no secrets (config.ts)
 * keys/keystore   private keys, sealed (keystore.ts)
 * keys/boot       which consensus log the keys belong to (boot.ts)
 * keys/halted     why the validator's key does not vote until this file is removed (halt.ts)
 * store/          the database (store/level.ts)
 * wal/            consensus logs, one an epoch (store/wal.ts)
 * run/            the node's socket and the home's lock; nothing to keep
 * node.log
 * ```
 *
 * All of it belongs to one user and is closed to others. One process at a time works in it.
 */

import { chmod, mkdir, readdir, stat } from "node:fs/promises"
import { homedir } from "node:os"
import { basename, dirname, isAbsolute, join, resolve } from "node:path"
import type { Stats } from "node:fs"
import { SOCKET_PATH_BYTES_MAX } from "../protocol/limits.ts"
import { NodeError } from "./errors.ts"
import { PRIVATE_FOLDER_MODE, systemCode, systemReason } from "./store/file.ts"

/** Absolute paths. */
export interface Home {
  readonly root: string
  readonly config: string
  readonly keys: string
  readonly keystore: string
  readonly boot: string
  readonly halted: string
  readonly store: string
  readonly wal: string
  readonly run: string
  readonly socket: string
  readonly log: string
}

/** What to do about a folder that is gone; never to put back an older database or log. */
const MISSING_HINTS: Readonly<Record<string, string>> = {
  keys: "take keys/ from its copy",
  store:
    "the database is lost: do not start the node with an older copy of it; " +
    'see docs/OPERATIONS.md, "Backup"',
}

type Env = Readonly<Record<string, string | undefined>>

/**
 * The home that is meant: `flag` (`--home`), else `TARBARTA_HOME`, else the user's data directory.
 */
export function homePath(env: Env, flag?: string): string {
  if (flag !== undefined) return resolve(flag)
  const named = env["TARBARTA_HOME"]
  if (named !== undefined && named !== "") return resolve(named)
  const data = env["XDG_DATA_HOME"]
  // The XDG specification says to ignore a relative path here.
  if (data !== undefined && isAbsolute(data)) return join(data, "tarbarta")
  return join(homedir(), ".local", "share", "tarbarta")
}

/** Where things lie in a home; looks at nothing. */
export function homeLayout(root: string): Home {
  const at = (...names: string[]): string => join(root, ...names)
  return {
    root,
    config: at("config.json"),
    keys: at("keys"),
    keystore: at("keys", "keystore"),
    boot: at("keys", "boot"),
    halted: at("keys", "halted"),
    store: at("store"),
    wal: at("wal"),
    run: at("run"),
    socket: at("run", "node.sock"),
    log: at("node.log"),
  }
}

/**
 * Makes a home, closed to others (0700). An empty folder of that name is taken.
 *
 * @throws NodeError `HOME_EXISTS` when something is there, `HOME_LAYOUT` for a path that cannot be a
 * home, `HOME_PERMISSIONS` when the system does not let us.
 */
export async function createHome(root: string): Promise<Home> {
  const home = homeLayout(root)
  checkSocketPath(home)
  const status = await look(root)
  if (status !== undefined) {
    if (!status.isDirectory()) {
      throw new NodeError("HOME_LAYOUT", `home ${root}: expected a folder, found a file`)
    }
    checkOwner(root, status)
    if ((await readdir(root)).length > 0) {
      throw new NodeError("HOME_EXISTS", `home ${root} exists and is not empty`, {
        hint: "give another path with --home",
      })
    }
  }
  try {
    await mkdir(dirname(root), { recursive: true })
    await mkdir(root, { recursive: true, mode: PRIVATE_FOLDER_MODE })
    await chmod(root, PRIVATE_FOLDER_MODE)
    for (const folder of [home.keys, home.store, home.wal, home.run]) {
      await mkdir(folder, { mode: PRIVATE_FOLDER_MODE })
    }
  } catch (cause) {
    throw new NodeError("HOME_PERMISSIONS", `cannot make home ${root}: ${systemReason(cause)}`, {
      cause,
    })
  }
  return home
}

/**
 * Checks that a home is one: everything of the right type, owned by this user, closed to others.
 * The folders `run` and `wal` are made anew where they are missing: nothing in the one is kept, and
 * what was lost with the other costs the validator its vote (boot.ts), not its mission the node.
 *
 * @throws NodeError `HOME_MISSING`, `HOME_LAYOUT`, `HOME_PERMISSIONS`.
 */
export async function openHome(root: string): Promise<Home> {
  const home = homeLayout(root)
  checkSocketPath(home)
  if ((await look(root)) === undefined) {
    throw new NodeError("HOME_MISSING", `no home at ${root}`, {
      hint: "make one with network create, network found or mission request, or give --home",
    })
  }
  for (const folder of [root, home.keys, home.store]) await checkEntry(folder, "folder")
  for (const folder of [home.wal, home.run]) {
    await makeMissing(folder)
    await checkEntry(folder, "folder")
  }
  for (const file of [home.config, home.keystore]) await checkEntry(file, "file")
  return home
}

async function makeMissing(folder: string): Promise<void> {
  if ((await look(folder)) !== undefined) return
  try {
    // Another process of ours may be faster.
    await mkdir(folder, { recursive: true, mode: PRIVATE_FOLDER_MODE })
  } catch (cause) {
    const message = `${folder} is missing and cannot be made: ${systemReason(cause)}`
    throw new NodeError("HOME_PERMISSIONS", message, { cause })
  }
}

async function checkEntry(path: string, expected: "file" | "folder"): Promise<void> {
  const status = await look(path)
  if (status === undefined) {
    // A home is made before its files are; who needs one says that it is missing.
    if (expected === "file") return
    const hint = MISSING_HINTS[basename(path)]
    throw new NodeError("HOME_LAYOUT", `${path} is missing`, hint === undefined ? {} : { hint })
  }
  const isRight = expected === "file" ? status.isFile() : status.isDirectory()
  if (!isRight) {
    const found = status.isDirectory() ? "a folder" : status.isFile() ? "a file" : "something else"
    throw new NodeError("HOME_LAYOUT", `${path}: expected a ${expected}, found ${found}`)
  }
  checkOwner(path, status)
  if (process.platform === "win32" || (status.mode & 0o077) === 0) return
  const mode = (status.mode & 0o777).toString(8)
  const wanted = expected === "folder" ? "700" : "600"
  throw new NodeError("HOME_PERMISSIONS", `${path} is open to others: mode ${mode}`, {
    hint: `chmod ${wanted} ${path}`,
  })
}

function checkOwner(path: string, status: Stats): void {
  const uid = process.getuid?.()
  if (uid === undefined || status.uid === uid) return
  const message = `${path} belongs to user ${status.uid}, expected ${uid}`
  throw new NodeError("HOME_PERMISSIONS", message, { hint: "run as the user who owns the home" })
}

async function look(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined
    if (systemCode(cause) === "ENOTDIR") {
      const message = `${path}: a part of the path is a file`
      throw new NodeError("HOME_LAYOUT", message, { cause })
    }
    throw new NodeError("HOME_PERMISSIONS", `cannot look at ${path}: ${systemReason(cause)}`, {
      cause,
    })
  }
}

function checkSocketPath(home: Home): void {
  const bytes = Buffer.byteLength(home.socket)
  if (bytes <= SOCKET_PATH_BYTES_MAX) return
  const most = `at most ${SOCKET_PATH_BYTES_MAX} bytes`
  const message = `${home.socket}: a socket's path has ${most}, this one ${bytes}`
  throw new NodeError("HOME_LAYOUT", message, { hint: "choose a home with a shorter path" })
}

/**
 * Takes the home for this process until `release` or the process's end, however it ends.
 *
 * The lock is that of an empty LevelDB: Node has no file locks of its own, and a file with a
 * process id in it goes stale after a crash.
 *
 * @throws NodeError `STORE_LOCKED` when another process has it.
 */
export async function lockHome(home: Home): Promise<{ release(): Promise<void> }> {
  const { Level } = await import("level")
  const lock = new Level(join(home.run, "lock"))
  try {
    await lock.open()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.cause : undefined
    if (systemCode(reason) !== "LEVEL_LOCKED") {
      const message = `cannot lock home ${home.root}: ${systemReason(reason ?? cause)}`
      throw new NodeError("STORE_FAILED", message, { cause })
    }
    throw new NodeError("STORE_LOCKED", `home ${home.root} is in use by another process`, {
      cause,
      hint: "one node at a time: stop the one that runs, then try again",
    })
  }
  return { release: () => lock.close() }
}

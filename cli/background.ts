/**
 * A node in the background: a second process of this program that reports, once, that it is ready
 * or why it is not, and then goes on alone.
 */

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { open } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { NodeStatus } from "../node/api/shapes.ts"
import { TarbartaError } from "../protocol/errors.ts"
import { CliError } from "./errors.ts"
import type { Session } from "./session.ts"

/** What the child tells its parent. */
type Report =
  | { readonly type: "ready"; readonly status: NodeStatus }
  | {
      readonly type: "failed"
      readonly code: string
      readonly message: string
      readonly hint?: string | undefined
    }

/**
 * Starts a node that outlives this process; resolves when it is ready.
 *
 * The passphrase goes through a pipe: neither arguments nor environment are private.
 */
export async function startInBackground(session: Session, passphrase: string): Promise<NodeStatus> {
  const { openHome } = await import("../node/home.ts")
  const log = await open((await openHome(session.home)).log, "a", 0o600)
  try {
    const program = fileURLToPath(new URL("tarbarta.js", import.meta.url))
    const words = ["--home", session.home, "--json", "node", "start", "--passphrase-input"]
    const child = spawn(process.execPath, [program, ...words], {
      detached: true,
      stdio: ["pipe", log.fd, log.fd, "ipc"],
    })
    child.stdin?.end(passphrase)
    return await readyOf(child)
  } finally {
    await log.close()
  }
}

async function readyOf(child: ChildProcess): Promise<NodeStatus> {
  const exited = once(child, "exit").then(([code]) => {
    throw new CliError("NODE_ENDED", `the node ended with exit code ${String(code)}`, {
      hint: "node.log in its home says why",
    })
  })
  // A report and the end may come together; whoever is first decides, the other is of no interest.
  exited.catch(() => undefined)
  const [report] = (await Promise.race([once(child, "message"), exited])) as [Report]
  if (report.type === "failed") {
    const hint = report.hint === undefined ? {} : { hint: report.hint }
    throw new TarbartaError(report.code, report.message, hint)
  }
  child.disconnect()
  child.unref()
  return report.status
}

/** In the child: tells the parent that the node is ready. Does nothing in the foreground. */
export function reportReady(status: NodeStatus): void {
  report({ type: "ready", status })
}

/** In the child: tells the parent why there is no node. */
export function reportFailure(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof TarbartaError)) report({ type: "failed", code: "UNEXPECTED", message })
  else report({ type: "failed", code: error.code, message, hint: error.hint })
}

function report(message: Report): void {
  // The channel closes when the parent has heard enough.
  if (process.connected) process.send?.(message)
}

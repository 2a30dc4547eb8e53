/** Folders for one test. */

import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"

/** A new empty folder, gone when the test that asked for it has ended. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "tarbarta-"))
  onTestFinished(async () => {
    await rm(path, { recursive: true, force: true })
  })
  return path
}

/** A real local API, on a real socket in a home of its own, over a node in memory. */

import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { NodeClient } from "../../node/api/client.ts"
import { startServer } from "../../node/api/server.ts"
import { systemClock, type Clock } from "../../node/clock.ts"
import { createVirtualClock } from "./clock.ts"
import { temporaryFolder } from "./folder.ts"
import { ServiceInMemory } from "./service.ts"

export interface ApiUnderTest {
  readonly home: string
  readonly socketPath: string
  readonly service: ServiceInMemory
  readonly client: NodeClient
  /** Errors without a code that the server reported. */
  readonly bugs: unknown[]
  readonly stop: () => Promise<void>
  /** Starts it anew at the same place, with what it had. */
  readonly restart: () => Promise<void>
}

/** Started now, stopped when the test that asked for it has ended. */
export async function startApi(clock: Clock = systemClock): Promise<ApiUnderTest> {
  const home = await temporaryFolder()
  await mkdir(join(home, "run"), { mode: 0o700 })
  const socketPath = join(home, "run", "node.sock")
  const service = new ServiceInMemory(createVirtualClock(Date.UTC(2026, 0, 2, 3, 4, 5)))
  const bugs: unknown[] = []
  const start = async () =>
    startServer({ socketPath, service, clock, onBug: (error) => bugs.push(error) })
  let server = await start()
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => (stopping ??= server.stop())
  const restart = async (): Promise<void> => {
    await stop()
    server = await start()
    stopping = undefined
  }
  onTestFinished(stop)
  return { home, socketPath, service, client: new NodeClient(home), bugs, stop, restart }
}

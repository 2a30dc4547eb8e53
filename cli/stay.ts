/**
 * A screen that outlives its node: it follows the events, says when the node is gone, and listens
 * again as soon as it can.
 */

import type { NodeClient } from "../node/api/client.ts"
import type { NodeEvent } from "../node/api/shapes.ts"
import type { Clock } from "../node/clock.ts"
import { TarbartaError } from "../protocol/errors.ts"
import type { Terminal } from "./terminal.ts"

const RETRY_MS = 1_000

export interface StayParts {
  readonly terminal: Pick<Terminal, "note" | "say" | "warn">
  readonly client: Pick<NodeClient, "events">
  /** Its timers must keep the process alive: they are all that is left while the node is away. */
  readonly clock: Pick<Clock, "after">
}

/** Unlike those of the node, these timers keep the process alive. */
export const STAYING_CLOCK: Pick<Clock, "after"> = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

/**
 * Hands each stream of events to `follow` until `ending` aborts. `onReady` is called when it has
 * begun to listen. Refusals of the node within `follow` count as its absence.
 *
 * @throws NodeError `NODE_UNREACHABLE` when no node answers at the beginning.
 */
export async function stay(
  parts: StayParts,
  ending: AbortSignal,
  onReady: () => void,
  follow: (events: AsyncIterable<NodeEvent>) => Promise<void>,
): Promise<void> {
  const { terminal, client } = parts
  let events: AsyncIterable<NodeEvent> | undefined = await client.events({ signal: ending })
  onReady()
  for (;;) {
    if (events !== undefined) await followed(events, ending, follow)
    if (ending.aborted) return
    if (events !== undefined) terminal.warn(terminal.say("watch.lost"))
    await pause(parts.clock, ending)
    events = await reopened(client, ending)
    if (events !== undefined) terminal.note(terminal.say("watch.back"))
  }
}

async function followed(
  events: AsyncIterable<NodeEvent>,
  ending: AbortSignal,
  follow: (events: AsyncIterable<NodeEvent>) => Promise<void>,
): Promise<void> {
  try {
    await follow(events)
  } catch (error) {
    if (!ending.aborted && !(error instanceof TarbartaError)) throw error
  }
}

/** The events again; undefined while no node answers, or it has no room for us yet. */
async function reopened(
  client: StayParts["client"],
  ending: AbortSignal,
): Promise<AsyncIterable<NodeEvent> | undefined> {
  try {
    return await client.events({ signal: ending })
  } catch (error) {
    if (ending.aborted || error instanceof TarbartaError) return undefined
    throw error
  }
}

async function pause(clock: Pick<Clock, "after">, ending: AbortSignal): Promise<void> {
  if (ending.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const onAbort = (): void => resolve()
  ending.addEventListener("abort", onAbort, { once: true })
  const timer = clock.after(RETRY_MS, resolve)
  await promise
  timer.cancel()
  ending.removeEventListener("abort", onAbort)
}

/** A signal that aborts on Ctrl-C or SIGTERM, for as long as `work` runs. */
export async function untilInterrupted(
  work: (ending: AbortSignal) => Promise<void>,
): Promise<void> {
  const ending = new AbortController()
  const end = (): void => ending.abort()
  process.once("SIGINT", end)
  process.once("SIGTERM", end)
  try {
    await work(ending.signal)
  } finally {
    process.off("SIGINT", end)
    process.off("SIGTERM", end)
  }
}

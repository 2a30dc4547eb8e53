/**
 * Follows one cable or signal for `--wait`: from the node's events, with its state asked for after
 * each event that concerns it, so that a lost event costs nothing.
 */

import type { NodeClient } from "../node/api/client.ts"
import type { NodeEvent } from "../node/api/shapes.ts"
import { NodeError } from "../node/errors.ts"
import { TarbartaError } from "../protocol/errors.ts"

/** The waiting for one thing, begun before the thing itself so that no event is missed. */
export interface Watching {
  /**
   * Asks for the state, tells it, and again after each event about this id, until it is settled
   * or the time is up.
   *
   * @returns The last state, and whether the time was up before it was settled.
   */
  until<T>(
    id: string,
    ask: () => Promise<T>,
    tell: (state: T, before: T | undefined) => void,
    isSettled: (state: T) => boolean,
  ): Promise<{ readonly state: T; readonly isTimedOut: boolean }>
  stop(): void
}

/** Begins to listen. The time runs from the first question on. */
export async function watch(client: NodeClient, timeoutMs: number): Promise<Watching> {
  const ending = new AbortController()
  const events = await client.events({ signal: ending.signal })
  return {
    stop: () => ending.abort(),
    async until(id, ask, tell, isSettled) {
      let isTimedOut = false
      const timer = setTimeout(() => {
        isTimedOut = true
        ending.abort()
      }, timeoutMs)
      try {
        let state = await asked(ask)
        tell(state, undefined)
        if (isSettled(state)) return { state, isTimedOut: false }
        try {
          for await (const event of events) {
            if (!concerns(event, id)) continue
            const before = state
            state = await asked(ask)
            tell(state, before)
            if (isSettled(state)) return { state, isTimedOut: false }
          }
        } catch (error) {
          if (!isTimedOut) throw error
        }
        if (isTimedOut) return { state, isTimedOut }
      } finally {
        clearTimeout(timer)
      }
      throw stopped()
    },
  }
}

/** The answer; that no node answers any more is another thing than that none ever did. */
async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw error instanceof TarbartaError && error.code === "NODE_UNREACHABLE" ? stopped() : error
  }
}

function stopped(): NodeError {
  return new NodeError("NODE_UNREACHABLE", "the node stopped", {
    hint: "what was handed in is kept; start the node and ask for the state again",
  })
}

function concerns(event: NodeEvent, id: string): boolean {
  switch (event.type) {
    case "cable-queued":
    case "cable-progress":
    case "cable-delivered":
    case "cable-registered":
      return event.id === id
    case "cable-received":
      return event.cable.id === id
    case "signal-received":
    case "signal-progress":
      return event.signal.id === id
    case "resync":
      return true
    default:
      return false
  }
}
